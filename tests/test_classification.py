"""From a labelled nucleus to its state: crops, data, the network, learning, and what is said."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import draw_discs, picture_of, write_dataset

import devotools as dt
from devotools._validate import InputError
from devotools.augment import crop_transform
from devotools.classification import (
    STATES,
    UNSURE,
    Classification,
    NucleusCropDataset,
    ResNet18Classifier,
    calibrate,
    classify_nuclei,
    nucleus_crops,
    predict_logits,
    read_states,
    states_table,
    to_probability,
)
from devotools.classification.crops import SIDE
from devotools.datasets import make_loader, read_dataset, synthesize_dataset
from devotools.images import stretch_contrast
from devotools.measure import measure_nuclei
from devotools.model import ResNet18FPN, load_model
from devotools.synthetic import synthesize_series
from devotools.train import TrainConfig, fit


def config(**changes):
    return TrainConfig(**({"epochs": 2, "device": "cpu", "progress": False} | changes))


def classifier(seed=0, **arguments):
    torch.manual_seed(seed)
    return ResNet18Classifier(**arguments).eval()


# --- crops


def test_a_nucleus_takes_the_share_of_its_crop_that_context_says():
    """A disc of radius r fills pi r^2 of a square of side 2 r context."""
    for radius in (6, 14, 40):
        labels = draw_discs([(60, 60)], radius, (130, 130))
        for context in (1.5, 2.0, 3.0):
            crop = nucleus_crops((labels > 0).astype(float), labels, context=context)[0, 0]
            share = np.pi / 4 / context**2
            assert (crop > 0.5).mean() == pytest.approx(share, rel=0.12)
            rows, cols = np.nonzero(crop > 0.5)
            assert abs(rows.mean() - 31.5) < 2.5
            assert abs(cols.mean() - 31.5) < 2.5


def test_a_crop_without_resizing_is_the_piece_of_the_picture():
    rng = np.random.default_rng(0)
    image, labels = rng.random((100, 120)), np.zeros((100, 120), int)
    labels[40:60, 50:70] = 3
    context = 64 / (2 * np.sqrt(400 / np.pi))
    crop = nucleus_crops(image, labels, context=context)[0, 0]
    expected = stretch_contrast(image)[18:82, 28:92]
    np.testing.assert_allclose(crop, expected, atol=1e-6)


def test_the_border_is_repeated_beyond_the_frame():
    image = np.tile(np.linspace(0, 1, 40), (40, 1))
    labels = np.zeros((40, 40), int)
    labels[0:10, 30:40] = 1
    crop = nucleus_crops(image, labels, stretched=True)[0, 0]
    assert (crop[:, -10:] == 1).all()  # the last column goes on
    assert np.ptp(crop, axis=0).max() == 0  # and the first row


def test_crops_come_in_the_order_of_the_table():
    labels = draw_discs([(20, 20), (70, 70), (20, 70)], 8, (90, 90))
    labels[labels == 2] = 900
    image = np.select([labels == 1, labels == 900, labels == 3], [0.2, 0.9, 0.5], 0.0)
    middles = nucleus_crops(image, labels, stretched=True)[:, 0, 32, 32]
    assert measure_nuclei(labels)["label"].tolist() == [1, 3, 900]
    np.testing.assert_allclose(middles, [0.2, 0.5, 0.9], atol=1e-6)


def test_contrast_is_stretched_on_the_picture_not_the_crop():
    labels = draw_discs([(30, 30)], 8)
    image = np.where(labels > 0, 0.5, 0.4)
    image[:8] = 0.9
    image[-8:] = 0.1
    crop = nucleus_crops(image, labels)[0, 0]
    assert crop.max() == pytest.approx(0.5, abs=0.02)
    again = nucleus_crops(stretch_contrast(image), labels, stretched=True)[0, 0]
    np.testing.assert_array_equal(crop, again)


def test_no_nucleus_gives_no_crop():
    empty = nucleus_crops(np.zeros((20, 30)), np.zeros((20, 30), int))
    assert empty.shape == (0, 1, 64, 64)
    assert empty.dtype == np.float32


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"context": 0.5}, r"context is 0\.5; expected a number from 1 .* to 16"),
        ({"context": 99}, r"context is 99; expected"),
        ({"context": -1}, r"context is -1; expected a number above 0"),
        ({"labels": np.zeros((3, 3), int)}, r"image has shape .* and labels has shape"),
        ({"labels": np.zeros((20, 20))}, "labels has dtype float64"),
        ({"image": np.full((20, 20), np.nan)}, "NaN"),
    ],
)
def test_crops_of_something_else_are_refused(arguments, sentence):
    usual = {"image": np.zeros((20, 20)), "labels": np.ones((20, 20), int)}
    with pytest.raises(InputError, match=sentence):
        nucleus_crops(**(usual | arguments))


# --- the dataset


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    out = tmp_path_factory.mktemp("states") / "drawn"
    synthesize_dataset(out, embryos=4, sections=3, size=96, seed=4)
    return out


@pytest.fixture(scope="module")
def series():
    return [synthesize_series(sections=2, size=96, seed=seed) for seed in (1, 5, 6)]


def test_a_folder_gives_its_nuclei_with_their_states(drawn):
    data, states = NucleusCropDataset(read_dataset(drawn), read_states(drawn)), read_states(drawn)
    counted = states["state"].value_counts()
    assert len(data) == counted.get("speckled", 0) + counted.get("condensed", 0) > 5
    assert (data.classes == 1).sum() == counted.get("condensed", 0)
    told = states.set_index(["name", "label"])["state"]
    for row, is_condensed in zip(data.about.itertuples(), data.classes, strict=True):
        assert row.state == told[row.name, row.label]
        assert is_condensed == (row.state == "condensed")
        assert row.name.startswith(row.embryo)
    crop, state = data[0]
    assert crop.shape == (1, 64, 64)
    assert crop.dtype == torch.float32
    assert state in (0, 1)


def test_a_series_gives_the_crops_that_prediction_sees(series):
    data = NucleusCropDataset(series)
    assert set(data.embryo) <= {"seed 1", "seed 5", "seed 6"}
    first = series[0]
    own = data.subset(data.about["name"] == "seed 1, section 1")
    labels = np.where(np.isin(first.labels[1], own.about["label"]), first.labels[1], 0)
    np.testing.assert_array_equal(own.crops, nucleus_crops(first.images[1], labels))
    state_of = dict(zip(first.nuclei["id"], first.nuclei["state"], strict=True))
    assert [state_of[label] for label in own.about["label"]] == own.about["state"].tolist()
    alone = NucleusCropDataset(first)
    np.testing.assert_array_equal(alone.crops, data.crops[data.embryo == "seed 1"])


def test_mixed_nuclei_are_left_out(series):
    kinds = pd.concat([one.nuclei for one in series])["state"]
    assert "mixed" in set(kinds)
    assert set(NucleusCropDataset(series).about["state"]) == {"speckled", "condensed"}


def test_own_words_for_the_states_will_do(tmp_path):
    folder = write_dataset(tmp_path, embryos=1, sections=1)
    states = pd.DataFrame({"name": "e0_s0", "label": [1, 2], "state": ["interphase", "condensed"]})
    data = NucleusCropDataset(read_dataset(folder), states)
    assert data.classes.tolist() == [0, 1]
    states.loc[0, "state"] = "unsure"
    assert NucleusCropDataset(read_dataset(folder), states).classes.tolist() == [1]


def test_a_subset_has_a_transform_of_its_own(series):
    data = NucleusCropDataset(series)
    part = data.subset(data.embryo == "seed 5", crop_transform(0))
    assert set(part.embryo) == {"seed 5"}
    assert data.transform is None
    moved = [part[i][0].numpy() for i in range(len(part))]
    assert all(crop.shape == (1, 64, 64) for crop in moved)
    assert not all(
        np.array_equal(crop, plain) for crop, plain in zip(moved, part.crops, strict=True)
    )
    with pytest.raises(InputError, match="chosen names no nucleus; expected at least one"):
        data.subset(data.embryo == "seed 2")


def test_parts_can_be_joined(series):
    whole = NucleusCropDataset(series)
    first, *others = (NucleusCropDataset(one) for one in series)
    again = first.join(others)
    np.testing.assert_array_equal(again.crops, whole.crops)
    np.testing.assert_array_equal(again.classes, whole.classes)
    assert again.embryo.tolist() == whole.embryo.tolist()
    assert len(first) < len(again)


def test_workers_do_not_repeat_each_other(series):
    data = NucleusCropDataset(series)
    data = data.subset(np.zeros(8, int), crop_transform(0))  # the same nucleus, eight times
    loader = make_loader(data, 2, shuffle=False, workers=2)
    crops = torch.cat([batch for batch, _ in loader]).numpy()
    assert len(np.unique(crops.reshape(8, -1), axis=0)) == 8


@pytest.mark.parametrize(
    ("sources", "states", "sentence"),
    [
        ("pairs", None, "states is None; expected the table of read_states"),
        ("pairs", "other names", "no nucleus of sources has a state to learn from"),
        ("pairs", "other words", "states holds 'dividing'; expected 'interphase', 'condensed'"),
        ("no labels", "good", "section 'e0_s0' has no label image; expected one in labels/"),
        ("numbers", "good", "sources holds int; expected drawn series, or the pairs"),
        ("nothing", "good", "sources holds nothing; expected"),
    ],
)
def test_data_without_states_are_refused(tmp_path, sources, states, sentence):
    folder = write_dataset(tmp_path, embryos=1, sections=1)
    if sources == "no labels":
        (folder / "labels" / "e0_s0.tif").unlink()
    given = {"numbers": [1, 2], "nothing": []}.get(sources)
    table = pd.DataFrame({"name": ["e0_s0"], "label": [1], "state": ["condensed"]})
    if states == "other names":
        table["name"] = "e7"
    if states == "other words":
        table["state"] = "dividing"
    with pytest.raises(InputError, match=sentence):
        NucleusCropDataset(
            read_dataset(folder) if given is None else given, None if states is None else table
        )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"states\.csv' does not exist; expected a table with the columns name, label"),
        ("name,state\na,condensed\n", "is no table of states .*expected the columns"),
        ("name,label,state\na,one,condensed\n", "is no table of states"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, content, sentence):
    if content is not None:
        (tmp_path / "states.csv").write_text(content)
    with pytest.raises(InputError, match=sentence):
        read_states(tmp_path)


def test_a_folder_that_does_not_exist_is_said_so(tmp_path):
    with pytest.raises(InputError, match="does not exist; expected a folder"):
        read_states(tmp_path / "none" / "states.csv")


# --- the network


def test_logits_for_each_crop_and_class():
    crops = torch.rand(3, 1, 64, 64)
    assert classifier()(crops).shape == (3, 2)
    assert classifier(in_channels=3, classes=4)(torch.rand(1, 3, 64, 64)).shape == (1, 4)


def test_it_is_torchvisions_resnet18():
    """An oracle: the same weights in torchvision's own class give the same logits."""
    from torchvision.models import resnet18

    ours, theirs = classifier(in_channels=3), resnet18(num_classes=2).eval()
    state = {f"fc.{k}": v for k, v in ours.head.state_dict().items()}
    theirs.load_state_dict(ours.encoder.state_dict() | state)
    crops = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(ours(crops), theirs(crops))


