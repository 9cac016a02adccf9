"""Classifiers on disk: only what differs from the encoder that the shipped model has already."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from devotools._validate import InputError
from devotools.classification.classifier import ResNet18Classifier
from devotools.classification.crops import MOST_CONTEXT, STATES
from devotools.model import (
    PRECISIONS,
    check_published,
    find_weights,
    load_model,
    read_checkpoint,
    weights_of,
    write_checkpoint,
)
from devotools.runtime import choose_device

SHIPPED = ("states",)  # names that load_classifier knows, files in devotools/weights/
FORMAT = "devotools-classifier-1"
BASE = "nuclei"  # the shipped model whose encoder need not be stored again


def save_classifier(
    path: str | Path, model: ResNet18Classifier, metadata: Mapping[str, Any] | None = None
) -> None:
    """Save a classifier and ``metadata`` (anything JSON can hold) as one safetensors file.

    Context, temperature and limit are stored as well. Tensors that are those of the shipped
    model's encoder are left out, and the SHA-256 of that encoder is noted: where only the last
    layer was trained, the file has a few kilobytes. The file is whole or not there at all. Raises
    :class:`~devotools._validate.InputError` as :func:`~devotools.save_model`.
    """
    known, own = _base_weights(model), weights_of(model)
    left = {name: value for name, value in own.items() if not _same(value, known.get(name))}
    card = {
        "format": FORMAT,
        "devotools": importlib.metadata.version("devotools"),
        "architecture": "ResNet18Classifier",
        "in_channels": model.in_channels,
        "classes": model.classes,
        "states": list(STATES[: model.classes]),
        "context": model.context,
        "temperature": model.temperature,
        "limit": model.limit,
        "base": encoder_sum(known) if len(left) < len(own) else None,
        "metadata": dict(metadata or {}),
    }
    write_checkpoint(path, card, left)


def load_classifier(
    name_or_path: str | Path = "states", device: str | torch.device | None = None
) -> ResNet18Classifier:
    """Load the shipped classifier, "states", or your own by its path: float32, in eval mode.

    Works offline; only safetensors files are read, so loading never runs code, and the shipped
    file must have the SHA-256 that was published with it. ``device`` as in
    :func:`~devotools.load_model`. Raises :class:`~devotools._validate.InputError` for files that
    are no classifiers of devotools, are damaged, or belong to another encoder than the shipped
    model has. Taught in lesson 07.
    """
    path = find_weights(name_or_path, SHIPPED)
    if str(name_or_path) in SHIPPED:
        check_published(path, "tools/make_classifier.py")
    card, tensors = read_checkpoint(path, _read_card, _check_shapes)
    model = ResNet18Classifier(card["in_channels"], card["classes"])
    base = {}
    if card["base"] is not None:
        base = _base_weights(model)
        _check_base(path, card["base"], encoder_sum(base))
    model.load_state_dict(base | tensors, strict=False)
    model.context, model.temperature, model.limit = (
        float(card[name]) for name in ("context", "temperature", "limit")
    )
    model.metadata = card["metadata"]
    return model.eval().to(choose_device(str(device)) if device is not None else "cpu")


def encoder_sum(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of an encoder's weights as float32, by their names in order."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _base_weights(model: ResNet18Classifier) -> dict[str, Tensor]:
    """The shipped encoder's weights by their names here; none where it takes other channels."""
    base = load_model(BASE)
    if base.in_channels != model.in_channels:
        return {}
    return weights_of(nn.ModuleDict({"encoder": base.encoder}))


def _same(value: Tensor, known: Tensor | None) -> bool:
    return known is not None and torch.equal(value.detach().cpu().float(), known)


def _check_base(path: Path, said: str, here: str) -> None:
    if said != here:
        raise InputError(
            f"classifier {str(path)!r} belongs to an encoder with the SHA-256 {said[:16]}..., and "
            f"the shipped model {BASE!r} has {here[:16]}...; expected the same. Use the version of "
            "devotools it was trained with, or train it again (tools/make_classifier.py)."
        )


def _read_card(path: Path, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    try:
        card = json.loads((metadata or {})["devotools"])
        known = card["format"] == FORMAT and card["architecture"] == "ResNet18Classifier"
        known &= all(
            type(n) is int and 1 <= n <= 1024 for n in (card["in_channels"], card["classes"])
        )
        known &= all(isinstance(card[name], (int, float)) for name in ("context", "limit"))
        known &= 1 <= card["context"] <= MOST_CONTEXT and 0 <= card["limit"] <= 1
        known &= isinstance(card["temperature"], (int, float)) and 0 < card["temperature"] < 1e3
        known &= card["base"] is None or isinstance(card["base"], str)
        known &= isinstance(card["metadata"], dict)
    except (KeyError, TypeError, ValueError, RecursionError):  # JSON may be broken in many ways
        known = False
    if not known:
        raise _wrong(path, "it carries no description of one")
    return card


def _check_shapes(
    path: Path, card: Mapping[str, Any], said: Mapping[str, tuple[tuple[int, ...], str]]
) -> None:
    """Compare what a file says of its weights with the network that it claims to hold."""
    with torch.device("meta"):  # shapes only, no memory
        expected = weights_of(ResNet18Classifier(card["in_channels"], card["classes"]))
    strange = sorted(said.keys() - expected.keys())
    missing = sorted(expected.keys() - said.keys())
    if card["base"] is not None:  # what lies in the shipped encoder may be missing
        missing = [name for name in missing if not name.startswith("encoder.")]
    if strange or missing:
        raise _wrong(path, f"layer {(strange + missing)[0][:80]!r} is one too many, or missing")
    for name, (shape, precision) in said.items():
        wanted = tuple(expected[name].shape)
        if shape != wanted or precision not in PRECISIONS:
            raise _wrong(
                path, f"layer {name!r} is {precision} of shape {shape}, not numbers of {wanted}"
            )


def _wrong(path: Path, why: str) -> InputError:
    return InputError(
        f"{str(path)!r} is not a classifier of devotools: {why}. Expected a file written by "
        "devotools.save_classifier (for models that find nuclei there is load_model)."
    )
