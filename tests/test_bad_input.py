"""Every refusal names the value, what was expected, and what to do."""

import re

import numpy as np
import pytest
import torch
from helpers import Bright, draw_discs, picture_of, write_dataset
from PIL import Image

import devotools
from devotools._validate import InputError
from devotools.exchange import export_rois
from devotools.images import write_image, write_labels, write_mask
from devotools.pipeline import find_jobs, scale_for, settings_for
from devotools.train import Segmentation

LABELS = draw_discs()
IMAGE = picture_of(LABELS)
NAN = np.full((4, 4), np.nan)
ONES = torch.ones(2, 1, 4, 4)


@pytest.fixture
def place(tmp_path):
    """A folder with one of each bad thing."""
    for folder in ("nothing", "words", "images", "masks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "words" / "notes.txt").write_text("notes")
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("notes")
    (tmp_path / "raw.nd2").write_bytes(b"raw")
    write_labels(tmp_path / "labels.tif", LABELS)
    write_image(tmp_path / "whole.png", IMAGE)
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:80])
    Image.fromarray(NAN.astype(np.float32)).save(tmp_path / "nan.tif")
    write_image(tmp_path / "images" / "a.png", IMAGE)
    write_image(tmp_path / "images" / "b.png", IMAGE)
    write_mask(tmp_path / "masks" / "a.png", np.eye(5) > 0)
    (tmp_path / "broken.safetensors").write_bytes(b"\0" * 40)
    torch.save({}, tmp_path / "pickle.pt")
    return tmp_path


def small_pairs(place):
    return [devotools.ImageMaskPair(place / "images" / "a.png", place / "masks" / "a.png")]


