"""Score a model on labelled sections, the one way that the lessons, the command and the app go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from skimage.measure import label

from devotools._validate import InputError, check_same_shape
from devotools.datasets import NucleusDataset, read_dataset
from devotools.images import ImageMaskPair, read_image, read_labels, read_mask
from devotools.metrics import THRESHOLD, Matches, dice_score, iou_score, match_instances
from devotools.model import ResNet18FPN
from devotools.predict import label_nuclei, predict_probabilities

MIN_TRUE_AREA = 20  # pixels; smaller pieces of a mask are not taken for nuclei
MIN_OVERLAP = 0.2  # IoU of a section's mask with its labels; less is another section's, or empty


@dataclass(frozen=True)
class Scores:
    """How a model did: ``iou`` and ``dice`` are means over pictures, the rest pools all nuclei.

    ``per_image`` holds one row a picture: name, iou, dice, precision, recall, f1.
    """

    images: int
    iou: float
    dice: float
    precision: float
    recall: float
    f1: float
    per_image: list[dict[str, Any]] = field(repr=False, default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, as ``devotools evaluate --json`` writes them."""
        return asdict(self)

    def table(self) -> pd.DataFrame:
        """``per_image`` as a table, the worst IoU first."""
        return pd.DataFrame(self.per_image).sort_values("iou", ignore_index=True)


def evaluate(
    model: ResNet18FPN,
    data: str | Path | Sequence[ImageMaskPair] | NucleusDataset,
    *,
    scale: float | str = "auto",
    threshold: float = THRESHOLD,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Score ``model`` on a folder (``images/``, ``masks/``), a list of pairs, or a dataset.

    The prediction is ``label_nuclei(predict_probability(model, image))``. Pixel scores compare
    its foreground with the mask, picture by picture. True nuclei are those of ``labels/`` where it
    exists, else the mask's 4-connected pieces of at least 20 pixels; a predicted nucleus is found
    when IoU >= 0.5, each matched once. A dataset's transform is left out: pictures are taken as
    they are. ``progress(done, total)`` is called after each picture.

    Raises :class:`~devotools._validate.InputError` for unreadable or unequal files.
    Taught in lesson 04.
    """
    pairs = _pairs(data)
    rows, everything = [], Matches(0, 0, 0)
    images = _images(pairs)
    for pair, probability in zip(
        pairs, predict_probabilities(model, images, scale=scale), strict=True
    ):
        predicted = label_nuclei(probability, threshold=threshold)
        mask, true = truth(pair)
        check_same_shape(
            predicted, mask, (f"image {str(pair.image)!r}", f"mask {str(pair.mask)!r}")
        )
        matches = match_instances(true, predicted)
        everything += matches
        rows.append(_row(pair.name, mask, predicted > 0, matches))
        if progress is not None:
            progress(len(rows), len(pairs))
    return Scores(
        images=len(rows),
        iou=float(np.mean([row["iou"] for row in rows])),
        dice=float(np.mean([row["dice"] for row in rows])),
        precision=everything.precision,
        recall=everything.recall,
        f1=everything.f1,
        per_image=rows,
    )


def _pairs(data: str | Path | Sequence[ImageMaskPair] | NucleusDataset) -> list[ImageMaskPair]:
    if isinstance(data, (str, Path)):
        return read_dataset(data)
    sections = data.pairs if isinstance(data, NucleusDataset) else data
    pairs = list(sections) if isinstance(sections, Iterable) else []
    if not pairs or not all(isinstance(pair, ImageMaskPair) for pair in pairs):
        raise InputError(
            f"data is a {type(data).__name__} of {len(pairs)}; expected a folder with "
            "images/ and masks/, a list of ImageMaskPair from read_dataset, or a NucleusDataset."
        )
    return pairs


def _images(pairs: Sequence[ImageMaskPair]) -> Iterator[np.ndarray]:
    return (read_image(pair.image) for pair in pairs)


def truth(pair: ImageMaskPair) -> tuple[np.ndarray, np.ndarray]:
    """The mask, (H, W) bool, and the nuclei to be found, (H, W) integers."""
    mask = read_mask(pair.mask)
    if pair.labels is not None:
        labels = read_labels(pair.labels)
        names = (f"mask {str(pair.mask)!r}", f"label image {str(pair.labels)!r}")
        check_same_shape(mask, labels, names)
        check_agree(mask, labels > 0, names)
        return mask, labels
    pieces = label(mask, connectivity=1)
    areas = np.bincount(pieces.ravel())
    return mask, np.where(areas[pieces] >= MIN_TRUE_AREA, pieces, 0)


def check_agree(mask: np.ndarray, labelled: np.ndarray, names: tuple[str, str]) -> None:
    """Refuse a mask and labels of one section that contradict each other.

    They do in most pixels when one is inverted, in most of the nuclei when one is empty or of
    another section. A mask brushed by hand agrees with good labels far better than that.
    """
    agreed = (mask == labelled).mean()
    if agreed < 0.5:
        raise InputError(
            f"{names[0]} and {names[1]} agree in {agreed:.0%} of their pixels; expected nearly "
            "all, since both say where the nuclei of one section are. Look which of them is "
            "inverted, or of another section."
        )
    overlap = iou_score(mask, labelled)
    if overlap < MIN_OVERLAP and max(mask.sum(), labelled.sum()) >= MIN_TRUE_AREA:
        raise InputError(
            f"{names[0]} has {mask.sum()} pixels of nucleus and {names[1]} {labelled.sum()}, with "
            f"IoU {overlap:.2f}; expected nearly 1, since both say where the nuclei of one section "
            "are. Look which of them is empty, or of another section."
        )


def _row(name: str, mask: np.ndarray, predicted: np.ndarray, matches: Matches) -> dict[str, Any]:
    return {
        "name": name,
        "iou": iou_score(mask, predicted),
        "dice": dice_score(mask, predicted),
        "precision": matches.precision,
        "recall": matches.recall,
        "f1": matches.f1,
    }
