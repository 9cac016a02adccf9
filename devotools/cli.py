"""The command ``devotools``: thin, every verb calls the package that the lessons import."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from devotools._validate import (
    InputError,
    check_choice,
    check_fraction,
    check_pixel_size,
    check_positive,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _number(text: str) -> float:
    """A number as it is typed, or a sentence for whoever types a decimal comma."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(
            f"it is {text!r}; expected a number such as 0.12, with a point."
        ) from None


def _number_option(*names: str, **more: Any) -> Any:
    return typer.Option(*names, parser=_number, metavar="NUMBER", **more)


ModelOption = Annotated[
    str, typer.Option("--model", help="A shipped model's name, or a .safetensors file.")
]
STOPPED = 130  # exit code after Ctrl-C, as shells have it
SMALL_NUCLEUS = 6  # pixels; below it somebody has typed micrometres
LARGE_PIXEL = 5  # micrometres; above it somebody has typed nanometres
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda or mps; the fastest there is if not said.")
]


NucleusSizeOption = Annotated[
    float | None,
    _number_option(help="Usual diameter of a nucleus in your pictures, in pixels."),
]


def _out(help: str):
    """The option --out of a verb that writes."""
    return typer.Option("--out", help=help, metavar="<path>", parser=_not_empty)


def _in(name: str, help: str):
    """An option of what a verb reads."""
    return typer.Option(name, help=help, metavar="<path>", parser=_not_empty)


def _not_empty(text: str) -> Path:
    """An empty path would be the current folder; a shell makes one of a variable not set."""
    if not text.strip():
        raise typer.BadParameter(
            "it is empty; expected the name of a folder or file. If you gave a variable of your "
            "shell, it is not set."
        )
    return Path(text)


