"""Source notebooks for nbgrader and otter-grader: answers pass their tests, stubs do not."""

import json
import re

import links
import numpy as np
import pytest
from lesson_notebooks import lesson_paths, read_lesson
from make_graded import SYSTEMS, exercises_of, graded, main

from devotools.exercises import EXERCISES

LESSONS = lesson_paths()
each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=[path.stem for path in LESSONS])
each_system = pytest.mark.parametrize("system", SYSTEMS)
SOLUTION = re.compile(r"\n*#+ BEGIN SOLUTION\n.*?\n#+ END SOLUTION", re.DOTALL)


def answers_and_tests(notebook):
    """The answer cell of each exercise, and the line that tests it."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    answers = [source for source in code if SOLUTION.search(source)]
    tests = [source for source in code if source.startswith("assert ")]
    return list(zip(answers, tests, strict=True))


@each_lesson
@each_system
def test_solved_passes_and_stripped_fails(lesson, system):
    notebook = graded(lesson, system)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    names = {"stages": {"4": np.zeros((1, 512, 4, 4))}}  # which lesson 03 has by then
    exec(code[0], names)  # the imports
    pairs = answers_and_tests(notebook)
    keys = [key for key in EXERCISES if int(key.split(".")[0]) == int(lesson.stem[:2])]
    assert [re.search(r'check\("([\d.]+)"', test)[1] for _, test in pairs] == keys
    for answer, test in pairs:
        exec(answer, names)
        exec(test, names)
        exec(SOLUTION.sub("", answer), names)
        with pytest.raises(AssertionError):
            exec(test, names)


@each_lesson
def test_nbgrader_knows_answers_and_tests(lesson):
    notebook = graded(lesson, "nbgrader")
    roles = [cell.metadata.nbgrader for cell in notebook.cells if "nbgrader" in cell.metadata]
    assert len({role["grade_id"] for role in roles}) == len(roles)
    assert sum(role.get("points", 0) for role in roles) == len(roles) / 2
    assert [role["locked"] for role in roles] == [False, True] * (len(roles) // 2)


@each_lesson
def test_otter_finds_each_question_opened_and_closed(lesson):
    notebook = graded(lesson, "otter")
    raw = [cell.source.split("\n")[0] for cell in notebook.cells if cell.cell_type == "raw"]
    question = ["# BEGIN QUESTION", "# BEGIN SOLUTION", "# END SOLUTION"]
    question += ["# BEGIN TESTS", "# END TESTS", "# END QUESTION"]
    count = len(list(exercises_of(read_lesson(lesson).cells)))
    assert raw == ["# ASSIGNMENT CONFIG", *question * count]


@each_lesson
def test_nothing_else_of_the_lesson_is_lost(lesson):
    before = [cell.source for cell in read_lesson(lesson).cells if "](" not in cell.source]
    after = "\n".join(cell.source for cell in graded(lesson, "nbgrader").cells)
    assert all(source in after for source in before)


@each_lesson
def test_pictures_come_along_and_links_lead_to_the_repository(lesson):
    cells = graded(lesson, "otter").cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert "](../" not in text
    assert not re.search(r"\]\(\d\d_", text)
    assert f"[glossary]({links.repository()}/blob/main/docs/glossary.md)" in text
    shown = re.findall(r"\]\(attachment:([^)]+)\)", text)
    carried = [name for cell in cells for name in cell.get("attachments", {})]
    assert shown == carried


def test_command_writes_notebooks(tmp_path, capsys):
    first = LESSONS[0].stem
    assert main([first, "--for", "nbgrader", "--out", str(tmp_path / "source")]) == 0
    assert json.loads((tmp_path / "source" / f"{first}.ipynb").read_text(encoding="utf-8"))
    assert "4 exercises" in capsys.readouterr().out
    assert main(["09_none", "--for", "otter", "--out", str(tmp_path)]) == 1
    assert "error: no lesson 09_none; there are" in capsys.readouterr().err
