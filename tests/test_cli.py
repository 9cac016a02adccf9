"""The command: its files to the letter, its exit codes, and a sentence instead of a traceback."""

import csv
import json
import os
import shutil
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from helpers import Bright, draw_discs, files_under, picture_of, run_command, write_dataset
from PIL import Image

from devotools import InputError, __version__, evaluation, pipeline
from devotools import model as model_module
from devotools.images import read_image, read_labels, write_image, write_labels
from devotools.model import ResNet18FPN, save_model

NUCLEI = "image,label,centroid_row,centroid_col,area_px,area_um2,eccentricity,intensity_mean"
IMAGES = "image,status,nuclei,seconds,error,scale,uncertainty"
RUN = {"nuclei.csv", "images.csv", "settings.json", "progress.jsonl", "report.html"}


@pytest.fixture
def devotools(monkeypatch, capsys):
    """Run the command with a network that calls bright pixels nucleus: code, output, complaints."""
    monkeypatch.setattr(model_module, "load_model", lambda *_: Bright())
    return lambda *arguments: run_command(monkeypatch, capsys, *arguments)


@pytest.fixture
def real(monkeypatch, capsys):
    """Run the command as it is."""
    return lambda *arguments: run_command(monkeypatch, capsys, *arguments)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    write_image(folder / "a.png", picture_of(draw_discs()))
    write_image(folder / "sub" / "b.tif", picture_of(draw_discs([(20, 50)], 9, (40, 70))))
    return folder


def rows_of(table):
    with open(table, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# --- segment


def test_segment_writes_what_the_design_says(devotools, pictures, tmp_path):
    out = tmp_path / "new" / "results"
    code, said, complaints = devotools("segment", pictures, "--out", out, "--pixel-size", "0.5")
    assert (code, "failed" in complaints) == (0, False)
    assert "2 pictures, 4 nuclei" in said
    results = {"labels/a.tif", "labels/sub/b.tif", "overlays/a.png", "overlays/sub/b.png"}
    assert files_under(out) == results | RUN
    assert (out / "nuclei.csv").read_text().splitlines()[0] == NUCLEI
    assert (out / "images.csv").read_text().splitlines()[0] == IMAGES
    images = rows_of(out / "images.csv")
    assert [(row["image"], row["status"], row["nuclei"], row["error"]) for row in images] == [
        ("a.png", "ok", "3", ""),
        ("sub/b.tif", "ok", "1", ""),
    ]
    assert all(float(row["seconds"]) >= 0 for row in images)
    labels = read_labels(out / "labels" / "sub" / "b.tif")
    assert tifffile.imread(out / "labels" / "sub" / "b.tif").dtype == np.uint16
    np.testing.assert_array_equal(labels > 0, draw_discs([(20, 50)], 9, (40, 70)) > 0)
    assert [row["image"] for row in rows_of(out / "nuclei.csv")] == ["a.png"] * 3 + ["sub/b.tif"]
    nucleus = rows_of(out / "nuclei.csv")[3]
    area = int((labels == 1).sum())
    assert (int(nucleus["label"]), int(nucleus["area_px"])) == (1, area)
    assert float(nucleus["centroid_row"]) == pytest.approx(20)
    assert float(nucleus["centroid_col"]) == pytest.approx(50)
    assert float(nucleus["area_um2"]) == pytest.approx(area / 4)
    assert float(nucleus["intensity_mean"]) == pytest.approx(0.8, abs=0.01)
    with Image.open(out / "overlays" / "a.png") as overlay:
        assert (overlay.mode, overlay.size) == ("RGB", (768, 768))


def test_without_a_pixel_size_the_column_is_empty(devotools, pictures, tmp_path):
    assert devotools("segment", pictures / "a.png", "--out", tmp_path / "out")[0] == 0
    assert {row["area_um2"] for row in rows_of(tmp_path / "out" / "nuclei.csv")} == {""}
    assert rows_of(tmp_path / "out" / "images.csv")[0]["image"] == str(pictures / "a.png")


def test_no_nucleus_is_no_failure(devotools, tmp_path):
    write_image(tmp_path / "dark.png", np.zeros((30, 40)))
    code, _, _ = devotools("segment", tmp_path / "dark.png", "--out", tmp_path / "out")
    assert code == 0
    assert (tmp_path / "out" / "nuclei.csv").read_text().splitlines() == [NUCLEI]
    assert rows_of(tmp_path / "out" / "images.csv")[0]["nuclei"] == "0"
    assert not read_labels(tmp_path / "out" / "labels" / "dark.tif").any()


def test_one_stem_twice_becomes_stem_and_extension(devotools, tmp_path):
    folder = tmp_path / "in"
    for name in ("a.png", "a.tif", "A.TIFF", "b.png", "b_png.png", "day.2.png", "day.3.png"):
        write_image(folder / name, picture_of(draw_discs()))
    assert devotools("segment", folder, "--out", tmp_path / "out")[0] == 0
    names = {p.name for p in (tmp_path / "out" / "labels").iterdir()}
    assert names == {f"{stem}.tif" for stem in "a_png a_tif A_TIFF b b_png day.2 day.3".split()}
    assert len(rows_of(tmp_path / "out" / "images.csv")) == 7


def test_files_of_one_name_from_two_folders_do_not_meet(devotools, tmp_path):
    for folder in ("one", "two"):
        write_image(tmp_path / folder / "a.png", picture_of(draw_discs()))
    paths = [tmp_path / "one" / "a.png", tmp_path / "two" / "a.png", tmp_path / "one"]
    assert devotools("segment", *paths, "--out", tmp_path / "out")[0] == 0
    assert len(files_under(tmp_path / "out" / "labels")) == 2
    assert len(rows_of(tmp_path / "out" / "images.csv")) == 2  # a file given twice is done once


def test_one_name_in_two_folders_is_called_by_its_whole_path(devotools, tmp_path):
    for folder in ("one", "two"):
        write_image(tmp_path / folder / "a.png", picture_of(draw_discs()))
    write_image(tmp_path / "two" / "b.png", picture_of(draw_discs()))
    assert (
        devotools("segment", tmp_path / "one", tmp_path / "two", "--out", tmp_path / "out")[0] == 0
    )
    names = [row["image"] for row in rows_of(tmp_path / "out" / "images.csv")]
    assert names == [str(tmp_path / "one" / "a.png"), str(tmp_path / "two" / "a.png"), "b.png"]


def test_tables_of_an_earlier_run_stay_until_the_end(devotools, pictures, tmp_path, monkeypatch):
    out = tmp_path / "out"
    devotools("segment", pictures, "--out", out)
    before = (out / "nuclei.csv").read_text()
    seen = []

    def look(*arguments, **options):
        seen.append((out / "nuclei.csv").read_text())
        return iter([])

    monkeypatch.setattr(pipeline, "segment_jobs", look)
    devotools("segment", pictures, "--out", out)
    assert seen == [before]


def test_workers_have_ended_before_what_they_had_half_written_is_removed(
    monkeypatch, devotools, pictures, tmp_path
):
    """Else a worker that is still writing finds its file gone."""
    half = tmp_path / "out" / "labels" / ".0123abcd.tif"

    @contextmanager
    def workers():
        try:
            yield "crew"
        finally:
            half.parent.mkdir(parents=True, exist_ok=True)
            half.touch()

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "connect", lambda *_: workers())
    monkeypatch.setattr(pipeline, "segment_on_cluster", stopped)
    code, *_ = devotools("segment", pictures, "--out", tmp_path / "out", "--workers", "2")
    assert (code, half.exists()) == (130, False)
    assert (tmp_path / "out" / "nuclei.csv").exists()


