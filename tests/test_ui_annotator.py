"""The annotator, without a browser: strokes, files, proposals, and going on where one stopped."""

import os

import numpy as np
import pytest
from helpers import Bright, draw_discs, files_under, picture_of
from PIL import Image

import devotools as dt
from devotools import InputError, read_dataset, read_labels, read_mask, write_image, write_mask
from devotools._files import cannot_write
from devotools.ui.annotator.folder import LabelFolder
from devotools.ui.annotator.history import STEPS, History
from devotools.ui.canvas.region import Region


@pytest.fixture
def folder(tmp_path):
    """Three pictures of three discs."""
    for name in ("a", "b", "c"):
        write_image(tmp_path / "pictures" / f"{name}.png", picture_of(draw_discs()))
    return tmp_path


def annotator(folder, **options):
    return dt.annotate(folder / "pictures", folder / "data", **options)


def dab(made, row, col, number, size=3):
    """A stroke as the canvas hands it over, errors becoming its message."""
    mask = np.ones((size, size), bool)
    made.canvas._receive(
        made.canvas,
        {"type": "edit", "row": row, "col": col, "height": size, "width": size, "id": number},
        [np.packbits(mask.ravel(), bitorder="little").tobytes()],
    )


def press(made, key):
    made.canvas._receive(made.canvas, {"type": key}, [])


def test_each_stroke_is_on_the_disk_in_the_layout_that_train_reads(folder):
    made = annotator(folder, embryo="E1")
    assert files_under(folder / "data") == set()
    dab(made, 10, 20, 1)
    dab(made, 40, 30, 2)
    assert files_under(folder / "data") == {
        "images/a.png",
        "masks/a.png",
        "labels/a.tif",
        "manifest.csv",
    }
    (pair,) = read_dataset(folder / "data")
    assert (pair.embryo, pair.section) == ("E1", 0)
    labels = read_labels(pair.labels)
    assert np.unique(labels, return_counts=True)[1].tolist() == [64 * 64 - 18, 9, 9]
    np.testing.assert_array_equal(read_mask(pair.mask), labels > 0)
    assert "picture 1 of 3: saved. 1 of 3 are labelled" in made.header.value


def test_goes_on_where_one_stopped(folder):
    made = annotator(folder)
    dab(made, 10, 20, 1)
    press(made, "next")
    dab(made, 30, 20, 1)
    for name, time in (("a", 1), ("b", 2)):
        os.utime(folder / "data" / "masks" / f"{name}.png", (time, time))
        os.utime(folder / "data" / "labels" / f"{name}.tif", (time, time))
    again = annotator(folder)
    assert again.number == 1
    assert again.labels[31, 21] == 1
    press(again, "previous")
    assert again.labels[11, 21] == 1
    press(again, "previous")
    assert again.number == 2
    assert not again.labels.any()


def test_fifty_steps_are_undone_and_done_again_on_the_disk_too(folder):
    made = annotator(folder)
    for number in range(60):
        dab(made, number, 0, number + 1, size=1)
    stored = folder / "data" / "labels" / "a.tif"
    assert read_labels(stored).max() == 60
    for _ in range(60):
        press(made, "undo")
    assert read_labels(stored).max() == 0
    assert (made.canvas.can_undo, made.canvas.can_redo) == (False, True)
    press(made, "undo")  # one too many does nothing
    for _ in range(2):
        press(made, "redo")
    assert read_labels(stored).max() == 2
    assert made.labels[:3, 0].tolist() == [1, 2, 0]


def test_undo_outlives_a_look_at_the_next_picture(folder):
    made = annotator(folder)
    dab(made, 10, 20, 1)
    press(made, "next")
    press(made, "previous")
    assert made.canvas.can_undo
    press(made, "undo")
    assert not read_labels(folder / "data" / "labels" / "a.tif").any()


def test_history_ends_somewhere():
    labels, history = np.zeros((1, 1), np.int32), History()
    for _ in range(STEPS + 5):
        history.do(labels, Region(0, 0, np.array([[True]])), 1)
    assert len(history.done) == STEPS


def test_delete_takes_the_selected_nucleus(folder):
    made = annotator(folder)
    dab(made, 10, 20, 1)
    dab(made, 40, 30, 2)
    press(made, "delete")
    assert "no nucleus is selected" in made.canvas.message
    made.canvas.selected = 1
    press(made, "delete")
    assert np.unique(read_labels(folder / "data" / "labels" / "a.tif")).tolist() == [0, 2]
    press(made, "undo")
    assert np.unique(made.labels).tolist() == [0, 1, 2]