def main() -> None:
    """Run the command; anything the user can mend is one sentence and exit code 2."""
    try:
        app()
    except (InputError, OSError) as error:
        if os.environ.get("DEVOTOOLS_DEBUG"):
            raise
        typer.echo(f"devotools: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("devotools: stopped.", err=True)
        sys.exit(STOPPED)
    except SystemExit as end:  # Typer has made one of a KeyboardInterrupt within a verb
        if end.code == STOPPED:
            typer.echo("devotools: stopped.", err=True)
        raise


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"devotools {importlib.metadata.version('devotools')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Find, count and measure nuclei in micrographs of the C. elegans embryo."""


@app.command()
def synthesize(
    out: Annotated[Path, _out("A new folder, or an empty one.")],
    embryos: Annotated[int, typer.Option(min=1, help="How many embryos to draw.")] = 4,
    sections: Annotated[int, typer.Option(min=1, max=10_000, help="Serial sections of each.")] = 8,
    size: Annotated[
        int, typer.Option(min=64, max=8192, help="Side of a picture, in pixels.")
    ] = 256,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same embryos.")] = 0,
) -> None:
    """Draw labelled embryo sections: images/, masks/, labels/ and manifest.csv.

    Example: devotools synthesize --out drawn --embryos 4 --sections 8
    """
    from devotools.datasets import synthesize_dataset

    with _progress(embryos, "embryo") as bar:
        count = synthesize_dataset(
            out, embryos=embryos, sections=sections, size=size, seed=seed, progress=bar.update
        )
    typer.echo(f"{_counted(count, 'section')} of {_counted(embryos, 'embryo')} drawn into {out}")


@app.command("import")
def import_(
    images: Annotated[Path, _in("--images", "Folder (or zip, tar) of pictures.")],
    masks: Annotated[
        Path,
        _in("--masks", "The same of masks, label images or ImageJ ROIs."),
    ],
    out: Annotated[Path, _out("A new folder, or an empty one.")],
    embryo: Annotated[
        str | None, typer.Option(help="The embryo of all; else the name of the first sub-folder.")
    ] = None,
    pixel_size: Annotated[
        float | None,
        _number_option(help="Micrometres along a pixel, for manifest.csv; else what files tell."),
    ] = None,
    clean: Annotated[
        bool, typer.Option("--clean", help="Take grey and JPEG masks, cut at half and smoothed.")
    ] = False,
) -> None:
    """Check and convert your own pictures and masks into a folder that train reads.

    Example: devotools import --images micrographs --masks drawn --out data --embryo E1

    Pairs by name. Exit code 0: every file was taken; 1: some were refused (see report.csv); 2:
    none could be taken, or nothing could be written.
    """
    from devotools.exchange import import_folder

    with _progress(0, "picture") as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update()

        report = import_folder(
            images,
            masks,
            out,
            embryo=embryo,
            pixel_size_um=pixel_size,
            clean=clean,
            progress=show,
        )
    for row in report.rows:
        if row.reason:
            typer.echo(f"{row.status}: {row.image or row.mask}: {row.reason}", err=True)
    typer.echo(f"{_counted(len(report.imported), 'picture')} imported into {out}")
    if any(not row.embryo for row in report.imported):
        typer.echo(
            "some embryos are not known, so each of their pictures counts as one: say --embryo, or "
            "use one sub-folder each",
            err=True,
        )
    if report.refused:
        raise typer.Exit(1)


@app.command()
def train(
    data: Annotated[
        Path,
        _in("--data", "Folder with images/, masks/ and manifest.csv (the embryos)."),
    ],
    out: Annotated[Path, _out("The .safetensors file to write.")],
    init: Annotated[
        str, typer.Option(help="Start from: random, imagenet, nuclei, or a .safetensors file.")
    ] = "random",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training sections.")] = 20,
    size: Annotated[
        int, typer.Option(min=32, max=4096, help="Side of the training crops, in pixels.")
    ] = 256,
    batch_size: Annotated[int, typer.Option(min=1, help="Crops in one step.")] = 8,
    learning_rate: Annotated[
        float | None,
        _number_option(help="2e-3, or 5e-4 for a model that has learned already."),
    ] = None,
    val: Annotated[float, _number_option(help="Share of embryos to choose by.")] = 0.2,
    test: Annotated[float, _number_option(help="Share of embryos kept aside.")] = 0.0,
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare pictures.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of split, weights and crops.")] = 0,
    device: DeviceOption = None,
) -> None:
    """Train a model on labelled sections, and keep the weights that do best on other embryos.

    Example: devotools train --data drawn --out mine.safetensors --epochs 20
    """
    from devotools.recipe import Recipe, train_on_folder

    recipe = Recipe(
        init=init,
        epochs=epochs,
        size=size,
        batch_size=batch_size,
        learning_rate=learning_rate,
        val=val,
        test=test,
        workers=workers,
        seed=seed,
        device=device,
    )
    history, split = train_on_folder(
        data, out, recipe, remark=lambda said: typer.echo(said, err=True)
    )
    if not history.best_epoch:
        raise InputError(f"stopped before the first epoch ended: {str(out)!r} was not written.")
    typer.echo(
        f"trained on {_counted(len(split.train), 'section')}, chosen on {len(split.val)}: "
        f"validation IoU {history.best_iou:.3f} in epoch {history.best_epoch}; saved as {out}"
    )
    if history.interrupted:
        typer.echo("stopped early: the best weights until then were saved.", err=True)


@app.command()
def evaluate(
    data: Annotated[Path, _in("--data", "Folder with images/ and masks/.")],
    model: ModelOption = "nuclei",
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json",
            help="Write the scores to this file as well.",
            metavar="<path>",
            parser=_not_empty,
        ),
    ] = None,
    nucleus_size: NucleusSizeOption = None,
    device: DeviceOption = None,
) -> None:
    """Score a model on labelled sections: IoU, Dice, precision, recall, F1.

    Example: devotools evaluate --data drawn --json scores.json
    """
    from devotools.datasets import read_dataset
    from devotools.evaluation import evaluate as score
    from devotools.images import replace_file
    from devotools.model import load_model
    from devotools.pipeline import scale_for
    from devotools.runtime import choose_device

    _check_nucleus_size(nucleus_size)
    pairs, network = read_dataset(data), load_model(model, choose_device(device))
    scale = scale_for(network, nucleus_size)
    with replace_file(json_file) if json_file is not None else nullcontext() as temporary:
        if temporary is not None:
            temporary.touch()  # a file that cannot be written is known before the work
        with _progress(len(pairs), "picture") as bar:
            scores = score(network, pairs, scale=scale, progress=lambda done, total: bar.update())
        if temporary is not None:
            temporary.write_text(json.dumps(scores.to_dict(), indent=1) + "\n", encoding="utf-8")
    typer.echo(scores.table().to_string(float_format="{:.3f}".format))
    typer.echo(
        f"{_counted(scores.images, 'picture')}: IoU {scores.iou:.3f}, Dice {scores.dice:.3f} "
        f"(means over pictures); precision {scores.precision:.3f}, recall {scores.recall:.3f}, "
        f"F1 {scores.f1:.3f} (all nuclei together)"
    )


