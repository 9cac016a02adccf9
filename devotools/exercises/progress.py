"""Which exercises are solved: read from the verdicts that saved notebooks hold."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pandas as pd

from devotools._validate import InputError, as_paths

from .kit import UNTOUCHED

COLUMNS = ["notebook", "exercise", "title", "status", "message"]
LEFT_OUT = {".ipynb_checkpoints", "solutions"}  # copies of Jupyter's, and what we solved ourselves

# no comment, and no test of nbgrader's or otter's, which shows no verdict
_CHECK = re.compile(r"^(?!\s*(?:#|assert\b))[^\n]*?\bcheck\(\s*[\"'](\d+\.\d+)[\"']", re.MULTILINE)
_TITLE = re.compile(r"^#+ Exercise (\d+\.\d+): *(.+?) *$", re.MULTILINE)
_VERDICT = re.compile(r"^(solved|not yet)(?:: (.*))?$", re.DOTALL)


def find_notebooks(paths: Iterable[str | Path]) -> list[Path]:
    """The notebooks named, and all those in the folders named, in order.

    Within a folder, Jupyter's own copies (``.ipynb_checkpoints``) and ``solutions`` are left out.
    Raises :class:`~devotools._validate.InputError` for a path that is neither, and where nothing
    is found.
    """
    found: list[Path] = []
    asked = as_paths(paths)
    for path in asked:
        if path.is_dir():
            inside = sorted(path.rglob("*.ipynb"))
            found += [p for p in inside if not LEFT_OUT & set(p.relative_to(path).parts)]
        elif path.suffix == ".ipynb" and path.is_file():
            found.append(path)
        else:
            raise InputError(
                f"{str(path)!r} is neither a folder nor a notebook (.ipynb) that exists. "
                "Give notebooks, or a folder of them."
            )
    if not found:
        raise InputError(
            f"no notebook in {', '.join(repr(str(path)) for path in asked)}; expected files that "
            "end in .ipynb. Give the folder in which you saved the lessons."
        )
    return found


def read_progress(
    paths: Iterable[str | Path], *, unread: Callable[[str], object] | None = None
) -> pd.DataFrame:
    """A table of the exercises in saved notebooks, one row each.

    ``paths`` are notebooks and folders of them. Columns: ``notebook`` (the path as given),
    ``exercise`` (``"1.2"``), ``title``, ``status`` and ``message``, the sentence of the verdict,
    which may name a mistake. A status is ``solved``, ``not yet``, ``not started`` (the answer is
    still empty) or ``not run`` (the check was not).

    It reads what the check cell showed when the notebook was *saved*: nothing is executed. A
    notebook whose check cell was cleared counts as not run. Raises
    :class:`~devotools._validate.InputError` for a path that does not exist, and for a file that is
    no notebook, unless ``unread`` takes its sentence: then it is called with it, and the file is
    left out.

    >>> import json, pathlib, tempfile
    >>> cell = {"cell_type": "code", "source": 'exercises.check("1.2", count)', "outputs": []}
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "mine.ipynb"
    >>> _ = path.write_text(json.dumps({"cells": [cell]}))
    >>> read_progress([path])[["exercise", "status"]].values.tolist()
    [['1.2', 'not run']]
    """
    rows = []
    for path in find_notebooks(paths):
        try:
            rows += [{"notebook": path.as_posix(), **row} for row in _exercises_of(path)]
        except InputError as error:
            if unread is None:
                raise
            unread(str(error))
    return pd.DataFrame(rows, columns=COLUMNS)


def _exercises_of(path: Path) -> Iterator[dict[str, str]]:
    cells = _cells_of(path)
    texts = "\n".join(_source(c) for c in cells if c.get("cell_type") == "markdown")
    titles = dict(_TITLE.findall(texts))
    for cell in cells:
        asked = _CHECK.findall(_source(cell)) if cell.get("cell_type") == "code" else []
        # the last verdict is of the last check: a cell shows the value of its last line only
        verdicts = [("not run", "")] * len(asked) + _verdicts_of(cell)
        for key, (status, message) in zip(asked, verdicts[-len(asked) :], strict=True):
            title = titles.get(key, "")
            yield {"exercise": key, "title": title, "status": status, "message": message}


def _cells_of(path: Path) -> list[dict]:
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        if all(isinstance(cell, dict) and _is_text(cell) for cell in cells):
            return cells
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # no file, or another kind
        pass
    raise InputError(
        f"{str(path)!r} cannot be read as a notebook. Save it again in Jupyter, or leave it out."
    )


def _is_text(cell: dict) -> bool:
    """Whether source and outputs of a cell are what Jupyter writes."""
    texts = [cell.get("source", "")]
    for output in cell.get("outputs", []):
        texts.append(output.get("data", {}).get("text/plain", ""))
    return all(isinstance(text, str) or set(map(type, text)) <= {str} for text in texts)


def _source(cell: dict) -> str:
    """The text of a cell, which may be stored in lines."""
    return _joined(cell.get("source", ""))


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def _verdicts_of(cell: dict) -> list[tuple[str, str]]:
    """Status and message of each verdict that a cell shows."""
    verdicts = []
    for output in cell.get("outputs", []):
        shown = _joined(output.get("data", {}).get("text/plain", ""))
        found = _VERDICT.match(shown)
        if found:
            status, message = found[1], found[2] or ""
            verdicts.append(("not started", "") if message == UNTOUCHED else (status, message))
    return verdicts
