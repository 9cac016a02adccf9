"""Text and notebooks are one lesson: identical by content, executed, described, and in order."""

import base64
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from io import BytesIO
from itertools import pairwise

import build_notebooks
import course_page
import lesson_notebooks
import links
import nbformat
import numpy as np
import pytest
import run_course
from lesson_notebooks import (
    NOTEBOOKS,
    SOLUTIONS,
    LessonError,
    alt_texts,
    execute,
    figures,
    finish,
    lesson_paths,
    read_lesson,
    with_ways_in,
    without_solutions,
)
from PIL import Image
from small_png import LARGEST_ERROR, largest_error, smaller_png

LONGEST_CELL = 30  # lines
LARGEST_NOTEBOOK = 1.4e6  # bytes: a phone loads it, and GitHub and nbviewer show it
LESSONS = lesson_paths()
BOTH = [folder / f"{path.stem}.ipynb" for path in LESSONS for folder in (NOTEBOOKS, SOLUTIONS)]

# Folders of the machine that built it: Unix homes and scratch, Windows profiles.
MACHINE_PATH = re.compile(r"(?<![\w.])/(home|root|work|tmp|Users)/|[A-Z]:\\+Users")
A_WARNING = re.compile(r"\b\w*Warning:")

each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=[path.stem for path in LESSONS])
each_notebook = pytest.mark.parametrize(
    "path", BOTH, ids=[path.relative_to(NOTEBOOKS).with_suffix("").as_posix() for path in BOTH]
)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts_of(cell):
    """The source of a cell and everything in its outputs that a reader can read."""
    yield cell.source
    for output in cell.get("outputs", []):
        yield output.get("text", "")
        for kind, data in output.get("data", {}).items():
            if not kind.startswith("image/"):
                yield str(data)


