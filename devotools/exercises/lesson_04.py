"""The exercises of lesson 04: scores, counted by hand."""

from __future__ import annotations

from functools import partial

import numpy as np

from .kit import Case, Exercise, Mistake

_TRUE = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]], bool)
_SHIFTED = np.array([[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]], bool)
_LARGE = np.array([[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0]], bool)
_EMPTY = np.zeros((3, 4), bool)
_HOOK = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]], bool)  # its rows have other IoUs
_SQUARE = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]], bool)


def _over(shared: float, total: float, empty: float = 1.0) -> float:
    return float(shared / total) if total else empty


def _iou(true: np.ndarray, predicted: np.ndarray) -> float:
    return _over((true & predicted).sum(), (true | predicted).sum())


def _dice(true: np.ndarray, predicted: np.ndarray, empty: float = 1.0) -> float:
    return _over(2 * (true & predicted).sum(), true.sum() + predicted.sum(), empty)


def _twice(true: np.ndarray, predicted: np.ndarray, empty: float = 1.0) -> float:
    return _over((true & predicted).sum(), true.sum() + predicted.sum(), empty)


def _and_empty_ones(mistake: Mistake) -> tuple[Mistake, ...]:
    """The mistake as it is, and with the empty case forgotten as well."""
    return (
        mistake,
        *(
            Mistake(
                f"{mistake.name}, and two empty masks score {said}",
                partial(mistake.wrong, empty=empty),
                f"{mistake.advice} And ask for two empty masks first: by convention they score 1.",
            )
            for said, empty in (("NaN", float("nan")), ("0", 0.0))
        ),
    )


def _recall(true: np.ndarray, predicted: np.ndarray, empty: float = 1.0) -> float:
    return _over((true & predicted).sum(), true.sum(), empty)


def _precision(true: np.ndarray, predicted: np.ndarray, empty: float = 1.0) -> float:
    return _over((true & predicted).sum(), predicted.sum(), empty)


def _accuracy(true: np.ndarray, predicted: np.ndarray) -> float:
    return float((true == predicted).mean())


def _mean_of_rows(true: np.ndarray, predicted: np.ndarray) -> float:
    rows = [_iou(t, p) for t, p in zip(true, predicted, strict=True) if (t | p).any()]
    return float(np.mean(rows)) if rows else 1.0


def _never_full(true: np.ndarray, predicted: np.ndarray) -> float:
    either = (true | predicted).sum()
    return float((true & predicted).sum() / either) if either else 0.0


def _undefined(true: np.ndarray, predicted: np.ndarray) -> float:
    either = (true | predicted).sum()
    return float((true & predicted).sum() / either) if either else float("nan")


IOU = Exercise(
    key="4.1",
    right=_iou,
    cases=(
        Case("two squares that share one column", (_TRUE, _SHIFTED)),
        Case("a square inside a larger one", (_TRUE, _LARGE)),
        Case("two masks that share nothing", (_TRUE, _EMPTY)),
        Case("two empty masks", (_EMPTY, _EMPTY)),
        Case("nothing true, something predicted", (_EMPTY, _SHIFTED)),
        Case("two shapes that share four pixels of six", (_HOOK, _SQUARE)),
    ),
    hints=(
        "Two numbers are enough: how many pixels are in both masks, and how many are in either?",
        "For bool arrays & means both and | means either; .sum() counts the True ones.",
        "return (true & predicted).sum() / (true | predicted).sum(); but 1.0 where the second is 0",
    ),
    mistakes=(
        *_and_empty_ones(
            Mistake(
                "that is Dice, not IoU",
                _dice,
                "Dice counts the shared pixels twice and divides by the sum of both areas. For "
                "IoU, divide the shared pixels, once, by those in either mask.",
            )
        ),
        *_and_empty_ones(
            Mistake(
                "the union is counted twice",
                _twice,
                "The sum of both areas counts shared pixels twice; the union has each pixel once.",
            )
        ),
        *_and_empty_ones(
            Mistake(
                "that is the recall of pixels",
                _recall,
                "You divide by the true area alone, so a prediction that covers everything is "
                "perfect. The pixels that are only predicted belong below the line too.",
            )
        ),
        *_and_empty_ones(
            Mistake(
                "that is the precision of pixels",
                _precision,
                "You divide by the predicted area alone, so a single right pixel is perfect. The "
                "true pixels that were missed belong below the line too.",
            )
        ),
        Mistake(
            "that is accuracy",
            _accuracy,
            "It counts the background as well, which nearly always agrees. Leave out the pixels "
            "that are in neither mask.",
        ),
        Mistake(
            "that is the mean over the rows",
            _mean_of_rows,
            "A row with a single pixel counts as much as a full one. Sum over the whole picture "
            "first (.sum() without an axis), then divide once.",
        ),
        Mistake(
            "two empty masks score 0",
            _never_full,
            "Nothing was to be found and nothing was found: by convention that is 1.",
        ),
        Mistake(
            "two empty masks score NaN",
            _undefined,
            "0 / 0 is not a number, and one NaN makes the mean of a whole data set NaN. By "
            "convention two empty masks score 1: ask for the empty union first.",
        ),
    ),
    solved="and you have written dt.iou_score. The empty case is the one that people forget.",
)

