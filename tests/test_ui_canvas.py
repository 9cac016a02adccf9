"""Canvas and controls, the Python side: what is said to the browser, and what is heard."""

import io
import time
import zlib

import numpy as np
import pytest
from helpers import draw_discs, picture_of
from PIL import Image

from devotools import InputError, stretch_contrast
from devotools.ui.canvas.widget import UNCHANGED, Canvas
from devotools.ui.controls.button import QUEUED, CalmButton
from devotools.ui.controls.download import Download
from devotools.ui.controls.slider import Slider
from devotools.ui.controls.table import Table
from devotools.ui.controls.upload import Upload


class Said(list):
    """Messages that a widget sent: (content, buffers)."""

    def of(self, kind):
        return [(content, buffers) for content, buffers in self if content["type"] == kind]


@pytest.fixture
def said(monkeypatch):
    found = Said()
    for widget in (Canvas, Upload, Download):
        monkeypatch.setattr(
            widget, "send", lambda self, content, buffers=(): found.append((content, buffers))
        )
    return found


def hear(widget, kind, buffers=(), **content):
    """What arrives when the browser says something."""
    widget._receive(widget, {"type": kind, **content}, list(buffers))


def stroke_of(mask, row, col, number):
    """A stroke as the browser packs it."""
    height, width = mask.shape
    place = {"row": row, "col": col, "height": height, "width": width, "id": number}
    return place, [np.packbits(mask.ravel(), bitorder="little").tobytes()]


def test_scene_holds_picture_and_labels(said):
    labels = draw_discs()
    Canvas({}).show(picture_of(labels), labels, "discs.png")
    ((content, (png, packed)),) = said.of("scene")
    assert (content["name"], content["height"], content["width"]) == ("discs.png", 64, 64)
    shown = np.asarray(Image.open(io.BytesIO(png)))
    np.testing.assert_array_equal(shown, np.round(stretch_contrast(picture_of(labels)) * 255))
    ids = np.frombuffer(zlib.decompress(packed), "<u2").reshape(64, 64)
    np.testing.assert_array_equal(ids, labels)


def test_page_that_opens_again_gets_the_scene(said):
    canvas = Canvas({})
    hear(canvas, "hello")
    assert said == []
    canvas.show(np.zeros((2, 3)), np.zeros((2, 3), int), "a")
    hear(canvas, "hello")
    assert len(said.of("scene")) == 2


def test_update_sends_only_what_differs(said):
    labels = draw_discs()
    canvas = Canvas({})
    canvas.show(picture_of(labels), labels, "discs.png")
    canvas.update(labels)
    assert said.of("patch") == []
    other = labels.copy()
    other[3, 5], other[5, 6] = 9, 8
    canvas.update(other)
    ((box, (packed,)),) = said.of("patch")
    assert (box["row"], box["col"], box["height"], box["width"]) == (3, 5, 3, 2)
    values = np.frombuffer(zlib.decompress(packed), "<u2").reshape(3, 2)
    assert values.tolist() == [[9, UNCHANGED], [UNCHANGED, UNCHANGED], [UNCHANGED, 8]]


def test_stroke_reaches_the_owner_and_is_not_sent_back(said):
    labels, heard = np.zeros((6, 7), np.int32), []
    canvas = Canvas({"edit": lambda region, number: heard.append((region, number))})
    canvas.show(np.zeros((6, 7)), labels, "a")
    mask = np.array([[True, False, True], [False, True, True]])
    content, buffers = stroke_of(mask, 2, 3, 4)
    hear(canvas, "edit", [memoryview(buffers[0])], **content)
    ((region, number),) = heard
    assert (region.row, region.col, number) == (2, 3, 4)
    np.testing.assert_array_equal(region.mask, mask)
    labels[region.box][region.mask] = number
    canvas.update(labels)
    assert said.of("patch") == []
    assert canvas.label == "a: 1 nucleus outlined"


