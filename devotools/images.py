"""Micrographs, masks and label images: read from files, written to files, paired by name.

An *image* is (H, W) float32 in [0, 1]; a *mask* is (H, W) bool; *labels* are (H, W) integers,
0 for background and one id for each nucleus. Order is always row, then column.
"""

from __future__ import annotations

import logging
import os
import unicodedata
import uuid
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError

from devotools._files import WriteError, cannot_write
from devotools._listing import may_be_read
from devotools._validate import (
    InputError,
    as_array,
    check_folder,
    check_image,
    check_labels,
    check_mask,
)

TIFF_SUFFIXES = {".tif", ".tiff"}
IMAGE_SUFFIXES = TIFF_SUFFIXES | {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"}
MICROSCOPE_SUFFIXES = {".czi", ".nd2", ".lif", ".oib", ".oif", ".dm3", ".dm4", ".mrc", ".vsi"}
CONVERT = (
    "a microscope maker's format; expected PNG, JPEG or TIFF. Open it in Fiji (Bio-Formats) and "
    "save it as TIFF, or convert it with the Python packages czifile, nd2 or bioio."
)
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
OTHER_STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF")  # misnamed, and readable
# By content, whatever the name says. Pillow knows more formats, and for some it runs programs.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
MAX_PIXELS = 2**30  # a damaged TIFF may claim any size, and fill the memory before it fails
MAX_PAGES = 1000  # more are a stack, which is refused without counting them all
MAX_RATIO = 2000  # zlib packs emptiness a thousand times; a file that claims more lies
FREE_BYTES = 2**27  # what a small file may claim, whatever its ratio
COLOURED = {"P", "PA", "CMYK", "YCbCr", "LAB", "HSV"}  # Pillow's modes that are no grey and no RGB
OUTLIER = 1e-3  # percentiles that span less of the range tell that some values lie far off
FEW, FEW_SHARE = 4, 1e-4  # so many of these, or such a share of all, are defects, not objects
LEAST_SPAN = 1e-6  # of the largest value: less is rounding, not contrast
LUMINANCE = np.array([0.2125, 0.7154, 0.0721], dtype=np.float32)  # ITU-R BT.709


@dataclass(frozen=True)
class ImageMaskPair:
    """The files of one section, and where it comes from.

    ``labels`` is None where only a mask exists; ``embryo`` and ``section`` are None where no
    manifest names them.
    """

    image: Path
    mask: Path
    labels: Path | None = None
    embryo: str | None = None
    section: int | None = None

    @property
    def name(self) -> str:
        """The name that the files of this section share."""
        return composed(self.image.stem)


# --- reading ---------------------------------------------------------------------------------


def read_image(path: str | Path) -> np.ndarray:
    """Read a micrograph as (H, W) float32 in [0, 1].

    Whole numbers are divided by the maximum of their dtype, so an 8-bit and a 16-bit copy of a
    picture agree. Floats inside [0, 1] stay as they are; others, and whole numbers below zero,
    are stretched from their minimum to their maximum, but for single values a thousand times
    farther off than all the rest, such as a detector's code for *no value*. Colour becomes
    luminance (ITU-R BT.709); transparency is ignored. Reads PNG, JPEG, TIFF, BMP, GIF and WebP.

    Raises :class:`InputError` when the file is missing, empty, truncated, not an image, a stack,
    or holds NaN. Taught in lesson 01.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> tifffile.imwrite(folder / "a.tif", np.array([[0, 65535]], dtype=np.uint16))
    >>> read_image(folder / "a.tif")
    array([[0., 1.]], dtype=float32)
    """
    return to_grey(read_array(path), name=f"{str(path)!r}")


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask as (H, W) bool: the brighter of two values is nucleus.

    Of a TIFF that says *white is zero* it is the larger number: so ImageJ saves what was marked,
    255, where it shows masks dark on bright. A file of one value only is all background when that
    value is 0, else all nucleus. Anything with more than two values is refused: it may be a label
    image, or a mask saved as JPEG, whose compression invents values along every outline (in 2020
    they all became nucleus), or one with smoothed outlines or with transparency.

    Raises :class:`InputError`, with the remedy. Taught in lesson 01.
    """
    array = read_array(path, inverting=False)
    check_opaque(array, f"mask {str(path)!r}")
    array = _drop_colour(array, path)
    check_image(array, f"mask {str(path)!r}")
    values = np.unique(array)
    if len(values) > 2:
        raise InputError(
            f"mask {str(path)!r} holds {len(values)} different values; expected two at most, "
            "background and nucleus. If it is a label image, put it into labels/ and save "
            "labels > 0 as the mask; if it was saved as JPEG, compute image > 127, half of white "
            "(of its brightest value where nuclei are grey), once, and save that as PNG."
        )
    return array > values[0] if len(values) == 2 else array > 0


def read_labels(path: str | Path) -> np.ndarray:
    """Read a label image as (H, W) int32, 0 for background. Raises :class:`InputError`.

    The numbers count, not the colours of a palette in which Fiji or a painting tool shows them.
    """
    array = read_array(path, as_shown=False)
    labels = check_labels(array, f"label image {str(path)!r}")
    if labels.max() > np.iinfo(np.int32).max:
        raise InputError(
            f"label image {str(path)!r} holds the id {labels.max()}; expected ids below 2**31. "
            "Number the nuclei again, for example with skimage.segmentation.relabel_sequential."
        )
    return labels.astype(np.int32)


def to_grey(array: np.ndarray, name: str = "image") -> np.ndarray:
    """Turn an array of any dtype, (H, W) or (H, W, 2 to 4), into (H, W) float32 in [0, 1].

    The rules are those of :func:`read_image`.

    >>> to_grey(np.array([[0, 51, 255]], dtype=np.uint8))
    array([[0. , 0.2, 1. ]], dtype=float32)
    """
    array = as_array(array, name)
    if array.ndim == 3 and 2 <= array.shape[2] <= 4:
        return _colour_to_grey(array, name)
    array = check_image(array, name)
    if array.dtype == bool:
        return array.astype(np.float32)
    if array.dtype.kind == "u" or (array.dtype.kind == "i" and array.min() >= 0):
        return (array / np.float64(np.iinfo(array.dtype).max)).astype(np.float32)
    low, high = float(array.min()), float(array.max())
    if array.dtype.kind == "f" and 0 <= low and high <= 1:
        return array.astype(np.float32)
    low, high = without_outliers(low, high, array)
    if np.isinf(high - low):  # decimals of both signs, at the end of what there is
        array, low, high = array / 2, low / 2, high / 2
    span = high - low or 1.0  # a constant picture becomes 0, not a division by zero
    return np.clip((array.astype(np.float64) - low) / span, 0, 1).astype(np.float32)


def without_outliers(low: float, high: float, sample: np.ndarray) -> tuple[float, float]:
    """``low`` and ``high``, or the percentiles of a sample where a few values lie far off these.

    One pixel of 1e30 would leave no contrast to all the others. Small bright nuclei in a deep dark
    are no such pixels: there are more of them.
    """
    inner_low, inner_high = map(float, _percentiles(sample, (1, 99.8)))
    span = inner_high - inner_low
    if 0 < span < OUTLIER * (high - low):
        far = (sample < inner_low - 10 * span) | (sample > inner_high + 10 * span)
        if np.count_nonzero(far) <= max(FEW, FEW_SHARE * sample.size):
            return inner_low, inner_high
    return low, high


def stretch_contrast(image: np.ndarray) -> np.ndarray:
    """Stretch the percentiles 1 and 99.8 of an (H, W) picture to 0 and 1; float32, clipped.

    The field's habit before a network, and before the eye: pictures from different films and
    detectors come to one range. A picture with no contrast at all, where percentiles and extremes
    differ by a millionth of the brightest value or less, becomes 0.
    Raises :class:`InputError` for what is no (H, W) picture. Taught in lesson 01.

    >>> stretch_contrast(np.full((2, 2), 0.7)).max()
    np.float32(0.0)
    """
    image = check_image(image)
    if image.dtype.itemsize == 8:  # what 32 bits cannot hold, they hold as shares of the range
        image = to_grey(image)
    image = image.astype(np.float32)
    low, high = contrast_range(image)
    return np.clip((image - np.float32(low)) / np.float32(high - low), 0, 1)


def contrast_range(image: np.ndarray) -> tuple[float, float]:
    """What becomes 0 and 1 in :func:`stretch_contrast`; never equal."""
    darkest, brightest = float(image.min()), float(image.max())
    rounding = LEAST_SPAN * max(abs(darkest), abs(brightest))
    low, high = _percentiles(image, (1, 99.8))
    if high - low <= rounding:
        low, high = darkest, brightest
    return float(low), float(high if high - low > rounding else low + 1)


def _percentiles(image: np.ndarray, percents: tuple[float, ...]) -> np.ndarray:
    """``np.percentile`` by sorting all values, which NumPy does several times as quickly."""
    values = np.sort(image, axis=None)
    place = np.array(percents) / 100 * (values.size - 1)
    below = place.astype(int)
    above = np.minimum(below + 1, values.size - 1)
    return values[below] + (place - below) * (values[above] - values[below])


def read_array(path: str | Path, *, as_shown: bool = True, inverting: bool = True) -> np.ndarray:
    """The pixels of one picture, (H, W) or (H, W, channels).

    ``as_shown`` looks numbers up in the file's palette, and turns ink into light; without
    ``inverting`` numbers stay where a TIFF says that white is zero, but for bits.
    """
    path = Path(path)
    with one_sentence(f"{str(path)!r}"):
        check_readable(path)
        if is_tiff(path):
            return _read_tiff(path, as_shown, inverting)
        return _read_with_pillow(path, as_shown)


@contextmanager
def one_sentence(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises over a damaged file into one sentence about ``name``."""
    try:
        with warnings.catch_warnings(), silent_tifffile():
            warnings.simplefilter("ignore")  # decoders warn of odd tags; a broken file raises
            yield
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(
            f"{name} may not be read (permission denied); expected a file that you may read. Ask "
            "its owner for the right to, or for a copy in a folder of yours."
        ) from error
    except MemoryError as error:
        raise InputError(
            f"{name} needs more memory than there is. Cut it into smaller pictures."
        ) from error
    except Exception as error:
        raise InputError(
            f"{name} cannot be read as an image ({_first_line(error)}); expected a whole "
            "file. It may be damaged: copy it again, or export it again as PNG, JPEG or TIFF."
        ) from error


def check_readable(path: Path) -> None:
    """Refuse what is no file, or a microscope maker's format."""
    if not path.exists():
        raise InputError(
            f"{str(path)!r} does not exist; expected an image file. Check the spelling of the path."
        )
    if path.is_dir() and not may_be_read(path):
        raise PermissionError(f"{str(path)!r} may not be read")
    if path.is_dir():
        raise InputError(
            f"{str(path)!r} is a folder; expected an image file. Name one of the files in it."
        )
    if not path.is_file():
        raise InputError(f"{str(path)!r} is a device or a pipe; expected an image file. Copy it.")
    if path.suffix.lower() in MICROSCOPE_SUFFIXES:
        raise InputError(f"{str(path)!r} is {CONVERT}")
    if path.stat().st_size == 0:
        raise InputError(f"{str(path)!r} is empty (0 bytes); expected an image. Copy it again.")


def is_tiff(path: Path) -> bool:
    """Whether a file is a TIFF by its name, or by how it begins."""
    with open(path, "rb") as file:
        start = file.read(4)
    return start in TIFF_STARTS or (
        path.suffix.lower() in TIFF_SUFFIXES and not start.startswith(OTHER_STARTS)
    )


@contextmanager
def silent_tifffile() -> Iterator[None]:
    """Keep tifffile from writing its own remarks on a damaged file beside our sentence."""
    log = logging.getLogger("tifffile")
    was, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = was


@contextmanager
def of_any_size() -> Iterator[None]:
    """Let Pillow open what it would take for a bomb: up to ``MAX_PIXELS``."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS // 2
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _read_with_pillow(path: Path, as_shown: bool) -> np.ndarray:
    try:
        with of_any_size(), Image.open(path, formats=FORMATS) as picture:
            # A camera's JPEG (MPO) has small previews behind its picture.
            if getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO":
                raise _stack_error(path, f"{picture.n_frames} frames")
            if picture.mode in COLOURED and (as_shown or picture.mode != "P"):
                picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
            return np.asarray(picture)
    except UnidentifiedImageError as error:
        raise InputError(
            f"{str(path)!r} is not an image; expected a PNG, JPEG or TIFF file. "
            "Check what the file really is: its name alone does not make it one."
        ) from error


def _read_tiff(path: Path, as_shown: bool, inverting: bool) -> np.ndarray:
    with tifffile.TiffFile(path) as tiff:
        _check_pages(path, tiff)
        if not tiff.series:
            raise InputError(
                f"{str(path)!r} is a TIFF without any page; expected one picture. Export it again."
            )
        check_sizes(path, tiff)
        series = tiff.series[0]
        alike = sum(other.shape == series.shape for other in tiff.series)
        if alike > 1:
            raise _stack_error(path, f"{alike} pages")
        check_claim(path, series.size, series.size * series.dtype.itemsize)
        page = series.keyframe
        check_one_channel(path, page)
        check_whole(path, page)
        array, axes = series.asarray(), series.axes
        if len(series) == 1:
            check_planes(path, page, array.reshape(page.shape))
    if as_shown and (inverting or array.dtype == bool or not _white_is_zero(page)):
        array, axes = lit(array, axes, page)
    if "S" in axes:
        array = np.moveaxis(array, axes.index("S"), -1)
    keep = 3 if "S" in axes else 2
    extra = array.shape[: array.ndim - keep]
    if any(length > 1 for length in extra):
        raise _stack_error(path, " x ".join(map(str, extra)) + " pages")
    return array.reshape(array.shape[array.ndim - keep :])


def check_sizes(path: Path, tiff: tifffile.TiffFile) -> None:
    """Refuse pages that are neither like the first nor a thumbnail of it: none is dropped unsaid.

    A thumbnail, or a level of a pyramid, is half as large along each side or less, or is marked
    as reduced.
    """
    first = tiff.series[0]
    sizes = {
        other.shape: None  # a dict keeps the order
        for other in tiff.series
        if other.shape == first.shape or not _is_thumbnail(other.keyframe, first.keyframe)
    }
    if len(sizes) > 1:
        listed = _listed([" x ".join(map(str, shape)) for shape in sizes], most=5)
        raise InputError(
            f"{str(path)!r} has pages of different sizes ({listed}); expected one size. Save each "
            "as its own file, or bring all to one size."
        )


def _is_thumbnail(page: tifffile.TiffPage, first: tifffile.TiffPage) -> bool:
    small = (  # an odd side is rounded up
        2 * page.imagelength <= first.imagelength + 1
        and 2 * page.imagewidth <= first.imagewidth + 1
    )
    return small or page.is_reduced


def check_planes(path: Path, page: tifffile.TiffPage, array: np.ndarray) -> None:
    """Refuse planes stored as colours, one after another, that may as well be sections.

    tifffile has stored three or four sections so when it was not told what they are, and mixed
    into one grey picture they are worth nothing. ``array`` (planes, H, W) is the page. Planes that
    are all the same are grey, and a colour profile says that they are colours.
    """
    separate = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
    if page.photometric != tifffile.PHOTOMETRIC.RGB or not separate or page.iccprofile is not None:
        return
    strips = (array[:3, top : top + 1024] for top in range(0, array.shape[1], 1024))
    if all((strip == strip[:1]).all() for strip in strips):
        return
    raise InputError(
        f"{str(path)!r} holds {len(array)} planes stored as colours, one after another, which may "
        "be sections; expected one grey picture or a stack. If they are sections, save them with "
        "tifffile's photometric='minisblack'; if it is a colour picture, save it as PNG or with "
        "its colours interleaved."
    )


def check_one_channel(path: Path, page: tifffile.TiffPage) -> None:
    """Refuse samples of a pixel of which the file says neither colour nor transparency: stains."""
    grey = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE)
    unnamed = tifffile.EXTRASAMPLE.UNSPECIFIED in page.extrasamples
    if page.samplesperpixel > 1 and page.photometric in grey and unnamed:
        raise InputError(
            f"{str(path)!r} has {page.samplesperpixel} channels; expected one. Keep the channel "
            "that shows the nuclei, in Fiji with Image > Color > Split Channels."
        )


def check_whole(path: Path, page: tifffile.TiffPage | tifffile.TiffFrame) -> None:
    """Refuse a page that ends behind its file: a JPEG decoder would make up what is missing."""
    if page.compression != tifffile.COMPRESSION.JPEG:
        return  # all others raise
    pieces = zip(page.dataoffsets, page.databytecounts, strict=True)
    needed, size = max(start + count for start, count in pieces), path.stat().st_size
    if needed > size:
        raise InputError(
            f"{str(path)!r} is cut off: it has {size:,} bytes; expected {needed:,}. Copy it again, "
            "or export it again."
        )


def lit(array: np.ndarray, axes: str, page: tifffile.TiffPage) -> tuple[np.ndarray, str]:
    """Numbers looked up in the page's palette, or ink turned into light; and the axes then."""
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
        return np.moveaxis(page.colormap[:, array], 0, -1), axes + "S"
    if page.photometric == tifffile.PHOTOMETRIC.SEPARATED and array.dtype.kind == "u":
        return _without_ink(np.moveaxis(array, axes.index("S"), -1)), axes.replace("S", "") + "S"
    if _white_is_zero(page) and array.dtype.kind in "ub":
        said_only = array.dtype == bool and page.software.startswith("tifffile")  # by its writer
        return array if said_only else ~array, axes  # 0 is white
    return array, axes


def _white_is_zero(page: tifffile.TiffPage) -> bool:
    return page.photometric == tifffile.PHOTOMETRIC.MINISWHITE


def _without_ink(array: np.ndarray) -> np.ndarray:
    """Cyan, magenta, yellow and black (..., 4) as red, green and blue (..., 3)."""
    most = float(np.iinfo(array.dtype).max)
    light = np.empty((*array.shape[:-1], 3), array.dtype)
    for part, ink in zip(light, array, strict=True):  # row by row: floats take much memory
        part[...] = np.round((most - ink[..., :3]) * (most - ink[..., 3:4]) / most)
    return light


def _check_pages(path: Path, tiff: tifffile.TiffFile) -> None:
    if follow_pages(tiff, MAX_PAGES) > MAX_PAGES:
        raise _stack_error(path, f"more than {MAX_PAGES:,} pages")


def follow_pages(tiff: tifffile.TiffFile, most: int) -> int:
    """Follow the chain of pages once: in a damaged file it may lead in a circle, for ever.

    Returns their number, or ``most`` + 1 where there are more.
    """
    seen: set[int] = set()
    for page in tiff.pages:
        if page.offset in seen:
            raise ValueError("its pages lead in a circle")
        seen.add(page.offset)
        if len(seen) > most:
            break
    return len(seen)


def check_claim(path: Path, numbers: int, claimed: int) -> None:
    """Refuse, before memory is taken, what is too large, or larger than the file can hold.

    ``numbers`` are those of one picture, ``claimed`` the bytes of all.
    """
    believed = max(FREE_BYTES, MAX_RATIO * path.stat().st_size)
    if numbers > MAX_PIXELS:
        fault = f"{numbers:,} numbers; expected {MAX_PIXELS:,} at most"
    elif claimed > believed:
        fault = f"{claimed:,} bytes; expected {believed:,} at most in a file of its size"
    else:
        return
    raise InputError(
        f"{str(path)!r} says that it holds {fault}. Cut it into smaller pictures, or copy it again "
        "if it is damaged."
    )


def _stack_error(path: Path, what: str) -> InputError:
    return InputError(
        f"{str(path)!r} is a stack of {what}; expected one picture. Save its sections as single "
        "files, in Fiji with File > Save As > Image Sequence."
    )


def _colour_to_grey(array: np.ndarray, name: str) -> np.ndarray:
    channels = 3 if array.shape[2] >= 3 else 1  # a fourth, or a second, is transparency
    planes = array[:, :, :channels]
    check_image(planes[:, :, 0], name)  # also an array without any pixel, which has no other shape
    check_image(planes.reshape(array.shape[0], -1), name)
    if planes.dtype.kind == "f" or (planes.dtype.kind == "i" and planes.min() < 0):
        grey = planes.astype(np.float64) @ (LUMINANCE if channels == 3 else np.ones(1))
        return to_grey(grey, name)
    scaled = to_grey(planes.reshape(array.shape[0], -1), name).reshape(planes.shape)
    grey = scaled @ LUMINANCE if channels == 3 else scaled[:, :, 0]
    return np.clip(grey, 0, 1).astype(np.float32)


def check_opaque(array: np.ndarray, name: str) -> None:
    """Refuse a mask whose transparency counts: nobody knows what is meant there.

    Black where it is transparent, and white somewhere, it means what it means without.
    """
    if array.ndim != 3 or array.shape[2] not in (2, 4):
        return
    clear, colour = array[..., -1] < array[..., -1].max(), array[..., :-1]
    if clear.any() and (colour[clear].any() or not colour.any()):
        raise InputError(
            f"{name} is transparent in places; expected two values all over. Lay it on a black "
            "background (flatten the image), nuclei white, and save it again."
        )


def _drop_colour(array: np.ndarray, path: str | Path) -> np.ndarray:
    """A mask's first channel, where the file stores the same mask in three."""
    if array.ndim != 3 or not 2 <= array.shape[2] <= 4:
        return array
    if array.shape[2] >= 3 and not (array[:, :, :1] == array[:, :, :3]).all():
        return to_grey(array, f"mask {str(path)!r}")
    return array[:, :, 0]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


# --- writing ---------------------------------------------------------------------------------


@contextmanager
def replace_file(path: str | Path) -> Iterator[Path]:
    """Write to a temporary name beside ``path``, then move it there: whole, or not at all.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with replace_file(target) as temporary:
    ...     _ = temporary.write_text("done")
    >>> target.read_text()
    'done'
    """
    path = Path(path)
    temporary = path.parent / f".{uuid.uuid4().hex[:8]}{path.suffix}"  # no longer than path's name
    if os.path.isdir(path):  # not path.is_dir(), which has its own error for a very long name
        raise WriteError(
            f"{str(path)!r} cannot be written: it is a folder; expected the name of a file. Give "
            f"for example {str(path / f'new{path.suffix}')!r}."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write an (H, W) picture in [0, 1] as an 8-bit PNG or TIFF (by suffix), never half.

    Whole numbers of 8 and 16 bits are divided by the maximum of their dtype.
    Raises :class:`InputError` for other whole numbers, whose range nobody knows, for values
    outside [0, 1], and for a suffix that loses pixels.
    """
    image = check_image(image)
    low, high = image.min(), image.max()
    if image.dtype.kind in "ui" and (image.dtype.itemsize > 2 or low < 0):
        raise InputError(
            f"image has dtype {image.dtype} and runs from {low} to {high}; expected floats from 0 "
            "to 1, or whole numbers as uint8 or uint16. Convert it, for example with "
            "astype(numpy.uint8) when 255 is white."
        )
    if image.dtype.kind == "f" and not 0 <= low <= high <= 1:
        raise InputError(
            f"image runs from {low:.3g} to {high:.3g}; expected values from 0 to 1. "
            "Scale it first, for example with stretch_contrast."
        )
    _write(path, np.round(to_grey(image) * 255).astype(np.uint8))


def write_mask(path: str | Path, mask: np.ndarray) -> None:
    """Write an (H, W) bool mask as 0 and 255, losslessly: a JPEG would invent values.

    Raises :class:`InputError` for anything but True and False, or 1 and 0, and as
    :func:`write_image`.
    """
    _write(path, np.where(check_mask(mask), 255, 0).astype(np.uint8))


def write_labels(path: str | Path, labels: np.ndarray) -> None:
    """Write an (H, W) label image as uint16, or int32 where ids go beyond 65535.

    Fiji, QuPath and napari open both. Raises :class:`InputError` for other numbers, and for ids
    beyond 65535 in a PNG, which cannot hold them.
    """
    labels = check_labels(labels)
    most = 2**16 if Path(path).suffix.lower() == ".png" else 2**31
    if labels.max() >= most:
        raise InputError(
            f"labels hold the id {labels.max()}; expected ids below {most} for {str(path)!r}. "
            "Number the nuclei again with skimage.segmentation.relabel_sequential, or write .tif."
        )
    _write(path, labels.astype(np.uint16 if labels.max() < 2**16 else np.int32))


def _write(path: str | Path, array: np.ndarray) -> None:
    suffix = Path(path).suffix.lower()
    writers: dict[str, Callable[[Path], None]] = {
        ".png": lambda to: Image.fromarray(array).save(to, format="PNG"),
        ".tif": lambda to: tifffile.imwrite(to, array, compression="zlib"),
        ".tiff": lambda to: tifffile.imwrite(to, array, compression="zlib"),
    }
    if suffix not in writers:
        raise InputError(
            f"{str(path)!r} ends in {suffix!r}; expected .png, .tif or .tiff, which keep every "
            "pixel (JPEG does not)."
        )
    with replace_file(path) as temporary:
        writers[suffix](temporary)


# --- pairing ---------------------------------------------------------------------------------


def is_image(path: Path) -> bool:
    """Whether a name is that of an image file, and not a hidden one."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def composed(name: str) -> str:
    """The name in one form: an é may be stored as one letter, or as e and an accent (Unicode NFC).

    File names from a Mac have the other form than what is typed into a table.
    """
    return unicodedata.normalize("NFC", name)


def list_images(folder: str | Path, name: str = "folder") -> list[Path]:
    """The image files directly in ``folder``, sorted by name.

    Raises :class:`InputError` when the folder is missing or holds none.
    """
    folder = check_folder(folder, name)
    files = sorted(path for path in folder.iterdir() if is_image(path) and not path.is_dir())
    if not files:
        raise InputError(
            f"{name} {str(folder)!r} holds no image; expected files ending in "
            f"{', '.join(sorted(IMAGE_SUFFIXES))}. Check that it is the right folder."
        )
    return files


def pair_files(images_dir: str | Path, masks_dir: str | Path) -> list[ImageMaskPair]:
    """Pair each image with the mask of the same name (the suffix may differ), sorted by name.

    Raises :class:`InputError` that lists every image without a mask, every mask without an image,
    and every name that stands twice. Pairing by position in a sorted list, as in 2020, goes wrong
    without a word as soon as one file is missing. Taught in lesson 01.
    """
    images = _by_stem(list_images(images_dir, "images folder"))
    masks = _by_stem(list_images(masks_dir, "masks folder"))
    lonely_images = sorted(images.keys() - masks.keys())
    lonely_masks = sorted(masks.keys() - images.keys())
    if lonely_images or lonely_masks:
        raise InputError(
            f"{len(lonely_images)} images have no mask ({_listed(lonely_images)}) and "
            f"{len(lonely_masks)} masks have no image ({_listed(lonely_masks)}); expected the same "
            "names in both folders. Add what is missing, rename it, or move the orphans away."
        )
    return [ImageMaskPair(images[stem], masks[stem]) for stem in sorted(images)]


def _by_stem(files: list[Path]) -> dict[str, Path]:
    groups: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        groups[composed(file.stem)].append(file)
    twice = [" and ".join(f.name for f in group) for group in groups.values() if len(group) > 1]
    if twice:
        raise InputError(
            f"{str(files[0].parent)!r} holds the same name twice ({_listed(twice)}); "
            "expected one file for each name. Rename or remove one."
        )
    return {stem: group[0] for stem, group in groups.items()}


def _listed(names: list[str], most: int = 20) -> str:
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more
