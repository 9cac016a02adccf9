"""Label images as ImageJ's outlines: a RoiSet.zip for the ROI Manager of Fiji."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from skimage.measure import regionprops

from devotools._validate import InputError, check_labels, check_path
from devotools.exchange.rois import HEADER, MAX_ROIS, TRACED
from devotools.images import replace_file

VERSION = 228  # of the .roi format: that of ImageJ 1.53
MAX_SIDE = 2**15 - 1  # a .roi file holds its box in signed 16-bit numbers
MAX_CORNERS = 2**16 - 1


def export_rois(labels: np.ndarray, path: str | Path) -> list[str]:
    """Write the nuclei of an (H, W) label image as a RoiSet ``.zip``; return the outlines' names.

    Each nucleus becomes one outline of type *traced*, along the edges of its pixels, as ImageJ's
    wand draws it, so ``rois_to_labels(read_rois(path), labels.shape)`` gives the very same pixels;
    the ids are then numbered from 1 in their order, and the names (``0007.roi``) keep the old
    ones. A nucleus of several pieces, or with a hole, stays one outline: its parts are joined by a
    path that is walked there and back and encloses nothing.

    Raises :class:`~devotools._validate.InputError` for no nucleus, more than 20,000, a picture
    larger than 32,767 pixels along a side, and where the file cannot be written; then nothing is.
    Source: ``ij.io.RoiEncoder`` of ImageJ.

    >>> import tempfile
    >>> from devotools.exchange import read_rois, rois_to_labels
    >>> path = Path(tempfile.mkdtemp()) / "RoiSet.zip"
    >>> export_rois(np.array([[0, 1, 1], [2, 2, 0]]), path)
    ['0001.roi', '0002.roi']
    >>> rois_to_labels(read_rois(path), (2, 3)).tolist()
    [[0, 1, 1], [2, 2, 0]]
    """
    labels = check_labels(labels)
    ids = np.unique(labels[labels > 0])
    _check(path, len(ids))
    with open_rois(path, labels.shape) as file:
        return add_rois(file, labels, digits=max(4, len(str(ids.max(initial=0)))))


@contextmanager
def open_rois(path: str | Path, shape: tuple[int, int]) -> Iterator[zipfile.ZipFile]:
    """Open a ``RoiSet.zip`` for :func:`add_rois`; it appears whole when the block ends.

    Where no outline was added there is no file then, nor an older one of that name: the ROI
    Manager opens no empty set. ``shape`` is the picture's (H, W). Raises
    :class:`~devotools._validate.InputError` where a side is longer than 32,767 pixels, and where
    the file cannot be written.
    """
    if max(shape) > MAX_SIDE:
        raise InputError(
            f"labels have shape {tuple(shape)}; expected {MAX_SIDE:,} pixels along a side at most, "
            "which is all that ImageJ's outlines can hold. Cut them into pieces, or leave out the "
            "ROIs."
        )
    with (
        replace_file(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file,
    ):
        yield file
    if not file.namelist():
        Path(path).unlink()


def add_rois(
    file: zipfile.ZipFile,
    labels: np.ndarray,
    *,
    corner: tuple[int, int] = (0, 0),
    digits: int = 4,
    section: int | None = None,
) -> list[str]:
    """Add the nuclei of one window of a picture to an open ``RoiSet.zip``; return their names.

    ``labels`` (h, w) is the window, ``corner`` its first row and column in the picture. For one
    section of a stack, ``section`` is its number, from 0; it stands in the names behind the id
    (``0007-0012.roi``), and ImageJ shows the outlines on that section only.
    """
    names = []
    behind, position = ("", 0) if section is None else (f"-{section:04d}", section + 1)
    for number, region in zip(*_regions(labels), strict=True):
        names.append(f"{number:0{digits}d}{behind}.roi")
        corners = outline(region.image) + region.bbox[:2] + np.array(corner)
        entry = zipfile.ZipInfo(names[-1])  # without the time of day: the same file each time
        content = roi_bytes(corners, names[-1], position)
        file.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return names


def _regions(labels: np.ndarray) -> tuple[np.ndarray, list]:
    """The ids, and a region for each; ids may be as large as they like."""
    ids = np.unique(labels[labels > 0])
    order = np.where(labels > 0, np.searchsorted(ids, labels) + 1, 0)
    return ids, regionprops(order)


def _check(path: str | Path, count: int) -> None:
    if check_path(path).suffix.lower() != ".zip":
        raise InputError(f"{str(path)!r} does not end in .zip; expected for example RoiSet.zip.")
    if not 1 <= count <= MAX_ROIS:
        raise InputError(
            f"labels hold {count} nuclei; expected 1 to {MAX_ROIS:,} of them for ImageJ's ROI "
            "Manager. Write the label image itself with write_labels, or one picture at a time."
        )


def outline(mask: np.ndarray) -> np.ndarray:
    """One closed walk (N, 2) along the pixel edges of an (H, W) mask, as rows and columns.

    By the even-odd rule it encloses the pixels of the mask and no others.

    >>> outline(np.array([[True, True]])).tolist()
    [[0, 0], [0, 2], [1, 2], [1, 0]]
    """
    rings = _rings(mask)
    walk = list(rings[0])
    for ring in rings[1:]:
        start, goal = walk[0], ring[0]
        bend = (start[0], goal[1])  # along rows and columns only, so it crosses no pixel's centre
        walk += [start, bend, *ring, goal, bend]
    corners = np.array(walk)
    return corners[_turns(corners)]


def _rings(mask: np.ndarray) -> list[list[tuple[int, int]]]:
    """The closed borders of a mask, each as its corners, the mask on the right of the walk."""
    ways = _edges(mask)
    rings = []
    while ways:
        at = start = next(iter(ways))
        heading, ring = (0, 0), []
        while True:
            ring.append(at)
            choices = ways[at]
            right = (heading[1], -heading[0])  # where four borders meet, stay on this piece
            heading = right if right in choices else choices[0]
            choices.remove(heading)
            if not choices:
                del ways[at]
            at = (at[0] + heading[0], at[1] + heading[1])
            if at == start:
                break
        rings.append(ring)
    return rings


def _edges(mask: np.ndarray) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """From each corner of the border, the ways that lead on: (rows, columns) of one pixel."""
    inside = np.pad(np.asarray(mask, bool), 1)
    here = inside[1:-1, 1:-1]
    sides = (  # the neighbour outside, the corner that an edge starts from, and its way
        (inside[:-2, 1:-1], (0, 0), (0, 1)),
        (inside[1:-1, 2:], (0, 1), (1, 0)),
        (inside[2:, 1:-1], (1, 1), (0, -1)),
        (inside[1:-1, :-2], (1, 0), (-1, 0)),
    )
    ways: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for neighbour, corner, way in sides:
        for row, column in np.argwhere(here & ~neighbour) + corner:
            ways.setdefault((int(row), int(column)), []).append(way)
    return dict(sorted(ways.items()))


def _turns(corners: np.ndarray) -> np.ndarray:
    """Which corners are needed: not those that lie on the straight way between their neighbours."""
    before = np.sign(corners - np.roll(corners, 1, axis=0))
    after = np.sign(np.roll(corners, -1, axis=0) - corners)
    return (before != after).any(axis=1)


def roi_bytes(corners: np.ndarray, name: str, position: int = 0) -> bytes:
    """A ``.roi`` file of a traced outline with whole-numbered corners (N, 2).

    ``position`` is ImageJ's slice, from 1; 0 is all of them.
    """
    if len(corners) > MAX_CORNERS:
        raise InputError(
            f"nucleus {name!r} has an outline of {len(corners):,} corners; expected "
            f"{MAX_CORNERS:,} at most. It may be no nucleus: look at the label image."
        )
    top, left = corners.min(axis=0)
    bottom, right = corners.max(axis=0)
    content = bytearray(HEADER)
    content[:4] = b"Iout"
    struct.pack_into(">hBx", content, 4, VERSION, TRACED)
    struct.pack_into(">4hH", content, 8, top, left, bottom, right, len(corners))
    struct.pack_into(">i", content, 56, position)
    relative = (corners - (top, left)).astype(">i2")
    return bytes(content) + relative[:, 1].tobytes() + relative[:, 0].tobytes()
