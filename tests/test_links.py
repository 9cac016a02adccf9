"""The ways in: badges of the README and the lessons lead where they say, and can be read."""

import re
from urllib.parse import parse_qs, unquote, urlsplit

import links
import pytest
from badges import DARK, LOOKS, draw
from lesson_notebooks import NOTEBOOKS, ROOT
from PIL import Image, ImageColor

README = (ROOT / "README.md").read_text(encoding="utf-8")
LESSONS = sorted(path.relative_to(ROOT).as_posix() for path in NOTEBOOKS.glob("*.ipynb"))
BADGE = re.compile(r"\[!\[([^\]]+)\]\(([^)]+)\)\]\(([^)]+)\)")
LARGEST_FIGURE = 300_000  # bytes


def luminance(colour):
    """Relative luminance, as WCAG 2 defines it."""
    parts = [part / 255 for part in ImageColor.getrgb(colour)[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """Contrast ratio of two colours, from 1 to 21."""
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_the_standard():
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("name", LOOKS)
def test_badges_can_be_read(name):
    _, _, ground, ink = LOOKS[name]
    assert contrast(*DARK) >= 4.5
    assert contrast(ground, ink) >= 4.5
    with Image.open(links.BADGES / f"{name}.png") as stored:
        assert stored.size == draw(*LOOKS[name]).size, "python tools/badges.py"
    assert (links.BADGES / f"{name}.png").stat().st_size < 2000


@pytest.mark.parametrize("notebook", LESSONS)
def test_addresses_name_the_notebook(notebook):
    found = links.addresses(notebook)
    binder = urlsplit(found["binder"])
    assert (binder.netloc, binder.path) == ("mybinder.org", f"/v2/gh/{links.home()}/main")
    assert parse_qs(binder.query) == {"urlpath": [f"lab/tree/{notebook}"]}
    for name in ("colab", "nbviewer"):
        assert found[name].endswith(f"/{links.home()}/blob/main/{notebook}")
        assert urlsplit(found[name]).scheme == "https"


def test_badges_at_the_top_of_the_readme():
    """The first lesson in Lab, and the app in Voila."""
    top = README.partition("\n## ")[0]
    leads = {words: address for words, _, address in BADGE.findall(top)}
    assert leads[links.WORDS["binder"]] == links.addresses(links.FIRST_LESSON)["binder"]
    assert leads[links.WORDS["app"]] == links.app_address()
    assert "urlpath=voila/render/" in links.app_address()


@pytest.mark.parametrize("notebook", LESSONS)
def test_table_in_the_readme_has_badges_for_each_lesson(notebook):
    (row,) = [line for line in README.splitlines() if f"({notebook})" in line]
    leads = {words: address for words, _, address in BADGE.findall(row)}
    assert leads == {links.WORDS[name]: to for name, to in links.addresses(notebook).items()}


def test_pictures_of_badges_are_there():
    for _, picture, _ in BADGE.findall(README):
        assert (ROOT / unquote(picture)).exists(), picture


def test_readme_is_short():
    before, _, rest = README.partition("<!-- budget -->")  # a lesson more is a row more
    words = (before + rest.partition("<!-- /budget -->")[2]).split()
    assert len(words) <= 500, "what is longer belongs into docs/"


def test_readme_shows_the_idea_and_the_two_pages_and_they_are_small():
    without_badges = BADGE.sub("", README)
    figures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", without_badges)
    names = [figure.rpartition("/")[2] for figure in figures]
    assert names == ["idea.png", "app.png", "annotator.png"]
    assert all((ROOT / figure).stat().st_size < LARGEST_FIGURE for figure in figures)
