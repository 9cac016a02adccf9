"""From a picture to the probability of nucleus, and from there to numbered nuclei."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from scipy import ndimage
from skimage.measure import label, regionprops
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import relabel_sequential, watershed
from torch import Tensor, nn
from torch.nn import functional

from devotools._validate import (
    InputError,
    check_count,
    check_fraction,
    check_image,
    check_positive,
)
from devotools.images import stretch_contrast, to_grey
from devotools.inference import for_prediction
from devotools.metrics import THRESHOLD
from devotools.model import ResNet18FPN

MAX_PIXELS = 2**26  # 8192 x 8192; more at once would need more memory than most machines have
BATCH_PIXELS = 2**20  # in one batch together, so that memory does not grow with the pictures
TILE = 2048  # larger pictures go through the network in pieces of this side
HALO = 288  # how far beyond a pixel the network looks; like TILE, a multiple of its stride of 32
HOLE = 1 / 3  # a hole is filled up to this share of the radius of what encloses it
NECK = 0.25  # two discs are parted where they narrow by this share of the larger one's radius


def predict_probability(
    model: ResNet18FPN, image: np.ndarray, *, scale: float | str = "auto"
) -> np.ndarray:
    """Probability of nucleus for each pixel of an (H, W) image: (H, W) float32 in [0, 1].

    The picture is stretched to its percentiles, brought to the model's working resolution, and
    the answer brought back to the picture's own grid. ``scale="auto"`` makes the longest side
    what the model was trained on (``model.working_side``); a number is a plain factor, and 1
    leaves the pixels as they are. The model's mode (train or eval) is what it was before.

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
    generator over any number.
    """
    batch_size = check_count(batch_size, "batch_size")
    check_scale(scale)
    check_channels(model)
    waiting: list[tuple[Tensor, tuple[int, int]]] = []
    for image in images:
        item = _prepare(model, image, scale)
        room = min(batch_size, BATCH_PIXELS // item[0].numel())
        if waiting and (len(waiting) >= room or item[0].shape != waiting[0][0].shape):
            yield from _run(model, waiting)
            waiting = []
        waiting.append(item)
    if waiting:
        yield from _run(model, waiting)


def check_scale(scale: float | str) -> None:
    """Refuse a ``scale`` that is neither "auto" nor a number above 0."""
    if isinstance(scale, str) and scale != "auto":
        raise InputError(f"scale is {scale!r}; expected 'auto' or a number above 0.")
    if scale != "auto":
        check_positive(scale, "scale")


def check_channels(model: nn.Module) -> None:
    """Refuse a network that was made for colour, or for more than one class."""
    channels, classes = getattr(model, "in_channels", 1), getattr(model, "classes", 1)
    if (channels, classes) != (1, 1):
        raise InputError(
            f"the model takes {channels} channels and gives {classes} classes; expected one of "
            "each, grey pictures and nuclei. Use ResNet18FPN(in_channels=1, classes=1)."
        )


def scale_factor(model: ResNet18FPN, shape: tuple[int, int], scale: float | str) -> float:
    """The factor by which a picture of ``shape`` (H, W) is enlarged before the network sees it."""
    if scale != "auto":
        return float(scale)
    return model.working_side / max(shape) if model.working_side else 1.0


def _prepare(
    model: ResNet18FPN, image: np.ndarray, scale: float | str
) -> tuple[Tensor, tuple[int, int]]:
    """The picture at working resolution, (1, h, w), and the size to come back to."""
    image = stretch_contrast(to_grey(check_image(image)))
    size = check_working_size(model, image.shape, scale)
    return _resize(torch.from_numpy(image)[None, None], size)[0], image.shape


def predict_stretched(model: ResNet18FPN, image: np.ndarray, factor: float) -> np.ndarray:
    """:func:`predict_probability` of an (H, W) float32 picture that is stretched already.

    For a piece of a picture, whose contrast must not be stretched by itself; ``factor`` is a
    number.
    """
    size = check_working_size(model, image.shape, factor)
    return next(_run(model, [(_resize(torch.from_numpy(image)[None, None], size)[0], image.shape)]))


def check_working_size(
    model: ResNet18FPN, shape: tuple[int, int], scale: float | str
) -> tuple[int, int]:
    """The size at which the network sees a picture of ``shape`` (H, W); too large is refused."""
    factor = scale_factor(model, shape, scale)
    height, width = (max(1.0, side * factor) for side in shape)
    if height * width > MAX_PIXELS:
        raise InputError(
            f"a picture of {shape[0]} x {shape[1]} pixels, enlarged {factor:.3g} "
            f"times, has {height * width:.3g} pixels; expected {MAX_PIXELS:,} at most. Give a "
            "smaller scale (a larger nucleus size), or cut the picture into pieces."
        )
    return round(height), round(width)


def _run(model: ResNet18FPN, waiting: list[tuple[Tensor, tuple[int, int]]]) -> Iterator[np.ndarray]:
    batch = torch.stack([picture for picture, _ in waiting])  # (N, 1, h, w)
    with evaluating(model), torch.inference_mode():
        probability = torch.sigmoid(_in_tiles(for_prediction(model), batch))  # (N, 1, h, w)
    for one, (_, shape) in zip(probability, waiting, strict=True):
        yield _resize(one[None], shape)[0, 0].clamp(0, 1).numpy()  # (H, W)


def _in_tiles(network: nn.Module, batch: Tensor) -> Tensor:
    """Logits (N, 1, h, w) float32 of a batch, piece by piece where it is large.

    Each piece sees ``HALO`` pixels beyond what is kept of its answer, as far as the network looks,
    so the pieces together are what the whole would give, in less memory.
    """
    one = next(network.parameters(), torch.empty(0))
    answers = []
    for rows, rows_seen in _pieces(batch.shape[2]):
        row = []
        for cols, cols_seen in _pieces(batch.shape[3]):
            seen = batch[:, :, slice(*rows_seen), slice(*cols_seen)]
            seen = seen.to(one.device, one.dtype, memory_format=torch.channels_last)
            answer = network(seen).float().cpu()
            top, left = rows[0] - rows_seen[0], cols[0] - cols_seen[0]
            row.append(answer[:, :, top : top + rows[1] - rows[0], left : left + cols[1] - cols[0]])
        answers.append(torch.cat(row, dim=3))
    return torch.cat(answers, dim=2)


def _pieces(side: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Cut a side of so many pixels: (start, end) of each piece, and of what is seen for it."""
    if side <= TILE + 2 * HALO:
        return [((0, side), (0, side))]
    return [
        (
            (start, min(start + TILE, side)),
            (max(start - HALO, 0), min(start + TILE + HALO, side)),
        )
        for start in range(0, side, TILE)
    ]


