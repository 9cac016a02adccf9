"""The app's panel, without a browser: what each control does to the session and to the others."""

import asyncio
import io
import zipfile

import numpy as np
import pandas as pd
import pytest
import tifffile
from helpers import Bright, DarkMiddle, draw_discs, picture_of

from devotools import InputError, write_image
from devotools.classification import states_table
from devotools.ui import App
from devotools.ui.app import choose, panel, session
from devotools.ui.app.charts import states_summary
from devotools.ui.canvas.region import Region


@pytest.fixture
def app(monkeypatch, tmp_path):
    monkeypatch.setattr(session, "load_model", lambda name: Bright())
    monkeypatch.setattr(session, "load_classifier", DarkMiddle)
    (tmp_path / "sub").mkdir()
    for name, count in (("a", 3), ("b", 1)):
        labels = draw_discs()
        write_image(
            tmp_path / "sub" / f"{name}.png", picture_of(np.where(labels <= count, labels, 0))
        )
    (tmp_path / "sub" / "bad.tif").write_bytes(b"II*\0")
    app = App(tmp_path)
    yield app
    app.session.close()


@pytest.fixture
def filled(app):
    """The app with the folder's two pictures and the bad file."""
    app.choose.folder.value = "sub"
    app.choose.open_folder.click()
    return app


def counts(app):
    return [row[2] for row in app.choose.list.rows]


def test_folder_is_opened_and_the_bad_file_has_its_note(filled):
    assert [row[1] for row in filled.choose.list.rows] == ["a.png", "b.png", "bad.tif"]
    assert counts(filled) == ["3", "1", "failed"]
    assert list(filled.choose.list.notes) == ["3"]
    assert "'bad.tif'" in filled.choose.list.notes["3"]
    assert filled.picture.name == "a.png"
    assert filled.canvas.label == "a.png: 3 nuclei outlined"
    assert not filled.save.disabled


def test_upload_goes_the_same_way(app, tmp_path):
    path = app.session.upload_path("up.png")
    path.write_bytes((tmp_path / "sub" / "a.png").read_bytes())
    app.choose._take_file(path, "up.png")
    assert counts(app) == ["…"]
    app.choose._finish_upload()
    assert counts(app) == ["3"]


def test_what_is_done_is_seen_while_the_rest_waits(app, monkeypatch):
    monkeypatch.setattr(panel, "TELL_EVERY", 0)
    seen, predict = [], app.session._predict

    def watch(picture):
        shown = app.picture.name if app.picture else None
        seen.append((shown, counts(app), "Now " + picture.name in app.messages.value))
        predict(picture)

    monkeypatch.setattr(app.session, "_predict", watch)
    app.choose.folder.value = "sub"
    app.choose.open_folder.click()
    waiting = [None, ["…", "…", "failed"]]
    assert seen == [(*waiting, True), ("a.png", ["3", "…", "failed"], True)]
    assert counts(app) == ["3", "1", "failed"]


def test_too_many_pieces_in_one_picture_do_not_keep_the_others_waiting(app, monkeypatch):
    monkeypatch.setattr(panel, "TELL_EVERY", 0)
    monkeypatch.setattr(session, "MAX_ID", 2)
    app.choose.folder.value = "sub"
    app.choose.open_folder.click()
    assert all(picture.probability for picture in app.session.good)
    assert "3 pieces at threshold" in app.messages.value
    assert counts(app) == ["failed", "1", "failed"]
    assert "Raise the smallest area" in app.choose.list.notes["1"]
    app.choose.list.selected = 2
    assert app.canvas.label == "b.png: 1 nucleus outlined"
    _, made = app._make_zip()
    with zipfile.ZipFile(io.BytesIO(made)) as file:
        rows = file.read("images.csv").decode().splitlines()
    assert [row.split(",")[1] for row in rows[1:]] == ["failed", "ok", "failed"]


def test_a_picture_that_has_gone_is_told_and_the_other_stays(filled, tmp_path):
    (tmp_path / "sub" / "b.png").unlink()
    filled.choose.list.selected = 2
    assert "b.png" in filled.messages.value
    assert (filled.picture.name, filled.choose.list.selected) == ("a.png", 1)
    assert filled.canvas.label == "a.png: 3 nuclei outlined"


def test_numbering_a_large_picture_says_that_it_takes_a_while(filled, monkeypatch):
    monkeypatch.setattr(panel, "LARGE", 1000)
    said = []
    filled.messages.observe(lambda change: said.append(change["new"]), "value")
    filled.threshold.value = 0.6
    assert [("large picture" in text) for text in said] == [True, False]
    assert said[-1] == ""