def test_stroke_that_the_owner_refuses_is_taken_off_the_screen(said):
    labels = np.zeros((6, 7), np.int32)

    def refuse(region, number):
        canvas.update(labels)
        raise InputError("not here; expected elsewhere. Try there.")

    canvas = Canvas({"edit": refuse})
    canvas.show(np.zeros((6, 7)), labels, "a")
    content, buffers = stroke_of(np.ones((1, 2), bool), 0, 0, 4)
    hear(canvas, "edit", buffers, **content)
    assert canvas.message == "not here; expected elsewhere. Try there."
    assert len(said.of("patch")) == 1


def test_stroke_outside_the_picture_is_a_message(said):
    canvas = Canvas({"edit": lambda region, number: pytest.fail("was heard")})
    canvas.show(np.zeros((6, 7)), np.zeros((6, 7), int), "a")
    content, buffers = stroke_of(np.ones((2, 2), bool), 5, 0, 1)
    hear(canvas, "edit", buffers, **content)
    assert "inside the picture of 6 x 7" in canvas.message


def test_events_without_an_owner_or_a_picture_do_nothing(said):
    canvas = Canvas({"undo": lambda: pytest.fail("was heard")})
    hear(canvas, "undo")
    canvas.show(np.zeros((2, 2)), np.zeros((2, 2), int), "a")
    hear(canvas, "redo")
    hear(canvas, "anything")


def test_every_event_is_answered_also_one_that_fails(said):
    def fail():
        raise RuntimeError("not foreseen")

    canvas = Canvas({"undo": fail})
    canvas.show(np.zeros((2, 2)), np.zeros((2, 2), int), "a")
    hear(canvas, "redo")
    with pytest.raises(RuntimeError):
        hear(canvas, "undo")
    assert len(said.of("heard")) == 2


def test_selection_ends_with_its_nucleus(said):
    labels = draw_discs()
    canvas = Canvas({})
    canvas.show(picture_of(labels), labels, "a")
    canvas.selected = 2
    canvas.update(np.where(labels == 1, 0, labels))
    assert canvas.selected == 2
    canvas.update(np.where(labels == 2, 0, labels))
    assert canvas.selected == 0


def test_selection_goes_with_its_nucleus_under_another_number(said):
    """A moved slider numbers nuclei anew; Delete must take the one that is seen selected."""
    labels = draw_discs()
    canvas = Canvas({})
    canvas.show(picture_of(labels), labels, "a")
    canvas.selected = 2
    canvas.update(np.where(labels > 1, labels - 1, 0))  # the first is gone, the others move up
    assert canvas.selected == 1
    canvas.update(np.where(labels == 3, 1, 0))  # now the number 1 is another nucleus
    assert canvas.selected == 0


def test_picture_and_labels_must_fit(said):
    with pytest.raises(InputError, match="image has shape"):
        Canvas({}).show(np.zeros((2, 2)), np.zeros((2, 3), int), "a")


# --- controls ----------------------------------------------------------------------------------


@pytest.fixture
def upload(said, tmp_path):
    arrived, refused, ended = [], [], []
    made = Upload(
        lambda name: tmp_path / name,
        on_file=lambda path, name: arrived.append((path.read_bytes(), name)),
        on_refused=lambda name, size: refused.append((name, size)),
        on_failed=lambda name, error: refused.append((name, error.strerror)),
        on_all=lambda: ended.append(True),
        limit=10,
    )
    made.arrived, made.refused, made.ended = arrived, refused, ended
    return made


def test_file_arrives_in_pieces(upload, said):
    hear(upload, "begin", name="a.png", size=5)
    hear(upload, "piece", [b"abc"])
    hear(upload, "piece", [memoryview(b"de")])
    hear(upload, "end")
    hear(upload, "all")
    assert upload.arrived == [(b"abcde", "a.png")]
    assert upload.ended == [True]
    assert [content.get("go") for content, _ in said] == [True, None, None, None]


