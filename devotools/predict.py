"""From a picture to the probability of nucleus, and from there to numbered nuclei."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.measure import label, regionprops
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import relabel_sequential, watershed
from torch import Tensor, nn

from devotools._validate import (
    InputError,
    check_count,
    check_fraction,
    check_image,
    check_kind,
    check_positive,
)
from devotools.images import stretch_contrast, to_grey
from devotools.inference import (
    at_working_size,
    in_grid,
    network_answers,
    predict_stretched,
    scale_factor,
)
from devotools.metrics import THRESHOLD
from devotools.model import ResNet18FPN
from devotools.working_scale import better_scale

BATCH_PIXELS = 2**20  # in one batch together, so that memory does not grow with the pictures
ROUNDING = 1e-6  # how far beyond 0 and 1 a probability may lie
HOLE = 1 / 3  # a hole is filled up to this share of the radius of what encloses it
NECK = 0.25  # discs are parted where they narrow by this share of the widest one's radius


def predict_probability(
    model: ResNet18FPN, image: np.ndarray, *, scale: float | str = "auto"
) -> np.ndarray:
    """Probability of nucleus for each pixel of an (H, W) image: (H, W) float32 in [0, 1].

    The picture is stretched to its percentiles, brought to the model's working resolution, and
    the answer brought back to the picture's own grid. ``scale="auto"`` makes the longest side
    what the model was trained on (``model.working_side``), unless the nuclei are of another size
    then than it knows (see :func:`devotools.working_scale.better_scale`); a number is a plain
    factor, and 1 leaves the pixels as they are. The model's mode (train or eval) is what it was
    before.

    Raises :class:`~devotools._validate.InputError` for an image that is not (H, W), has NaN, or
    a ``scale`` that is neither "auto" nor a number above 0. Taught in lesson 05.
    """
    return next(predict_probabilities(model, [image], scale=scale, batch_size=1))


def predict_probabilities(
    model: ResNet18FPN,
    images: Iterable[np.ndarray],
    *,
    scale: float | str = "auto",
    batch_size: int = 8,
) -> Iterator[np.ndarray]:
    """:func:`predict_probability` for many pictures, one answer each, in the same order.

    Neighbours that reach the network at one size are sent through it together, ``batch_size`` and
    about a million pixels at most. Pictures are taken as they are needed, so ``images`` may be a
    generator over any number. Raises :class:`~devotools._validate.InputError` as
    :func:`predict_probability` does, for the first picture that cannot be used.
    """
    for probability, _ in predict_scaled(model, images, scale=scale, batch_size=batch_size):
        yield probability


def predict_scaled(
    model: ResNet18FPN,
    images: Iterable[np.ndarray],
    *,
    scale: float | str = "auto",
    batch_size: int = 8,
) -> Iterator[tuple[np.ndarray, float]]:
    """:func:`predict_probabilities`, each with the factor by which its picture was enlarged."""
    batch_size = check_count(batch_size, "batch_size")
    check_scale(scale)
    check_kind(model, nn.Module, "model", 'Load one first: model = load_model("nuclei").')
    check_channels(model)
    waiting: list[Prepared] = []
    for image in images:
        item = _prepare(model, image, scale)
        room = min(batch_size, BATCH_PIXELS // item.worked.numel())
        if waiting and (len(waiting) >= room or item.worked.shape != waiting[0].worked.shape):
            yield from _answers(model, waiting, scale)
            waiting = []
        waiting.append(item)
    yield from _answers(model, waiting, scale)


@dataclass(frozen=True)
class Prepared:
    """A picture with its contrast stretched, (H, W), and at working resolution, (1, h, w)."""

    image: np.ndarray
    worked: Tensor
    factor: float


def _prepare(model: ResNet18FPN, image: np.ndarray, scale: float | str) -> Prepared:
    image = stretch_contrast(to_grey(check_image(image)))
    factor = scale_factor(model, image.shape, scale)
    return Prepared(image, at_working_size(model, image, factor), factor)


def _answers(
    model: ResNet18FPN, waiting: list[Prepared], scale: float | str
) -> Iterator[tuple[np.ndarray, float]]:
    """The network's answer to pictures of one size, looked at again where their scale was wrong."""
    answers = network_answers(model, [item.worked for item in waiting]) if waiting else []
    if len(answers) and not answers.isfinite().all():
        raise InputError(
            "the model answers with NaN; expected probabilities. Its weights are useless, mostly "
            "of a training with too high a learning rate: train it again, or load another."
        )
    for item, answer in zip(waiting, answers, strict=True):
        factor = item.factor
        if scale == "auto":
            factor = better_scale(model, item.image, answer.numpy(), factor)
        if factor == item.factor:
            yield in_grid(answer, item.image.shape), factor
        else:
            yield predict_stretched(model, item.image, factor), factor


