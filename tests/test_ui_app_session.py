"""The app without a browser: pictures with their reasons, nuclei, corrections, and the zip."""

import json
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from helpers import CENTRES, Bright, DarkMiddle, draw_discs, files_under, picture_of, run_command
from PIL import Image

from devotools import InputError, read_labels, synthesize_series, write_image
from devotools.exchange import read_rois, rois_to_labels
from devotools.ui.app import pictures, session
from devotools.ui.app.corrections import Corrections, Delete, Erase, Paint, step_for
from devotools.ui.app.results import command_for, export_zip, settings_of
from devotools.ui.app.session import Session, Settings
from devotools.ui.canvas.region import Region, region_of
from devotools.ui.canvas.widget import MAX_ID


@pytest.fixture
def bright(monkeypatch):
    """A network that can be counted by hand, in place of the shipped one; counts its runs."""
    runs = []

    class Counted(Bright):
        def forward(self, image):
            runs.append(image.shape)
            return super().forward(image)

    monkeypatch.setattr(session, "load_model", lambda name: Counted())
    return runs


@pytest.fixture
def app(bright):
    session = Session()
    yield session
    session.close()


@pytest.fixture
def one(app, tmp_path):
    """A session with one picture of three nuclei, done; and the picture."""
    write_image(tmp_path / "discs.png", picture_of(draw_discs()))
    picture = app.add(tmp_path / "discs.png")
    app.run()
    return app, picture


def square(row, col, height=3, width=3):
    return Region(row, col, np.ones((height, width), bool))


# --- pictures ----------------------------------------------------------------------------------


def test_good_pictures_go_on_beside_bad_ones(app, tmp_path):
    """A PDF, a broken TIFF, an empty file, text called PNG: each has its sentence."""
    (tmp_path / "paper.pdf").write_bytes(b"%PDF-1.7\n" + bytes(100))
    tifffile.imwrite(tmp_path / "whole.tif", np.zeros((64, 64), np.uint16))
    (tmp_path / "cut.tif").write_bytes((tmp_path / "whole.tif").read_bytes()[:300])
    wide = bytearray((tmp_path / "whole.tif").read_bytes())
    tags = int.from_bytes(wide[4:8], "little")  # where the list of tags begins, with their number
    place = next(p for p in range(tags + 2, len(wide), 12) if wide[p : p + 2] == b"\0\1")
    wide[place + 4] = 2  # two widths
    (tmp_path / "two_widths.tif").write_bytes(wide)
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "note.png").write_text("no picture")
    write_image(tmp_path / "good.png", picture_of(draw_discs()))
    words = {
        "paper.pdf": "not an image",
        "cut.tif": "cannot be read",
        "two_widths.tif": "cannot be read",
        "empty.png": "empty",
        "note.png": "not an image",
        "good.png": None,
    }
    for name in words:
        app.add(tmp_path / name)
    app.run()
    assert [bool(p.error) for p in app.pictures] == [bool(word) for word in words.values()]
    for picture, word in zip(app.pictures[:-1], words.values(), strict=False):
        assert word in picture.error
        assert repr(picture.name) in picture.error
        assert str(tmp_path) not in picture.error
    assert [(p.name, n) for p, n in app.counts()] == [("good.png", 3)]


def test_colour_and_twenty_pictures_at_once(app, tmp_path):
    grey = np.uint8(picture_of(draw_discs()) * 255)
    for number in range(20):
        path = tmp_path / f"section_{number:02}.jpg"
        Image.fromarray(np.dstack([grey] * 3)).save(path, quality=95)
        app.add(path)
    told = []
    app.run(lambda *at: told.append(at))
    assert [count for _, count in app.counts()] == [3] * 20
    assert told[0] == (0, 20, "section_00.jpg")
    assert told[-1] == (20, 20, "")


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_too_large_is_told_from_the_header_alone(app, tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 1000)
    monkeypatch.setattr(pictures, "read_image", lambda path: pytest.fail("pixels were read"))
    write_image(tmp_path / f"large.{suffix}", np.zeros((40, 50)))
    picture = app.add(tmp_path / f"large.{suffix}")
    assert "40 x 50 pixels" in picture.error
    assert "devotools segment" in picture.error


