"""The embryo as a body in space, and what a plane through it meets: geometry, no grey values.

Lengths are micrometres until `cut` turns them into pixels. Coordinates are (depth, row, col),
the embryo's centre at the origin, the depth axis perpendicular to the sections.

**A nucleus counts in a section when** the plane cuts it at more than `GRAZE` = 0.36 of its full
radius and at least `MIN_LABEL_PIXELS` = 18 of its pixels are in the frame and not covered. A
nucleus that is only grazed is drawn, faintly, and not labelled: nobody could outline it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .appearance import Appearance
from .streams import Streams

EGG_LENGTH_UM, EGG_WIDTH_UM = 50.0, 30.0
PIXEL_SIZE_SOURCE = (
    "assumed, not measured: the drawn embryo stands for a C. elegans egg of about 50 x 30 um "
    "(WormAtlas, Introduction to C. elegans Embryo Anatomy); the length of its middle section "
    "in um over the same length in pixels"
)
GRAZE = 0.36
MIN_LABEL_PIXELS = 18
MAX_NUCLEI = 120
SPAN = 0.9  # the sections reach this far towards the poles; beyond, a section is a mere smear


@dataclass(frozen=True)
class Embryo:
    """One embryo: an ellipsoid of cells, each with a nucleus, and where it lies in the frame."""

    semi_axes_um: tuple[float, float, float]  # depth, row, col before turning by `angle`
    cells_um: np.ndarray  # (N, 3) float
    radii_um: np.ndarray  # (N,) float, full nuclear radius
    ids: np.ndarray  # (N,) int
    condensed: np.ndarray  # (N,) bool, chromatin in clumps only
    elongation: np.ndarray  # (N,) float, long over short axis
    nuclear_waves: np.ndarray  # (N, 4, 2) float: cosine and sine of the envelope's waves 2 to 5
    outline_waves: np.ndarray  # (6, 2) float: the same of the embryo's outline, waves 2 to 7
    lobe: tuple[float, float] | None  # cell and core radius of an outline that follows the cells
    angle: float
    centre_px: tuple[float, float]
    middle_um: float  # depth of its middle; 0 for the embryo of the series
    pixel_size_um: float

    @property
    def radius_px(self) -> float:
        """Half the length of the middle section in pixels."""
        return max(self.semi_axes_um[1:]) / self.pixel_size_um

    @property
    def cell_radius_um(self) -> float:
        """Radius of a ball with an equal share of the embryo's volume."""
        return float((np.prod(self.semi_axes_um) / max(len(self.cells_um), 1)) ** (1 / 3))

    def frame_um(self) -> np.ndarray:
        """Return the cell centres (N, 3) with row and col turned and measured from the corner."""
        turned = self.cells_um.copy()
        turned[:, 0] += self.middle_um
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        rows, cols = self.cells_um[:, 1], self.cells_um[:, 2]
        turned[:, 1] = sine * cols + cosine * rows + self.centre_px[0] * self.pixel_size_um
        turned[:, 2] = cosine * cols - sine * rows + self.centre_px[1] * self.pixel_size_um
        return turned


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
    def counts(self) -> bool:
        """Whether the nucleus is labelled in this section (the module's rule)."""
        return self.share >= GRAZE


@dataclass(frozen=True)
class Section:
    """What a plane meets: distances in pixels on the picture's grid, and the nuclei cut."""

    inside: np.ndarray  # (H, W) float32, distance to the outline, positive inside
    border: np.ndarray  # (H, W) float32, 0 where two cells meet
    cell: np.ndarray  # (H, W) uint8, number of the nearest cell
    nuclei: list[NucleusCut]


def draw_count(rng: np.random.Generator) -> int:
    """Return a number of nuclei between 2 and about 100, half of the time below 30.

    Logarithmic, as cells double; weighted towards late stages, of which there are more pictures.
    """
    return int(round(2 ** (1.0 + 5.65 * np.sqrt(rng.random()))))


def draw_embryo(
    streams: Streams,
    nuclei: int,
    appearance: Appearance,
    pixel_size_um: float,
    first_id: int = 1,
    scale: float = 1.0,
) -> Embryo:
    """Draw an embryo with `nuclei` nuclei in the frame's corner; `scale` is 1 for a whole egg.

    Nuclei shrink as their number grows: each takes 34 to 58 % of its cell's radius, and cells
    share the volume (Hara & Kimura 2009, doi:10.1016/j.cub.2009.08.032, for the trend).
    """
    rng = streams.at("embryo")
    axes = tuple(scale * axis for axis in _semi_axes(rng, appearance))
    mean_radius = min(_cell_radius(axes, nuclei) * rng.uniform(0.34, 0.58), 4.5)
    cells = _spread_cells(streams.at("cells"), nuclei, axes, mean_radius)
    shape = streams.at("nuclear shape")
    low, high = appearance.elongation
    stretch = shape.uniform(low, high)
    waves = shape.uniform(0.02, 0.11) / np.arange(2, 6)
    lobed = streams.at("lobed")
    return Embryo(
        semi_axes_um=axes,
        cells_um=cells,
        radii_um=_nuclear_radii(streams.at("radii"), cells, mean_radius, axes),
        ids=np.arange(first_id, first_id + nuclei),
        condensed=streams.at("state").random(nuclei) < _condensed_share(streams, appearance),
        elongation=1 + (stretch - 1) * shape.random(nuclei),
        nuclear_waves=shape.standard_normal((nuclei, 4, 2)) * waves[:, None],
        outline_waves=_outline_waves(rng),
        lobe=(lobed.uniform(1.05, 1.4), lobed.uniform(0.55, 0.85))
        if lobed.random() < appearance.lobed and nuclei > 2
        else None,
        angle=rng.uniform(0, 2 * np.pi),
        centre_px=(0.0, 0.0),
        middle_um=0.0,
        pixel_size_um=pixel_size_um,
    )


