"""What one takes away: a zip with labels, overlays, outlines, tables, and the settings."""

from __future__ import annotations

import importlib.metadata
import json
import shlex
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from devotools._files import WriteError
from devotools._validate import InputError
from devotools.exchange import export_rois
from devotools.images import replace_file, write_labels
from devotools.pipeline import (
    Outcome,
    count_states,
    output_names,
    table_rows,
    uncertainty,
    write_overlay,
    write_tables,
)

from .pictures import Picture
from .session import Session, Settings

VERSIONS = ("devotools", "torch", "numpy", "scikit-image")


def export_zip(
    session: Session, path: str | Path, progress: Callable[[int, int], None] | None = None
) -> None:
    """Write all that was found as one ``.zip``, whole or not at all.

    In it are ``labels/<stem>.tif``, ``overlays/<stem>.png``, ``rois/<stem>.zip`` (pictures with
    nuclei), ``nuclei.csv``, ``images.csv`` and ``settings.json``: what ``devotools segment``
    writes, corrected. Pictures that could not be used are rows of ``images.csv`` with the reason.
    """
    with tempfile.TemporaryDirectory(prefix="devotools_") as folder, replace_file(path) as target:
        write_results(session, Path(folder), progress)
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
            for part in sorted(p for p in Path(folder).rglob("*") if p.is_file()):
                file.write(part, part.relative_to(folder).as_posix())


def write_results(
    session: Session, out: Path, progress: Callable[[int, int], None] | None = None
) -> None:
    """The same as files of a folder; ``progress`` is told how many pictures are done, of how many.

    The network runs on pictures that wait for it.
    """
    session.run()
    outcomes: list[Outcome] = []
    without_rois: dict[str, str] = {}
    paths = output_names([Path(picture.name) for picture in session.pictures])
    names = [path.as_posix() for path in paths]
    for number, (picture, name) in enumerate(zip(session.pictures, names, strict=True), start=1):
        outcomes.append(_write_picture(session, picture, out, name, without_rois))
        if progress:
            progress(number, len(names))
    write_tables(out, outcomes, states=session.settings.states)
    settings = settings_of(session) | ({"without_rois": without_rois} if without_rois else {})
    text = json.dumps(settings, indent=1)
    (out / "settings.json").write_text(text + "\n", encoding="utf-8")


def _write_picture(
    session: Session, picture: Picture, out: Path, name: str, without_rois: dict[str, str]
) -> Outcome:
    """Write what one picture gives; why it has no outlines, if so, goes into ``without_rois``."""
    if picture.error:
        return Outcome(picture.name, None, picture.seconds, picture.error)
    try:
        labels, image = session.labels(picture), picture.read()
    except InputError as error:  # too many pieces, or its file has gone
        return Outcome(picture.name, None, picture.seconds, str(error))
    write_labels(out / "labels" / f"{name}.tif", labels)
    overlay = out / "overlays" / f"{name}.png"
    write_overlay(overlay, image, labels, session.states_by_label(picture))
    if labels.any():
        try:
            export_rois(labels, out / "rois" / f"{name}.zip")
        except WriteError:
            raise
        except InputError as error:  # too large, or too many nuclei, for ImageJ
            without_rois[picture.name] = str(error)
    nuclei = session.table(picture)
    return Outcome(
        picture.name,
        len(nuclei),
        picture.seconds,
        rows=table_rows(picture.name, nuclei),
        scale=picture.scale,
        uncertainty=uncertainty(np.load(picture.probability), labels),
        states=count_states(session.states(picture)),
    )


def settings_of(session: Session) -> dict[str, Any]:
    """The settings, the command that repeats them, what was corrected by hand, and versions."""
    settings = session.settings
    model = Path(settings.model)
    values: dict[str, Any] = {"model": model.name if model.suffix else settings.model}
    if settings.nucleus_size is None:
        values["scale"] = "auto"
    else:
        values["nucleus_size"] = settings.nucleus_size
    if settings.states:
        values["classify"] = "states"
    return values | {
        "pixel_size_um": settings.pixel_size_um,
        "threshold": settings.threshold,
        "min_area": settings.min_area,
        "command": command_for(settings),
        "corrected": {p.name: len(p.corrections.done) for p in session.good if p.corrections.done},
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
    }


def command_for(settings: Settings) -> str:
    """The command that gives the same nuclei, before corrections.

    >>> command_for(Settings(nucleus_size=40, threshold=0.6))
    'devotools segment PICTURES --out RESULTS --nucleus-size 40 --threshold 0.6 --rois'
    """
    default = Settings()
    model = Path(settings.model)
    options = {
        "model": model.name if model.suffix else settings.model,
        "nucleus_size": settings.nucleus_size,
        "pixel_size_um": settings.pixel_size_um,
        "threshold": settings.threshold,
        "min_area": settings.min_area,
    }
    words = ["devotools", "segment", "PICTURES", "--out", "RESULTS"]
    for name, value in options.items():
        if value != getattr(default, name):
            option = name.removesuffix("_um").replace("_", "-")
            words += [f"--{option}", value if isinstance(value, str) else format(value, ".12g")]
    words += ["--classify"] if settings.states else []
    return shlex.join([*words, "--rois"])
