"""How a section looks: resin, embryos, clutter, one over the other, then photographed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .anatomy import Embryo, draw_count, draw_embryo
from .appearance import Appearance
from .clutter import (
    draw_dirt,
    draw_frame,
    draw_label_bar,
    draw_resin,
    draw_threads,
    draw_wedge,
)
from .cutting import MIN_LABEL_PIXELS, MIN_VISIBLE, NucleusCut, Section, cut
from .nuclei import draw_nucleus
from .optics import take_picture
from .streams import Streams
from .style import Style, draw_style
from .tissue import Specimen, draw_cytoplasm, draw_shells

HALF_EMBRYO_UM = 18.0  # half the length of an egg's middle section, between across and along


@dataclass(frozen=True)
class Scene:
    """All that a frame shows in every section: embryos in space, their looks, one style."""

    size: int
    appearance: Appearance
    streams: Streams
    style: Style
    embryos: tuple[Embryo, ...]  # the last one is the embryo of the series


def draw_scene(seed: int, size: int, nuclei: int | None, appearance: Appearance) -> Scene:
    """Draw the embryos of one series and where they lie in a frame of `size` pixels."""
    streams = Streams((seed,))
    count = draw_count(streams.at("count")) if nuclei is None else nuclei
    rng = streams.at("place")
    unit = size / 256
    if streams.at("zoom").random() < appearance.zoom:
        radius = rng.uniform(100, 230) * unit
        away = rng.uniform(0, 0.75) * radius
    else:
        radius = rng.uniform(*appearance.magnification) * unit
        away = abs(rng.normal(0, 30)) * unit
    main = draw_embryo(streams.child("main"), count, appearance, HALF_EMBRYO_UM / radius)
    style = draw_style(appearance, streams)
    main = _readable(main, (7.0 if style.pale else 5.0) * unit, 22.0 * unit)
    main = _placed(main, (size / 2, size / 2), away, rng)
    others = _others(streams, appearance, main)
    return Scene(size, appearance, streams, style, (*others, main))


def _readable(embryo: Embryo, least: float, most: float) -> Embryo:
    """Return the embryo at a magnification that gives its nuclei `least` to `most` pixels radius.

    A usual nucleus is 10 to 44 of 256 pixels wide, at least 14 where it hardly stands out.
    """
    radius = float(np.median(embryo.radii_um)) / embryo.pixel_size_um
    wanted = float(np.clip(radius, least, most))
    return replace(embryo, pixel_size_um=embryo.pixel_size_um * radius / wanted)


def _others(streams: Streams, appearance: Appearance, main: Embryo) -> list[Embryo]:
    """Return a second embryo beside the main one, and a polar body, each if chance has it."""
    others = []
    rng = streams.at("second embryo")
    if rng.random() < appearance.second_embryo:
        count, first_id = min(draw_count(rng), 48), len(main.ids) + 1
        second = draw_embryo(
            streams.child("second"), count, appearance, main.pixel_size_um, first_id
        )
        distance = main.radius_px + second.radius_px * rng.uniform(0.75, 1.2)
        # it lies deeper or higher, so its section is smaller, and its nuclei are other ones
        second = replace(second, middle_um=rng.uniform(-0.6, 0.6) * second.semi_axes_um[0])
        others.append(_placed(second, main.centre_px, distance, rng))
    rng = streams.at("polar body")
    if rng.random() < appearance.polar_bodies:
        scale = rng.uniform(0.08, 0.22)
        body = draw_embryo(streams.child("polar"), 1, appearance, main.pixel_size_um, scale=scale)
        body = replace(body, semi_axes_um=(1e3, *body.semi_axes_um[1:]))  # met by every section
        distance = main.radius_px + body.radius_px * rng.uniform(0.9, 4.0)
        others.append(_placed(_without_nuclei(body), main.centre_px, distance, rng))
    return others


def _placed(
    embryo: Embryo, origin: tuple[float, float], distance: float, rng: np.random.Generator
) -> Embryo:
    """Return the embryo at `distance` pixels from `origin` in a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    row, col = origin[0] + distance * np.sin(angle), origin[1] + distance * np.cos(angle)
    return replace(embryo, centre_px=(row, col))