def headings(notebook):
    """Level and text of each Markdown heading, code blocks left aside."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        prose = re.sub(r"^(```|~~~).*?^\1", "", cell.source, flags=re.MULTILINE | re.DOTALL)
        for marks, text in re.findall(r"^(#{1,6})\s+(.+)$", prose, flags=re.MULTILINE):
            found.append((len(marks), text))
    return found


def test_there_are_lessons():
    assert LESSONS, "lessons/ has no NN_name.py"


def test_numbers_do_not_jump():
    assert [int(path.stem[:2]) for path in LESSONS] == list(range(1, len(LESSONS) + 1))


@each_lesson
def test_notebooks_are_their_text(lesson):
    found = build_notebooks.differences(lesson)
    assert not found, "\n".join([*found, "`make notebooks` builds them again"])


def test_no_notebook_without_text():
    assert build_notebooks.orphans() == []


@each_notebook
def test_every_code_cell_was_executed_in_order(path):
    counts = [cell.execution_count for cell in code_cells(nbformat.read(path, as_version=4))]
    assert counts == list(range(1, len(counts) + 1))


@each_notebook
def test_outputs_hold_no_error_no_warning_no_machine_path(path):
    for number, cell in enumerate(nbformat.read(path, as_version=4).cells, start=1):
        for output in cell.get("outputs", []):
            assert output.output_type != "error", f"cell {number}: a stored error"
            assert output.get("name") != "stderr", f"cell {number}: {output.text}"
        for text in texts_of(cell):
            assert not MACHINE_PATH.search(text), f"cell {number}: {MACHINE_PATH.search(text)}"
            assert not A_WARNING.search(text), f"cell {number}: {A_WARNING.search(text)}"


@each_notebook
def test_every_picture_has_alt_text(path):
    for number, cell in enumerate(nbformat.read(path, as_version=4).cells, start=1):
        alts = [output.metadata.get("image/png", {}).get("alt", "") for output in figures(cell)]
        assert all(len(alt) > 10 for alt in alts), f"cell {number}: {alts}"
        if cell.cell_type == "markdown":
            assert not re.search(r"!\[\s*\]\(|<img(?![^>]*\balt=\"[^\"]+\")", cell.source), (
                f"cell {number}: a picture without alt text"
            )


@each_notebook
def test_nothing_of_the_machine_is_stored(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata == lesson_notebooks.METADATA
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}
        for output in cell.get("outputs", []):
            assert lesson_notebooks.WIDGET_VIEW not in output.get("data", {})
            assert not lesson_notebooks.is_begun_bar(output), "a bar that never moves"


@each_notebook
def test_size_on_disk(path):
    assert path.stat().st_size <= LARGEST_NOTEBOOK, "`make notebooks` stores smaller figures"


@each_notebook
def test_figures_are_legible_on_a_dark_page_too(path):
    """Their ground is their own: nothing of the page shows through behind dark letters."""
    for cell in nbformat.read(path, as_version=4).cells:
        for output in figures(cell):
            picture = Image.open(BytesIO(base64.b64decode(output.data["image/png"])))
            alpha = np.asarray(picture.convert("RGBA"))[..., 3]
            assert alpha.min() == 255, output.metadata["image/png"]["alt"]


@each_notebook
def test_ways_in(path):
    """Badges to this very notebook; the first code cell installs on Colab and does nothing here."""
    notebook = nbformat.read(path, as_version=4)
    place = path.relative_to(NOTEBOOKS.parent).as_posix()
    second_line = notebook.cells[0].source.splitlines()[2]
    for name, address in links.addresses(place).items():
        assert f"[![{links.WORDS[name]}](attachment:{name}.png)]({address})" in second_line
        assert f"{name}.png" in notebook.cells[0].attachments
    first_code = code_cells(notebook)[0]
    assert first_code == notebook.cells[1]
    assert f'"git+{links.repository()}"' in first_code.source
    assert first_code.outputs == []


@each_lesson
def test_cells_are_short(lesson):
    for number, cell in enumerate(read_lesson(lesson).cells, start=1):
        lines = len(cell.source.splitlines())
        assert cell.cell_type != "code" or lines <= LONGEST_CELL, f"cell {number}: {lines} lines"


# The form of every lesson's first cell and of its end.
NEEDS = (
    r"\*\*What you need:\*\* .+ \*\*Time:\*\* \d+ minutes to read, \d+ minutes? to run\. "
    r"\*\*Memory:\*\* \d+\.\d GB\. \*\*Internet:\*\* not needed"
)
GLOSSARY = (
    "Words in *italics* or **bold** that are new are explained in the "
    "[glossary](../docs/glossary.md)."
)


def paragraphs(text):
    """Paragraphs with single blanks."""
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]


def prose(notebook):
    """All Markdown of a notebook."""
    return "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")


@each_lesson
def test_opening(lesson):
    notebook = read_lesson(lesson)
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    title, lead, *rest = paragraphs(first.source)
    assert re.fullmatch(rf"# {int(lesson.stem[:2])}\. \S.*", title)
    assert len(re.findall(r"[.?!](?: |$)", lead)) >= 2, "two or three sentences on what it is about"
    assert rest[0] == "**What you will learn**"
    assert len(re.findall(r"(?:^| )- ", rest[1])) >= 3, "what you will be able to do, in bullets"
    assert re.match(NEEDS, rest[2]), rest[2]
    assert rest[3] == GLOSSARY
    assert notebook.cells[1].cell_type == "code", "then come the imports"
    assert notebook.cells[1].source.startswith(("import ", "from "))


@each_lesson
def test_ending(lesson):
    notebook = read_lesson(lesson)
    sections = [text for level, text in headings(notebook) if level == 2]
    assert sections[-2:] == ["What to take along", "Checkpoint"]
    text = prose(notebook)
    recap, checkpoint = text.split("## What to take along")[1].split("## Checkpoint")
    assert len(re.findall(r"^- ", recap, flags=re.MULTILINE)) >= 3, "the recap, in bullets"
    answers = len(re.findall(r"<details>\s*<summary>Answer</summary>", checkpoint))
    assert 3 <= answers <= 5
    questions, _, end = checkpoint.partition("\nNext: ")
    assert questions.count("</details>") == answers
    assert len(re.findall(r"^(?:\*\*)?\d\.", questions, flags=re.MULTILINE)) == answers
    if lesson != LESSONS[-1]:
        following = LESSONS[LESSONS.index(lesson) + 1]
        assert end.startswith(f"[lesson {int(following.stem[:2])}, ")
        assert f"]({following.stem}.ipynb)." in end
    reading = end.partition("**Further reading:**")[2]
    assert len(re.findall(r"\]\(https://[^)\s]+\)", " ".join(reading.split()))) >= 2
    assert notebook.cells[-1].cell_type == "markdown"


@each_lesson
def test_asks_before_it_shows(lesson):
    assert len(re.findall(r"\*(?:Predict|Before you run|Guess)\b", prose(read_lesson(lesson)))) >= 3


@each_lesson
def test_caption_under_every_figure(lesson):
    """In the student's notebook; what a solution draws there may speak for itself."""
    cells = without_solutions(read_lesson(lesson)).cells
    captions = {
        number: int(found[1])
        for number, cell in enumerate(cells)
        if cell.cell_type == "markdown" and (found := re.match(r"\*Figure (\d+)\. \S", cell.source))
    }
    drawing = [n for n, c in enumerate(cells) if c.cell_type == "code" and alt_texts(c.source)]
    for number in drawing:
        what = cells[number].source.splitlines()[0]
        assert number + 1 in captions, f"no caption *Figure N. ...* under the cell {what!r}"
    assert list(captions) == [number + 1 for number in drawing], "a caption without a figure"
    assert list(captions.values()) == list(range(1, len(captions) + 1))
    mentioned = {int(n) for n in re.findall(r"\bFigure (\d+)", prose(read_lesson(lesson)))}
    assert mentioned <= set(captions.values())


