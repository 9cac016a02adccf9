"""What a plane through an embryo meets: distances and cut nuclei, in pixels of the picture.

**A nucleus counts in a section when** the plane cuts it at `GRAZE` = 0.42 of its full radius or
more, the cut is at least 6 pixels wide (`MIN_RADIUS` = 3), and at least `MIN_LABEL_PIXELS` = 28 of
its pixels and `MIN_VISIBLE` = 0.3 of its area are in the frame and not covered. One that is only
grazed is drawn, faintly, and not labelled: nobody could outline it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from .anatomy import Embryo

GRAZE = 0.42
MIN_RADIUS = 3.0
MIN_LABEL_PIXELS = 28
MIN_VISIBLE = 0.3
SPAN = 0.9  # sections reach this far towards the poles; beyond, an embryo is a mere smear


@dataclass(frozen=True)
class NucleusCut:
    """One nucleus where the section plane meets it; lengths in pixels."""

    index: int  # position in the embryo's arrays
    label: int
    row: float
    col: float
    radius: float
    full_radius: float
    offset: float  # plane's distance from the centre over the full radius, -1 to 1
    elongation: float
    angle: float
    waves: np.ndarray
    condensed: bool

    @property
    def share(self) -> float:
        """Radius in this section over the full radius, 0 to 1."""
        return self.radius / self.full_radius

    @property
    def area(self) -> float:
        """Its area in this section, all of it, in pixels."""
        return float(np.pi * self.radius**2)

    @property
    def counts(self) -> bool:
        """Whether the nucleus is labelled in this section (the module's rule)."""
        return self.share >= GRAZE and self.radius >= MIN_RADIUS


@dataclass(frozen=True)
class Section:
    """What a plane meets: distances in pixels on the picture's grid, and the nuclei cut."""

    inside: np.ndarray  # (H, W) float32, distance to the outline, positive inside
    border: np.ndarray  # (H, W) float32, 0 where two cells meet
    cell: np.ndarray  # (H, W) uint8, number of the nearest cell
    nuclei: list[NucleusCut]


def _waves(angles: np.ndarray, waves: np.ndarray) -> np.ndarray:
    """Sum cosine and sine waves 2, 3, ... over `angles`, by a table of 1024 directions."""
    turns = np.linspace(0, 2 * np.pi, 1024, endpoint=False)
    orders = np.arange(2, 2 + len(waves))[:, None]
    table = waves[:, 0] @ np.cos(orders * turns) + waves[:, 1] @ np.sin(orders * turns)
    # a picture has far more pixels than there are directions to tell apart
    steps = (angles * np.float32(1024 / (2 * np.pi))).astype(np.int32) & 1023
    return table.astype(np.float32)[steps]


def cut(
    embryo: Embryo, depth_um: float, size: int, shift_px: tuple[float, float] = (0.0, 0.0)
) -> Section:
    """Cut an embryo at `depth_um`; the picture is `size` pixels a side.

    `shift_px` (row, col) moves the whole section: no two are photographed at the same spot.
    """
    depth_um = depth_um - embryo.middle_um
    rows, cols = _local_grid(embryo, size, shift_px)
    first, second, nearest = _two_nearest_cells(embryo, depth_um, rows, cols)
    inside = _outline(embryo, depth_um, rows, cols, first)
    scale = 1 / embryo.pixel_size_um
    return Section(
        inside=_enlarge(inside * scale, size),
        border=_enlarge((second - first) * scale, size),
        cell=cv2.resize(nearest, (size, size), interpolation=cv2.INTER_NEAREST),
        nuclei=list(_cut_nuclei(embryo, depth_um, size, shift_px)),
    )


def _enlarge(field: np.ndarray, size: int) -> np.ndarray:
    return cv2.resize(field.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)


def _local_grid(
    embryo: Embryo, size: int, shift_px: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the embryo's own row and col (um) at every second pixel: outlines are smooth."""
    half = (size + 1) // 2
    steps = ((np.arange(half, dtype=np.float32) + 0.5) * (size / half)) - 0.5
    down = (steps - embryo.centre_px[0] - shift_px[0])[:, None] * embryo.pixel_size_um
    right = (steps - embryo.centre_px[1] - shift_px[1])[None, :] * embryo.pixel_size_um
    cosine, sine = np.float32(np.cos(embryo.angle)), np.float32(np.sin(embryo.angle))
    down, right = down.astype(np.float32), right.astype(np.float32)
    return cosine * down - sine * right, sine * down + cosine * right


def _two_nearest_cells(
    embryo: Embryo, depth_um: float, rows: np.ndarray, cols: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distance (um) to the nearest two cell centres, and the nearest one's number."""
    first = np.full(rows.shape, 1e6, np.float32)
    second = first.copy()
    nearest = np.zeros(rows.shape, np.uint8)
    away = np.abs(embryo.cells_um[:, 0] - depth_um)
    reach = max(1.8 * embryo.cell_radius_um, np.sort(away)[:2][-1] + 1e-3) if len(away) else 0
    for number in np.flatnonzero(away <= reach):
        _, row, col = embryo.cells_um[number].astype(np.float32)
        squared = (rows - row) ** 2 + (cols - col) ** 2 + np.float32(away[number] ** 2)
        closer = squared < first
        second = np.minimum(second, np.maximum(first, squared))
        nearest[closer] = number
        first = np.minimum(first, squared)
    return np.sqrt(first), np.sqrt(second), nearest


def _outline(
    embryo: Embryo, depth_um: float, rows: np.ndarray, cols: np.ndarray, cell_distance: np.ndarray
) -> np.ndarray:
    """Return the distance (um, positive inside) to the outline at this depth."""
    deep, wide, long = embryo.semi_axes_um
    level = np.sqrt(max(1 - (depth_um / deep) ** 2, 0.0))
    across, along = rows / wide, cols / long
    radius = np.hypot(across, along)
    # the waves turn slowly with depth, as bulges do
    angles = np.arctan2(across, along) + 0.4 * depth_um / deep
    edge = (level * (1 + _waves(angles, embryo.outline_waves))).astype(np.float32)
    mean_axis = np.sqrt(wide * long)
    inside = (edge - radius) * mean_axis
    if embryo.lobe is None:
        return inside
    cell, core = embryo.lobe
    # with many small cells the lobes are groups of them: an embryo is no bunch of grapes
    reach = max(cell * embryo.cell_radius_um, 0.45 * wide)
    lobes = np.maximum(reach - cell_distance, (edge * core - radius) * mean_axis)
    return cv2.GaussianBlur(np.minimum(inside, lobes), (0, 0), 1.6)


def _cut_nuclei(
    embryo: Embryo, depth_um: float, size: int, shift_px: tuple[float, float]
) -> Iterator[NucleusCut]:
    """Yield the nuclei that the plane meets inside the frame."""
    centres = embryo.frame_um()
    for index in np.flatnonzero(np.abs(embryo.cells_um[:, 0] - depth_um) < embryo.radii_um):
        full = embryo.radii_um[index]
        offset = (depth_um - embryo.cells_um[index, 0]) / full
        radius = full * np.sqrt(1 - offset**2) / embryo.pixel_size_um
        row = centres[index, 1] / embryo.pixel_size_um + shift_px[0]
        col = centres[index, 2] / embryo.pixel_size_um + shift_px[1]
        margin = 1.5 * radius
        if not (-margin < row < size + margin and -margin < col < size + margin):
            continue
        yield NucleusCut(
            index=int(index),
            label=int(embryo.ids[index]),
            row=row,
            col=col,
            radius=radius,
            full_radius=full / embryo.pixel_size_um,
            offset=offset,
            elongation=embryo.elongation[index],
            angle=float(index) * 2.4 + embryo.angle,  # golden angle: neighbours point elsewhere
            waves=embryo.nuclear_waves[index],
            condensed=bool(embryo.condensed[index]),
        )


def envelope(nucleus: NucleusCut, size: int) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """Return the window a nucleus covers, the distance inside its envelope (px), and 0-to-1 radius.

    The distance is positive inside. Stretching keeps the area, so volumes stay those of spheres.
    """
    reach = int(1.7 * nucleus.radius + 4)
    top, left = int(nucleus.row) - reach, int(nucleus.col) - reach
    window = (
        slice(max(top, 0), max(min(top + 2 * reach + 1, size), 0)),
        slice(max(left, 0), max(min(left + 2 * reach + 1, size), 0)),
    )
    down = np.arange(window[0].start, window[0].stop, dtype=np.float32)[:, None] - nucleus.row
    right = np.arange(window[1].start, window[1].stop, dtype=np.float32)[None, :] - nucleus.col
    cosine, sine, stretch = (
        np.cos(nucleus.angle),
        np.sin(nucleus.angle),
        np.sqrt(nucleus.elongation),
    )
    along = ((cosine * right + sine * down) / stretch).astype(np.float32)
    across = ((cosine * down - sine * right) * stretch).astype(np.float32)
    radius = np.hypot(along, across)
    edge = nucleus.radius * (1 + _waves(np.arctan2(across, along), nucleus.waves))
    return window, (edge - radius).astype(np.float32), radius / max(nucleus.radius, 1e-3)
