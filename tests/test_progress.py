"""Progress: what saved notebooks say about the exercises, and the table for the teacher."""

import copy
import csv
import json
import re

import nbformat
import pytest
from helpers import run_command
from lesson_notebooks import NOTEBOOKS, ROOT, SOLUTIONS

from devotools import InputError, exercises
from devotools.exercises import read_progress

LANGUAGES = ("bash", "python")  # of the first two pieces of code in teaching/grading.md
MISTAKEN = "for an empty mask expected 1, got 0."


def check_cell(key, verdict=None):
    """A cell that checks an exercise, with the output that Jupyter stores for a verdict."""
    cell = nbformat.v4.new_code_cell(f'exercises.check("{key}", answer)')
    if verdict is not None:
        data = {"text/plain": repr(verdict), "text/html": verdict._repr_html_()}
        cell.outputs = [nbformat.v4.new_output("execute_result", data=data, execution_count=1)]
    return cell


def write_notebook(path, *cells):
    title = nbformat.v4.new_markdown_cell("# A lesson\n\n## Exercise 1.2: how many?\n\nCount.")
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[title, *cells]), path)
    return path


@pytest.mark.parametrize(
    ("verdict", "status", "message"),
    [
        (exercises.Verdict(True, "well done."), "solved", "well done."),
        (exercises.Verdict(True, ""), "solved", ""),
        (exercises.Verdict(False, MISTAKEN), "not yet", MISTAKEN),
        (exercises.check("1.2", None), "not started", ""),
        (exercises.check("1.2", lambda labels: None), "not started", ""),
        (None, "not run", ""),
    ],
)
def test_each_status(tmp_path, verdict, status, message):
    path = write_notebook(tmp_path / "mine.ipynb", check_cell("1.2", verdict))
    (row,) = read_progress([path]).to_dict("records")
    assert (row["exercise"], row["title"]) == ("1.2", "how many?")
    assert (row["status"], row["message"]) == (status, message)
    assert row["notebook"] == path.as_posix()


def test_prints_and_other_outputs_do_not_count(tmp_path):
    cell = check_cell("1.2")
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="solved"),
        nbformat.v4.new_output("display_data", data={"text/plain": "unsolved"}),
    ]
    path = write_notebook(tmp_path / "mine.ipynb", cell)
    assert read_progress([path])["status"].tolist() == ["not run"]


def test_a_test_beside_the_check_is_no_second_exercise(tmp_path):
    right = exercises.Verdict(True, "well done.")
    others = (
        'assert exercises.check("1.2", answer).solved',
        '# exercises.check("1.2", answer)',
    )
    cells = [check_cell("1.2", right), *map(nbformat.v4.new_code_cell, others)]
    path = write_notebook(tmp_path / "graded.ipynb", *cells)
    assert read_progress([path])["status"].tolist() == ["solved"]


def test_a_verdict_belongs_to_the_last_check_of_its_cell(tmp_path):
    cell = check_cell("1.2", exercises.Verdict(True, "well done."))
    for first, other in (("exercises.check", "not run"), ("display(exercises.check", "not yet")):
        both = copy.deepcopy(cell)
        both.source = f'{first}("1.1", one){")" * first.count("(")}\n' + cell.source
        if other == "not yet":
            wrong = check_cell("1.1", exercises.Verdict(False, MISTAKEN)).outputs[0].data
            both.outputs.insert(0, nbformat.v4.new_output("display_data", data=wrong))
        table = read_progress([write_notebook(tmp_path / "merged.ipynb", both)])
        expected = [["1.1", other], ["1.2", "solved"]]
        assert table[["exercise", "status"]].values.tolist() == expected


def test_the_table_of_a_class_as_the_page_for_teachers_makes_it(tmp_path, monkeypatch, capsys):
    solved, started = check_cell("1.2", exercises.Verdict(True, "")), check_cell("1.2")
    started.outputs = check_cell("1.2", exercises.check("1.2", None)).outputs
    for where, cell in (
        ("ada/notebooks/01_explore_the_embryo.ipynb", solved),
        ("ben/notebooks/01_explore_the_embryo.ipynb", started),
        ("cy/01_explore_the_embryo-Copy1.ipynb", started),  # comes before the one that it copies
        ("cy/01_explore_the_embryo.ipynb", solved),
    ):
        write_notebook(tmp_path / "collected" / where, cell)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "teaching" / "grading.md").read_text(encoding="utf-8")
    command, code = (re.search(rf"```{kind}\n(.+?)```", page, re.DOTALL)[1] for kind in LANGUAGES)
    assert run_command(monkeypatch, capsys, *command.split()[1:])[0] == 0
    names = {}
    exec(code, names)
    classes = names["table"].groupby("student")["status"].agg(names["best"])
    assert classes.to_dict() == {"ada": "solved", "ben": "not started", "cy": "solved"}
    assert "cy" in capsys.readouterr().out


