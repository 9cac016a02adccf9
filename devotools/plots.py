"""Pictures of pictures: Axes in, Axes out. Outlines differ in line style as well as in colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from skimage.measure import find_contours, regionprops

from devotools._validate import (
    InputError,
    as_array,
    check_count,
    check_image,
    check_kind,
    check_labels,
    check_positive,
    check_same_shape,
)
from devotools.images import stretch_contrast, to_grey
from devotools.train import Record

PREDICTED = "#E69F00"  # orange, and
TRUE = "#56B4E9"  # sky blue, of Okabe and Ito's palette: told apart by colour-blind readers
CONDENSED = "#CC79A7"  # reddish purple
MARKS = {"condensed": "c", "unsure": "?"}  # behind the number of a nucleus in an overlay
LIGHT_TO_SHOW = 10  # brightness far beyond white: a picture of 0 to 255, not an overexposed one
OVERLAY_SIDE = 768  # overlays for the command are enlarged to about this many pixels


def show_image(
    image: np.ndarray,
    ax: Axes | None = None,
    *,
    title: str | None = None,
    pixel_size_um: float | None = None,
) -> Axes:
    """Show an (H, W) image in [0, 1] in grey, black to white; returns the Axes.

    Whole numbers are divided by the maximum of their dtype, as :func:`~devotools.read_image` does.
    With ``pixel_size_um`` a bar of a round number of micrometres gives the scale.
    Raises :class:`~devotools._validate.InputError` for other shapes, for NaN, and for floats that
    are far from [0, 1] and would be shown all white or all black. Taught in lesson 01.
    """
    image = _in_range(image)
    if ax is not None:
        check_kind(ax, Axes, "ax", "Give a second picture by its name, for example true=labels.")
    ax = ax if ax is not None else plt.subplots(figsize=(4, 4))[1]
    ax.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_axis_off()
    if title is not None:
        ax.set_title(title)
    if pixel_size_um is not None:
        _scale_bar(ax, image.shape, check_positive(pixel_size_um, "pixel_size_um", "micrometres"))
    return ax


def show_overlay(
    image: np.ndarray,
    predicted: np.ndarray | None = None,
    ax: Axes | None = None,
    *,
    true: np.ndarray | None = None,
    title: str | None = None,
    pixel_size_um: float | None = None,
) -> Axes:
    """Show an image with outlines over it: ``predicted`` solid orange, ``true`` dashed blue.

    Both are (H, W) masks or label images of the image's size; in label images each nucleus has an
    outline of its own. Returns the Axes. Raises :class:`~devotools._validate.InputError`, also for
    a probability, which has no outline before a threshold. Taught in lesson 01.
    """
    ax = show_image(image, ax, title=title, pixel_size_um=pixel_size_um)
    if true is not None:
        _outline(ax, image, true, "true", color=TRUE, linestyle=(0, (3, 1.5)), linewidth=1.6)
    if predicted is not None:
        _outline(ax, image, predicted, "predicted", color=PREDICTED, linewidth=1.2)
    return ax


def show_batch(
    images: Any, masks: Any = None, *, columns: int = 4, titles: Sequence[str] | None = None
) -> np.ndarray:
    """Show a batch, (N, 1, H, W) or (N, H, W) tensors or arrays, as a grid; returns its Axes.

    ``masks`` of the same shape are drawn as dashed blue outlines. Taught in lesson 02.
    """
    images, columns = _batch(images), check_count(columns, "columns")
    outlines = [None] * len(images) if masks is None else _batch(masks)
    if len(outlines) != len(images):
        raise InputError(
            f"there are {len(images)} images and {len(outlines)} masks; expected as many."
        )
    if titles is not None and len(titles) != len(images):
        raise InputError(
            f"there are {len(images)} images and {len(titles)} titles; expected as many."
        )
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    size = (2.2 * columns, 2.4 * rows)
    _, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for number, ax in enumerate(axes.flat):
        if number >= len(images):
            ax.set_visible(False)
            continue
        title = titles[number] if titles is not None else None
        show_overlay(images[number], ax=ax, true=outlines[number], title=title)
    return axes


def plot_history(history: Record, axes: Sequence[Axes] | None = None) -> Sequence[Axes]:
    """Plot the losses on the left, the score to choose by on the right; returns the two Axes.

    The star marks the epoch whose weights were kept. Taught in lesson 03.
    """
    if axes is None:
        axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")[1]
    scores = getattr(history, history.chosen_by)
    epochs = range(1, len(scores) + 1)
    axes[0].plot(epochs, history.train_loss, "o-", color=TRUE, label="training")
    axes[0].plot(epochs, history.val_loss, "s--", color=PREDICTED, label="validation")
    axes[0].set(xlabel="epoch", ylabel=f"loss ({history.loss_name})", title="Loss")
    axes[0].legend()
    axes[1].plot(epochs, scores, "s--", color=PREDICTED, label="validation")
    if history.best_epoch:
        axes[1].plot(
            history.best_epoch, history.best_score, "*", color="black", markersize=14, label="kept"
        )
    axes[1].set(xlabel="epoch", ylabel=history.score_name, title="Score", ylim=(0, 1))
    axes[1].legend(loc="lower right")
    for ax in axes:
        ax.xaxis.get_major_locator().set_params(integer=True)
    return axes


def draw_overlay(
    image: np.ndarray, labels: np.ndarray, states: Mapping[int, str] | None = None
) -> np.ndarray:
    """Draw numbered outlines over an (H, W) image: (kH, kW, 3) uint8, small pictures enlarged.

    The contrast of the picture is stretched (:func:`~devotools.stretch_contrast`), so that a 12-bit
    picture in a 16-bit file is not all dark. Each nucleus carries its id of the table, so that a
    row can be found in the picture. Where the ``states`` of the ids are known, a *condensed*
    nucleus has a thick purple outline and a ``c`` behind its number, an *unsure* one a ``?``, and
    one in *interphase* looks as without states. The command ``devotools segment`` writes these.
    Raises :class:`~devotools._validate.InputError`.
    """
    image = stretch_contrast(to_grey(image))
    labels = check_labels(labels)
    check_same_shape(image, labels, ("image", "labels"))
    times = max(1, round(OVERLAY_SIDE / max(image.shape)))
    size = (image.shape[1] * times, image.shape[0] * times)
    grey = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    picture = cv2.cvtColor(np.uint8(np.clip(grey, 0, 1) * 255), cv2.COLOR_GRAY2RGB)
    large = cv2.resize(labels.astype(np.float32), size, interpolation=cv2.INTER_NEAREST)
    orange, purple = (
        tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in (PREDICTED, CONDENSED)
    )
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    border = cv2.dilate(large, cross) != cv2.erode(large, cross)
    edge = border & (large > 0)
    picture[border & (large == 0)] = 0  # a dark rim shows on white
    picture[edge] = orange
    condensed = [number for number, state in (states or {}).items() if state == "condensed"]
    if condensed:
        thick = cv2.dilate(np.uint8(edge), np.ones((5, 5), np.uint8)) > 0
        picture[thick & np.isin(large, condensed)] = purple
    for nucleus in regionprops(labels):
        row, column = nucleus.centroid
        state = (states or {}).get(nucleus.label, "")
        text = f"{nucleus.label}{MARKS.get(state, '')}"
        at = (int((column + 0.5) * times) - 6, int((row + 0.5) * times) + 5)
        for colour, width in (((0, 0, 0), 3), (purple if state == "condensed" else orange, 1)):
            _write_text(picture, text, at, colour, width)
    return picture


def _write_text(
    picture: np.ndarray, text: str, at: tuple[int, int], colour: tuple[int, ...], width: int
) -> None:
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, width, cv2.LINE_AA)


def _outline(ax: Axes, image: np.ndarray, regions: np.ndarray, name: str, **style: Any) -> None:
    regions = check_image(regions, name)
    check_same_shape(as_array(image, "image"), regions, ("image", name))
    regions = check_labels(_whole(regions, name), name)
    for nucleus in np.unique(regions[regions > 0]):
        inside = np.pad(regions == nucleus, 1).astype(np.float32)
        for contour in find_contours(inside, 0.5):
            ax.plot(contour[:, 1] - 1, contour[:, 0] - 1, **style)


def _whole(regions: np.ndarray, name: str) -> np.ndarray:
    """A mask or label image as whole numbers, whatever its dtype; a probability is refused."""
    whole = regions.astype(np.int64)
    if not (whole == regions).all():
        raise InputError(
            f"{name} holds numbers that are not whole, for example "
            f"{regions[whole != regions][0]:.3g}; expected a mask or a label image. Make one of a "
            "probability with label_nuclei, or with probability >= 0.5."
        )
    return whole


def _in_range(image: np.ndarray) -> np.ndarray:
    """An (H, W) picture as float32 to be shown from 0 to 1."""
    image = check_image(image)
    if image.dtype.kind in "ui":
        return to_grey(image)
    low, high = float(image.min()), float(image.max())
    if high > LIGHT_TO_SHOW or low < -LIGHT_TO_SHOW:
        raise InputError(
            f"image runs from {low:.3g} to {high:.3g}; expected values from 0 (black) to 1 "
            "(white). Scale it first, for example with stretch_contrast."
        )
    return image.astype(np.float32)


def _scale_bar(ax: Axes, shape: tuple[int, int], pixel_size_um: float) -> None:
    height, width = shape
    fitting = [um for um in (0.5, 1, 2, 5, 10, 20, 50, 100) if um / pixel_size_um <= width / 3]
    micrometres = fitting[-1] if fitting else 0.5
    length = micrometres / pixel_size_um
    left, row = 0.05 * width, 0.94 * height
    for colour, thick in (("white", 5), ("black", 2.5)):
        ax.plot(
            [left, left + length], [row, row], color=colour, linewidth=thick, solid_capstyle="butt"
        )
    ax.text(
        left + length / 2,
        row - 0.02 * height,
        f"{micrometres:g} µm",
        ha="center",
        va="bottom",
        fontsize=8,
        bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1},
    )


def _batch(pictures: Any) -> np.ndarray:
    array = as_array(pictures, "the batch")
    if array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 3 or len(array) == 0:
        raise InputError(f"the batch has shape {array.shape}; expected (N, 1, H, W) or (N, H, W).")
    return array
