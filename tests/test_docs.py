"""The pages of `make docs`: complete, built without a warning, and good to read for everyone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from lesson_notebooks import ROOT
from looking import DESKTOP, FAINT, HEADINGS, NAMELESS, PHONE, PICTURES, jumps, shown
from test_browser import UNREACHABLE

import devotools
from devotools.cli import app
from devotools.measure import COLUMNS

CONF = (ROOT / "docs" / "conf.py").read_text(encoding="utf-8")
INCLUDED = re.search(r"include_patterns = \[(.*?)\]", CONF, re.DOTALL)[1]
PAGES = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix()
    for pattern in re.findall(r'"(.+?)"', INCLUDED)
    for path in ROOT.glob(pattern.replace("**.md", "**/*.md"))
)
API = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs" / "api").glob("*.md"))

COMMAND = (ROOT / "docs" / "the-command.md").read_text(encoding="utf-8")
SEGMENT = typer.main.get_command(app).commands["segment"]
OPTIONS = sorted(name for option in SEGMENT.params for name in option.opts if name[:2] == "--")

browsing = pytest.mark.browser
each_page = pytest.mark.parametrize("name", [*PAGES, "search", "genindex"])


def test_the_page_on_the_command_names_the_columns_of_a_nucleus():
    table = COMMAND.partition("`nuclei.csv` has these columns:")[2].partition("\n\n`")[0]
    first = "\n".join(row.split("|")[1] for row in table.splitlines() if row.startswith("|"))
    assert re.findall("`(.+?)`", first) == ["image", *COLUMNS]


@pytest.mark.parametrize("name", devotools.__all__)
def test_every_public_name_stands_on_a_page(name):
    assert re.search(rf"^\.\. auto\w+:: devotools\.{name}$", API, re.MULTILINE), (
        f"add `.. autofunction:: devotools.{name}` to a page in docs/api/"
    )


@pytest.mark.parametrize("verb", typer.main.get_command(app).commands)
def test_every_verb_stands_on_the_page_of_the_command(verb):
    assert f"| `{verb}` |" in COMMAND


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_of_segment_is_explained(option):
    assert f"`{option}" in COMMAND or f" {option} " in COMMAND


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """All pages, built with warnings as errors."""
    out = tmp_path_factory.mktemp("docs") / "pages"
    command = [sys.executable, str(ROOT / "tools" / "build_docs.py"), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return out


@browsing
def test_all_pages_are_built(pages):
    built = {p.relative_to(pages).with_suffix("").as_posix() for p in pages.rglob("*.html")}
    assert {*PAGES, "index"} <= built


@browsing
def test_links_of_pages_lead_somewhere(pages):
    """Within the pages: a file that is there. To what is no page: notebooks, and the repository."""
    for path in pages.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        for link in re.findall(r'<a [^>]*href="([^"#:]+)(?:#[^"]*)?"', text):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


@browsing
@each_page
def test_page(browser, pages, name):
    path = pages / f"{name}.html"
    for size, scheme in ((DESKTOP, "light"), (PHONE, "dark")):
        with shown(browser, path, size, scheme) as page:
            assert page.locator("html").get_attribute("lang") == "en"
            assert jumps(page.evaluate(HEADINGS)) == []
            assert page.evaluate(NAMELESS) == []
            assert page.evaluate(UNREACHABLE) == []
            assert page.evaluate(FAINT, None) == [], f"too little contrast ({scheme})"
            for picture in page.evaluate(PICTURES):
                assert picture["wide"] > 0, f"not loaded: {picture['alt']}"
                assert len(picture["alt"].split()) >= 3
                assert picture["shown"] <= size[0]


REACHED = """() => {
  const part = document.activeElement, style = getComputedStyle(part);
  return {what: part.tagName + ' ' + (part.getAttribute('href') || part.className),
    seen: part.matches(':focus-visible') && (style.outlineStyle !== 'none'
      || style.boxShadow !== 'none' || part.matches('input'))};
}"""


@browsing
def test_tab_reaches_links_and_shows_where_it_is(browser, pages):
    with shown(browser, pages / "docs" / "the-command.html", DESKTOP) as page:
        wanted = page.evaluate(
            "() => [...document.querySelectorAll('article a[href]:not(.headerlink)')]"
            ".map(a => 'A ' + a.getAttribute('href'))"
        )
        reached = []
        for _ in range(400):
            page.keyboard.press("Tab")
            at = page.evaluate(REACHED)
            if at["what"].startswith("BODY") and reached:
                break
            assert at["seen"] or at["what"].startswith("BODY"), at["what"]
            reached.append(at["what"])
        assert set(wanted) <= set(reached)


@browsing
@pytest.mark.parametrize(
    ("body", "question", "count"),
    [
        ("<p style='color: #999'>pale</p><p>dark</p>", FAINT, 1),
        ("<div style='background: #333'><p style='color: #555'>dark</p></div>", FAINT, 1),
        ("<h1 style='color: #888'>large</h1>", FAINT, 0),
        ("<a href='x'></a><a href='y'>named</a><button aria-label='ok'></button>", NAMELESS, 1),
    ],
)
def test_questions_find_what_is_wrong(browser, tmp_path, body, question, count):
    path = tmp_path / "page.html"
    path.write_text(f"<!DOCTYPE html><html lang=en><body>{body}", encoding="utf-8")
    with shown(browser, path, DESKTOP) as page:
        assert len(page.evaluate(question, None)) == count


def test_jumps_are_found():
    assert jumps([[1, "a"], [2, "b"], [3, "c"], [2, "d"]]) == []
    assert jumps([[1, "a"], [3, "c"]]) == ["'c' is level 3 after level 1"]
    assert len(jumps([[2, "a"], [1, "b"], [1, "c"]])) == 3


def test_pages_are_sources():
    assert len(PAGES) > 20
    assert all(Path(ROOT, f"{name}.md").exists() for name in PAGES)
