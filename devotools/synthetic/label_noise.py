"""Masks as a hurried person makes them, and as a wrong file format keeps them."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from devotools._validate import InputError, check_count

from .noise import noise_field

_JPEG_QUALITY = 75  # what most programs take if nothing is said
STRONGEST = 10  # beyond, nothing of the mask is left
_BLOCK = 8  # JPEG compresses squares of this many pixels; its errors stay in the square


def add_label_noise(mask: np.ndarray, *, seed: int, strength: float = 1.0) -> np.ndarray:
    """Spoil a mask in the way the masks of the 2020 course were spoilt.

    Each nucleus becomes a brushed blob: a circle of about its size, set a little aside. The whole
    mask is bent by a coarse grid, saved as a JPEG picture, and every pixel that is not exactly
    zero afterwards is called nucleus.

    Parameters
    ----------
    mask : ndarray, (H, W) bool
        The true nuclei.
    seed : int
        Decides the errors.
    strength : float
        0 returns the mask unchanged, 1 gives errors as in 2020 (IoU of about 0.6 with the truth
        for nuclei of some 20 pixels).

    Returns
    -------
    ndarray, (H, W) bool

    Raises
    ------
    InputError
        If the mask is not a 2-D bool array, the seed no whole number from 0, or the strength not
        between 0 and 10.

    Notes
    -----
    Source: devoworm/GSoC-2020, whose notebooks read JPEG masks with `mask > 0`. Lesson 02 tells why
    a mask is not a photograph.

    Examples
    --------
    >>> mask = np.zeros((64, 64), bool)
    >>> mask[20:40, 20:40] = True
    >>> noisy = add_label_noise(mask, seed=0)
    >>> bool((noisy & mask).any()), bool((noisy == mask).all())
    (True, False)
    >>> bool((add_label_noise(mask, seed=0, strength=0) == mask).all())
    True
    """
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype != bool:
        raise InputError(
            f"mask is {mask.ndim}-D of dtype {mask.dtype}, expected 2-D bool; pass labels > 0"
        )
    check_count(seed, "seed", least=0)
    known = isinstance(strength, (int, float, np.number))
    if not known or not 0 <= strength <= STRONGEST:
        raise InputError(
            f"strength is {strength!r}, expected 0 or more, and {STRONGEST} at most; pass 1.0 for "
            "masks as in 2020"
        )
    if strength == 0 or not mask.any():
        return mask.copy()
    rng = np.random.default_rng(seed)
    painted = _brush(mask, rng, strength)
    bent = _bend(painted, rng, strength)
    return _through_jpeg(bent, strength)


def _brush(mask: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Return (H, W) uint8 in which each connected piece is painted by brush, 255 in the middle."""
    pieces, _ = ndimage.label(mask)
    painted = np.zeros(mask.shape, np.uint8)
    for number, window in enumerate(ndimage.find_objects(pieces), start=1):
        piece = pieces[window] == number
        radius = np.sqrt(piece.sum() / np.pi)
        rows, cols = np.nonzero(piece)
        centre = np.array([rows.mean() + window[0].start, cols.mean() + window[1].start])
        centre += rng.normal(0, 0.09 * strength * radius, 2)
        for _ in range(int(rng.integers(1, 4))):  # a dab or a few
            dab = radius * (1 + strength * rng.normal(-0.14, 0.08))
            row, col = centre + rng.normal(0, 0.08 * strength * radius, 2)
            spot = (int(round(col * 16)), int(round(row * 16)))
            cv2.circle(painted, spot, max(int(dab * 16), 16), 255, -1, cv2.LINE_AA, 4)
    return painted


def _bend(painted: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Move every pixel by a smooth field, as a coarse elastic grid does."""
    rows, cols = np.indices(painted.shape, dtype=np.float32)
    reach = np.float32(0.6 * strength)
    rows = rows + reach * noise_field(rng, 12, painted.shape)
    cols = cols + reach * noise_field(rng, 12, painted.shape)
    return cv2.remap(painted, cols, rows, cv2.INTER_LINEAR)


def _through_jpeg(painted: np.ndarray, strength: float) -> np.ndarray:
    """Save, read back, and take every pixel that is not zero for nucleus: the mistake of 2020."""
    _, packed = cv2.imencode(".jpg", painted, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    spoilt = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE) > 0
    # weaker noise keeps only those false pixels that lie close to the paint
    away = ndimage.distance_transform_edt(painted == 0)
    return spoilt & (away <= 1.5 * _BLOCK * strength)
