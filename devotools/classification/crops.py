"""Crops: each nucleus in the middle of a small picture, always of the same size in it.

A nucleus is 12 pixels wide in one picture and 200 in another. In its crop it always takes the same
share, so that the network need not learn sizes; what lies round it comes along, since "dark" and
"pale" mean little without the cytoplasm beside them.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from devotools._validate import (
    InputError,
    check_image,
    check_labels,
    check_positive,
    check_same_shape,
)
from devotools.images import stretch_contrast, to_grey
from devotools.measure import measure_nuclei

STATES = ("interphase", "condensed")  # classes 0 and 1
UNSURE = "unsure"  # said of a nucleus where neither is likely enough
SIDE = 64  # pixels of a crop: two of the strides of ResNet18
CONTEXT = 2.0  # side of a crop over the diameter of its nucleus
MOST_CONTEXT = 16.0


def nucleus_crops(
    image: np.ndarray, labels: np.ndarray, *, context: float = CONTEXT, stretched: bool = False
) -> np.ndarray:
    """Cut each nucleus of an (H, W) picture out: (K, 1, 64, 64) float32 in [0, 1].

    The contrast of the whole picture is stretched first (:func:`~devotools.stretch_contrast`),
    unless it is ``stretched`` already. Each crop is a square round the middle of a nucleus, whose
    side is ``context`` times the diameter of a disc of the nucleus' area; where it leaves the
    picture, the border is repeated. ``labels`` is (H, W); crops come in the order of its ids, as
    the rows of :func:`~devotools.measure_nuclei` do. No nucleus gives an array of length 0.

    What training, prediction and the lesson use alike. Raises
    :class:`~devotools._validate.InputError`. Taught in lesson 07.

    >>> labels = np.zeros((40, 40), int)
    >>> labels[10:20, 10:20] = 7
    >>> nucleus_crops(labels / 7, labels).shape
    (1, 1, 64, 64)
    """
    image, labels = to_grey(check_image(image)), check_labels(labels)
    check_same_shape(image, labels, ("image", "labels"))
    if not 1 <= check_positive(context, "context") <= MOST_CONTEXT:
        raise InputError(
            f"context is {context:g}; expected a number from 1 (the nucleus alone) to "
            f"{MOST_CONTEXT:g}. Try {CONTEXT:g}."
        )
    picture = image if stretched else stretch_contrast(image)
    crops = list(_cut(picture, labels, context))
    return np.stack(crops)[:, None] if crops else np.empty((0, 1, SIDE, SIDE), np.float32)


def _cut(picture: np.ndarray, labels: np.ndarray, context: float) -> Iterator[np.ndarray]:
    """Crops (64, 64) float32 of a stretched picture, one a nucleus."""
    nuclei = measure_nuclei(labels)
    for nucleus in nuclei.itertuples():
        side = max(2, round(context * 2 * np.sqrt(nucleus.area_px / np.pi)))
        rows = _inside(nucleus.centroid_row, side, picture.shape[0])
        cols = _inside(nucleus.centroid_col, side, picture.shape[1])
        crop = picture[np.ix_(rows, cols)].astype(np.float32)
        # shrunk, each pixel is the mean of what it covers; enlarged, it lies between neighbours
        way = cv2.INTER_AREA if side > SIDE else cv2.INTER_LINEAR
        yield np.clip(cv2.resize(crop, (SIDE, SIDE), interpolation=way), 0, 1)


def _inside(middle: float, side: int, length: int) -> np.ndarray:
    """The ``side`` places round ``middle``; those outside of 0 to ``length`` are at the border."""
    first = round(middle - (side - 1) / 2)
    return np.clip(np.arange(first, first + side), 0, length - 1)
