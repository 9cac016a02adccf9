"""The embryo as a body in space: cells in an egg, a nucleus in each. Geometry, no grey values.

Lengths are micrometres. Coordinates are (depth, row, col), the embryo's middle at the origin, the
depth axis perpendicular to the sections that `cutting` makes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .appearance import Appearance
from .streams import Streams

EGG_LENGTH_UM, EGG_WIDTH_UM = 50.0, 30.0
PIXEL_SIZE_SOURCE = (
    "assumed, not measured: the drawn embryo stands for a C. elegans egg of about 50 x 30 um "
    "(WormClassroom, Embryogenesis of C. elegans, measures one of 55 x 30 um); the length of its "
    "middle section in um over the same length in pixels"
)
MAX_NUCLEI = 120


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

    @property
    def nuclear_radius_um(self) -> float:
        """Median radius of its nuclei; what it would be for a body without any."""
        shown = self.radii_um[self.radii_um > 0]
        return float(np.median(shown)) if shown.size else min(0.45 * self.cell_radius_um, 5.0)

    def frame_um(self) -> np.ndarray:
        """Return the cell centres (N, 3) with row and col turned and measured from the corner."""
        turned = self.cells_um.copy()
        turned[:, 0] += self.middle_um
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        rows, cols = self.cells_um[:, 1], self.cells_um[:, 2]
        turned[:, 1] = sine * cols + cosine * rows + self.centre_px[0] * self.pixel_size_um
        turned[:, 2] = cosine * cols - sine * rows + self.centre_px[1] * self.pixel_size_um
        return turned


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
    share the volume (that nuclei follow their cells: Arata et al. 2015, Front. Physiol. 5:529).
    """
    rng = streams.at("embryo")
    axes = tuple(scale * axis for axis in _semi_axes(rng, appearance))
    mean_radius = min(_cell_radius(axes, nuclei) * rng.uniform(0.34, 0.58), 4.5)
    cells = _spread_cells(streams.at("cells"), nuclei, axes, mean_radius)
    radii = _nuclear_radii(streams.at("radii"), cells, mean_radius, axes)
    _let_two_touch(streams.at("daughters"), cells, radii)
    shape = streams.at("nuclear shape")
    low, high = appearance.elongation
    stretch = shape.uniform(low, high)
    waves = shape.uniform(0.02, 0.11) / np.arange(2, 6)
    lobed = streams.at("lobed")
    return Embryo(
        semi_axes_um=axes,
        cells_um=cells,
        radii_um=radii,
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


def _semi_axes(rng: np.random.Generator, appearance: Appearance) -> tuple[float, float, float]:
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


def _let_two_touch(rng: np.random.Generator, cells: np.ndarray, radii: np.ndarray) -> None:
    """Move one nucleus to its nearest neighbour in a fifth of the embryos, in place.

    Daughters of a division and the two pronuclei lie like this.
    """
    if len(cells) < 2 or rng.random() > 0.2:
        return
    mover = int(rng.integers(len(cells)))
    away = cells - cells[mover]
    gaps = np.linalg.norm(away, axis=1)
    gaps[mover] = np.inf
    nearest = int(gaps.argmin())
    step = gaps[nearest] - 1.01 * (radii[mover] + radii[nearest])
    place = cells[mover] + away[nearest] / gaps[nearest] * step
    room = np.linalg.norm(cells - place, axis=1) - radii - radii[mover]
    room[mover] = np.inf
    if room.min() > 0:  # not into a third one
        cells[mover] = place


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
