"""Charts as numbers for an SVG: where each bar, dot and tick stands, and what the picture says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from devotools.classification import wilson_interval

WIDTH, HEIGHT = 720, 290
LEFT, RIGHT, TOP, BOTTOM = 76, 708, 42, 226
BINS = 24
MOST_BARS = 240  # a longer series is told by means of neighbours: more bars cannot be seen


@dataclass(frozen=True)
class Bar:
    """One bar, in the units of the view box."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Tick:
    """A place on an axis, its text, and how the text is anchored there."""

    at: float
    text: str
    anchor: str = "middle"


@dataclass(frozen=True)
class Chart:
    """All that the template needs to draw one bar chart, and the words for who cannot see it."""

    name: str
    alt: str
    x_label: str
    bars: list[Bar]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    rows: list[tuple[str, str]]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = RIGHT
    bottom: int = BOTTOM


@dataclass(frozen=True)
class Run:
    """Neighbouring sections with something to show: dots, and the band round them as a polygon."""

    dots: list[tuple[float, float]]
    band: str

    @property
    def line(self) -> str:
        """The dots as the points of a polyline."""
        return " ".join(f"{x:g},{y:g}" for x, y in self.dots)


@dataclass(frozen=True)
class ShareChart:
    """All that the template needs to draw the course of a share, and the words beside it."""

    name: str
    alt: str
    x_label: str
    runs: list[Run]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    rows: list[tuple[str, str, str, str]]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = RIGHT
    bottom: int = BOTTOM


