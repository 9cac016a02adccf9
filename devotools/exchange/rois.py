"""ImageJ's outlines (.roi, and RoiSet.zip of the ROI Manager), read and painted as labels.

Source: the header that ``ij.io.RoiDecoder`` of ImageJ describes; numbers are big-endian, x is the
column and y the row, and coordinates name the corners of pixels, whose centres lie at a half.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devotools._validate import InputError
from devotools.exchange.archives import is_zip, readable, safe_name

POLYGON, RECTANGLE, OVAL, FREEHAND, TRACED = 0, 1, 2, 7, 8
NO_AREA = {3: "straight line", 4: "freehand line", 5: "polyline", 9: "angle", 10: "point"}
TEXT, IMAGE = 1, 4  # subtypes of the rectangle that are notes, not outlines
SPLINE = 1  # an option: only the nodes of a curve are stored
SUB_PIXEL = 128  # an option: coordinates follow a second time, as floats
HEADER = 64
MAX_ROIS = 20_000
MAX_ROI_BYTES = 8 * 2**20
MAX_SET_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Roi:
    """One outline: ``corners`` (N, 2) float64 of row and column, or an oval's two corners.

    ``position`` is the section of a stack on which it lies, from 1; 0 stands for all of them.
    """

    name: str
    corners: np.ndarray
    oval: bool = False
    position: int = 0


def read_rois(path: str | Path) -> list[Roi]:
    """Read the outlines of a ``.roi`` file, or of a RoiSet ``.zip``, in the file's order.

    Polygons, freehand and traced outlines (ellipses and rotated rectangles with them), rectangles
    and ovals are read. Raises :class:`~devotools._validate.InputError` for lines and points, which
    have no area, for composite selections (Fiji's More > Split parts them), for splines and round
    corners, for outlines on more than one section of a stack, and for damaged files.
    Source: ``ij.io.RoiDecoder``.
    """
    path = Path(path)
    rois = _read_set(path)
    if len({roi.position for roi in rois if roi.position}) > 1:
        raise _fault(path.name, "holds outlines of several sections of a stack", "those of one")
    return rois


def read_stack_rois(path: str | Path, sections: int) -> dict[int, list[Roi]]:
    """Read the outlines of a stack of so many sections: by section, from 0, those that have any.

    Raises as :func:`read_rois`, but for outlines on several sections; and for outlines that lie on
    all sections, or on one that the stack has not.
    """
    path = Path(path)
    found: dict[int, list[Roi]] = {}
    for roi in _read_set(path):
        if roi.position == 0 and sections > 1:
            raise _fault(
                path.name,
                f"holds the outline {roi.name[:80]!r}, which lies on no one section of the stack",
                "one with a position (ImageJ: ROI Manager > Properties)",
            )
        if roi.position > sections:
            raise InputError(
                f"{path.name[:120]!r} holds the outline {roi.name[:80]!r} on section "
                f"{roi.position} (ImageJ counts from 1); expected 1 to {sections}. Check that "
                "picture and outlines belong together."
            )
        found.setdefault(max(roi.position - 1, 0), []).append(roi)
    return dict(sorted(found.items()))


def _read_set(path: Path) -> list[Roi]:
    with readable(path):
        if not is_zip(path):
            if path.stat().st_size > MAX_ROI_BYTES:
                raise _fault(path.name, f"is larger than {MAX_ROI_BYTES:,} bytes", "an outline")
            return [read_roi(path.read_bytes(), path.name)]
        rois = [read_roi(content, name) for name, content in _members(path)]
    if not rois:
        raise _fault(path.name, "holds no .roi file", "a RoiSet.zip of ImageJ's ROI Manager")
    return rois


def read_roi(content: bytes, name: str) -> Roi:
    """Read one outline from the bytes of a ``.roi`` file. Raises as :func:`read_rois`."""
    if content[:4] != b"Iout":
        raise _fault(name, "is no ImageJ ROI (it does not begin with Iout)", "a .roi file")
    if len(content) < HEADER:
        what = f"ends after {len(content)} bytes (copied in part, it seems)"
        raise _fault(name, what, f"a .roi file of {HEADER} or more")
    kind, top, left, bottom, right, count = struct.unpack_from(">Bx4hH", content, 6)
    size, shape_size, subtype, options = struct.unpack_from(">i14xi8xHH", content, 18)
    position = _position(content)
    (version,) = struct.unpack_from(">H", content, 4)
    sub_pixel = bool(options & SUB_PIXEL) and version >= (223 if kind in (RECTANGLE, OVAL) else 222)
    if shape_size > 0:
        raise _fault(name, "is a composite selection", "single outlines (Fiji: More > Split)")
    if kind in NO_AREA or (kind == RECTANGLE and subtype in (TEXT, IMAGE)):
        what = NO_AREA.get(kind, "text or picture")
        raise _fault(name, f"is a {what}, which has no area", "an outline around a nucleus")
    if kind in (POLYGON, FREEHAND, TRACED) and options & SPLINE:
        raise _fault(
            name,
            "is a spline of which the file has only the nodes",
            "its outline (Fiji: Edit > Selection > Interpolate)",
        )
    if kind == RECTANGLE and struct.unpack_from(">H", content, 54)[0]:
        raise _fault(name, "is a rectangle with round corners", "an oval, or a polygon")
    if kind in (RECTANGLE, OVAL):
        box = _box(content, (top, left, bottom, right), sub_pixel)
        corners = _checked(np.array(box, float).reshape(2, 2), name)
        if kind == OVAL:
            return Roi(name, corners, True, position)
        (top, left), (bottom, right) = corners
        corners = np.array([[top, left], [top, right], [bottom, right], [bottom, left]])
        return Roi(name, corners, position=position)
    if kind not in (POLYGON, FREEHAND, TRACED):
        raise _fault(name, f"is of the unknown type {kind}", "polygon, oval or rectangle")
    corners = _coordinates(content, count or size, (top, left), sub_pixel, name)
    return Roi(name, _checked(corners, name), position=position)


def rois_to_labels(rois: Sequence[Roi], shape: tuple[int, int]) -> np.ndarray:
    """Paint outlines as an (H, W) int32 label image, numbered from 1 in their order.

    A pixel belongs to an outline when its centre lies inside; where two overlap, the later one is
    on top, as in ImageJ. Raises :class:`~devotools._validate.InputError` for an outline that covers
    no pixel of the picture, or that others cover whole: the picture may be another one.

    >>> square = Roi("a", np.array([[1, 1], [1, 3], [3, 3], [3, 1]], float))
    >>> rois_to_labels([square], (4, 4)).tolist()
    [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    labels = np.zeros(shape, np.int32)
    for number, roi in enumerate(rois, start=1):
        _paint(labels, roi, number)
    there = np.bincount(labels.ravel(), minlength=len(rois) + 1)
    lost = [roi.name for number, roi in enumerate(rois, start=1) if not there[number]]
    if lost:
        raise InputError(
            f"{len(lost)} of {len(rois)} outlines ({', '.join(lost[:5])}) cover no pixel of a "
            f"picture of shape {tuple(shape)}, or lie wholly under another one; expected outlines "
            "inside it. Check that they belong to this picture, at this size, and none is double."
        )
    return labels


def _members(path: Path):
    """The ``.roi`` files of a zip: name and content, none larger than an outline can be."""
    with zipfile.ZipFile(path) as file:
        infos = [i for i in file.infolist() if i.filename.lower().endswith(".roi")]
        infos = [i for i in infos if not i.filename.startswith("__MACOSX")]
        large = [i.filename for i in infos if i.file_size > MAX_ROI_BYTES]
        if large or len(infos) > MAX_ROIS or sum(i.file_size for i in infos) > MAX_SET_BYTES:
            what = f"holds more than {MAX_ROIS} outlines, or {MAX_SET_BYTES:,} bytes of them"
            raise _fault(path.name, what, "the nuclei of one picture")
        for info in infos:
            with file.open(info) as member:
                yield safe_name(info.filename, path).name, member.read(info.file_size)


def _position(content: bytes) -> int:
    """The slice, from 1, or 0; a hyperstack's stands in a second header as depth, or as time."""
    position, second = struct.unpack_from(">2i", content, 56)
    if position > 0 or not HEADER <= second <= len(content) - 16:
        return max(position, 0)
    return max(0, *struct.unpack_from(">2i", content, second + 8))


def _box(content: bytes, box: tuple[int, ...], sub_pixel: bool) -> tuple[float, ...]:
    if not sub_pixel:
        return box
    left, top, width, height = struct.unpack_from(">4f", content, 18)
    return (top, left, top + height, left + width)


def _coordinates(
    content: bytes, count: int, corner: tuple[int, int], sub_pixel: bool, name: str
) -> np.ndarray:
    """Corners (N, 2): shorts from the box's corner on, or after them floats from the origin on."""
    start = HEADER + 4 * count if sub_pixel else HEADER
    needed = start + (8 if sub_pixel else 4) * count
    if count < 3 or needed > len(content):
        what = f"says that it has {count} corners and {len(content)} bytes"
        raise _fault(name, what, "three corners at least, all of them in the file")
    kind = ">f4" if sub_pixel else ">i2"
    columns, rows = np.frombuffer(content, kind, 2 * count, start).reshape(2, count)
    with np.errstate(invalid="ignore"):  # a signalling NaN; _checked refuses it
        corners = np.stack([rows, columns], axis=1).astype(np.float64)
    return corners if sub_pixel else np.maximum(corners, 0) + corner


def _checked(corners: np.ndarray, name: str) -> np.ndarray:
    if not np.isfinite(corners).all() or np.abs(corners).max() > 2**24:
        raise _fault(name, "has corners that are no pixels", "rows and columns of a picture")
    return corners


def _paint(labels: np.ndarray, roi: Roi, number: int) -> None:
    height, width = labels.shape
    low, high = roi.corners.min(axis=0), roi.corners.max(axis=0)
    first, left = (max(0, int(value)) for value in low)
    columns = np.arange(left, min(width, int(high[1]) + 1)) + 0.5  # the centres of pixels
    inside: Callable[[float], np.ndarray]
    inside = _oval_row(low, high, columns) if roi.oval else _polygon_row(roi.corners, columns)
    for row in range(first, min(height, int(high[0]) + 1)):
        labels[row, left : left + len(columns)][inside(row + 0.5)] = number


def _oval_row(low: np.ndarray, high: np.ndarray, columns: np.ndarray):
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 1e-9)
    across = ((columns - middle[1]) / half[1]) ** 2
    return lambda row: across + ((row - middle[0]) / half[0]) ** 2 <= 1


def _polygon_row(corners: np.ndarray, columns: np.ndarray):
    """A pixel is inside when an odd number of edges lies to its left (even-odd rule)."""
    y, x = corners.T
    to_y, to_x = np.roll(y, -1), np.roll(x, -1)

    def inside(row: float) -> np.ndarray:
        crossing = (y <= row) != (to_y <= row)
        slope = (to_x - x)[crossing] / (to_y - y)[crossing]
        edges = np.sort(x[crossing] + (row - y[crossing]) * slope)
        return np.searchsorted(edges, columns, side="right") % 2 == 1

    return inside


def _fault(name: str, what: str, expected: str) -> InputError:
    return InputError(
        f"{name[:120]!r} {what}; expected {expected}. Mend it in ImageJ's ROI Manager, or save a "
        "label image from there instead."
    )
