"""Scores, calibration and the mitotic index, counted by hand and against independent oracles."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binomtest
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_confusion_matrix,
)

from devotools._validate import InputError
from devotools.classification import (
    StateHistory,
    accuracy,
    balanced_accuracy,
    choose_limit,
    confusion_matrix,
    expected_calibration_error,
    fit_temperature,
    mitotic_index,
    plot_confusion,
    plot_reliability,
    reliability,
    show_crops,
    to_probability,
    wilson_interval,
)
from devotools.plots import plot_history

RNG = np.random.default_rng(0)
TRUE, SAID = RNG.integers(0, 3, 200), RNG.integers(0, 3, 200)


def test_scores_agree_with_torchmetrics():
    true, said = torch.from_numpy(TRUE), torch.from_numpy(SAID)
    expected = multiclass_confusion_matrix(said, true, 3).numpy()
    np.testing.assert_array_equal(confusion_matrix(TRUE, SAID, 3), expected)
    macro = float(multiclass_accuracy(said, true, 3, average="macro"))
    assert balanced_accuracy(TRUE, SAID, 3) == pytest.approx(macro)
    assert accuracy(TRUE, SAID, 3) == pytest.approx((TRUE == SAID).mean())


def test_a_class_that_is_not_there_is_left_out():
    assert balanced_accuracy([1, 1, 1, 1], [1, 1, 1, 0]) == 0.75
    assert np.isnan(balanced_accuracy([], []))
    assert np.isnan(accuracy([], []))
    assert confusion_matrix([], []).sum() == 0


def test_calibration_error_agrees_with_torchmetrics():
    logits = RNG.normal(0, 2, (300, 2))
    true = RNG.integers(0, 2, 300)
    probability = to_probability(logits)
    correct = probability.argmax(axis=1) == true
    found = expected_calibration_error(correct, probability.max(axis=1), bins=10)
    expected = multiclass_calibration_error(
        torch.from_numpy(probability), torch.from_numpy(true), 2, n_bins=10, norm="l1"
    )
    assert found == pytest.approx(float(expected), abs=1e-6)


def test_reliability_is_counted_by_hand():
    table = reliability([True, True, False, True], [0.55, 0.58, 0.95, 1.0])
    assert table["nuclei"].tolist() == [2, 2]
    assert table["accuracy"].tolist() == [1.0, 0.5]
    np.testing.assert_allclose(table["confidence"], [0.565, 0.975])
    np.testing.assert_allclose(table[["low", "high"]], [[0.5, 0.6], [0.9, 1.0]])
    assert np.isnan(expected_calibration_error([], []))


@pytest.mark.parametrize("heat", [0.5, 1.0, 3.0])
def test_the_temperature_is_found_again(heat):
    """Classes drawn from the probabilities of logits / heat: that heat is the temperature."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, (20_000, 2))
    classes = (rng.random(20_000) < to_probability(logits, heat)[:, 1]).astype(int)
    assert fit_temperature(logits, classes) == pytest.approx(heat, rel=0.05)


def test_the_limit_is_the_lowest_that_keeps_the_promise():
    confidence = np.array([0.99, 0.9, 0.8, 0.7, 0.6])
    correct = np.array([True, True, True, False, False])
    assert choose_limit(correct, confidence, 1.0) == 0.8
    assert choose_limit(correct, confidence, 0.75) == 0.7
    assert choose_limit(correct, confidence, 0.1) == 0.6
    assert choose_limit(~correct, confidence, 0.9) == 1.0
    assert choose_limit([True], [0.5], 0.9) == 0.5
    assert choose_limit([], [], 0.9) == 1.0
    for right in ([True, False], [False, True]):  # of one confidence: both are said, or neither
        assert choose_limit(right, [0.9, 0.9], 0.95) == 1.0
        assert choose_limit([*right, True], [0.9, 0.9, 0.95], 0.6) == 0.9


