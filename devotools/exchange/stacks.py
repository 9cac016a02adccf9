"""Stacks: a multi-page TIFF read section by section, and a stack of labels written the same way.

Only one section is in memory at a time, however many there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from threading import Lock

import numpy as np
import tifffile

from devotools._validate import InputError, check_image, check_labels, check_positive
from devotools.exchange.pixel_size import PixelSize, read_pixel_size, size_of
from devotools.images import (
    LUMINANCE,
    check_claim,
    check_one_channel,
    check_planes,
    check_readable,
    check_sizes,
    check_whole,
    follow_pages,
    is_tiff,
    lit,
    one_sentence,
    replace_file,
    silent_tifffile,
    to_grey,
    without_outliers,
)

__all__ = ["Stack", "count_pages", "is_stack", "open_stack", "read_pixel_size", "write_label_stack"]

MAX_SECTIONS = 100_000
SAMPLE = 2**22  # pixels that tell which values lie far off all others
SECTION_AXES = "ZTIQ"  # depth, time, and two words for a plain sequence of pages
BIG = 2**32 - 2**25  # beyond this a TIFF needs 64-bit addresses, which Fiji reads by Bio-Formats


class _Layout(InputError):
    """A whole file, and yet not one series of sections."""


@dataclass(frozen=True)
class _Section:
    """Where one section lies: page ``number`` of a series of the open file."""

    series: tifffile.TiffPageSeries
    number: int


@dataclass(frozen=True)
class Stack:
    """An open stack. ``len(stack)`` is the number of sections; ``stack.section(k)`` reads one.

    Attributes
    ----------
    path : Path
    shape : tuple of int
        (S, H, W): sections, rows, columns.
    axis : str
        "Z" for depth, "T" for time, "I" where the file only says that pages follow each other.
    pixel_size_um, section_thickness_um : float or None
        Micrometres along a pixel, and from one section to the next, where the file tells them.
    pixel_size_source : str
        Where these come from, or why there are none.
    """

    path: Path
    shape: tuple[int, int, int]
    axis: str
    pixel_size_um: float | None
    section_thickness_um: float | None
    pixel_size_source: str
    _sections: list[_Section] = field(repr=False)
    _range: tuple[float, float] | None = field(repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.section(number) for number in range(len(self)))

    def section(self, number: int) -> np.ndarray:
        """Read section ``number``, from 0: (H, W) float32 in [0, 1]; any thread may ask.

        All sections have one grey scale, that of :func:`devotools.read_image`: whole numbers are
        divided by the maximum of their dtype; floats inside [0, 1] stay; everything else is
        stretched from the minimum to the maximum of the *whole* stack, but for single values far
        off. Raises :class:`~devotools._validate.InputError` for a damaged section.
        """
        self._check(number)
        with self._lock:
            array = _read(self.path, self._sections[number], number)
        name = f"section {number} of {str(self.path)!r}"
        if self._range is None:
            return to_grey(array, name)
        low, high = self._range
        stretched = (_plane(array, name) - low) / (high - low or 1.0)
        return np.clip(stretched, 0, 1).astype(np.float32)

    def save_section(self, number: int, path: str | Path) -> None:
        """Write section ``number`` as a TIFF of its own, with its numbers and colours as stored.

        Raises :class:`~devotools._validate.InputError` as :meth:`section` does.
        """
        self._check(number)
        section = self._sections[number]
        page = section.series.keyframe
        with self._lock:
            array = _stored(self.path, section, number)
        planar = {"planarconfig": page.planarconfig} if "S" in page.axes else {}
        with replace_file(path) as temporary:
            try:
                tifffile.imwrite(
                    temporary,
                    array,
                    photometric=page.photometric,
                    colormap=page.colormap,
                    metadata=None,
                    **planar,
                )
            except ValueError as error:  # tags that do not go with the pixels
                raise InputError(
                    f"section {number} of {str(self.path)!r} cannot be taken out of its stack "
                    f"({error}); expected grey, a palette, or red, green and blue. Save the stack "
                    "again, for example in Fiji."
                ) from error

    def _check(self, number: int) -> None:
        if not 0 <= number < len(self):
            raise InputError(
                f"section is {number}; expected 0 to {len(self) - 1}, for {str(self.path)!r} has "
                f"{len(self)} sections."
            )


@contextmanager
def open_stack(path: str | Path) -> Iterator[Stack]:
    """Open a multi-page TIFF or OME-TIFF as one series of sections; the block's end closes it.

    Sections are what lies along depth or time, or plain pages of one size; colour is not, and a
    thumbnail (half as large or less) is not. Floats and negative numbers need a first pass through
    the file, for the grey scale is one for all. A file of one picture is a stack of one section.

    Raises :class:`~devotools._validate.InputError` when the file cannot be read, and with the
    remedy where it is no single series: several channels, positions, depth *and* time.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "stack.tif"
    >>> tifffile.imwrite(path, np.full((6, 4, 5), 255, np.uint8))
    >>> with open_stack(path) as stack:
    ...     len(stack), stack.shape, stack.section(2).max()
    (6, (6, 4, 5), np.float32(1.0))
    """
    path = Path(path)
    with _open(path) as tiff:
        with one_sentence(f"{str(path)!r}"):
            sections, axis = _layout(path, tiff)
            size = size_of(tiff)
            shape = _plane_shape(sections[0].series.keyframe)
        # a time series has no depth, whatever an old "spacing" says
        thickness = None if axis == "T" else size.thickness_um
        yield Stack(
            path,
            (len(sections), *shape),
            axis,
            size.pixel_um,
            thickness,
            _source(size, axis),
            sections,
            _range_of(path, sections),
        )


def count_pages(path: str | Path) -> int:
    """Count the sections of a TIFF without reading a pixel. Raises as :func:`open_stack`."""
    path = Path(path)
    with _open(path) as tiff, one_sentence(f"{str(path)!r}"):
        return len(_layout(path, tiff)[0])


def is_stack(path: str | Path) -> bool:
    """Whether :func:`open_stack` is the one to read this file, or to say why it cannot be read.

    True for more than one section, and for what is no single picture and no single series either
    (channels, positions). False for one picture, and for what cannot be read:
    :func:`devotools.read_image` reads that, or says what is wrong.
    """
    try:
        return is_tiff(Path(path)) and count_pages(path) > 1
    except _Layout:
        return True
    except (InputError, OSError):
        return False


def write_label_stack(
    path: str | Path,
    sections: Iterable[np.ndarray],
    shape: tuple[int, int, int],
    *,
    pixel_size_um: float | None = None,
    section_thickness_um: float | None = None,
    axis: str = "Z",
) -> None:
    """Write label images (H, W) one by one into one TIFF that Fiji and napari open as a stack.

    ``shape`` is (S, H, W), ``axis`` "Z" or "T". Labels are uint16, or int32 from the moment an id
    goes beyond 65535; zlib; BigTIFF where it may be needed; sizes in ImageJ's metadata, which
    Fiji, Bio-Formats and tifffile read. One section is in memory at a time. The file appears
    whole, or not at all. Raises :class:`~devotools._validate.InputError` when sections are not as
    ``shape`` says, or hold anything but labels.
    """
    for name, value in (
        ("pixel_size_um", pixel_size_um),
        ("section_thickness_um", section_thickness_um),
    ):
        if value is not None:
            check_positive(value, name, "micrometres")
    about = {
        "description": _description(shape, axis, pixel_size_um, section_thickness_um),
        "resolution": (1, 1) if pixel_size_um is None else (1 / pixel_size_um,) * 2,
    }
    left = _checked(sections, shape)
    with replace_file(path) as temporary:
        rest = _write_until_large(temporary, left, shape, about)
        if rest is not None:
            with (
                replace_file(temporary) as wider,
                silent_tifffile(),  # there may be no page yet
                tifffile.TiffFile(temporary) as done,
            ):
                again = (page.asarray() for page in done.pages)
                _write_pages(wider, chain(again, rest), shape, np.int32, about)


# --- which pages are sections ------------------------------------------------------------------


@contextmanager
def _open(path: Path) -> Iterator[tifffile.TiffFile]:
    with one_sentence(f"{str(path)!r}"):
        check_readable(path)
        if not is_tiff(path):
            raise InputError(
                f"{str(path)!r} is no TIFF; expected a multi-page TIFF or an OME-TIFF. "
                "Save the stack as TIFF, for example in Fiji."
            )
        tiff = tifffile.TiffFile(path)
    with tiff:
        yield tiff


def _layout(path: Path, tiff: tifffile.TiffFile) -> tuple[list[_Section], str]:
    """The sections of an open file in their order, and the axis along which they lie."""
    if follow_pages(tiff, MAX_SECTIONS) > MAX_SECTIONS:
        raise _refused(path, f"has more than {MAX_SECTIONS:,} pages", "Cut it into shorter series")
    if not tiff.series:
        raise InputError(
            f"{str(path)!r} is a TIFF without any page; expected a stack. Export it again."
        )
    _check_end(path, tiff)
    check_sizes(path, tiff)
    first = tiff.series[0]
    _check_one_file(path, first)
    sides = zip(first.axes, first.shape, strict=True)
    extra = [(axis, count) for axis, count in sides if axis not in "YXS" and count > 1]
    alike = [series for series in tiff.series if series.shape == first.shape]
    _check_extra(path, extra)
    if len(alike) > 1 and (extra or first.kind == "ome"):
        raise _refused(path, f"holds {len(alike)} stacks or positions", "Save each as its own file")
    if len({series.dtype for series in alike}) > 1:
        raise _refused(path, "mixes pages of different number types", "Save all pages as one type")
    axis, count = extra[0] if extra else ("I", 1)
    sections = [_Section(series, number) for series in alike for number in range(count)]
    page = first.keyframe
    check_one_channel(path, page)
    if "Z" in page.axes:
        raise _refused(path, "keeps all its depth in one page", "Save it again in Fiji")
    if not first.is_truncated and len(first) != count:
        raise ValueError(f"it describes {count} sections and has {len(first)} pages")
    check_claim(path, page.size, page.nbytes * len(sections))
    return sections, "I" if axis == "Q" else axis


def _check_end(path: Path, tiff: tifffile.TiffFile) -> None:
    """Refuse a file whose last page names a next one: tifffile passes over what was cut off."""
    file = tiff.filehandle
    file.seek(tiff.pages.next_page_offset)
    following = file.read(tiff.tiff.offsetsize)
    if any(following) or len(following) < tiff.tiff.offsetsize:
        raise _Layout(
            f"{str(path)!r} has more pages than can be found: after page {len(tiff.pages)} it is "
            "cut off; expected a whole file. Copy it again, or export it again."
        )


def _check_one_file(path: Path, series: tifffile.TiffPageSeries) -> None:
    if series.is_multifile or any(page is None for page in series):
        raise _refused(
            path,
            "is one of several files that make one OME-TIFF together, or lacks sections",
            "Open them in Fiji (Bio-Formats) and save one file",
        )


def _check_extra(path: Path, extra: list[tuple[str, int]]) -> None:
    """Refuse all axes but one of sections."""
    channels = [count for axis, count in extra if axis == "C"]
    if channels:
        raise _refused(
            path,
            f"has {channels[0]} channels",
            "Keep the channel that shows the nuclei, in Fiji with Image > Color > Split Channels",
        )
    if len(extra) > 1 or any(axis not in SECTION_AXES for axis, _ in extra):
        sizes = " x ".join(f"{axis}={count}" for axis, count in extra)
        raise _refused(path, f"has the axes {sizes}", "Save each series as its own file")


def _refused(path: Path, what: str, remedy: str) -> _Layout:
    return _Layout(
        f"{str(path)!r} {what}; expected one series of sections in one channel. {remedy}."
    )


def _plane_shape(page: tifffile.TiffPage) -> tuple[int, int]:
    sides = dict(zip(page.axes, page.shape, strict=True))
    return sides["Y"], sides["X"]


def _source(size: PixelSize, axis: str) -> str:
    if axis != "T" or size.thickness_um is None:
        return size.source
    return size.source.split(", ")[0] + " (a time series)"


# --- reading -----------------------------------------------------------------------------------


def _read(path: Path, section: _Section, number: int) -> np.ndarray:
    """The pixels of one section as they are shown, (H, W) or (H, W, colours)."""
    page = section.series.keyframe
    array = _stored(path, section, number)
    with one_sentence(f"section {number} of {str(path)!r}"):
        array, axes = lit(array, page.axes, page)
        return np.moveaxis(array, axes.index("S"), -1) if "S" in axes else array


def _stored(path: Path, section: _Section, number: int) -> np.ndarray:
    """The numbers of one section as the file holds them, its axes as its page has them."""
    series, page = section.series, section.series.keyframe
    with one_sentence(f"section {number} of {str(path)!r}"):
        if series.is_truncated:  # ImageJ keeps more than 4 GB behind one page
            stored = page.dtype.newbyteorder(page.parent.byteorder)
            start = series.dataoffset + section.number * page.nbytes
            array = page.parent.filehandle.read_array(stored, page.size, offset=start)
            array = array.reshape(page.shape).astype(page.dtype)
        else:
            check_whole(path, series[section.number])
            array = series[section.number].asarray()
        check_planes(path, page, array)
        return array


def _plane(array: np.ndarray, name: str) -> np.ndarray:
    """One section in one channel, (H, W) float64, on the file's own scale."""
    if array.ndim == 3:
        planes = array[..., :3] if array.shape[2] >= 3 else array[..., :1]
        array = planes.astype(np.float64) @ (LUMINANCE if planes.shape[2] == 3 else np.ones(1))
    return check_image(array, name).astype(np.float64)


