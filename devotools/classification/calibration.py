"""Probabilities that can be believed: one temperature for all logits, and a limit for *unsure*."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from devotools._validate import InputError, check_fraction
from devotools.classification.classifier import ResNet18Classifier
from devotools.classification.dataset import NucleusCropDataset
from devotools.classification.prediction import predict_logits, to_probability

COLDEST, HOTTEST = 0.05, 20.0


def fit_temperature(logits: np.ndarray, classes: np.ndarray) -> float:
    """The number to divide logits by so that their probabilities fit ``classes`` best.

    ``logits`` is (N, classes), finite, and ``classes`` (N,), the number of the true column, of
    nuclei that were not trained on. Above 1
    the network was too sure of itself, as networks mostly are. Which class is the likeliest does
    not change. Raises :class:`~devotools._validate.InputError` without any nucleus.
    Source: Guo et al. 2017, "On calibration of modern neural networks". Taught in lesson 07.
    """
    logits, classes = np.asarray(logits, np.float64), np.asarray(classes, np.int64)
    if logits.ndim != 2 or len(logits) == 0 or len(logits) != len(classes):
        raise InputError(
            f"logits have shape {logits.shape} and classes {classes.shape}; expected "
            "(N, classes) and (N,), one nucleus at least."
        )
    if not np.isfinite(logits).all() or classes.min() < 0 or classes.max() >= logits.shape[1]:
        raise InputError(
            f"classes run from {classes.min()} to {classes.max()} for {logits.shape[1]} columns of "
            "logits; expected numbers of columns, and logits that are finite. Check that both are "
            "of the same nuclei."
        )

    def misfit(log_temperature: float) -> float:
        shares = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(shares[np.arange(len(classes)), classes].mean())

    span = (np.log(COLDEST), np.log(HOTTEST))
    return float(np.exp(minimize_scalar(misfit, bounds=span, method="bounded").x))


def choose_limit(correct: np.ndarray, confidence: np.ndarray, wanted: float) -> float:
    """The lowest confidence from which at least a share ``wanted`` is right; 0.5 at least.

    ``confidence`` is (N,), the probability of the state that was said, and ``correct`` (N,)
    whether it was right. Nuclei below the limit are to be called *unsure*. Where no limit reaches
    ``wanted`` it is 1. Raises :class:`~devotools._validate.InputError`.
    """
    check_fraction(wanted, "wanted")
    correct, confidence = np.asarray(correct, bool), np.asarray(confidence, float)
    if correct.ndim != 1 or correct.shape != confidence.shape:
        raise InputError(
            f"correct has shape {correct.shape} and confidence {confidence.shape}; expected (N,), "
            "one of each for every nucleus."
        )
    limits, group = np.unique(confidence, return_inverse=True)  # of one confidence, all or none
    nuclei = np.bincount(group, minlength=len(limits))[::-1].cumsum()[::-1]
    right = np.bincount(group, correct, minlength=len(limits))[::-1].cumsum()[::-1]
    enough = np.flatnonzero(right >= wanted * nuclei)
    return max(0.5, float(limits[enough[0]])) if len(enough) else 1.0


def calibrate(
    model: ResNet18Classifier, data: NucleusCropDataset, *, wanted: float = 0.95
) -> ResNet18Classifier:
    """Set the temperature and the limit of ``model`` by nuclei of other embryos; returns it.

    ``data`` must be neither what was trained on nor what will be tested on. From the limit on, a
    share ``wanted`` of the states that are said is right, as far as ``data`` tells.
    Taught in lesson 07.
    """
    logits = predict_logits(model, data.crops)
    model.temperature = fit_temperature(logits, data.classes)
    probability = to_probability(logits, model.temperature)
    said = probability.argmax(axis=1)
    model.limit = choose_limit(said == data.classes, probability.max(axis=1), wanted)
    return model