def _cell_radius(axes: tuple[float, float, float], cells: int) -> float:
    return float((np.prod(axes) / cells) ** (1 / 3))


def _semi_axes(
    rng: np.random.Generator, appearance: Appearance
) -> tuple[float, float, float]:
    """Tilt the knife: from across the egg (round sections) towards along it (oval ones).

    Cutting an ellipsoid obliquely and lining the sections up on their middles gives an upright
    ellipsoid again; its depth and length multiply to what the egg's two axes do.
    """
    size = rng.uniform(0.92, 1.08)
    long, short = EGG_LENGTH_UM / 2 * size, EGG_WIDTH_UM / 2 * size
    tilt = np.pi / 2 * rng.uniform(*appearance.oval)
    length = 1 / np.hypot(np.cos(tilt) / short, np.sin(tilt) / long)
    return long * short / length, short * rng.uniform(0.9, 1.0), length


def _spread_cells(
    rng: np.random.Generator, count: int, axes: tuple[float, float, float], radius: float
) -> np.ndarray:
    """Place `count` cells (N, 3), each about as far from the others as it can be.

    Best-candidate sampling (Mitchell 1991): of many random points take the one farthest from
    those already placed.
    """
    reach = 0.96 - radius / min(axes)
    balls = rng.standard_normal((max(count * 8, 40), 3))
    balls *= (rng.random(len(balls)) ** (1 / 2.6) * reach / np.linalg.norm(balls, axis=1))[:, None]
    candidates = balls * axes
    chosen = [0]
    nearest = np.linalg.norm(candidates - candidates[0], axis=1)
    for _ in range(count - 1):
        best = int((nearest * rng.uniform(0.85, 1.0, len(nearest))).argmax())
        chosen.append(best)
        nearest = np.minimum(nearest, np.linalg.norm(candidates - candidates[best], axis=1))
    return candidates[chosen]


def _nuclear_radii(
    rng: np.random.Generator,
    cells: np.ndarray,
    mean: float,
    axes: tuple[float, float, float],
) -> np.ndarray:
    """Return full radii (N,): about `mean`, never overlapping, now and then touching."""
    radii = mean * rng.uniform(0.82, 1.15, len(cells))
    if len(cells) > 1:
        gaps = np.linalg.norm(cells[:, None] - cells[None], axis=2)
        np.fill_diagonal(gaps, np.inf)
        # the envelopes are not round, so 0.46 of the distance is already a touch at times
        radii = np.minimum(radii, rng.uniform(0.42, 0.48, len(cells)) * gaps.min(axis=1))
    return np.maximum(radii, 0.045 * min(axes))


def _condensed_share(streams: Streams, appearance: Appearance) -> float:
    """Return how many of the embryo's nuclei show clumps only: few, or nearly all."""
    if appearance.clumps <= 0:
        return 0.0
    pick = streams.at("condensed").random(2)
    return (0.9 if pick[0] < 0.25 else 0.25) * pick[1]


def _outline_waves(rng: np.random.Generator) -> np.ndarray:
    """Return how the outline strays from the ellipse, mostly a little, sometimes a lot."""
    amount = rng.choice([0.01, 0.03, 0.06], p=[0.5, 0.35, 0.15])
    return rng.standard_normal((6, 2)) * amount / np.arange(2, 8)[:, None]


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
    """Return distance (um) to the nearest and second nearest cell centre, and the nearest's number."""
    first = np.full(rows.shape, 1e6, np.float32)
    second = first.copy()
    nearest = np.zeros(rows.shape, np.uint8)
    away = np.abs(embryo.cells_um[:, 0] - depth_um)
    reach = max(1.8 * embryo.cell_radius_um, np.sort(away)[: 2][-1] + 1e-3) if len(away) else 0
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
    lobes = np.maximum(cell * embryo.cell_radius_um - cell_distance, (edge * core - radius) * mean_axis)
    return cv2.GaussianBlur(np.minimum(inside, lobes), (0, 0), 1.6)


def _cut_nuclei(embryo: Embryo, depth_um: float, size: int, shift_px: tuple[float, float]):
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
    cosine, sine, stretch = np.cos(nucleus.angle), np.sin(nucleus.angle), np.sqrt(nucleus.elongation)
    along = ((cosine * right + sine * down) / stretch).astype(np.float32)
    across = ((cosine * down - sine * right) * stretch).astype(np.float32)
    radius = np.hypot(along, across)
    edge = nucleus.radius * (1 + _waves(np.arctan2(across, along), nucleus.waves))
    return window, (edge - radius).astype(np.float32), radius / max(nucleus.radius, 1e-3)
