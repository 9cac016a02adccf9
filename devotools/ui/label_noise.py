"""Noise against IoU, moved by hand: how ragged a mask may be before its score says so."""

from __future__ import annotations

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure

from devotools._validate import InputError, check_mask
from devotools.metrics import iou_score
from devotools.plots import show_image, show_overlay
from devotools.synthetic import add_label_noise

from .explorer import SLIDER, Explorer

ALT = (
    "Two panels. Left, the clean mask, white on black. Right, the mask as the two sliders spoil "
    "it, with the outlines of the clean mask in dashed blue."
)


def explore_label_noise(mask: np.ndarray) -> Explorer:
    """Sliders for the strength and the seed of label noise, over the mask that they spoil.

    ``mask`` is (H, W) bool, or 0 and 1; it is spoilt by :func:`~devotools.add_label_noise`. The
    message gives the IoU of the spoilt mask and the clean one: nobody who is scored against the
    spoilt mask and knows the truth can do better. The controls are called ``strength`` (0 is
    clean, 1 is as in 2020) and ``seed``.

    Raises :class:`~devotools._validate.InputError` for other values, another number of axes, or a
    mask without a nucleus. Taught in lesson 06.

    >>> mask = np.zeros((48, 48), bool)
    >>> mask[10:30, 14:34] = True
    >>> explorer = explore_label_noise(mask)
    >>> explorer.controls["strength"].value = 0
    >>> explorer.message
    'strength 0.0: IoU of spoilt and clean mask 1.00, area 1.00 of the clean one'
    """
    mask = check_mask(mask)
    if not mask.any():
        raise InputError(
            f"mask of shape {mask.shape} holds no nucleus; expected at least one, for there is "
            "nothing to spoil. Choose another section."
        )

    def draw(figure: Figure, strength: float, seed: int) -> str:
        noisy = add_label_noise(mask, seed=seed, strength=strength)
        left, right = figure.subplots(1, 2)
        show_image(mask, left, title="clean")
        show_overlay(noisy, ax=right, true=mask, title="spoilt")
        iou, area = iou_score(mask, noisy), noisy.sum() / mask.sum()
        return (
            f"strength {strength:.1f}: IoU of spoilt and clean mask {iou:.2f}, "
            f"area {area:.2f} of the clean one"
        )

    return Explorer(draw, _sliders(), alt=ALT, size=(8.0, 4.2))


def _sliders() -> dict[str, widgets.Widget]:
    return {
        "strength": widgets.FloatSlider(
            1.0, min=0, max=2, step=0.1, readout_format=".1f", description="strength", **SLIDER
        ),
        "seed": widgets.IntSlider(0, min=0, max=20, description="seed (another hand)", **SLIDER),
    }
