"""The whole recipe on a tiny folder, and everything it should know before the first epoch."""

import json
import shlex
import shutil
import tracemalloc

import numpy as np
import pytest
import torch
from helpers import draw_discs, files_under, write_dataset
from safetensors import safe_open

from devotools import recipe as recipe_module
from devotools._validate import InputError
from devotools.datasets import read_dataset, split_by_embryo
from devotools.images import read_labels, write_labels, write_mask
from devotools.model import ResNet18FPN, load_model, save_model
from devotools.recipe import Recipe, train_on_folder
from devotools.train import History

QUICK = {"epochs": 1, "size": 32, "batch_size": 4, "val": 0.34, "device": "cpu"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("model") / "new" / "mine.safetensors"
    return out, *train_on_folder(data, out, Recipe(**QUICK))


@pytest.fixture
def no_training(monkeypatch):
    """What is wrong must be known before this is called."""
    monkeypatch.setattr(recipe_module, "fit", lambda *_: pytest.fail("it began to train"))


def test_it_trains_and_saves_what_can_be_loaded(trained):
    out, history, split = trained
    model = load_model(out)
    assert history.best_epoch == 1
    assert (model.working_side, len(split.train), len(split.val), split.test) == (48, 4, 2, [])
    assert model.working_nucleus == pytest.approx(2 * np.sqrt(81 / np.pi), abs=0.5)
    assert files_under(out.parent) == {"mine.safetensors"}


def test_the_card_says_how_it_was_made(trained):
    with safe_open(trained[0], framework="pt") as file:
        card = json.loads(file.metadata()["devotools"])
    assert card["architecture"] == "ResNet18FPN"
    assert card["devotools"]
    told = card["metadata"]
    assert told["recipe"]["size"] == 32
    assert told["validation_iou"] == round(trained[1].best_iou, 4)
    assert told["command"].startswith("devotools")
    assert (told["train_sections"], told["val_sections"]) == (4, 2)


def test_the_command_of_the_card_can_be_given_again(data, tmp_path, monkeypatch):
    words = ["devotools", "train", "--out", "my model.safetensors"]
    monkeypatch.setattr("sys.argv", words)
    train_on_folder(data, tmp_path / "m.safetensors", Recipe(**QUICK))
    assert shlex.split(load_model(tmp_path / "m.safetensors").metadata["command"]) == words


def test_the_same_seed_gives_the_same_model(trained, data, tmp_path):
    train_on_folder(data, tmp_path / "again.safetensors", Recipe(**QUICK))
    first, again = load_model(trained[0]), load_model(tmp_path / "again.safetensors")
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_it_goes_on_from_a_model_at_that_models_resolution(monkeypatch, data, tmp_path):
    model = ResNet18FPN()
    model.working_side, model.working_nucleus = 96, 21.0
    save_model(tmp_path / "start.safetensors", model)
    seen = {}

    def watch(model, train_loader, val_loader, config):
        seen.update(rate=config.learning_rate, val=next(iter(val_loader))[0].shape)
        seen.update(frozen=config.frozen_norm)
        return History()

    monkeypatch.setattr(recipe_module, "fit", watch)
    out = tmp_path / "out.safetensors"
    train_on_folder(data, out, Recipe(**QUICK, init=str(tmp_path / "start.safetensors")))
    assert seen == {"rate": 5e-4, "val": (2, 1, 96, 96), "frozen": True}
    train_on_folder(data, out, Recipe(**QUICK, learning_rate=0.1))
    assert seen == {"rate": 0.1, "val": (2, 1, 48, 48), "frozen": False}
    assert not out.exists()  # no epoch was finished


def test_an_interruption_saves_the_best_so_far(monkeypatch, data, tmp_path):
    history = History([1.0], [1.0], [0.5], [0.6], [1.0], best_epoch=1, interrupted=True)
    monkeypatch.setattr(recipe_module, "fit", lambda *_: history)
    train_on_folder(data, tmp_path / "out.safetensors", Recipe(**QUICK))
    assert load_model(tmp_path / "out.safetensors").metadata["best_epoch"] == 1


@pytest.mark.parametrize(("reached", "gained"), [(0.99, True), (0.0, False)])
def test_a_model_that_learned_already_is_scored_before(
    monkeypatch, data, trained, tmp_path, reached, gained
):
    """Else nobody knows whether the training did it any good."""
    history = History([1.0], [1.0], [reached], [0.6], [1.0], best_epoch=1)
    monkeypatch.setattr(recipe_module, "fit", lambda *_: history)
    said, begun = [], str(trained[0])
    recipe, out = Recipe(**QUICK, init=begun), tmp_path / "out.safetensors"
    train_on_folder(data, out, recipe, remark=said.append)
    before = said[0].partition("IoU ")[2].partition(" ")[0]
    assert float(before) == pytest.approx(trained[1].best_iou, abs=5e-4)
    assert [line.startswith("nothing was gained") for line in said[1:]] == (
        [] if gained else [True]
    )
    assert all(before in line and begun in line for line in said[1:])


def test_what_looks_wrong_is_said_before_training(monkeypatch, data, tmp_path):
    """Inverted masks, and an earlier model in the way of this one."""
    monkeypatch.setattr(recipe_module, "fit", lambda *_: History(interrupted=True))
    folder = shutil.copytree(data, tmp_path / "copy")
    pair = read_dataset(folder)[1]
    write_mask(pair.mask, np.ones((48, 48), bool))
    pair.labels.unlink()
    said, out = [], tmp_path / "out.safetensors"
    train_on_folder(folder, out, Recipe(**QUICK), remark=said.append)
    assert [pair.name in words and "are they inverted" in words for words in said] == [True]
    out.write_bytes(b"earlier")
    said.clear()
    train_on_folder(data, out, Recipe(**QUICK), remark=said.append)
    assert len(said) == 1
    assert "will be replaced" in said[0]
    assert out.read_bytes() == b"earlier"  # no epoch was finished


@pytest.mark.parametrize("side", ["training", "validation"])
def test_masks_without_a_nucleus_are_known_before_training(no_training, data, tmp_path, side):
    """With empty masks every model is perfect, and none has learned anything."""
    folder = shutil.copytree(data, tmp_path / "copy")
    split = split_by_embryo(read_dataset(folder), val=QUICK["val"], test=0.0, seed=0)
    for pair in split.train if side == "training" else split.val:
        write_mask(pair.mask, np.zeros((48, 48), bool))
        pair.labels.unlink(missing_ok=True)
    with pytest.raises(InputError, match=f"none of the .* {side} masks has a nucleus"):
        train_on_folder(folder, tmp_path / "out.safetensors", Recipe(**QUICK))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"val": 0.0}, r"val is 0\.0; expected more than 0"),
        ({"val": 0.9}, "there are 3 embryos; expected at least 4"),
        ({"init": "resnet"}, "model 'resnet' does not exist; expected"),
        ({"size": 8}, "size is 8; expected a whole number of at least 32"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"learning_rate": 0}, "learning_rate is 0; expected"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"workers": -1}, "workers is -1"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_settings_are_known_before_training(no_training, data, tmp_path, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        train_on_folder(data, tmp_path / "out.safetensors", Recipe(**QUICK | changes))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("out", "sentence"),
    [
        ("", "is a folder; expected a file"),
        ("model.pt", r"ends in '\.pt'; expected \.safetensors"),
        ("file/model.safetensors", r"cannot be written: .*file' is no folder.* Choose another"),
    ],
)
def test_a_target_that_cannot_be_written_is_known_at_once(no_training, tmp_path, out, sentence):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=sentence):
        train_on_folder(tmp_path / "nowhere", tmp_path / out, Recipe(**QUICK))


