"""The training of the shipped model: from drawings alone, and resumable without a trace."""

import argparse
import hashlib
import sys
from dataclasses import replace

import make_weights
import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation

from devotools import InputError, load_model, save_model
from devotools.synthetic import draw_section

SETTINGS = {"steps": 3, "pool": 6, "validation": 2, "learning_rate": 1e-3, "averaging": 0.9}
USUAL = {"seed": 0, "start": None, "device": "cpu", "first": 0, "smooth": 1.0, "muon": 0.02}
WHOLE = {"crops": 2, "side": 96, "faint": 0.5, "frayed": 0.0}


@pytest.fixture
def small(monkeypatch):
    """Training on 64-pixel crops, two at a time, with a pool of six drawings."""
    monkeypatch.setattr(make_weights, "SIZE", 64)
    monkeypatch.setattr(make_weights, "BATCH", 2)
    drawn = [make_weights.draw_one(number) for number in range(6)]
    images, labels = (np.stack(part) for part in zip(*drawn, strict=True))
    return make_weights.Drawings(images, labels, seed=0)


def settings(**changes):
    return argparse.Namespace(**(SETTINGS | USUAL | WHOLE | changes))


def learn(training, drawings, steps):
    for _ in range(steps):
        training.learn(*drawings.batch(training.step))


@pytest.mark.parametrize("muon", [0.02, 0.0])
def test_resumed_training_is_the_undisturbed_one(small, tmp_path, muon):
    undisturbed = make_weights.Training(settings(muon=muon))
    learn(undisturbed, small, 3)

    killed = make_weights.Training(settings(muon=muon))
    learn(killed, small, 1)
    killed.save(tmp_path / "checkpoint.safetensors")
    resumed = make_weights.Training(settings(muon=muon))
    assert resumed.resume(tmp_path / "checkpoint.safetensors")
    assert resumed.step == 1
    learn(resumed, small, 2)

    for part in ("model", "averaged"):
        expected = getattr(undisturbed, part).state_dict()
        for name, value in getattr(resumed, part).state_dict().items():
            torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_other_settings_do_not_forget_it(small, tmp_path):
    checkpoint = tmp_path / "checkpoint.safetensors"
    make_weights.Training(settings(crops=1)).save(checkpoint)
    other = make_weights.Training(settings(learning_rate=2e-3))
    with pytest.raises(InputError, match=r"step 0 of another training.* --crops 1 .*--fresh"):
        other.resume(checkpoint)
    assert not other.resume(tmp_path / "nothing.safetensors")
    earlier = make_weights.Training(settings())
    del earlier.settings["muon"]
    earlier.save(checkpoint)
    with pytest.raises(InputError, match=r"step 0 .*earlier version .*Check out .*--fresh"):
        other.resume(checkpoint)


def test_training_can_begin_with_weights_and_says_with_which(small, tmp_path):
    begun = make_weights.ResNet18FPN()
    origin = {"command": "python tools/make_weights.py", "commit": "abc", "minutes": 7.0}
    save_model(tmp_path / "begun.safetensors", begun, origin)
    training = make_weights.Training(settings(start=str(tmp_path / "begun.safetensors")))
    assert training.start == origin | {"start": None}
    expected = begun.state_dict()
    for name, value in training.model.state_dict().items():
        assert torch.equal(value, expected[name]), name
    learn(training, small, 1)
    assert not torch.equal(training.model.state_dict()["head.0.weight"], expected["head.0.weight"])


def test_a_batch_follows_from_its_number(small):
    images, masks = small.batch(5)
    assert images.shape == masks.shape == (2, 1, 64, 64)
    assert torch.equal(images, small.batch(5)[0])
    assert not torch.equal(images, small.batch(6)[0])


def test_after_the_crops_come_whole_sections(small):
    drawings = make_weights.Drawings(small.images, small.labels, 0, crops=2, side=96)
    sizes = [tuple(images.shape) for images, _ in drawings.batches(0, 4)]
    assert sizes == [(2, 1, 64, 64)] * 2 + [(1, 1, 96, 96)] * 2  # half as many as crops
    assert torch.equal(drawings.batch(1)[0], small.batch(1)[0])
    nuclei = (small.labels > 0).mean()
    seen = np.mean([drawings.batch(step)[1].mean() for step in range(2, 42)])
    assert seen == pytest.approx(nuclei, rel=0.35)  # nothing is enlarged, or cut away, but a little


def test_a_pooled_drawing_is_the_section_of_that_number():
    image, labels = make_weights.draw_one(12)
    drawn, true = draw_section(12, make_weights.SIZE)
    np.testing.assert_allclose(image / 255, drawn, atol=0.5 / 255 + 1e-6)
    np.testing.assert_array_equal(labels, true)


def test_a_share_of_the_pool_has_fainter_nuclei():
    def contrast(faint):
        """Of nuclei over what lies around them, in half of 24 sections."""
        found = []
        for number in range(1, 24, 2):
            image, labels = make_weights.draw_one(number, faint)
            around = binary_dilation(labels > 0, iterations=6) & (labels == 0)
            if labels.any():
                found.append(image[labels > 0].mean() - image[around].mean())
        return np.mean(found)

    assert contrast(faint=0.5) < 0.9 * contrast(faint=0.0)
    for number in range(0, 24, 2):  # the other half is as ever
        usual, mixed = (make_weights.draw_one(number, faint)[0] for faint in (0.0, 0.5))
        np.testing.assert_array_equal(usual, mixed)


