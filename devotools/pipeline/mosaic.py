"""Pictures too large to be segmented whole: window by window, in memory that does not grow.

A window is a core and a margin as wide as the network looks, and a large nucleus more. What is
labelled in it does not depend on where the window lies, away from its border; so each nucleus is
taken from the one window that has its centroid in the core, and the seams are not seen.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import tifffile
from PIL import Image
from skimage.measure import regionprops

from devotools._files import cannot_write
from devotools._validate import InputError
from devotools.classification import ResNet18Classifier
from devotools.exchange import add_rois, open_rois, read_pixel_size
from devotools.images import (
    COLOURED,
    FORMATS,
    check_claim,
    check_one_channel,
    check_planes,
    check_sizes,
    check_whole,
    contrast_range,
    is_tiff,
    lit,
    of_any_size,
    one_sentence,
    replace_file,
    to_grey,
    without_outliers,
)
from devotools.inference import HALO, TILE, predict_stretched
from devotools.measure import measure_nuclei
from devotools.model import ResNet18FPN
from devotools.pipeline.jobs import Job
from devotools.pipeline.journal import file_state, file_sum
from devotools.pipeline.outcome import Outcome, table_rows
from devotools.pipeline.report import uncertainty
from devotools.pipeline.segmenting import write_overlay
from devotools.pipeline.settings import Settings
from devotools.pipeline.states import count_states, states_by_label, tell, with_states
from devotools.predict import label_nuclei
from devotools.working_scale import nucleus_size

MOSAIC_PIXELS = 2**24  # larger than 4096 x 4096: window by window
MARGIN = HALO + 128  # in pixels of the network: what it sees beyond, and a nucleus of that size
OVERLAY_SIDE = 4096  # overlays of mosaics are made smaller, to be opened by any program
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # full disk, quota, largest file
SAMPLE = 2**22  # pixels from which the percentiles of the contrast are taken
STRIP = 64  # rows of a label image that are compressed together
MOST_ENLARGED = 8  # times, in a mosaic: then a nucleus has some 4 pixels
NOTHING = np.zeros((1, 1), np.float32), np.zeros((1, 1), np.int32)  # a picture without nuclei
FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)  # scales at which a mosaic is looked at first


def is_mosaic(path: Path) -> bool:
    """Whether a picture is so large that it goes window by window; False if it cannot be read."""
    try:
        with one_sentence(f"{str(path)!r}"):
            if not is_tiff(path):
                with of_any_size(), Image.open(path, formats=FORMATS) as picture:
                    return picture.width * picture.height > MOSAIC_PIXELS
            with tifffile.TiffFile(path) as tiff:
                page = tiff.series[0].keyframe
                return page.imagelength * page.imagewidth > MOSAIC_PIXELS
    except (InputError, OSError):
        return False


# --- reading windows -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Pixels:
    """The pixels of a large file, mapped to memory: read where they are needed."""

    array: np.ndarray  # (H, W) or (H, W, colours), of the file's dtype
    value_range: tuple[float, float] | None  # what becomes 0 and 1, where the dtype does not say
    contrast: tuple[float, float] = (0.0, 1.0)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.array.shape[:2]

    def grey(self, rows: slice, cols: slice) -> np.ndarray:
        """A window as :func:`devotools.read_image` would give it, (h, w) float32 in [0, 1]."""
        window = np.ascontiguousarray(self.array[rows, cols])
        if self.value_range is None:
            return to_grey(window)
        low, high = self.value_range
        window = np.clip((window.astype(np.float64) - low) / (high - low or 1.0), 0, 1)
        return to_grey(window)

    def stretched(self, rows: slice, cols: slice) -> np.ndarray:
        """The same, its contrast stretched as the whole picture's would be."""
        low, high = self.contrast
        return np.clip((self.grey(rows, cols) - low) / (high - low), 0, 1).astype(np.float32)


@contextmanager
def open_pixels(path: Path) -> Iterator[Pixels]:
    """Open a large picture. A TIFF is mapped to memory; others are decoded at their own depth."""
    with one_sentence(f"{str(path)!r}"):
        array = _map_tiff(path) if is_tiff(path) else _decode(path)
        step = max(1, math.ceil(math.sqrt(array.shape[0] * array.shape[1] / SAMPLE)))
        few = array[::step, ::step]
        value_range = _value_range(_without_alpha(array), _without_alpha(few))
    sample = Pixels(few, value_range).grey(slice(None), slice(None))
    yield Pixels(array, value_range, contrast_range(sample))