def test_empty_file_arrives_too(upload):
    hear(upload, "begin", name="a.png", size=0)
    hear(upload, "end")
    assert upload.arrived == [(b"", "a.png")]


def test_a_failure_does_not_shut_the_door(said, tmp_path):
    def fail(path, name):
        raise RuntimeError("not foreseen")

    upload = Upload(
        lambda name: tmp_path / name,
        on_file=fail,
        on_refused=fail,
        on_failed=fail,
        on_all=lambda: None,
        limit=100,
    )
    hear(upload, "begin", name="a.png", size=1)
    with pytest.raises(RuntimeError):
        hear(upload, "end")
    assert said == [({"type": "answer", "go": True}, ()), ({"type": "answer"}, ())]


def test_too_large_a_file_is_refused_before_it_is_sent(upload, said):
    hear(upload, "begin", name="large.tif", size=11)
    assert said == [({"type": "answer", "go": False}, ())]
    assert upload.refused == [("large.tif", 11)]
    hear(upload, "piece", [b"x"])
    hear(upload, "end")
    assert upload.arrived == []


def test_what_was_said_of_another_picture_is_refused(said):
    """It was drawn before the page had heard of the next one."""
    heard = []
    canvas = Canvas(dict.fromkeys(("edit", "delete", "undo", "next"), lambda *of: heard.append(of)))
    canvas.show(picture_of(draw_discs()), draw_discs(), "a.png")
    ((first, _),) = said.of("scene")
    canvas.show(picture_of(draw_discs()), draw_discs(), "b.png")
    content, buffers = stroke_of(np.ones((3, 3), bool), 1, 1, 4)
    for kind in ("edit", "delete", "undo"):
        hear(canvas, kind, buffers, **content, scene=first["scene"], version=first["version"])
        assert "shown now. Draw it again" in canvas.message
    assert heard == []
    hear(canvas, "next", scene=first["scene"])
    assert heard == [()]


@pytest.mark.parametrize(("start", "number"), [((21, 21), 1), ((2, 2), 2)])
def test_a_stroke_of_old_numbers_belongs_to_the_place_where_it_began(said, start, number):
    heard = []
    canvas = Canvas({"edit": lambda *of: heard.append(of), "delete": lambda *of: heard.append(of)})
    before = draw_discs([(20, 20), (40, 44)])
    canvas.show(picture_of(before), before, "a.png")
    ((scene, _),) = said.of("scene")
    after = np.where(before == before[20, 20], 0, before)  # the threshold took one away
    after = np.where(after > 0, 1, 0) if number == 2 else np.where(before > 0, 1, 0)
    canvas.update(after)
    content, buffers = stroke_of(np.ones((3, 3), bool), *start, 2)
    hear(canvas, "edit", buffers, **content, start=list(start), version=scene["version"])
    ((region, given),) = heard
    assert given == number
    labels = after.copy()
    labels[region.box][region.mask] = given
    canvas.update(labels)
    patch, (packed,) = said.of("patch")[-1]
    assert patch["version"] > scene["version"] + 1
    values = np.frombuffer(zlib.decompress(packed), "<u2").reshape(patch["height"], -1)
    rows, columns = start[0] - patch["row"], start[1] - patch["col"]
    assert (values[rows : rows + 3, columns : columns + 3] == given).all()
    hear(canvas, "delete", id=2, version=scene["version"])
    if number == 2:  # for what was number 2 is 1 now
        assert "Press Delete again" in canvas.message
        assert len(heard) == 1


def test_quick_deletes_are_all_heard(said):
    """The second was pressed before the page had heard of the first."""
    labels = draw_discs()
    gone = []

    def delete(number):
        gone.append(number)
        canvas.update(np.where(np.isin(labels, gone), 0, labels))

    canvas = Canvas({"delete": delete})
    canvas.show(picture_of(labels), labels, "a.png")
    ((scene, _),) = said.of("scene")
    for number in (1, 3):
        hear(canvas, "delete", id=number, version=scene["version"])
    assert (gone, canvas.message) == ([1, 3], "")


