"""The files of a folder that are its owner's: no hidden ones, and no results of earlier runs."""

from __future__ import annotations

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
CLUTTER = {"__MACOSX", "Thumbs.db", "desktop.ini"}


def files_below(folder: Path) -> list[Path]:
    """Every file of a folder and its sub-folders, sorted; hidden ones and links to folders not."""
    return sorted(
        path
        for path in folder.rglob("*")
        if not path.is_dir()
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


def holds_results(folder: Path) -> bool:
    """Whether ``devotools segment`` has written into a folder, or the app's zip was unpacked there.

    Both write ``settings.json``; the command ``progress.jsonl`` as well, the app ``images.csv``.
    """
    has = [(folder / name).is_file() for name in ("settings.json", "progress.jsonl", "images.csv")]
    return has[0] and any(has[1:])
