"""What became of one picture, and the tables that list it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from devotools.images import replace_file
from devotools.measure import COLUMNS
from devotools.pipeline.states import COUNT_COLUMNS, STATE_COLUMNS, count_cells

NUCLEI_COLUMNS = ["image", *COLUMNS]
IMAGES_COLUMNS = ["image", "status", "nuclei", "seconds", "error", "scale", "uncertainty"]
ODD_NAMES = "backslashreplace"  # a file name that is not UTF-8 must not cost all the tables


@dataclass(frozen=True)
class Outcome:
    """What became of one picture: a row of ``images.csv``, and its rows of ``nuclei.csv``.

    ``nuclei`` is their number, None where the picture failed, for the reason ``error``. ``rows``
    and ``rows_3d`` are lines of the tables, ready to be written. ``sections`` is the number of a
    stack's sections, None for a single picture. ``files`` holds size and SHA-256 of each result, by
    name; ``source`` size and time of the picture's file when it was read. ``states`` counts the
    nuclei in each state, where they were told.
    """

    image: str
    nuclei: int | None
    seconds: float
    error: str = ""
    rows: str = ""
    rows_3d: str = ""
    sections: int | None = None
    scale: float | None = None
    uncertainty: float | None = None
    output: str = ""
    files: dict[str, list[Any]] = field(default_factory=dict)
    source: list[int] = field(default_factory=list)
    states: dict[str, int] | None = None

    @property
    def is_stack(self) -> bool:
        """Whether its rows have a section; journals of earlier versions do not say how many."""
        return bool(self.sections or self.rows_3d)

    @property
    def row(self) -> list[str]:
        """The picture's line in ``images.csv``."""
        done = self.nuclei is not None
        return [
            self.image,
            "ok" if done else "failed",
            str(self.nuclei) if done else "",
            f"{self.seconds:.3f}",
            self.error,
            "" if self.scale is None else f"{self.scale:.4g}",
            "" if self.uncertainty is None else f"{self.uncertainty:.4f}",
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        values = asdict(self)
        if self.states is None:
            del values["states"]
        return values


def table_rows(image: str, nuclei: pd.DataFrame) -> str:
    """Lines of a table for the nuclei of one picture, its name in front; no header."""
    table = nuclei.copy()
    table.insert(0, "image", image)
    how = {"index": False, "header": False, "float_format": "%.6g", "lineterminator": "\n"}
    return table.to_csv(**how, quoting=_quoting([image]))


def write_tables(
    out: str | Path,
    outcomes: Iterable[Outcome],
    extra: Sequence[str] = (),
    extra_3d: str = "",
    *,
    states: bool = False,
) -> None:
    """Write ``nuclei.csv`` and ``images.csv``, in the order of the pictures.

    ``outcomes`` may be a generator: memory does not grow with their number. ``extra`` names more
    columns of ``nuclei.csv``, and ``extra_3d`` is the header of ``nuclei3d.csv``, written where
    there is one. ``states`` says that states were told: both tables get columns for them.
    """
    out = Path(out)
    names = ["nuclei.csv", "images.csv"] + (["nuclei3d.csv"] if extra_3d else [])
    with ExitStack() as stack:
        nuclei, images, *solid = [
            stack.enter_context(_open(stack.enter_context(replace_file(out / name))))
            for name in names
        ]
        told, counted = (STATE_COLUMNS, COUNT_COLUMNS) if states else ([], [])
        nuclei.write(",".join([*NUCLEI_COLUMNS, *told, *extra]) + "\n")
        images.write(_line([*IMAGES_COLUMNS, *counted]))
        for file in solid:
            file.write(extra_3d + "\n")
        for outcome in outcomes:
            nuclei.write(outcome.rows if outcome.is_stack else _widened(outcome.rows, len(extra)))
            images.write(_line(outcome.row + (count_cells(outcome.states) if states else [])))
            for file in solid:
                file.write(outcome.rows_3d)


def _widened(rows: str, by: int) -> str:
    """Lines of a table with so many empty columns more."""
    if not by:
        return rows
    return "".join(_line([*line, *[""] * by]) for line in csv.reader(io.StringIO(rows, "")))


def _line(cells: Sequence[str]) -> str:
    """One line of a table."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n", quoting=_quoting(cells)).writerow(cells)
    return line.getvalue()


def _quoting(cells: Sequence[str]) -> int:
    """Quotes round everything where a name holds a carriage return, which csv leaves bare."""
    return csv.QUOTE_ALL if any("\r" in str(cell) for cell in cells) else csv.QUOTE_MINIMAL


def _open(path: Path):
    return open(path, "w", newline="", encoding="utf-8", errors=ODD_NAMES)