@pytest.mark.parametrize(("factor", "frayed"), [("holes", 0.0), ("frayed", 0.5)])
def test_the_faint_share_has_torn_holes_and_at_will_frayed_rims(factor, frayed):
    whole = replace(make_weights.FAINT, **{factor: (0.0, 0.0)})
    torn = [
        not np.array_equal(make_weights.draw_one(n, 1.0, frayed)[0], np.round(255 * image))
        for n, (image, _) in ((n, draw_section(n, make_weights.SIZE, whole)) for n in range(6))
    ]
    assert any(torn)


def test_frayed_rims_without_faint_drawings_are_refused(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["make_weights.py", "--frayed", "0.5", "--faint", "0"])
    with pytest.raises(SystemExit, match="--faint 0 asks for none"):
        make_weights.main()


def test_muon_trains_the_convolutions_and_adamw_the_rest(small):
    training = make_weights.Training(settings())
    before = make_weights.clone(training.model)
    learn(training, small, 1)
    adamw, muon = (part.param_groups[0]["params"] for part, _ in training.optimizer.parts)
    assert sum(p.numel() for p in (*adamw, *muon)) == sum(
        p.numel() for p in training.model.parameters()
    )
    names, gains = {id(weight) for weight, _ in training.optimizer.convolutions}, []
    for name, weight in training.model.named_parameters():
        if id(weight) not in names:
            assert weight.ndim == 1 or 1 in weight.shape[:2], name
        else:  # the step goes in more directions than the gradient
            gains.append(directions(weight.detach() - before[name]) / directions(weight.grad))
    assert min(gains) > 1
    assert np.mean(gains) > 2


def directions(change):
    """In how many directions of the matrix a change goes (its stable rank)."""
    sizes = torch.linalg.svdvals(change.flatten(1))
    return float((sizes**2).sum() / sizes.max() ** 2)


def test_without_muon_adamw_trains_everything():
    optimizer = make_weights.Training(settings(muon=0.0)).optimizer
    assert not optimizer.convolutions
    assert len(optimizer.parts) == 1


@pytest.mark.parametrize(("quick", "muon", "said"), [(True, 0.02, ""), (False, 0.0, "--muon 0")])
def test_where_bfloat16_is_slow_adamw_trains_everything(quick, muon, said, monkeypatch, capsys):
    monkeypatch.setattr(make_weights, "has_fast_bfloat16", lambda _: quick)
    arguments = make_weights.suited(make_weights.parse_arguments(["--device", "cpu"]))
    assert arguments.muon == muon
    assert said in capsys.readouterr().out
    same = {key: getattr(arguments, key) for key in make_weights.SETTINGS}
    assert ("--muon 0.0" in make_weights.command(same)) is not quick


def test_the_learning_rate_warms_up_and_falls():
    rates = [make_weights.one_cycle(done) for done in np.linspace(0, 1, 101)]
    assert max(rates) == pytest.approx(1.0)
    assert rates.index(max(rates)) == 10
    assert rates[0] < 0.1
    assert rates[-1] < 0.01


def test_the_shipped_model_says_where_it_comes_from():
    model = load_model("nuclei")
    assert model.metadata["data"].startswith("drawn embryos only")
    assert model.metadata["command"].startswith("python tools/make_weights.py")
    assert str(model.working_side) in model.metadata["working_sides"]
    assert model.working_nucleus > 5


def test_the_stored_command_names_only_what_differs():
    usual = make_weights.parse_arguments([])
    same = {key: getattr(usual, key) for key in make_weights.SETTINGS}
    assert make_weights.command(same) == "python tools/make_weights.py"
    assert make_weights.command(same | {"steps": 9, "learning_rate": 0.5}) == (
        "python tools/make_weights.py --steps 9 --learning-rate 0.5"
    )


def test_what_half_precision_cannot_hold_stays():
    model = make_weights.ResNet18FPN()
    variance = model.head[1].running_var
    variance.fill_(1e6)  # more than 65504, the largest number of half precision
    make_weights.to_half(model)
    assert model.head[1].running_var.dtype == torch.float32
    assert model.head[0].weight.dtype == torch.float16
    assert torch.isfinite(model.head[1].running_var).all()


def test_weights_are_put_in_place_with_their_sum(tmp_path, monkeypatch):
    """One command writes both, so that load_model takes what it finds."""
    trained, shipped = tmp_path / "trained.safetensors", tmp_path / "place" / "nuclei.safetensors"
    save_model(trained, make_weights.ResNet18FPN().half(), {"note": "new"})
    monkeypatch.setattr(
        "sys.argv", ["make_weights.py", "--place", str(trained), "--out", str(shipped)]
    )
    make_weights.main()
    digest = hashlib.sha256(trained.read_bytes()).hexdigest()
    assert (shipped.parent / "SHA256SUMS").read_text() == f"{digest}  nuclei.safetensors\n"
    assert read_as_shipped(shipped).metadata == {"note": "new"}

    trained.write_bytes(trained.read_bytes()[:1000])
    with pytest.raises(InputError, match="model"):
        make_weights.main()
    assert read_as_shipped(shipped).metadata == {"note": "new"}  # what was there stays


def read_as_shipped(path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("devotools.model._find", lambda _: path)
        return load_model("nuclei")
