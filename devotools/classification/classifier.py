"""ResNet18Classifier: the encoder that learned to find nuclei, with one layer that names them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from devotools._validate import InputError, check_choice, check_count
from devotools.classification.crops import CONTEXT, STATES
from devotools.model import ResNet18FPN, load_model, resnet18_encoder

FEATURES = 512  # channels of the deepest stage of ResNet18
PARTS = ("head", "norms", "all")


class ResNet18Classifier(nn.Module):
    """A classifier of crops: (N, in_channels, 64, 64) to logits (N, classes).

    The encoder is torchvision's ``resnet18`` with a first layer for ``in_channels``, as in
    :class:`~devotools.ResNet18FPN`; the mean of its deepest features over the crop goes into one
    linear layer. ``weights`` says what the encoder starts from: None is random, "imagenet"
    torchvision's, "nuclei" the shipped segmentation model's; a path or a ``ResNet18FPN`` lends the
    encoder of a segmentation model of your own (a copy; the model stays as it is). The last layer
    always starts at random.

    ``context`` is the context of the crops that it learned from (:func:`nucleus_crops`);
    ``temperature`` and ``limit`` are set by :func:`calibrate`. ``metadata`` is what
    :func:`save_classifier` stored beside the weights. Raises
    :class:`~devotools._validate.InputError` as ``ResNet18FPN`` and
    :func:`~devotools.load_model` do. Taught in lesson 07.

    >>> import torch
    >>> ResNet18Classifier().eval()(torch.zeros(3, 1, 64, 64)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = len(STATES),
        weights: str | Path | ResNet18FPN | None = None,
    ):
        super().__init__()
        self.in_channels = check_count(in_channels, "in_channels")
        self.classes = check_count(classes, "classes")
        self.context = CONTEXT
        self.temperature = 1.0  # divides the logits: above 1 the network was too sure of itself
        self.limit = 0.5  # a state less probable than this is "unsure"
        self.metadata: dict[str, Any] = {}
        self.encoder = _start(in_channels, weights)
        self.head = nn.Linear(FEATURES, classes)
        self._learning = "all"

    def forward(self, crops: Tensor) -> Tensor:
        """Logits of a batch of crops."""
        return self.head(self.features(crops).mean(dim=(2, 3)))  # (N, 512) to (N, classes)

    def features(self, crops: Tensor) -> Tensor:
        """What the encoder makes of crops, before the mean over the crop is taken."""
        net = self.encoder
        x = net.relu(net.maxpool(net.bn1(net.conv1(crops))))  # (N, 64, 16, 16)
        x = net.layer1(x)  # (N, 64, 16, 16)
        x = net.layer2(x)  # (N, 128, 8, 8)
        x = net.layer3(x)  # (N, 256, 4, 4)
        return net.layer4(x)  # (N, 512, 2, 2)

    def learn(self, parts: str) -> ResNet18Classifier:
        """Say which weights training may change: "head", "norms" (and the head), or "all".

        What may not change is frozen, and its batch norms keep their statistics in training as
        well. Returns the model. Raises :class:`~devotools._validate.InputError`.
        """
        self._learning = check_choice(parts, "parts", PARTS)
        for part in self.encoder.modules():
            chosen = parts == "all" or (parts == "norms" and isinstance(part, nn.BatchNorm2d))
            for weights in part.parameters(recurse=False):
                weights.requires_grad_(chosen)
        return self.train(self.training)

    def train(self, mode: bool = True) -> ResNet18Classifier:
        """Training mode, but for an encoder that is frozen as a whole."""
        super().train(mode)
        if self._learning == "head":
            self.encoder.eval()
        return self


def _start(in_channels: int, weights: str | Path | ResNet18FPN | None) -> nn.Module:
    """The encoder to begin with."""
    if weights is None or weights == "imagenet":
        return resnet18_encoder(in_channels, weights)
    lender = weights if isinstance(weights, ResNet18FPN) else load_model(weights)
    if lender.in_channels != in_channels:
        raise InputError(
            f"in_channels is {in_channels}, and the encoder of weights takes {lender.in_channels}; "
            f"expected the same. Use in_channels={lender.in_channels}."
        )
    return copy.deepcopy(lender.encoder).cpu()
