"""Measure what each lesson costs: `make budget`.

Runs every student lesson in a fresh kernel, held to one core with the settings of `binder/start`
and with empty caches, so that nothing is at hand that a newcomer to Binder has not. Writes time,
peak memory and download into `docs/budget.json`, and from there into the table of lessons in
README.md and the header of each lesson. Fails when a lesson is too long or too large for Binder.
"""

import argparse
import importlib.metadata
import json
import math
import os
import platform
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

import links
import matplotlib
import nbformat
import psutil
from build_notebooks import with_stored_outputs
from course_page import title_of
from lesson_notebooks import (
    LESSONS,
    ROOT,
    LessonError,
    execute,
    finish,
    lesson_paths,
    read_lesson,
    variants,
    without_solutions,
)

BUDGET = ROOT / "docs" / "budget.json"
README = ROOT / "README.md"
LIMITS = {"minutes": 3, "memory_gb": 1.6, "minutes_together": 15}
BADGES = links.BADGES.relative_to(links.ROOT).as_posix() + "/"
UNITS = {"seconds": "s, kernel's start included", "memory_gb": "10^9 bytes resident at the peak"}
BLANK = r"(?: |\n# )"  # a blank, or the end of a comment line in the lesson's text
HEADER = re.compile(
    r"(\*\*Time:\*\* \d+ minutes to read, )(\d+ minutes?)( to run\. "
    r"\*\*Memory:\*\* )([\d.]+)( GB\.)".replace(" ", BLANK)
)
TABLE = re.compile(r"(<!-- budget -->\n)(.*?)(<!-- /budget -->)", re.DOTALL)
# The name of a lesson, and the last cell of its row: what one learns, which is kept.
ROW = re.compile(r"^\| \[[^\]]*\]\(notebooks/(\w+)\.ipynb\) \|.*?([^|]+?) \|$", re.MULTILINE)


# --- measuring ---------------------------------------------------------------------------------


class MemoryWatch(threading.Thread):
    """Samples the resident memory of this process's children, and of theirs, until stopped."""

    def __init__(self, cores: set[int], interval: float = 0.02):
        super().__init__(daemon=True)
        self.peak = 0
        self._cores, self._interval, self._over = cores, interval, threading.Event()
        self._before = set(psutil.Process().children(recursive=True))

    def run(self) -> None:
        """Sample until stopped."""
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, self._cores)  # of this thread alone: not on the lesson's core
        while not self._over.wait(self._interval):
            self.sample()

    def sample(self) -> None:
        """Look once."""
        children = set(psutil.Process().children(recursive=True)) - self._before
        together = 0
        for child in children:
            with suppress(psutil.Error):  # it may just have ended
                together += child.memory_info().rss
                self.peak = max(self.peak, high_water(child.pid))
        self.peak = max(self.peak, together)

    def stop(self) -> None:
        """End the thread."""
        self._over.set()
        self.join()


def high_water(pid: int) -> int:
    """The most bytes that a process has had resident, as Linux counts; 0 where nobody does."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, flags=re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


@contextmanager
def one_core() -> Iterator[set[int]]:
    """Hold this process and those it starts to one core, where the system can; yields all cores."""
    if not hasattr(os, "sched_setaffinity"):
        yield set(range(os.cpu_count() or 1))
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield cores
    finally:
        os.sched_setaffinity(0, cores)


def settings(cache: Path) -> dict[str, str]:
    """Environment of the kernel: one thread, as `binder/start` says, and empty caches."""
    start = (ROOT / "binder" / "start").read_text(encoding="utf-8")
    caches = ("XDG_CACHE_HOME", "TORCH_HOME", "DEVOTOOLS_CACHE")
    return {
        **dict(re.findall(r"^export (\w+)=(\S+)$", start, flags=re.MULTILINE)),
        **{name: str(cache / name.lower()) for name in caches},
        "MPLCONFIGDIR": matplotlib.get_cachedir(),  # the list of fonts is no download
    }


def size_of(folder: Path) -> int:
    """The bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure(lesson: Path) -> dict:
    """Run a student's lesson, and say what it took."""
    notebook = without_solutions(read_lesson(lesson))
    with tempfile.TemporaryDirectory() as folder, one_core() as cores:
        cache, work = Path(folder, "cache"), Path(folder, "work")
        cache.mkdir()
        work.mkdir()
        watch = MemoryWatch(cores)
        watch.start()
        started = time.perf_counter()
        try:
            with patch.dict(os.environ, settings(cache)):
                execute(notebook, lesson.stem, work, on_cell=lambda *_: watch.sample())
        finally:
            watch.stop()
        return {
            "seconds": math.ceil(time.perf_counter() - started),
            "memory_gb": math.ceil(watch.peak / 1e7) / 100,
            "download_mb": math.ceil(size_of(cache) / 1e4) / 100,
            **where(),
        }


def where() -> dict[str, str]:
    """The machine in words, and the versions that decide."""
    cores, memory = os.cpu_count(), psutil.virtual_memory().total / 1e9
    held = "one core" if hasattr(os, "sched_setaffinity") else "all cores (it cannot hold to one)"
    return {
        "machine": f"{held} of {cores}, {platform.machine()}, {memory:.0f} GB, {platform.system()}",
        "python": platform.python_version(),
        "torch": importlib.metadata.version("torch"),
    }