def test_the_encoder_starts_where_it_is_told_to(tmp_path):
    shipped = load_model("nuclei")
    for weights in ("nuclei", shipped):
        model = ResNet18Classifier(weights=weights)
        torch.testing.assert_close(model.encoder.conv1.weight, shipped.encoder.conv1.weight)
        assert model.encoder is not shipped.encoder
    own = ResNet18FPN()
    dt.save_model(tmp_path / "own.safetensors", own)
    model = ResNet18Classifier(weights=tmp_path / "own.safetensors")
    torch.testing.assert_close(model.encoder.conv1.weight, own.encoder.conv1.weight)
    with pytest.raises(InputError, match=r"in_channels is 3, and the encoder .* takes 1"):
        ResNet18Classifier(in_channels=3, weights=own)
    with pytest.raises(InputError, match="'nowhere' does not exist"):
        ResNet18Classifier(weights="nowhere")


def changed_by_training(parts, series):
    model = classifier().learn(parts)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    data = NucleusCropDataset(series)
    loader = make_loader(data, 8, shuffle=True)
    fit(model, loader, loader, config(epochs=1), Classification())
    after = model.state_dict()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def test_only_what_may_learn_changes(series):
    assert changed_by_training("head", series) == {"head.weight", "head.bias"}
    norms = changed_by_training("norms", series)
    assert "encoder.layer3.0.bn1.weight" in norms
    assert not any("conv" in name or "downsample.0" in name for name in norms)
    assert "encoder.layer3.0.conv1.weight" in changed_by_training("all", series)
    with pytest.raises(InputError, match="parts is 'tail'; expected one of 'head', 'norms', 'all'"):
        classifier().learn("tail")


