"""The loop: it learns, keeps the best, survives a stop, and leaves the model as it found it."""

import math

import numpy as np
import pytest
import torch
from helpers import draw_discs, picture_of
from torch import nn

from devotools import train as train_module
from devotools._validate import InputError
from devotools.losses import segmentation_loss
from devotools.metrics import dice_score, iou_score
from devotools.model import ResNet18FPN
from devotools.train import History, TrainConfig, fit, validate

CPU = torch.device("cpu")


def a_batch(number=2):
    labels = [draw_discs([(16 + 3 * n, 20), (44, 40)], 8) for n in range(number)]
    images = np.stack([picture_of(one) for one in labels])[:, None]
    masks = np.stack([one > 0 for one in labels])[:, None]
    return torch.from_numpy(images), torch.from_numpy(masks).float()


def config(**changes):
    return TrainConfig(**({"epochs": 3, "device": "cpu", "progress": False} | changes))


def tiny(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_one_batch_is_learned_by_heart():
    torch.manual_seed(0)
    batch, model = a_batch(), ResNet18FPN()
    history = fit(model, [batch] * 12, [batch], config(epochs=3))
    assert history.train_loss[-1] < 0.6 * history.train_loss[0]
    assert history.best_iou > 0.8
    assert validate(model, [batch], CPU)[1] == history.best_iou


def test_history_is_whole():
    batch = a_batch()
    history = fit(tiny(), [batch, batch], [batch], config())
    lengths = {len(values) for name, values in history.to_dict().items() if name in LISTS}
    assert lengths == {3}
    assert 1 <= history.best_epoch <= 3
    assert history.best_iou == max(history.val_iou)
    assert not history.interrupted
    assert all(seconds > 0 for seconds in history.seconds)


LISTS = ("train_loss", "val_loss", "val_iou", "val_dice", "seconds")


def scripted(monkeypatch, scores):
    """Let the validation scores be ``scores``; collect the weights that were judged."""
    judged = []

    def judge(model, *_, **__):
        judged.append(weights(model))
        return 0.0, scores[len(judged) - 1], 0.0

    monkeypatch.setattr(train_module, "validate", judge)
    return judged


@pytest.mark.parametrize(
    ("scores", "best"),
    [([0.1, 0.9, 0.5], 2), ([0.9, 0.1, 0.2], 1), ([0.3, 0.3, 0.3], 1), ([0.0, 0.0, 0.1], 3)],
)
@pytest.mark.parametrize("averaging", [0.0, 0.5])
def test_the_best_weights_are_kept(monkeypatch, scores, best, averaging):
    judged = scripted(monkeypatch, scores)
    model = tiny()
    history = fit(model, [a_batch()], [a_batch()], config(averaging=averaging))
    assert history.best_epoch == best
    assert same(weights(model), judged[best - 1])
    assert not same(judged[0], judged[1])


def test_averaged_weights_are_what_is_judged(monkeypatch):
    judged = scripted(monkeypatch, [0.1, 0.2, 0.3])
    fit(tiny(), [a_batch()], [a_batch()], config(averaging=0.9))
    plain = scripted(monkeypatch, [0.1, 0.2, 0.3])
    fit(tiny(), [a_batch()], [a_batch()], config())
    assert not same(judged[2], plain[2])


@pytest.mark.parametrize("training", [True, False])
def test_modes_come_back(training):
    model = tiny().train(training)
    model[1].eval()
    fit(model, [a_batch()], [a_batch()], config(epochs=1))
    assert model.training is training
    assert model[1].training is False
    assert model[0].training is training


@pytest.mark.parametrize("frozen", [True, False])
def test_batch_norm_keeps_its_statistics_if_told_and_its_weights_learn(frozen):
    model = tiny()
    before = weights(model)
    fit(model, [a_batch(), a_batch()], [a_batch()], config(frozen_norm=frozen))
    after = weights(model)
    kept = torch.equal(before["1.running_mean"], after["1.running_mean"])
    assert kept is frozen
    assert not torch.equal(before["1.weight"], after["1.weight"])
    assert all(module.training for module in model.modules())  # as it came


def test_the_same_seed_gives_the_same_weights():
    first, again, other = tiny(1), tiny(1), tiny(2)
    histories = [fit(m, [a_batch()], [a_batch()], config()) for m in (first, again, other)]
    assert same(weights(first), weights(again))
    assert histories[0].train_loss == histories[1].train_loss != histories[2].train_loss


def test_one_step_of_one_picture_is_enough():
    batch = tuple(part[:1] for part in a_batch())
    assert fit(ResNet18FPN(), [batch], [batch], config(epochs=1)).best_epoch == 1


class Loader:
    """Batches, with something happening before number ``at`` (counted over all epochs)."""

    def __init__(self, happens, at, length=2):
        self.happens, self.at, self.length, self.given = happens, at, length, 0

    def __len__(self):
        return self.length

    def __iter__(self):
        for _ in range(self.length):
            if self.given == self.at:
                yield self.happens()
            self.given += 1
            yield a_batch()


def stop():
    raise KeyboardInterrupt


@pytest.mark.parametrize(("at", "finished"), [(0, 0), (1, 0), (3, 1), (5, 2)])
def test_a_stop_in_training_keeps_the_best_weights(monkeypatch, at, finished):
    judged = scripted(monkeypatch, [0.5, 0.4, 0.3])
    model = tiny().eval()
    start = weights(model)
    history = fit(model, Loader(stop, at), [a_batch()], config())
    assert history.interrupted
    assert {len(getattr(history, name)) for name in LISTS} == {finished}
    assert history.best_epoch == min(finished, 1)
    assert same(weights(model), judged[0] if finished else start)
    assert math.isnan(history.best_iou) == (not finished)
    assert not model.training


def test_a_stop_in_validation_keeps_the_best_weights():
    model = tiny()
    history = fit(model, [a_batch()], Loader(stop, at=1, length=1), config())
    assert history.interrupted
    assert {len(getattr(history, name)) for name in LISTS} == {1}
    assert model.training


def test_a_loss_that_is_no_number_is_an_error_and_the_best_is_kept(monkeypatch):
    judged = scripted(monkeypatch, [0.5, 0.6, 0.7])
    model = tiny()

    def not_a_number():
        images, masks = a_batch()
        return images * float("nan"), masks

    with pytest.raises(InputError, match=r"loss is not a number after 2 steps .*learning_rate"):
        fit(model, Loader(not_a_number, at=3), [a_batch()], config())
    assert same(weights(model), judged[0])
    assert all(torch.isfinite(value).all() for value in weights(model).values())


def test_validation_scores_that_are_no_numbers_are_an_error():
    images, masks = a_batch()
    model, before = tiny(), weights(tiny())
    with pytest.raises(InputError, match=r"validation scores of epoch 1 .*nan.* learning_rate"):
        fit(model, [a_batch()], [(images * float("nan"), masks)], config())
    assert same(weights(model), before)


def test_the_clock_stops_it():
    history = fit(tiny(), [a_batch()], [a_batch()], config(epochs=50, max_minutes=1e-9))
    assert len(history.seconds) == history.best_epoch == 1
    assert not history.interrupted


def test_progress_is_reported(capsys):
    fit(tiny(), [a_batch()], [a_batch()], config(progress=True))
    assert "validation IoU" in capsys.readouterr().err
    fit(tiny(), [a_batch()], [a_batch()], config())
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("train_loader", "val_loader", "sentence"),
    [
        ([1], None, r"val_loader is None; expected a DataLoader.*split_by_embryo"),
        (None, [1], "train_loader is None"),
        ([], [1], "train_loader has no batch; expected at least one. Give more pictures"),
        ([1], [], "val_loader has no batch"),
        (iter([1]), [1], "train_loader is a list_iterator, .* expected a DataLoader"),
    ],
)
def test_loaders_that_give_nothing_are_refused(train_loader, val_loader, sentence):
    with pytest.raises(InputError, match=sentence):
        fit(tiny(), train_loader, val_loader, config())


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("epochs", 0),
        ("epochs", 1.5),
        ("learning_rate", 0),
        ("learning_rate", float("nan")),
        ("weight_decay", -1),
        ("averaging", 1.5),
        ("max_minutes", 0),
    ],
)
def test_settings_are_checked_at_once(setting, value):
    with pytest.raises(InputError, match=f"{setting} is {value}; expected"):
        TrainConfig(**{setting: value})


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="device is 'tpu'"):
        fit(tiny(), [a_batch()], [a_batch()], config(device="tpu"))


def test_validation_scores_agree_with_the_metrics():
    class Through(nn.Module):
        def forward(self, image):
            return image

    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 1, 12, 9, generator=generator)
    masks = (torch.rand(5, 1, 12, 9, generator=generator) > 0.6).float()
    logits[3], masks[3] = -1, 0  # empty against empty
    logits[4] = -1  # nothing against something
    batches = [(logits[:3], masks[:3]), (logits[3:], masks[3:])]
    loss, iou, dice = validate(Through(), batches, CPU)
    predicted, true = logits[:, 0].numpy() >= 0, masks[:, 0].numpy() > 0
    assert iou == pytest.approx(np.mean(list(map(iou_score, true, predicted))))
    assert dice == pytest.approx(np.mean(list(map(dice_score, true, predicted))))
    losses = [float(segmentation_loss(*two)) * len(two[0]) for two in batches]
    assert loss == pytest.approx(sum(losses) / 5, rel=1e-5)


def test_an_empty_history_has_no_best():
    assert math.isnan(History().best_iou)
