"""The annotator in a real browser: painted with a mouse and with keys, in Voila and JupyterLab."""

import time

import numpy as np
import pytest
from browsing import (
    PATIENCE,
    drag,
    lab_server,
    on_screen,
    stage_of,
    voila_server,
    write_notebook,
)

import devotools as dt

pytestmark = pytest.mark.browser

SIZE = 2048
SMALL = (96, 128)
CODE = """
import devotools as dt
dt.annotate({pictures!r}, {out!r}, embryo="E1")
"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with pictures, one of them large, and a notebook that annotates them."""
    folder = tmp_path_factory.mktemp("annotate")
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        dt.write_image(folder / "pictures" / f"{name}.png", rng.random(SMALL))
    dt.write_image(folder / "pictures" / "large.png", rng.random((SIZE, SIZE)))
    for name in ("voila", "lab"):
        code = CODE.format(pictures=str(folder / "pictures"), out=str(folder / name))
        write_notebook(folder / f"{name}.ipynb", code)
    return folder


@pytest.fixture(scope="module")
def voila(workplace, tmp_path_factory):
    log = tmp_path_factory.mktemp("log") / "voila.log"
    with voila_server(workplace / "voila.ipynb", log) as url:
        yield url


@pytest.fixture
def new_page(browser):
    """A function that opens an address; no page error at the end."""
    contexts, errors = [], []

    def open_at(url):
        context = browser.new_context(viewport={"width": 1280, "height": 720})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert errors == []


def stored(folder, name="a"):
    """The labels on the disk."""
    return dt.read_labels(folder / "labels" / f"{name}.tif")


def wait_for(check, what):
    """Until ``check()`` is true: files have no event to wait for."""
    ends = time.monotonic() + PATIENCE / 1000
    while not check():
        if time.monotonic() > ends:
            pytest.fail(f"waited in vain for: {what}")
        time.sleep(0.1)


def test_paint_erase_undo_save_reload_and_find_the_mask(new_page, voila, workplace):
    page = new_page(voila)
    stage, out = stage_of(page, "a.png"), workplace / "voila"
    # Painted: on the disk when the button is up.
    drag(page, stage, SMALL, (40, 30), (40, 60))
    wait_for((out / "masks" / "a.png").exists, "the first mask")
    page.get_by_text("saved. 1 of 3 are labelled").wait_for()
    painted = stored(out)
    assert np.unique(painted).tolist() == [0, 1]
    assert (painted[40, 30:61] == 1).all()
    assert (painted[35:46, 45] == 1).all()  # the brush has a radius of 6
    assert painted[32, 45] == painted[48, 45] == painted[40, 22] == 0
    # Begun inside, a stroke enlarges; beside, it makes a second one that stops at the first.
    drag(page, stage, SMALL, (40, 60), (40, 70))
    wait_for(lambda: stored(out)[40, 70] == 1, "more of the first nucleus")
    drag(page, stage, SMALL, (60, 45), (44, 45))
    wait_for(lambda: stored(out)[60, 45] == 2, "a second nucleus")
    assert (stored(out)[35:46, 45] == 1).all()
    # Erased, and taken back twice, and done again once.
    page.keyboard.press("e")
    drag(page, stage, SMALL, (40, 30), (40, 45))
    wait_for(lambda: stored(out)[40, 35] == 0, "the eraser")
    before = stored(out)
    page.keyboard.press("Control+z")
    wait_for(lambda: stored(out)[40, 35] == 1, "undo")
    page.get_by_role("button", name="Redo").click()
    wait_for(lambda: (stored(out) == before).all(), "redo")
    # Found again, though the page and its kernel are new.
    page.reload()
    stage_of(page, "a.png").wait_for()
    assert page.locator("canvas").get_attribute("aria-label") == "a.png: 2 nuclei outlined"
    (pair,) = dt.read_dataset(out)
    np.testing.assert_array_equal(dt.read_mask(pair.mask), before > 0)
    assert pair.embryo == "E1"


def test_polygon_fill_and_next_picture_with_keys_alone(new_page, voila, workplace):
    page = new_page(voila)
    stage = page.locator("canvas[data-scene]")
    stage.wait_for()
    stage.focus()
    while stage.get_attribute("data-scene") != "b.png":
        page.keyboard.press("PageDown")
        page.wait_for_timeout(500)
    out = workplace / "voila"
    page.keyboard.press("p")
    for key, times in (("ArrowLeft", 1), ("ArrowDown", 2), ("ArrowRight", 2)):
        for _ in range(times):
            page.keyboard.press(f"Shift+{key}")
        page.keyboard.press("Enter")
    page.keyboard.press("Shift+Enter")
    wait_for((out / "masks" / "b.png").exists, "the polygon")
    # The cross starts in the middle, at (48, 64): a triangle of 20 by 20 pixels.
    wait_for(lambda: stored(out, "b").any(), "the polygon's pixels")
    triangle = stored(out, "b")
    rows, columns = np.nonzero(triangle)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (48, 68, 54, 74)
    assert triangle[68, 54:75].all()
    assert not triangle[50, 60:].any()
    # A hole is cut with the eraser and filled again.
    page.keyboard.press("e")
    for _ in range(4):
        page.keyboard.press("[")
    for key, times in (("ArrowLeft", 13), ("ArrowUp", 6)):
        for _ in range(times):
            page.keyboard.press(key)
    page.keyboard.press("Enter")
    wait_for(lambda: stored(out, "b")[62, 61] == 0, "the hole")
    page.keyboard.press("f")
    page.keyboard.press("Enter")
    wait_for(lambda: (stored(out, "b") == triangle).all(), "the filled hole")