@pytest.mark.parametrize("place", ["pictures/results", "pictures", ".", "pictures/../pictures/x"])
def test_results_among_the_pictures_are_not_segmented_again(devotools, pictures, tmp_path, place):
    out = f"{tmp_path}/{place}"
    for _ in range(2):
        code, _, complaints = devotools("segment", pictures, "--out", out)
        assert (code, complaints.count("failed")) == (0, 0)
    assert len(rows_of(f"{out}/images.csv")) == 2
    assert len(files_under(tmp_path)) == 2 + 4 + len(RUN)


def test_results_of_another_run_are_no_pictures(devotools, pictures):
    """Other settings are refused, and the advice to take another folder can be followed."""
    options = ["--rois", "--min-area", "5"]
    for place in ("results", "sub/deep/results"):
        assert devotools("segment", pictures, "--out", pictures / place)[0] == 0
    code, _, complaints = devotools("segment", pictures, "--out", pictures / "results", *options)
    assert (code, f"for example {str(pictures / 'results-2')!r}" in complaints) == (2, True)
    write_image(pictures / "results" / "mine.png", picture_of(draw_discs()))
    assert devotools("segment", pictures, "--out", pictures / "results-2", *options)[0] == 0
    names = [row["image"] for row in rows_of(pictures / "results-2" / "images.csv")]
    assert names == ["a.png", "results/mine.png", "sub/b.tif"]


