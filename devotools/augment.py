"""Augmentation: one albumentations pipeline through which image and mask pass together.

A turned image with a mask that was not turned teaches the network nonsense. So both go through
the same ``Compose`` in one call, and share every random choice of geometry; changes of light
reach the image alone.
"""

from __future__ import annotations

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else it asks the network for its version

from collections.abc import Sequence
from typing import Any

import albumentations as A
import cv2
import numpy as np

from devotools._validate import InputError, check_count, check_positive

ZOOM = tuple(tenths / 10 for tenths in range(10, 23))  # 1.0, 1.1 ... 2.2
KINDS = (np.dtype(np.uint8), np.dtype(np.float32))  # what OpenCV turns, bends and blurs


class Compose(A.Compose):
    """An albumentations pipeline that refuses at once what OpenCV would refuse now and then.

    Raises :class:`~devotools._validate.InputError` for a bool mask, or an image of float64.
    """

    def __call__(self, *arguments: Any, **data: Any) -> dict[str, Any]:
        """Send image and mask through the pipeline together."""
        for name in ("image", "mask"):
            kind = getattr(data.get(name), "dtype", None)
            if kind is not None and kind not in KINDS:
                wanted = "numpy.float32" if name == "image" else "numpy.uint8"
                raise InputError(
                    f"{name} has dtype {kind}; expected uint8 or float32, which every change can "
                    f"work with. Convert it: {name}.astype({wanted})."
                )
        return super().__call__(*arguments, **data)


def train_transform(size: int, seed: int | None = None, *, zoom: Sequence[float] = ZOOM) -> Compose:
    """The pipeline for training: a random piece of the picture, as a square of ``size`` pixels.

    Call it as ``transform(image=image, mask=mask)`` with an (H, W) float32 image in [0, 1] and an
    (H, W) uint8 or float32 mask; the answer's ``"image"`` and ``"mask"`` are (size, size). The
    picture's longest side first becomes 1.0 to 2.2 times ``size``, one of ``zoom``, so that nuclei
    are met at many magnifications; then come a crop, turns and flips, a gentle bend, and changes
    of light and sharpness that other microscopes might make. Masks are taken from the nearest
    pixel, so they stay binary.

    The same ``seed`` gives the same sequence of choices; without one they differ each time.
    Raises :class:`~devotools._validate.InputError` for a ``size`` below 8, too small to bend, for
    a ``zoom`` that does not hold numbers above 0, and when the pipeline is called with a bool mask
    or another float.
    Source: albumentations 2.0. Taught in lesson 02.
    """
    size = check_count(size, "size", least=8)
    seed = None if seed is None else check_count(seed, "seed", least=0)
    sides = [max(1, round(size * check_positive(step, "zoom"))) for step in zoom]
    if not sides:
        raise InputError("zoom is empty; expected multiples of size, for example [1.0, 1.5].")
    return Compose(_geometry(size, sides) + _light(), seed=seed, strict=True)


def crop_transform(seed: int | None = None) -> Compose:
    """The pipeline for crops of single nuclei: turns, flips, small shifts, changes of light.

    Call it as ``transform(image=crop)`` with an (H, W) float32 crop in [0, 1]; the size stays. A
    crop is moved and enlarged a little, as nuclei are whose outline was found a little wrong; what
    comes in at a border repeats it. The same ``seed`` gives the same sequence of choices.
    Source: albumentations 2.0. Taught in lesson 07.
    """
    seed = None if seed is None else check_count(seed, "seed", least=0)
    moved = A.Affine(
        rotate=(-45, 45),
        scale=(0.8, 1.2),
        translate_percent=(-0.06, 0.06),
        shear=(-8, 8),
        interpolation=cv2.INTER_LINEAR,
        border_mode=cv2.BORDER_REPLICATE,
        p=0.7,
    )
    return Compose([A.D4(), moved, *_light()], seed=seed, strict=True)


def eval_transform(size: int) -> Compose:
    """The pipeline for validation: the whole picture, nothing random, (size, size) pixels.

    The longest side becomes ``size``; the shorter one is padded with white, as bright as the resin
    round an embryo, and with background in the mask. Called, and raises, as
    :func:`train_transform`.
    """
    size = check_count(size, "size")
    return Compose([*_fit_longest_side(size), _pad(size, "center")], strict=True)


def _geometry(size: int, sides: list[int]) -> list[A.BasicTransform]:
    return [
        *_fit_longest_side(sides),
        _pad(size, "random"),
        A.RandomCrop(size, size),
        A.D4(),  # the four turns and four flips of a square: no pixel is interpolated
        A.Affine(
            rotate=(-45, 45),
            scale=(0.85, 1.15),
            shear=(-8, 8),
            interpolation=cv2.INTER_LINEAR,
            mask_interpolation=cv2.INTER_NEAREST,
            border_mode=cv2.BORDER_REFLECT_101,
            p=0.35,
        ),
        A.GridDistortion(
            num_steps=5,
            distort_limit=0.2,
            interpolation=cv2.INTER_LINEAR,
            mask_interpolation=cv2.INTER_NEAREST,
            p=0.2,
        ),
    ]


def _light() -> list[A.BasicTransform]:
    return [
        A.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.3, p=0.5),
        A.RandomGamma(gamma_limit=(65, 150), p=0.4),
        A.OneOf(
            [
                A.GaussianBlur(blur_limit=0, sigma_limit=(0.4, 1.5)),
                A.Sharpen(alpha=(0.1, 0.4), lightness=(0.9, 1.0)),
                A.Downscale(
                    scale_range=(0.45, 0.8),
                    interpolation_pair={"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR},
                ),
            ],
            p=0.35,
        ),
        A.GaussNoise(std_range=(0.01, 0.06), p=0.35),
    ]


def _fit_longest_side(side: int | list[int]) -> list[A.BasicTransform]:
    return [
        A.LongestMaxSize(
            max_size=side,
            interpolation=cv2.INTER_LINEAR,
            mask_interpolation=cv2.INTER_NEAREST_EXACT,  # the plain one shifts by up to a pixel
            area_for_downscale="image",
        )
    ]


def _pad(size: int, position: str) -> A.PadIfNeeded:
    return A.PadIfNeeded(
        size, size, position=position, border_mode=cv2.BORDER_CONSTANT, fill=1.0, fill_mask=0
    )
