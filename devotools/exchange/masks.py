"""Masks as people hand them over: JPEG rags, label images, outlines; made into what we read."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage
from skimage.measure import label

from devotools._validate import InputError, check_count, check_image
from devotools.exchange.archives import is_archive
from devotools.exchange.rois import read_rois, rois_to_labels
from devotools.images import (
    check_opaque,
    is_tiff,
    one_sentence,
    read_array,
    read_image,
    read_labels,
    read_mask,
    to_grey,
)

CROSS = ndimage.generate_binary_structure(2, 1)  # a pixel and its four neighbours
RAGS = 0.1  # a mask that is nowhere brighter than this holds compression noise only
MIN_AREA = 20  # pixels; the smallest nucleus that evaluation counts
JPEG_SUFFIXES = {".jpg", ".jpeg"}
COLOURFUL = 96  # between the colours of a pixel, of 255; JPEG alone makes less of grey
PIECES = 2  # a label image has about one piece an id; a grey picture has thousands
LEAST_AREA = 5  # pixels of a usual id; the greys of a smoothed outline have one or two each


def clean_mask(grey: np.ndarray, *, min_area: int = MIN_AREA) -> np.ndarray:
    """Make an (H, W) bool mask of a drawn one, (H, W) in [0, 1], that JPEG has made ragged.

    Three steps: brighter than half of its maximum is nucleus (JPEG invents faint values along
    every outline); an opening by a 3 x 3 cross takes hairs and single pixels; 4-connected objects
    under ``min_area`` pixels are removed. A picture that is nowhere brighter than 0.1 becomes
    empty. Nuclei of about five pixels across and more keep their shape to a pixel.

    Raises :class:`~devotools._validate.InputError`. Taught in lesson 01.

    >>> grey = np.zeros((12, 12)); grey[3:9, 3:9] = 1; grey[0, 11] = 0.04; grey[11, 0] = 0.9
    >>> int(clean_mask(grey).sum())
    32
    """
    grey = check_image(grey, "drawn mask").astype(np.float64)
    check_count(min_area, "min_area", least=0)
    if grey.max() < RAGS:
        return np.zeros(grey.shape, bool)
    mask = grey > grey.max() / 2
    framed = np.pad(mask, 1, mode="edge")  # a nucleus at the border is cut by it, not ragged
    opened = ndimage.binary_opening(framed, CROSS)[1:-1, 1:-1]
    objects, _ = ndimage.label(opened, CROSS)
    areas = np.bincount(objects.ravel())
    return opened & (areas >= min_area)[objects]


def read_truth(
    path: Path, shape: tuple[int, int], *, clean: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read what somebody marked, as a mask (H, W) bool and labels (H, W) int32, or None.

    Masks of two values give no labels; label images and ImageJ ROIs give both. ``shape`` is the
    picture's: outlines are painted on it. With ``clean``, grey masks go through
    :func:`clean_mask`; without, they are refused. Raises
    :class:`~devotools._validate.InputError` with the remedy.
    """
    if path.suffix.lower() == ".roi" or is_archive(path):
        labels = rois_to_labels(read_rois(path), shape)
        return labels > 0, labels
    if path.suffix.lower() in JPEG_SUFFIXES:
        return _read_lossy(path, clean), None
    labels = _read_whole_numbers(path)
    if labels is None:
        return (_read_grey(path) if clean else _read_two_values(path)), None
    if len(np.unique(labels)) <= 2:
        mask = read_mask(path)
        alone = _is_one_nucleus(labels) and np.array_equal(mask, labels > 0)  # as its palette shows
        return mask, labels if alone else None
    if _looks_grey(labels):
        if _looks_like_labels_in_pieces(labels):
            raise InputError(
                f"mask {str(path)!r} holds {len(np.unique(labels))} values, each in several pieces "
                "of one brightness: a label image, it seems, with pixels astray; expected one "
                "piece a nucleus. Number the pieces anew, for example with "
                "skimage.measure.label(labels > 0), after taking the stray ones away."
            )
        if clean:
            return _read_grey(path), None
        raise InputError(
            f"mask {str(path)!r} holds {len(np.unique(labels))} values, scattered like those of a "
            "grey picture; expected two values, or a label image with one id a nucleus. Give "
            "clean (--clean) to cut it at half of its maximum, or draw it without smoothing."
        )
    return labels > 0, labels


def _read_lossy(path: Path, clean: bool) -> np.ndarray:
    if clean:
        return _read_grey(path, lossy=True)
    try:
        return read_mask(path)
    except InputError as error:
        read_array(path)  # what cannot be read at all says so
        raise InputError(
            f"mask {str(path)!r} is a JPEG of many values; expected two. Its compression invents "
            "values along every outline: give clean (--clean) to cut it at half of its maximum "
            f"and smooth it, or save it as PNG. ({error})"
        ) from error