@app.command()
def segment(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...", help="Pictures, or folders of pictures.", parser=_not_empty
        ),
    ],
    out: Annotated[Path, _out("Folder for the results.")],
    model: ModelOption = "nuclei",
    nucleus_size: NucleusSizeOption = None,
    pixel_size: Annotated[
        float | None,
        _number_option(help="Micrometres along a pixel, for areas in µm²; one for all."),
    ] = None,
    threshold: Annotated[
        float, _number_option(help="Probability from which a pixel is nucleus, 0 to 1.")
    ] = 0.5,
    min_area: Annotated[
        int, typer.Option(min=0, help="Smaller nuclei than this, in pixels, are left out.")
    ] = 20,
    rois: Annotated[
        bool,
        typer.Option("--rois", help="Write ImageJ outlines as well, a zip for a picture or stack."),
    ] = False,
    classify: Annotated[
        bool,
        typer.Option("--classify", help="Tell of each nucleus: interphase, condensed or unsure."),
    ] = False,
    classifier: Annotated[
        str | None,
        typer.Option(help="Classify with this one: a shipped classifier's name, or your own file."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Work in so many processes (needs devotools[dask]).")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Work on a Dask cluster: tcp://host:port.")
    ] = None,
    device: DeviceOption = None,
) -> None:
    """Find the nuclei: label images, overlays, tables and a report.

    Example: devotools segment micrographs --out results --pixel-size 0.12

    Folders are searched with their sub-folders; stacks (multi-page TIFF) become label stacks. Run
    it again and it goes on where it stopped, and does only what is new. Exit code 0: every picture
    was segmented; 1: some files failed, or were no pictures (see images.csv); 2: could not start,
    or could not write.
    """
    from devotools.classification import load_classifier
    from devotools.model import load_model
    from devotools.pipeline import (
        NOTHING_FOUND,
        find_jobs,
        open_results,
        segment_jobs,
        segment_on_cluster,
        settings_for,
    )
    from devotools.predict import check_channels
    from devotools.runtime import choose_device

    if pixel_size is not None:
        check_positive(pixel_size, "--pixel-size", "micrometres")
        check_pixel_size(pixel_size, "--pixel-size")
    _check_nucleus_size(nucleus_size)
    check_fraction(threshold, "--threshold")
    if pixel_size is not None and pixel_size >= LARGE_PIXEL:
        typer.echo(
            f"--pixel-size is {pixel_size:g} micrometres, so a pixel is as large as a nucleus. If "
            f"{pixel_size:g} are nanometres, say --pixel-size {pixel_size / 1000:g}.",
            err=True,
        )
    if classify and classifier is None:
        classifier = "states"
    network = load_model(model, choose_device(device))
    check_channels(network)
    states = None if classifier is None else load_classifier(classifier, choose_device(device))
    settings = settings_for(
        network,
        model,
        nucleus_size=nucleus_size,
        pixel_size_um=pixel_size,
        threshold=threshold,
        min_area=min_area,
        rois=rois,
        classifier=states,
        classify=classifier or "states",
    )
    jobs = find_jobs(paths, out)
    failures: list[tuple[str, str]] = []
    pictures = nuclei = known = 0
    with ExitStack() as crew:
        cluster = crew.enter_context(_cluster(workers, scheduler))
        with open_results(out, settings, [str(path) for path in paths]) as results:
            known = sum(results.is_done(job) for job in jobs)
            if known:
                typer.echo(f"{known} of {len(jobs)} pictures are done already", err=True)
            try:
                with _progress(len(jobs), "picture") as bar:
                    if cluster is None:
                        runs = segment_jobs(network, jobs, results, states, bar.set_postfix_str)
                    else:
                        runs = segment_on_cluster(cluster, jobs, results, device)
                    for outcome in runs:
                        bar.update()
                        if outcome.nuclei is None:
                            failures.append((outcome.image, outcome.error))
                        else:
                            pictures, nuclei = pictures + 1, nuclei + outcome.nuclei
            finally:  # what was done before an interruption is kept
                crew.close()  # no worker may be writing when half-written files are removed
                results.finish(jobs)
                away = results.away(jobs)
    if away:
        typer.echo(
            f"pictures of an earlier run that are not there now: {len(away)}, for example "
            f"{away[0]!r}. Their labels and overlays stay in {out}; the tables leave them out.",
            err=True,
        )
    found = f"{_counted(pictures, 'picture')}, {_counted(nuclei, 'nucleus', 'nuclei')}"
    typer.echo(f"{found}; results in {out}")
    if pictures and not nuclei:
        typer.echo(f"no nucleus was found. {NOTHING_FOUND}", err=True)
        if threshold > 0.5 or min_area > 20:
            typer.echo(
                f"--threshold {threshold:g} and --min-area {min_area} also leave nuclei out: less "
                "probable ones, and smaller ones.",
                err=True,
            )
    for image, error in sorted(failures):
        typer.echo(f"failed: {image}: {error}", err=True)
    if failures:
        raise typer.Exit(1)


