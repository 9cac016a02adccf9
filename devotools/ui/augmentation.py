"""Augmentation by hand: turn, zoom, light and noise, and a mask that may be left behind."""

from __future__ import annotations

import cv2
import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure

from devotools._validate import check_mask, check_same_shape
from devotools.images import to_grey
from devotools.metrics import dice_score
from devotools.plots import show_overlay

from .explorer import Explorer


def explore_augmentation(image: np.ndarray, mask: np.ndarray) -> Explorer:
    """Change an image with sliders, and choose whether its mask goes along.

    ``image`` is (H, W) in [0, 1], ``mask`` (H, W) of its size, True (or 1) inside nuclei. The
    controls are ``rotation`` (degrees, against the clock), ``zoom`` (a factor), ``brightness``
    (added), ``noise`` (standard deviation) and ``along``, whether the mask is turned and zoomed
    with the image. The message gives the Dice score of the mask shown with the right one. Raises
    :class:`~devotools._validate.InputError` for another shape, and a mask that is none.
    Taught in lesson 02.

    >>> mask = np.zeros((64, 64), bool)
    >>> mask[8:20, 8:20] = True
    >>> explorer = explore_augmentation(np.where(mask, 0.8, 0.3), mask)
    >>> explorer.controls["rotation"].value = 90
    >>> explorer.message
    'The mask went along. Dice with the right mask: 1.00.'
    >>> explorer.controls["along"].value = False
    >>> explorer.message
    'The mask stayed behind. Dice with the right mask: 0.00.'
    """
    image, mask = to_grey(image), check_mask(mask)
    check_same_shape(image, mask, ("image", "mask"))
    grain = np.random.default_rng(0).standard_normal(image.shape)  # the same at every move

    def draw(
        figure: Figure, rotation: float, zoom: float, brightness: float, noise: float, along: bool
    ) -> str:
        moved = _turn_and_zoom(image, rotation, zoom, cv2.INTER_LINEAR, outside=1.0)
        right = _turn_and_zoom(mask.astype(np.uint8), rotation, zoom, cv2.INTER_NEAREST) > 0
        lit = np.clip(moved + brightness + noise * grain, 0, 1)
        shown = right if along else mask
        before, after = figure.subplots(1, 2)
        show_overlay(image, ax=before, true=mask, title="before")
        show_overlay(lit, ax=after, true=shown, title="after")
        went = "went along" if along else "stayed behind"
        return f"The mask {went}. Dice with the right mask: {dice_score(right, shown):.2f}."

    return Explorer(
        draw,
        {
            "rotation": widgets.IntSlider(20, -180, 180, 5, description="rotation (°)"),
            "zoom": widgets.FloatSlider(
                value=1, min=0.5, max=2, step=0.05, description="zoom (times)"
            ),
            "brightness": widgets.FloatSlider(
                value=0, min=-0.5, max=0.5, step=0.05, description="brightness"
            ),
            "noise": widgets.FloatSlider(value=0, min=0, max=0.3, step=0.02, description="noise"),
            "along": widgets.Checkbox(True, description="the mask goes along"),
        },
        alt="The section before and after the changes, each with the dashed blue outlines of a "
        "mask. When the mask goes along, the outlines lie on the nuclei; else they do not.",
        size=(7.4, 3.9),
    )


def _turn_and_zoom(
    picture: np.ndarray, degrees: float, factor: float, way: int, *, outside: float = 0
) -> np.ndarray:
    """Turn (against the clock) and zoom an (H, W) picture about its middle; it keeps its size."""
    height, width = picture.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, factor)
    return cv2.warpAffine(
        picture,
        matrix,
        (width, height),
        flags=way,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=outside,
    )
