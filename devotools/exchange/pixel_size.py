"""How large a pixel is: read from OME, from ImageJ or from the resolution tags of a TIFF."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, sqrt
from pathlib import Path
from xml.etree import ElementTree

import tifffile

from devotools._validate import PIXEL_SIZES_UM
from devotools.images import check_readable, is_tiff, one_sentence

UNITS_UM = {"pm": 1e-6, "Å": 1e-4, "nm": 1e-3, "µm": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}
UNITS_UM |= {"inch": 25_400.0, "in": 25_400.0}
UNITS_UM |= dict.fromkeys(["μm", "um", "micron", "micrometer", "micrometre"], 1.0)
# ImageJ lets people write the unit, so there case and plural do not count.
WRITTEN_UM = {name.casefold(): size for name, size in UNITS_UM.items()}
WRITTEN_UM |= {"nanometer": 1e-3, "nanometre": 1e-3, "angstrom": 1e-4, "ångström": 1e-4}
WRITTEN_UM |= {"millimeter": 1e3, "millimetre": 1e3, "inches": 25_400.0}
WRITTEN_UM |= {f"{name}s": size for name, size in WRITTEN_UM.items() if len(name) > 2}
NO_UNITS = {"", "pixel", "pixels", "px"}
TAGS = "resolution tags"
TAG_UNITS = {2: "inch", 3: "cm"}  # the TIFF tag ResolutionUnit; 1 means that there is no unit
# Larger pixels than this hold a whole nucleus. Such a number is the 72 or 96 dots per inch of a
# screen, or the 300 of a printer (353, 265 and 85 µm), that some program wrote as a matter of form.
MAX_PIXEL_UM = 10.0
# Plain tags also tell at how many dots per inch a film or a print was scanned: up to 12,800, 2 µm.
MAX_TAGGED_UM = 1.0
SCANNED = {"inch", "inches", "in", "cm"}  # units of such tags, as ImageJ writes them on
SQUARE = 0.01  # sides that differ by less are one length that was rounded


@dataclass(frozen=True)
class PixelSize:
    """What a file says of its size: micrometres, or None, and a sentence that says whence."""

    pixel_um: float | None
    thickness_um: float | None
    source: str


def read_pixel_size(path: str | Path) -> tuple[float | None, str]:
    """Read the micrometres along one side of a pixel, or None, and where the number comes from.

    OME metadata count first, then ImageJ's unit, then resolution tags in inches or centimetres.
    A number above 10 µm is a setting for screens or printers and is not believed, nor one above
    1 µm in plain resolution tags, where scanners write theirs, or in inches or centimetres in
    ImageJ's metadata, which keep such tags. Where pixels are not square there
    is no one size: None, and the source says so; resample the picture, or measure in pixels. PNG
    and JPEG know dots per inch only: None.

    Raises :class:`~devotools._validate.InputError` when the file cannot be read.

    >>> import tempfile, numpy as np
    >>> path = Path(tempfile.mkdtemp()) / "a.tif"
    >>> inches = {"resolution": (254_000, 254_000), "resolutionunit": "inch"}
    >>> tifffile.imwrite(path, np.zeros((4, 4), np.uint8), **inches)
    >>> read_pixel_size(path)
    (0.1, 'resolution tags: 0.1 µm a pixel')
    """
    path = Path(path)
    with one_sentence(f"{str(path)!r}"):
        check_readable(path)
        if not is_tiff(path):
            return None, "no pixel size: only TIFF files hold one that can be trusted"
        with tifffile.TiffFile(path) as tiff:
            size = size_of(tiff)
    return size.pixel_um, size.source


def size_of(tiff: tifffile.TiffFile) -> PixelSize:
    """What an open TIFF says of its pixels and of the distance between its sections."""
    for name, reader in (
        ("OME metadata", _from_ome),
        ("ImageJ metadata", _from_imagej),
        (TAGS, _from_tags),
    ):
        sides = reader(tiff)
        if sides is not None:
            scanned = name == TAGS or (name != "OME metadata" and _written_unit(tiff) in SCANNED)
            return _believed(name, *sides, MAX_TAGGED_UM if scanned else MAX_PIXEL_UM)
    unknown = _written_unit(tiff)
    if unknown not in NO_UNITS | WRITTEN_UM.keys():
        why = f"ImageJ metadata: the unit {unknown[:40]!r} is not known, so the size is ignored"
        return PixelSize(None, None, why)
    return PixelSize(None, _ome_depth(tiff), "no pixel size in the file")


Sides = tuple[float, float, float | None]  # µm along column, row and depth


def _from_ome(tiff: tifffile.TiffFile) -> Sides | None:
    x, y, z = _ome_sides(tiff)
    return None if x is None or y is None else (x, y, z)


def _ome_depth(tiff: tifffile.TiffFile) -> float | None:
    """The distance between sections of a file that tells it and no size of a pixel."""
    z = _ome_sides(tiff)[2]
    return z if z is not None and isfinite(z) and z > 0 else None


def _ome_sides(tiff: tifffile.TiffFile) -> tuple[float | None, float | None, float | None]:
    """What OME metadata tell along column, row and depth, µm."""
    if not tiff.is_ome:
        return None, None, None
    try:
        pixels = ElementTree.fromstring(tiff.ome_metadata or "").find(".//{*}Pixels")
    except ElementTree.ParseError:
        pixels = None
    if pixels is None:
        return None, None, None
    x, y, z = (_ome_side(pixels, axis) for axis in "XYZ")
    return x, y, z


def _ome_side(pixels: ElementTree.Element, axis: str) -> float | None:
    unit = UNITS_UM.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
    value = _number(pixels.get(f"PhysicalSize{axis}"))
    return None if unit is None or value is None else value * unit


def _from_imagej(tiff: tifffile.TiffFile) -> Sides | None:
    metadata = tiff.imagej_metadata or {}
    unit = WRITTEN_UM.get(_written_unit(tiff))
    high = WRITTEN_UM.get(_written_unit(tiff, "yunit"))
    deep = WRITTEN_UM.get(_written_unit(tiff, "zunit"))
    per_unit = _resolution(tiff)
    if unit is None or high is None or per_unit is None:
        return None
    spacing = _number(metadata.get("spacing"))
    depth = None if spacing is None or deep is None else spacing * deep
    return unit / per_unit[0], high / per_unit[1], depth


def _written_unit(tiff: tifffile.TiffFile, name: str = "unit") -> str:
    """A unit that ImageJ wrote, lower case, with the letters it writes as codes.

    That of rows (``yunit``) and of depth (``zunit``) are written where they differ from ``unit``.
    """
    metadata = tiff.imagej_metadata or {}
    written = str(metadata.get(name, metadata.get("unit", ""))).strip()
    for code, letter in (("00b5", "µ"), ("00B5", "µ"), ("00c5", "Å"), ("00C5", "Å")):
        written = written.replace(f"\\u{code}", letter)
    return written.casefold()


def _from_tags(tiff: tifffile.TiffFile) -> Sides | None:
    tag = tiff.pages.first.tags.get("ResolutionUnit")
    unit = UNITS_UM.get(TAG_UNITS.get(2 if tag is None else int(tag.value), ""))
    per_unit = _resolution(tiff)
    if unit is None or per_unit is None:
        return None
    return unit / per_unit[0], unit / per_unit[1], None


def _resolution(tiff: tifffile.TiffFile) -> tuple[float, float] | None:
    """Pixels in one unit, along columns and rows."""
    tags = tiff.pages.first.tags
    found = []
    for name in ("XResolution", "YResolution"):
        top, bottom = tags[name].value if name in tags else (0, 1)
        if top <= 0 or bottom <= 0:
            return None
        found.append(top / bottom)
    return found[0], found[1]


def _number(text: object) -> float | None:
    try:
        return float(str(text))
    except ValueError:
        return None


def _believed(name: str, x: float, y: float, z: float | None, most: float) -> PixelSize:
    """The sizes, where they can be those of a microscope."""
    deep = z if z is not None and isfinite(z) and z > 0 else None
    if not (isfinite(x) and isfinite(y) and min(x, y) >= PIXEL_SIZES_UM[0]):
        return PixelSize(None, None, f"{name}: {x:g} x {y:g} µm is no size of a pixel, ignored")
    if max(x, y) > most:
        why = "a setting for screens, printers or scanners, or no microscope's; ignored"
        return PixelSize(None, None, f"{name}: {max(x, y):.4g} µm a pixel is {why}")
    if abs(x - y) > SQUARE * max(x, y):
        why = "the pixels are not square; resample the picture, or measure in pixels"
        return PixelSize(None, deep, f"{name}: {x:.4g} µm wide, {y:.4g} µm high: {why}")
    side = x if x == y else sqrt(x * y)
    if deep is None:
        return PixelSize(side, None, f"{name}: {side:.4g} µm a pixel")
    source = f"{name}: {side:.4g} µm a pixel, {deep:.4g} µm from section to section"
    return PixelSize(side, deep, source)
