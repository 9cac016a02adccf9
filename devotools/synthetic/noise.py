"""A bank of smooth noise, computed once, from which every texture is cut."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

SIGMAS = (0.0, 0.7, 1.1, 1.7, 3.0, 6.0, 12.0, 25.0, 60.0)
BANK_SIDE = 1024
_BANK_SEED = 2020


@lru_cache(maxsize=1)
def _bank() -> dict[float, np.ndarray]:
    """Return one (1024, 1024) float32 field a sigma: mean 0, deviation 1, edges that wrap."""
    rng = np.random.default_rng(_BANK_SEED)
    fields = {}
    for sigma in SIGMAS:
        field = rng.standard_normal((BANK_SIDE, BANK_SIDE), dtype=np.float32)
        if sigma > 0:
            margin = int(4 * sigma) + 1
            field = cv2.GaussianBlur(np.pad(field, margin, mode="wrap"), (0, 0), sigma)
            field = field[margin:-margin, margin:-margin]
        field = (field - field.mean()) / field.std()
        field.setflags(write=False)
        fields[sigma] = field
    return fields


def noise_field(
    rng: np.random.Generator, sigma: float, shape: tuple[int, int], drift: float = 0.0
) -> np.ndarray:
    """Cut a piece of Gaussian noise that was smoothed by `sigma` pixels.

    Parameters
    ----------
    rng : numpy.random.Generator
        Decides which piece of the bank is cut, and whether it is mirrored.
    sigma : float
        Smoothness in pixels; the nearest of `SIGMAS` is used.
    shape : (int, int)
        Height and width in pixels, of any size: the bank is repeated beyond its 1024 pixels.
    drift : float
        The piece slides this many pixels over the bank: neighbouring sections share a texture.

    Returns
    -------
    ndarray, (H, W) float32
        Mean about 0, standard deviation about 1. A read-only view where possible.

    Examples
    --------
    >>> field = noise_field(np.random.default_rng(0), 3.0, (64, 48))
    >>> field.shape, str(field.dtype)
    ((64, 48), 'float32')
    """
    field = _bank()[min(SIGMAS, key=lambda known: abs(known - sigma))]
    height, width = shape
    if max(shape) > BANK_SIDE:
        field = np.tile(field, (-(-height // BANK_SIDE), -(-width // BANK_SIDE)))
    row = _bounce(rng.random(), drift, field.shape[0] - height)
    col = _bounce(rng.random(), 0.7 * drift, field.shape[1] - width)
    flip_rows, flip_cols = rng.random(2) < 0.5
    piece = field[row : row + height, col : col + width]
    return piece[:: -1 if flip_rows else 1, :: -1 if flip_cols else 1]


def _bounce(start: float, drift: float, span: int) -> int:
    """Slide from `start` (0 to 1) of `span` by `drift`, turning back at both ends."""
    if span < 1:
        return 0
    return int(abs((start * span + drift) % (2 * span) - span))