def test_200_megapixels(app, tmp_path):
    blank = np.zeros((1000, 1000), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", blank, compression="zlib")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
        for tag, value in (("ImageWidth", 20_000), ("ImageLength", 10_000)):
            tiff.pages[0].tags[tag].overwrite(value)
    assert "200 megapixels; expected 67 at most" in app.add(tmp_path / "a.tif").error


def test_names_stay_apart(app, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_image(tmp_path / folder / "one.png", picture_of(draw_discs()))
        app.add(tmp_path / folder / "one.png")
    assert [picture.name for picture in app.pictures] == ["one.png", "one_2.png"]


def test_upload_stays_in_the_sessions_folder_and_goes_with_it(bright):
    app = Session()
    for name in ("../../etc/passwd.png", "C:\\pictures\\a.png", ".hidden.png", ".."):
        path = app.upload_path(name)
        write_image(path.with_suffix(".png"), picture_of(draw_discs()))
        assert path.resolve().is_relative_to(app._workspace.resolve())
    assert app.upload_path("C:\\pictures\\a.png").name == "a.png"
    assert app.upload_path(".hidden.png").name == "hidden.png"
    app.add(path.with_suffix(".png"))
    app.run()
    workspace = app._workspace
    assert files_under(workspace)
    app.close()
    assert not workspace.exists()


def test_session_that_is_forgotten_leaves_nothing(bright):
    app = Session()
    workspace = app._workspace
    app.upload_path("a.png").write_bytes(b"x")
    del app
    assert not workspace.exists()


def test_folder_and_what_lies_outside(bright, tmp_path):
    inside = tmp_path / "inside"
    write_image(inside / "deep" / "one.png", picture_of(draw_discs()))
    write_image(tmp_path / "secret" / "two.png", picture_of(draw_discs()))
    app = Session(inside)
    assert [picture.name for picture in app.add_folder("deep")] == ["one.png"]
    with pytest.raises(InputError, match=r"all 1 files of '\.' are open already"):
        app.add_folder()  # its nuclei would count twice
    app.remove(app.pictures[0])
    assert [picture.name for picture in app.add_folder()] == ["deep/one.png"]
    for outside in ("../secret", str(tmp_path / "secret")):
        with pytest.raises(InputError, match="lies outside the folder"):
            app.add_folder(outside)
    (inside / "link.png").symlink_to(tmp_path / "secret" / "two.png")
    link = next(p for p in app.add_folder() if p.path.name == "link.png")
    assert "lies outside the folder" in link.error
    with pytest.raises(InputError, match="lies outside the folder"):
        app.change(model="../secret/mine.safetensors")
    with pytest.raises(InputError, match="started without a folder"):
        Session().add_folder("deep")


def test_results_and_masks_of_a_folder_are_no_pictures(bright, tmp_path):
    """Also those that the app itself has given, unpacked beside the pictures."""
    path = tmp_path / "drawn" / "images" / "a.png"
    write_image(path, picture_of(draw_discs()))
    (tmp_path / "drawn" / "masks").mkdir()
    app = Session(tmp_path)
    with pytest.raises(InputError, match=r"of labelled pictures.*Give '.*drawn.+images'"):
        app.add_folder("drawn")
    app.add_folder("drawn/images")
    unzip(app, tmp_path).rename(path.with_name("zip"))
    app.remove(app.pictures[0])
    assert [picture.path for picture in app.add_folder("drawn/images")] == [path]


def test_removed_upload_is_removed_from_the_disk_and_a_file_of_a_folder_is_not(app, tmp_path):
    path = app.upload_path("a.png")
    write_image(path, picture_of(draw_discs()))
    write_image(tmp_path / "b.png", picture_of(draw_discs()))
    for picture in (app.add(path), app.add(tmp_path / "b.png")):
        app.remove(picture)
    assert app.pictures == []
    assert not path.exists()
    assert (tmp_path / "b.png").exists()


def test_examples_are_the_drawn_series(app):
    app.add_examples()
    assert len(app.good) == pictures.EXAMPLE_SECTIONS == len(app.pictures)
    series = synthesize_series(nuclei=2, sections=1, size=64, seed=1)
    (size,) = {app.pixel_size(picture) for picture in app.pictures}
    assert size == pytest.approx(series.pixel_size_um * 64 / 256, rel=0.5)
    assert app.settings.pixel_size_um is None


# --- settings and nuclei -----------------------------------------------------------------------


def test_network_runs_once_and_the_sliders_do_not_run_it(one, bright):
    app, picture = one
    app.run()
    for threshold in (0.2, 0.9):
        app.change(threshold=threshold, min_area=0)
        app.table(picture)
    app.change(pixel_size_um=2.0)
    assert len(bright) == 1
    assert app.table(picture)["area_um2"].tolist() == [4.0 * a for a in app.table(picture).area_px]


def test_threshold_and_smallest_area_change_the_count(one):
    app, picture = one
    areas = app.table(picture)["area_px"]
    app.change(min_area=int(areas.max()) + 1)
    assert len(app.table(picture)) == 0
    app.change(min_area=0, threshold=0.0)
    assert app.table(picture)["area_px"].tolist() == [64 * 64]


def test_nucleus_size_runs_the_network_again(one, bright):
    app, _ = one
    app.change(nucleus_size=6.0)
    assert app.scale() == 2.0
    app.run()
    assert [shape[-1] for shape in bright] == [64, 128]


def test_a_picture_that_the_network_refused_is_tried_again_with_another_size(one):
    app, picture = one
    app.delete(picture, 1)
    app.change(nucleus_size=1e-4)
    app.run()
    assert "larger nucleus size" in picture.error
    assert app.good == []
    app.change(nucleus_size=12.0)
    app.run()
    assert picture.error == ""
    assert len(app.table(picture)) == 2  # what was corrected is corrected still


def test_a_file_that_is_no_picture_stays_refused(app, tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    picture = app.add(tmp_path / "a.png")
    app.change(nucleus_size=12.0)
    assert "is not an image" in picture.error


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"pixel_size_um": 4e-9}, "pixel size is 4e-09 micrometres; expected 1e-06 to 1e"),
        ({"threshold": 1.2}, "threshold is 1.2"),
        ({"min_area": -1}, "smallest area is -1"),
        ({"nucleus_size": 0}, "nucleus size is 0; expected a number of pixels above 0"),
        ({"pixel_size_um": -2}, "pixel size is -2; expected a number of micrometres above 0"),
    ],
)
def test_bad_settings_are_refused_and_change_nothing(app, values, words):
    before = app.settings
    with pytest.raises(InputError, match=words):
        app.change(**values)
    assert app.settings == before


