"""How the body of an embryo looks: outlines, cytoplasm, membranes, granules, vacuoles."""

from __future__ import annotations

import cv2
import numpy as np

from .anatomy import Embryo, Section
from .appearance import Appearance
from .noise import noise_field
from .shapes import crumb, ellipse, fill
from .streams import Streams
from .style import GranuleKind, Style

# Granules and textures stay for this many pixels of depth (embryo of half length 75): rather more
# than their own size, so that a dozen sections through a whole embryo still look like neighbours.
PERSISTENCE = 16.0


def soft_step(distance: np.ndarray, width: float) -> np.ndarray:
    """Return 0 outside to 1 inside, over `width` pixels."""
    return np.clip(distance / width + 0.5, 0, 1)


def _line(distance: np.ndarray, width: float) -> np.ndarray:
    """Return 1 on a line where the distance is 0, falling to 0 within a few widths."""
    scaled = distance * np.float32(1 / width)
    scaled = np.maximum(1 - scaled * scaled * np.float32(0.33), 0)
    return scaled * scaled * scaled  # a cheap exp(-x^2)


def draw_shells(
    image: np.ndarray, section: Section, appearance: Appearance, streams: Streams, radius: float
) -> None:
    """Draw eggshell, vitelline layer and loose outlines round an embryo, in place."""
    rng = streams.at("eggshell")
    if rng.random() >= appearance.eggshell:
        return
    shape, scale = image.shape, min(1.0, radius / 70)
    for _ in range(int(rng.integers(1, 4))):
        away = rng.uniform(1, 0.16 * radius + 3) if rng.random() < 0.8 else rng.uniform(-0.5, 2)
        distance = section.inside + away + noise_field(rng, 25, shape) * rng.uniform(0.5, 5) * scale
        distance = distance + noise_field(rng, 6, shape) * rng.uniform(0, 0.8)
        gate = np.clip(noise_field(rng, 25, shape) * 2 + rng.uniform(-0.5, 2.5), 0, 1)
        if rng.random() < 0.4:  # a dashed, crumbling line
            gate = gate * np.clip(noise_field(rng, 1.7, shape) + 0.8, 0, 1)
        image -= _line(distance, rng.uniform(0.5, 1.1)) * gate * rng.uniform(0.1, 0.65) * (image - 0.1)
        if rng.random() < 0.35:  # the space inside the shell has a tone of its own
            image += np.clip(distance, 0, 1) * rng.uniform(-0.08, 0.1)
    if rng.random() < 0.35:
        _crumbly_zone(image, section.inside, rng)


def _crumbly_zone(image: np.ndarray, inside: np.ndarray, rng: np.random.Generator) -> None:
    """Strew fine dark grains just outside the outline."""
    zone = _line(inside + rng.uniform(2, 7), rng.uniform(1.5, 5))
    zone *= np.clip(noise_field(rng, 12, image.shape) + 0.2, 0, 1)
    image -= zone * np.clip(noise_field(rng, 0.7, image.shape) * 0.15 + 0.05, -0.1, 0.4)


def draw_cytoplasm(
    image: np.ndarray,
    section: Section,
    embryo: Embryo,
    style: Style,
    appearance: Appearance,
    streams: Streams,
    depth_px: float,
) -> np.ndarray:
    """Fill the embryo with cytoplasm and its granules, in place; return where it is (H, W) bool."""
    size, radius = len(image), embryo.radius_px
    rng = streams.at("cytoplasm")
    edge = section.inside + noise_field(rng, 3, image.shape, depth_px / 8) * rng.uniform(0.1, 0.8)
    edge = edge + noise_field(rng, 12, image.shape, depth_px / 8) * rng.uniform(0, 1.5)
    body = _texture(style, streams, image.shape, depth_px)
    tones = streams.at("cell tone").normal(0, style.cell_tone, max(len(embryo.cells_um), 1))
    body += tones.astype(np.float32)[section.cell]
    body += np.clip(edge / (radius * style.core_reach), 0, 1) * np.float32(style.core)
    _draw_membranes(body, section.border, style, appearance, streams)
    occupied = edge > 2
    _draw_granules(body, edge, style, streams, radius, depth_px)
    typical = 0.45 * embryo.cell_radius_um / embryo.pixel_size_um  # a nucleus' radius
    typical = min(typical, 5.0 / embryo.pixel_size_um, 0.3 * radius)
    inside = np.argwhere(occupied)
    if len(inside) > 30:
        _draw_vacuoles(body, inside, style, streams, typical, depth_px)
        _draw_bare_chromosomes(body, inside, style, streams, typical, depth_px)
    if style.softness > 0.3:
        body = cv2.GaussianBlur(body, (0, 0), style.softness * size / 256)
    image += soft_step(edge, rng.uniform(0.8, 2.5)) * (body - image)
    return occupied