def share_chart(
    name: str, sections: Sequence[str], condensed: Sequence[float], sure: Sequence[float]
) -> ShareChart:
    """The share of condensed nuclei in each section, with its 95 % interval (Wilson's).

    ``sure`` counts the nuclei whose state was told; a section without any is a gap. Of a longer
    series than can be seen some sections are shown: neighbours show the same nuclei, and taken
    together they would seem to be surer than they are.
    """
    shown = [part[len(part) // 2] for part in _parts(len(sections))]
    parts, whole = (np.asarray(counts, float)[shown] for counts in (condensed, sure))
    names = [sections[place] for place in shown]
    wide = (RIGHT - LEFT) / len(names)
    runs: list[Run] = []
    rows, upper, lower = [], [], []
    dots: list[tuple[float, float]] = []

    def close() -> None:
        if dots:
            around = [*upper, *reversed(lower)]
            runs.append(Run(list(dots), " ".join(f"{x:g},{y:g}" for x, y in around)))
            for part in (dots, upper, lower):
                part.clear()

    for place, (part, number) in enumerate(zip(parts, whole, strict=True)):
        low, high = wilson_interval(part, number)
        if not number:
            rows.append((names[place], "0 of 0", "", ""))
            close()
            continue
        left, right = (round(LEFT + (place + shift) * wide, 2) for shift in (0, 1))
        dots.append((round((left + right) / 2, 2), _share_at(part / number)))
        upper += [(left, _share_at(high)), (right, _share_at(high))]
        lower += [(left, _share_at(low)), (right, _share_at(low))]
        told = f"{part:g} of {number:g}"
        rows.append((names[place], told, f"{part / number:.2f}", f"{low:.2f} to {high:.2f}"))
    close()
    places = sorted({0, len(names) // 2, len(names) - 1})
    x_ticks = [
        Tick(round(LEFT + (place + 0.5) * wide, 1), names[place], _anchor(place, len(names)))
        for place in places
    ]
    y_ticks = [Tick(_share_at(level), f"{level:g}") for level in (0, 0.25, 0.5, 0.75, 1)]
    which = f"{len(shown)} of " if len(shown) < len(sections) else "each of "
    alt = (
        f"Share of condensed nuclei in {which}{len(sections)} sections of {name}, with its 95 % "
        "interval. The numbers stand below."
    )
    return ShareChart(name, alt, "section", runs, x_ticks, y_ticks, rows)


def _share_at(share: float) -> float:
    return round(BOTTOM - share * (BOTTOM - TOP), 2)


def area_chart(counts: pd.Series, what: str = "nuclei") -> Chart:
    """Histogram of areas; ``counts`` has whole areas in px as index, and how many ``what`` have it.

    The last bar holds the largest hundredth as well, so that one giant does not flatten the rest.
    """
    areas, number = counts.index.to_numpy(), counts.to_numpy()
    top = quantile(counts, 0.99)
    step = max(1, int(np.ceil((top + 1) / BINS)))
    bins = np.minimum(areas // step, int(top) // step)
    heights = np.bincount(bins.astype(int), number)
    edges = step * np.arange(len(heights) + 1)
    names = [f"{low} to {low + step - 1}" for low in edges[:-1]]
    names[-1] = f"{edges[-2]} and more"
    ticks = [(place, str(edges[place])) for place in range(0, len(heights), 4)]
    middle = quantile(counts, 0.5)
    alt = (
        f"Histogram of the areas of {number.sum():,} {what} in pixels: median {middle:g}, "
        f"smallest {areas.min()}, largest {areas.max()}. The numbers stand below."
    )
    return _chart("areas", alt, "area in pixels", heights, names, ticks, shift=0.0)


def series_chart(name: str, sections: Sequence[str], nuclei: Sequence[float]) -> Chart:
    """Number of nuclei in each section, in their order."""
    heights, names = _thinned(np.asarray(nuclei, float), list(sections))
    places = sorted({0, len(heights) // 2, len(heights) - 1})
    ticks = [(place, names[place]) for place in places]
    alt = (
        f"Nuclei in each of {len(sections)} sections of {name}: from {min(nuclei):g} to "
        f"{max(nuclei):g}, mean {np.mean(nuclei):.1f}. The numbers stand below."
    )
    return _chart(name, alt, "section", heights, names, ticks, shift=0.5)


def quantile(counts: pd.Series, share: float) -> float:
    """The value below which a share of all lies; ``counts`` has values as index, in order."""
    reached = np.searchsorted(counts.cumsum().to_numpy(), share * counts.sum())
    return float(counts.index[min(reached, len(counts) - 1)])


def _thinned(heights: np.ndarray, names: list[str]) -> tuple[np.ndarray, list[str]]:
    """Means of neighbours, where there are more sections than bars can be seen."""
    if len(heights) <= MOST_BARS:
        return heights, names
    parts = _parts(len(heights))
    spans = [f"{names[part[0]]} to {names[part[-1]]}" for part in parts]
    return np.array([heights[part].mean() for part in parts]), spans


def _parts(count: int) -> list[np.ndarray]:
    """The places of so many sections, in as many groups of neighbours as can be seen."""
    return np.array_split(np.arange(count), min(count, MOST_BARS)) if count else []


def _chart(
    name: str,
    alt: str,
    x_label: str,
    heights: np.ndarray,
    names: list[str],
    ticks: list[tuple[int, str]],
    *,
    shift: float,
) -> Chart:
    """Lay the bars out; ``shift`` puts a tick at the edge (0) or the middle (0.5) of its bar."""
    levels = MaxNLocator(4, integer=True).tick_values(0, max(1, heights.max()))
    scale, wide = (BOTTOM - TOP) / levels[-1], (RIGHT - LEFT) / len(heights)
    gap = min(2.0, wide / 5)
    bars = [
        Bar(
            round(LEFT + place * wide + gap / 2, 2),
            round(BOTTOM - height * scale, 2),
            round(wide - gap, 2),
            round(height * scale, 2),
        )
        for place, height in enumerate(heights)
    ]
    x_ticks = [
        Tick(round(LEFT + (place + shift) * wide, 1), text, _anchor(place, len(heights)))
        for place, text in ticks
    ]
    y_ticks = [Tick(round(BOTTOM - level * scale, 1), f"{level:,.0f}") for level in levels]
    rows = [(text, f"{height:,.4g}") for text, height in zip(names, heights, strict=True)]
    return Chart(name, alt, x_label, bars, x_ticks, y_ticks, rows)


def _anchor(place: int, count: int) -> str:
    if place == 0 and count > 1:
        return "start"
    return "end" if place == count - 1 and count > 1 else "middle"
