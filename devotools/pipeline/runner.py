"""A folder of micrographs in, numbered nuclei and a table out: what ``devotools segment`` does."""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from devotools._validate import InputError
from devotools.images import (
    IMAGE_SUFFIXES,
    MICROSCOPE_SUFFIXES,
    read_image,
    replace_file,
    write_labels,
)
from devotools.measure import COLUMNS, measure_nuclei
from devotools.model import ResNet18FPN
from devotools.plots import draw_overlay
from devotools.predict import label_nuclei, predict_probability

NUCLEI_COLUMNS = ["image", *COLUMNS]
ODD_NAMES = "backslashreplace"  # a file name that is not UTF-8 must not cost all the tables
RESULTS = ["labels", "overlays", "nuclei.csv", "images.csv"]
IMAGES_COLUMNS = ["image", "status", "nuclei", "seconds", "error"]


@dataclass(frozen=True)
class Job:
    """One picture to do: where it lies, how the tables call it, and what its results are called.

    ``output`` has no suffix, and mirrors the sub-folder the picture was found in.
    """

    path: Path
    image: str
    output: Path


@dataclass(frozen=True)
class Outcome:
    """What became of one picture: a row of ``images.csv``, and its rows of ``nuclei.csv``."""

    image: str
    nuclei: pd.DataFrame | None
    seconds: float
    error: str = ""

    @property
    def row(self) -> list[str]:
        """The picture's line in ``images.csv``."""
        done = self.nuclei is not None
        count = str(len(self.nuclei)) if done else ""
        return [self.image, "ok" if done else "failed", count, f"{self.seconds:.3f}", self.error]


