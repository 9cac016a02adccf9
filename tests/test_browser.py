"""What a reader sees: the pages of `make run` in a real browser (`make test-browser`)."""

import nbformat
import pytest
from course_page import index_page, page, title_of
from lesson_notebooks import NOTEBOOKS

pytestmark = pytest.mark.browser

LESSONS = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
WIDTHS = {"phone": (390, 844), "desktop": (1280, 800)}

each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=[path.stem for path in LESSONS])
each_width = pytest.mark.parametrize("width", WIDTHS)


@pytest.fixture
def open_page(browser, tmp_path):
    """A function that opens HTML with no network and gives the page and the errors it raised."""
    contexts = []

    def open_at(html: str, width: str):
        path = tmp_path / "page.html"
        path.write_text(html, encoding="utf-8")
        columns, rows = WIDTHS[width]
        context = browser.new_context(viewport={"width": columns, "height": rows})
        contexts.append(context)
        context.route(lambda url: url.startswith("http"), lambda route: route.abort())
        opened, errors = context.new_page(), []
        opened.on("pageerror", lambda error: errors.append(str(error)))
        opened.goto(path.as_uri())
        return opened, errors

    yield open_at
    for context in contexts:
        context.close()


# Jupyter's styles clip what is too wide, so the width of the document alone proves little: whatever
# sticks out must stand in a box that scrolls, and that box must not be the page.
UNREACHABLE = """() => {
  const found = [];
  const wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > wide || document.body.scrollWidth > wide)
    found.push('the page itself is too wide');
  for (const part of document.querySelectorAll('pre, table, img, p, h1, h2, h3, li')) {
    const spills = part.scrollWidth > part.clientWidth + 1 && part.clientWidth > 0;
    if (!spills && part.getBoundingClientRect().right <= wide + 1) continue;
    let box = part;
    while (box && getComputedStyle(box).overflowX === 'visible') box = box.parentElement;
    const scrolls = box && ['auto', 'scroll'].includes(getComputedStyle(box).overflowX);
    if (!scrolls || box === document.body || box === document.documentElement)
      found.push(`${part.tagName}: ${part.textContent.slice(0, 40)}`);
  }
  return found;
}"""


def test_there_are_lessons_to_look_at():
    assert LESSONS, "notebooks/ has no lessons; `make notebooks` builds them"


@each_lesson
@each_width
def test_lesson_page(open_page, lesson, width):
    notebook = nbformat.read(lesson, as_version=4)
    opened, errors = open_page(page(notebook, lesson.stem), width)
    assert errors == []
    assert opened.title() == title_of(notebook, lesson.stem)

    headings = opened.locator("h1")
    assert headings.count() == 1
    assert headings.inner_text().rstrip("¶") == title_of(notebook, lesson.stem)
    assert opened.locator("h2").count() >= 1

    stored = sum(
        "image/png" in o.get("data", {}) for c in notebook.cells for o in c.get("outputs", [])
    )
    pictures = opened.evaluate(
        "[...document.images].map(i => ({wide: i.naturalWidth, shown: i.clientWidth, alt: i.alt}))"
    )
    assert len(pictures) >= stored
    for picture in pictures:
        assert picture["wide"] > 0, f"not loaded: {picture['alt']}"
        assert 0 < picture["shown"] <= WIDTHS[width][0]
        assert len(picture["alt"]) > 10
        assert "No description" not in picture["alt"]
    assert opened.evaluate(UNREACHABLE) == []


@each_width
def test_wide_things_scroll_by_themselves(open_page, width):
    """A long line of code, a wide table and a wide figure do not widen the page."""
    table = "<table><tr>" + "<td>wide_column</td>" * 60 + "</tr></table>"
    html_output = nbformat.v4.new_output(
        "execute_result", data={"text/html": table}, execution_count=1
    )
    printed = nbformat.v4.new_output("stream", name="stdout", text="x" * 500)
    cells = [
        nbformat.v4.new_markdown_cell("# Wide\n\n" + "|a" * 60 + "|\n" + "|-" * 60 + "|\n"),
        nbformat.v4.new_code_cell("value = " + "1 + " * 200 + "1", outputs=[html_output, printed]),
    ]
    opened, errors = open_page(page(nbformat.v4.new_notebook(cells=cells), "wide"), width)
    assert errors == []
    assert opened.evaluate(UNREACHABLE) == []


def test_what_cannot_be_reached_is_found(open_page):
    """The check above is what holds the pages, so it is tested too."""
    wide = '<pre style="overflow-x: {}; width: 300px">' + "x" * 500 + "</pre>"
    opened, _ = open_page("<body>" + wide.format("hidden") + wide.format("auto"), "phone")
    assert len(opened.evaluate(UNREACHABLE)) == 1
    opened, _ = open_page("<body><pre>" + "x" * 500, "phone")
    assert len(opened.evaluate(UNREACHABLE)) == 2


@each_width
def test_index_page(open_page, width):
    row = {
        "name": "01_a",
        "title": "A <lesson>",
        "cells": 3,
        "figures": 1,
        "seconds": 2,
        "problem": "",
    }
    failed = {**row, "name": "02_b", "title": "Another", "problem": "cell 1: " + "x" * 500}
    opened, errors = open_page(index_page([row, failed], "Run with devotools."), width)
    assert errors == []
    assert opened.get_by_role("link", name="A <lesson>").get_attribute("href") == "01_a.html"
    assert opened.get_by_text("failed").count() == 1
    assert opened.evaluate(UNREACHABLE) == []