def _check_nucleus_size(size: float | None) -> None:
    """Refuse a diameter that is none; tell when it looks like micrometres."""
    if size is None:
        return
    check_positive(size, "--nucleus-size", "pixels")
    if size < SMALL_NUCLEUS:
        typer.echo(
            f"--nucleus-size is {size:g} pixels, so pictures are enlarged very much, and "
            f"take long. If {size:g} are micrometres, divide by the pixel size.",
            err=True,
        )


def _cluster(workers: int | None, scheduler: str | None):
    """The workers asked for, or None: this process does the work."""
    from devotools.pipeline import connect

    asked = workers is not None or scheduler is not None
    return connect(scheduler, workers) if asked else nullcontext()


@app.command()
def export(
    out: Annotated[Path, _out("The .onnx file, or .zip package, to write.")],
    kind: Annotated[str, typer.Option("--format", help="onnx or bioimageio.")],
    model: ModelOption = "nuclei",
    author: Annotated[
        list[str] | None,
        typer.Option("--author", help="A name for the package; may be said several times."),
    ] = None,
    licence: Annotated[
        str, typer.Option("--licence", help="Of the weights, as an SPDX identifier: CC-BY-4.0.")
    ] = "MIT",
) -> None:
    """Write a model for programs without devotools: one ONNX file, or a Model Zoo package.

    Example: devotools export --model nuclei --format bioimageio --out nuclei.zip

    Both say what to do before and after the network. See docs/share-a-model.md.
    """
    from devotools.exchange import export_bioimageio, export_onnx
    from devotools.model import load_model

    check_choice(kind, "--format", ("onnx", "bioimageio"))
    if author and kind == "onnx":
        raise InputError(
            f"--author is {author[0]!r}, and an ONNX file names no author; expected it with "
            "--format bioimageio only. Leave it out."
        )
    network = load_model(model)
    if kind == "onnx":
        export_onnx(network, out, licence=licence)
    else:
        export_bioimageio(network, out, authors=author, licence=licence)
    typer.echo(f"model {model} written as {out} ({out.stat().st_size / 2**20:.1f} MiB)")


