"""Scores: pixels against pixels, and nuclei matched one to one with nuclei."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from devotools._validate import check_fraction, check_labels, check_mask, check_same_shape

THRESHOLD = 0.5  # probability from which a pixel is nucleus: in training, scores and pictures alike


def dice_score(true: np.ndarray, pred: np.ndarray) -> float:
    """Dice score of two (H, W) masks: twice the overlap over the sum of both areas, in [0, 1].

    Empty against empty is 1, empty against something is 0. Raises
    :class:`~devotools._validate.InputError` when the shapes differ or a value is not 0 or 1.
    Source: Dice 1945. Taught in lesson 04.

    >>> dice_score(np.array([[1, 1, 0]]), np.array([[0, 1, 1]]))
    0.5
    """
    true, pred = _two_masks(true, pred)
    return _ratio(2 * int((true & pred).sum()), int(true.sum()) + int(pred.sum()))


def iou_score(true: np.ndarray, pred: np.ndarray) -> float:
    """Intersection over union of two (H, W) masks, in [0, 1].

    Empty against empty is 1, empty against something is 0. Raises
    :class:`~devotools._validate.InputError` as :func:`dice_score`. Source: Jaccard 1912.
    Taught in lesson 04.

    >>> round(iou_score(np.array([[1, 1, 0]]), np.array([[0, 1, 1]])), 3)
    0.333
    """
    true, pred = _two_masks(true, pred)
    return _ratio(int((true & pred).sum()), int((true | pred).sum()))


@dataclass(frozen=True)
class Matches:
    """Nuclei matched one to one: what was found, what was made up, what was missed.

    ``pairs`` lists (true id, predicted id, IoU) of each match. Two results add up with ``+``,
    so a whole set is scored over all its nuclei together.
    """

    tp: int
    fp: int
    fn: int
    pairs: tuple[tuple[int, int, float], ...] = ()

    @property
    def precision(self) -> float:
        """Share of predicted nuclei that are real; with none predicted 1 if none was missed."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else float(self.fn == 0)

    @property
    def recall(self) -> float:
        """Share of real nuclei that were found; with none to find 1 if none was made up."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else float(self.fp == 0)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 for nothing against nothing."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def panoptic_quality(self) -> float:
        """Sum of the matches' IoU over tp + fp/2 + fn/2 (Kirillov et al. 2019)."""
        return _ratio(2 * sum(iou for _, _, iou in self.pairs), 2 * self.tp + self.fp + self.fn)

    def __add__(self, other: Matches) -> Matches:
        pairs = self.pairs + other.pairs
        return Matches(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, pairs)


def match_instances(true: np.ndarray, pred: np.ndarray, iou_threshold: float = 0.5) -> Matches:
    """Match predicted nuclei with true ones, each at most once, where IoU >= ``iou_threshold``.

    ``true`` and ``pred`` are (H, W) label images, 0 for background; ids need not be consecutive.
    Of all one-to-one matchings the one with the most matches is taken, and among those the one
    with the largest summed IoU. Returns :class:`Matches` with tp, fp, fn, precision, recall, f1
    and panoptic_quality; empty against empty scores 1. Raises
    :class:`~devotools._validate.InputError` for other shapes or dtypes. Source: the vocabulary of
    StarDist's ``matching``; Kirillov et al. 2019. Taught in lesson 04.

    >>> true = np.array([[1, 1, 0, 2, 2]])
    >>> match_instances(true, np.array([[1, 1, 0, 0, 0]])).recall
    0.5
    """
    true, pred = check_labels(true, "true"), check_labels(pred, "pred")
    check_same_shape(true, pred, ("true", "pred"))
    check_fraction(iou_threshold, "iou_threshold")
    iou, true_ids, pred_ids = _iou_table(true, pred)
    allowed = (iou >= iou_threshold) & (iou > 0)
    # Each allowed pair outweighs every sum of IoU, so that the count of matches comes first.
    rows, columns = linear_sum_assignment(allowed * (min(iou.shape) + iou), maximize=True)
    pairs = tuple(
        (int(true_ids[r]), int(pred_ids[c]), float(iou[r, c]))
        for r, c in zip(rows, columns, strict=True)
        if allowed[r, c]
    )
    return Matches(len(pairs), len(pred_ids) - len(pairs), len(true_ids) - len(pairs), pairs)


def _iou_table(true: np.ndarray, pred: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """IoU of each true nucleus with each predicted one: (T, P), and the ids of both sides."""
    true_ids, true_index = np.unique(true, return_inverse=True)
    pred_ids, pred_index = np.unique(pred, return_inverse=True)
    shape = (len(true_ids), len(pred_ids))
    flat = np.ravel_multi_index((true_index.ravel(), pred_index.ravel()), shape)
    overlap = np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)
    union = overlap.sum(1, keepdims=True) + overlap.sum(0, keepdims=True) - overlap
    real, guessed = true_ids > 0, pred_ids > 0
    iou = (overlap / union)[np.ix_(real, guessed)]
    return iou, true_ids[real], pred_ids[guessed]


def _two_masks(true: np.ndarray, pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    true, pred = check_mask(true, "true"), check_mask(pred, "pred")
    check_same_shape(true, pred, ("true", "pred"))
    return true, pred


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 1.0
