"""The quick copy of a network predicts what the network predicts."""

import numpy as np
import pytest
import torch

import devotools.inference as inference
from devotools import ResNet18FPN, label_nuclei, load_model, predict_probability
from devotools.inference import fold_batch_norm, for_prediction
from devotools.runtime import has_fast_bfloat16
from devotools.synthetic import draw_section


@pytest.fixture(scope="module")
def trained():
    """A network whose batch norms are far from where they started."""
    torch.manual_seed(0)
    model = ResNet18FPN().train()
    for _ in range(3):
        model(torch.rand(2, 1, 64, 64) * 3)
    for name, parameter in model.named_parameters():
        if ".bn" in name or name.startswith("bn"):
            torch.nn.init.uniform_(parameter.data, 0.5, 1.5)
    return model.eval()


def test_folded_network_is_the_same_function(trained):
    pictures = torch.rand(3, 1, 70, 90)
    with torch.inference_mode():
        torch.testing.assert_close(
            fold_batch_norm(trained)(pictures), trained(pictures), rtol=1e-4, atol=1e-4
        )


def test_copy_is_kept_until_a_weight_changes(trained):
    first = for_prediction(trained)
    assert for_prediction(trained) is first
    with torch.no_grad():
        trained.head[-1].bias += 3
    second = for_prediction(trained)
    assert second is not first
    picture = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        dtype = next(second.parameters()).dtype
        rise = (second(picture.to(dtype)) - first(picture.to(dtype))).mean()
    assert float(rise) == pytest.approx(3, abs=0.05)


@pytest.mark.parametrize("change", ["step", "load", "statistics"])
def test_every_way_to_change_a_model_changes_what_it_predicts(change):
    torch.manual_seed(1)
    model, image = ResNet18FPN(), np.random.default_rng(0).random((64, 64), dtype=np.float32)
    before = predict_probability(model, image)
    if change == "step":
        optimizer = torch.optim.SGD(model.parameters(), lr=10.0)
        model.train()(torch.rand(2, 1, 64, 64)).mean().backward()
        optimizer.step()
    elif change == "load":
        model.load_state_dict(ResNet18FPN().state_dict())
    else:
        model.train()(torch.rand(2, 1, 64, 64) * 20)
    assert not np.array_equal(predict_probability(model, image), before)


def test_the_model_itself_stays_as_it_is(trained):
    names = list(trained.state_dict())
    trained.train()
    for_prediction(trained)
    assert trained.training
    assert list(trained.state_dict()) == names
    assert next(trained.parameters()).dtype == torch.float32
    trained.eval()


def test_unknown_networks_are_not_touched():
    class Other(ResNet18FPN):
        """It might call its layers in another order."""

    for network in (Other(), torch.nn.Conv2d(1, 1, 1)):
        assert for_prediction(network) is network


def test_bfloat16_can_be_switched_off(trained, monkeypatch):
    monkeypatch.setenv("DEVOTOOLS_BFLOAT16", "0")
    assert not has_fast_bfloat16(torch.device("cpu"))
    assert next(for_prediction(trained).parameters()).dtype == torch.float32


def test_sixteen_bits_change_a_handful_of_pixels_at_most(monkeypatch):
    model = load_model("nuclei")
    changed = total = 0
    for seed in range(4):
        image, _ = draw_section(3_700_000 + seed)
        labels = []
        for precision in (torch.bfloat16, torch.float32):
            fast = precision is torch.bfloat16
            monkeypatch.setattr("devotools.inference.has_fast_bfloat16", lambda device, f=fast: f)
            labels.append(label_nuclei(predict_probability(model, image)) > 0)
        changed += int((labels[0] != labels[1]).sum())
        total += labels[0].size
    assert changed <= total / 1000


@pytest.mark.parametrize("shape", [(96, 416), (416, 96), (290, 300)])
def test_tiles_together_are_the_whole(shape, monkeypatch):
    torch.manual_seed(2)
    network = fold_batch_norm(ResNet18FPN())
    batch = torch.rand(1, 1, *shape)
    with torch.inference_mode():
        whole = network(batch)
        monkeypatch.setattr(inference, "TILE", 32)
        monkeypatch.setattr(inference, "HALO", 64)
        rough = inference._in_tiles(network, batch)
        monkeypatch.setattr(inference, "HALO", 288)
        monkeypatch.setattr(inference, "_pieces", lambda side: pieces(side, 32, 288))
        exact = inference._in_tiles(network, batch)
    assert rough.shape == exact.shape == whole.shape
    torch.testing.assert_close(exact, whole, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(rough, whole, rtol=1e-4, atol=1e-4)  # a small halo is seen


def pieces(side, tile, halo):
    """As the module cuts, but also where the picture is smaller than what is seen of it."""
    return [
        ((at, min(at + tile, side)), (max(at - halo, 0), min(at + tile + halo, side)))
        for at in range(0, side, tile)
    ]