# --- learning


def batches(number=16):
    """Crops that anyone can tell apart: bright in the middle, or dark."""
    classes = torch.arange(number) % 2
    crops = torch.full((number, 1, 64, 64), 0.5)
    crops[:, :, 24:40, 24:40] = classes[:, None, None, None].float()
    return [(crops, classes)]


def test_one_batch_is_learned_by_heart():
    torch.manual_seed(0)
    model = ResNet18Classifier()
    history = fit(model, batches() * 6, batches(), config(epochs=3), Classification())
    assert history.best_score == 1.0
    assert history.val_balanced_accuracy[history.best_epoch - 1] == 1.0
    assert history.train_loss[-1] < history.train_loss[0]
    assert set(history.to_dict()) >= {"val_loss", "val_accuracy", "val_balanced_accuracy"}
    assert {len(getattr(history, name)) for name in ("val_loss", "val_accuracy", "seconds")} == {3}


def test_validation_agrees_with_the_scores():
    class Known(torch.nn.Module):
        def forward(self, crops):
            return crops[:, 0, 0, :2]

    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 1.0], [3.0, 0.0]])
    crops, classes = torch.zeros(4, 1, 64, 64), torch.tensor([0, 0, 1, 0])
    crops[:, 0, 0, :2] = logits
    parts = [(crops[:3], classes[:3]), (crops[3:], classes[3:])]
    scores = Classification().validate(Known(), parts, torch.device("cpu"), None)
    expected = torch.nn.functional.cross_entropy(logits, classes)
    assert scores == pytest.approx((float(expected), (2 / 3 + 1) / 2, 3 / 4))


