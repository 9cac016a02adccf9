"""What teachers and newcomers are told is so: verdicts, workflows, templates, the archive."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import budget
import make_offline
import pytest
import test_notebooks
import yaml
from lesson_notebooks import ROOT, execute, finish, lesson_paths, read_lesson
from offline import install, start

from devotools.exercises import EXERCISES

LESSONS = lesson_paths()
SHEETS = [ROOT / "teaching" / f"lesson-{path.stem[:2]}.md" for path in LESSONS]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))
MISTAKE = re.compile(r"\| `(\d\.\d)` \*(.+?)\* \|")

each_sheet = pytest.mark.parametrize("sheet", SHEETS, ids=[path.stem for path in SHEETS])
each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=[path.stem for path in WORKFLOWS])


# --- teaching ----------------------------------------------------------------------------------


@each_sheet
def test_sheet_has_its_parts(sheet):
    text = sheet.read_text(encoding="utf-8")
    parts = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert parts[0] == "Aims"
    assert {"Timings", "To discuss", "Watch out"} <= set(parts)
    rows = [int(m) for m in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
    assert f"\n{sum(rows)} minutes with exercises and talk." in text
    assert len(re.findall(r"^\d\. ", text, re.MULTILINE)) >= 3


@each_sheet
def test_sheet_quotes_mistakes_that_checks_name(sheet):
    quoted = MISTAKE.findall(sheet.read_text(encoding="utf-8"))
    assert len(quoted) >= 5
    number = str(int(sheet.stem[-2:]))
    assert {key for key, _ in quoted} == {key for key in EXERCISES if key.split(".")[0] == number}
    for key, name in quoted:
        assert name in {mistake.name for mistake in EXERCISES[key].mistakes}, f"{key}: {name}"


# --- the template of a lesson -------------------------------------------------------------------


@pytest.fixture
def template(tmp_path):
    """The template as somebody would copy it."""
    path = tmp_path / f"{len(LESSONS) + 1:02}_your_name.py"
    shutil.copy(ROOT / "lessons" / "template.py", path)
    return path


def test_template_is_the_next_lesson(template):
    title = read_lesson(template).cells[0].source.splitlines()[0]
    assert title.startswith(f"# {len(LESSONS) + 1}. "), "renumber lessons/template.py"


@pytest.mark.parametrize(
    "rule",
    [
        test_notebooks.test_cells_are_short,
        test_notebooks.test_opening,
        test_notebooks.test_asks_before_it_shows,
        test_notebooks.test_caption_under_every_figure,
        test_notebooks.test_heading_levels_do_not_jump,
    ],
    ids=lambda rule: rule.__name__,
)
def test_template_keeps_the_rules(template, rule):
    rule(template)


def test_template_has_a_header_that_the_budget_finds_and_an_end(template):
    text = template.read_text(encoding="utf-8")
    assert budget.HEADER.search(text)
    assert text.index("## What to take along") < text.index("## Checkpoint")
    assert text.count("<summary>Answer</summary>") == 3


def test_template_runs(template, tmp_path):
    finish(execute(read_lesson(template), "template", tmp_path), "template")


# --- without a network ---------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """An archive with one small file in place of the wheels."""

    def collect(folder):
        (folder / "devotools-0-py3-none-any.whl").write_bytes(b"wheel")

    monkeypatch.setattr(make_offline, "collect_wheels", collect)
    assert make_offline.main(["--out", str(tmp_path)]) == 0
    (path,) = tmp_path.glob("*.zip")
    return path


def test_archive_holds_what_a_student_needs_and_no_solution(archive, capsys):
    names = {name.partition("/")[2] for name in zipfile.ZipFile(archive).namelist()}
    assert {"install.py", "start.py", "made-for.json", "START-HERE.md", "README.md"} <= names
    assert {f"notebooks/{path.stem}.ipynb" for path in LESSONS} <= names
    assert "docs/glossary.md" in names
    assert "wheels/devotools-0-py3-none-any.whl" in names
    assert not any("solution" in name for name in names)
    assert not list(archive.parent.glob("*.part"))
    machine = install.this_machine()
    assert machine["platform"] in archive.name
    assert f"py{machine['python'].replace('.', '')}" in archive.name


def test_archive_for_teachers_holds_solutions(tmp_path, archive):
    assert make_offline.main(["--out", str(tmp_path), "--for-teachers"]) == 0
    assert "solution" not in str(zipfile.ZipFile(archive).namelist())  # the students' is as it was
    names = zipfile.ZipFile(archive.with_stem(f"{archive.stem}-teachers")).namelist()
    assert sum("/solutions/" in name for name in names) == len(LESSONS)
    assert any(name.endswith("teaching/lesson-01.md") for name in names)


def test_pip_that_fails_leaves_no_archive(tmp_path, monkeypatch, capsys):
    def fail(folder):
        raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setattr(make_offline, "collect_wheels", fail)
    assert make_offline.main(["--out", str(tmp_path)]) == 1
    assert "error: pip could not collect the wheels" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_installer_refuses_another_machine(archive):
    here = install.this_machine()
    assert install.problem(here, here) is None
    assert "for Python 3.9, and here is" in install.problem(here | {"python": "3.9"}, here)
    assert "for machine win-arm64" in install.problem(here | {"platform": "win-arm64"}, here)


def test_unpacked_installer_refuses_before_it_makes_anything(archive):
    with zipfile.ZipFile(archive) as bundle:
        bundle.extractall(archive.parent)
    folder = archive.with_suffix("")
    made_for = {**json.loads((folder / "made-for.json").read_text()), "python": "2.7"}
    (folder / "made-for.json").write_text(json.dumps(made_for), encoding="utf-8")
    command = [sys.executable, str(folder / "install.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: this archive is for Python 2.7")
    assert not (folder / ".venv").exists()


def test_installer_keeps_what_is_there_when_the_wheels_were_deleted(tmp_path, monkeypatch, capsys):
    (tmp_path / "made-for.json").write_text(json.dumps(install.this_machine()), encoding="utf-8")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "installed").touch()
    monkeypatch.setattr(install, "HERE", tmp_path)
    assert install.main() == 2
    assert "Unpack it again" in capsys.readouterr().err
    assert (tmp_path / ".venv" / "installed").exists()


def test_installer_names_the_package_that_debian_keeps_apart(archive, monkeypatch, capsys):
    with zipfile.ZipFile(archive) as bundle:
        bundle.extractall(archive.parent)
    monkeypatch.setattr(install, "HERE", archive.with_suffix(""))
    monkeypatch.setattr(install, "find_spec", lambda name: None)
    assert install.main() == 2
    assert f"python{install.this_machine()['python']}-venv" in capsys.readouterr().err
    assert not (archive.with_suffix("") / ".venv").exists()


def test_the_lessons_start_where_their_links_and_the_command_are_found(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(start, "HERE", tmp_path)
    assert start.main([]) == 2
    assert "run install.py first" in capsys.readouterr().err
    programs = tmp_path / ".venv" / ("Scripts" if os.name == "nt" else "bin")
    programs.mkdir(parents=True)
    started = {}
    monkeypatch.setattr(start.subprocess, "call", lambda words, env: started.update(w=words, e=env))
    start.main(["--no-browser"])
    assert f"--ServerApp.root_dir={tmp_path}" in started["w"]
    assert started["w"][-1] == "--no-browser"
    assert started["e"]["PATH"].startswith(str(programs))


@pytest.mark.parametrize("name", ["install", "start"])
def test_scripts_of_the_archive_need_python_alone(name):
    text = (ROOT / "tools" / "offline" / f"{name}.py").read_text(encoding="utf-8")
    imports = set(re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE))
    assert imports <= sys.stdlib_module_names


# --- GitHub --------------------------------------------------------------------------------------


def steps_of(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@each_workflow
def test_workflow_is_well_formed(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow[True], "`on`, which YAML reads as true"
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 90
        assert job["steps"][0]["uses"].startswith("actions/checkout@")
    for step in steps_of(workflow):
        assert ("uses" in step) != ("run" in step)
        assert "continue-on-error" not in step, "a failure must be seen"
        assert not re.search(r"\|\|\s*true", step.get("run", ""))


def test_workflows_cover_systems_versions_drift_and_links():
    flows = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in WORKFLOWS}
    systems = flows["tests"]["jobs"]["systems"]["strategy"]["matrix"]["system"]
    assert {name.split("-")[0] for name in systems} == {"ubuntu", "macos", "windows"}
    versions = flows["tests"]["jobs"]["versions"]["strategy"]["matrix"]["include"]
    assert {row["which"] for row in versions} == {"oldest", "newest"}
    assert any(step.get("run") == "bash .ci/run" for step in steps_of(flows["tests"]))
    for name in ("drift", "links"):
        assert re.fullmatch(r"\d+ \d+ \* \* \d", flows[name][True]["schedule"][0]["cron"])
    assert any("lychee" in step.get("uses", "") for step in steps_of(flows["links"]))


@pytest.mark.parametrize("path", FORMS, ids=[path.stem for path in FORMS])
def test_issue_form_is_well_formed(path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= set(form)
    ids = [part["id"] for part in form["body"] if part["type"] != "markdown"]
    assert len(set(ids)) == len(ids)
    assert all(part["attributes"]["label"] for part in form["body"])


def test_bug_reports_and_pull_requests_ask_for_doctor():
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text(encoding="utf-8"))
    (doctor,) = [part for part in form["body"] if part.get("id") == "doctor"]
    assert doctor["validations"] == {"required": True}
    assert "`devotools doctor`" in doctor["attributes"]["description"]
    asked = (ROOT / ".github" / "pull_request_template.md").read_text(encoding="utf-8")
    assert "`devotools doctor`" in asked


def test_commands_that_contributors_are_told_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for words in re.findall(r"(?:^    |`)make ([a-z -]+?)(?:`| {2,}|$)", text, re.MULTILINE):
        for target in words.split():
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for path in re.findall(r"\b(?:tools|tests|devotools|notebooks)/\w+\.(?:py|ipynb)", text):
        assert (ROOT / path.replace("NN_name", LESSONS[0].stem)).exists(), path
