"""The app as a person meets it: `devotools app` in a real browser (`make test-browser`)."""

import re
import time
import urllib.error
import urllib.request
import zipfile
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from browsing import PATIENCE, app_server, drag, on_screen, stage_of
from helpers import files_under, run_command
from looking import FAINT

import devotools as dt

pytestmark = pytest.mark.browser

WIDTHS = {"desktop": (1280, 720), "tablet": (820, 1180)}


@pytest.fixture(scope="module")
def sections(tmp_path_factory):
    """A folder with two drawn sections and what is no picture."""
    folder = tmp_path_factory.mktemp("sections")
    series = dt.synthesize_series(nuclei=30, sections=3, size=128, seed=23)
    for number, image in enumerate(series.images[:2]):
        dt.write_image(folder / f"section_{number}.png", image)
    (folder / "paper.pdf").write_bytes(b"%PDF-1.7\n" + bytes(100))
    return folder


@pytest.fixture(scope="module")
def probabilities(sections):
    model = dt.load_model("nuclei", "cpu")
    files = sorted(sections.glob("*.png"))
    return {f.name: dt.predict_probability(model, dt.read_image(f)) for f in files}


@pytest.fixture(scope="module")
def server(sections, tmp_path_factory):
    with app_server(sections, tmp_path_factory.mktemp("log") / "server.log") as url:
        yield url