def _map_tiff(path: Path) -> np.ndarray:
    with tifffile.TiffFile(path) as tiff:
        check_sizes(path, tiff)
        series, page = tiff.series[0], tiff.series[0].keyframe
        claimed = series.size * series.dtype.itemsize
        check_claim(path, series.size, claimed)
        check_one_channel(path, page)
        check_whole(path, page)
        if not page.is_memmappable:
            _check_room(path, claimed)
        array, axes = series.asarray(out="memmap"), series.axes
        check_planes(path, page, array.reshape(page.shape))
    coloured = (tifffile.PHOTOMETRIC.PALETTE, tifffile.PHOTOMETRIC.SEPARATED)
    if page.photometric in coloured or (
        page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and array.dtype.kind in "ub"
    ):
        array, axes = lit(array, axes, page)
    if "S" in axes:
        array = np.moveaxis(array, axes.index("S"), -1)
    keep = 3 if "S" in axes else 2
    return array.reshape(array.shape[array.ndim - keep :])


def _check_room(path: Path, needed: int) -> None:
    """Know that a compressed picture finds room; a mapped file that does not ends the program."""
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{str(path)!r} is unpacked into {folder!r}, where {free / 2**20:,.0f} MiB are left; "
            f"expected {needed / 2**20:,.0f}. Make room, or let TMPDIR name a larger disk."
        )


def _decode(path: Path) -> np.ndarray:
    with of_any_size(), Image.open(path, formats=FORMATS) as picture:
        coloured = picture.mode in COLOURED
        return np.asarray(picture.convert("RGB") if coloured else picture)


def _without_alpha(array: np.ndarray) -> np.ndarray:
    """The samples that are brightness: how opaque a pixel is has a range of its own."""
    return array[..., :-1] if array.ndim == 3 and array.shape[-1] in (2, 4) else array


def _value_range(array: np.ndarray, sample: np.ndarray) -> tuple[float, float] | None:
    """The range of a picture whose dtype does not say it, strip by strip."""
    if array.dtype.kind in "ub":
        return None
    low, high = np.inf, -np.inf
    for top in range(0, len(array), 1024):
        strip = array[top : top + 1024]
        if strip.dtype.kind == "f" and not np.isfinite(strip).all():
            raise InputError("it holds NaN or infinity; expected finite numbers. Export it again.")
        low, high = min(low, float(strip.min())), max(high, float(strip.max()))
    by_dtype = low >= 0 and (array.dtype.kind == "i" or high <= 1)
    return None if by_dtype else without_outliers(low, high, sample)


# --- windows -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """A piece of a mosaic: what is seen, and the core whose nuclei are taken. Pixels."""

    rows: slice
    cols: slice
    core_rows: slice
    core_cols: slice

    def owns(self, row: float, col: float) -> bool:
        """Whether a centroid, counted from the window's corner, lies in the core."""
        row, col = row + self.rows.start, col + self.cols.start
        # a centroid is a pixel's middle: the pixel's edge is where cores meet
        return (
            self.core_rows.start - 0.5 <= row < self.core_rows.stop - 0.5
            and self.core_cols.start - 0.5 <= col < self.core_cols.stop - 0.5
        )


def simple_factor(factor: float) -> Fraction:
    """A fraction near ``factor``, so that windows begin between two pixels of the network too.

    >>> simple_factor(0.51), simple_factor(2.6)
    (Fraction(1, 2), Fraction(13, 5))
    """
    if factor >= 1:
        return Fraction(factor).limit_denominator(5)
    choices = [Fraction(p, max(1, round(p / factor))) for p in range(1, 9)]
    return min(choices, key=lambda choice: round(abs(float(choice) / factor - 1), 2))