FROM_DICE = Exercise(
    key="4.2",
    right=lambda dice: dice / (2 - dice),
    cases=tuple(Case(f"a Dice of {dice}", (dice,)) for dice in (0.0, 0.5, 0.8, 1.0)),
    hints=(
        "Write both scores with two names: shared, and total for the sum of both areas.",
        "Dice is 2 * shared / total, and IoU is shared / (total - shared).",
        "Divide above and below by total, and put dice / 2 for shared / total.",
    ),
    mistakes=(
        Mistake(
            "that is Dice itself", lambda dice: dice, "Between 0 and 1 the IoU is the smaller one."
        ),
        Mistake(
            "that makes Dice from IoU",
            lambda dice: 2 * dice / (1 + dice),
            "Turn it round: solve for IoU.",
        ),
        Mistake(
            "that is half of Dice",
            lambda dice: dice / 2,
            "A perfect mask has a Dice of 1 and an IoU of 1, not of one half. The union is "
            "total - shared, not total.",
        ),
    ),
    solved="so a Dice of 0.8 is an IoU of 0.67: never compare one paper's Dice with another's IoU.",
)

PRECISION_RECALL = Exercise(
    key="4.3",
    right=lambda tp, fp, fn: (tp / (tp + fp), tp / (tp + fn)),
    cases=(
        Case("8 found, 2 made up, 4 missed", (8, 2, 4)),
        Case("5 found, 0 made up, 15 missed", (5, 0, 15)),
    ),
    hints=(
        "Precision asks the predictions: how many of you are real? Recall asks the real nuclei: "
        "how many of you were found?",
        "There are tp + fp predictions and tp + fn real nuclei.",
        "return tp / (tp + fp), tp / (tp + fn)",
    ),
    mistakes=(
        Mistake(
            "precision and recall are swapped",
            lambda tp, fp, fn: (tp / (tp + fn), tp / (tp + fp)),
            "Precision falls when nuclei are made up (fp), recall when they are missed (fn).",
        ),
        Mistake(
            "both are divided by everything",
            lambda tp, fp, fn: (tp / (tp + fp + fn), tp / (tp + fp + fn)),
            "tp / (tp + fp + fn) is the IoU of counting. Precision does not know about missed "
            "nuclei, recall not about made-up ones.",
        ),
        Mistake(
            "brackets are missing",
            lambda tp, fp, fn: (tp / tp + fp, tp / tp + fn),
            "Division comes before addition: tp / tp + fp is 1 + fp. Put the sum in brackets.",
        ),
        Mistake(
            "these are the shares of mistakes",
            lambda tp, fp, fn: (fp / (tp + fp), fn / (tp + fn)),
            "You have counted what went wrong; subtract from 1, or put tp above the line.",
        ),
    ),
    solved="one without the other says nothing: a program that marks only the nucleus it is surest "
    "of has precision 1.",
)


def _best_by(scores: int):
    def choose(thresholds, *sides):
        return float(thresholds[int(np.argmax(sides[scores]))])

    return choose


THRESHOLD_CHOICE = Exercise(
    key="4.4",
    right=_best_by(0),
    example=(
        [0.1, 0.3, 0.5, 0.7, 0.9],
        [0.61, 0.78, 0.75, 0.72, 0.58],
        [0.60, 0.70, 0.74, 0.77, 0.62],
    ),
    fixed=True,
    hints=(
        "Which of the two rows of scores may a choice depend on?",
        "np.argmax gives the place of the largest value.",
        "some_thresholds[int(np.argmax(validation_f1))]",
    ),
    mistakes=(
        Mistake(
            "that was chosen on the test embryos",
            _best_by(1),
            "A score that you have chosen by is no test any more: it is the best of five. Choose "
            "on the validation row, then look at the test row once.",
        ),
        Mistake(
            "that is the place, not the threshold",
            lambda thresholds, validation, test: int(np.argmax(validation)),
            "argmax counts places from 0; take the threshold that stands at this place.",
        ),
        Mistake(
            "that is the score, not the threshold",
            lambda thresholds, validation, test: float(max(validation)),
            "Asked for is where the validation score is highest, not how high it is.",
        ),
    ),
    otherwise="Take the threshold at which the validation score is highest.",
    solved="and the test score at that threshold is the one to report, even if another is higher.",
)

EXERCISES = (IOU, FROM_DICE, PRECISION_RECALL, THRESHOLD_CHOICE)
