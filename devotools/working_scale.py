"""At what scale to look at a picture: where the network sees nuclei of the size it knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from devotools.metrics import THRESHOLD
from devotools.model import ResNet18FPN
from devotools.predict import predict_stretched

FACTORS = (0.25, 0.5, 1.0, 2.0)
SEEN = 1024  # side of what the network sees of a piece, in its own pixels
KNOWN = (0.4, 2.5)  # nuclei so many times the usual size are still found well
SURE = 0.8  # mean probability of a nucleus that can be counted on


def sure_nuclei(probability: np.ndarray, usual: float) -> np.ndarray:
    """Diameters (px) of what are surely nuclei in a probability map (H, W), in its own pixels.

    ``usual`` is the diameter that the model knows; what is far from it is left out, and so is what
    touches the border.
    """
    pieces, count = ndimage.label(probability >= THRESHOLD)
    numbers = np.arange(1, count + 1)
    areas = ndimage.sum_labels(np.ones_like(probability), pieces, numbers)
    means = ndimage.mean(probability, pieces, numbers) if count else np.empty(0)
    border = np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]])
    diameters = 2 * np.sqrt(areas / np.pi)
    low, high = (share * usual for share in KNOWN)
    sure = (means >= SURE) & (low <= diameters) & (diameters <= high)
    return diameters[sure & ~np.isin(numbers, border)]


def best_scale(
    model: ResNet18FPN,
    pieces: Sequence[np.ndarray],
    factors: Sequence[float] = FACTORS,
) -> float:
    """The factor at which ``pieces`` of a picture, stretched (H, W) float32, show most nuclei.

    Each piece is looked at from its middle at each of the ``factors``; the one where sure nuclei
    cover the largest share wins, and is refined so that their median has the size that the model
    was trained for. Without any nucleus anywhere, or a model that does not know its size, it is 1.
    """
    usual = model.working_nucleus
    if usual is None:
        return 1.0
    best, share = 1.0, 0.0
    for factor in factors:
        found, seen = [], 0
        for piece in pieces:
            middle = _middle(piece, round(SEEN / factor))
            probability = predict_stretched(model, middle, factor)
            found.append(sure_nuclei(probability, usual / factor))
            seen += middle.size
        diameters = np.concatenate(found)
        covered = float((diameters**2).sum()) / seen
        if covered > share:
            best, share = usual / float(np.median(diameters)), covered
    return best


def _middle(piece: np.ndarray, side: int) -> np.ndarray:
    top, left = (max(0, (length - side) // 2) for length in piece.shape)
    return np.ascontiguousarray(piece[top : top + side, left : left + side])