# --- writing down ------------------------------------------------------------------------------


def minutes(row: dict) -> int:
    """Whole minutes, rounded up."""
    return math.ceil(row["seconds"] / 60)


def gigabytes(row: dict) -> str:
    """Memory with one decimal, rounded up."""
    return f"{math.ceil(round(10 * row['memory_gb'], 6)) / 10:.1f}"


def cost_of(row: dict | None) -> str:
    """The cells of the table for what a lesson takes."""
    return "? | ?" if row is None else f"{minutes(row)} | {gigabytes(row)} GB"


def with_header(text: str, row: dict, name: str) -> str:
    """The text of a lesson, its header quoting the budget."""
    if len(HEADER.findall(text)) != 1:
        raise LessonError(
            f"{name} needs one line '**Time:** 30 minutes to read, 1 minute to run. "
            "**Memory:** 1.0 GB.' in its first cell, for the budget to be written into"
        )
    count = minutes(row)
    took = f"{count} minute{'s' if count > 1 else ''}"
    return HEADER.sub(lambda found: found[1] + took + found[3] + gigabytes(row) + found[5], text)


def with_table(text: str, titles: dict[str, str], rows: dict[str, dict]) -> str:
    """README, its table of lessons with titles, badges, the budget, and what one learns (kept)."""
    found = TABLE.search(text)
    if found is None:
        raise LessonError("README.md has no <!-- budget --> and <!-- /budget --> round its table")
    learn = dict(ROW.findall(found[2]))
    head = "| lesson | open | minutes to run | memory | what you learn |"
    lines = [head, "|---|---|--:|--:|---|"]
    for name, title in titles.items():
        place = f"notebooks/{name}.ipynb"
        if name not in learn:
            raise LessonError(
                f"README.md says nothing of {name}: add the row "
                f"'| [{title}]({place}) | what one learns |' to its table of lessons"
            )
        ways = links.badges(place, BADGES)
        lines.append(
            f"| [{title}]({place}) | {ways} | {cost_of(rows.get(name))} | {learn[name].strip()} |"
        )
    return text[: found.end(1)] + "\n".join(lines) + "\n" + text[found.start(3) :]


def titles() -> dict[str, str]:
    """The title of each lesson by its name, in order."""
    return {p.stem: title_of(read_lesson(p), p.stem) for p in lesson_paths(folder=LESSONS)}


def read_budget() -> dict[str, dict]:
    """What has been measured, by lesson."""
    if not BUDGET.exists():
        return {}
    return json.loads(BUDGET.read_text(encoding="utf-8"))["lessons"]


def write(new: dict[str, dict]) -> list[str]:
    """Put new rows into the budget, README and headers; names the lessons to be built again."""
    names = titles()
    rows = {**read_budget(), **new}
    rows = {name: rows[name] for name in names if name in rows}
    readme = with_table(README.read_text(encoding="utf-8"), names, rows)
    texts = {}
    for name in new:
        path = LESSONS / f"{name}.py"
        texts[path] = with_header(path.read_text(encoding="utf-8"), rows[name], name)
    # Only now, when nothing can go wrong any more: all or nothing.
    card = {"command": "python tools/budget.py", "units": UNITS, "limits": LIMITS, "lessons": rows}
    BUDGET.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    README.write_text(readme, encoding="utf-8")
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return [path.stem for path in texts if not keep_outputs(path)]


def keep_outputs(lesson: Path) -> bool:
    """Bring a new header into both notebooks; False where code has changed since they ran."""
    kept = {path: with_stored_outputs(new, path) for path, new in variants(lesson).items()}
    if None in kept.values():
        return False
    for path, notebook in kept.items():
        nbformat.write(finish(notebook, lesson.stem), path)
    return True


def excess(rows: dict[str, dict]) -> list[str]:
    """What is above the limits, in words."""
    found = []
    for name, row in rows.items():
        if row["seconds"] > 60 * LIMITS["minutes"]:
            found.append(f"{name} takes {row['seconds']} s of {60 * LIMITS['minutes']}")
        if row["memory_gb"] > LIMITS["memory_gb"]:
            found.append(f"{name} needs {row['memory_gb']:.2f} GB of {LIMITS['memory_gb']}")
    together = sum(row["seconds"] for row in rows.values())
    if together > 60 * LIMITS["minutes_together"]:
        found.append(f"all lessons take {together} s of {60 * LIMITS['minutes_together']}")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Measure the lessons; the exit status is 1 when one failed or is above the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="measure just these lessons")
    parser.add_argument("--dry-run", action="store_true", help="measure, and write nothing")
    options = parser.parse_args(arguments)
    try:
        print(f"Measuring: {where()['machine']}", flush=True)
        new = {}
        for lesson in lesson_paths(options.only, folder=LESSONS):
            row = new[lesson.stem] = measure(lesson)
            print(
                f"{lesson.stem}: {row['seconds']} s, {row['memory_gb']:.2f} GB at the peak, "
                f"{row['download_mb']:.2f} MB downloaded",
                flush=True,
            )
        stale = [] if options.dry_run else write(new)
    except LessonError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if stale:
        print(f"code has changed since they ran: python tools/build_notebooks.py {' '.join(stale)}")
    over = excess(new if options.dry_run else {**read_budget(), **new})
    if over:
        print(f"error: too much for Binder: {'; '.join(over)}", file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