def check_scale(scale: float | str) -> None:
    """Refuse a ``scale`` that is neither "auto" nor a number above 0."""
    if isinstance(scale, str) and scale != "auto":
        raise InputError(f"scale is {scale!r}; expected 'auto' or a number above 0.")
    elif not isinstance(scale, str):
        check_positive(scale, "scale")


def check_channels(model: nn.Module) -> None:
    """Refuse a network that was made for colour, or for more than one class."""
    channels, classes = getattr(model, "in_channels", 1), getattr(model, "classes", 1)
    if (channels, classes) != (1, 1):
        raise InputError(
            f"the model takes {channels} channels and gives {classes} classes; expected one of "
            "each, grey pictures and nuclei. Use ResNet18FPN(in_channels=1, classes=1)."
        )


def label_nuclei(
    probability: np.ndarray, *, threshold: float = THRESHOLD, min_area: int = 20
) -> np.ndarray:
    """Number the nuclei of an (H, W) probability map: (H, W) int32, 0 for background, ids from 1.

    Pixels of at least ``threshold`` are nucleus. Nuclei that touch are parted by a watershed from
    the middle of each, where the outline between them has a waist, narrow beside the widest of all
    that hang together (so small ones that touch a large one may stay one); holes, mostly dark
    chromatin, are filled; then nuclei smaller than ``min_area`` pixels are dropped. Touching means
    by a side, not by a corner.

    Raises :class:`~devotools._validate.InputError` for values outside [0, 1]: they may be logits,
    which ``torch.sigmoid`` turns into probabilities. Source: ``skimage.segmentation.watershed``.
    Taught in lesson 04.

    >>> label_nuclei(np.array([[0.9, 0.8, 0.1, 0.7]]), min_area=1)
    array([[1, 1, 0, 2]], dtype=int32)
    """
    probability = check_image(probability, "probability")
    check_fraction(threshold, "threshold")
    min_area = check_count(min_area, "min_area", least=0)
    low, high = float(probability.min()), float(probability.max())
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise InputError(
            f"probability runs from {low:.3g} to {high:.3g}; expected values from 0 to 1. "
            "If these are logits, apply torch.sigmoid first; if an average or an enlargement has "
            "overshot, numpy.clip."
        )
    mask = (probability >= threshold) & (probability > 0)
    parted = _part_touching(_fill_holes(mask))
    areas = np.bincount(parted.ravel())
    parted[(areas < min_area)[parted]] = 0
    return relabel_sequential(parted)[0].astype(np.int32)


def _part_touching(mask: np.ndarray) -> np.ndarray:
    """Number the pieces of a mask, (H, W) integers, nuclei that touch apart."""
    pieces = label(mask, connectivity=1)
    parted, count = np.zeros_like(pieces), 0
    for piece in regionprops(pieces):
        nuclei = _part_piece(piece.image)
        parted[piece.slice][piece.image] = nuclei[piece.image] + count
        count += nuclei.max()
    return parted


def _fill_holes(mask: np.ndarray) -> np.ndarray:
    """Fill the holes of each piece that are narrow beside it: dark chromatin, not a gap between."""
    filled = mask.copy()
    for piece in regionprops(label(mask, connectivity=1)):
        if piece.area_filled == piece.area:
            continue
        widest = _depth(piece.image_filled)
        for hole in regionprops(label(piece.image_filled & ~piece.image, connectivity=1)):
            if _depth(hole.image_filled) <= HOLE * widest:
                rows, columns = hole.coords.T
                filled[piece.slice][rows, columns] = True
    return filled


def _depth(piece: np.ndarray) -> float:
    """Radius (px) of the largest disc that fits into a piece (h, w) bool."""
    return float(ndimage.distance_transform_edt(np.pad(piece, 1)).max())


def _part_piece(piece: np.ndarray) -> np.ndarray:
    """Number the nuclei of one connected piece, (h, w) bool; each middle is a hill of distance."""
    depth = ndimage.distance_transform_edt(np.pad(piece, 1))[1:-1, 1:-1]
    height = depth / depth.max()  # 0 outside, 1 at the deepest place
    cross = ndimage.generate_binary_structure(2, 1)
    flooded = reconstruction(height - NECK, height, method="dilation", footprint=cross)
    # What stands out by less than NECK is now level with the higher hill, and no peak of its own.
    peaks = local_maxima(np.pad(flooded, 1, constant_values=-1), connectivity=1)[1:-1, 1:-1]
    hills = label(peaks & piece, connectivity=1)
    if hills.max() == 1:
        return piece.astype(hills.dtype)
    return watershed(-height, hills, mask=piece, connectivity=1)
