"""Pictures of what a classifier says: Axes in, Axes out."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from devotools._validate import InputError
from devotools.classification.crops import STATES
from devotools.classification.scores import confusion_matrix, reliability


def plot_reliability(
    correct: np.ndarray,
    confidence: np.ndarray,
    ax: Axes | None = None,
    *,
    bins: int = 10,
    name: str = "classifier",
    **style: object,
) -> Axes:
    """Plot how often the classifier was right (up) by how sure it was (right); returns the Axes.

    On the dashed diagonal promise and truth agree; below it the classifier was too sure. The area
    of a dot grows with the number of nuclei in its bin. Arguments as
    :func:`~devotools.classification.reliability`; ``name`` is for the legend, and ``style``
    (``color``, ``marker``, ``linestyle``) goes to the line, so that several can stand in one
    figure. Taught in lesson 07.
    """
    table = reliability(correct, confidence, bins)
    if ax is None:
        ax = plt.subplots(figsize=(4, 4), layout="constrained")[1]
    if not ax.lines:
        dashes = {"color": "grey", "linestyle": (0, (4, 2)), "linewidth": 1}
        ax.plot([0, 1], [0, 1], label="calibrated", **dashes)
    look = {"color": "#0072B2", "marker": "o", "linestyle": "-"} | style
    ax.plot(table["confidence"], table["accuracy"], label=name, linewidth=1.3, **look)
    sizes = 12 + 160 * table["nuclei"] / max(1, table["nuclei"].sum())
    ax.scatter(
        table["confidence"],
        table["accuracy"],
        s=sizes,
        color=look["color"],
        marker=look["marker"],
        zorder=3,
    )
    low = min(0.5, *table["confidence"], *table["accuracy"]) if len(table) else 0.5
    ax.set(xlabel="confidence", ylabel="share that was right", xlim=(0.48, 1.02))
    ax.set_ylim(min(ax.get_ylim()[0], low - 0.03), 1.03)
    ax.legend(loc="upper left")
    return ax


def plot_confusion(true: np.ndarray, predicted: np.ndarray, ax: Axes | None = None) -> Axes:
    """Show the confusion matrix of two states, counts and shares of each row; returns the Axes.

    ``true`` and ``predicted`` are (N,) class numbers. Taught in lesson 07.
    """
    counts = confusion_matrix(true, predicted, len(STATES))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax = ax if ax is not None else plt.subplots(figsize=(3.6, 3.2), layout="constrained")[1]
    ax.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    for row, col in np.ndindex(counts.shape):
        tone = "black" if shares[row, col] > 0.5 else "white"
        text = f"{counts[row, col]}\n{shares[row, col]:.0%}"
        ax.text(col, row, text, ha="center", va="center", color=tone)
    places = range(len(STATES))
    ax.set_xticks(places, STATES)
    ax.set_yticks(places, STATES, rotation=90, va="center")
    ax.set(xlabel="said", ylabel="true")
    return ax


def show_crops(
    crops: np.ndarray, titles: list[str] | None = None, *, columns: int = 8, size: float = 1.2
) -> np.ndarray:
    """Show crops (K, 1, 64, 64) in a grid, each under its title; returns the Axes.

    Raises :class:`~devotools._validate.InputError` without any crop, or with more titles or fewer.
    """
    crops = np.asarray(crops)
    if crops.ndim != 4 or not len(crops):
        raise InputError(f"crops have shape {crops.shape}; expected (K, 1, 64, 64), K at least 1.")
    if titles is not None and len(titles) != len(crops):
        raise InputError(
            f"there are {len(crops)} crops and {len(titles)} titles; expected as many."
        )
    columns = min(columns, len(crops))
    rows = -(-len(crops) // columns)
    figure = (size * columns, (size + 0.25) * rows)
    axes = plt.subplots(rows, columns, figsize=figure, squeeze=False, layout="constrained")[1]
    for number, ax in enumerate(axes.flat):
        ax.set_axis_off()
        if number < len(crops):
            ax.imshow(crops[number, 0], cmap="gray", vmin=0, vmax=1)
            ax.set_title(titles[number] if titles else "", fontsize=8)
    return axes
