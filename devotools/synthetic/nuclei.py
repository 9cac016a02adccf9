"""How a nucleus looks where it is cut: a brighter zone with chromatin in it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .cutting import GRAZE, NucleusCut, envelope
from .noise import noise_field
from .shapes import crumb, fill, stroke
from .streams import Streams
from .style import Style


@dataclass
class _Patch:
    """The window a nucleus is drawn in. `relative` is 0 at its centre and 1 at its envelope."""

    tone: np.ndarray  # (h, w) float32, what is drawn
    relative: np.ndarray
    row: float  # centre inside the window
    col: float


def draw_nucleus(
    image: np.ndarray, labels: np.ndarray, nucleus: NucleusCut, style: Style, streams: Streams
) -> str | None:
    """Draw one cut nucleus and label it by the rule of module `cutting`, both in place.

    The label is the envelope, not the ragged look: what a careful person would outline. Returns
    the look of its chromatin, one of the style's `chromatin_kinds`; None where nothing was drawn.
    A nucleus has the same look in all sections in which it is labelled.
    """
    window, distance, relative = envelope(nucleus, len(image))
    if distance.size == 0 or nucleus.radius < 1.5:
        return None
    rng = streams.at("nucleus", nucleus.index)
    drift = 4.0 * nucleus.offset
    level = _level(nucleus, style, rng)
    covered, least = image[window][distance > 0], 0.0
    if covered.size:
        around, spread = float(covered.mean()), float(covered.std())
        # a nucleus in a dark core is darker itself, by more or less
        level += rng.random() * float(np.clip(around - style.cytoplasm, -0.12, 0.04))
        if nucleus.counts:
            contrast = style.visibility * _least_contrast(nucleus, spread, rng)
            level = max(level, around + contrast)
            least = around + 0.6 * style.visibility * contrast  # chromatin may hide faint ones
    patch = _Patch(
        _matrix(level, style, rng, distance.shape, drift),
        relative,
        nucleus.row - window[0].start,
        nucleus.col - window[1].start,
    )
    kind = _draw_chromatin(patch, nucleus, style, level, rng, drift)
    _lift(patch, distance, least)
    view = image[window]
    _draw_envelope(view, patch, distance, style, rng)
    cover = _cover(distance, nucleus, style, rng, drift)
    if style.frayed:
        own = streams.at("frayed", nucleus.index)
        cover *= _frayed(distance, patch, nucleus, style.frayed, own, drift)
    view += cover * (patch.tone - view)
    if nucleus.counts:
        labels[window][distance > 0] = nucleus.label
    return kind


def _level(nucleus: NucleusCut, style: Style, rng: np.random.Generator) -> float:
    """Return the tone of the nuclear matrix: fainter in dim nuclei and near a nucleus' poles."""
    strength = rng.uniform(0.85, 1.1)
    if rng.random() < style.dim_nuclei:
        strength *= rng.uniform(0.35, 0.7)
    if nucleus.share < 0.8:  # the section holds some of the cytoplasm above or below
        strength *= 0.45 + 0.55 * nucleus.share / 0.8
    return style.cytoplasm + (style.nucleus - style.cytoplasm) * strength


def _least_contrast(nucleus: NucleusCut, spread: float, rng: np.random.Generator) -> float:
    """Return how much a nucleus must differ from the cytoplasm: nobody labels what nobody sees.

    The more the cytoplasm itself varies (`spread`, its standard deviation) and the smaller the
    nucleus, the more contrast an eye needs (Rose 1948, J. Opt. Soc. Am. 38:196).
    """
    return rng.uniform(0.08, 0.13) + rng.uniform(0.9, 1.2) * spread + 0.5 / nucleus.radius


def _lift(patch: _Patch, distance: np.ndarray, least: float) -> None:
    """Brighten a nucleus whose chromatin has made it as dark as the cytoplasm, in place."""
    within = patch.tone[distance > 0]
    if within.size:
        patch.tone += np.float32(np.clip(least - within.mean(), 0, 0.15))


def _matrix(
    level: float, style: Style, rng: np.random.Generator, shape: tuple[int, int], drift: float
) -> np.ndarray:
    """Return the nuclear matrix (h, w) with its fine texture."""
    tone = np.full(shape, level, np.float32)
    for sigma, share in ((0.7, 0.5), (1.7, 0.6), (6, 0.4)):
        tone += noise_field(rng, sigma, shape, drift) * np.float32(share * style.nuclear_texture)
    return tone


