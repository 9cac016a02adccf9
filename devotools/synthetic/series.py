"""One embryo from nothing to a stack of pictures with labels: the way into this wing."""

from __future__ import annotations

from collections import ChainMap
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import pandas as pd

from devotools._validate import InputError

from .anatomy import MAX_NUCLEI, PIXEL_SIZE_SOURCE
from .appearance import Appearance
from .cutting import SPAN
from .micrograph import Scene, draw_scene, render_section

MIN_SIZE = 64
STATE_OF_LOOK = {"clumps": "condensed", "blobs and clumps": "mixed"}  # all others are speckled


@dataclass(frozen=True)
class Series:
    """Serial sections of one drawn embryo, with what is true about them.

    Attributes
    ----------
    images : ndarray, (S, H, W) float32 in [0, 1]
    labels : ndarray, (S, H, W) int32
        0 background. A nucleus has one number, the same in all its sections.
    nuclei : pandas.DataFrame
        One row a nucleus: `id`; its centre `depth_um`, `row_um`, `col_um`, measured from the
        first section and the middle of the top left pixel, so that
        `labels[round(depth_um / section_thickness_um), round(row_um / pixel_size_um), ...]`
        lies in it; `radius_um` and `volume_um3` of the whole nucleus; `state` of its
        chromatin as it was drawn: "condensed" (clumps), "mixed" (clumps among blobs) or "speckled"
        (everything else), and as it was meant to be where no section shows it; `embryo`
        (1, or 2 for a second embryo beside it); `sections`, the number of sections that show it
        with a label (0: outside the frame or between two).
    pixel_size_um, section_thickness_um : float
        Size of a pixel, and distance from one section to the next, in micrometres.
    pixel_size_source : str
        How the pixel size follows.
    seed : int
    """

    images: np.ndarray
    labels: np.ndarray
    nuclei: pd.DataFrame
    pixel_size_um: float
    section_thickness_um: float
    pixel_size_source: str
    seed: int


def synthesize_series(
    *,
    nuclei: int | None = None,
    sections: int = 12,
    size: int = 256,
    seed: int = 0,
    appearance: Appearance | None = None,
) -> Series:
    """Draw one embryo and cut it into serial sections.

    Parameters
    ----------
    nuclei : int, optional
        Number of nuclei of the embryo, 1 to 120; drawn from the seed (2 to about 100) if left out.
        A second embryo beside it, if chance has one, brings its own.
    sections : int
        Number of sections, evenly spaced from pole to pole (the last tenth is left out).
    size : int
        Side of the square pictures in pixels, 64 at least; 256 is what the looks were made for.
    seed : int
        Decides everything: the same seed gives the same pixels.
    appearance : Appearance, optional
        Ranges of every factor of the looks.

    Returns
    -------
    Series

    Raises
    ------
    InputError
        If an argument is not a whole number or lies outside its range.

    Notes
    -----
    Neighbouring sections are nearly the same picture, as real ones are: never let one be a
    training and the other a validation picture. Lengths follow from an egg of 50 x 30 um
    (WormClassroom, Embryogenesis of C. elegans: 55 x 30 um). Taught in lesson 01.

    Examples
    --------
    >>> series = synthesize_series(nuclei=4, sections=3, size=96, seed=1)
    >>> series.images.shape, str(series.images.dtype), str(series.labels.dtype)
    ((3, 96, 96), 'float32', 'int32')
    >>> int((series.nuclei.embryo == 1).sum())
    4
    """
    _check("sections", sections, 1, 10_000)
    if nuclei is not None:
        _check("nuclei", nuclei, 1, MAX_NUCLEI)
    scene = _scene(seed, size, nuclei, appearance)
    main = scene.embryos[-1]
    spacing = 2 * SPAN * main.semi_axes_um[0] / sections
    depths = (np.arange(sections) - (sections - 1) / 2) * spacing
    drawn = [render_section(scene, depth, number) for number, depth in enumerate(depths)]
    images, labels, looks = zip(*drawn, strict=True)
    images, labels = np.stack(images), np.stack(labels)
    return Series(
        images=images,
        labels=labels,
        nuclei=_table(scene, labels, dict(ChainMap(*looks)), depths[0]),
        pixel_size_um=main.pixel_size_um,
        section_thickness_um=float(spacing),
        pixel_size_source=PIXEL_SIZE_SOURCE,
        seed=int(seed),
    )


