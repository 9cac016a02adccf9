"""At what scale to look at a picture: where the network sees nuclei of the size that it knows.

A network that has learned from nuclei of many sizes finds them at neighbouring scales too, and then
agrees with itself about how large they are in the picture. What it takes for a nucleus by mistake
changes from scale to scale. So a size is believed when two scales agree on it. Where nuclei are
seen at the usual scale already, only smaller than usual, their size is known, and one enlargement
is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy import ndimage

from devotools.inference import MAX_PIXELS, predict_stretched
from devotools.metrics import THRESHOLD
from devotools.model import ResNet18FPN

STEPS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # scales to try, as multiples of the usual one
MOST = 4.0  # enlarging a picture more than so many times shows nothing new
SIDE = 2048  # of what is looked at of a picture, its middle, in pixels of the network
KNOWN = (0.4, 2.5)  # nuclei so many times the usual size are still found well
SMALL = 0.75  # nuclei below this share of the usual size are looked at again, enlarged
LEAST = 3  # nuclei on which a size can rest: one or two may agree by chance
SURE = 0.8  # mean probability of a nucleus that can be counted on
AGREE = 1.3  # two scales agree when their sizes differ by no more than this factor


def sure_nuclei(probability: np.ndarray, usual: float) -> np.ndarray:
    """Diameters (px) of what are surely nuclei in a probability map (H, W), in its own pixels.

    ``usual`` is the diameter that the model knows, in the same pixels; what is far from it is left
    out, and so is what touches the border.
    """
    pieces, count = ndimage.label(probability >= THRESHOLD)
    if not count:
        return np.empty(0)
    numbers = np.arange(1, count + 1)
    areas = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    means = ndimage.mean(probability, pieces, numbers)
    border = np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]])
    diameters = 2 * np.sqrt(areas / np.pi)
    low, high = (share * usual for share in KNOWN)
    sure = (means >= SURE) & (low <= diameters) & (diameters <= high)
    return diameters[sure & ~np.isin(numbers, border)]


def better_scale(model: ResNet18FPN, image: np.ndarray, answer: np.ndarray, factor: float) -> float:
    """The factor to look at a picture with, when it has been looked at with ``factor`` once.

    ``image`` is (H, W) float32, stretched; ``answer`` the probability that the network gave, in
    its own pixels. Where nuclei of about the size that the model knows are seen, ``factor`` stays,
    unless most of them are markedly smaller: then it becomes what brings them to that size. Where
    none is seen, other scales are tried (:func:`nucleus_size`), and it stays where no two agree.
    """
    usual = getattr(model, "working_nucleus", None)
    if usual is None or not model.working_side:
        return factor
    found = sure_nuclei(answer.reshape(answer.shape[-2:]), usual)
    if found.size:
        share = float(np.median(found)) / usual
        return factor / share if share < SMALL else factor
    steps = list(STEPS)
    while steps[-1] < STEPS[-1] * max(image.shape) / min(image.shape):
        steps.append(2 * steps[-1])  # of a long strip the longest side says little about nuclei
    size = nucleus_size(model, [image], [factor * step for step in steps])
    return factor if size is None else usual / size


def nucleus_size(
    model: ResNet18FPN, pieces: Sequence[np.ndarray], factors: Sequence[float]
) -> float | None:
    """Usual diameter (px) of the nuclei in pieces (H, W) float32 of a picture, stretched; or None.

    The pieces are looked at from their middle at each of the rising ``factors``. Neighbours that
    find about as many nuclei of about the same size agree; the pair that covers the largest share
    of the picture with them is believed.
    """
    looks = [_look(model, pieces, factor) for factor in factors if factor <= MOST]
    looks = [look for look in looks if look is not None]
    best, share = None, 0.0
    for (count, size, covered), (next_count, next_size, next_covered) in pairwise(looks):
        if not count or not next_count:
            continue
        same_size = max(size, next_size) <= AGREE * min(size, next_size)
        same_count = max(count, next_count) <= 2 * min(count, next_count)
        if same_size and same_count and min(covered, next_covered) > share:
            best, share = (size + next_size) / 2, min(covered, next_covered)
    return best


def _look(
    model: ResNet18FPN, pieces: Sequence[np.ndarray], factor: float
) -> tuple[float, float, float] | None:
    """Sure nuclei a pixel, their median diameter (px), and the share that they cover."""
    found, seen = [], 0
    for piece in pieces:
        middle = _middle(piece, round(SIDE / factor))
        if min(middle.shape) * factor < 32 or middle.size * factor**2 > MAX_PIXELS:
            return None
        probability = predict_stretched(model, middle, factor)
        found.append(sure_nuclei(probability, model.working_nucleus / factor))
        seen += middle.size
    diameters = np.concatenate(found)
    if len(diameters) < LEAST:
        return 0.0, 0.0, 0.0
    covered = float(np.pi / 4 * (diameters**2).sum()) / seen
    return len(diameters) / seen, float(np.median(diameters)), covered


def _middle(piece: np.ndarray, side: int) -> np.ndarray:
    top, left = (max(0, (length - side) // 2) for length in piece.shape)
    return np.ascontiguousarray(piece[top : top + side, left : left + side])