def test_folder_is_searched_without_copies_and_solutions(tmp_path):
    solved = check_cell("1.2", exercises.Verdict(True, ""))
    for place in ("b/two", "a/one", "a/.ipynb_checkpoints/one-checkpoint", "solutions/one"):
        write_notebook(tmp_path / f"{place}.ipynb", solved)
    found = read_progress([tmp_path])["notebook"]
    assert [name.removeprefix(tmp_path.as_posix()) for name in found] == [
        "/a/one.ipynb",
        "/b/two.ipynb",
    ]
    assert len(read_progress([tmp_path / "solutions"])) == 1  # asked for by name


def test_shipped_notebooks_hold_every_exercise():
    """Students begin at nothing, the solved ones are solved, in the order of the lessons."""
    keys = list(exercises.EXERCISES)
    begun, solved = read_progress([NOTEBOOKS]), read_progress([SOLUTIONS])
    assert begun["exercise"].tolist() == keys == solved["exercise"].tolist()
    assert set(begun["status"]) == {"not started"}
    assert set(solved["status"]) == {"solved"}
    assert begun["title"].str.len().min() > 3


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("none.ipynb", None, "is neither a folder nor a notebook (.ipynb) that exists. Give "),
        ("list.txt", "x", "is neither a folder nor a notebook (.ipynb) that exists. Give "),
        ("broken.ipynb", "{", "cannot be read as a notebook. Save it again in Jupyter"),
        ("other.ipynb", "[1]", "cannot be read as a notebook. Save it again in Jupyter"),
        ("old.ipynb", '{"cells": [1]}', "cannot be read as a notebook. Save it again in Jupyter"),
    ],
)
def test_what_is_no_notebook_is_refused(tmp_path, name, content, problem):
    path = tmp_path / name
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as refused:
        read_progress([path])
    assert problem in str(refused.value)
    assert name in str(refused.value)


OUTPUT_LESS = '{"cells": [{"cell_type": "code", "source": "exercises.check(\\"1.2\\", a)", %s}]}'


@pytest.mark.parametrize(
    "content",
    [
        "{",
        None,  # a folder of that name
        '{"cells": [{"cell_type": "code", "source": null}]}',
        OUTPUT_LESS % '"outputs": null',
        OUTPUT_LESS % '"outputs": [{"data": null}]',
        OUTPUT_LESS % '"outputs": [{"data": {"text/plain": [1]}}]',
    ],
)
def test_a_broken_notebook_of_a_class_does_not_hide_the_others(
    tmp_path, monkeypatch, capsys, content
):
    write_notebook(tmp_path / "ada.ipynb", check_cell("1.2", exercises.Verdict(True, "")))
    if content is None:
        (tmp_path / "ben.ipynb").mkdir()
    else:
        (tmp_path / "ben.ipynb").write_text(content, encoding="utf-8")
    write_notebook(tmp_path / "eve.ipynb", check_cell("1.2"))
    out = tmp_path / "class.csv"
    code, said, complaints = run_command(monkeypatch, capsys, "progress", tmp_path, "--out", out)
    assert code == 1
    assert "ben.ipynb' cannot be read as a notebook" in complaints
    assert "1 of 2 exercises solved" in said
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    assert [row["status"] for row in rows] == ["solved", "not run"]


def test_folder_without_notebooks_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no notebook in .* Give the folder in which you saved"):
        read_progress([tmp_path])


def test_command_shows_and_exports(tmp_path, monkeypatch, capsys):
    write_notebook(
        tmp_path / "class" / "ada.ipynb",
        check_cell("1.2", exercises.Verdict(True, "good.")),
        check_cell("1.3", exercises.Verdict(False, MISTAKEN)),
    )
    monkeypatch.chdir(tmp_path)
    code, said, complained = run_command(monkeypatch, capsys, "progress", "--out", "all.csv")
    assert (code, complained) == (0, "")
    assert said.splitlines() == [
        "class/ada.ipynb",
        "  1.2  how many?: solved",
        f"  1.3: not yet: {MISTAKEN}",
        "1 of 2 exercises solved",
        "table written as all.csv",
    ]
    with (tmp_path / "all.csv").open(newline="", encoding="utf-8") as file:
        header, first, second = csv.reader(file)
    assert header == ["notebook", "exercise", "title", "status", "message"]
    assert first == ["class/ada.ipynb", "1.2", "how many?", "solved", "good."]
    assert second == ["class/ada.ipynb", "1.3", "", "not yet", MISTAKEN]


def test_command_without_an_exercise(tmp_path, monkeypatch, capsys):
    path = tmp_path / "empty.ipynb"
    path.write_text(json.dumps({"cells": []}), encoding="utf-8")
    code, said, _ = run_command(monkeypatch, capsys, "progress", path)
    assert (code, said) == (0, "0 of 0 exercises solved\n")
    code, _, complained = run_command(monkeypatch, capsys, "progress", tmp_path / "nowhere")
    assert code == 2
    assert "is neither a folder nor a notebook" in complained


def test_no_table_is_written_where_no_notebook_could_be_read(tmp_path, monkeypatch, capsys):
    (tmp_path / "ben.ipynb").write_text("{", encoding="utf-8")
    out = tmp_path / "class.csv"
    code, _, complaints = run_command(monkeypatch, capsys, "progress", tmp_path, "--out", out)
    assert (code, out.exists(), "cannot be read as a notebook" in complaints) == (2, False, True)