def _range_of(path: Path, sections: list[_Section]) -> tuple[float, float] | None:
    """What becomes 0 and 1, or None where each section is scaled by its dtype alone."""
    dtype = sections[0].series.dtype
    if dtype.kind in "ub":
        return None
    low, high, sample = np.inf, -np.inf, []
    for number, section in enumerate(sections):
        plane = _plane(_read(path, section, number), f"section {number} of {str(path)!r}")
        low, high = min(low, float(plane.min())), max(high, float(plane.max()))
        step = max(1, math.ceil(math.sqrt(plane.size * len(sections) / SAMPLE)))
        sample.append(plane[::step, ::step].ravel())
    by_dtype = low >= 0 and (dtype.kind == "i" or high <= 1)
    return None if by_dtype else without_outliers(low, high, np.concatenate(sample))


# --- writing -----------------------------------------------------------------------------------


def _checked(sections: Iterable[np.ndarray], shape: tuple[int, int, int]) -> Iterator[np.ndarray]:
    """The sections one by one, sure to be labels and as many and as large as ``shape`` says."""
    number = 0
    for number, section in enumerate(sections, start=1):
        labels = check_labels(section, f"section {number - 1}")
        if number > shape[0] or labels.shape != tuple(shape[1:]):
            break
        if labels.max() >= 2**31:
            raise InputError(
                f"section {number - 1} holds the id {labels.max()}; expected ids below 2**31. "
                "Number the nuclei again with skimage.segmentation.relabel_sequential."
            )
        yield labels
    else:
        if number == shape[0]:
            return
        raise InputError(f"there are {number} sections; expected {shape[0]}, as shape says.")
    raise InputError(
        f"section {number - 1} has shape {labels.shape}; expected {shape[0]} sections of "
        f"{tuple(shape[1:])}. Give all sections of one stack, and its shape."
    )


