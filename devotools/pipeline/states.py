"""States of nuclei in the tables: of a picture, of the nuclei of a stack, and their counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from devotools.classification import (
    STATES,
    UNSURE,
    ResNet18Classifier,
    classify_nuclei,
    states_table,
)

STATE_COLUMNS = ["state", "state_probability"]
COUNT_COLUMNS = ["condensed", "interphase", "unsure", "fraction_condensed"]
DIGITS = 4  # the last ones depend on how many threads have added up


def with_states(nuclei: pd.DataFrame, told: pd.DataFrame | None) -> pd.DataFrame:
    """A table of nuclei with the two columns of what :func:`~devotools.classify_nuclei` told."""
    if told is None:
        return nuclei
    return nuclei.assign(
        state=told["state"].to_numpy(),
        state_probability=told["state_probability"].round(DIGITS).to_numpy(),
    )


def tell(
    classifier: ResNet18Classifier | None,
    image: np.ndarray,
    labels: np.ndarray,
    *,
    stretched: bool = False,
) -> pd.DataFrame | None:
    """The states of a picture's nuclei, or None without a classifier."""
    if classifier is None:
        return None
    return classify_nuclei(classifier, image, labels, stretched=stretched)


def states_by_label(told: pd.DataFrame | None) -> Mapping[int, str] | None:
    """The state of each label, for the overlay."""
    if told is None:
        return None
    return dict(zip(told["label"].tolist(), told["state"], strict=True))


def states_of_solids(parts: Sequence[pd.DataFrame], limit: float) -> pd.DataFrame:
    """One state for each nucleus of a stack, from what was told of it in its sections.

    ``parts`` has a table for each section: ``label``, ``condensed_probability`` and ``area_px``.
    The probability of a nucleus is the mean over its sections, weighted by their areas: a cut
    through its middle shows more than one near its pole. Below ``limit`` it is unsure.
    """
    every = pd.concat(parts) if parts else pd.DataFrame(columns=["label"])
    if every.empty:
        return states_table(pd.Series([], dtype="int64"), np.empty(0), limit)
    every["weighted"] = every["condensed_probability"] * every["area_px"]
    sums = every.groupby("label", sort=True)[["weighted", "area_px"]].sum()
    return states_table(sums.index.to_series(), sums["weighted"] / sums["area_px"], limit)


def count_states(told: pd.DataFrame | None) -> dict[str, int] | None:
    """How many nuclei are in each state; None without a classifier."""
    if told is None:
        return None
    counts = told["state"].value_counts()
    return {state: int(counts.get(state, 0)) for state in (*STATES[::-1], UNSURE)}


def count_cells(counts: Mapping[str, int] | None) -> list[str]:
    """The cells of ``images.csv`` for the counts of a picture; empty where there are none."""
    if counts is None:
        return [""] * len(COUNT_COLUMNS)
    sure = counts["condensed"] + counts["interphase"]
    fraction = f"{counts['condensed'] / sure:.4f}" if sure else ""
    return [*(str(counts[name]) for name in COUNT_COLUMNS[:3]), fraction]
