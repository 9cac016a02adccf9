"""From a picture with labelled nuclei to a table of their states."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from scipy.special import softmax
from torch import nn

from devotools._validate import InputError, as_array, check_kind
from devotools.classification.classifier import ResNet18Classifier
from devotools.classification.crops import SIDE, STATES, UNSURE, nucleus_crops
from devotools.inference import evaluating
from devotools.measure import measure_nuclei

COLUMNS = {
    "label": "int64",
    "state": "str",
    "state_probability": "float64",
    "condensed_probability": "float64",
}
BATCH = 64  # crops at once, so that memory does not grow with the nuclei


def classify_nuclei(
    model: ResNet18Classifier, image: np.ndarray, labels: np.ndarray, *, stretched: bool = False
) -> pd.DataFrame:
    """Tell the state of each nucleus of an (H, W) picture; one row a nucleus, as measured.

    Columns: ``label``; ``state``, "interphase", "condensed", or "unsure" where the likelier one is
    less probable than ``model.limit``; ``state_probability`` of the likelier of the two, whatever
    ``state`` says; ``condensed_probability``. Both are calibrated (``model.temperature``).
    ``labels`` is (H, W), its ids in any order; no nucleus gives a table without rows.
    ``stretched`` says that the contrast was stretched already. The model's mode is what it was
    before. Raises :class:`~devotools._validate.InputError`. Taught in lesson 07.
    """
    _check_classifier(model)
    if (model.in_channels, model.classes) != (1, len(STATES)):
        raise InputError(
            f"the classifier takes {model.in_channels} channels and tells {model.classes} classes; "
            f"expected grey crops and {len(STATES)} states, {' and '.join(STATES)}."
        )
    crops = nucleus_crops(image, labels, context=model.context, stretched=stretched)
    probability = to_probability(predict_logits(model, crops), model.temperature)
    return states_table(measure_nuclei(labels)["label"], probability[:, 1], model.limit)


def states_table(
    labels: pd.Series, condensed_probability: np.ndarray, limit: float
) -> pd.DataFrame:
    """The table of :func:`classify_nuclei`, from the probability (K,) of *condensed*."""
    probability = np.asarray(condensed_probability, np.float64)
    likelier = np.maximum(probability, 1 - probability)
    state = np.where(probability >= 0.5, STATES[1], STATES[0]).astype(object)
    state[likelier < limit] = UNSURE
    columns = (np.asarray(labels), state, likelier, probability)
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True))).astype(COLUMNS)


def predict_logits(model: ResNet18Classifier, crops: np.ndarray) -> np.ndarray:
    """Logits (K, classes) float32 of crops (K, 1, 64, 64), as the network gives them.

    The model's mode is what it was before. Raises :class:`~devotools._validate.InputError`.
    """
    _check_classifier(model)
    crops = as_array(crops, "crops").astype(np.float32)
    if crops.ndim != 4 or crops.shape[2:] != (SIDE, SIDE):
        raise InputError(
            f"crops have shape {crops.shape}; expected (K, 1, {SIDE}, {SIDE}). Cut them with "
            "nucleus_crops."
        )
    device = next(model.parameters()).device
    answers = [np.empty((0, model.classes), np.float32)]
    with evaluating(model), torch.inference_mode():
        for first in range(0, len(crops), BATCH):
            batch = torch.from_numpy(crops[first : first + BATCH]).to(device)
            batch = batch.contiguous(memory_format=torch.channels_last)
            answers.append(model(batch).float().cpu().numpy())
    return np.concatenate(answers)


def _check_classifier(model: ResNet18Classifier) -> None:
    remedy = "Load one first: model = load_classifier()."
    check_kind(model, nn.Module, "model", remedy)
    if not hasattr(model, "temperature"):
        raise InputError(
            f"model is a {type(model).__name__}; expected a ResNet18Classifier. {remedy}"
        )


def to_probability(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities (K, classes) of logits (K, classes), each row of sum 1."""
    return softmax(np.asarray(logits, np.float64) / temperature, axis=1)
