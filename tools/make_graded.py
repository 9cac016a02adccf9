"""Turn a lesson into the source notebook of nbgrader or otter-grader; see teaching/grading.md.

    python tools/make_graded.py 01_explore_the_embryo --for nbgrader --out source/lesson1

Stub and solution of an exercise become one cell, and its check becomes a test of one point.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import links
import nbformat
from lesson_notebooks import LessonError, id_of, lesson_paths, read_lesson, with_pictures
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_raw_cell

CHECK = re.compile(r"^(?:exercises\.)?check\(\"(\d+)\.(\d+)\".*\)$", re.DOTALL)
HINT = re.compile(r"^(?:exercises\.)?hint\(")
OTHER_LESSON = re.compile(r"\]\((\d\d_\w+\.ipynb)\)")
SYSTEMS = ("nbgrader", "otter")


def exercises_of(cells: list[NotebookNode]) -> Iterator[tuple[int, int, int]]:
    """Places of the stub, the solution and the check of each exercise in a solved lesson."""
    for place, cell in enumerate(cells):
        if cell.cell_type != "code" or not CHECK.match(cell.source):
            continue
        solution = max(n for n in range(place) if "solution" in cells[n].metadata.get("tags", []))
        # A hint may stand between the two; text never does.
        stub = max(n for n in range(solution) if not HINT.match(cells[n].source))
        yield stub, solution, place


def name_of(check: NotebookNode) -> str:
    """`exercise_1_2` for the check of exercise 1.2."""
    return "exercise_{}_{}".format(*CHECK.match(check.source).groups())


def test_of(check: NotebookNode) -> str:
    """The line that passes when the answer is right."""
    return f"assert {check.source}.solved"


def for_nbgrader(stub: NotebookNode, solution: NotebookNode, check: NotebookNode) -> list:
    """An answer whose solution nbgrader strips, the check as it was, and a locked test."""
    answer = f"{stub.source}\n\n\n### BEGIN SOLUTION\n{solution.source}\n### END SOLUTION"
    test = new_code_cell(test_of(check))
    cells = [new_code_cell(answer), check, test]
    roles = ({"solution": True}, None, {"grade": True, "locked": True, "points": 1})
    for cell, role in zip(cells, roles, strict=True):
        cell.metadata = nbformat.from_dict({})
        if role is not None:
            which = name_of(check) + ("_test" if "grade" in role else "")
            common = {"schema_version": 3, "grade_id": which, "task": False}
            flags = {"grade": False, "locked": False, "solution": False}
            cell.metadata["nbgrader"] = {**common, **flags, **role}
    return cells


def for_otter(stub: NotebookNode, solution: NotebookNode, check: NotebookNode) -> list:
    """A question in otter's raw cells: the answer with its solution, then one test."""
    answer = f"{stub.source}\n\n\n# BEGIN SOLUTION\n{solution.source}\n# END SOLUTION"
    opening = f"# BEGIN QUESTION\nname: {name_of(check)}\npoints: 1"
    words = ("# BEGIN SOLUTION", answer, "# END SOLUTION", "# BEGIN TESTS", test_of(check))
    cells = [new_raw_cell(opening)]
    for text in (*words, "# END TESTS", "# END QUESTION"):
        raw = text.startswith(("# BEGIN", "# END")) and "\n" not in text
        cells.append(new_raw_cell(text) if raw else new_code_cell(text))
    check.metadata = nbformat.from_dict({})
    return [*cells, check]


def graded(lesson: Path, system: str) -> NotebookNode:
    """The source notebook of a lesson for one of the systems."""
    notebook = read_lesson(lesson)
    home = f"{links.repository()}/blob/{links.BRANCH}"
    convert = for_nbgrader if system == "nbgrader" else for_otter
    cells, replaced = notebook.cells, {}
    for stub, solution, check in exercises_of(cells):
        replaced[stub], replaced[solution] = [], []
        replaced[check] = convert(cells[stub], cells[solution], cells[check])
    notebook.cells = [new for n, cell in enumerate(cells) for new in replaced.get(n, [cell])]
    if system == "otter":
        opening = f"# ASSIGNMENT CONFIG\ntests:\n  files: false\nname: {lesson.stem}"
        notebook.cells.insert(0, new_raw_cell(opening))
    for number, cell in enumerate(notebook.cells):
        with_pictures(cell)
        if cell.cell_type == "markdown":  # it leaves the repository, and its pages stay there
            cell.source = cell.source.replace("](../", f"]({home}/")
            cell.source = OTHER_LESSON.sub(rf"]({home}/notebooks/\1)", cell.source)
        cell.id = id_of(cell.source, number)
    nbformat.validate(notebook)
    return notebook


def main(arguments: list[str] | None = None) -> int:
    """Write the source notebooks; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="+", help="names as 01_explore_the_embryo")
    parser.add_argument("--for", dest="system", choices=SYSTEMS, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for the notebooks")
    options = parser.parse_args(arguments)
    try:
        lessons = lesson_paths(options.lessons)
    except LessonError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    for lesson in lessons:
        path = options.out / f"{lesson.stem}.ipynb"
        nbformat.write(graded(lesson, options.system), path)
        print(f"{path}: {sum(1 for _ in exercises_of(read_lesson(lesson).cells))} exercises")
    return 0


if __name__ == "__main__":
    sys.exit(main())