def test_too_large_an_upload_is_told_and_offered_the_folder(app):
    app.choose._refuse("large.tif", 312 * 10**6)
    app.choose._finish_upload()
    assert "&#x27;large.tif&#x27; has 312 MB; expected 200 MB at most" in app.messages.value
    assert "devotools app FOLDER" in app.messages.value
    app.choose._finish_upload()
    assert app.messages.value == ""


def test_upload_without_room_is_told(app):
    app.choose._fail("a.tif", OSError(28, "No space left on device"))
    app.choose._finish_upload()
    assert "cannot be kept (No space left on device)" in app.messages.value


def test_folder_outside_is_a_message(app):
    app.choose.folder.value = ".."
    app.choose.open_folder.click()
    assert "lies outside the folder" in app.messages.value


def test_without_a_folder_there_is_no_field_for_it():
    app = App()
    assert app.choose.open_folder not in app.choose.children
    app.session.close()


def test_examples_bring_their_pixel_size(app, monkeypatch, tmp_path):
    example = tmp_path / "example_1.tif"
    stored = np.uint8(255 * picture_of(draw_discs()))
    tifffile.imwrite(example, stored, imagej=True, resolution=(4, 4), metadata={"unit": "um"})
    monkeypatch.setattr(session, "draw_examples", lambda folder: [(example, example.name)])
    app.choose.examples.click()
    assert app.choose.pixel_size.value == ""  # it is theirs, and no other picture's
    assert [p.pixel_size_um for p in app.session.pictures] == [0.25]
    assert app.table.columns[3] == "area (µm²)"
    assert counts(app) == ["3"]


def test_sliders_change_picture_table_and_all_counts(filled):
    area = int(filled.session.table(filled.picture)["area_px"].iloc[0])
    filled.min_area.value = area + 1
    assert filled.table.rows == []
    assert counts(filled) == ["0", "0", "failed"]
    filled.min_area.value = 0
    filled.threshold.value = 0.9
    assert filled.session.settings.threshold == 0.9
    assert counts(filled) == ["3", "1", "failed"]


def test_other_pictures_are_counted_when_the_hand_rests(filled):
    async def move():
        filled.min_area.value = 900
        assert counts(filled) == ["3", "1", "failed"]
        filled.min_area.value = 950
        await filled._counting

    asyncio.run(move())
    assert counts(filled) == ["0", "0", "failed"]


def test_choosing_in_the_list_shows_the_picture(filled):
    filled.choose.list.selected = 2
    assert filled.picture.name == "b.png"
    assert len(filled.table.rows) == 1
    filled.choose.list.selected = 3  # the bad one: nothing to show
    assert filled.picture.name == "b.png"
    filled._go(1)
    assert filled.picture.name == "a.png"
    filled._go(-1)
    assert filled.picture.name == "b.png"


def test_table_and_picture_select_the_same_nucleus(filled):
    filled.table.selected = 2
    assert filled.canvas.selected == 2
    filled.canvas.selected = 3
    assert filled.table.selected == 3


def test_delete_add_undo_redo_and_the_table_follows(filled):
    filled.table.selected = 2
    filled.canvas._receive(filled.canvas, {"type": "delete"}, [])
    assert [row[0] for row in filled.table.rows] == [1, 3]
    assert filled.canvas.selected == 0
    filled._edit(Region(2, 50, np.ones((4, 4), bool)), 4)
    assert [row[0] for row in filled.table.rows] == [1, 3, 4]
    assert counts(filled)[0] == "3"
    assert (filled.canvas.can_undo, filled.canvas.can_redo) == (True, False)
    for _ in range(2):
        filled._step("undo")
    assert [row[0] for row in filled.table.rows] == [1, 2, 3]
    assert (filled.canvas.can_undo, filled.canvas.can_redo) == (False, True)
    filled._step("redo")
    assert [row[0] for row in filled.table.rows] == [1, 3]


def test_delete_of_nothing_is_a_message(filled):
    filled.canvas._receive(filled.canvas, {"type": "delete"}, [])
    assert "no nucleus is selected" in filled.canvas.message


def test_stroke_that_changes_nothing_is_taken_back(filled):
    with pytest.raises(InputError, match="no nucleus under the eraser"):
        filled._edit(Region(2, 50, np.ones((4, 4), bool)), 0)
    assert not filled.canvas.can_undo


