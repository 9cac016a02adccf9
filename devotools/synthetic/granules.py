"""Bodies in the cytoplasm: granules by the hundred, vacuoles, yolk, holes, bare chromatin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .noise import noise_field
from .shapes import blend, crumb, ellipse, fill
from .streams import Streams
from .style import GranuleKind, Style

# Granules and textures stay for this many pixels of depth (embryo of half length 75): rather more
# than their own size, so that a dozen sections through a whole embryo still look like neighbours.
PERSISTENCE = 16.0
_MOST = 900  # granules of a kind in one picture; more would only cost time


@dataclass(frozen=True)
class Body:
    """The cytoplasm that is being painted, and the measures of its embryo in pixels."""

    tone: np.ndarray  # (H, W) float32, painted in place
    edge: np.ndarray  # (H, W) float32, distance inside the outline
    style: Style
    streams: Streams
    centre: tuple[float, float]
    radius: float
    nucleus: float  # typical nuclear radius
    depth: float

    @property
    def unit(self) -> float:
        """Magnification: 1 for an embryo with a half length of 75 of 256 pixels."""
        pixel = len(self.tone) / 256
        return float(np.clip(self.radius / 75, 0.55 * pixel, 2.4 * pixel))


def draw_granules(body: Body) -> None:
    """Fill the cytoplasm with granules; they stay for a few sections."""
    style = body.style
    clumping = noise_field(body.streams.at("granule clumps"), 12, body.tone.shape)
    for kind in style.granules:
        rows, cols, radii, tones, chances = _granules_at(kind, body)
        places = rows.astype(int), cols.astype(int)
        inner = body.edge[places]
        sign = -1 if kind.name == "bright" else 1
        odds = sign * style.granule_clumping * clumping[places]
        odds = odds - 2 * style.granule_trend * (inner / body.radius - 0.35)
        shown = np.flatnonzero((inner > 2) & (chances[0] < 1 / (1 + np.exp(-odds))))
        rng = body.streams.at(kind.name + " crumbs")
        columns = np.stack([rows, cols, radii, tones, *chances[1:]], axis=1)[shown[:_MOST]]
        for row, col, radius, tone, form, flat, turn in columns.tolist():
            if radius < 1.1:
                body.tone[int(row), int(col)] = tone
            elif form < kind.irregular and radius > 1.6:
                fill(body.tone, crumb(rng, row, col, radius, 0.22), tone)
            else:
                radii_of_it = (radius, radius * (0.65 + 0.35 * flat))
                ellipse(body.tone, row, col, radii_of_it, 180 * turn, tone)


def _granules_at(kind: GranuleKind, body: Body) -> tuple[np.ndarray, ...]:
    """Return rows, cols, radii, tones and four chances (4, N) of the granules that a plane meets.

    Depth is divided into slabs, each with granules of its own, so that any section can be drawn
    without drawing the whole embryo, and neighbours share their granules.
    """
    size, unit, style = len(body.tone), body.unit, body.style
    half_slab = PERSISTENCE * unit
    here = int(np.floor(body.depth / (2 * half_slab)))
    parts = []
    for number in (here - 1, here, here + 1):
        # twice as many as wanted: about half of them fall to the clumping
        count = min(int(2 * kind.density / unit**2 * size * size), 6000)
        part = body.streams.at(kind.name, number).random((10, count), dtype=np.float32)
        away = np.abs(2 * (number + part[0]) - body.depth / half_slab)
        part[0] = np.sqrt(np.maximum(1 - away**2, 0))
        parts.append(part[:, away < 1])
    share, rows, cols, first, second, tone, *chances = np.concatenate(parts, axis=1)
    spread = np.sqrt(-2 * np.log(first + 1e-9)) * np.cos(2 * np.pi * second)  # Box-Muller
    radii = 1.2 * kind.radius * unit * np.exp(0.38 * spread) * share
    # a granule is at most a third as wide as a nucleus, or nobody could tell them apart
    radii = np.clip(radii, 0.5, min(9 * unit, 0.34 * body.nucleus))
    tones = np.clip(0.55 + 0.5 * tone, 0.25, 1.1) * (kind.tone - style.cytoplasm)
    return rows * (size - 1), cols * (size - 1), radii, style.cytoplasm + tones, np.array(chances)


def draw_vacuoles(body: Body) -> None:
    """Draw bright vacuoles, bright yolk clusters and large dark bodies: not nuclei, but alike."""
    style, canvas = body.style, body.tone
    for rng, row, col in _some_places(body, "vacuoles", 1.6 * style.vacuoles):
        low, high = (0.2, 0.45) if rng.random() < 0.3 else (0.1, 0.33)
        radius = body.nucleus * rng.uniform(low, high)
        tone = style.cytoplasm + (style.resin - style.cytoplasm) * rng.uniform(0.5, 1.05)
        if rng.random() < 0.5:
            fill(canvas, crumb(rng, row, col, radius, 0.35), tone)
            continue
        for _ in range(int(rng.integers(4, 14))):
            drop = max(1.0, radius * rng.uniform(0.15, 0.35))
            aside = rng.normal(0, radius / 2, 2)
            shade = tone * rng.uniform(0.85, 1.0)
            ellipse(canvas, row + aside[0], col + aside[1], (drop, drop), 0, shade)
    for rng, row, col in _some_places(body, "dark bodies", 0.5 * style.vacuoles):
        dark = style.granules[1].tone * rng.uniform(0.8, 1.5)
        fill(canvas, crumb(rng, row, col, body.nucleus * rng.uniform(0.2, 0.6), 0.2), dark)


def draw_holes(body: Body) -> None:
    """Tear angular holes through which the resin's brightness shows: no envelope, no chromatin."""
    style = body.style
    for rng, row, col in _some_places(body, "holes", 1.6 * style.holes):
        outline = crumb(rng, row, col, body.nucleus * rng.uniform(0.3, 0.9), rng.uniform(0.2, 0.45))
        cover = np.zeros(body.tone.shape, np.uint8)
        fill(cover, outline, 255)
        brightness = rng.uniform(0.7, 1.1)  # 0 like cytoplasm, 1 like resin
        tone = style.cytoplasm + (style.resin - style.cytoplasm) * brightness
        blend(body.tone, cover.astype(np.float32) / 255, np.float32(tone))


def draw_bare_chromosomes(body: Body) -> None:
    """Draw black clumps without a nuclear zone, as in a dividing cell."""
    for rng, row, col in _some_places(body, "bare", 1.3 * body.style.bare_chromosomes):
        radius = max(1.0, body.nucleus * rng.uniform(0.06, 0.2))
        for _ in range(int(rng.integers(1, 5))):
            aside = rng.normal(0, 1.2 * radius, 2)
            outline = crumb(rng, row + aside[0], col + aside[1], radius, 0.35)
            fill(body.tone, outline, body.style.black)


def _some_places(
    body: Body, name: str, mean: float
) -> Iterator[tuple[np.random.Generator, float, float]]:
    """Yield a generator and a place (row, col) for each of some rare bodies, deep as a nucleus."""
    slab = int(np.floor(body.depth / (2 * body.nucleus)))
    rng = body.streams.at(name, slab)
    size = len(body.tone)
    for number in range(int(rng.poisson(mean))):
        distance, angle = body.radius * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
        row = body.centre[0] + distance * np.sin(angle)
        col = body.centre[1] + distance * np.cos(angle)
        if 0 <= row < size and 0 <= col < size and body.edge[int(row), int(col)] > 2:
            yield body.streams.at(name + " looks", 1000 * slab + number), row, col