def test_the_folder_advised_beside_the_current_one_has_its_name(devotools, pictures, monkeypatch):
    monkeypatch.chdir(pictures)
    assert devotools("segment", ".", "--out", ".")[0] == 0
    code, _, complaints = devotools("segment", ".", "--out", ".", "--rois")
    assert (code, f"for example {str(pictures) + '-2'!r}" in complaints) == (2, True)


@pytest.mark.parametrize("place", ["results", "results/overlays", "results/labels/sub", "."])
def test_results_given_as_pictures_are_refused(devotools, pictures, tmp_path, place):
    home = tmp_path / "home"
    devotools("segment", pictures, "--out", home / "results")
    code, _, complaints = devotools("segment", home / place, "--out", tmp_path / "out")
    assert code == 2
    assert "the pictures there are results of devotools; expected image files" in complaints
    assert not (tmp_path / "out").exists()


def test_a_folder_of_labelled_pictures_is_refused(devotools, tmp_path):
    data = write_dataset(tmp_path / "data", embryos=1)
    code, _, complaints = devotools("segment", data, "--out", tmp_path / "out")
    assert (code, f"pictures only. Give {str(data / 'images')!r}." in complaints) == (2, True)
    assert not (tmp_path / "out").exists()
    assert devotools("segment", data / "images", "--out", tmp_path / "out")[0] == 0


def test_labels_drawn_by_hand_are_not_overwritten(devotools, tmp_path):
    data = write_dataset(tmp_path / "data", embryos=1)
    before = (data / "labels" / "e0_s0.tif").read_bytes()
    code, _, complaints = devotools("segment", data / "images", "--out", data)
    assert code == 2
    assert "has 'labels' that devotools segment did not write" in complaints
    assert (data / "labels" / "e0_s0.tif").read_bytes() == before