def _resize(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, 1, H, W) to (N, 1, *size); made smaller, each pixel averages all that it covers."""
    if pictures.shape[-2:] == tuple(size):
        return pictures
    return functional.interpolate(
        pictures, size=size, mode="bilinear", align_corners=False, antialias=True
    )


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put ``model`` into eval mode, and back into the mode it had."""
    with keeping_mode(model):
        model.eval()
        yield


@contextmanager
def keeping_mode(model: nn.Module) -> Iterator[None]:
    """Bring each part of ``model`` back into the mode it had: some may have been frozen in eval."""
    modes = [(part, part.training) for part in model.modules()]
    try:
        yield
    finally:
        for part, was_training in modes:
            part.training = was_training


def label_nuclei(
    probability: np.ndarray, *, threshold: float = THRESHOLD, min_area: int = 20
) -> np.ndarray:
    """Number the nuclei of an (H, W) probability map: (H, W) int32, 0 for background, ids from 1.

    Pixels of at least ``threshold`` are nucleus. Nuclei that touch are parted by a watershed from
    the middle of each, where the outline between them has a waist; holes, mostly dark chromatin,
    are filled; then nuclei smaller than ``min_area`` pixels are dropped. Touching means by a side,
    not by a corner.

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
    if low < 0 or high > 1:
        raise InputError(
            f"probability runs from {low:.3g} to {high:.3g}; expected values from 0 to 1. "
            "If these are logits, apply torch.sigmoid first."
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
