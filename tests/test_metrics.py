"""Scores against counting by hand, torchmetrics, and trying every matching."""

import itertools

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_f1_score, binary_jaccard_index

from devotools._validate import InputError
from devotools.metrics import Matches, dice_score, iou_score, match_instances

EMPTY = np.zeros((5, 6), int)


@pytest.mark.parametrize("seed", range(10))
def test_dice_and_iou_agree_with_torchmetrics(seed):
    rng = np.random.default_rng(seed)
    true, pred = (rng.random((17, 23)) < rng.random() for _ in range(2))
    tensors = torch.from_numpy(pred), torch.from_numpy(true)
    assert dice_score(true, pred) == pytest.approx(float(binary_f1_score(*tensors)), abs=1e-6)
    assert iou_score(true, pred) == pytest.approx(float(binary_jaccard_index(*tensors)), abs=1e-6)


def test_dice_and_iou_by_hand():
    true = np.array([[1, 1, 1, 0], [0, 0, 0, 0]])
    pred = np.array([[0, 1, 1, 1], [1, 0, 0, 0]], bool)
    assert dice_score(true, pred) == pytest.approx(2 * 2 / (3 + 4))
    assert iou_score(true, pred) == pytest.approx(2 / 5)


@pytest.mark.parametrize("score", [dice_score, iou_score])
def test_empty_masks_have_a_stated_score(score):
    something = EMPTY.copy()
    something[1, 1] = 1
    assert score(EMPTY, EMPTY) == 1
    assert score(EMPTY, something) == score(something, EMPTY) == 0
    assert score(something, something) == 1


@pytest.mark.parametrize("score", [dice_score, iou_score])
def test_masks_that_are_none_are_refused(score):
    with pytest.raises(InputError, match="expected a mask of True and False"):
        score(EMPTY, np.full((5, 6), 0.3))
    with pytest.raises(InputError, match=r"true has shape \(5, 6\) and pred has shape \(6, 5\)"):
        score(EMPTY, EMPTY.T)
    with pytest.raises(InputError, match="two axes"):
        score(EMPTY[None], EMPTY[None])


# --- instances


def ious(true, pred):
    return {
        (t, p): ((true == t) & (pred == p)).sum() / ((true == t) | (pred == p)).sum()
        for t in np.unique(true[true > 0])
        for p in np.unique(pred[pred > 0])
    }


def best_matching(true, pred, threshold):
    """The most matches, and the largest sum of IoU among those, by trying all."""
    table = {pair: iou for pair, iou in ious(true, pred).items() if iou >= threshold and iou > 0}
    best = (0, 0.0)
    for count in range(1, min(len(np.unique(true)), len(np.unique(pred))) + 1):
        for chosen in itertools.combinations(table, count):
            if len({t for t, _ in chosen}) == len({p for _, p in chosen}) == count:
                best = max(best, (count, sum(table[pair] for pair in chosen)))
    return best


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.25, 0.5])
@pytest.mark.parametrize("seed", range(8))
def test_matching_is_the_best_of_all(seed, threshold):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 5, (4, 1)) * np.ones((1, 6), int)
    pred = np.where(rng.random((4, 6)) < 0.75, true, rng.integers(0, 5, (4, 6)))
    matches = match_instances(true, pred, threshold)
    count, total = best_matching(true, pred, threshold)
    assert matches.tp == count
    assert sum(iou for *_, iou in matches.pairs) == pytest.approx(total)
    assert matches.tp + matches.fn == len(np.unique(true[true > 0]))
    assert matches.tp + matches.fp == len(np.unique(pred[pred > 0]))
    for t, p, iou in matches.pairs:
        assert iou == pytest.approx(ious(true, pred)[t, p])
        assert iou >= threshold


def test_count_of_matches_comes_before_their_iou():
    # 1 with 1 alone would be 8/12; 1 with 2 and 2 with 1 are two, though only of 2/10 each.
    true = np.array([[1] * 10 + [2] * 2])
    pred = np.array([[2] * 2 + [1] * 10])
    assert match_instances(true, pred, 0.1).pairs == ((1, 2, 0.2), (2, 1, 0.2))
    assert match_instances(true, pred, 0.5).pairs == ((1, 1, 8 / 12),)


def test_instances_by_hand():
    true = np.array([[1, 1, 0, 2, 2, 0, 3]])
    pred = np.array([[1, 1, 0, 2, 0, 9, 0]])
    matches = match_instances(true, pred)
    assert (matches.tp, matches.fp, matches.fn) == (2, 1, 1)  # IoU 1 and exactly 0.5
    assert matches.pairs == ((1, 1, 1.0), (2, 2, 0.5))
    assert matches.precision == matches.recall == matches.f1 == pytest.approx(2 / 3)
    assert matches.panoptic_quality == pytest.approx(1.5 / (2 + 0.5 + 0.5))
    assert match_instances(true, pred, 0.51).tp == 1


def test_ids_need_not_be_consecutive_nor_small():
    true = np.array([[0, 10**12, 10**12, 7]])
    pred = np.array([[0, 3, 3, 2**40]])
    matches = match_instances(true, pred)
    assert matches.pairs == ((7, 2**40, 1.0), (10**12, 3, 1.0))


def test_background_is_no_nucleus_even_where_there_is_none():
    assert match_instances(np.ones((3, 3), int), np.ones((3, 3), int)).tp == 1
    assert match_instances(EMPTY, np.ones((5, 6), int)).fp == 1


@pytest.mark.parametrize(
    ("counts", "precision", "recall", "f1"),
    [((0, 0, 0), 1, 1, 1), ((0, 3, 0), 0, 0, 0), ((0, 0, 3), 0, 0, 0), ((2, 2, 0), 0.5, 1, 2 / 3)],
)
def test_empty_sets_have_a_stated_score(counts, precision, recall, f1):
    matches = Matches(*counts, pairs=((1, 1, 1.0),) * counts[0])
    assert (matches.precision, matches.recall) == (precision, recall)
    assert matches.f1 == matches.panoptic_quality == pytest.approx(f1)


def test_matches_add_up():
    first = match_instances(np.array([[1, 0, 2]]), np.array([[1, 0, 0]]))
    second = match_instances(np.array([[0, 0, 0]]), np.array([[1, 0, 0]]))
    both = first + second
    assert (both.tp, both.fp, both.fn) == (1, 1, 1)
    assert both.f1 == 0.5
    assert both.panoptic_quality == 0.5


def test_labels_that_are_none_are_refused():
    with pytest.raises(InputError, match="true has dtype float64; expected whole numbers"):
        match_instances(EMPTY.astype(float), EMPTY)
    with pytest.raises(InputError, match="expected the same rows and columns"):
        match_instances(EMPTY, EMPTY.T)
    with pytest.raises(InputError, match="pred holds -1"):
        match_instances(EMPTY, EMPTY - 1)
    with pytest.raises(InputError, match=r"iou_threshold is 1\.5"):
        match_instances(EMPTY, EMPTY, 1.5)