def test_bad_pictures_are_rows_and_the_others_complete(devotools, pictures, tmp_path):
    (pictures / "empty.png").touch()
    (pictures / "text.png").write_text("not a picture")
    (pictures / "cut.png").write_bytes((pictures / "a.png").read_bytes()[:60])
    (pictures / "notes.txt").write_text("my notes")
    (pictures / "raw.czi").write_bytes(b"ZISRAW")
    (pictures / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (pictures / ".hidden.png").touch()
    nan = np.full((8, 8), np.nan, np.float32)
    Image.fromarray(nan).save(pictures / "nan.tif")
    missing = tmp_path / "missing.png"
    code, said, complaints = devotools("segment", pictures, missing, "--out", tmp_path / "out")
    assert code == 1
    assert "Traceback" not in complaints
    assert "2 pictures, 4 nuclei" in said
    rows = {row["image"]: row for row in rows_of(tmp_path / "out" / "images.csv")}
    reasons = {
        "empty.png": "is empty (0 bytes)",
        "text.png": "is not an image",
        "cut.png": "cannot be read as an image",
        "notes.txt": "is not an image",
        "raw.czi": "microscope maker's format",
        "gone.png": "does not exist",
        "nan.tif": "NaN",
        str(missing): "does not exist",
    }
    assert {name for name, row in rows.items() if row["status"] == "failed"} == set(reasons)
    assert {name for name, row in rows.items() if row["status"] == "ok"} == {"a.png", "sub/b.tif"}
    for name, reason in reasons.items():
        assert reason in rows[name]["error"]
        assert rows[name]["nuclei"] == ""
        assert name in complaints
    results = files_under(tmp_path / "out")
    assert {p for p in results if p.startswith("labels")} == {"labels/a.tif", "labels/sub/b.tif"}


def test_unusual_but_good_pictures_are_segmented(devotools, tmp_path):
    folder = tmp_path / "Bilder mit Ä 核"
    grey = picture_of(draw_discs())
    folder.mkdir()
    Image.fromarray((grey * 65535).astype(np.uint16)).save(folder / "16 bit.PNG")
    Image.fromarray(grey * 3000 - 9).save(folder / "float.TIF")
    Image.fromarray(np.uint8(grey * 255)).convert("RGB").save(folder / "rgb.png")
    Image.fromarray(np.full((9, 9), 7, np.uint8)).save(folder / "constant.png")
    Image.fromarray(np.full((1, 1), 7, np.uint8)).save(folder / "one pixel.png")
    Image.fromarray(np.full((1, 300), 7, np.uint8)).save(folder / "line.png")
    (folder / "link.png").symlink_to(folder / "rgb.png")
    (folder / ("n" * 251 + ".png")).write_bytes((folder / "rgb.png").read_bytes())
    code, _, complaints = devotools("segment", folder, "--out", tmp_path / "aus gabe")
    assert (code, complaints.count("failed")) == (0, 0)
    found = {row["image"]: row["nuclei"] for row in rows_of(tmp_path / "aus gabe" / "images.csv")}
    assert found.pop("n" * 251 + ".png") == "3"
    assert found == {
        "16 bit.PNG": "3",
        "float.TIF": "3",
        "rgb.png": "3",
        "link.png": "3",
        "constant.png": "0",
        "one pixel.png": "0",
        "line.png": "0",
    }


def test_a_name_that_is_not_utf8_does_not_cost_the_tables(devotools, tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    try:
        write_image(tmp_path / "in" / name, picture_of(draw_discs()))
    except OSError:
        pytest.skip("this file system wants UTF-8")
    assert devotools("segment", tmp_path / "in", "--out", tmp_path / "out")[0] == 0
    assert rows_of(tmp_path / "out" / "images.csv")[0]["image"] == r"caf\udce9.png"
    assert len(rows_of(tmp_path / "out" / "nuclei.csv")) == 3


def test_nucleus_size_sets_the_scale(devotools, monkeypatch, pictures, tmp_path):
    seen = []

    def watch(self, image):
        seen.append(tuple(image.shape[-2:]))
        return 20 * (image - 0.5)

    monkeypatch.setattr(Bright, "forward", watch)
    options = ["--out", tmp_path / "out", "--nucleus-size", "24"]  # the model knows 12
    assert devotools("segment", pictures / "a.png", *options)[0] == 0
    assert seen == [(32, 32)]
    assert read_labels(tmp_path / "out" / "labels" / "a.tif").shape == (64, 64)
    code, _, complaints = devotools(
        "segment", pictures / "a.png", "--out", tmp_path / "tiny", "--nucleus-size", "0.0001"
    )
    assert code == 1
    assert "a larger nucleus size" in complaints
    monkeypatch.setattr(Bright, "working_nucleus", None)
    code, _, complaints = devotools("segment", pictures, *options)
    assert code == 2
    assert "Leave it out" in complaints


def test_nothing_found_says_what_may_help(devotools, pictures, tmp_path):
    options = ("--min-area", 100_000)
    code, said, complaints = devotools("segment", pictures, "--out", tmp_path / "out", *options)
    assert code == 0
    assert "0 nuclei" in said
    assert "no nucleus was found. Nuclei must be brighter than the cytoplasm" in complaints
    assert "say --nucleus-size" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_nanometres_are_asked_about(devotools, pictures, tmp_path):
    options = ("--pixel-size", 120)
    code, _, complaints = devotools("segment", pictures, "--out", tmp_path / "out", *options)
    assert code == 0
    assert "are nanometres, say --pixel-size 0.12." in complaints


def test_version(devotools):
    code, said, _ = devotools("--version")
    assert (code, said.strip()) == (0, f"devotools {__version__}")


def test_an_interruption_keeps_what_was_done(devotools, monkeypatch, pictures, tmp_path):
    forward = Bright.forward
    seen = []

    def stop_at_the_second(self, image):
        seen.append(1)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return forward(self, image)

    monkeypatch.setattr(Bright, "forward", stop_at_the_second)
    code, _, complaints = devotools("segment", pictures, "--out", tmp_path / "out")
    assert code == 130
    assert "devotools: stopped." in complaints
    assert [row["image"] for row in rows_of(tmp_path / "out" / "images.csv")] == ["a.png"]
    assert len(rows_of(tmp_path / "out" / "nuclei.csv")) == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["{tmp}/nowhere"], "nowhere' does not exist"),
        (["{tmp}/nothing"], "there is no image"),
        (["{tmp}/text"], "there is no image"),
        (["{tmp}/text/notes.txt"], "there is no image"),
        (
            ["{tmp}/pictures", "--pixel-size", "0"],
            "--pixel-size is 0.0; expected a number of micro",
        ),
        (["{tmp}/pictures", "--pixel-size", "nan"], "--pixel-size is nan"),
        (["{tmp}/pictures", "--pixel-size", "1e200"], "expected 1e-06 to 1e+06"),
        (["{tmp}/pictures", "--nucleus-size", "-3"], "--nucleus-size is -3.0; expected"),
        (["{tmp}/pictures", "--device", "tpu"], "device is 'tpu'"),
        (["{tmp}/pictures", "--out", "{tmp}/file"], "cannot be written"),
        (["{tmp}/pictures", "--out", "{tmp}/file/deep"], "cannot be written"),
        (["{tmp}/pictures", "--nucleus"], "No such option"),
        (
            ["{tmp}/pictures", "--pixel-size", "0,12"],
            "'--pixel-size': it is '0,12'; expected a number such as 0.12, with a point",
        ),
        (["{tmp}/pictures", "--threshold", "1.5"], "--threshold is 1.5; expected a number from 0"),
        (["{tmp}/pictures", "--classifier", "mine"], "'mine' does not exist"),
        ([], "Missing argument"),
    ],
)
def test_segment_that_cannot_start_exits_with_2(devotools, pictures, tmp_path, arguments, sentence):
    (tmp_path / "nothing").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("notes")
    (tmp_path / "file").write_text("mine")
    before = files_under(tmp_path)
    out = [] if "--out" in arguments else ["--out", tmp_path / "out"]
    code, _, complaints = devotools("segment", *(a.format(tmp=tmp_path) for a in arguments), *out)
    assert code == 2
    assert "Traceback" not in complaints
    assert sentence in " ".join(complaints.split())
    assert files_under(tmp_path) == before
    assert (tmp_path / "file").read_text() == "mine"


