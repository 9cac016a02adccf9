"""Which pictures there are to do, how the tables call them, and what their results are called."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devotools._listing import files_below, holds_results, may_be_read, own_files
from devotools._validate import InputError, as_paths
from devotools.images import (
    IMAGE_SUFFIXES,
    MICROSCOPE_SUFFIXES,
    TIFF_SUFFIXES,
    composed,
    is_image,
)


@dataclass(frozen=True)
class Job:
    """One picture to do: where it lies, how the tables call it, and what its results are called.

    ``output`` has no suffix, and mirrors the sub-folder the picture was found in.
    """

    path: Path
    image: str
    output: Path

    def result(self, folder: str, suffix: str) -> str:
        """The name of one of its results: ``labels/sub/a.tif``, relative to the results' folder."""
        # with_suffix would cut a name like "day.2"
        return f"{folder}/{self.output.as_posix()}{suffix}"


def find_jobs(paths: str | Path | Sequence[str | Path], out: str | Path) -> list[Job]:
    """List the pictures of files and folders, sub-folders included, sorted by name.

    A folder's files that are no pictures are listed too: they fail with a reason in
    ``images.csv``, so that nothing is passed over in silence. Hidden files, links to folders and
    results, those in ``out`` and of any other run, are not looked into. Two pictures of one stem
    get their suffix into the name of their results; two of one relative path, from two folders, are
    called by their whole path in the tables.

    Raises :class:`~devotools._validate.InputError` when there is no picture at all, and for a
    folder of labelled pictures: its masks are no micrographs.
    """
    paths = as_paths(paths)
    found: list[tuple[Path, str, Path]] = []
    for given in paths:
        if os.path.isdir(given) and may_be_read(given):
            _check_unlabelled(given)
            found += [
                (p, p.relative_to(given).as_posix(), p.relative_to(given))
                for p in _files_in(given, Path(out))
            ]
        else:
            found.append((given, str(given), Path(given.name)))
    found = list({os.path.abspath(item[0]): item for item in found}.values())  # without a/../
    named = Counter(image for _, image, _ in found)
    found = [(path, i if named[i] == 1 else str(path), name) for path, i, name in found]
    known = IMAGE_SUFFIXES | MICROSCOPE_SUFFIXES
    if not any(os.path.exists(path) and path.suffix.lower() in known for path, _, _ in found):
        given = ", ".join(repr(str(path)) for path in paths)
        raise InputError(
            f"nothing to segment in {given}: {_why_none(paths)}; expected image files, or "
            f"folders with files ending in {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    outputs = output_names([relative for _, _, relative in found])
    return [
        Job(path, image, output) for (path, image, _), output in zip(found, outputs, strict=True)
    ]


def _check_unlabelled(folder: Path) -> None:
    if os.path.isdir(folder / "images") and os.path.isdir(folder / "masks"):
        raise InputError(
            f"{str(folder)!r} is a folder of labelled pictures (images/, masks/); expected "
            f"pictures only. Give {str(folder / 'images')!r}."
        )


def _files_in(folder: Path, out: Path) -> list[Path]:
    """The folder may itself lie in results: ``results/labels``."""
    return own_files(folder, [out, *filter(holds_results, folder.resolve().parents)])


def _why_none(paths: Sequence[str | Path]) -> str:
    closed = [str(path) for path in paths if os.path.exists(path) and not may_be_read(Path(path))]
    if closed:
        return f"{closed[0]!r} may not be read (permission denied)"
    missing = [str(path) for path in paths if not os.path.exists(path)]
    if missing:
        return f"{missing[0]!r} does not exist, or lies in a folder that may not be read"
    if any(is_image(file) for path in paths for file in files_below(Path(path))):
        return "the pictures there are results of devotools"
    return "there is no image"


def output_names(relatives: Sequence[Path]) -> list[Path]:
    """Names without suffix, none twice, as results are called.

    Names are compared without regard to case, as some file systems do. A TIFF may be a stack, whose
    overlays get a folder of its name: where a folder of pictures has that name, it gets another.

    >>> [str(name) for name in output_names([Path("a.png"), Path("a.jpg"), Path("b.png")])]
    ['a_png', 'a_jpg', 'b']
    >>> [str(name) for name in output_names([Path("a.tif"), Path("a/0000.png")])]
    ['a_tif', 'a/0000']
    """
    stems = Counter(_key(path.with_suffix("")) for path in relatives)
    folders = {_key(parent) for path in relatives for parent in path.parents}
    outputs, taken = [], set()
    for path in relatives:
        name = path.with_suffix("")
        claimed = folders if path.suffix.lower() in TIFF_SUFFIXES else set()
        if stems[_key(name)] > 1 or _key(name) in claimed:
            name = path.with_name(f"{path.stem}_{path.suffix.lstrip('.')}")
        number, candidate = 1, name
        while _key(candidate) in taken | claimed:
            number += 1
            candidate = name.with_name(f"{name.name}_{number}")
        taken.add(_key(candidate))
        outputs.append(candidate)
    return outputs


def _key(path: Path) -> str:
    return composed(path.as_posix()).casefold()