@app.command("app")
def app_(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Pictures on this machine that the app may open; else uploads only.",
            parser=_not_empty,
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="The next free one from here.")
    ] = 8866,
    address: Annotated[
        str, typer.Option(help="Who can reach it: 127.0.0.1 is this machine only.")
    ] = "127.0.0.1",
    token: Annotated[
        bool, typer.Option("--token/--no-token", help="Whether the address carries a password.")
    ] = True,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Whether to open it in your browser.")
    ] = True,
) -> None:
    """Open the app in the browser: pictures in, nuclei corrected by hand, a table out.

    Example: devotools app my_micrographs

    It runs until you press Ctrl C here. See docs/the-app.md.
    """
    from devotools.ui import serve_app

    def announce(url: str) -> None:
        typer.echo(f"The app is at {url}\nPress Ctrl C here to end it.")

    serve_app(folder, address=address, port=port, token=token, browser=browser, announce=announce)


@app.command()
def progress(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...",
            help="Notebooks or folders; if none, this folder.",
            parser=_not_empty,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Write the table to this CSV file as well.",
            metavar="<path>",
            parser=_not_empty,
        ),
    ] = None,
) -> None:
    """Show which exercises are solved in your saved notebooks, and write a table for the teacher.

    Example: devotools progress notebooks --out progress.csv

    Reads what the check cells showed when the notebooks were saved; runs nothing. Exit code 1:
    some files are no notebooks, and are left out.
    """
    from devotools.exercises import read_progress
    from devotools.images import replace_file

    unread: list[str] = []
    table = read_progress(paths or [Path()], unread=unread.append)
    if unread and table.empty:
        raise InputError(" ".join(unread))
    for notebook, rows in table.groupby("notebook", sort=False):
        typer.echo(notebook)
        for row in rows.itertuples():
            message = f": {row.message}" if row.status == "not yet" else ""
            title = f"  {row.title}" if row.title else ""
            typer.echo(f"  {row.exercise}{title}: {row.status}{message}")
    solved = (table["status"] == "solved").sum()
    typer.echo(f"{solved} of {len(table)} exercises solved")
    if out is not None:
        with replace_file(out) as temporary:
            table.to_csv(temporary, index=False)
        typer.echo(f"table written as {out}")
    for said in unread:
        typer.echo(f"left out: {said}", err=True)
    if unread:
        raise typer.Exit(1)


@app.command()
def doctor() -> None:
    """Tell what to paste into a bug report: versions, system, device.

    Example: devotools doctor
    """
    from devotools.classification import load_classifier
    from devotools.model import load_model
    from devotools.runtime import report

    for name, value in report().items():
        typer.echo(f"{name:26} {value}")
    working_side = load_model("nuclei").working_side
    typer.echo(f"{'model nuclei':26} loads, working side {working_side} px")
    limit = load_classifier("states").limit
    typer.echo(f"{'classifier states':26} loads, unsure below {limit:.2f}")


def _counted(number: int, one: str, many: str | None = None) -> str:
    """Say how many: "1 picture", "12 pictures"."""
    return f"{number} {one if number == 1 else many or one + 's'}"


@contextmanager
def _progress(total: int, unit: str):
    from tqdm import tqdm

    with tqdm(total=total, unit=unit, file=sys.stderr, leave=False) as bar:
        yield bar


if __name__ == "__main__":
    main()