def test_a_nucleus_size_in_micrometres_is_wondered_at(devotools, pictures, tmp_path):
    for number, size in enumerate(("5", "40")):
        code, _, complaints = devotools(
            "segment", pictures, "--out", tmp_path / str(number), "--nucleus-size", size
        )
        assert (code, "divide by the pixel size" in complaints) == (0, size == "5")


@pytest.mark.parametrize("option", ["--threshold=1", "--min-area=99999"])
def test_options_that_leave_everything_out_are_named(devotools, pictures, tmp_path, option):
    code, _, complaints = devotools("segment", pictures, "--out", tmp_path / "out", option)
    assert code == 0
    assert "no nucleus was found" in complaints
    assert "--min-area" in complaints
    assert "also leave nuclei out" in complaints


def test_a_folder_that_may_not_be_read_is_a_row(monkeypatch, devotools, pictures, tmp_path):
    (pictures / "secret").mkdir()
    allowed = os.access
    closed = {pictures / "secret", tmp_path / "closed"}
    monkeypatch.setattr(os, "access", lambda path, mode: path not in closed and allowed(path, mode))
    code, _, complaints = devotools("segment", pictures, "--out", tmp_path / "out")
    assert code == 1
    assert "failed: secret" in complaints
    assert "may not be read (permission denied)" in complaints
    rows = {row["image"]: row["status"] for row in rows_of(tmp_path / "out" / "images.csv")}
    assert rows == {"a.png": "ok", "sub/b.tif": "ok", "secret": "failed"}
    (tmp_path / "closed").mkdir()
    code, _, complaints = devotools("segment", tmp_path / "closed", "--out", tmp_path / "none")
    assert (code, "may not be read" in complaints) == (2, True)
    code, _, complaints = devotools("evaluate", "--data", tmp_path / "closed")
    assert (code, "may not be read" in complaints) == (2, True)


def test_one_picture_and_one_nucleus_are_not_said_in_the_plural(devotools, pictures, tmp_path):
    code, said, _ = devotools("segment", pictures / "sub" / "b.tif", "--out", tmp_path / "out")
    assert code == 0
    assert "1 picture, 1 nucleus; results in" in said


@pytest.mark.skipif(os.name == "nt", reason="Windows allows no such names")
def test_a_carriage_return_in_a_name_breaks_no_table(devotools, pictures, tmp_path):
    (pictures / "a.png").rename(pictures / "a\rb.png")
    (pictures / "Icon\r").touch()  # what macOS puts into folders
    assert devotools("segment", pictures, "--out", tmp_path / "out")[0] == 0
    images = pd.read_csv(tmp_path / "out" / "images.csv")
    assert list(images["image"]) == ["a\rb.png", "sub/b.tif"]
    assert list(images["nuclei"]) == [3, 1]
    nuclei = pd.read_csv(tmp_path / "out" / "nuclei.csv")
    assert list(nuclei["image"]) == ["a\rb.png"] * 3 + ["sub/b.tif"]
    assert nuclei["area_px"].min() > 0


# --- models


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    torch.manual_seed(0)
    model = ResNet18FPN()
    model.working_side, model.working_nucleus = 64, 12.0
    path = tmp_path_factory.mktemp("model") / "random.safetensors"
    save_model(path, model)
    return path


def test_segment_and_evaluate_with_a_saved_model(real, saved, tmp_path):
    data = write_dataset(tmp_path / "data", embryos=1)
    out = tmp_path / "out"
    assert real("segment", data / "images", "--out", out, "--model", saved)[0] == 0
    assert read_labels(out / "labels" / "e0_s0.tif").shape == (48, 48)
    assert real("evaluate", "--data", data, "--model", saved)[0] == 0


