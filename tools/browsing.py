"""Servers that are started and ended, and places on a page: for browser tests and screenshots."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 120_000  # ms: a kernel that loads PyTorch beside other work takes its time


@contextmanager
def served(command: list[str], pattern: str, log: Path, **variables: str):
    """Run a server; gives the address that it prints, as ``pattern`` finds it, and ends it."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"} | variables
    with open(log, "w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=log.parent,
        )
    try:
        yield _address(process, pattern, log)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen, pattern: str, log: Path) -> str:
    ends = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < ends and process.poll() is None:
        found = re.search(pattern, log.read_text(encoding="utf-8"))
        if found:
            return found[0]
        time.sleep(0.2)
    raise RuntimeError(f"no server: {log.read_text(encoding='utf-8')}")


def app_server(folder: Path, log: Path, **variables: str):
    """``devotools app`` as a person starts it, on a free port."""
    command = ["devotools", "app", str(folder), "--no-browser", "--port", "8900"]
    return served(command, r"http://127\.0\.0\.1\S+", log, **variables)


def voila_server(notebook: Path, log: Path):
    """A page of one notebook."""
    command = ["voila", str(notebook), "--no-browser", "--port=8700", "--Voila.ip=127.0.0.1"]
    return served(command, r"http://127\.0\.0\.1\S+", log)


def lab_server(folder: Path, log: Path):
    """JupyterLab on a folder; its token is `test`."""
    command = ["jupyter", "lab", "--no-browser", "--port=8800", "--ip=127.0.0.1"]
    command += [f"--ServerApp.root_dir={folder}", "--ServerApp.token=test", "--allow-root"]
    command += ["--LabApp.expose_app_in_browser=True"]
    return served(command, r"http://127\.0\.0\.1:\d+/lab(?=\?token)", log)


def write_notebook(path: Path, code: str) -> Path:
    """A notebook of one cell."""
    cells = [nbformat.v4.new_code_cell(code)]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)
    return path


def stage_of(page, name: str):
    """The canvas, once it shows the picture of this name."""
    stage = page.locator(f'canvas[data-scene="{name}"]')
    stage.wait_for()
    return stage


def on_screen(page, stage, shape, row: float, col: float) -> tuple[float, float]:
    """Where a pixel of a picture of ``shape`` lies on the page, when the whole of it is shown."""
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    zoom = min(box["width"] / shape[1], box["height"] / shape[0])
    left = box["x"] + (box["width"] - zoom * shape[1]) / 2
    top = box["y"] + (box["height"] - zoom * shape[0]) / 2
    return left + (col + 0.5) * zoom, top + (row + 0.5) * zoom


def drag(page, stage, shape, *places: tuple[float, float]) -> None:
    """Press at the first place, (row, col), move over the others, let go at the last."""
    for number, place in enumerate(places):
        page.mouse.move(*on_screen(page, stage, shape, *place), steps=1 if number == 0 else 8)
        if number == 0:
            page.mouse.down()
    page.mouse.up()