def test_nucleus_size_wants_a_model_that_knows_its_own(app, monkeypatch):
    monkeypatch.setattr(app.model.__class__, "working_nucleus", None)
    with pytest.raises(InputError, match="does not say at which nucleus size"):
        app.change(nucleus_size=10)
    assert app.settings.nucleus_size is None


def test_before_the_network_has_run_there_are_no_nuclei(app, tmp_path):
    write_image(tmp_path / "a.png", picture_of(draw_discs()))
    picture = app.add(tmp_path / "a.png")
    with pytest.raises(InputError, match="Let it run first"):
        app.labels(picture)
    assert list(app.counts()) == []


def test_more_specks_than_a_label_image_holds(one, monkeypatch):
    app, picture = one
    monkeypatch.setattr(session, "MAX_ID", 2)
    with pytest.raises(InputError, match="has 3 pieces at threshold"):
        app.labels(picture)


# --- corrections -------------------------------------------------------------------------------


def test_delete_add_undo_redo(one):
    app, picture = one
    app.delete(picture, 2)
    assert app.table(picture)["label"].tolist() == [1, 3]
    app.paint(picture, square(40, 50), 99)
    assert app.table(picture)["label"].tolist() == [1, 3, 4]
    assert app.table(picture)["area_px"].iloc[-1] == 9
    assert picture.corrections.undo()
    assert picture.corrections.undo()
    assert not picture.corrections.undo()
    assert app.table(picture)["label"].tolist() == [1, 2, 3]
    assert picture.corrections.redo()
    assert app.table(picture)["label"].tolist() == [1, 3]
    app.paint(picture, square(40, 50), 99)
    assert not picture.corrections.redo()  # a new step forgets what was undone


