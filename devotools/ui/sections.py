"""A section through the embryo: a slider for the depth, and what the plane meets there."""

from __future__ import annotations

import ipywidgets as widgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from devotools._validate import InputError
from devotools.plots import show_overlay
from devotools.synthetic import Series

from .explorer import Explorer

CUT, WHOLE = "#E69F00", "#0072B2"  # Okabe and Ito: orange (filled) and blue (an empty circle)


def explore_series(series: Series) -> Explorer:
    """Move a slider through the sections of one embryo: the picture, and the embryo from the side.

    ``series`` comes from :func:`~devotools.synthesize_series`. The controls are ``section``, its
    number from 0, and ``outlines``, whether the labels are drawn over the picture. The message
    counts the nuclei that the section shows. Raises :class:`~devotools._validate.InputError` for
    anything but a series. Taught in lesson 01.

    >>> from devotools import synthesize_series
    >>> explorer = explore_series(synthesize_series(nuclei=4, sections=3, size=64, seed=1))
    >>> explorer.controls["section"].value = 2
    >>> explorer.message.split(",")[0]
    'Section 2 (they are numbered 0 to 2)'
    """
    if not isinstance(series, Series):
        raise InputError(
            f"series is a {type(series).__name__}; expected a Series of images, labels and nuclei. "
            "Make one with synthesize_series()."
        )
    last = len(series.images) - 1

    def draw(figure: Figure, section: int, outlines: bool) -> str:
        left, right = figure.subplots(1, 2)
        labels = series.labels[section]
        show_overlay(
            series.images[section],
            ax=left,
            true=labels if outlines else None,
            title=f"section {section}",
            pixel_size_um=series.pixel_size_um,
        )
        _from_the_side(right, series, section)
        depth = section * series.section_thickness_um
        return (
            f"Section {section} (they are numbered 0 to {last}), {depth:.1f} µm from the first: "
            f"{_nuclei(len(np.unique(labels[labels > 0])))}."
        )

    return Explorer(
        draw,
        {
            "section": widgets.IntSlider(last // 2, 0, last, description="section"),
            "outlines": widgets.Checkbox(True, description="outlines of the nuclei"),
        },
        alt="Left, the section in grey, with a dashed blue outline round each nucleus. Right, the "
        "embryo from the side: a circle for each nucleus, filled where this section cuts it, and "
        "an upright line where the section lies.",
        size=(8.4, 3.7),
    )


def _from_the_side(ax: Axes, series: Series, section: int) -> None:
    """Draw the embryo's nuclei as circles, depth from left to right, and the section as a line."""
    shown = set(np.unique(series.labels[section]).tolist())
    for nucleus in series.nuclei.itertuples():
        cut = nucleus.id in shown
        ax.add_patch(
            Circle(
                (nucleus.depth_um, nucleus.row_um),
                nucleus.radius_um,
                facecolor=CUT if cut else "none",
                edgecolor="black" if cut else WHOLE,
                linewidth=0.8,
            )
        )
    depth = section * series.section_thickness_um
    ax.axvline(depth, color="black", linestyle="--", linewidth=1.2)
    ax.set(
        title="from the side: filled = cut here",
        xlabel="distance from the first section (µm)",
        ylabel="row (µm)",
        xlim=(-1, (len(series.images) - 1) * series.section_thickness_um + 1),
        ylim=(series.images.shape[1] * series.pixel_size_um, 0),  # downwards, as in the picture
        aspect="equal",
    )


def _nuclei(number: int) -> str:
    return "1 nucleus is cut" if number == 1 else f"{number or 'no'} nuclei are cut"
