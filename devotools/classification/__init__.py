"""The wing that tells the state of a nucleus: interphase or condensed, or that it is not sure.

`crops` cuts each nucleus out, `dataset` gives crops with their states to `learning` (what
:func:`devotools.fit` learns), `classifier` is the network, `calibration` makes its probabilities
honest, `prediction` tells the states of a picture, `scores` how good it is and what share is
dividing, `figures` draws it, `saving` keeps it on disk.
"""

from devotools.classification.calibration import calibrate, choose_limit, fit_temperature
from devotools.classification.classifier import ResNet18Classifier
from devotools.classification.crops import CONTEXT, STATES, UNSURE, nucleus_crops
from devotools.classification.dataset import NucleusCropDataset, read_states
from devotools.classification.figures import plot_confusion, plot_reliability, show_crops
from devotools.classification.learning import Classification, StateHistory
from devotools.classification.prediction import (
    classify_nuclei,
    predict_logits,
    states_table,
    to_probability,
)
from devotools.classification.saving import encoder_sum, load_classifier, save_classifier
from devotools.classification.scores import (
    MitoticIndex,
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    expected_calibration_error,
    mitotic_index,
    reliability,
    wilson_interval,
)

__all__ = [
    "CONTEXT",
    "STATES",
    "UNSURE",
    "Classification",
    "MitoticIndex",
    "NucleusCropDataset",
    "ResNet18Classifier",
    "StateHistory",
    "accuracy",
    "balanced_accuracy",
    "calibrate",
    "choose_limit",
    "classify_nuclei",
    "confusion_matrix",
    "encoder_sum",
    "expected_calibration_error",
    "fit_temperature",
    "load_classifier",
    "mitotic_index",
    "nucleus_crops",
    "plot_confusion",
    "plot_reliability",
    "predict_logits",
    "read_states",
    "reliability",
    "save_classifier",
    "show_crops",
    "states_table",
    "to_probability",
    "wilson_interval",
]