def test_a_late_stroke_from_outside_is_a_new_nucleus(said):
    heard = []
    canvas = Canvas({"edit": lambda *of: heard.append(of)})
    canvas.show(picture_of(draw_discs()), draw_discs(), "a.png")
    canvas.update(np.where(draw_discs() == 1, 0, draw_discs()))
    content, buffers = stroke_of(np.ones((1, 3), bool), 0, 1, 9)
    hear(canvas, "edit", buffers, **content, start=[-1, 2], version=0)
    assert heard[0][1] == 4


def test_numbers_beyond_sixteen_bits_are_refused(said):
    canvas = Canvas({"edit": lambda *_: None})
    canvas.show(picture_of(draw_discs()), draw_discs(), "a.png")
    content, buffers = stroke_of(np.ones((3, 3), bool), 1, 1, 65_536)
    hear(canvas, "edit", buffers, **content)
    assert "expected 65,534 at most" in canvas.message
    assert len(said.of("scene")) == 2  # which takes the stroke off the page


def test_a_press_that_waited_behind_another_is_passed_over():
    pressed = []
    button = CalmButton()
    button.on_click(lambda _: pressed.append(time.sleep(0.1)))
    for _ in range(2):  # a double click: the second waits until the first is done
        button._handle_button_msg(button, {"event": "click"}, [])
    assert len(pressed) == 1
    time.sleep(2 * QUEUED)
    button._handle_button_msg(button, {"event": "click"}, [])
    assert len(pressed) == 2


def test_a_file_that_the_browser_cannot_read_is_told(upload, said):
    hear(upload, "begin", name="folder", size=5)
    hear(upload, "broken", why="NotReadableError")
    hear(upload, "begin", name="b.png", size=1)
    hear(upload, "piece", [b"x"])
    hear(upload, "end")
    assert [name for name, _ in upload.refused] == ["folder"]
    assert upload.arrived == [(b"x", "b.png")]
    assert len(said) == 5


def test_a_name_that_no_disk_takes_is_told(upload, said):
    name = f"{'é' * 200}.png"
    hear(upload, "begin", name=name, size=5)
    assert said == [({"type": "answer", "go": False}, ())]
    assert [name for name, _ in upload.refused] == [name]


def test_a_download_that_fails_frees_the_button(said):
    def full():
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        hear(Download(full), "want")
    assert said == [({"type": "nothing"}, ())]


def test_file_that_cannot_be_written_is_told_and_the_next_goes_on(upload, tmp_path, said):
    hear(upload, "begin", name="a.png", size=5)
    (tmp_path / "a.png").unlink()
    (tmp_path / "a.png").mkdir()
    hear(upload, "piece", [b"abc"])
    hear(upload, "piece", [b"de"])
    hear(upload, "end")
    hear(upload, "begin", name="b.png", size=1)
    hear(upload, "piece", [b"x"])
    hear(upload, "end")
    assert [name for name, _ in upload.refused] == ["a.png"]
    assert upload.arrived == [(b"x", "b.png")]
    assert len(said) == 7  # every question has its answer, or the browser would wait for ever


def test_download_sends_what_is_made(said):
    download = Download(lambda: ("nuclei.zip", b"PK"))
    hear(download, "want")
    ((content, buffers),) = said
    assert (content["name"], content["kind"], buffers) == ("nuclei.zip", "application/zip", [b"PK"])
    hear(download, "other")
    assert len(said) == 1


def test_download_of_nothing_frees_the_button(said):
    hear(Download(lambda: None), "want")
    assert said == [({"type": "nothing"}, ())]


def test_table_tells_of_the_delete_key():
    pressed = []
    table = Table(on_delete=pressed.append)
    hear(table, "delete", id=3)
    hear(table, "other")
    assert pressed == [3]
    assert Slider(value=0.3).value == 0.3