def find_jobs(paths: Sequence[str | Path], out: str | Path) -> list[Job]:
    """List the pictures of files and folders, sub-folders included, sorted by name.

    A folder's files that are no pictures are listed too: they fail with a reason in
    ``images.csv``, so that nothing is passed over in silence. Hidden files, links to folders and
    the results in ``out`` are not looked into. Two pictures of one stem get their suffix into the
    name of their results; two of one relative path, from two folders, are called by their whole
    path in the tables.

    Raises :class:`~devotools._validate.InputError` when there is no picture at all.
    """
    found: list[tuple[Path, str, Path]] = []
    for given in map(Path, paths):
        if given.is_dir():
            found += [
                (p, p.relative_to(given).as_posix(), p.relative_to(given))
                for p in _files_in(given, Path(out))
            ]
        else:
            found.append((given, str(given), Path(given.name)))
    found = list({path.absolute(): item for item in found for path in (item[0],)}.values())
    named = Counter(image for _, image, _ in found)
    found = [(path, i if named[i] == 1 else str(path), name) for path, i, name in found]
    known = IMAGE_SUFFIXES | MICROSCOPE_SUFFIXES
    if not any(path.exists() and path.suffix.lower() in known for path, _, _ in found):
        given = ", ".join(repr(str(path)) for path in paths)
        missing = [str(path) for path in paths if not Path(path).exists()]
        why = f"{missing[0]!r} does not exist" if missing else "there is no image"
        raise InputError(
            f"nothing to segment in {given}: {why}. Expected image files, or folders with files "
            f"ending in {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    outputs = _distinct([relative for _, _, relative in found])
    return [
        Job(path, image, output) for (path, image, _), output in zip(found, outputs, strict=True)
    ]


def _files_in(folder: Path, out: Path) -> list[Path]:
    results = {out.resolve() / name for name in RESULTS}
    here = folder.resolve()
    return sorted(
        path
        for path in folder.rglob("*")
        if not path.is_dir()
        and results.isdisjoint([(at := here / path.relative_to(folder)), *at.parents])
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.name not in ("Thumbs.db", "desktop.ini")
    )


def _distinct(relatives: Sequence[Path]) -> list[Path]:
    """Names without suffix, none twice: ``a.png`` and ``a.jpg`` become ``a_png`` and ``a_jpg``.

    Names are compared without regard to case, as some file systems do.
    """
    stems = Counter(_key(path.with_suffix("")) for path in relatives)
    outputs, taken = [], set()
    for path in relatives:
        name = path.with_suffix("")
        if stems[_key(name)] > 1:
            name = path.with_name(f"{path.stem}_{path.suffix.lstrip('.')}")
        number, candidate = 1, name
        while _key(candidate) in taken:
            number += 1
            candidate = name.with_name(f"{name.name}_{number}")
        taken.add(_key(candidate))
        outputs.append(candidate)
    return outputs


def _key(path: Path) -> str:
    return path.as_posix().casefold()


def prepare_results(out: str | Path) -> None:
    """Begin the tables, so that a folder that cannot be written is known before the work.

    Tables of an earlier run stay as they are until :func:`write_tables` replaces them at the end.
    Raises :class:`~devotools._validate.InputError`, also when ``out`` has a folder ``labels`` or
    ``overlays`` that an earlier run did not write: it may hold labels drawn by hand.
    """
    out = Path(out)
    table = out / "images.csv"
    theirs = [name for name in ("labels", "overlays") if (out / name).exists()]
    if theirs and not table.is_file():
        raise InputError(
            f"{str(out)!r} has {theirs[0]!r} that devotools segment did not write; expected a new "
            "folder or one with earlier results, so that nothing is overwritten. Choose another, "
            f"for example {str(out / 'results')!r}."
        )
    if not table.is_file():
        write_tables(out, [])
        return
    with replace_file(table) as temporary:
        temporary.write_bytes(table.read_bytes())


def segment_jobs(
    model: ResNet18FPN,
    jobs: Sequence[Job],
    out: str | Path,
    *,
    scale: float | str = "auto",
    pixel_size_um: float | None = None,
) -> Iterator[Outcome]:
    """Segment each job and write its results under ``out``; yields the outcomes as they come.

    Written are ``labels/<name>.tif`` and ``overlays/<name>.png``, each whole or not at all. A
    picture that cannot be read is an outcome with its reason; the others go on. A folder that
    cannot be written raises :class:`~devotools._validate.InputError`.
    """
    out = Path(out)
    for job in jobs:
        started = time.perf_counter()
        try:
            image = read_image(job.path)
            labels = label_nuclei(predict_probability(model, image, scale=scale))
        except InputError as error:
            yield Outcome(job.image, None, time.perf_counter() - started, str(error))
            continue
        write_labels(out / "labels" / _with_suffix(job.output, ".tif"), labels)
        with replace_file(out / "overlays" / _with_suffix(job.output, ".png")) as temporary:
            Image.fromarray(draw_overlay(image, labels)).save(temporary, format="PNG")
        nuclei = measure_nuclei(labels, image, pixel_size_um=pixel_size_um)
        nuclei.insert(0, "image", job.image)
        yield Outcome(job.image, nuclei, time.perf_counter() - started)


def _with_suffix(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)  # with_suffix would cut a name like "day.2"


def write_tables(out: str | Path, outcomes: Sequence[Outcome]) -> None:
    """Write ``nuclei.csv`` and ``images.csv``, in the order of the pictures."""
    frames = [outcome.nuclei for outcome in outcomes if outcome.nuclei is not None]
    rows = [frame for frame in frames if len(frame)]
    nuclei = pd.concat(rows) if rows else pd.DataFrame(columns=NUCLEI_COLUMNS)
    with replace_file(Path(out) / "nuclei.csv") as temporary:
        nuclei.to_csv(
            temporary, index=False, float_format="%.6g", lineterminator="\n", errors=ODD_NAMES
        )
    with (
        replace_file(Path(out) / "images.csv") as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors=ODD_NAMES) as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(IMAGES_COLUMNS)
        writer.writerows(outcome.row for outcome in outcomes)