def _cover(
    distance: np.ndarray, nucleus: NucleusCut, style: Style, rng: np.random.Generator, drift: float
) -> np.ndarray:
    """Return how much the nucleus hides the cytoplasm (0 to 1), ragged at the edge."""
    ragged = style.raggedness * min(1.0, nucleus.radius / 9)
    stray = sum(
        noise_field(rng, sigma, distance.shape, drift) * share
        for sigma, share in ((1.7, 0.8), (0.7, 0.25), (3, 0.5))
    )
    width = style.nuclear_softness * (1 + 1.5 * (1 - nucleus.share))
    opacity = 1.0 if rng.random() < 0.85 else rng.uniform(0.75, 1.0)
    if not nucleus.counts:
        opacity *= 0.5 * min(1.0, nucleus.share / GRAZE)
    return (np.clip((distance + stray * ragged) / width + 0.5, 0, 1) * opacity).astype(np.float32)


def _frayed(
    distance: np.ndarray,
    patch: _Patch,
    nucleus: NucleusCut,
    reach: float,
    rng: np.random.Generator,
    drift: float,
) -> np.ndarray:
    """Return how much of the nucleus is left (0 to 1) where its rim breaks up into crumbs.

    One side frays more than the other. The envelope, and so the label, stays where it is.
    """
    height, width = distance.shape
    down = np.arange(height, dtype=np.float32)[:, None] - patch.row
    right = np.arange(width, dtype=np.float32)[None, :] - patch.col
    turn, most = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 1.4)
    side = 0.5 + 0.5 * np.cos(np.arctan2(down, right) - turn)  # 1 where it frays most, 0 opposite
    depth = np.maximum(reach * most * nucleus.radius * (0.25 + 0.75 * side), 0.5)
    rim = np.clip(1 - distance / depth, 0, 1)  # 1 at the envelope, 0 where nothing is frayed
    grain = max(0.7, nucleus.full_radius * rng.uniform(0.05, 0.14))
    crumbs = noise_field(rng, grain, distance.shape, drift)
    left = np.clip(0.5 + 1.5 * (crumbs + 1.2 - 2.0 * rim), 0, 1)
    return np.where(rim > 0, left, 1).astype(np.float32)


def _draw_envelope(
    view: np.ndarray, patch: _Patch, distance: np.ndarray, style: Style, rng: np.random.Generator
) -> None:
    """Darken the nuclear membrane, on both sides of the outline."""
    probability, width, strength = style.envelope
    chance, outside = rng.random(2)
    if chance >= probability:
        return
    ring = np.exp(-((distance / width) ** 2)) * np.float32(strength)
    if outside < 0.7:
        view -= ring * np.clip(view - style.chromatin, 0, None)
    patch.tone -= 0.7 * ring * np.clip(patch.tone - style.chromatin, 0, None)


def _draw_chromatin(
    patch: _Patch,
    nucleus: NucleusCut,
    style: Style,
    level: float,
    rng: np.random.Generator,
    drift: float,
) -> str:
    """Draw the chromatin in the way this nucleus has it; return which that is."""
    kind = str(rng.choice(style.chromatin_kinds, p=style.chromatin_weights))
    if nucleus.condensed:
        kind = "clumps"
    dark = level - (level - style.chromatin) * rng.uniform(0.7, 1.0)
    if kind == "speckles":
        _speckles(patch, nucleus, style, dark, rng, drift)
    if kind in ("blobs", "blobs and clumps"):
        _blobs(patch, nucleus, dark, rng)
    if kind in ("clumps", "blobs and clumps"):
        _clumps(patch, nucleus, style.black, rng)
    if kind == "nucleolus":
        _nucleolus(patch, nucleus, dark, rng)
    return kind