@pytest.mark.parametrize("verb", ["segment", "evaluate", "train"])
@pytest.mark.parametrize("kind", ["missing", "pickle", "truncated", "text", "empty", "colour"])
def test_a_model_that_cannot_be_used_exits_with_2(real, saved, pictures, tmp_path, verb, kind):
    path = tmp_path / "model.safetensors"
    if kind == "pickle":
        torch.save({"w": torch.zeros(2)}, path)
    elif kind == "truncated":
        path.write_bytes(saved.read_bytes()[:5000])
    elif kind == "colour":
        save_model(path, ResNet18FPN(3))
    elif kind != "missing":
        path.write_text("weights" if kind == "text" else "")
    data, out = write_dataset(tmp_path / "data"), tmp_path / "out.safetensors"
    arguments = {
        "segment": [pictures, "--out", out, "--model", path],
        "evaluate": ["--data", data, "--model", path],
        "train": ["--data", data, "--out", out, "--init", path, "--epochs", 1],
    }[verb]
    code, _, complaints = real(verb, *arguments)
    assert code == 2
    assert complaints.strip().startswith("devotools: ") or "devotools: " in complaints
    assert "Traceback" not in complaints
    assert "expected" in complaints.lower()
    assert not out.exists()


# --- evaluate


def test_evaluate_prints_and_writes_its_scores(devotools, tmp_path):
    data = write_dataset(tmp_path / "data")
    scores = tmp_path / "new" / "scores.json"
    code, said, _ = devotools("evaluate", "--data", data, "--json", scores)
    assert code == 0
    assert "6 pictures: IoU 1.000" in said
    told = json.loads(scores.read_text())
    assert list(told) == ["images", "iou", "dice", "precision", "recall", "f1", "per_image"]
    assert (told["images"], told["f1"], len(told["per_image"])) == (6, 1.0, 6)
    assert list(told["per_image"][0]) == ["name", "iou", "dice", "precision", "recall", "f1"]


def test_evaluate_takes_the_nucleus_size_that_segment_takes(monkeypatch, devotools, tmp_path):
    data, asked = write_dataset(tmp_path / "data"), []
    score = evaluation.evaluate

    def look(*arguments, scale, **others):
        asked.append(scale)
        return score(*arguments, scale=scale, **others)

    monkeypatch.setattr(evaluation, "evaluate", look)
    assert devotools("evaluate", "--data", data)[0] == 0
    assert devotools("evaluate", "--data", data, "--nucleus-size", "24")[0] == 0
    assert asked == ["auto", 0.5]  # the model knows nuclei of 12 pixels
    code, _, complaints = devotools("evaluate", "--data", data, "--nucleus-size", "-3")
    assert (code, "--nucleus-size is -3.0; expected" in complaints) == (2, True)
    _, _, complaints = devotools("evaluate", "--data", data, "--nucleus-size", "4")
    assert "If 4 are micrometres" in complaints


def spoil(data, how):
    image, mask = data / "images" / "e0_s0.png", data / "masks" / "e0_s0.png"
    if how == "size":
        Image.new("L", (9, 9)).save(mask)
    elif how == "values":
        Image.fromarray(np.arange(48 * 48, dtype=np.uint8).reshape(48, 48)).save(mask)
    elif how == "truncated":
        image.write_bytes(image.read_bytes()[:50])
    elif how == "orphan":
        mask.unlink()
    elif how == "manifest":
        (data / "manifest.csv").write_bytes(b"name,embryo,section\n\xff,1,1\n")
    elif how == "no masks":
        shutil.rmtree(data / "masks")
    elif how == "labels":
        write_labels(data / "labels" / "e0_s0.tif", np.eye(9, dtype=int))


@pytest.mark.parametrize("verb", ["evaluate", "train"])
@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("size", "expected the same rows and columns"),
        ("values", "different values; expected two at most"),
        ("truncated", "cannot be read"),
        ("orphan", "1 images have no mask (e0_s0)"),
        ("manifest", "expected CSV in UTF-8"),
        ("no masks", "does not exist; expected a folder"),
    ],
)
def test_data_that_does_not_fit_exits_with_2(devotools, tmp_path, verb, how, sentence):
    data = write_dataset(tmp_path / "data")
    spoil(data, how)
    target = tmp_path / ("o.json" if verb == "evaluate" else "o.safetensors")
    option = {"evaluate": "--json", "train": "--out"}[verb]
    code, _, complaints = devotools(verb, "--data", data, option, target)
    assert code == 2
    assert sentence in complaints
    assert "Traceback" not in complaints
    assert not target.exists()