def test_settings_that_cannot_be_are_a_message_and_the_field_goes_back(filled):
    filled.choose.pixel_size.value = "0,5"  # a comma will do
    assert filled.session.settings.pixel_size_um == 0.5
    filled.choose.pixel_size.value = "half"
    assert "pixel size is &#x27;half&#x27;; expected a number" in filled.messages.value
    assert filled.choose.pixel_size.value == "0.5"
    filled.choose.nucleus_size.value = "-3"
    assert "nucleus size is -3.0" in filled.messages.value
    assert filled.choose.nucleus_size.value == ""
    filled.choose.nucleus_size.value = "6"
    assert filled.session.scale() == 2.0
    assert counts(filled)[0] == "3"


def test_charts_are_drawn_when_they_are_in_sight(filled):
    assert filled.areas.value == ""
    filled.tabs.selected_index = 1
    assert "Histogram of 3 areas" in filled.areas.value
    filled.tabs.selected_index = 2
    assert "Nuclei in each picture: a.png 3, b.png 1." in filled.series.value
    filled.tabs.selected_index = 1
    filled.min_area.value = 900
    assert "No nucleus" in filled.areas.value
    assert "No picture" in panel.series_chart([], [], -1)


def test_model_files_of_the_folder_and_uploads_can_be_chosen(app, tmp_path):
    (tmp_path / "mine.safetensors").write_bytes(b"")
    assert ("mine.safetensors", "mine.safetensors") in app.choose._models()
    path = app.session.upload_path("theirs.safetensors")
    path.write_bytes(b"")
    app.choose._take_file(path, "theirs.safetensors")
    assert app.session.settings.model == str(path)
    assert choose._number(" ", "pixel_size_um") is None


def test_an_uploaded_file_that_is_no_model_is_a_message_and_not_offered(app, monkeypatch):
    def refuse(name):
        raise InputError(f"{str(name)!r} is no model; expected one. Choose another.")

    monkeypatch.setattr(session, "load_model", refuse)
    offered = app.choose.model.options
    path = app.session.upload_path("bad.safetensors")
    app.choose._take_file(path, "bad.safetensors")
    app.choose._finish_upload()
    assert "&#x27;bad.safetensors&#x27; is no model" in app.messages.value
    assert app.choose.model.options == offered
    assert app.session.settings.model == "nuclei"


def test_model_that_cannot_be_used_is_a_message(app, monkeypatch):
    def refuse(name):
        raise InputError("no model; expected one. Choose another.")

    app.choose.model.options = [*app.choose.model.options, ("bad", "bad")]
    monkeypatch.setattr(session, "load_model", refuse)
    app.choose.model.value = "bad"
    assert "no model; expected one" in app.messages.value
    assert app.choose.model.value == "nuclei"


def test_removed_picture_leaves_list_and_canvas(filled):
    filled.choose.remove.click()
    assert [row[1] for row in filled.choose.list.rows] == ["b.png", "bad.tif"]
    assert filled.picture.name == "b.png"
    filled.choose.remove.click()
    filled.choose.list.selected = 1
    filled.choose.remove.click()
    assert filled.choose.list.rows == []
    assert filled.canvas.label == "No picture: 0 nuclei outlined"
    assert filled.save.disabled


def test_zip_comes_with_its_name(filled):
    name, data = filled._make_zip()
    assert name == "nuclei.zip"
    assert "labels/a.tif" in zipfile.ZipFile(io.BytesIO(data)).namelist()


def test_zip_that_cannot_be_made_is_a_message(filled, monkeypatch):
    def refuse(*_):
        raise InputError("no room; expected some. Make some.")

    monkeypatch.setattr(panel, "export_zip", refuse)
    assert filled._make_zip() is None
    assert "no room" in filled.messages.value


def test_the_tick_box_tells_states(filled):
    plain = filled.table.columns
    assert "state" not in plain
    assert filled.canvas.states == {}
    assert filled.summary.value == ""
    filled.choose.states.value = True
    assert filled.table.columns == [*plain, "state"]
    assert [row[-1] for row in filled.table.rows] == ["interphase"] * 3
    assert filled.canvas.states == dict.fromkeys("123", "interphase")
    assert "0 of 3 condensed, 0 unsure: fraction condensed <b>0.00</b>" in filled.summary.value
    filled.session.delete(filled.picture, 1)
    filled._update()
    assert set(filled.canvas.states) == {"2", "3"}
    filled.choose.states.value = False
    assert filled.table.columns == plain
    assert (filled.canvas.states, filled.summary.value) == ({}, "")


def test_the_summary_says_when_nothing_could_be_told():
    told = states_table(pd.Series([1]), np.array([0.5]), 0.8)
    assert "0 of 0 condensed, 1 unsure: no state could be told" in states_summary(told)
    assert states_summary(None) == ""


def test_text_form_never_changes(app):
    assert repr(app) == "App: find, correct and measure nuclei in a running notebook"