@each_lesson
def test_a_figure_stands_beside_each_control(lesson):
    """Those who read without a running kernel see no control, and lose nothing."""
    cells = read_lesson(lesson).cells
    code = [cell.source if cell.cell_type == "code" else "" for cell in cells]
    for number, source in enumerate(code):
        if re.search(r"\bexplore_\w+\(", source):
            near = code[max(0, number - 4) : number + 5]
            assert any(alt_texts(other) for other in near), source


@each_lesson
def test_heading_levels_do_not_jump(lesson):
    found = headings(read_lesson(lesson))
    assert [level for level, _ in found].count(1) == 1, "one level-1 heading, the title"
    for (before, _), (level, text) in pairwise(found):
        assert level <= before + 1, f"{text!r} is level {level} after level {before}"


def imports(lesson):
    """The import cell of a lesson, and the packages that it names."""
    first = next(cell for cell in read_lesson(lesson).cells if cell.cell_type == "code").source
    return first, set(re.findall(r"^(?:import|from) (\w+)", first, flags=re.MULTILINE))


# tests/test_layers.py holds that devotools asks for no network, with all that it imports; what
# a lesson imports by itself, and may import too early, is looked at here.
QUIET = {"cv2", "devotools", "matplotlib", "numpy", "pandas", "scipy", "skimage", "torch"}
QUIET |= {"torchvision", *sys.stdlib_module_names}
LOUD = [path for path in LESSONS if imports(path)[1] - QUIET]


