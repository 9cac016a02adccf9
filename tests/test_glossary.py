"""The glossary: in order, short, and each word where the lesson really uses it."""

import re
from itertools import pairwise

import pytest
from lesson_notebooks import NOTEBOOKS, ROOT, lesson_paths

GLOSSARY = ROOT / "docs" / "glossary.md"
TEXT = GLOSSARY.read_text(encoding="utf-8")
ENTRIES = dict(re.findall(r"^### (.+)\n\n((?:(?!#).+\n?)+)", TEXT, flags=re.MULTILINE))
LESSON = re.compile(r"\*Lesson\s+\[(\d)\]\(\.\./notebooks/((\d\d)_\w+\.ipynb)\)\.\*$")
# The field's name, and what the lesson itself says.
IN_THE_LESSON = {
    "Batch normalisation": "bn1",
    "Contrast stretching": "stretch_contrast",
    "Domain shift": "*shift*",
    "Panoptic quality": "panoptic",
    "Seed (of a watershed)": "seed",
    "Seed (of chance)": "seed",
}
LESSONS = {int(path.stem[:2]): path for path in lesson_paths()}

each_entry = pytest.mark.parametrize("term", ENTRIES)


def words_of(lesson):
    """A lesson's text in small letters, on one line."""
    lines = lesson.read_text(encoding="utf-8").splitlines()
    return " ".join(" ".join(line.removeprefix("#").strip() for line in lines).split()).casefold()


def test_terms_are_sorted_and_every_heading_is_one():
    headings = re.findall(r"^### (.+)$", TEXT, flags=re.MULTILINE)
    assert headings == list(ENTRIES), "a term twice, or one without a text"
    assert len(ENTRIES) >= 60
    for before, after in pairwise(headings):
        assert before.casefold() < after.casefold(), f"{after!r} stands after {before!r}"


def test_letters_are_those_of_the_terms():
    letter, seen = "", []
    for marks, text in re.findall(r"^(##+) (.+)$", TEXT, flags=re.MULTILINE):
        if marks == "##":
            letter = text
            seen.append(text)
        else:
            assert text[0].upper() == letter
    assert seen == sorted({term[0].upper() for term in ENTRIES})
    links = re.findall(r"\[(\w)\]\(#(\w)\)", TEXT.split("## ")[0])
    assert links == [(one, one.lower()) for one in seen]


@each_entry
def test_entry_is_a_sentence_or_two_and_names_its_lesson(term):
    text = " ".join(ENTRIES[term].split())
    found = LESSON.search(text)
    assert found, "ends with *Lesson [N](../notebooks/NN_name.ipynb).*"
    number, notebook = int(found[1]), found[2]
    assert number == int(found[3])
    assert notebook == f"{LESSONS[number].stem}.ipynb"
    assert (NOTEBOOKS / notebook).exists()
    definition = text[: found.start()].strip()
    assert 6 <= len(definition.split()) <= 45, f"{len(definition.split())} words"
    assert re.match(r"[A-Z0-9`*]", definition)
    assert definition.endswith((".", ".)", "?"))
    assert not re.search(r" [–—-] ", definition), "no dashes"


@each_entry
def test_lesson_uses_the_word(term):
    number = int(LESSON.search(" ".join(ENTRIES[term].split()))[1])
    word = IN_THE_LESSON.get(term, term).casefold()
    stem = re.sub(r"(us|y|e|s)$", "", word)  # nuclei, identities, fine-tuned
    assert stem in words_of(LESSONS[number]), f"lesson {number} says nothing of {term}"


@pytest.mark.parametrize("number", LESSONS)
def test_every_lesson_has_its_words(number):
    of_this = [t for t, text in ENTRIES.items() if f"[{number}](" in text]
    assert len(of_this) >= 5