@pytest.fixture
def open_app(browser, server):
    """A function that opens the app; no page error, and nothing fetched from elsewhere."""
    contexts, errors, fetched = [], [], []

    def open_at(width="desktop", **options):
        columns, rows = WIDTHS[width]
        context = browser.new_context(viewport={"width": columns, "height": rows}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("requestfinished", lambda request: fetched.append(request.url))
        page.goto(server)
        page.get_by_role("button", name="Try the drawn examples").wait_for()
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert errors == []
    assert [u for u in fetched if not re.match(r"(https?://127\.0\.0\.1|blob:|data:)", u)] == []


@pytest.fixture
def filled(open_app, sections):
    """The app with the two sections uploaded."""
    page = open_app()
    page.locator("input[type=file]").set_input_files(sorted(sections.glob("*.png")))
    stage_of(page, "section_0.png")
    return page


def nuclei_of(page):
    """Rows of the table of nuclei, as numbers of the first column."""
    rows = page.get_by_role("grid", name="Nuclei of the picture shown").locator("tbody tr")
    return [
        int(text)
        for text in rows.locator("td:first-child").all_inner_texts()
        if text != "No nucleus."
    ]


def wait_for_count(page, count):
    page.wait_for_function(
        """([caption, count]) => [...document.querySelectorAll('table')].some((table) =>
          table.caption?.textContent === caption &&
          table.querySelectorAll('tbody tr[tabindex]').length === count)""",
        arg=["Nuclei of the picture shown", int(count)],
    )


def wait_for_selected(page, number):
    row = page.get_by_role("grid", name="Nuclei of the picture shown").locator(
        'tr[aria-selected="true"]'
    )
    row.filter(has=page.locator(f"td:first-child:text-is('{number:.0f}')")).wait_for()


def test_two_uploads_give_the_counts_of_the_package(filled, probabilities):
    for name, probability in probabilities.items():
        count = dt.label_nuclei(probability).max()
        filled.get_by_role("row", name=f"{name} {count}").wait_for()
    wait_for_count(filled, dt.label_nuclei(probabilities["section_0.png"]).max())


def test_threshold_and_smallest_area_by_keyboard_change_the_count(filled, probabilities):
    probability = probabilities["section_0.png"]
    slider = filled.get_by_role("slider", name="threshold")
    for key, threshold in (("End", 0.95), ("Home", 0.05)):
        slider.press(key)
        wait_for_count(filled, dt.label_nuclei(probability, threshold=threshold).max())
    expected = {dt.label_nuclei(probability, threshold=t).max() for t in (0.05, 0.5, 0.95)}
    filled.get_by_role("slider", name="smallest area").press("End")
    wait_for_count(filled, dt.label_nuclei(probability, threshold=0.05, min_area=1000).max())
    assert len(expected) > 1, "the pictures of this test must show a difference"


def test_delete_in_the_picture_undo_and_add_with_the_brush(filled, probabilities):
    labels = dt.label_nuclei(probabilities["section_0.png"])
    count, shape = labels.max(), labels.shape
    wait_for_count(filled, count)
    stage = stage_of(filled, "section_0.png")
    first = dt.measure_nuclei(labels).iloc[0]
    filled.mouse.click(*on_screen(filled, stage, shape, first.centroid_row, first.centroid_col))
    wait_for_selected(filled, first.label)
    stage.press("Delete")
    wait_for_count(filled, count - 1)
    assert nuclei_of(filled) == list(range(2, count + 1))
    filled.get_by_role("button", name="Undo").click()
    wait_for_count(filled, count)
    stage.press("b")
    free = np.argwhere(np.pad(labels, 8, constant_values=1)[8:-8, 8:-8] == 0)
    row, col = free[np.argmax([_distance(labels, place) for place in free])]
    drag(filled, stage, shape, (row, col), (row, col + 2))
    wait_for_count(filled, count + 1)
    assert nuclei_of(filled)[-1] == count + 1
    stage.press("Control+z")
    wait_for_count(filled, count)
    stage.press("Control+y")
    wait_for_count(filled, count + 1)


def _distance(labels, place):
    """How far a place is from every nucleus, and from the border."""
    nuclei = np.argwhere(labels > 0)
    away = np.abs(nuclei - place).max(axis=1).min()
    return min(away, *place, *(np.array(labels.shape) - 1 - place))


def test_row_of_the_table_is_selected_in_the_picture_by_keys(filled, probabilities):
    wait_for_count(filled, dt.label_nuclei(probabilities["section_0.png"]).max())
    rows = filled.get_by_role("grid", name="Nuclei of the picture shown").locator("tr[tabindex]")
    rows.first.focus()
    filled.keyboard.press("ArrowDown")
    wait_for_selected(filled, 2)
    filled.get_by_role("button", name="Delete the selected nucleus").and_(
        filled.locator(":enabled")
    ).wait_for()
    filled.keyboard.press("Delete")
    wait_for_count(filled, dt.label_nuclei(probabilities["section_0.png"]).max() - 1)


def test_zip_is_what_devotools_segment_writes(filled, sections, tmp_path, monkeypatch, capsys):
    filled.get_by_role("button", name="Save results (zip)").and_(
        filled.locator(":enabled")
    ).wait_for()
    with filled.expect_download() as waiting:
        filled.get_by_role("button", name="Save results (zip)").click()
    assert waiting.value.suggested_filename == "nuclei.zip"
    with zipfile.ZipFile(waiting.value.path()) as file:
        file.extractall(tmp_path / "zip")
    run_command(
        monkeypatch,
        capsys,
        *("segment", *sorted(sections.glob("*.png")), "--out", tmp_path / "out", "--device", "cpu"),
    )
    for path in sorted((tmp_path / "out" / "labels").iterdir()):
        made = dt.read_labels(tmp_path / "zip" / "labels" / path.name)
        np.testing.assert_array_equal(made, dt.read_labels(path))
    ours, theirs = (pd.read_csv(tmp_path / d / "nuclei.csv") for d in ("zip", "out"))
    theirs["image"] = [name.rsplit("/", 1)[-1] for name in theirs["image"]]
    assert ours.to_csv() == theirs.to_csv()
    assert {"images.csv", "settings.json"} <= files_under(tmp_path / "zip")


def test_the_tick_box_tells_the_state_of_each_nucleus(filled, probabilities, sections):
    """The column, the marks in the picture, and the fraction are those of the package."""
    image = dt.read_image(sections / "section_0.png")
    labels = dt.label_nuclei(probabilities["section_0.png"])
    told = dt.classify_nuclei(dt.load_classifier("states", "cpu"), image, labels)
    wait_for_count(filled, labels.max())
    filled.get_by_role("checkbox", name="tell states (interphase, condensed)").check()
    grid = filled.get_by_role("grid", name="Nuclei of the picture shown")
    grid.get_by_role("columnheader", name="state").wait_for()
    last = grid.locator("tbody tr td:last-child")
    last.filter(has_text=re.compile("interphase|condensed|unsure")).first.wait_for()
    cells = last.all_inner_texts()
    assert cells == told["state"].tolist()
    condensed = (told["state"] == "condensed").sum()
    stage_of(filled, "section_0.png").and_(
        filled.locator(f'canvas[data-condensed="{condensed}"]')
    ).wait_for()
    sure = (told["state"] != "unsure").sum()
    filled.get_by_text(f"{condensed} of {sure} condensed").wait_for()
    filled.get_by_role("checkbox", name="tell states (interphase, condensed)").uncheck()
    grid.get_by_role("columnheader", name="state").wait_for(state="detached")


def test_bad_file_shows_its_message_and_the_rest_goes_on(open_app, sections):
    page = open_app()
    page.locator("input[type=file]").set_input_files(
        [sections / "paper.pdf", sections / "section_1.png"]
    )
    stage_of(page, "section_1.png")
    page.get_by_role("row", name="paper.pdf failed").wait_for()
    note = page.get_by_role("alert").filter(has_text="'paper.pdf' is not an image")
    note.wait_for()
    assert "expected a PNG, JPEG or TIFF file" in note.inner_text()


def test_upload_above_the_limit_says_so_and_offers_the_folder(open_app, tmp_path):
    page = open_app()
    with open(tmp_path / "large.tif", "wb") as file:
        file.truncate(201 * 10**6)
    page.locator("input[type=file]").set_input_files(tmp_path / "large.tif")
    alert = page.get_by_role("alert").filter(has_text="large.tif")
    alert.wait_for()
    assert "expected 200 MB at most" in alert.inner_text()
    assert "devotools app FOLDER" in alert.inner_text()


def test_twelve_megabytes_arrive(open_app, tmp_path):
    """More than a websocket takes by itself: the upload goes in pieces."""
    page = open_app()
    noise = np.random.default_rng(0).random((3500, 3500), dtype=np.float32)
    dt.write_image(tmp_path / "noise.png", noise)
    assert (tmp_path / "noise.png").stat().st_size > 11 * 10**6
    page.locator("input[type=file]").set_input_files(tmp_path / "noise.png")
    stage_of(page, "noise.png")


def test_folder_of_the_machine_and_no_way_out_of_it(open_app):
    page = open_app()
    page.get_by_label("folder").fill("../..")
    page.get_by_label("folder").press("Enter")
    page.get_by_role("button", name="Open folder").click()
    page.get_by_role("alert").filter(has_text="lies outside the folder").wait_for()
    page.get_by_label("folder").fill(".")
    page.get_by_label("folder").press("Enter")
    page.get_by_role("button", name="Open folder").click()
    stage_of(page, "section_0.png")
    page.get_by_role("row", name="paper.pdf failed").wait_for()


def test_charts_have_words(filled):
    for tab, words in (("Areas", "Histogram of"), ("Series", "Nuclei in each picture: section_0")):
        filled.get_by_role("tab", name=tab).click()
        filled.get_by_role("img", name=re.compile(words)).wait_for()


# What can be pressed or filled in must have a name; a label that only looks like one is none.
NAMELESS = """() => [...document.querySelectorAll('button, input, select, canvas[tabindex], table')]
  .filter((part) => part.offsetParent !== null)
  .filter((part) => !(part.getAttribute('aria-label') || part.textContent.trim() ||
    part.labels?.length || part.caption || part.title))
  .map((part) => part.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("width", WIDTHS)
def test_everything_fits_and_has_a_name(open_app, sections, width):
    page = open_app(width, has_touch=width == "tablet")
    page.locator("input[type=file]").set_input_files(sorted(sections.glob("*.png")))
    stage = stage_of(page, "section_0.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width][0]
    assert page.evaluate(NAMELESS) == []
    box = stage.bounding_box()
    assert box["width"] > 450
    assert box["height"] > 300
    assert re.fullmatch(r"section_0.png: \d+ nuclei outlined", stage.get_attribute("aria-label"))


DARK = """() => {
  const dark = {
    'layout-color0': '#111', 'layout-color1': '#212121', 'layout-color2': '#424242',
    'ui-font-color0': '#fff', 'ui-font-color1': '#fff', 'ui-font-color2': '#fffb',
    'content-font-color1': '#fff', 'widgets-color': '#fff', 'widgets-label-color': '#fff',
    'widgets-input-color': '#fff', 'widgets-input-background-color': '#424242'};
  for (const part of [document.documentElement, document.body])
    for (const [name, value] of Object.entries(dark)) part.style.setProperty(`--jp-${name}`, value);
  document.body.style.background = '#111';
  document.body.style.color = '#fff';
}"""
COLOURS = """all => all.map(one => {
  const style = getComputedStyle(one);
  return [style.color, style.backgroundColor];
})"""


def test_everything_is_legible_in_a_notebook_of_the_dark_theme(filled):
    """Lesson 5 shows the app in JupyterLab, whose dark themes give these colours."""
    filled.evaluate(DARK)
    assert filled.evaluate(FAINT, "button:disabled") == []
    fields = filled.locator(".dt-app .widget-text input, .dt-app select")
    colours = fields.evaluate_all(COLOURS)
    assert colours
    assert {tuple(pair) for pair in colours} == {("rgb(26, 26, 26)", "rgb(255, 255, 255)")}


def test_without_the_token_nobody_comes_in(server):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(server.split("?")[0])
    refused.value.close()
    assert refused.value.code == 403


@contextmanager
def page_with_an_upload(browser, sections, tmp_path):
    """The page of a server of its own with one picture uploaded, and where the server writes."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with app_server(sections, tmp_path / "server.log", TMPDIR=str(scratch)) as url:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(url)
        page.locator("input[type=file]").set_input_files(sections / "section_0.png")
        stage_of(page, "section_0.png")
        assert any(name.endswith("section_0.png") for name in files_under(scratch))
        yield page, scratch
        page.close()


def test_a_page_that_is_left_takes_its_uploads_along(browser, sections, tmp_path):
    """Its kernel ends at once, and does not wait for the server's end with a gigabyte of memory."""
    with page_with_an_upload(browser, sections, tmp_path) as (page, scratch):
        page.goto("about:blank")
        ends = time.monotonic() + PATIENCE / 1000
        while any(name.endswith("section_0.png") for name in files_under(scratch)):
            assert time.monotonic() < ends, "the upload is still there"
            time.sleep(0.5)
    log = (tmp_path / "server.log").read_text()
    assert not re.search(r"\b403\b", log), log  # as a word: a token may hold these digits


def test_nothing_is_left_when_the_server_has_ended(browser, sections, tmp_path):
    with page_with_an_upload(browser, sections, tmp_path) as (_, scratch):
        pass
    assert files_under(scratch) == set()