def draw_section(
    seed: int, size: int = 256, appearance: Appearance | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one section, at a random depth, of the embryo that `synthesize_series(seed=seed)` cuts.

    What the shipped model learned from; lesson 04 tests it on such sections.

    Parameters
    ----------
    seed : int
        Decides everything.
    size : int
        Side of the square picture in pixels, 64 at least.
    appearance : Appearance, optional
        Ranges of every factor of the looks.

    Returns
    -------
    image : ndarray, (H, W) float32 in [0, 1]
    labels : ndarray, (H, W) int32
        0 background, one number a nucleus. A nucleus that the plane merely grazes (less than
        0.42 of its radius) is drawn faintly and not labelled.

    Raises
    ------
    InputError
        If `seed` or `size` is not a whole number or lies outside its range.

    Examples
    --------
    >>> image, labels = draw_section(0, size=96)
    >>> image.shape == labels.shape == (96, 96), str(image.dtype), str(labels.dtype)
    (True, 'float32', 'int32')
    """
    scene = _scene(seed, size, None, appearance)
    depth = scene.streams.at("section").uniform(-SPAN, SPAN)
    image, labels, _ = render_section(scene, depth * scene.embryos[-1].semi_axes_um[0], 0)
    return image, labels


def _scene(seed: int, size: int, nuclei: int | None, appearance: Appearance | None) -> Scene:
    _check("seed", seed, 0, None)
    _check("size", size, MIN_SIZE, 8192)
    if appearance is not None and not isinstance(appearance, Appearance):
        raise InputError(
            f"appearance is a {type(appearance).__name__}, expected an Appearance; "
            "make one with Appearance() or Appearance().without('label_bar')"
        )
    return draw_scene(int(seed), int(size), nuclei, appearance or Appearance())


def _table(
    scene: Scene, labels: np.ndarray, looks: dict[int, str], first_depth: float
) -> pd.DataFrame:
    """Return one row a nucleus of all embryos, in the frame of the stack."""
    shown = np.zeros(1 + sum(len(embryo.ids) for embryo in scene.embryos), int)
    for section in labels:
        shown[np.unique(section)] += 1
    main = scene.embryos[-1]
    parts = []
    for embryo in scene.embryos:
        if not embryo.radii_um.any():  # a polar body: no nucleus
            continue
        centres, radii = embryo.frame_um(), embryo.radii_um
        meant = np.where(embryo.condensed, "clumps", "speckles")
        seen = [looks.get(*pair) for pair in zip(embryo.ids.tolist(), meant, strict=True)]
        parts.append(
            pd.DataFrame(
                {
                    "id": embryo.ids,
                    "depth_um": centres[:, 0] - first_depth,
                    "row_um": centres[:, 1],
                    "col_um": centres[:, 2],
                    "radius_um": radii,
                    "volume_um3": 4 / 3 * np.pi * radii**3,
                    "state": [STATE_OF_LOOK.get(look, "speckled") for look in seen],
                    "embryo": 1 if embryo is main else 2,
                    "sections": shown[embryo.ids],
                }
            )
        )
    return pd.concat(parts).sort_values("id", ignore_index=True)


def _check(name: str, value: object, low: int, high: int | None) -> None:
    """Refuse what is not a whole number within its range, saying what to pass instead."""
    span = f"a whole number from {low}" + ("" if high is None else f" to {high}")
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        raise InputError(
            f"{name} is {value!r}, expected {span}; pass for example {name}={max(low, 1)}"
        )