def _texture(
    style: Style, streams: Streams, shape: tuple[int, int], depth_px: float
) -> np.ndarray:
    """Return cytoplasm (H, W) float32: grain of several sizes, the coarse ones sliding with depth."""
    rng = streams.at("texture")
    body = np.full(shape, style.cytoplasm, np.float32)
    for sigma, strength in zip((0, 0.7, 1.7, 6, 25), style.texture, strict=True):
        body += noise_field(rng, sigma, shape, depth_px / 8) * np.float32(strength)
    sigma, threshold, dark, bright = (np.float32(value) for value in style.speckle)
    if dark > 0:
        body -= np.clip(noise_field(rng, sigma, shape, depth_px / 8) - threshold, 0, 1.5) * dark
    if bright > 0:
        body += np.clip(noise_field(rng, sigma, shape, depth_px / 8) - threshold, 0, 1.5) * bright
    return body


def _draw_membranes(
    body: np.ndarray, border: np.ndarray, style: Style, appearance: Appearance, streams: Streams
) -> None:
    """Draw the borders between cells: thin dark lines mostly, pale gaps at times."""
    rng = streams.at("membranes")
    if rng.random() >= appearance.membranes:
        return
    wavy = border - 0.3 + noise_field(rng, 6, body.shape) * rng.uniform(0, 1.2)
    gate = np.clip(noise_field(rng, 25, body.shape) + rng.uniform(-0.6, 1.0), 0, 1)
    line = _line(wavy, rng.uniform(0.6, 1.3)) * gate
    if rng.random() < 0.75:
        body -= line * np.float32(rng.uniform(0.05, 0.6)) * (body - 0.1)
    else:
        body += line * np.float32(rng.uniform(0.1, 0.5)) * (style.resin - body)


def _draw_granules(
    body: np.ndarray,
    edge: np.ndarray,
    style: Style,
    streams: Streams,
    radius: float,
    depth_px: float,
) -> None:
    """Fill the cytoplasm with granules that stay for a few sections."""
    unit = float(np.clip(radius / 75, 0.55, 2.4))
    clumping = noise_field(streams.at("granule clumps"), 12, body.shape) * style.granule_clumping
    for kind in style.granules:
        rows, cols, radii, tones, rng = _granules_at(kind, style, streams, len(body), unit, depth_px)
        row_index, col_index = rows.astype(int), cols.astype(int)
        inner = edge[row_index, col_index]
        sign = -1 if kind.name == "bright" else 1
        odds = sign * clumping[row_index, col_index]
        odds = odds - style.granule_trend * 2 * (inner / radius - 0.35)
        shown = (inner > 2) & (rng.random(len(rows)) < 1 / (1 + np.exp(-odds)))
        for picked in np.flatnonzero(shown)[:900]:
            _draw_granule(body, rows[picked], cols[picked], radii[picked], tones[picked], kind, style, rng)


