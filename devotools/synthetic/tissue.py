"""How the body of an embryo looks: shells round it, cytoplasm in it, membranes between cells."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .anatomy import Embryo
from .appearance import Appearance
from .cutting import Section
from .granules import Body, draw_bare_chromosomes, draw_granules, draw_holes, draw_vacuoles
from .noise import noise_field
from .streams import Streams
from .style import Style


@dataclass(frozen=True)
class Specimen:
    """One embryo with its looks and its chance."""

    embryo: Embryo
    style: Style
    appearance: Appearance
    streams: Streams


def _line(distance: np.ndarray, width: float) -> np.ndarray:
    """Return 1 on a line where the distance is 0, falling to 0 within a few widths."""
    scaled = distance * np.float32(1 / width)
    scaled = np.maximum(1 - scaled * scaled * np.float32(0.33), 0)
    return scaled * scaled * scaled  # a cheap exp(-x^2)


def draw_shells(image: np.ndarray, section: Section, specimen: Specimen) -> None:
    """Draw eggshell, vitelline layer and loose outlines round an embryo, in place."""
    rng = specimen.streams.at("eggshell")
    if rng.random() >= specimen.appearance.eggshell:
        return
    radius = specimen.embryo.radius_px
    shape, scale = image.shape, min(1.0, radius / 70)
    for _ in range(int(rng.integers(1, 4))):
        away = rng.uniform(1, 0.16 * radius + 3) if rng.random() < 0.8 else rng.uniform(-0.5, 2)
        distance = section.inside + away + noise_field(rng, 25, shape) * rng.uniform(0.5, 5) * scale
        distance = distance + noise_field(rng, 6, shape) * rng.uniform(0, 0.8)
        gate = np.clip(noise_field(rng, 25, shape) * 2 + rng.uniform(-0.5, 2.5), 0, 1)
        if rng.random() < 0.4:  # a dashed, crumbling line
            gate = gate * np.clip(noise_field(rng, 1.7, shape) + 0.8, 0, 1)
        image -= (
            _line(distance, rng.uniform(0.5, 1.1)) * gate * rng.uniform(0.08, 0.55) * (image - 0.1)
        )
        if rng.random() < 0.35:  # the space inside the shell has a tone of its own
            image += np.clip(distance, 0, 1) * rng.uniform(-0.08, 0.08)
    if rng.random() < 0.35:
        _crumbly_zone(image, section.inside, rng)


def _crumbly_zone(image: np.ndarray, inside: np.ndarray, rng: np.random.Generator) -> None:
    """Strew fine dark grains just outside the outline."""
    zone = _line(inside + rng.uniform(2, 7), rng.uniform(1.5, 5))
    zone *= np.clip(noise_field(rng, 12, image.shape) + 0.2, 0, 1)
    image -= zone * np.clip(noise_field(rng, 0.7, image.shape) * 0.15 + 0.05, -0.1, 0.4)


def draw_cytoplasm(
    image: np.ndarray, section: Section, specimen: Specimen, depth_um: float
) -> np.ndarray:
    """Fill the embryo with cytoplasm and its granules, in place; return where it is (H, W) bool."""
    embryo, style, streams = specimen.embryo, specimen.style, specimen.streams
    radius, depth_px = embryo.radius_px, depth_um / embryo.pixel_size_um
    rng = streams.at("cytoplasm")
    edge = section.inside + noise_field(rng, 3, image.shape, depth_px / 8) * rng.uniform(0.1, 0.8)
    edge = edge + noise_field(rng, 12, image.shape, depth_px / 8) * rng.uniform(0, 1.5)
    body = _texture(style, streams, image.shape, depth_px)
    tones = streams.at("cell tone").normal(0, style.cell_tone, max(len(embryo.cells_um), 1))
    body += tones.astype(np.float32)[section.cell]
    body += np.clip(edge / (radius * style.core_reach), 0, 1) * np.float32(style.core)
    _draw_membranes(body, section.border, specimen)
    typical = min(embryo.nuclear_radius_um / embryo.pixel_size_um, 0.3 * radius)
    content = Body(body, edge, style, streams, embryo.centre_px, radius, typical, depth_px)
    draw_granules(content)
    draw_vacuoles(content)
    draw_holes(content)
    draw_bare_chromosomes(content)
    body += noise_field(streams.at("grain"), 0.7, image.shape) * np.float32(0.5 * style.texture[1])
    if style.softness > 0.3:
        body = cv2.GaussianBlur(body, (0, 0), style.softness * len(image) / 256)
    image += np.clip(edge / rng.uniform(0.8, 2.5) + 0.5, 0, 1) * (body - image)
    return edge > 2


def _texture(style: Style, streams: Streams, shape: tuple[int, int], depth_px: float) -> np.ndarray:
    """Return cytoplasm (H, W) float32 with grain of several sizes, sliding with depth."""
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


def _draw_membranes(body: np.ndarray, border: np.ndarray, specimen: Specimen) -> None:
    """Draw the borders between cells: thin dark lines mostly, pale gaps at times."""
    rng = specimen.streams.at("membranes")
    if rng.random() >= specimen.appearance.membranes:
        return
    wavy = border - 0.3 + noise_field(rng, 6, body.shape) * rng.uniform(0, 1.2)
    gate = np.clip(noise_field(rng, 25, body.shape) + rng.uniform(-0.6, 1.0), 0, 1)
    line = _line(wavy, rng.uniform(0.6, 1.3)) * gate
    if rng.random() < 0.75:
        body -= line * np.float32(rng.uniform(0.05, 0.6)) * (body - 0.1)
    else:
        body += line * np.float32(rng.uniform(0.1, 0.5)) * (specimen.style.resin - body)