def test_evaluate_that_cannot_write_says_so_before_the_work(monkeypatch, devotools, tmp_path):
    data = write_dataset(tmp_path / "data", embryos=1)
    monkeypatch.setattr("devotools.evaluation.evaluate", lambda *_, **__: pytest.fail("it began"))
    for target in (data, ".", data / "manifest.csv" / "x.json"):
        code, _, complaints = devotools("evaluate", "--data", data, "--json", target)
        assert (code, "cannot be written" in complaints) == (2, True)
    code, _, complaints = devotools("evaluate", "--data", data, "--json", "")
    assert (code, "it is empty; expected the name" in complaints) == (2, True)


# --- synthesize, train, doctor


def test_from_nothing_to_a_model(real, tmp_path):
    drawn, mine = tmp_path / "drawn", tmp_path / "mine.safetensors"
    code, said, _ = real(
        *("synthesize", "--out", drawn, "--embryos", 3, "--sections", 1, "--size", 64)
    )
    assert code == 0
    assert "3 sections of 3 embryos" in said
    code, said, complaints = real(
        *("train", "--data", drawn, "--out", mine, "--epochs", 1, "--size", 32, "--val", 0.3),
        *("--batch-size", 1, "--device", "cpu"),
    )
    assert code == 0, complaints
    assert "validation IoU" in said
    assert mine.exists()
    assert real("synthesize", "--out", drawn)[0] == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["synthesize", "--out", "{tmp}/file"], "expected a new folder"),
        (["synthesize", "--out", "{tmp}/file/deep"], "cannot be written"),
        (["synthesize", "--out", "{tmp}/out", "--size", "9000"], "8192"),
        (["synthesize", "--out", "{tmp}/out", "--size", "10"], "64"),
        (["synthesize", "--out", "{tmp}/out", "--embryos", "0"], "Invalid value for '--embryos'"),
        (["synthesize"], "Missing option '--out'"),
        (["train", "--data", "{tmp}", "--out", "{tmp}/m.pt"], "expected .safetensors"),
        (["train", "--data", "{tmp}", "--out", "{tmp}/m.safetensors"], "does not exist; expected"),
        (["train", "--data", "{tmp}/file", "--out", "{tmp}/m.safetensors"], "is a file; expected"),
        (["train", "--data", "{tmp}", "--out", "{tmp}/file/m.safetensors"], "cannot be written"),
        (["evaluate", "--data", "{tmp}/nowhere"], "does not exist"),
        (["dance"], "No such command"),
    ],
)
def test_bad_options_exit_with_2(devotools, tmp_path, arguments, sentence):
    (tmp_path / "file").write_text("mine")
    code, _, complaints = devotools(*(a.format(tmp=tmp_path) for a in arguments))
    assert code == 2
    assert sentence in complaints
    assert "Traceback" not in complaints
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_training_without_a_manifest_says_what_that_means(devotools, monkeypatch, tmp_path):
    data = write_dataset(tmp_path / "data")
    told = []
    for _ in range(2):
        code, _, complaints = devotools(
            "train", "--data", data, "--out", tmp_path / "a.safetensors", "--epochs", 1,
            "--size", 32, "--device", "cpu",
        )  # fmt: skip
        assert code == 0
        told.append("there is no manifest.csv, or it names no embryo" in complaints)
        (data / "manifest.csv").unlink(missing_ok=True)
    assert told == [False, True]


def test_sections_that_a_manifest_leaves_out_are_told_before_the_training(
    devotools, monkeypatch, tmp_path
):
    data = write_dataset(tmp_path / "data")
    manifest = data / "manifest.csv"
    rows = manifest.read_text().splitlines()
    manifest.write_text("\n".join(rows[:-1]) + "\n")

    def no_training(*_, **__):
        raise InputError("not now")

    monkeypatch.setattr("devotools.recipe.fit", no_training)
    options = ("--out", tmp_path / "a.safetensors", "--size", 32, "--device", "cpu")
    code, _, complaints = devotools("train", "--data", data, *options, "--seed", 2**70)
    assert code == 2
    assert f"names no embryo for 1 of {len(rows) - 1} sections, for example" in complaints


def test_a_training_that_diverges_at_once_says_that_nothing_was_written(
    devotools, monkeypatch, tmp_path
):
    data = write_dataset(tmp_path / "data")
    options = ("--out", tmp_path / "a.safetensors", "--size", 32, "--device", "cpu")
    code, _, complaints = devotools("train", "--data", data, *options, "--learning-rate", 1e30)
    assert code == 2
    assert "a.safetensors' was not written" in complaints
    assert not (tmp_path / "a.safetensors").exists()