def windows(shape: tuple[int, int], factor: Fraction) -> Iterator[Window]:
    """Cut a picture of ``shape`` (H, W); borders lie where the network's stride of 32 begins."""
    unit = 32 * factor.denominator
    worked = 32 * factor.numerator  # what a unit is for the network
    core, margin = unit * max(1, TILE // worked), unit * math.ceil(MARGIN / worked)
    for top in range(0, shape[0], core):
        for left in range(0, shape[1], core):
            yield Window(
                *(
                    slice(max(0, at - margin), min(at + core + margin, side))
                    for at, side in ((top, shape[0]), (left, shape[1]))
                ),
                slice(top, min(top + core, shape[0])),
                slice(left, min(left + core, shape[1])),
            )


def own_nuclei(labels: np.ndarray, window: Window, first: int) -> tuple[np.ndarray, int]:
    """Keep the nuclei of a window's core, numbered from ``first``; returns also the next number."""
    numbers = np.zeros(int(labels.max()) + 1, np.int32)
    for region in regionprops(labels):
        if window.owns(*region.centroid):
            numbers[region.label] = first
            first += 1
    return numbers[labels], first


# --- a whole mosaic ------------------------------------------------------------------------------


def segment_mosaic(
    network: ResNet18FPN,
    job: Job,
    out: Path,
    settings: Settings,
    progress: Callable[[], None] = lambda: None,
    classifier: ResNet18Classifier | None = None,
) -> Outcome:
    """Segment one large picture; the results are those of any picture, the overlay smaller.

    Raises :class:`~devotools._validate.InputError` when the file cannot be read, or a result
    cannot be written.
    """
    started, source = time.perf_counter(), file_state(job.path)
    pixel_size_um = settings.pixel_size_um or read_pixel_size(job.path)[0]
    names = [job.result("labels", ".tif"), job.result("overlays", ".png")]
    names += [job.result("rois", ".zip")] if settings.rois else []
    tables, doubts, told = [], [], []
    with open_pixels(job.path) as pixels, _canvas(out / names[0], pixels.shape) as canvas:
        factor = simple_factor(scale_of(network, pixels, settings.scale))
        _check_factor(factor, job)
        with open_rois(out / names[2], pixels.shape) if settings.rois else nullcontext() as rois:
            count = 0
            for window in windows(pixels.shape, factor):
                image = pixels.grey(window.rows, window.cols)
                stretched = pixels.stretched(window.rows, window.cols)
                probability = predict_stretched(network, stretched, float(factor))
                labels = label_nuclei(
                    probability, threshold=settings.threshold, min_area=settings.min_area
                )
                own, following = own_nuclei(labels, window, count + 1)
                if following > count + 1:
                    _paint(canvas, own, window)
                    nuclei = _measured(own, image, window, pixel_size_um)
                    states = tell(classifier, stretched, own, stretched=True)
                    told += [] if states is None else [states]
                    tables.append(with_states(nuclei, states))
                    doubts.append((following - count - 1, uncertainty(probability, own)))
                    if rois is not None:
                        corner = window.rows.start, window.cols.start
                        add_rois(rois, own, corner=corner, digits=6)
                count = following - 1
                progress()
        _write_canvas(out / names[0], canvas)
        whole = pd.concat(told) if told else tell(classifier, *NOTHING)
        _write_small_overlay(out / names[1], pixels, canvas, states_by_label(whole))
    nuclei = pd.concat(tables) if tables else with_states(measure_nuclei(NOTHING[1]), whole)
    if settings.rois and not count:
        names.pop()
    return Outcome(
        image=job.image,
        nuclei=count,
        seconds=time.perf_counter() - started,
        rows=table_rows(job.image, nuclei),
        scale=float(factor),
        uncertainty=_mean(doubts),
        output=job.output.as_posix(),
        files={name: file_sum(out / name) for name in names},
        source=source,
        states=count_states(whole),
    )


def _check_factor(factor: Fraction, job: Job) -> None:
    """Refuse an enlargement that shows nothing new, and would take days."""
    if factor > MOST_ENLARGED:
        raise InputError(
            f"{job.image!r} is a large picture and would be enlarged {float(factor):.3g} times; "
            f"expected {MOST_ENLARGED} times at most. Give a larger nucleus size: it is counted in "
            "pixels, not in micrometres."
        )


def scale_of(network: ResNet18FPN, pixels: Pixels, scale: float | str) -> float:
    """The factor for the network: as set, or found by looking at pieces of the mosaic."""
    if scale != "auto":
        return float(scale)
    side = int(min(*pixels.shape, 2 * TILE))
    places = [(0.5, 0.5), (0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75)]
    if max(pixels.shape) < 1.5 * side:
        places = places[:1]  # the others would show nearly the same
    pieces = []
    for row, col in places:
        top = int(np.clip(row * pixels.shape[0] - side / 2, 0, pixels.shape[0] - side))
        left = int(np.clip(col * pixels.shape[1] - side / 2, 0, pixels.shape[1] - side))
        pieces.append(pixels.stretched(slice(top, top + side), slice(left, left + side)))
    usual = getattr(network, "working_nucleus", None)
    size = None if usual is None else nucleus_size(network, pieces, FACTORS)
    return 1.0 if size is None else usual / size


@contextmanager
def _canvas(labels_path: Path, shape: tuple[int, int]) -> Iterator[np.ndarray]:
    """An empty label image (H, W) int32 on the disk beside where it will be written."""
    path = labels_path.parent / f".{uuid.uuid4().hex[:8]}.raw"
    needed = math.prod(shape) * np.dtype(np.int32).itemsize
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _take_room(path, needed)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise InputError(
                f"{labels_path.name!r} is unpacked beside the results, into {needed / 2**20:,.0f} "
                f"MiB ({error.strerror}); expected as much room on the disk, where "
                f"{shutil.disk_usage(path.parent).free / 2**20:,.0f} MiB are left. Make room, or "
                "choose another folder for the results."
            ) from error
        yield np.memmap(path, np.int32, mode="r+", shape=shape)
    except OSError as error:
        raise cannot_write(labels_path, error) from error
    finally:
        with suppress(OSError):
            path.unlink()


def _take_room(path: Path, size: int) -> None:
    """A file of zeros whose room on the disk is sure: without it, writing would end the program."""
    with open(path, "wb") as file:
        if hasattr(os, "posix_fallocate"):  # not everywhere, and not on every file system
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                if error.errno in NO_ROOM:
                    raise
        file.truncate(size)


def _paint(canvas: np.ndarray, own: np.ndarray, window: Window) -> None:
    view = canvas[window.rows, window.cols]
    np.copyto(view, own, where=(own > 0) & (view == 0))


def _measured(
    own: np.ndarray, image: np.ndarray, window: Window, pixel_size_um: float | None
) -> pd.DataFrame:
    nuclei = measure_nuclei(own, image, pixel_size_um=pixel_size_um)
    nuclei["centroid_row"] += window.rows.start
    nuclei["centroid_col"] += window.cols.start
    return nuclei


def _write_canvas(path: Path, canvas: np.ndarray) -> None:
    """Write the labels as uint16 or int32, a strip of rows in memory at a time.

    In strips, for ImageJ opens no tiles without a plugin.
    """
    most = max(int(canvas[top : top + 1024].max()) for top in range(0, len(canvas), 1024))
    dtype = np.dtype("<u2" if most < 2**16 else "<i4")

    def strips() -> Iterator[bytes]:
        for top in range(0, len(canvas), STRIP):
            yield zlib.compress(canvas[top : top + STRIP].astype(dtype).tobytes())

    with replace_file(path) as temporary:
        tifffile.imwrite(
            temporary,
            strips(),
            shape=canvas.shape,
            dtype=dtype,
            byteorder="<",
            rowsperstrip=STRIP,
            compression="zlib",
            photometric="minisblack",
        )


def _write_small_overlay(
    path: Path, pixels: Pixels, canvas: np.ndarray, states: Mapping[int, str] | None = None
) -> None:
    """Write the outlines over the picture, both made ``times`` smaller."""
    times = math.ceil(max(pixels.shape) / OVERLAY_SIDE)
    height, width = (side // times * times for side in pixels.shape)
    strips = []
    for top in range(0, height, times * 256):
        grey = pixels.grey(slice(top, min(top + times * 256, height)), slice(0, width))
        size = (width // times, len(grey) // times)
        strips.append(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))
    labels = np.ascontiguousarray(canvas[times // 2 : height : times, times // 2 : width : times])
    write_overlay(path, np.concatenate(strips), labels, states)


def _mean(doubts: list[tuple[int, float]]) -> float:
    total = sum(count for count, _ in doubts)
    return sum(count * doubt for count, doubt in doubts) / total if total else 0.0