def test_proposal_of_the_model_is_saved_when_touched_or_accepted(folder):
    made = annotator(folder, model=Bright())
    np.testing.assert_array_equal(made.labels > 0, draw_discs() > 0)
    assert "proposal of the model, not saved" in made.header.value
    press(made, "next")
    assert files_under(folder / "data") == set()
    made.buttons["Accept and next"].click()
    assert files_under(folder / "data") == {"images/b.png", "masks/b.png", "labels/b.tif"}
    assert made.number == 2
    dab(made, 0, 0, 9)
    assert np.unique(read_labels(folder / "data" / "labels" / "c.tif")).tolist() == [0, 1, 2, 3, 9]
    assert made.folder.is_labelled(2)
    assert not made.folder.is_labelled(0)


def test_model_by_its_name(folder):
    assert annotator(folder, model="nuclei")._model.working_side > 0


def test_picture_without_a_nucleus_can_be_accepted(folder):
    made = annotator(folder)
    made.accept()
    assert not read_mask(folder / "data" / "masks" / "a.png").any()


def test_folder_that_has_masks_already(folder):
    """Of `devotools import` or a colleague: masks alone, as TIFF; pictures are not copied."""
    data = folder / "pictures"
    data.rename(folder / "images")
    mask = draw_discs() > 0
    write_mask(folder / "masks" / "b.tif", mask)
    made = dt.annotate(folder / "images", folder)
    assert made.number == 1
    np.testing.assert_array_equal(made.labels > 0, mask)
    assert made.labels.max() == 3
    dab(made, 0, 0, 4)
    assert sorted(path.name for path in (folder / "masks").iterdir()) == ["b.tif"]
    assert read_mask(folder / "masks" / "b.tif").sum() == mask.sum() + 9
    assert sorted(path.name for path in (folder / "images").iterdir()) == [
        "a.png",
        "b.png",
        "c.png",
    ]


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_another_picture_of_a_name_that_is_labelled_is_refused(folder, name):
    """A second embryo, its sections numbered from 0 as the first one's."""
    dab(annotator(folder, embryo="E1"), 10, 20, 1)
    before = {path: path.read_bytes() for path in sorted((folder / "data").rglob("*.*"))}
    write_image(folder / "second" / name, 1 - picture_of(draw_discs()))
    with pytest.raises(InputError, match=r"holds a picture 'a\.png' that is not .*E2_a\."):
        dt.annotate(folder / "second", folder / "data", embryo="E2")
    assert {path: path.read_bytes() for path in sorted((folder / "data").rglob("*.*"))} == before
    (folder / "second" / name).rename(folder / "second" / f"E2_{name}")
    second = dt.annotate(folder / "second", folder / "data", embryo="E2")
    dab(second, 10, 20, 1)
    assert {pair.embryo for pair in read_dataset(folder / "data")} == {"E1", "E2"}


def test_a_manifest_that_is_there_is_kept_and_continued(folder):
    (folder / "data").mkdir()
    text = "name,embryo,section,pixel_size_um\nz,E0,3,0.2\n"
    (folder / "data" / "manifest.csv").write_text(text, encoding="utf-8")
    made = annotator(folder, embryo="E1")
    dab(made, 0, 0, 1)
    dab(made, 9, 9, 2)
    assert (folder / "data" / "manifest.csv").read_text() == text + "a,E1,0,\n"


@pytest.mark.parametrize("start", ["\ufeff", ""], ids=["excel", "plain"])
def test_a_manifest_of_a_spreadsheet_is_continued(folder, start):
    pictures, out = folder / "pictures", folder / "data"
    out.mkdir()
    (out / "manifest.csv").write_text(f"{start}name,embryo,section\nother,e0\n", encoding="utf-8")
    labelled = LabelFolder(pictures, out, embryo="e1")
    labelled.save(0, np.zeros(labelled.image(0).shape, np.int32))
    name = labelled.files[0].stem
    rows = (out / "manifest.csv").read_text(encoding="utf-8").splitlines()
    assert rows == ["name,embryo,section", "other,e0,", f"{name},e1,0"]


