"""Run the course: `make run`.

Executes every student notebook in order, each in a fresh kernel, on the data that the package
draws itself, and writes the pages to build/course. What stands in notebooks/ is not touched.
"""

import argparse
import platform
import shutil
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import nbformat
from course_page import index_page, page, title_of
from lesson_notebooks import NOTEBOOKS, ROOT, LessonError, describe_figures, execute, figures

OUT = ROOT / "build" / "course"


def show_progress(name: str):
    """A function that redraws one line with the cells done; silent where nobody watches."""
    if not sys.stdout.isatty():
        return None

    def draw(done: int, total: int) -> None:
        print(f"\r{name}: cell {done} of {total}", end="", flush=True)

    return draw


def run_lesson(path: Path) -> dict:
    """Execute a lesson, write its page, and say what came of it."""
    notebook = nbformat.read(path, as_version=4)
    row = {"name": path.stem, "title": title_of(notebook, path.stem), "problem": ""}
    row["cells"] = sum(cell.cell_type == "code" for cell in notebook.cells)
    row["figures"] = 0
    started = time.perf_counter()
    # An empty folder to work in: no lesson may need what lies beside it, nor leave anything there.
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = execute(notebook, path.stem, Path(folder), on_cell=show_progress(path.stem))
        except LessonError as error:
            row["problem"] = str(error)
            done = None
    row["seconds"] = time.perf_counter() - started
    if done is not None:
        for cell in done.cells:
            row["figures"] += len(figures(cell))
            describe_figures(cell)
        (OUT / f"{path.stem}.html").write_text(page(done, path.stem), encoding="utf-8")
    return row


def in_words(seconds: float) -> str:
    """A duration as people say it."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def report(row: dict) -> None:
    """Print the line of one lesson."""
    start = f"\r{' ' * 70}\r" if sys.stdout.isatty() else ""  # over the line of progress
    if row["problem"]:
        print(f"{start}{row['name']}: FAILED after {row['seconds']:.0f} s", flush=True)
        print(f"\nerror: {row['problem']}\n", file=sys.stderr, flush=True)
    else:
        what = f"{row['cells']} cells, {row['figures']} figures, {row['seconds']:.0f} s"
        print(f"{start}{row['name']}: {what}", flush=True)


def main() -> int:
    """Run all lessons; the exit status is 1 when one failed or there is none, 130 after Ctrl-C."""
    lessons = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    if not lessons:
        print("error: notebooks/ has no lessons; `make notebooks` builds them", file=sys.stderr)
        return 1
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    print(f"Running {len(lessons)} lessons, each in a fresh kernel ...", flush=True)
    started = time.perf_counter()
    rows, stopped = [], False
    try:
        for path in lessons:
            rows.append(run_lesson(path))
            report(rows[-1])
    except KeyboardInterrupt:
        stopped = True
    made_with = (
        f"Run with devotools {version('devotools')}, Python {platform.python_version()}, "
        f"PyTorch {version('torch')}, on {platform.system()}."
    )
    index = OUT / "index.html"
    index.write_text(index_page(rows, made_with), encoding="utf-8")

    done = [row for row in rows if not row["problem"]]
    print(
        f"{'Stopped. ' if stopped else ''}Ran {len(done)} of {len(lessons)} lessons "
        f"({sum(row['cells'] for row in done)} cells) in "
        f"{in_words(time.perf_counter() - started)}. Look at {index.relative_to(ROOT).as_posix()}"
    )
    if stopped:
        return 130
    return 1 if len(done) < len(lessons) else 0


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    sys.exit(main())
