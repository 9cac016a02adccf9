"""Everything in a micrograph that is not the embryo: resin, dirt, threads, frame, label bar."""

from __future__ import annotations

import cv2
import numpy as np

from .appearance import Appearance
from .noise import noise_field
from .shapes import blend, crumb, fill, stroke, thread
from .streams import Streams
from .style import Style


def draw_resin(style: Style, appearance: Appearance, streams: Streams, size: int) -> np.ndarray:
    """Return the empty background (H, W) float32 with its clouds and straight-edged patches."""
    rng = streams.at("resin")
    shape = (size, size)
    image = np.full(shape, style.resin, np.float32)
    for sigma, most in ((60, 0.03), (25, 0.012), (1.7, 0.012)):
        image += noise_field(rng, sigma, shape) * np.float32(rng.uniform(0, most))
    patches = streams.at("patches")
    if patches.random() < appearance.tonal_patches:
        for _ in range(int(patches.integers(1, 4))):
            _tonal_patch(image, patches)
    return image


def _tonal_patch(image: np.ndarray, rng: np.random.Generator) -> None:
    """Shift the tone beyond one nearly straight edge (a wrinkle or a support film)."""
    size = len(image)
    axis = np.arange(size, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    row, col = rng.uniform(0.1, 0.9, 2) * size
    distance = (
        np.float32(np.cos(angle)) * (axis - col)[None]
        + np.float32(np.sin(angle)) * (axis - row)[:, None]
    )
    distance += noise_field(rng, 60, image.shape) * np.float32(rng.uniform(0, 15))
    distance += np.float32(rng.uniform(-0.5, 0.5) / size) * np.outer(
        axis - size / 2, axis - size / 2
    )
    image += np.clip(distance / rng.uniform(0.7, 6) + 0.5, 0, 1) * np.float32(
        rng.uniform(-0.1, 0.1)
    )
    if rng.random() < 0.3:
        image -= np.exp(-(distance**2)) * np.float32(rng.uniform(0, 0.25))


def draw_dirt(image: np.ndarray, appearance: Appearance, rng: np.random.Generator) -> None:
    """Strew dark specks and clusters of crumbs, in place."""
    size = len(image)
    if rng.random() < appearance.dirt:
        specks = rng.integers(0, size, (rng.poisson(25 * rng.random() ** 2), 2))
        image[specks[:, 0], specks[:, 1]] *= rng.uniform(0.4, 0.9, len(specks))
    if rng.random() < appearance.debris:
        for _ in range(rng.poisson(2.0)):
            _cluster(image, rng)


def _cluster(image: np.ndarray, rng: np.random.Generator) -> None:
    """Draw crumbs along a line."""
    size, unit = len(image), len(image) / 256
    row, col = rng.uniform(0, size, 2)
    length, angle = rng.uniform(4, 40) * unit, rng.uniform(0, 2 * np.pi)
    grain, tone = rng.uniform(0.6, 3.0) * unit, rng.uniform(0.03, 0.5)
    irregularity = rng.choice([0.05, 0.3])
    for _ in range(int(rng.integers(1, 24))):
        along = rng.normal(0, length / 2)
        aside = rng.normal(0, 0.15 * length, 2)
        place = row + np.sin(angle) * along + aside[0], col + np.cos(angle) * along + aside[1]
        radius = grain * np.exp(rng.normal(0, 0.4))
        fill(
            image,
            crumb(rng, *place, radius, irregularity),
            np.clip(tone + rng.normal(0, 0.08), 0.02, 0.8),
        )


def draw_wedge(
    image: np.ndarray,
    labels: np.ndarray,
    appearance: Appearance,
    rng: np.random.Generator,
    inside: np.ndarray,
) -> None:
    """Draw a black wedge or rod, half of the time at the embryo's edge; it hides labels."""
    if rng.random() >= appearance.wedge:
        return
    size, unit = len(image), len(image) / 256
    row, col = rng.uniform(0, size, 2)
    rim = np.argwhere(np.abs(inside[::4, ::4] + 2 * unit) < 3 * unit) * 4
    if len(rim) and rng.random() < 0.5:
        row, col = rim[int(rng.random() * len(rim))]
    cover = np.zeros(image.shape, np.uint8)
    fill(cover, _wedge(rng, unit) + (col, row), 255)
    blend(image, cover.astype(np.float32) / 255, np.float32(rng.uniform(0, 0.12)))
    labels[cover > 127] = 0


def _wedge(rng: np.random.Generator, unit: float) -> np.ndarray:
    """Return the outline (10, 2) of a handle that widens into a blade, starting at the origin."""
    length, angle = rng.uniform(8, 50) * unit, rng.uniform(0, 2 * np.pi)
    along = np.array([0, 0.35, 0.6, 0.8, 1.0]) * length
    widths = np.array([rng.uniform(0.3, 1), rng.uniform(0.5, 1.2), 1, rng.uniform(0.6, 1), 0.3])
    widths = widths * rng.uniform(1.5, 6) * unit
    sides = np.concatenate(
        [widths * rng.uniform(0.5, 1.2, 5), -widths[::-1] * rng.uniform(0.5, 1.2, 5)]
    )
    along = np.concatenate([along, along[::-1]])
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack([cosine * along - sine * sides, sine * along + cosine * sides], axis=1)


def draw_threads(image: np.ndarray, appearance: Appearance, rng: np.random.Generator) -> None:
    """Draw hairs, folds and knife marks, in place; nuclei below stay labelled."""
    size, unit = len(image), len(image) / 256
    if rng.random() < appearance.hairs:
        for _ in range(int(rng.integers(1, 4))):
            line = thread(
                rng, size, rng.uniform(0, size, 2), rng.uniform(0, 6.3), rng.uniform(20, 160) * unit
            )
            _lay_thread(image, [line], int(rng.integers(1, 3)), rng, faint=rng.random() < 0.5)
    if rng.random() < appearance.folds:
        angle = rng.uniform(0, 6.3)
        line = thread(rng, size, rng.uniform(0, size, 2), angle, rng.uniform(60, 220) * unit)
        aside = np.array([-np.sin(angle), np.cos(angle)]) * rng.uniform(3, 7) * unit
        lines = [line, line + aside] if rng.random() < 0.6 else [line]
        _lay_thread(image, lines, int(rng.integers(2, 7)), rng, faint=False)
    if rng.random() < appearance.knife_marks:
        _knife_marks(image, rng)


def _lay_thread(
    image: np.ndarray, lines: list[np.ndarray], width: int, rng: np.random.Generator, faint: bool
) -> None:
    cover = np.zeros(image.shape, np.uint8)
    for line in lines:
        stroke(cover, line, max(1, round(width * len(image) / 256)))
    alpha = cover.astype(np.float32) * np.float32(rng.uniform(0.2, 0.95) / 255)
    if faint:
        alpha *= np.clip(noise_field(rng, 3, image.shape) + 0.7, 0, 1)
    blend(
        image,
        alpha,
        np.float32(rng.uniform(0.02, 0.35) if rng.random() < 0.85 else rng.uniform(0.85, 1)),
    )


def _knife_marks(image: np.ndarray, rng: np.random.Generator) -> None:
    """Add straight parallel scratches across the whole picture."""
    size = len(image)
    angle, axis = rng.uniform(0, np.pi), np.arange(size, dtype=np.float32)
    across = np.float32(np.cos(angle)) * axis[None] + np.float32(np.sin(angle)) * axis[:, None]
    for _ in range(int(rng.integers(1, 6))):
        place = rng.uniform(across.min(), across.max())
        width, depth = rng.uniform(0.5, 2.5), rng.uniform(-0.12, 0.08)
        image += np.exp(-(((across - place) / width) ** 2)) * np.float32(depth)


def draw_frame(
    image: np.ndarray, labels: np.ndarray, appearance: Appearance, rng: np.random.Generator
) -> None:
    """Draw margins and thin black lines at the edges of the print; a solid margin hides labels."""
    if rng.random() >= appearance.frame:
        return
    size, unit = len(image), len(image) / 256
    for side in range(4):
        if rng.random() < 0.5:
            continue
        # turning the views instead of the picture keeps one code for four sides
        edge, edge_labels = np.rot90(image, side), np.rot90(labels, side)
        deep = max(int(rng.uniform(1, 14) * unit), 1)
        tone = rng.uniform(0.9, 1.0) if rng.random() < 0.8 else rng.uniform(0, 0.2)
        solid = rng.uniform(0.5, 1.0)
        edge[:deep] += np.float32(solid) * (np.float32(tone) - edge[:deep])
        if rng.random() < 0.6:
            thick = max(int(rng.uniform(1, 3.5) * unit), 1)
            start, stop = rng.uniform(-0.3, 0.5), rng.uniform(0.55, 1.3)
            line = slice(int(max(start, 0) * size), int(min(stop, 1) * size))
            edge[deep : deep + thick, line] = rng.uniform(0.03, 0.6)
        if solid > 0.75:
            edge_labels[:deep] = 0
    if rng.random() < 0.15:  # the rim of the film, with some of the next picture beyond it
        start, thick = int(rng.uniform(4, 22) * unit), max(int(rng.uniform(2, 10) * unit), 1)
        side = int(rng.integers(4))
        band = np.rot90(image, side)[start : start + thick]
        band += np.float32(rng.uniform(0.75, 1)) * (np.float32(rng.uniform(0.85, 1)) - band)
        np.rot90(labels, side)[start : start + thick] = 0


def draw_label_bar(
    image: np.ndarray,
    labels: np.ndarray,
    appearance: Appearance,
    streams: Streams,
    section_number: int,
) -> None:
    """Draw the black label bar: in the same place in all sections, the number running on."""
    rng = streams.at("label bar")
    if rng.random() >= appearance.label_bar:
        return
    size = len(image)
    bar = _label_bar(rng, size / 256, int(rng.integers(0, 10**6)) + section_number)
    if rng.random() < 0.5:
        bar = np.rot90(bar, 1 if rng.random() < 0.5 else 3)
    height, width = bar.shape
    lowest = 0 if rng.random() < 0.7 else -int(0.5 * min(height, width))
    from_edge = rng.integers(lowest, max(int(12 * size / 256), 1), 2)
    at_start = rng.random(2) < 0.5
    top = int(from_edge[0]) if at_start[0] else size - height - int(from_edge[0])
    left = int(from_edge[1]) if at_start[1] else size - width - int(from_edge[1])
    rows = slice(max(top, 0), min(top + height, size))
    cols = slice(max(left, 0), min(left + width, size))
    image[rows, cols] = bar[
        rows.start - top : rows.stop - top, cols.start - left : cols.stop - left
    ]
    labels[rows, cols] = 0


def _label_bar(rng: np.random.Generator, unit: float, number: int) -> np.ndarray:
    """Return the bar (h, w) float32 with its digits, faint and unevenly spaced."""
    width, height = int(rng.uniform(48, 110) * unit), int(rng.uniform(14, 30) * unit)
    digits = np.zeros((height, width), np.uint8)
    place, scale = rng.integers(2, 12) * unit, rng.uniform(0.2, 0.45) * unit
    for digit in f"{number:06d}"[-int(rng.integers(1, 7)) :]:
        bright = int(rng.uniform(30, 230))
        where = (int(place), int(height * 0.7))
        cv2.putText(digits, digit, where, cv2.FONT_HERSHEY_SIMPLEX, scale, bright, 1, cv2.LINE_AA)
        place += rng.integers(7, 18) * unit
    ink = np.float32(rng.uniform(0.2, 0.9) / 255)
    return digits.astype(np.float32) * ink + np.float32(rng.uniform(0, 0.08))
