"""Small closed shapes painted into float pictures with sub-pixel corners."""

from __future__ import annotations

import cv2
import numpy as np

_SHIFT = 4  # OpenCV takes coordinates in sixteenths of a pixel


def crumb(
    rng: np.random.Generator,
    row: float,
    col: float,
    radius: float,
    irregularity: float = 0.25,
    flatness: float | None = None,
) -> np.ndarray:
    """Return an angular outline (K, 2) as (x, y) round a centre, turned at random."""
    corners = int(rng.integers(6, 12))
    angles = np.arange(corners) * (2 * np.pi / corners)
    lengths = radius * np.clip(1 + irregularity * rng.standard_normal(corners), 0.3, 1.9)
    along = lengths * np.cos(angles)
    across = lengths * np.sin(angles) * (flatness or rng.uniform(0.6, 1.0))
    turn = rng.uniform(0, np.pi)
    cosine, sine = np.cos(turn), np.sin(turn)
    return np.stack([col + cosine * along - sine * across, row + sine * along + cosine * across], 1)


def thread(
    rng: np.random.Generator, size: int, start: np.ndarray, angle: float, length: float
) -> np.ndarray:
    """Return a gently bent line (14, 2) as (x, y)."""
    along = np.linspace(0, 1, 14)[:, None]
    ahead = np.array([np.cos(angle), np.sin(angle)])
    aside = np.array([-ahead[1], ahead[0]])
    bend = size / 256 * (rng.uniform(-40, 40) * along**2 + rng.uniform(-20, 20) * along)
    return start + along * length * ahead + aside * bend


def fill(picture: np.ndarray, outline: np.ndarray, tone: float) -> None:
    """Fill an outline (K, 2) with one tone, in place; smooth edges in uint8 pictures only."""
    line = cv2.LINE_AA if picture.dtype == np.uint8 else cv2.LINE_8
    cv2.fillPoly(picture, [_fixed(outline)], float(tone), lineType=line, shift=_SHIFT)


def stroke(picture: np.ndarray, points: np.ndarray, width: int, tone: float = 255) -> None:
    """Draw a line through points (K, 2) with one tone, in place."""
    cv2.polylines(picture, [_fixed(points)], False, float(tone), max(width, 1), cv2.LINE_AA, _SHIFT)


def ellipse(
    picture: np.ndarray,
    row: float,
    col: float,
    radii: tuple[float, float],
    degrees: float,
    tone: float,
) -> None:
    """Fill an ellipse, in place."""
    centre, axes = (int(col * 16), int(row * 16)), (int(radii[0] * 16), int(radii[1] * 16))
    cv2.ellipse(picture, centre, axes, degrees, 0, 360, float(tone), -1, cv2.LINE_8, _SHIFT)


def blend(picture: np.ndarray, cover: np.ndarray, tone: np.ndarray | float) -> None:
    """Lay `tone` over the picture where `cover` (0 to 1) says so, in place."""
    picture += cover * (tone - picture)


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.round(points * 16).astype(np.int32)