def _without_nuclei(embryo: Embryo) -> Embryo:
    """Return the same body with nothing in it: a polar body at this scale shows no nucleus."""
    return replace(embryo, radii_um=np.zeros_like(embryo.radii_um))


def render_section(
    scene: Scene, depth_um: float, number: int
) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Draw one section of a scene.

    Parameters
    ----------
    scene : Scene
        What all sections share.
    depth_um : float
        Distance of the plane from the middle of the main embryo, in micrometres.
    number : int
        The section's number; dirt, threads, noise and a jitter of a pixel or two depend on it.

    Returns
    -------
    image : ndarray, (H, W) float32 in [0, 1]
    labels : ndarray, (H, W) int32
        0 background; a nucleus keeps its number in all sections.
    looks : dict
        How the chromatin of each labelled nucleus was drawn, by its number.
    """
    size, streams, appearance = scene.size, scene.streams, scene.appearance
    labels = np.zeros((size, size), np.int32)
    image = draw_resin(scene.style, appearance, streams, size)
    draw_dirt(image, appearance, streams.at("dirt", number))
    shift = streams.at("jitter", number).normal(0, 0.8 * size / 256, 2)
    nuclei: list[NucleusCut] = []
    looks: dict[int, str] = {}
    for index, embryo in enumerate(scene.embryos):
        own = streams.child(f"body {index - len(scene.embryos)}")
        specimen = Specimen(embryo, _own_style(scene, index, own), appearance, own)
        section = _draw_body(image, labels, specimen, depth_um, shift, looks)
        nuclei += section.nuclei
    draw_threads(image, appearance, streams.at("threads", number))
    draw_wedge(image, labels, appearance, streams.at("wedge", number), section.inside)
    draw_frame(image, labels, appearance, streams.at("frame"))
    draw_label_bar(image, labels, appearance, streams, number)
    image = take_picture(image, appearance, streams, number)
    labels = _drop_fragments(labels, nuclei)
    return image, labels, {number: looks[number] for number in np.unique(labels[labels > 0])}


def _own_style(scene: Scene, index: int, streams: Streams) -> Style:
    """Return the scene's style; other embryos are a little lighter or darker than the main one."""
    style = scene.style
    if index == len(scene.embryos) - 1:
        return style
    tone = float(np.clip(style.cytoplasm + streams.at("tone").normal(0, 0.04), 0.15, 0.85))
    return replace(style, cytoplasm=tone, nucleus=max(style.nucleus, tone + 0.05))


def _draw_body(
    image: np.ndarray,
    labels: np.ndarray,
    specimen: Specimen,
    depth_um: float,
    shift: np.ndarray,
    looks: dict[int, str],
) -> Section:
    """Draw one embryo with its nuclei, in place; return what the plane met.

    How the chromatin of each nucleus was drawn is noted in `looks`.
    """
    section = cut(specimen.embryo, depth_um, len(image), (float(shift[0]), float(shift[1])))
    draw_shells(image, section, specimen)
    covered = draw_cytoplasm(image, section, specimen, depth_um)
    labels[covered] = 0  # an embryo in front hides what is behind it
    for nucleus in section.nuclei:
        look = draw_nucleus(image, labels, nucleus, specimen.style, specimen.streams)
        if look is not None:
            looks[nucleus.label] = look
    return section


def _drop_fragments(labels: np.ndarray, nuclei: list[NucleusCut]) -> np.ndarray:
    """Remove labels of which too little shows (the rule of module `cutting`), in place."""
    counts = np.bincount(labels.ravel(), minlength=1 + max((n.label for n in nuclei), default=0))
    small = counts < MIN_LABEL_PIXELS
    for nucleus in nuclei:
        small[nucleus.label] |= counts[nucleus.label] < MIN_VISIBLE * nucleus.area
    small[0] = False
    if small.any():
        labels[small[labels]] = 0
    return labels