def _write_until_large(
    path: Path, sections: Iterator[np.ndarray], shape: tuple[int, int, int], about: dict
) -> Iterator[np.ndarray] | None:
    """Write uint16 until an id is too large for it; then return what is left, else None."""
    left: list[np.ndarray] = []

    def fitting() -> Iterator[np.ndarray]:
        for section in sections:
            if section.max() >= 2**16:
                left.append(section)
                return
            yield section

    _write_pages(path, fitting(), shape, np.uint16, about)
    return chain(left, sections) if left else None


def _write_pages(
    path: Path,
    sections: Iterator[np.ndarray],
    shape: tuple[int, int, int],
    dtype: type[np.integer],
    about: dict,
) -> None:
    """Write page after page; one call each, so that the writer keeps nothing."""
    big = np.prod(shape, dtype=np.int64) * np.dtype(dtype).itemsize > BIG
    with tifffile.TiffWriter(path, bigtiff=bool(big)) as tiff:
        for section in sections:
            tiff.write(
                section.astype(dtype),
                compression="zlib",
                photometric="minisblack",
                metadata=None,
                resolutionunit="NONE",
                contiguous=False,
                **about,
            )
            about = about | {"description": None}  # ImageJ's words stand in the first page


def _description(
    shape: tuple[int, int, int], axis: str, pixel_um: float | None, thickness_um: float | None
) -> str:
    sizes: dict[str, object] = {"unit": "pixel" if pixel_um is None else "micron"}
    if pixel_um is not None and thickness_um is not None:
        sizes["spacing"] = float(thickness_um)
    return tifffile.imagej_description(tuple(shape), axes=f"{axis}YX", **sizes)