@pytest.mark.parametrize("text", ["Bild;embryo;section\n", "name,embryo\na,b,c\n", "\xe4"])
def test_a_manifest_that_is_no_table_is_a_sentence(folder, text):
    pictures, out = folder / "pictures", folder / "data"
    out.mkdir()
    (out / "manifest.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"manifest\.csv.* expected"):
        LabelFolder(pictures, out, embryo="e1")
    labelled = LabelFolder(pictures, folder / "later", embryo="e1")
    (folder / "later").mkdir()
    (folder / "later" / "manifest.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"manifest\.csv.* expected"):
        labelled.save(0, np.zeros(labelled.image(0).shape, np.int32))
    assert (out / "manifest.csv").read_bytes() == text.encode("latin-1")


def test_another_embryo_of_a_picture_is_refused_not_passed_over(folder):
    pictures, out = folder / "pictures", folder / "data"
    labels = np.zeros(draw_discs().shape, np.int32)
    LabelFolder(pictures, out, embryo="E1").save(0, labels)
    with pytest.raises(InputError, match=r"embryo is 'E2', and .*manifest\.csv' has 'E1' for .*'a"):
        LabelFolder(pictures, out, embryo="E2")
    LabelFolder(pictures, out, embryo="E1").save(1, labels)
    table = out / "manifest.csv"
    assert table.read_text().split() == ["name,embryo,section", "a,E1,0", "b,E1,1"]
    table.write_text("name,embryo,section\na.png, E9 ,0\nb,,1\n")  # as others write tables
    with pytest.raises(InputError, match="has 'E9' for"):
        LabelFolder(pictures, out, embryo="E1")
    for number in (0, 1):
        LabelFolder(pictures, out, embryo="E9").save(number, labels)
    assert table.read_text().splitlines()[1:] == ["a.png, E9 ,0", "b,E9,1"]


@pytest.mark.parametrize("suffix", [".bmp", ".gif", ".png"])
def test_a_mask_of_another_kind_makes_way(folder, suffix):
    pictures, out = folder / "pictures", folder / "data"
    (out / "masks").mkdir(parents=True)
    mask = np.uint8(255 * (draw_discs() > 0))
    Image.fromarray(mask).save(out / "masks" / f"a{suffix}")
    labelled = LabelFolder(pictures, out)
    assert labelled.is_labelled(0)
    labelled.save(0, np.zeros(mask.shape, np.int32))
    assert files_under(out / "masks") == {"a.png"}
    assert len(read_dataset(out)) == 1


def test_notes_beside_a_mask_are_nobodys_to_remove(folder):
    pictures, out = folder / "pictures", folder / "data"
    notes = {out / "labels" / "a.txt", out / "labels" / "a.roi", out / "masks" / "a.json"}
    for note in notes:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text("my notes")
    (out / "labels" / "a.d").mkdir()
    LabelFolder(pictures, out).save(0, draw_discs())
    assert all(note.read_text() == "my notes" for note in notes)
    assert {"a.tif", "a.png"} <= {path.name for path in out.rglob("*.*")}


def test_what_is_refused_leaves_a_folder_that_can_be_trained_on(folder):
    labelled = LabelFolder(folder / "pictures", folder / "data")
    labels = np.ones(labelled.image(0).shape, np.int64)
    labelled.save(0, labels)
    with pytest.raises(InputError, match="expected ids"):
        labelled.save(1, labels * 2**40)
    for number in (-1, 3):
        with pytest.raises(InputError, match=f"number is {number}; expected 0 to 2"):
            labelled.save(number, labels)
    assert len(read_dataset(folder / "data")) == 1


def test_labels_of_another_size_are_not_saved(folder):
    pictures, out = folder / "pictures", folder / "data"
    with pytest.raises(InputError, match="expected the same rows and columns"):
        LabelFolder(pictures, out).save(0, np.zeros((5, 7), np.int32))
    assert not out.exists() or not list(out.rglob("*.tif"))


def test_jpeg_mask_is_a_message_and_is_not_overwritten(folder):
    (folder / "data" / "masks").mkdir(parents=True)
    grey = np.uint8(picture_of(draw_discs()) * 255)
    Image.fromarray(grey).save(folder / "data" / "masks" / "a.jpg", quality=40)
    before = (folder / "data" / "masks" / "a.jpg").read_bytes()
    made = annotator(folder)
    assert "saved as JPEG" in made.canvas.message
    assert "cannot be used" in made.header.value
    made.buttons["Accept and next"].click()
    assert "Go to the next one" in made.canvas.message
    assert (folder / "data" / "masks" / "a.jpg").read_bytes() == before
    assert files_under(folder / "data") == {"masks/a.jpg"}


def test_broken_picture_is_a_message_and_the_rest_goes_on(folder):
    (folder / "pictures" / "a.png").write_bytes(b"no picture")
    made = annotator(folder)
    assert "not an image" in made.canvas.message
    press(made, "next")
    assert made.canvas.message == ""
    dab(made, 0, 0, 1)
    assert made.folder.is_labelled(1)


def test_a_broken_picture_is_not_said_to_be_changed_by_others(folder):
    (folder / "pictures" / "b.png").write_bytes(b"rubbish")
    made = annotator(folder)
    made.accept()
    made.buttons["Accept and next"].click()
    assert "changed meanwhile" not in made.canvas.message


def test_mask_of_another_size_is_a_message(folder):
    write_mask(folder / "data" / "masks" / "a.png", np.zeros((5, 5), bool))
    assert "expected the same rows and columns" in annotator(folder).canvas.message


def test_what_cannot_be_written_is_said_and_not_called_saved(folder):
    (folder / "data").write_text("a file stands where the folder should")
    made = annotator(folder)
    dab(made, 0, 0, 1)
    assert "cannot be written" in made.canvas.message
    assert "NOT saved" in made.header.value


def test_what_could_not_be_saved_is_tried_again_before_it_is_left(folder):
    (folder / "data").mkdir()
    (folder / "data" / "labels").write_text("in the way")
    made = annotator(folder)
    dab(made, 10, 20, 1)
    press(made, "next")
    assert "cannot be written" in made.canvas.message
    assert "picture 1 of 3: NOT saved" in made.header.value  # it is still there
    (folder / "data" / "labels").unlink()
    press(made, "next")
    assert "picture 2 of 3" in made.header.value
    assert (read_labels(folder / "data" / "labels" / "a.tif") > 0).sum() == 9


def test_two_pages_do_not_write_over_each_other(folder):
    ours, theirs = annotator(folder), annotator(folder)
    dab(ours, 10, 20, 1)
    dab(theirs, 40, 30, 1)  # it was opened before our stroke, and does not show it
    assert "changed meanwhile" in theirs.canvas.message
    assert (theirs.labels > 0).sum() == 9  # now it does
    dab(theirs, 40, 30, 2)
    assert (read_labels(folder / "data" / "labels" / "a.tif") > 0).sum() == 18
    press(ours, "undo")
    assert "changed meanwhile" in ours.canvas.message
    assert (ours.labels > 0).sum() == 18
    dab(theirs, 50, 50, 3)
    ours.buttons["Accept and next"].click()
    assert "changed meanwhile" in ours.canvas.message
    assert (read_labels(folder / "data" / "labels" / "a.tif") > 0).sum() == 27


def test_looking_at_pictures_forgets_no_stroke(folder, monkeypatch):
    monkeypatch.setattr("devotools.ui.annotator.panel.HISTORIES", 2)
    made = annotator(folder)
    dab(made, 10, 20, 1)
    for _ in range(3):
        press(made, "next")
    assert made.number == 0
    assert made.canvas.can_undo
    for number in (1, 2):
        made.show_number(number)
        dab(made, 10, 20, 1)
    made.show_number(0)
    assert made.canvas.can_undo
    made.show_number(1)
    assert not made.canvas.can_undo  # two others have been looked at or drawn on since


def test_undo_after_coming_back_takes_nothing_of_others_away(folder):
    ours, theirs = annotator(folder), annotator(folder)
    dab(ours, 10, 20, 1)
    press(ours, "next")
    theirs.show_number(0)
    dab(theirs, 40, 30, 2)
    press(ours, "previous")
    assert not ours.canvas.can_undo  # our stroke is not the last one any more
    press(ours, "undo")
    assert (read_labels(folder / "data" / "labels" / "a.tif") > 0).sum() == 18


def test_more_nuclei_than_numbers_are_told(folder):
    specks = np.zeros((514, 514), np.int32)
    specks[::2, ::2] = np.arange(1, 257**2 + 1).reshape(257, 257)
    write_image(folder / "pictures" / "a.png", specks > 0)
    write_mask(folder / "data" / "masks" / "a.png", specks > 0)
    made = annotator(folder)
    assert "nuclei up to number 66,049; expected less than 65,534" in made.canvas.message
    assert "cannot be used" in made.header.value


def test_a_picture_without_its_mask_is_not_left_behind(folder, monkeypatch):
    def full(path, mask):
        raise cannot_write(path, OSError(28, "No space left on device"))

    monkeypatch.setattr("devotools.ui.annotator.folder.write_mask", full)
    made = annotator(folder)
    dab(made, 10, 20, 1)
    assert "No space left on device" in made.canvas.message
    assert list((folder / "data" / "images").iterdir()) == []


def test_names_that_stand_twice_are_refused(folder):
    write_image(folder / "pictures" / "a.tif", np.zeros((4, 4)))
    with pytest.raises(InputError, match="more than one picture called 'a'"):
        annotator(folder)


def test_no_pictures_are_refused(tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(InputError, match="holds no image"):
        annotator(tmp_path)


def test_odd_names_find_their_masks(tmp_path):
    write_image(tmp_path / "pictures" / "s[1].png", np.zeros((4, 4)))
    write_image(tmp_path / "pictures" / "s1.2.png", np.zeros((4, 4)))
    made = LabelFolder(tmp_path / "pictures", tmp_path / "data")
    for number in range(2):
        assert not made.is_labelled(number)
        made.save(number, np.ones((4, 4), np.int32))
        assert made.is_labelled(number)
    assert len(read_dataset(tmp_path / "data")) == 2


def test_text_form_never_changes(folder):
    assert repr(annotator(folder)) == "Annotator of 3 pictures: draw in a running notebook"
