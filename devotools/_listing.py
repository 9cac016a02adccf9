"""The files of a folder that are its owner's: no hidden ones, and no results of earlier runs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

RESULTS = (
    "labels",
    "overlays",
    "rois",
    "nuclei.csv",
    "nuclei3d.csv",
    "images.csv",
    "report.html",
    "settings.json",
    "progress.jsonl",
)
CLUTTER = {"__MACOSX", "Thumbs.db", "desktop.ini", "Icon\r"}


def files_below(folder: Path) -> list[Path]:
    """Every file of a folder and its sub-folders, sorted; hidden ones and links to folders not.

    A sub-folder that may not be read is listed like a file, so that it is not passed over in
    silence.
    """
    return sorted(
        path
        for path in folder.rglob("*")
        if (not os.path.isdir(path) or not may_be_read(path))
        and not any(
            part.startswith(".") or part in CLUTTER for part in path.relative_to(folder).parts
        )
    )


def own_files(folder: Path, runs: Iterable[Path] = ()) -> list[Path]:
    """The :func:`files_below` a folder without results: those of ``runs``, and of any run in it.

    Of a folder with results only what :data:`RESULTS` names is left out: pictures may lie beside.
    """
    here, files = folder.resolve(), files_below(folder)
    places = {path: here / path.relative_to(folder) for path in files}
    below = filter(holds_results, {place.parent for place in places.values()})
    results = {run.resolve() / name for run in (*runs, *below) for name in RESULTS}
    return [path for path in files if results.isdisjoint([places[path], *places[path].parents])]


def may_be_read(path: Path) -> bool:
    """Whether this user may read a file, or list a folder and open what is in it."""
    return os.access(path, os.R_OK | (os.X_OK if os.path.isdir(path) else 0))


def holds_results(folder: Path) -> bool:
    """Whether ``devotools segment`` has written into a folder, or the app's zip was unpacked there.

    Both write ``settings.json``; the command ``progress.jsonl`` as well, the app ``images.csv``.
    """
    has = [(folder / name).is_file() for name in ("settings.json", "progress.jsonl", "images.csv")]
    return has[0] and any(has[1:])
