"""How good a classifier is, how far its probabilities can be believed, and a mitotic index."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from devotools._validate import InputError, check_count, check_fraction
from devotools.classification.crops import STATES, UNSURE


def confusion_matrix(true: np.ndarray, predicted: np.ndarray, classes: int = 2) -> np.ndarray:
    """Count which class was taken for which: (classes, classes), true in rows, said in columns.

    ``true`` and ``predicted`` are (N,) class numbers from 0. Raises
    :class:`~devotools._validate.InputError`. Taught in lesson 07.

    >>> confusion_matrix([0, 0, 1], [0, 1, 1])
    array([[1, 1],
           [0, 1]])
    """
    true, predicted = _classes(true, "true", classes), _classes(predicted, "predicted", classes)
    _check_pairs(true, predicted, ("true", "predicted"))
    counts = np.bincount(true * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes)


def accuracy(true: np.ndarray, predicted: np.ndarray, classes: int = 2) -> float:
    """Share of nuclei whose class was told right; NaN without any. Arguments as above.

    Says little where one class is rare: who calls every nucleus *interphase* is right about most.
    """
    counts = confusion_matrix(true, predicted, classes)
    return float(np.trace(counts) / counts.sum()) if counts.sum() else float("nan")


def balanced_accuracy(true: np.ndarray, predicted: np.ndarray, classes: int = 2) -> float:
    """Mean over the classes of the share told right: each class counts alike, however rare.

    A class of which there is none is left out; NaN without any nucleus. Raises
    :class:`~devotools._validate.InputError`. Source: Brodersen et al. 2010, "The balanced
    accuracy and its posterior distribution". Taught in lesson 07.

    >>> balanced_accuracy([0, 0, 0, 1], [0, 0, 0, 0])
    0.5
    """
    counts = confusion_matrix(true, predicted, classes)
    there = counts.sum(axis=1) > 0
    if not there.any():
        return float("nan")
    return float((np.diag(counts)[there] / counts.sum(axis=1)[there]).mean())


def reliability(correct: np.ndarray, confidence: np.ndarray, bins: int = 10) -> pd.DataFrame:
    """What was promised and what was kept, by how sure the classifier was.

    ``confidence`` is (N,) in [0, 1], the probability of the class that was said, and ``correct``
    (N,) whether it was right. Returns a row for each of ``bins`` equal steps of confidence from 0
    to 1 that holds a nucleus: ``low``, ``high``, ``nuclei``, ``confidence`` and ``accuracy``
    (means). Raises :class:`~devotools._validate.InputError`. Taught in lesson 07.
    """
    bins = check_count(bins, "bins")
    correct, confidence = np.asarray(correct, bool), np.asarray(confidence, float)
    _check_pairs(correct, confidence, ("correct", "confidence"))
    if confidence.size and not (0 <= confidence.min() and confidence.max() <= 1):
        raise InputError(
            f"confidence runs from {confidence.min():.3g} to {confidence.max():.3g}; expected "
            "probabilities from 0 to 1. Turn logits into them with torch.softmax."
        )
    step = np.minimum((confidence * bins).astype(int), bins - 1)
    table = pd.DataFrame(
        {"step": step, "confidence": confidence, "accuracy": correct.astype(float)}
    )
    found = table.groupby("step").agg(
        nuclei=("confidence", "size"),
        confidence=("confidence", "mean"),
        accuracy=("accuracy", "mean"),
    )
    found.insert(0, "low", found.index / bins)
    found.insert(1, "high", (found.index + 1) / bins)
    return found.reset_index(drop=True)


def expected_calibration_error(
    correct: np.ndarray, confidence: np.ndarray, bins: int = 10
) -> float:
    """How far promise and truth lie apart: by bin, accuracy from confidence; mean over nuclei.

    Arguments as :func:`reliability`; 0 is perfect, NaN without any nucleus. It depends somewhat
    on ``bins``. Source: Guo et al. 2017, "On calibration of modern neural networks". Taught in
    lesson 07.

    >>> round(expected_calibration_error([True, False], [0.9, 0.9]), 3)
    0.4
    """
    table = reliability(correct, confidence, bins)
    gaps = (table["accuracy"] - table["confidence"]).abs()
    return float((gaps * table["nuclei"]).sum() / len(correct)) if len(table) else float("nan")


@dataclass(frozen=True)
class MitoticIndex:
    """A share of condensed nuclei with its interval; ``low`` and ``high`` are NaN without any.

    ``index``, ``low``, ``high`` can be unpacked; ``unsure`` ones are in none of them.
    """

    index: float
    low: float
    high: float
    condensed: int
    interphase: int
    unsure: int

    def __iter__(self):
        return iter((self.index, self.low, self.high))


def mitotic_index(
    states: Iterable[str] | pd.DataFrame, *, confidence: float = 0.95
) -> MitoticIndex:
    """The share of condensed nuclei, with Wilson's interval, which stays within 0 and 1.

    ``states`` are words ("interphase", "condensed", "unsure"), or a table with a column ``state``.
    Unsure ones are left out and counted apart. The interval tells what counting so few nuclei
    leaves open, if each were independent of the others; it knows nothing of wrong calls, and
    sections of one nucleus are not independent. Raises :class:`~devotools._validate.InputError`.
    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference",
    J. Am. Stat. Assoc. 22:209. Taught in lesson 07.

    >>> found = mitotic_index(["condensed", "interphase", "interphase", "unsure"])
    >>> round(found.index, 2), round(found.low, 2), round(found.high, 2), found.unsure
    (0.33, 0.06, 0.79, 1)
    """
    words = list(states["state"] if isinstance(states, pd.DataFrame) else states)
    known = (*STATES, UNSURE)
    for word in words:
        if word not in known:
            raise InputError(
                f"states holds {word!r}; expected only {', '.join(map(repr, known))}, as "
                "classify_nuclei says them."
            )
    interphase, condensed, unsure = (words.count(word) for word in known)
    low, high = wilson_interval(condensed, condensed + interphase, confidence)
    index = condensed / (condensed + interphase) if condensed + interphase else float("nan")
    return MitoticIndex(index, low, high, condensed, interphase, unsure)


def wilson_interval(part: int, whole: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share ``part`` / ``whole``; NaN where ``whole`` is 0.

    Raises :class:`~devotools._validate.InputError` when ``part`` is more than ``whole``, and for a
    ``confidence`` that is not between 0 and 1.
    """
    if not 0 < check_fraction(confidence, "confidence") < 1:
        raise InputError(
            f"confidence is {confidence}; expected a number between 0 and 1, for example 0.95."
        )
    if not 0 <= part <= whole:
        raise InputError(
            f"part is {part!r} and whole {whole!r}; expected 0 <= part <= whole. Give counts: how "
            "many are condensed, and how many there are."
        )
    if not whole:
        return float("nan"), float("nan")
    z = float(norm.ppf(0.5 + confidence / 2))
    share = part / whole
    middle = (share + z**2 / (2 * whole)) / (1 + z**2 / whole)
    half = z / (1 + z**2 / whole) * np.sqrt(share * (1 - share) / whole + z**2 / (4 * whole**2))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def _classes(values: np.ndarray, name: str, classes: int) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "uib"):
        raise InputError(
            f"{name} has shape {array.shape} and dtype {array.dtype}; expected one whole number a "
            "nucleus. Take the likeliest class of each with argmax."
        )
    if array.size and not (0 <= array.min() and array.max() < classes):
        raise InputError(
            f"{name} runs from {array.min()} to {array.max()}; expected classes from 0 to "
            f"{classes - 1}. Say classes= if there are more."
        )
    return array.astype(np.int64)


def _check_pairs(first: np.ndarray, second: np.ndarray, names: tuple[str, str]) -> None:
    if first.shape != second.shape or first.ndim != 1:
        raise InputError(
            f"{names[0]} has shape {first.shape} and {names[1]} has shape {second.shape}; expected "
            "one value a nucleus in both."
        )