def test_labels_of_another_size_are_refused_before_the_training(devotools, tmp_path):
    data = write_dataset(tmp_path / "data")
    (data / "labels").mkdir(exist_ok=True)
    name = sorted((data / "masks").iterdir())[0].stem
    write_labels(data / "labels" / f"{name}.tif", np.ones((5, 7), np.int32))
    options = ("--out", tmp_path / "a.safetensors", "--size", 32, "--device", "cpu")
    code, _, complaints = devotools("train", "--data", data, *options)
    assert code == 2
    assert "label image" in complaints
    assert "expected the same rows and columns" in complaints


def test_a_disk_without_room_is_told_before_the_training(devotools, monkeypatch, tmp_path):
    data = write_dataset(tmp_path / "data")
    full = shutil.disk_usage(tmp_path)._replace(free=2**20)
    monkeypatch.setattr("shutil.disk_usage", lambda path: full)
    monkeypatch.setattr("devotools.recipe.fit", None)  # not reached
    options = ("--out", tmp_path / "new" / "a.safetensors", "--size", 32, "--device", "cpu")
    code, _, complaints = devotools("train", "--data", data, *options)
    assert code == 2
    assert "its disk has 1 MiB left; expected more" in complaints
    assert not (tmp_path / "new").exists()


def test_a_training_stopped_too_soon_says_so(devotools, monkeypatch, tmp_path):
    from devotools import recipe
    from devotools.train import History

    monkeypatch.setattr(recipe, "fit", lambda *_: History(interrupted=True))
    out = tmp_path / "m.safetensors"
    code, _, complaints = devotools("train", "--data", write_dataset(tmp_path / "d"), "--out", out)
    assert (code, out.exists()) == (2, False)
    assert "stopped before the first epoch ended" in complaints


def test_doctor_reports_versions_and_the_model(devotools):
    code, said, _ = devotools("doctor")
    assert code == 0
    for word in ("python", "torch", "device", "albumentations", "model nuclei"):
        assert word in said


@pytest.mark.parametrize(
    ("verb", "needed"),
    [
        ("segment", ["."]),
        ("train", ["--data", "."]),
        ("synthesize", []),
        ("export", ["--format", "onnx"]),
        ("import", ["--images", ".", "--masks", "."]),
    ],
)
def test_an_empty_out_is_not_the_current_folder(
    devotools, pictures, tmp_path, monkeypatch, verb, needed
):
    monkeypatch.chdir(tmp_path)
    before = files_under(tmp_path)
    code, _, complaints = devotools(verb, *needed, "--out", "")
    assert code == 2
    sentence = "'--out': it is empty; expected the name of a folder or file"
    assert sentence in " ".join(complaints.split())
    assert files_under(tmp_path) == before


@pytest.mark.parametrize(
    "words",
    [
        ["segment", "", "--out", "new"],
        ["train", "--data", "", "--out", "new.safetensors"],
        ["evaluate", "--data", ""],
        ["import", "--images", "", "--masks", ".", "--out", "new"],
        ["import", "--images", ".", "--masks", "", "--out", "new"],
    ],
)
def test_an_empty_path_to_read_is_not_the_current_folder(
    devotools, pictures, tmp_path, monkeypatch, words
):
    monkeypatch.chdir(tmp_path)
    before = files_under(tmp_path)
    code, _, complaints = devotools(*words)
    assert code == 2
    assert "it is empty; expected the name of a folder or file" in " ".join(complaints.split())
    assert files_under(tmp_path) == before


@pytest.mark.parametrize(
    "verb", ["synthesize", "import", "train", "evaluate", "segment", "progress", "doctor"]
)
def test_help_shows_an_example(devotools, verb):
    code, said, _ = devotools(verb, "--help")
    assert code == 0
    assert f"Example: devotools {verb}" in " ".join(said.split())


def test_a_bug_is_still_a_traceback(devotools, monkeypatch, tmp_path):
    # What nobody foresaw must not hide behind a sentence.
    from devotools import datasets

    def bug(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(datasets, "read_dataset", bug)
    with pytest.raises(ZeroDivisionError):
        devotools("evaluate", "--data", tmp_path)


def test_overlays_can_be_read(devotools, pictures, tmp_path):
    devotools("segment", pictures, "--out", tmp_path / "out")
    assert read_image(tmp_path / "out" / "overlays" / "sub" / "b.png").max() > 0.5


@pytest.mark.parametrize("words", [("app", ""), ("progress", ""), ("progress", "--out", "")])
def test_an_empty_path_is_not_the_current_folder(real, words):
    code, _, complaints = real(*words)
    assert (code, "it is empty" in complaints) == (2, True)


def test_a_crop_larger_than_memory_is_refused(real, tmp_path):
    words = ("train", "--data", tmp_path, "--out", tmp_path / "m.safetensors", "--size", 100_000)
    code, _, complaints = real(*words)
    assert (code, "4096" in complaints) == (2, True)
