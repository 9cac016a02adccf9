"""Lessons as nbviewer shows them: what nbconvert renders, no kernel (`make test-browser`)."""

import posixpath
import re
from urllib.parse import unquote

import links
import nbformat
import pytest
from lesson_notebooks import NOTEBOOKS, ROOT, figures
from looking import DESKTOP, FAINT, HEADINGS, NAMELESS, PHONE, PICTURES, jumps, shown
from nbconvert import HTMLExporter
from test_browser import UNREACHABLE

pytestmark = pytest.mark.browser

LESSONS = sorted(NOTEBOOKS.rglob("[0-9][0-9]_*.ipynb"))
IDS = [path.relative_to(NOTEBOOKS).with_suffix("").as_posix() for path in LESSONS]
each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=IDS)
# nbviewer's pages look as nbconvert's classic ones. Its newer template has a dark theme; on a phone
# it cuts off long lines of code, whatever they are, so it is looked at on a desktop.
LOOKS = {
    "phone": (PHONE, {"template_name": "classic"}),
    "desktop": (DESKTOP, {"template_name": "classic"}),
    "dark": (DESKTOP, {"template_name": "lab", "theme": "dark"}),
}
NOT_OURS = "pre, .prompt, .jp-InputPrompt, .jp-OutputPrompt, .anchor-link"  # colours of code


@each_lesson
@pytest.mark.parametrize("look", LOOKS)
def test_reads_well(browser, tmp_path, lesson, look):
    """nbconvert's own templates, with nothing of ours."""
    size, options = LOOKS[look]
    notebook = nbformat.read(lesson, as_version=4)
    html, _ = HTMLExporter(**options).from_notebook_node(notebook)
    path = tmp_path / "page.html"
    path.write_text(html, encoding="utf-8")
    with shown(browser, path, size) as page:
        assert jumps(page.evaluate(HEADINGS)) == []
        assert page.evaluate(NAMELESS) == []
        assert page.evaluate(UNREACHABLE) == []
        assert page.evaluate(FAINT, NOT_OURS) == []
        pictures = page.evaluate(PICTURES)
        stored = sum(len(cell.get("attachments", {})) for cell in notebook.cells)
        assert stored >= len(links.addresses(""))
        assert len(pictures) == stored + sum(map(len, map(figures, notebook.cells)))
        for picture in pictures:
            assert picture["wide"] > 0, picture["alt"]
            assert 0 < picture["shown"] <= size[0]


@each_lesson
def test_links_work_there(lesson):
    """nbviewer resolves relative links beside the notebook: each must name a file there."""
    place = posixpath.dirname(lesson.relative_to(ROOT).as_posix())
    cells = nbformat.read(lesson, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    found = re.findall(r"\]\((?!https:|attachment:)([^)\s]+)\)", text)
    assert found
    for link in found:
        path = unquote(link.partition("#")[0])
        assert (ROOT / posixpath.normpath(posixpath.join(place, path))).is_file(), link
        assert "#" not in link, "nbviewer names headings otherwise than GitHub"


@each_lesson
def test_nothing_stored_needs_a_kernel(lesson):
    """What a control leaves behind is a sentence, and no error of a missing widget."""
    for cell in nbformat.read(lesson, as_version=4).cells:
        for output in cell.get("outputs", []):
            kinds = set(output.get("data", {}))
            assert not any("widget" in kind or "javascript" in kind for kind in kinds)
