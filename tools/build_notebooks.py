"""Build the notebooks from the lesson texts: `make notebooks`.

Every lesson gives two, the student's and the solved one, both executed with their outputs stored.
Name lessons to build only those (`python tools/build_notebooks.py 03_train_resnet18`); `--reuse`
keeps stored outputs where no code cell has changed (prose was edited); `--check` only compares,
and exits 1 when a notebook is not what its text says.
"""

import argparse
import sys
import time
from pathlib import Path

import nbformat
from lesson_notebooks import (
    NOTEBOOKS,
    ROOT,
    LessonError,
    execute,
    finish,
    lesson_paths,
    shown_as,
    variants,
)
from nbformat import NotebookNode


def differences(lesson: Path) -> list[str]:
    """How the stored notebooks of a lesson differ from its text; empty when they do not."""
    found = []
    for path, wanted in variants(lesson).items():
        where = path.relative_to(ROOT).as_posix()
        if not path.exists():
            found.append(f"{where} is missing")
            continue
        stored, text = shown_as(nbformat.read(path, as_version=4)), shown_as(wanted)
        if len(stored) != len(text):
            found.append(f"{where} has {len(stored)} cells, its text {len(text)}")
        for number, (one, other) in enumerate(zip(stored, text, strict=False), start=1):
            parts = [part for part in one if one[part] != other[part]]
            if parts:
                found.append(f"{where}, cell {number}: {' and '.join(parts)} differ from the text")
                break
    return found


def orphans() -> list[str]:
    """Notebooks that no lesson text stands behind."""
    expected = {path for lesson in lesson_paths() for path in variants(lesson)}
    stored = (p for p in NOTEBOOKS.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
    unknown = [path for path in stored if path not in expected]
    return [f"{path.relative_to(ROOT).as_posix()} has no lesson text" for path in unknown]


def code_of(notebook: NotebookNode) -> list[str]:
    """The sources of the code cells."""
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def with_stored_outputs(wanted: NotebookNode, path: Path) -> NotebookNode | None:
    """The notebook with the outputs stored at `path`, or None where the code has changed."""
    if not path.exists():
        return None
    stored = nbformat.read(path, as_version=4)
    if code_of(stored) != code_of(wanted):
        return None
    outputs = iter(cell for cell in stored.cells if cell.cell_type == "code")
    for cell in wanted.cells:
        if cell.cell_type == "code":
            old = next(outputs)
            if old.execution_count is None:
                return None
            cell.outputs, cell.execution_count = old.outputs, old.execution_count
    return wanted


def build(lesson: Path, *, reuse: bool, timeout: float) -> None:
    """Build both notebooks of a lesson; neither is written unless both run."""
    built = {}
    for path, wanted in variants(lesson).items():
        name = path.relative_to(NOTEBOOKS).with_suffix("").as_posix()
        started = time.perf_counter()
        notebook = with_stored_outputs(wanted, path) if reuse else None
        how = "outputs kept"
        if notebook is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            notebook = execute(wanted, name, path.parent, timeout=timeout)
            how = f"executed in {time.perf_counter() - started:.0f} s"
        built[path] = finish(notebook, name)
        print(f"{name}: {len(notebook.cells)} cells, {how}", flush=True)
    for path, notebook in built.items():
        nbformat.validate(notebook)
        nbformat.write(notebook, path)


def main(arguments: list[str] | None = None) -> int:
    """Build or check the lessons named; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lessons", nargs="*", help="names as 01_explore_the_embryo; without: all")
    parser.add_argument("--check", action="store_true", help="compare with the text, build nothing")
    parser.add_argument("--reuse", action="store_true", help="execute only where code has changed")
    parser.add_argument("--timeout", type=float, default=600, help="seconds that a cell may take")
    options = parser.parse_args(arguments)
    try:
        lessons = lesson_paths(options.lessons)
        if not lessons:
            raise LessonError("lessons/ has no NN_name.py")
        if options.check:
            found = [line for lesson in lessons for line in differences(lesson)] + orphans()
            print("\n".join(found) or f"{len(lessons)} lessons: text and notebooks are the same")
            return 1 if found else 0
        for lesson in lessons:
            build(lesson, reuse=options.reuse, timeout=options.timeout)
    except LessonError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