def test_many_steps_can_be_undone(one):
    app, picture = one
    for number in range(60):
        app.paint(picture, square(number, 60, 1, 1), 1 if number else 500)
    for _ in range(60):
        assert picture.corrections.undo()
    assert app.table(picture)["label"].tolist() == [1, 2, 3]


def test_an_answer_that_goes_on_from_the_last_is_that_from_the_beginning(one):
    app, picture = one
    rng = np.random.default_rng(0)
    for step in range(40):
        what = step % 5
        if what == 3:
            picture.corrections.undo()
        elif what == 4:
            picture.corrections.redo()
        else:
            row, col = rng.integers(0, 60, 2)
            change = Paint(square(row, col)) if what else Erase(square(row, col))
            picture.corrections.do(change)
        labels = app.labels(picture)
        labels[:] = 0  # whoever changes it changes a copy
        expected = picture.corrections.apply(app._find(picture.probability))
        np.testing.assert_array_equal(app.labels(picture), expected)


def test_corrections_outlive_a_move_of_the_slider(one):
    """The numbers change with the threshold: what was deleted stays away by its place."""
    app, picture = one
    row, column = CENTRES[1]
    app.delete(picture, int(app.labels(picture)[row, column]))
    app.paint(picture, square(40, 50), 99)
    app.change(threshold=0.9)
    labels = app.labels(picture)
    assert labels[row, column] == 0
    assert labels[41, 51] == labels.max() > 0
    assert len(app.table(picture)) == 3


def test_painting_on_a_nucleus_enlarges_it_and_leaves_others_alone():
    labels = np.array([[1, 1, 0, 0, 2, 2]])
    step = step_for(labels, Region(0, 1, np.ones((1, 4), bool)), 1)
    assert isinstance(step, Paint)
    corrections = Corrections([step])
    assert corrections.apply(labels).tolist() == [[1, 1, 1, 1, 2, 2]]
    assert labels.tolist() == [[1, 1, 0, 0, 2, 2]]


def test_erasing_takes_pixels_and_the_half_rule_takes_nuclei():
    labels = np.array([[1, 1, 1, 2, 2, 0]])
    assert Corrections([Erase(Region(0, 2, np.ones((1, 2), bool)))]).apply(labels).tolist() == [
        [1, 1, 0, 0, 2, 0]
    ]
    assert Corrections([Delete(Region(0, 2, np.ones((1, 2), bool)))]).apply(labels).tolist() == [
        [1, 1, 1, 0, 0, 0]
    ]


def test_region_of_is_the_smallest_box():
    mask = np.zeros((5, 6), bool)
    mask[1:3, 2:5] = True
    region = region_of(mask)
    assert (region.row, region.col, region.mask.shape) == (1, 2, (2, 3))
    back = np.zeros_like(mask)
    back[region.box] = region.mask
    assert (back == mask).all()


@pytest.mark.parametrize(
    ("region", "number", "words"),
    [
        (square(63, 63), 9, "expected a place inside the picture of 64 x 64"),
        (Region(-1, 0, np.ones((2, 2), bool)), 9, "rows -1 to 1"),
        (square(15, 15), 9, "belongs to a nucleus already"),
        (square(40, 50), 0, "no nucleus under the eraser"),
        (Region(0, 0, np.full((1, 1), 7)), 9, "region holds the values 7"),
    ],
)
def test_steps_that_cannot_be_are_refused(one, region, number, words):
    app, picture = one
    with pytest.raises(InputError, match=words):
        app.paint(picture, region, number)
    assert picture.corrections.done == []


def test_numbers_end():
    labels = np.array([[MAX_ID, 0]])
    with pytest.raises(InputError, match="Raise the smallest area"):
        step_for(labels, Region(0, 1, np.ones((1, 1), bool)), MAX_ID + 1)


@pytest.mark.parametrize(
    ("number", "words"), [(0, "no nucleus is selected"), (7, "has no nucleus 7")]
)
def test_only_what_is_there_can_be_deleted(one, number, words):
    app, picture = one
    with pytest.raises(InputError, match=words):
        app.delete(picture, number)


# --- what one takes away -----------------------------------------------------------------------


def unzip(app, folder: Path) -> Path:
    export_zip(app, folder / "nuclei.zip")
    with zipfile.ZipFile(folder / "nuclei.zip") as file:
        file.extractall(folder / "zip")
    return folder / "zip"