@pytest.mark.parametrize("lesson", LOUD, ids=[path.stem for path in LOUD])
def test_imports_are_silent_and_ask_for_no_network(lesson):
    """In a fresh Python, as in a classroom without internet: no question, no warning."""
    watch = (
        "import sys\n"
        "def watch(event, arguments):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo'):\n"
        "        raise SystemExit(f'asked for the network: {arguments[1:]}')\n"
        "sys.addaudithook(watch)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "NO_ALBUMENTATIONS_UPDATE"}
    environment["MPLBACKEND"] = "agg"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", watch + imports(lesson)[0]],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


# The tools themselves, on a lesson of a few lines.

TEXT = """\
# %% [markdown]
# # A title

# %%
# alt: A line that rises
#   from left to right.
import matplotlib.pyplot as plt

_ = plt.plot([0, 1])

# %%
answer = None

# %% tags=["solution"]
answer = 42
answer
"""


@pytest.fixture
def small_course(tmp_path, monkeypatch):
    """A course of one lesson in a folder of its own."""
    monkeypatch.setattr(lesson_notebooks, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(lesson_notebooks, "SOLUTIONS", tmp_path / "notebooks" / "solutions")
    monkeypatch.setattr(build_notebooks, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(build_notebooks, "ROOT", tmp_path)
    lesson = tmp_path / "lessons" / "01_small.py"
    lesson.parent.mkdir()
    lesson.write_text(TEXT, encoding="utf-8")
    return lesson


def test_student_lacks_just_the_solutions(small_course):
    solved = read_lesson(small_course)
    student = without_solutions(solved)
    assert [cell.source for cell in student.cells] == [cell.source for cell in solved.cells[:3]]
    assert len(solved.cells) == 4


def test_cell_ids_follow_the_content(small_course):
    before = [cell.id for cell in read_lesson(small_course).cells]
    small_course.write_text("# %%\nnew = 1\n\n" + TEXT, encoding="utf-8")
    assert [cell.id for cell in read_lesson(small_course).cells][1:] == before
    assert len(set(before)) == len(before)


def test_ways_in_stand_in_the_copy_only(small_course):
    text = read_lesson(small_course)
    before = [cell.source for cell in text.cells]
    opened = with_ways_in(text, "notebooks/01_small.ipynb")
    assert [cell.source for cell in text.cells] == before
    assert [cell.source for cell in opened.cells[2:]] == before[1:]
    assert "attachments" not in text.cells[0]
    nbformat.validate(opened)


def test_colab_cell_installs_there_and_only_there(small_course, monkeypatch):
    code = with_ways_in(read_lesson(small_course), "notebooks/01_small.ipynb").cells[1].source
    called = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: called.append(command))
    exec(code, {})
    assert called == []
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    exec(code, {})
    (command,) = called
    assert command[1:4] == ["-m", "pip", "install"]
    assert command[-1] == f"git+{links.repository()}"


def test_lesson_without_title_is_refused(small_course):
    small_course.write_text("# %%\n1 + 1\n", encoding="utf-8")
    with pytest.raises(LessonError, match=r"notebooks/01_small.ipynb has no title: begin it"):
        lesson_notebooks.variants(small_course)


def png_of(pixels):
    file = BytesIO()
    Image.fromarray(np.uint8(pixels)).save(file, "PNG")
    return file.getvalue()


def test_smaller_figures_look_the_same():
    rows, columns = np.mgrid[:120, :160]
    grey = 127 + 100 * np.sin(rows / 9) * np.cos(columns / 7)
    pixels = np.stack([grey, grey, grey, np.full_like(grey, 255)], axis=-1)
    pixels[20:40, 20:60] = (0, 114, 178, 255)  # a blue patch
    pixels[50:70, 20:60] = (255, 255, 255, 0)  # and a hole
    data = png_of(pixels)
    small = smaller_png(data)
    assert len(small) < len(data)
    assert smaller_png(small) == small
    shown, wanted = Image.open(BytesIO(small)), Image.fromarray(np.uint8(pixels[..., :3]))
    assert largest_error(shown, wanted) <= LARGEST_ERROR
    assert shown.convert("RGB").getpixel((30, 30)) == (0, 114, 178)
    assert shown.convert("RGBA").getpixel((30, 60)) == (255, 255, 255, 255)


def test_greys_get_no_tint_beside_many_colours():
    rng = np.random.default_rng(0)
    grey = np.repeat(rng.integers(0, 256, (40, 160, 1)), 3, axis=2)
    under, share = rng.integers(0, 256, (80, 160, 1)), 0.3 * rng.random((80, 160, 1))
    blended = (1 - share) * under + share * np.array([0, 114, 178])
    pixels = np.vstack([grey, blended]).astype(int)
    small = Image.open(BytesIO(smaller_png(png_of(pixels))))
    shown = np.asarray(small.convert("RGB"), int)
    assert small.mode == "P"
    assert np.ptp(shown[:40], axis=2).max() == 0
    assert abs(shown - pixels).max() <= LARGEST_ERROR


def test_figures_of_many_colours_keep_them():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3))
    assert (
        largest_error(
            Image.open(BytesIO(smaller_png(png_of(noise)))), Image.fromarray(np.uint8(noise))
        )
        == 0
    )