def test_two_fingers_zoom_and_paint_nothing(new_page, voila, workplace):
    page = new_page(voila)
    stage = page.locator("canvas[data-scene]")
    stage.wait_for()
    name = stage.get_attribute("data-scene").removesuffix(".png")
    path = workplace / "voila" / "labels" / f"{name}.tif"
    before = path.read_bytes() if path.exists() else None
    stage.evaluate(
        """(stage) => {
          stage.setPointerCapture = () => {};
          const box = stage.getBoundingClientRect();
          const touch = (kind, pointerId, x) => stage.dispatchEvent(new PointerEvent(kind, {
            pointerId, pointerType: 'touch', bubbles: true, button: 0,
            clientX: box.x + x, clientY: box.y + 100}));
          touch('pointerdown', 11, 100);
          touch('pointerdown', 12, 200);
          for (let x = 200; x <= 320; x += 20) touch('pointermove', 12, x);
          touch('pointerup', 12, 320);
          touch('pointerup', 11, 100);
        }"""
    )
    page.wait_for_timeout(1000)
    after = path.read_bytes() if path.exists() else None
    assert before == after


def test_large_picture_is_painted_before_python_hears_of_it(new_page, voila, workplace):
    """The stroke in hand is on the screen, and is sent when the hand is lifted."""
    page = new_page(voila)
    stage = page.locator("canvas[data-scene]")
    stage.wait_for()
    stage.focus()
    while stage.get_attribute("data-scene") != "large.png":
        page.keyboard.press("PageDown")
        page.wait_for_timeout(1000)
    for _ in range(54):
        page.keyboard.press("]")
    shape, out = (SIZE, SIZE), workplace / "voila"
    x, y = on_screen(page, stage, shape, 400, 300)
    before = colour_at(stage, x, y)
    page.mouse.move(x - 20, y)
    page.mouse.down()
    page.mouse.move(x + 20, y, steps=20)
    assert colour_at(stage, x, y) != before
    assert not (out / "masks" / "large.png").exists()
    page.mouse.up()
    wait_for((out / "masks" / "large.png").exists, "the mask")
    wait_for(lambda: stored(out, "large")[400, 300] == 1, "the stroke on the disk")


def colour_at(stage, x, y):
    """Colours around a place of the page, after the next drawing; outlines of the brush aside."""
    return stage.evaluate(
        """async (stage, [x, y]) => {
          await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
          const box = stage.getBoundingClientRect();
          const ratio = stage.width / box.width;
          const pen = stage.getContext('2d');
          return [...pen.getImageData((x - box.x) * ratio - 4, (y - box.y) * ratio - 4, 8, 8).data];
        }""",
        [x, y],
    )


def test_a_program_that_has_ended_is_told(new_page, workplace, tmp_path):
    """What is drawn is on the screen and nowhere else: the page must say so."""
    code = CODE.format(pictures=str(workplace / "pictures"), out=str(tmp_path / "out"))
    write_notebook(workplace / "ended.ipynb", code)
    with voila_server(workplace / "ended.ipynb", tmp_path / "voila.log") as url:
        page = new_page(url)
        stage = stage_of(page, "a.png")
        drag(page, stage, SMALL, (40, 30), (40, 60))
        wait_for((tmp_path / "out" / "masks" / "a.png").exists, "the first mask")
    drag(page, stage, SMALL, (60, 45), (64, 45))
    page.get_by_text("No answer from the program yet: what you draw now may be lost").wait_for()


def test_jupyterlab_paints_and_keeps_its_own_keys_out(new_page, workplace, tmp_path):
    with lab_server(workplace, tmp_path / "lab.log") as url:
        page = new_page(f"{url}/tree/lab.ipynb?token=test")
        page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.sessionContext?.isReady")
        page.evaluate(
            """async () => {
              const app = window.jupyterapp;
              await app.shell.currentWidget.sessionContext.ready;
              await app.commands.execute('notebook:run-all-cells');
            }"""
        )
        stage, out = stage_of(page, "a.png"), workplace / "lab"
        drag(page, stage, SMALL, (40, 30), (40, 60))
        wait_for((out / "masks" / "a.png").exists, "the first mask")
        cells = page.locator(".jp-Notebook .jp-Cell").count()
        for key in ("x", "a", "s", "m", "e", "b"):
            page.keyboard.press(key)
        assert page.locator(".jp-Notebook .jp-Cell").count() == cells
        assert stage.get_attribute("data-tool") == "brush"
        page.mouse.click(*on_screen(page, stage, SMALL, 15, 20))
        wait_for(lambda: stored(out)[15, 20] > 0, "the second nucleus")
        page.get_by_role("button", name="Undo").click()
        wait_for(lambda: stored(out)[15, 20] == 0, "undo")
        assert (stored(out)[40, 30:61] == 1).all()