# What is done; the value that must be named; the remedy. "expected" is asked of all.
CASES = [
    (lambda p: devotools.read_image(p / "no.png"), "no.png", "Check the spelling"),
    (lambda p: devotools.read_image(p / "nothing"), "nothing", "Name one of the files"),
    (lambda p: devotools.read_image(p / "empty.png"), "0 bytes", "Copy it again"),
    (lambda p: devotools.read_image(p / "text.png"), "text.png", "Check what the file really is"),
    (lambda p: devotools.read_image(p / "cut.png"), "cut.png", "copy it again"),
    (lambda p: devotools.read_image(p / "raw.nd2"), ".nd2", "save it as TIFF"),
    (lambda p: devotools.read_image(p / "nan.tif"), "16 values that are NaN", "nan_to_num"),
    (lambda p: devotools.read_mask(p / "labels.tif"), "4 different values", "labels > 0"),
    (lambda p: devotools.read_labels(p / "nan.tif"), "nan.tif", "nan_to_num"),
    (lambda p: devotools.pair_files(p / "no", p / "masks"), "no'", "Check the spelling"),
    (lambda p: devotools.pair_files(p / "whole.png", p), "is a file", "Give the folder"),
    (lambda p: devotools.pair_files(p / "words", p), "words", "Check that it is the right"),
    (lambda p: devotools.pair_files(p / "images", p / "masks"), "(b)", "Add what is missing"),
    (lambda p: devotools.read_dataset(p / "words"), "images", "Check the spelling"),
    (lambda p: devotools.write_mask(p / "a.jpg", LABELS > 0), ".jpg", "keep every pixel"),
    (lambda p: devotools.write_mask(p / "a.png", LABELS), "values 0, 1, 2, 3", "a comparison"),
    (lambda p: devotools.write_image(p / "a.png", IMAGE * 9), "7.2", "stretch_contrast"),
    (lambda p: devotools.write_labels(p / "a.tif", -LABELS), "-3", "Give the nuclei other"),
    (lambda p: devotools.NucleusDataset(small_pairs(p))[0], "(5, 5)", "the same section"),
    (lambda p: devotools.evaluate(Bright(), small_pairs(p)), "(64, 64)", "the same section"),
    (lambda p: devotools.split_by_embryo(small_pairs(p)), "1 embryos", "Add embryos"),
    (lambda p: devotools.synthesize_dataset(p, embryos=1, sections=1), "", "Choose another name"),
    (lambda p: devotools.load_model("nukleus"), "nukleus", "a shipped model: nuclei"),
    (lambda p: devotools.load_model(p / "broken.safetensors"), "40 bytes", "copy or train it"),
    (lambda p: devotools.load_model(p / "pickle.pt"), "pickle.pt", "devotools.save_model"),
    (lambda p: devotools.choose_device("tpu"), "'tpu'", "Choose one of these"),
    (lambda p: devotools.predict_probability(Bright(), NAN), "16 values", "nan_to_num"),
    (
        lambda p: devotools.predict_probability(Bright(), NAN[None]),
        "(1, 4, 4)",
        "Choose one section",
    ),
    (lambda p: devotools.predict_probability(Bright(), IMAGE, scale="big"), "'big'", "'auto' or"),
    (lambda p: devotools.label_nuclei(IMAGE * 9), "7.2", "apply torch.sigmoid"),
    (lambda p: devotools.measure_nuclei(LABELS > 0), "bool", "skimage.measure.label"),
    (lambda p: devotools.measure_nuclei(LABELS, NAN * 0), "NaN", "nan_to_num"),
    (lambda p: devotools.dice_score(LABELS, IMAGE), "0, 1, 2, 3", "a comparison"),
    (lambda p: devotools.fit(Bright(), [1], None), "None", "split_by_embryo"),
    (lambda p: devotools.fit(Bright(), [], [1]), "no batch", "Give more pictures"),
    (lambda p: devotools.fit("nuclei", [1], [1]), "'nuclei'", "ResNet18FPN()"),
    (lambda p: devotools.fit(Bright(), [1], [1], {"epochs": 1}), "epochs", "TrainConfig("),
    (lambda p: devotools.fit(Bright(), [1], [1]), "no weight", "Thaw"),
    (
        lambda p: devotools.fit(Bright(), devotools.NucleusDataset(small_pairs(p)), [1]),
        "one picture at a time",
        "make_loader(",
    ),
    (lambda p: Segmentation().loss(ONES, 255 * ONES), "0 for background", "(masks > 0)"),
    (lambda p: Segmentation().loss(ONES, ONES[0]), "(1, 4, 4)", "masks[:, None]"),
    (lambda p: Segmentation().loss(ONES, ONES.bool()), "dtype bool", ".float()"),
    (lambda p: devotools.predict_probability("nuclei", IMAGE), "'nuclei'", "load_model("),
    (lambda p: devotools.evaluate(None, small_pairs(p)), "model is None", 'load_model("nuclei")'),
    (lambda p: devotools.label_nuclei([[0.1], [0.2, 0.3]]), "a list", "rows of one length"),
    (
        lambda p: devotools.label_nuclei(torch.ones(3, 3, requires_grad=True)),
        "Tensor",
        "detach()",
    ),
    (
        lambda p: devotools.save_model(devotools.ResNet18FPN(), p / "m"),
        "model is",
        "save_model(path,",
    ),
    (
        lambda p: devotools.save_model(p / "m", devotools.ResNet18FPN(), "a note"),
        "'a note'",
        "a dictionary",
    ),
    (lambda p: devotools.export_onnx("nuclei", p / "m.onnx"), "'nuclei'", "model = load_model"),
    (lambda p: devotools.read_dataset(None), "data folder is None", "name of a file or folder"),
    (lambda p: devotools.split_by_embryo(None), "pairs is a NoneType", "read_dataset(folder)"),
    (lambda p: devotools.show_overlay(IMAGE, LABELS, LABELS), "ax is a", "true=labels"),
    (
        lambda p: devotools.measure_nuclei(np.array([[0, 2**64 - 1]], np.uint64)),
        str(2**64 - 1),
        "other numbers",
    ),
    (lambda p: export_rois(LABELS, None), "path is None", "name of a file"),
    (lambda p: write_image(p / f"{'n' * 300}.png", IMAGE), "too long", "a shorter name"),
    (
        lambda p: devotools.train_on_folder(p, p / f"{'n' * 300}.safetensors"),
        "too long",
        "at most 255 letters",
    ),
    (lambda p: devotools.seed_everything("7"), "'7'", "a whole number of"),
    (lambda p: devotools.Appearance(blur=0.5), "blur is 0.5", "for example (0.0, 1.0)"),
    (lambda p: devotools.Appearance(resin=(0.9, 0.1)), "(0.9, 0.1)", "a pair (low, high)"),
    (lambda p: devotools.Appearance(label_bar=2), "label_bar is 2", "from 0 to 1"),
    (lambda p: devotools.Appearance().without(["hairs"]), "['hairs']", "without('hairs'"),
    (
        lambda p: devotools.add_label_noise(LABELS > 0, seed=None),
        "None",
        "whole number of at least",
    ),
    (lambda p: scale_for(devotools.ResNet18FPN(), 0), "nucleus_size is 0", "pixels above 0"),
    (lambda p: settings_for(devotools.ResNet18FPN(), threshold=5), "threshold is 5", "0 to 1"),
    (lambda p: find_jobs(str(p / "none.png"), p), "expected image files", "folders with files"),
    (
        lambda p: devotools.train_on_folder(p, p / "m.pt"),
        "'.pt'",
        "Name it for example 'm.safetensors'",
    ),
]


@pytest.mark.parametrize(("do", "value", "remedy"), CASES, ids=[case[2] for case in CASES])
def test_each_refusal_names_value_expectation_and_remedy(place, do, value, remedy):
    before = sorted(place.rglob("*"))
    with pytest.raises(InputError) as refusal:
        do(place)
    message = str(refusal.value)
    assert value in message
    assert remedy in message
    if "Choose one of these" not in message:
        assert "expected" in message
    assert re.match(r"[^\n]{20,600}$", message)  # one line
    assert sorted(place.rglob("*")) == before


def test_an_input_error_is_a_value_error():
    assert issubclass(InputError, ValueError)
    assert devotools.InputError is InputError


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0, 7.0, -2.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 40)])
def test_flat_and_tiny_pictures_go_the_whole_way(value, shape):
    image = np.full(shape, value, np.float32)
    labels = devotools.label_nuclei(devotools.predict_probability(Bright(), image))
    assert labels.shape == shape
    assert len(devotools.measure_nuclei(labels, image, pixel_size_um=1.0)) == 0
    devotools.show_overlay(image, labels)
    assert devotools.draw_overlay(image, labels).ndim == 3


def test_a_data_folder_reads_as_it_was_written(tmp_path):
    assert devotools.evaluate(Bright(), write_dataset(tmp_path)).f1 == 1