def test_zip_is_what_the_command_writes(tmp_path, monkeypatch, capsys):
    """The shipped model, two pictures and a broken one, default settings."""
    series = synthesize_series(nuclei=8, sections=3, size=96, seed=3)
    folder = tmp_path / "in"
    for number, image in enumerate(series.images[:2]):
        write_image(folder / f"section_{number}.png", image)
    (folder / "broken.tif").write_bytes(b"II*\0 and no more")
    code, _, _ = run_command(
        monkeypatch, capsys, "segment", folder, "--out", tmp_path / "out", "--device", "cpu"
    )
    assert code == 1
    app = Session(folder)
    app.add_folder()
    made = unzip(app, tmp_path)
    for path in sorted((tmp_path / "out" / "labels").iterdir()):
        np.testing.assert_array_equal(read_labels(made / "labels" / path.name), read_labels(path))
        overlay = f"overlays/{path.stem}.png"
        assert (made / overlay).read_bytes() == (tmp_path / "out" / overlay).read_bytes()
    expected = (tmp_path / "out" / "nuclei.csv").read_text()
    assert (made / "nuclei.csv").read_text().splitlines() == expected.splitlines()
    ours, theirs = (pd.read_csv(d / "images.csv") for d in (made, tmp_path / "out"))
    assert ours.drop(columns=["seconds", "error"]).equals(theirs.drop(columns=["seconds", "error"]))
    assert ours["error"].notna().tolist() == theirs["error"].notna().tolist()


def test_zip_holds_corrections_outlines_and_settings(one, tmp_path):
    app, picture = one
    app.change(pixel_size_um=0.5, threshold=0.6)
    app.delete(picture, 1)
    made = unzip(app, tmp_path)
    assert files_under(made) == {
        "labels/discs.tif",
        "overlays/discs.png",
        "rois/discs.zip",
        "nuclei.csv",
        "images.csv",
        "settings.json",
    }
    labels = read_labels(made / "labels" / "discs.tif")
    assert np.unique(labels).tolist() == [0, 2, 3]
    rois = rois_to_labels(read_rois(made / "rois" / "discs.zip"), labels.shape)
    assert ((rois > 0) == (labels > 0)).all()
    assert pd.read_csv(made / "nuclei.csv")["label"].tolist() == [2, 3]
    settings = json.loads((made / "settings.json").read_text())
    assert settings == settings_of(app)
    assert (settings["threshold"], settings["scale"]) == (0.6, "auto")
    assert settings["corrected"] == {"discs.png": 1}
    assert settings["command"].endswith("--pixel-size 0.5 --threshold 0.6 --rois")


def test_a_picture_that_is_opened_again_is_read_again(one, tmp_path):
    app, picture = one
    app.table(picture)
    app.remove(picture)
    write_image(tmp_path / "discs.png", picture_of(draw_discs()) / 2)
    again = app.add(tmp_path / "discs.png")
    app.run()
    assert app.image(again).max() < 0.6


def test_too_many_nuclei_for_imagej_cost_the_outlines_only(one, tmp_path, monkeypatch):
    app, picture = one
    monkeypatch.setattr("devotools.exchange.roi_export.MAX_ROIS", 2)
    made = unzip(app, tmp_path)
    assert not (made / "rois" / "discs.zip").exists()
    assert len(pd.read_csv(made / "nuclei.csv")) == 3
    told = json.loads((made / "settings.json").read_text())["without_rois"]
    assert "labels hold 3 nuclei" in told[picture.name]


def test_a_picture_whose_file_has_gone_is_a_row_of_the_zip(one, tmp_path):
    app, picture = one
    write_image(tmp_path / "b.png", picture_of(draw_discs()))
    app.add(tmp_path / "b.png")
    app.run()
    picture.path.unlink()
    made = unzip(app, tmp_path)
    rows = pd.read_csv(made / "images.csv")
    assert rows["status"].tolist() == ["failed", "ok"]
    assert "discs.png" in rows["error"][0]


def test_picture_without_nuclei_has_no_outlines_but_everything_else(app, tmp_path):
    write_image(tmp_path / "flat.png", np.full((32, 32), 0.2))
    app.add(tmp_path / "flat.png")
    made = unzip(app, tmp_path)
    assert not (made / "rois").exists()
    assert (made / "labels" / "flat.tif").exists()
    assert len(pd.read_csv(made / "nuclei.csv")) == 0