@pytest.mark.parametrize(("part", "whole"), [(0, 5), (3, 7), (7, 7), (40, 100)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_interval_is_scipys(part, whole, confidence):
    expected = binomtest(part, whole).proportion_ci(confidence, method="wilson")
    assert wilson_interval(part, whole, confidence) == pytest.approx(tuple(expected))


def test_unsure_ones_are_counted_apart():
    words = ["condensed"] * 3 + ["interphase"] * 7 + ["unsure"] * 5
    found = mitotic_index(pd.DataFrame({"state": words}))
    assert (found.condensed, found.interphase, found.unsure) == (3, 7, 5)
    index, low, high = found
    assert index == 0.3
    assert (low, high) == pytest.approx(wilson_interval(3, 10))
    assert mitotic_index(words) == found
    narrow = mitotic_index(words, confidence=0.5)
    assert low < narrow.low < index < narrow.high < high


def test_nothing_to_count_is_nan():
    for words in ([], ["unsure"]):
        assert np.isnan(list(mitotic_index(words))).all()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: confusion_matrix([0, 2], [0, 1]), "true runs from 0 to 2; expected classes from"),
        (lambda: confusion_matrix([0.5], [0]), "true has shape .* and dtype float64; expected one"),
        (lambda: confusion_matrix([[0]], [[0]]), "true has shape"),
        (lambda: accuracy([0, 1], [0]), r"true has shape \(2,\) and predicted has shape \(1,\)"),
        (lambda: reliability([True], [1.5]), "confidence runs from 1.5 to 1.5; expected"),
        (lambda: reliability([True, False], [0.5]), "correct has shape"),
        (lambda: fit_temperature(np.zeros((0, 2)), []), r"logits have shape \(0, 2\)"),
        (lambda: fit_temperature(np.zeros((3, 2)), [0]), r"classes \(1,\); expected \(N, classes"),
        (lambda: choose_limit([True], [0.9], 2), "wanted is 2; expected a number from 0 to 1"),
        (lambda: reliability([True], [0.9], bins=0), "bins is 0; expected a whole number"),
        (lambda: wilson_interval(5, 3), "part is 5 and whole 3"),
        (lambda: wilson_interval(3, 10, 95), "confidence is 95"),
        (lambda: wilson_interval(3, 10, 1.0), "confidence is 1.0"),
        (lambda: choose_limit([True], [0.9, 0.8], 0.9), r"shape \(1,\) and confidence \(2,\)"),
        (lambda: fit_temperature([[1.0, 2.0]], [2]), "classes run from 2 to 2 for 2 columns"),
        (lambda: fit_temperature([[np.nan, 2.0]], [1]), "logits that are finite"),
        (
            lambda: mitotic_index(["dividing"]),
            "states holds 'dividing'; expected only 'interphase'",
        ),
        (lambda: mitotic_index([], confidence=1.0), "confidence is 1.0; expected a number between"),
        (lambda: mitotic_index([], confidence=7), "confidence is 7; expected"),
        (lambda: show_crops(np.zeros((0, 1, 4, 4))), "expected .*K at least 1"),
        (lambda: show_crops(np.zeros((2, 1, 4, 4)), ["a"]), "2 crops and 1 titles"),
    ],
)
def test_what_cannot_be_scored_is_refused(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()


# --- figures


def test_the_reliability_diagram_shows_the_table():
    correct, confidence = RNG.random(100) < 0.8, RNG.uniform(0.5, 1, 100)
    table = reliability(correct, confidence)
    ax = plot_reliability(correct, confidence, name="before")
    plot_reliability(correct, confidence, ax, name="after", color="#D55E00", linestyle="--")
    diagonal, line, other = ax.lines
    np.testing.assert_allclose(diagonal.get_xdata(), diagonal.get_ydata())
    np.testing.assert_allclose(line.get_ydata(), table["accuracy"])
    assert line.get_linestyle() != other.get_linestyle()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "calibrated",
        "before",
        "after",
    ]
    assert ax.get_ylim()[0] < table["accuracy"].min()


def test_the_confusion_matrix_is_written_out():
    ax = plot_confusion([0, 0, 0, 1], [0, 0, 1, 1])
    assert [text.get_text() for text in ax.texts] == ["2\n67%", "1\n33%", "0\n0%", "1\n100%"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["interphase", "condensed"]
    axes = plt.subplots(1, 2)[1]
    assert plot_confusion([0], [0], axes[0]) is axes[0]


def test_crops_are_shown_with_their_titles():
    axes = show_crops(np.zeros((3, 1, 64, 64)), ["a", "b", "c"], columns=2)
    assert axes.shape == (2, 2)
    assert [ax.get_title() for ax in axes.flat] == ["a", "b", "c", ""]
    assert len(axes[1, 1].images) == 0


def test_the_history_of_states_is_plotted_with_its_own_words():
    history = StateHistory([1.0, 0.5], [1.1, 0.7], [0.6, 0.8], [0.7, 0.9], [1, 1], best_epoch=2)
    left, right = plot_history(history)
    assert right.get_ylabel() == "balanced accuracy"
    assert "cross-entropy" in left.get_ylabel()
    np.testing.assert_allclose(right.lines[0].get_ydata(), [0.6, 0.8])
    assert history.best_score == 0.8