def test_class_weights_weigh_the_loss():
    logits, classes = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1])
    plain, weighted = Classification(), Classification([1.0, 9.0])
    assert weighted.loss(logits, classes) > plain.loss(logits, classes)
    with pytest.raises(InputError, match=r"class_weights\[1\] is 0; expected a number above 0"):
        Classification([1, 0])


# --- what is said


def test_states_of_a_picture():
    labels = draw_discs([(20, 20), (60, 60), (20, 60)], 8, (80, 80))
    labels[labels == 2] = 40
    image = picture_of(labels)
    model = classifier()
    table = classify_nuclei(model, image, labels)
    assert list(table) == ["label", "state", "state_probability", "condensed_probability"]
    assert table["label"].tolist() == [1, 3, 40]
    by_hand = to_probability(predict_logits(model, nucleus_crops(image, labels)))[:, 1]
    np.testing.assert_allclose(table["condensed_probability"], by_hand)
    assert set(table["state"]) <= {*STATES, UNSURE}


def test_temperature_limit_and_mode_are_honoured():
    labels = draw_discs()
    model = classifier().train()
    model.head.bias.data = torch.tensor([0.0, 2.0])
    model.head.weight.data.zero_()
    model.encoder.eval()
    table = classify_nuclei(model, picture_of(labels), labels)
    assert table["condensed_probability"].to_numpy() == pytest.approx(1 / (1 + np.exp(-2)))
    assert set(table["state"]) == {"condensed"}
    model.temperature, model.limit = 4.0, 0.7
    table = classify_nuclei(model, picture_of(labels), labels)
    assert table["state_probability"].to_numpy() == pytest.approx(1 / (1 + np.exp(-0.5)))
    assert set(table["state"]) == {UNSURE}
    assert model.training
    assert not model.encoder.training


def test_no_nucleus_gives_an_empty_table():
    table = classify_nuclei(classifier(), np.zeros((20, 20)), np.zeros((20, 20), int))
    assert table.empty
    assert list(table.dtypes) == list(classify_nuclei(classifier(), *discs()).dtypes)


def discs():
    return picture_of(draw_discs()), draw_discs()