def _granules_at(
    kind: GranuleKind, style: Style, streams: Streams, size: int, unit: float, depth_px: float
):
    """Return rows, cols, radii and tones of one kind's granules that a section meets.

    Depth is divided into slabs, each with granules of its own, so that any section can be drawn
    without drawing the whole embryo and neighbours share their granules.
    """
    slab = 2 * PERSISTENCE * unit
    here = int(np.floor(depth_px / slab))
    parts = []
    for number in (here - 1, here, here + 1):
        rng = streams.at(kind.name, number)
        # twice as many as wanted: half of them fall to the clumping
        count = min(int(2 * kind.density / unit**2 * size * size), 6000)
        part = rng.random((6, count))
        away = np.abs((number + part[0]) * slab - depth_px) / (slab / 2)
        parts.append(part[:, away < 1])
        parts[-1][0] = np.sqrt(1 - away[away < 1] ** 2)
    found = np.concatenate(parts, axis=1)
    spread = np.sqrt(-2 * np.log(found[3] + 1e-9)) * np.cos(2 * np.pi * found[4])  # Box-Muller
    radii = np.clip(1.2 * kind.radius * unit * np.exp(0.35 * spread) * found[0], 0.5, 9 * unit)
    tones = style.cytoplasm + (kind.tone - style.cytoplasm) * np.clip(0.55 + 0.5 * found[5], 0.25, 1.1)
    return found[1] * (size - 1), found[2] * (size - 1), radii, tones, streams.at(kind.name + " looks")


def _draw_granule(
    body: np.ndarray,
    row: float,
    col: float,
    radius: float,
    tone: float,
    kind: GranuleKind,
    style: Style,
    rng: np.random.Generator,
) -> None:
    """Draw one granule: a dot, an ellipse or a crumb; large bright ones at times a ring."""
    chance, flat, turn = rng.random(3)
    if radius < 1.1:
        body[int(row), int(col)] = tone
    elif chance < kind.irregular and radius > 1.6:
        fill(body, crumb(rng, row, col, radius, 0.22), tone)
    else:
        ellipse(body, row, col, (radius, radius * (0.65 + 0.35 * flat)), 180 * turn, tone)
        if kind.name != "dark" and radius > 2.5 and chance > 0.95:
            ellipse(body, row, col, (radius / 2, radius / 2), 0, style.cytoplasm)


def _some_places(
    streams: Streams, name: str, mean: float, inside: np.ndarray, typical: float, depth_px: float
):
    """Yield (generator, row, col) of rare bodies, each about as deep as a nucleus."""
    slab = int(np.floor(depth_px / (2 * typical)))
    rng = streams.at(name, slab)
    for number in range(int(rng.poisson(mean))):
        row, col = inside[int(rng.random() * len(inside))]
        yield streams.at(name + " looks", 1000 * slab + number), float(row), float(col)


def _draw_vacuoles(
    body: np.ndarray, inside: np.ndarray, style: Style, streams: Streams, typical: float, depth_px: float
) -> None:
    """Draw bright vacuoles, bright yolk clusters and large dark bodies: not nuclei, but alike."""
    for rng, row, col in _some_places(streams, "vacuoles", 1.3 * style.vacuoles, inside, typical, depth_px):
        radius = typical * (rng.uniform(0.25, 0.75) if rng.random() < 0.3 else rng.uniform(0.12, 0.4))
        tone = style.cytoplasm + (style.resin - style.cytoplasm) * rng.uniform(0.5, 1.05)
        if rng.random() < 0.5:
            fill(body, crumb(rng, row, col, radius, 0.35), tone)
            continue
        for _ in range(int(rng.integers(4, 14))):
            drop = max(1.0, radius * rng.uniform(0.15, 0.35))
            place = rng.normal(0, radius / 2, 2) + (row, col)
            ellipse(body, *place, (drop, drop), 0, tone * rng.uniform(0.85, 1.0))
    for rng, row, col in _some_places(streams, "bodies", 0.4 * style.vacuoles, inside, typical, depth_px):
        dark = style.granules[1].tone * rng.uniform(0.8, 1.5)
        fill(body, crumb(rng, row, col, typical * rng.uniform(0.2, 0.6), 0.2), dark)


def _draw_bare_chromosomes(
    body: np.ndarray, inside: np.ndarray, style: Style, streams: Streams, typical: float, depth_px: float
) -> None:
    """Draw black clumps without a nuclear zone, as in a dividing cell."""
    mean = style.bare_chromosomes
    for rng, row, col in _some_places(streams, "bare", mean, inside, typical, depth_px):
        radius = max(1.0, typical * rng.uniform(0.06, 0.2))
        for _ in range(int(rng.integers(1, 5))):
            place = rng.normal(0, 1.2 * radius, 2) + (row, col)
            fill(body, crumb(rng, *place, radius, 0.35), style.black)