def _speckles(
    patch: _Patch,
    nucleus: NucleusCut,
    style: Style,
    dark: float,
    rng: np.random.Generator,
    drift: float,
) -> None:
    """Darken where smooth noise is above a threshold, or near zero: grains, or a network."""
    grain = style.chromatin_grain * (nucleus.full_radius / 10) ** 0.7
    field = noise_field(rng, grain, patch.tone.shape, drift)
    threshold = style.chromatin_threshold
    if style.network:
        field, threshold = (0.55 - np.abs(field)) * 1.6, 0.6 * threshold
    if rng.random() < 0.6:  # chromatin keeps away from the envelope
        threshold = threshold + 0.5 * np.clip(patch.relative - 0.75, 0, 1)
    cover = np.clip((field - threshold) * 2.2, 0, 1).astype(np.float32)
    patch.tone += cover * (dark - patch.tone)


def _blobs(patch: _Patch, nucleus: NucleusCut, dark: float, rng: np.random.Generator) -> None:
    """Strew short dark rods through the nuclear ball; a section shows those near its plane."""
    count = int(np.exp(rng.uniform(np.log(60), np.log(400))))
    size = rng.uniform(0.8, 1.5) * 0.26 / count ** (1 / 3)
    places = rng.uniform(-0.9, 0.9, (count, 3))
    turns, lengths = rng.uniform(0, np.pi, count), rng.uniform(0.1, 1.8, count) * size
    sizes = size * np.exp(rng.normal(0, 0.3, count))
    near = np.abs(places[:, 0] - nucleus.offset) < 0.4
    near &= (places**2).sum(axis=1) < rng.uniform(0.6, 0.95)
    cover = np.zeros(patch.tone.shape, np.uint8)
    for index in np.flatnonzero(near):
        half = np.array([np.cos(turns[index]), np.sin(turns[index])]) * lengths[index]
        centre = places[index, 1:]
        ends = np.stack([centre - half, centre + half]) * nucleus.full_radius
        stroke(
            cover,
            ends + (patch.col, patch.row),
            int(round(2 * sizes[index] * nucleus.full_radius * 0.8)),
        )
    _lay(patch, cover, dark, rng.uniform(0.5, 1.0), rng.random() < 0.6)


def _clumps(patch: _Patch, nucleus: NucleusCut, black: float, rng: np.random.Generator) -> None:
    """Draw a few black condensed chromosomes, bent rods and crumbs, off the middle."""
    scale = nucleus.full_radius * (0.5 + 0.5 * nucleus.share)
    cover = np.zeros(patch.tone.shape, np.uint8)
    centre = rng.normal(0, 0.2 * scale, 2) + (patch.row, patch.col)
    spread = rng.uniform(0.12, 0.3) * scale
    for _ in range(int(rng.integers(2, 6))):
        row, col = centre + rng.normal(0, spread, 2)
        if rng.random() < 0.4:
            fill(cover, crumb(rng, row, col, max(1.2, scale * rng.uniform(0.08, 0.2)), 0.35), 255)
            continue
        bends = int(rng.integers(2, 5))
        path = np.cumsum(rng.normal(0, 0.2 * scale, (bends, 2)), axis=0) + (col, row)
        stroke(cover, path, max(2, int(round(scale * rng.uniform(0.08, 0.18)))))
    _lay(patch, cover, black, rng.uniform(0.8, 1.0), rng.random() < 0.5)


def _nucleolus(patch: _Patch, nucleus: NucleusCut, dark: float, rng: np.random.Generator) -> None:
    """Draw one round dark body, at times hollow."""
    radius = nucleus.radius * rng.uniform(0.2, 0.5)
    row, col = rng.normal(0, 0.2 * nucleus.radius, 2) + (patch.row, patch.col)
    height, width = patch.tone.shape
    down = np.arange(height, dtype=np.float32)[:, None] - row
    right = np.arange(width, dtype=np.float32)[None, :] - col
    distance = np.hypot(down, right)
    cover = np.clip((radius - distance) / 1.2 + 0.5, 0, 1) * rng.uniform(0.5, 1.0)
    if rng.random() < 0.3:
        cover *= np.clip((distance - 0.4 * radius) / 1.2 + 0.5, 0.3, 1)
    patch.tone += cover.astype(np.float32) * (dark - patch.tone)


def _lay(patch: _Patch, cover: np.ndarray, tone: float, opacity: float, soft: bool) -> None:
    """Blend strokes (uint8) into the patch."""
    if soft:
        cover = cv2.GaussianBlur(cover, (0, 0), 0.7)
    patch.tone += cover.astype(np.float32) * np.float32(opacity / 255) * (tone - patch.tone)
