"""The app's charts and figures, as HTML: sizes of nuclei, their number, and their states."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Sequence
from html import escape

import pandas as pd
from matplotlib.figure import Figure

from devotools.classification import mitotic_index

BLUE, ORANGE, PURPLE = "#0072B2", "#E69F00", "#CC79A7"  # Okabe and Ito
SIZE = (3.4, 2.9)  # inches


def area_chart(table: pd.DataFrame, pixel_size_um: float | None) -> str:
    """A histogram of the areas in a table of nuclei, in µm² where the pixel size is known."""
    column, unit = ("area_um2", "µm²") if pixel_size_um else ("area_px", "pixels")
    areas = table[column]
    if areas.empty:
        return "<p>No nucleus, so nothing to show.</p>"
    figure = Figure(figsize=SIZE, layout="constrained")
    ax = figure.subplots()
    ax.hist(areas, bins=min(20, max(5, len(areas) // 3)), color=BLUE, edgecolor="white")
    ax.axvline(areas.median(), color="black", linestyle="--", linewidth=2)
    title = f"dashed: median {areas.median():.4g} {unit}"
    ax.set(title=title, xlabel=f"area ({unit})", ylabel="nuclei", ylim=(0, None))
    ax.yaxis.get_major_locator().set_params(integer=True)
    return _as_html(
        figure,
        f"Histogram of {len(areas)} areas, from {areas.min():.4g} to {areas.max():.4g} {unit}, "
        f"median {areas.median():.4g}.",
    )


def series_chart(names: Sequence[str], counts: Sequence[int], current: int) -> str:
    """Bars for the nuclei of each picture, in order; the current one is hatched as well."""
    if not counts:
        return "<p>No picture, so nothing to show.</p>"
    figure = Figure(figsize=SIZE, layout="constrained")
    ax = figure.subplots()
    places = range(1, len(counts) + 1)
    bars = ax.bar(places, counts, color=BLUE)
    if 0 <= current < len(counts):
        bars[current].set(facecolor=ORANGE, hatch="///", edgecolor="black")
    ax.set(xlabel="picture, in the order of the list", ylabel="nuclei", ylim=(0, None))
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_major_locator().set_params(integer=True)
    pairs = ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True))
    return _as_html(figure, f"Nuclei in each picture: {pairs}.")


def states_summary(told: pd.DataFrame | None) -> str:
    """The fraction condensed of one picture with its interval, and what the marks mean."""
    if told is None:
        return ""
    found = mitotic_index(told)
    sure = found.condensed + found.interphase
    fraction = (
        f"fraction condensed <b>{found.index:.2f}</b> (95 % interval {found.low:.2f} to "
        f"{found.high:.2f})"
        if sure
        else "no state could be told"
    )
    square = f'<span style="border: 3px solid {PURPLE}; padding: 0 4px">c</span>'
    return (
        f'<p class="dt-states">{found.condensed} of {sure} condensed, {found.unsure} unsure: '
        f"{fraction}.<br>{square} condensed: thick outline, c behind the number; ? unsure.</p>"
    )


def _as_html(figure: Figure, alt: str) -> str:
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=110)
    data = b64encode(png.getvalue()).decode()
    style = "max-width: 100%"
    return f'<img style="{style}" alt="{escape(alt)}" src="data:image/png;base64,{data}">'