def test_same_cell_twice_has_two_ids(small_course):
    small_course.write_text("# %%\nx\n\n# %%\nx\n", encoding="utf-8")
    first, second = read_lesson(small_course).cells
    assert first.id != second.id


def test_alt_texts_carry_on_and_come_in_order():
    assert alt_texts(
        "# alt: One\n#   and more.\n# a remark\n#   of two lines\n# alt: Two.\nx = 1"
    ) == [
        "One and more.",
        "Two.",
    ]


def test_build_then_change_then_check(small_course, capsys):
    build_notebooks.build(small_course, reuse=False, timeout=60)
    assert build_notebooks.differences(small_course) == []

    solved = nbformat.read(lesson_notebooks.SOLUTIONS / "01_small.ipynb", as_version=4)
    assert figures(solved.cells[2])[0].metadata["image/png"]["alt"] == (
        "A line that rises from left to right."
    )
    assert [cell.get("execution_count") for cell in solved.cells] == [None, 1, 2, 3, 4]
    assert solved.cells[4].outputs[0].data["text/plain"] == "42"

    # New prose keeps the outputs and needs no kernel; new code does not.
    retitled = TEXT.replace("A title", "Another title")
    small_course.write_text(retitled, encoding="utf-8")
    assert len(build_notebooks.differences(small_course)) == 2
    capsys.readouterr()
    build_notebooks.build(small_course, reuse=True, timeout=60)
    assert capsys.readouterr().out.count("outputs kept") == 2
    assert build_notebooks.differences(small_course) == []
    small_course.write_text(retitled.replace("rises", "falls"), encoding="utf-8")
    difference, _ = build_notebooks.differences(small_course)
    assert difference.endswith("cell 3: source and alt differ from the text")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 / 0", r"small, cell 1 of 1 \('1 / 0'\): ZeroDivisionError"),
        ("import time\ntime.sleep(60)", r"cell 1 of 1 \('import time'\): not finished after 2 s"),
    ],
)
def test_failing_cell_is_named(tmp_path, code, message):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    with pytest.raises(LessonError, match=message):
        execute(notebook, "small", tmp_path, timeout=2)


def test_stderr_is_refused():
    output = nbformat.v4.new_output("stream", name="stderr", text="UserWarning: careful")
    cell = nbformat.v4.new_code_cell("f()", outputs=[output], execution_count=1)
    with pytest.raises(LessonError, match=r"small, cell 1 .* stderr.*UserWarning: careful"):
        finish(nbformat.v4.new_notebook(cells=[cell]), "small")


def test_figure_without_alt_text_is_refused():
    output = nbformat.v4.new_output("display_data", data={"image/png": "aGk="})
    cell = nbformat.v4.new_code_cell("draw()", outputs=[output], execution_count=1)
    with pytest.raises(LessonError, match=r"1 figures but 0 `# alt:` comments"):
        finish(nbformat.v4.new_notebook(cells=[cell]), "small")