def _read_two_values(path: Path) -> np.ndarray:
    """The mask; where there are more than two values, the remedy depends on which they are."""
    try:
        return read_mask(path)
    except InputError as error:
        array = read_array(path)
        if array.ndim == 2 and (array != np.round(array)).any():
            raise InputError(
                f"mask {str(path)!r} holds decimals of many values, like a grey picture or a "
                "probability; expected two values, or a label image with one id a nucleus. Give "
                "clean (--clean) to cut it at half of its maximum."
            ) from error
        if array.ndim == 2 and not 0 <= array.min() <= array.max() < 2**31:
            raise InputError(
                f"mask {str(path)!r} holds whole numbers from {array.min():.0f} to "
                f"{array.max():.0f}; expected two values, or a label image: 0 for the background, "
                "and ids from 1 and below 2**31. Number it anew, for example with "
                "skimage.measure.label."
            ) from error
        raise


def _is_one_nucleus(labels: np.ndarray) -> bool:
    """Whether this is the one nucleus of a label image, by its id, and not a mask's white."""
    highest = int(labels.max())
    return highest not in (0, 1, 255, 2**16 - 1) and label(labels, connectivity=1).max() == 1


def _check_two_levels(path: Path, grey: np.ndarray) -> None:
    """Refuse a label image that was saved as JPEG: its nuclei of low numbers would be cut away."""
    blobs, count = ndimage.label(ndimage.binary_opening(grey > RAGS, CROSS), CROSS)
    if count < 2:
        return
    middle, inside = (  # of each; of the numbers 1 and 2 the lower is half as bright
        ndimage.labeled_comprehension(
            grey, blobs, range(1, count + 1), partial(np.percentile, q=q), float, 0
        )
        for q in (50, 75)
    )
    flat = middle > 0.85 * inside  # no soft outline
    if np.mean(flat & (inside < 0.6 * grey.max())) > 0.3:
        raise InputError(
            f"mask {str(path)!r} is a JPEG with areas of several brightnesses, a label image, it "
            "seems; expected one brightness for all nuclei. Save it as TIFF or PNG, which keep a "
            "number for each nucleus."
        )


def _read_grey(path: Path, *, lossy: bool = False) -> np.ndarray:
    """A grey mask made clean; colours are refused, for each may be a nucleus, or a note.

    One of more than 8 bits may use a part of them only: its brightest value is white, or 255.
    """
    array = read_array(path, inverting=False)
    check_opaque(array, f"mask {str(path)!r}")
    grey = to_grey(array, f"mask {str(path)!r}")
    colours = array if array.ndim == 2 else array[..., : 3 if array.shape[2] > 2 else 1]
    if array.dtype.kind in "ui" and array.dtype.itemsize > 1 and 0 <= colours.min() < colours.max():
        grey = grey / grey.max() * min(1.0, colours.max() / 255)
    if array.ndim == 3 and array.shape[2] >= 3:
        spread = np.ptp(array[..., :3].astype(np.float64), axis=2).max()
        most = np.iinfo(array.dtype).max if array.dtype.kind in "ui" else array.max()
        if spread > COLOURFUL / 255 * most:
            raise InputError(
                f"mask {str(path)!r} is coloured; expected grey. Save it as a label image, one "
                "number a nucleus, or as black and white."
            )
    if lossy:
        _check_two_levels(path, grey)
    return clean_mask(grey)


def _read_whole_numbers(path: Path) -> np.ndarray | None:
    """The ids of a label image, int32; None for colour. Fiji stores ids as floats: taken too."""
    try:
        return read_labels(path)
    except InputError:
        with one_sentence(f"mask {str(path)!r}"):
            if not path.is_file() or not is_tiff(path):
                return None
            read_image(path)  # refuses what is damaged, a stack, too large, or not finite
            array = np.squeeze(tifffile.imread(path))
    whole = array.ndim == 2 and array.dtype.kind == "f" and (array == np.round(array)).all()
    fits = whole and 0 <= array.min() and float(array.max()) < 2**31
    return array.astype(np.int32) if fits else None


def _looks_like_labels_in_pieces(labels: np.ndarray) -> bool:
    """Whether these are large areas of many brightnesses, not nuclei of one with soft outlines."""
    values, counts = np.unique(labels[labels > 0], return_counts=True)
    pieces = label(labels, background=0, connectivity=2).max()
    bright = counts[values >= 0.8 * values.max()].sum()
    mostly_dim = bright < counts.sum() / 2 or values.max() < 255 * RAGS
    return bool(mostly_dim and counts.sum() >= MIN_AREA * pieces)


def _looks_grey(labels: np.ndarray) -> bool:
    """Whether equal values lie scattered, as in a photograph, not together, as in labels."""
    pieces = label(labels, background=0, connectivity=2).max()  # neighbours of one value are one
    _, areas = np.unique(labels[labels > 0], return_counts=True)
    blobs = label(labels > 0, connectivity=2).max()
    # the greys of smoothed outlines: many values of a pixel or two, side by side in few blobs
    smoothed = np.median(areas) < LEAST_AREA and len(areas) > 2 * PIECES * blobs
    return bool(pieces > PIECES * len(areas) or smoothed)