def test_bad_pictures_are_known_before_training(no_training, tmp_path):
    data, out = write_dataset(tmp_path / "data"), tmp_path / "out.safetensors"
    write_mask(data / "masks" / "e1_s0.png", np.eye(9) > 0)
    with pytest.raises(InputError, match=r"e1_s0\.png' has shape .* expected the same rows"):
        train_on_folder(data, out, Recipe(**QUICK, workers=2))
    write_mask(data / "masks" / "e1_s0.png", draw_discs(shape=(48, 48)) > 0)
    (data / "images" / "e1_s0.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(InputError, match=r"e1_s0\.png' is not an image"):
        train_on_folder(data, out, Recipe(**QUICK))


def test_masks_that_contradict_the_labels_are_known_before_training(no_training, tmp_path):
    """The masks are learned from: empty ones would make every empty answer perfect."""
    data = write_dataset(tmp_path / "data")
    write_mask(data / "masks" / "e1_s0.png", np.zeros((48, 48), bool))
    with pytest.raises(InputError, match=r"e1_s0\.png.* has 0 pixels of nucleus and label image"):
        train_on_folder(data, tmp_path / "out.safetensors", Recipe(**QUICK))


def test_labels_that_were_corrected_alone_are_remarked(monkeypatch, tmp_path):
    monkeypatch.setattr(recipe_module, "fit", lambda *_: History(interrupted=True))
    data, said = write_dataset(tmp_path / "data"), []
    pair = read_dataset(data)[0]
    labels = read_labels(pair.labels)
    write_labels(pair.labels, np.where(labels == 1, 0, labels))
    train_on_folder(data, tmp_path / "out.safetensors", Recipe(**QUICK), remark=said.append)
    assert len(said) == 1
    assert f"masks/ and labels/ differ, for example in {pair.name!r}" in said[0]


def test_ids_may_be_large(tmp_path):
    """What measures nuclei takes memory for every number up to the largest."""
    data = write_dataset(tmp_path / "data")
    pair = read_dataset(data)[0]
    plain = recipe_module._diameters(pair)
    labels = read_labels(pair.labels)
    write_labels(pair.labels, np.where(labels > 0, labels + 2_000_000_000, 0).astype(np.int32))
    tracemalloc.start()
    assert recipe_module._diameters(pair) == plain
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()


def test_a_model_for_colour_is_refused(no_training, data, tmp_path):
    save_model(tmp_path / "rgb.safetensors", ResNet18FPN(3))
    with pytest.raises(InputError, match="takes 3 channels"):
        train_on_folder(
            data, tmp_path / "o.safetensors", Recipe(**QUICK, init=tmp_path / "rgb.safetensors")
        )


def test_a_training_that_diverges_keeps_the_best_weights(monkeypatch, tmp_path):
    data, out = write_dataset(tmp_path / "data"), tmp_path / "out.safetensors"
    given = iter([(1.0, 0.5, 0.6), (float("nan"), 0.0, 0.0)] * 2)
    monkeypatch.setattr("devotools.train.validate", lambda *_, **__: next(given))
    with pytest.raises(InputError, match=r"scores of epoch 2 are nan.* best was epoch 1, saved as"):
        train_on_folder(data, out, Recipe(**QUICK | {"epochs": 3}))
    assert load_model(out).metadata
    out.unlink()
    monkeypatch.setattr("devotools.train.validate", lambda *_, **__: (float("nan"), 0.0, 0.0))
    with pytest.raises(InputError, match=r"scores of epoch 1 are nan"):
        train_on_folder(data, out, Recipe(**QUICK))
    assert not out.exists()