def test_a_state_follows_from_its_probability():
    table = states_table(pd.Series([1, 2, 3, 4]), np.array([0.1, 0.5, 0.95, 0.3]), 0.8)
    assert table["state"].tolist() == ["interphase", UNSURE, "condensed", UNSURE]
    np.testing.assert_allclose(table["state_probability"], [0.9, 0.5, 0.95, 0.7])


def test_many_nuclei_are_told_in_pieces_alike():
    crops = np.random.default_rng(0).random((70, 1, 64, 64), dtype=np.float32)
    model = classifier()
    together = predict_logits(model, crops)
    np.testing.assert_allclose(together[65:], predict_logits(model, crops[65:]), atol=1e-5)
    assert predict_logits(model, crops[:0]).shape == (0, 2)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ({"classes": 3}, "takes 1 channels and tells 3 classes; expected grey crops and 2 states"),
        ({"in_channels": 3}, "takes 3 channels"),
    ],
)
def test_a_classifier_of_something_else_is_refused(model, sentence):
    with pytest.raises(InputError, match=sentence):
        classify_nuclei(classifier(**model), *discs())


def test_crops_of_another_size_are_refused():
    with pytest.raises(InputError, match=r"crops have shape \(1, 1, 32, 32\); expected \(K, 1, 64"):
        predict_logits(classifier(), np.zeros((1, 1, 32, 32)))


# --- calibration of a model


def test_calibration_changes_no_call_and_lowers_the_misfit(series):
    data = NucleusCropDataset(series)
    model = classifier(3)
    model.head.weight.data *= 30  # sure of itself, and wrong
    logits = predict_logits(model, data.crops)

    def misfit(probability):
        return -np.log(probability[np.arange(len(data)), data.classes] + 1e-300).mean()

    before = to_probability(logits)
    calibrate(model, data, wanted=0.9)
    after = to_probability(logits, model.temperature)
    assert model.temperature > 1
    assert misfit(after) < misfit(before)
    np.testing.assert_array_equal(before.argmax(axis=1), after.argmax(axis=1))
    assert 0.5 <= model.limit <= 1


def test_the_transform_keeps_size_and_range():
    transform = crop_transform(1)
    crop = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    seen = [transform(image=crop)["image"] for _ in range(20)]
    assert {one.shape for one in seen} == {(64, 64)}
    assert all(one.dtype == np.float32 and 0 <= one.min() and one.max() <= 1 for one in seen)
    assert len({one.tobytes() for one in seen}) == 20
    again = crop_transform(1)
    np.testing.assert_array_equal(again(image=crop)["image"], seen[0])
    flat = crop_transform(2)
    gentle = [flat(image=np.full((64, 64), 0.5, np.float32))["image"] for _ in range(20)]
    assert max(np.median(np.abs(one - np.median(one))) for one in gentle) < 0.1  # no black corner


def test_reading_a_folder_of_pictures_without_a_state_leaves_it_out(drawn):
    states = read_states(drawn)
    one = states["name"].iloc[0]
    data = NucleusCropDataset(read_dataset(drawn), states[states["name"] != one])
    assert one not in set(data.about["name"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda crops, about: (crops[:1], about), "1 crops and 2 rows"),
        (lambda crops, about: (crops, about.assign(state="unsure")), "state 'unsure'; expected"),
    ],
)
def test_crops_that_do_not_fit_their_table_are_refused(change, sentence):
    about = pd.DataFrame({"state": ["interphase", "condensed"], "embryo": ["a", "b"]})
    crops = np.zeros((2, 1, SIDE, SIDE), np.float32)
    assert len(NucleusCropDataset.from_crops(crops, about)) == 2
    with pytest.raises(InputError, match=sentence):
        NucleusCropDataset.from_crops(*change(crops, about))


@pytest.mark.parametrize("chosen", [[0.9, 1.9], [True], [5], [-3], []])
def test_subsets_that_are_none_are_refused(chosen):
    about = pd.DataFrame({"state": ["interphase", "condensed"], "embryo": ["a", "b"]})
    data = NucleusCropDataset.from_crops(np.zeros((2, 1, SIDE, SIDE), np.float32), about)
    with pytest.raises(InputError, match="chosen"):
        data.subset(chosen)
