"""What training makes small: cross-entropy for each pixel, and soft Dice for the whole mask."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def soft_dice_loss(logits: Tensor, target: Tensor, *, smooth: float = 1.0) -> Tensor:
    """One minus the Dice score of a probability against a mask, averaged over the batch.

    ``logits`` and ``target`` are (N, 1, H, W), the target 0 or 1; the answer is a scalar in
    [0, 1]. Dice asks about the overlap, so that a picture that is nine tenths background still
    cares about its nuclei. ``smooth``, in pixels, keeps an empty mask from dividing by zero: empty
    against empty costs nothing. A larger one (50, say) lets nuclei that are made up in an empty
    picture weigh more; with 1, making up a large one costs hardly more than making up a small one.
    Source: Milletari et al. 2016, "V-Net", section 3. Taught in lesson 03.

    >>> mask = torch.tensor([[[[1.0, 0.0]]]])
    >>> float(soft_dice_loss(torch.tensor([[[[20.0, -20.0]]]]), mask)) < 1e-6
    True
    """
    probability = torch.sigmoid(logits)
    overlap = (probability * target).sum(dim=(1, 2, 3))  # (N,)
    total = probability.sum(dim=(1, 2, 3)) + target.sum(dim=(1, 2, 3))  # (N,)
    return 1 - ((2 * overlap + smooth) / (total + smooth)).mean()


def segmentation_loss(logits: Tensor, target: Tensor, *, smooth: float = 1.0) -> Tensor:
    """Binary cross-entropy plus soft Dice, both on (N, 1, H, W) logits; a scalar.

    Cross-entropy judges each pixel by itself and gives a steady slope from the first step;
    Dice judges the picture as a whole, and cares for few and small nuclei. ``smooth`` is that of
    :func:`soft_dice_loss`. Taught in lesson 03.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, target)
    return entropy + soft_dice_loss(logits, target, smooth=smooth)
