"""The threshold, moved by hand: what is found, and how good it is, without running the network."""

from __future__ import annotations

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure

from devotools._validate import InputError, check_image, check_labels, check_same_shape
from devotools.metrics import THRESHOLD, match_instances
from devotools.plots import show_image, show_overlay
from devotools.predict import label_nuclei

from .explorer import SLIDER, Explorer

ALT = (
    "Two panels. Left, the probability of nucleus, black to white. Right, the picture with the "
    "nuclei that the two sliders leave outlined in solid orange, the true ones in dashed blue."
)


def explore_threshold(
    image: np.ndarray, probability: np.ndarray, true: np.ndarray | None = None
) -> Explorer:
    """Sliders for the threshold and the smallest area, over the nuclei that they leave.

    ``image`` and ``probability`` are (H, W) in [0, 1], the second from
    :func:`~devotools.predict_probability`: the network is not run again. ``true`` is the (H, W)
    label image of the same section, where it is known. The message gives the number of nuclei and,
    with ``true``, precision, recall and F1. The controls are called ``threshold`` and
    ``min_area``; an area is in pixels.

    Raises :class:`~devotools._validate.InputError` for shapes that differ, logits in place of a
    probability, or a ``true`` that holds no whole numbers. Taught in lessons 04 and 05.

    >>> probability = np.array([[0.9, 0.9, 0.0, 0.6]])
    >>> explorer = explore_threshold(np.zeros((1, 4)), probability)
    >>> explorer.controls["min_area"].value = 0
    >>> explorer.message
    '2 nuclei at threshold 0.50, smallest area 0 pixels'
    """
    image = check_image(image)
    probability = check_image(probability, "probability")
    check_same_shape(image, probability, ("image", "probability"))
    if not 0 <= probability.min() <= probability.max() <= 1:
        raise InputError(
            f"probability runs from {probability.min():.3g} to {probability.max():.3g}; expected "
            "values from 0 to 1. If these are logits, apply torch.sigmoid first."
        )
    if true is not None:
        true = check_labels(true, "true")
        check_same_shape(image, true, ("image", "true"))

    def draw(figure: Figure, threshold: float, min_area: int) -> str:
        labels = label_nuclei(probability, threshold=threshold, min_area=min_area)
        left, right = figure.subplots(1, 2)
        show_image(probability, left, title="probability")
        show_overlay(image, labels, right, true=true, title="what is left")
        return _sentence(labels, true, threshold, min_area)

    return Explorer(draw, _sliders(), alt=ALT, size=(8.0, 4.2))


def _sentence(labels: np.ndarray, true: np.ndarray | None, threshold: float, min_area: int) -> str:
    count = int(labels.max())
    text = f"{count} {'nucleus' if count == 1 else 'nuclei'} at threshold {threshold:.2f}"
    text += f", smallest area {min_area} pixels"
    if true is None:
        return text
    scores = match_instances(true, labels)
    return (
        f"{text}: precision {scores.precision:.2f}, recall {scores.recall:.2f}, F1 {scores.f1:.2f}"
    )


def _sliders() -> dict[str, widgets.Widget]:
    return {
        "threshold": widgets.FloatSlider(
            THRESHOLD, min=0.05, max=0.95, step=0.05, description="threshold", **SLIDER
        ),
        "min_area": widgets.IntSlider(
            20, min=0, max=400, step=10, description="smallest area (px)", **SLIDER
        ),
    }