def test_a_zip_that_fails_is_not_there(one, tmp_path, monkeypatch):
    app, _ = one
    monkeypatch.setattr(
        "devotools.ui.app.results.write_overlay", lambda *_: (_ for _ in ()).throw(OSError("full"))
    )
    with pytest.raises(InputError, match="cannot be written"):
        export_zip(app, tmp_path / "nuclei.zip")
    assert not (tmp_path / "nuclei.zip").exists()


# --- states ------------------------------------------------------------------------------------


@pytest.fixture
def with_states(one, monkeypatch):
    """The session with one picture of three nuclei, all in interphase; and how often it loaded."""
    loaded = []
    monkeypatch.setattr(session, "load_classifier", lambda: loaded.append(1) or DarkMiddle())
    return (*one, loaded)


def test_states_are_told_when_they_are_asked_for(with_states, bright):
    app, picture, loaded = with_states
    assert "state" not in app.table(picture)
    assert app.states(picture) is None
    assert app.states_by_label(picture) == {}
    runs = len(bright)
    app.change(states=True)
    assert app.table(picture)["state"].tolist() == ["interphase"] * 3
    assert app.states_by_label(picture) == dict.fromkeys((1, 2, 3), "interphase")
    app.delete(picture, 2)
    assert app.table(picture)[["label", "state"]].to_numpy().tolist() == [
        [1, "interphase"],
        [3, "interphase"],
    ]
    app.run()
    assert len(bright) == runs  # the network that finds nuclei need not run again
    assert loaded == [1]
    app.change(states=False)
    assert "state" not in app.table(picture)


def test_zip_with_states_is_what_the_command_writes(with_states, tmp_path):
    app, _, _ = with_states
    app.change(states=True)
    made = unzip(app, tmp_path)
    images = pd.read_csv(made / "images.csv")
    assert images.loc[0, ["condensed", "interphase", "unsure"]].tolist() == [0, 3, 0]
    assert images["fraction_condensed"].tolist() == [0.0]
    nuclei = pd.read_csv(made / "nuclei.csv")
    assert list(nuclei)[-2:] == ["state", "state_probability"]
    settings = json.loads((made / "settings.json").read_text())
    assert settings["classify"] == "states"
    assert settings["command"].endswith("--out RESULTS --classify --rois")


def test_command_tells_a_model_file_by_its_name_alone():
    settings = Settings(model="/somewhere/secret/my model.safetensors", min_area=5)
    assert command_for(settings) == (
        "devotools segment PICTURES --out RESULTS --model 'my model.safetensors' --min-area 5 "
        "--rois"
    )
    assert command_for(Settings()).endswith("--out RESULTS --rois")


def test_a_full_disk_is_the_reason_of_one_picture_and_the_next_is_tried(app, tmp_path, monkeypatch):
    for name in ("a.png", "b.png"):
        write_image(tmp_path / name, picture_of(draw_discs()))
        app.add(tmp_path / name)
    real, room = np.save, iter([False, True, True])

    def save(file, array):
        if not next(room):
            file.write(b"half")
            raise OSError(28, "No space left on device")
        real(file, array)

    monkeypatch.setattr(np, "save", save)
    app.run()
    first, second = app.pictures
    assert "No space left on device" in first.error
    assert "TMPDIR" in first.error
    assert (first.probability, len(list(Path(app._workspace).glob("*.npy")))) == (None, 1)
    assert len(app.table(second)) == len(CENTRES)
    app.run()  # by now there is room
    assert first.error == ""
    assert len(app.table(first)) == len(CENTRES)


def test_a_picture_beyond_what_pillow_opens_is_still_too_large(app, tmp_path):
    """Refused by its header, before a pixel is read."""
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (14_000).to_bytes(4) * 2 + b"\x08\0\0\0\0"
    crc = zlib.crc32(header[12:]).to_bytes(4)
    empty = b"\0\0\0\0IDAT" + zlib.crc32(b"IDAT").to_bytes(4)
    (tmp_path / "a.png").write_bytes(header + crc + empty)
    assert "196 megapixels; expected 67 at most" in app.add(tmp_path / "a.png").error
