"""What :func:`devotools.fit` learns from crops: classes, judged by balanced accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from devotools._validate import check_positive
from devotools.classification.scores import accuracy, balanced_accuracy
from devotools.inference import evaluating
from devotools.train import Record, autocast, to_device


@dataclass
class StateHistory(Record):
    """What happened in each epoch; ``best_epoch`` counts from 1 and is 0 if none was finished."""

    scores = ("val_loss", "val_balanced_accuracy", "val_accuracy")
    chosen_by, score_name = "val_balanced_accuracy", "balanced accuracy"
    loss_name = "cross-entropy"

    train_loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_balanced_accuracy: list[float] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    best_epoch: int = 0
    interrupted: bool = False


class Classification:
    """The task of telling classes: ``fit(model, train, val, config, Classification())``.

    Loaders give crops (N, 1, 64, 64) float32 and classes (N,) int64. The loss is cross-entropy;
    ``class_weights``, one a class, say how much a nucleus of each counts: a rare class can be
    given more, so that it is not neglected. Probabilities then are those of a world in which the
    classes stand in the weighted proportion. Raises :class:`~devotools._validate.InputError` for
    weights that are not above 0. Taught in lesson 07.
    """

    history = StateHistory

    def __init__(self, class_weights: Sequence[float] | None = None):
        weights = None if class_weights is None else list(class_weights)
        for number, weight in enumerate(weights or ()):
            check_positive(weight, f"class_weights[{number}]")
        self.class_weights = None if weights is None else torch.tensor(weights, dtype=torch.float32)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of logits (N, classes) and classes (N,); a scalar."""
        weights = None if self.class_weights is None else self.class_weights.to(logits.device)
        return functional.cross_entropy(logits, target, weights)

    @torch.inference_mode()
    def validate(
        self, model: nn.Module, loader: Iterable, device: torch.device, bfloat16: bool | None
    ) -> tuple[float, float, float]:
        """Loss, balanced accuracy and accuracy over all crops of ``loader``."""
        logits, true = [], []
        with evaluating(model):
            for crops, classes in loader:
                with autocast(device, bfloat16):
                    logits.append(model(to_device(device, crops)).float().cpu())
                true.append(classes)
        logits, true = torch.cat(logits), torch.cat(true)
        found, classes = logits.argmax(dim=1).numpy(), logits.shape[1]
        loss = float(self.loss(logits, true))
        return loss, *(
            score(np.asarray(true), found, classes) for score in (balanced_accuracy, accuracy)
        )
