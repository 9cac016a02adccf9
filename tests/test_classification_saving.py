"""Classifiers on disk: small, whole, and refused where they do not belong."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import devotools.classification.saving as saving
from devotools._validate import InputError
from devotools.classification import ResNet18Classifier, load_classifier, save_classifier
from devotools.model import ResNet18FPN, save_model


@pytest.fixture(scope="module")
def from_nuclei():
    torch.manual_seed(0)
    model = ResNet18Classifier(weights="nuclei").eval()
    model.context, model.temperature, model.limit = 3.0, 1.7, 0.8
    return model


@pytest.fixture(scope="module")
def saved(from_nuclei, tmp_path_factory):
    path = tmp_path_factory.mktemp("classifier") / "mine.safetensors"
    save_classifier(path, from_nuclei, {"note": "a test"})
    return path


@torch.inference_mode()
def logits(model):
    return model(torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(1)))


def test_what_was_saved_comes_back(from_nuclei, saved):
    again = load_classifier(saved)
    torch.testing.assert_close(logits(again), logits(from_nuclei))
    assert (again.context, again.temperature, again.limit) == (3.0, 1.7, 0.8)
    assert again.metadata == {"note": "a test"}
    assert not again.training


def test_only_what_differs_from_the_shipped_encoder_is_stored(from_nuclei, saved, tmp_path):
    assert set(load_file(saved)) == {"head.weight", "head.bias"}
    assert saved.stat().st_size < 10_000
    changed = load_classifier(saved)
    changed.encoder.layer4[1].bn2.bias.data += 1
    save_classifier(tmp_path / "norm.safetensors", changed)
    assert set(load_file(tmp_path / "norm.safetensors")) == {
        "head.weight",
        "head.bias",
        "encoder.layer4.1.bn2.bias",
    }
    torch.testing.assert_close(
        logits(load_classifier(tmp_path / "norm.safetensors")), logits(changed)
    )


@pytest.mark.parametrize("arguments", [{}, {"in_channels": 3, "classes": 4}])
def test_one_of_another_origin_is_stored_whole(tmp_path, arguments):
    model = ResNet18Classifier(**arguments).eval()
    save_classifier(tmp_path / "own.safetensors", model)
    again = load_classifier(tmp_path / "own.safetensors")
    crops = torch.rand(2, model.in_channels, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(again(crops), model(crops))


def card_of(path):
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["devotools"])


def rewritten(saved, path, tensors=None, **changes):
    card = {k: v for k, v in (card_of(saved) | changes).items() if v != "gone"}
    save_file(
        load_file(saved) if tensors is None else tensors, path, {"devotools": json.dumps(card)}
    )
    return path


def test_another_encoder_is_refused(saved, tmp_path):
    path = rewritten(saved, tmp_path / "a.safetensors", base="0" * 64)
    with pytest.raises(
        InputError, match=r"belongs to an encoder with the SHA-256 0000000000000000\.\.\., and the"
    ):
        load_classifier(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "other"},
        {"architecture": "ResNet18FPN"},
        {"classes": 0},
        {"in_channels": True},
        {"context": 0.5},
        {"limit": 2},
        {"temperature": 0},
        {"temperature": "hot"},
        {"base": 7},
        {"metadata": []},
        {"base": "gone"},
        {"limit": None},
    ],
)
def test_a_description_that_cannot_be_is_refused(saved, tmp_path, changes):
    path = rewritten(saved, tmp_path / "a.safetensors", **changes)
    with pytest.raises(InputError, match="is not a classifier of devotools: it carries no"):
        load_classifier(path)


def test_layers_that_do_not_belong_are_refused(saved, tmp_path):
    tensors = load_file(saved)
    for change, sentence in (
        ({"more": torch.zeros(1)}, "layer 'more' is one too many, or missing"),
        (
            {"head.bias": torch.zeros(3)},
            r"layer 'head.bias' is F32 of shape \(3,\), not numbers of",
        ),
        ({"head.bias": torch.zeros(2).int()}, "layer 'head.bias' is I32"),
        ({"head.bias": torch.full((2,), float("nan"))}, "NaN or infinity in 1 layers"),
    ):
        path = rewritten(saved, tmp_path / "a.safetensors", tensors | change)
        with pytest.raises(InputError, match=sentence):
            load_classifier(path)
    del tensors["head.bias"]
    with pytest.raises(InputError, match=r"layer 'head\.bias' is one too many, or missing"):
        load_classifier(rewritten(saved, tmp_path / "a.safetensors", tensors))
    path = rewritten(saved, tmp_path / "a.safetensors", base=None)
    with pytest.raises(InputError, match="layer 'encoder"):
        load_classifier(path)


def test_files_that_are_no_classifiers_are_refused(tmp_path):
    save_model(tmp_path / "finder.safetensors", ResNet18FPN())
    with pytest.raises(InputError, match=r"is not a classifier .*there is load_model"):
        load_classifier(tmp_path / "finder.safetensors")
    with pytest.raises(InputError, match=r"does not exist; expected .* shipped model: states"):
        load_classifier("mine")
    (tmp_path / "cut.safetensors").write_bytes(b"abc")
    with pytest.raises(InputError, match="cannot be read"):
        load_classifier(tmp_path / "cut.safetensors")
    torch.save({}, tmp_path / "old.pt")
    with pytest.raises(InputError, match="is a pickle"):
        load_classifier(tmp_path / "old.pt")


def test_what_json_cannot_hold_is_refused(from_nuclei, tmp_path):
    with pytest.raises(InputError, match="metadata cannot be stored"):
        save_classifier(tmp_path / "a.safetensors", from_nuclei, {"path": tmp_path})
    assert not list(tmp_path.iterdir())


def test_the_shipped_one_has_its_sum(saved, tmp_path, monkeypatch):
    path = tmp_path / "states.safetensors"
    path.write_bytes(saved.read_bytes())
    (tmp_path / "SHA256SUMS").write_text("0" * 64 + "  states.safetensors\n")
    monkeypatch.setattr(saving, "find_weights", lambda *_: path)
    with pytest.raises(InputError, match=r"'states' has the SHA-256 .*tools/make_classifier\.py"):
        load_classifier("states")