def test_links_of_a_page_of_the_course_lead_somewhere():
    text = (
        "[next](02_augment_image_and_mask.ipynb#a-part) [words](../docs/glossary.md#iou) "
        "[home](https://example.org/a) [up](#top) [solved](solutions/01_explore_the_embryo.ipynb)"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    html = course_page.page(notebook, "01_explore_the_embryo")
    there = f"{links.repository()}/blob/{links.BRANCH}"
    for address in (
        "02_augment_image_and_mask.html#a-part",
        f"{there}/docs/glossary.md#iou",
        "https://example.org/a",
        "#top",
        f"{there}/notebooks/solutions/01_explore_the_embryo.ipynb",
    ):
        assert f'href="{address}"' in html


def test_tests_and_kernels_ask_for_no_network(small_course):
    elsewhere = ("192.0.2.2", 9)  # an address for examples: nobody has it
    with pytest.raises(OSError, match="asked for the network"):
        socket.create_connection(elsewhere, timeout=1)
    cell = f"import socket\nsocket.create_connection({elsewhere}, timeout=1)"
    small_course.write_text(f"# %%\n{cell}\n", encoding="utf-8")
    with pytest.raises(LessonError, match="asked for the network"):
        execute(read_lesson(small_course), "small", small_course.parent, timeout=60)


def test_run_course_keeps_what_was_done_when_it_is_stopped(small_course, monkeypatch, capsys):
    notebooks = lesson_notebooks.NOTEBOOKS
    notebooks.mkdir()
    nbformat.write(without_solutions(read_lesson(small_course)), notebooks / "01_small.ipynb")
    sign = notebooks.parent / "sign"
    code = f"import pathlib, time\npathlib.Path({str(sign)!r}).touch()\ntime.sleep(600)"
    long = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbformat.write(long, notebooks / "02_long.ipynb")
    monkeypatch.setattr(run_course, "NOTEBOOKS", notebooks)
    monkeypatch.setattr(run_course, "ROOT", notebooks.parent)
    monkeypatch.setattr(run_course, "OUT", notebooks.parent / "build" / "course")

    def press_ctrl_c():
        while not sign.exists():
            time.sleep(0.05)
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=press_ctrl_c, daemon=True).start()
    assert run_course.main() == 130
    assert "Stopped. Ran 1 of 2 lessons" in capsys.readouterr().out
    index = (run_course.OUT / "index.html").read_text(encoding="utf-8")
    assert '<a href="01_small.html">' in index


def test_run_course_writes_pages_and_names_what_failed(small_course, monkeypatch, capsys):
    notebooks = lesson_notebooks.NOTEBOOKS
    notebooks.mkdir()
    nbformat.write(without_solutions(read_lesson(small_course)), notebooks / "01_small.ipynb")
    bad = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("oops")])
    nbformat.write(bad, notebooks / "02_bad.ipynb")
    before = {path.name: path.read_bytes() for path in notebooks.iterdir()}
    monkeypatch.setattr(run_course, "NOTEBOOKS", notebooks)
    monkeypatch.setattr(run_course, "ROOT", notebooks.parent)
    monkeypatch.setattr(run_course, "OUT", notebooks.parent / "build" / "course")

    assert run_course.main() == 1
    printed = capsys.readouterr()
    assert re.search(r"^01_small: 2 cells, 1 figures, \d+ s$", printed.out, flags=re.MULTILINE)
    assert "error: 02_bad, cell 1 of 1 ('oops'): NameError" in printed.err
    last = printed.out.splitlines()[-1]
    assert re.fullmatch(
        r"Ran 1 of 2 lessons \(2 cells\) in \d+ s\. Look at build/course/index\.html", last
    )
    page = (run_course.OUT / "01_small.html").read_text(encoding="utf-8")
    assert 'alt="A line that rises from left to right."' in page
    assert "data:image/png;base64," in page
    index = (run_course.OUT / "index.html").read_text(encoding="utf-8")
    assert '<a href="01_small.html">A title</a>' in index
    assert "NameError" in index
    assert {path.name: path.read_bytes() for path in notebooks.iterdir()} == before
