"""What several tests draw and write: discs as nuclei, folders of sections, a network by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn, stack, tensor

from devotools.cli import main
from devotools.images import write_image, write_labels, write_mask

CENTRES = ((16, 16), (16, 44), (46, 30))


class Bright(nn.Module):
    """A network that calls bright pixels nucleus: its answers can be counted by hand."""

    in_channels = classes = 1
    working_side = None
    working_nucleus = 12.0

    def forward(self, image: Tensor) -> Tensor:
        return 20 * (image - 0.5)


class DarkMiddle(nn.Module):
    """A classifier that calls a nucleus with a dark middle condensed: counted by hand."""

    in_channels, classes = 1, 2
    context, temperature, limit = 2.0, 1.0, 0.8

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(tensor(20.0))

    def forward(self, crops: Tensor) -> Tensor:
        dark = self.weight * (0.5 - crops[:, 0, 29:35, 29:35].mean(dim=(1, 2)))
        return stack([-dark / 2, dark / 2], dim=1)


def draw_discs(centres=CENTRES, radius: float = 6, shape=(64, 64)) -> np.ndarray:
    """Label image (H, W) of discs, numbered in the order of their centres."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.int32)
    for number, (row, column) in enumerate(centres, start=1):
        labels[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = number
    return labels


def picture_of(labels: np.ndarray) -> np.ndarray:
    """A picture (H, W) whose nuclei are bright."""
    return np.where(labels > 0, 0.8, 0.2).astype(np.float32)


def write_section(folder: Path, name: str, labels: np.ndarray, *, with_labels: bool = True) -> None:
    """Write one section the way real data lie on disk."""
    write_image(folder / "images" / f"{name}.png", picture_of(labels))
    write_mask(folder / "masks" / f"{name}.png", labels > 0)
    if with_labels:
        write_labels(folder / "labels" / f"{name}.tif", labels)


def write_dataset(folder: Path, *, embryos: int = 3, sections: int = 2, size: int = 48) -> Path:
    """Write a small data folder with a manifest; each section has its own discs."""
    rows = ["name,embryo,section"]
    for embryo in range(embryos):
        for section in range(sections):
            at = 12 + 4 * embryo + section
            labels = draw_discs([(at, at), (at, size - 12)], 5, (size, size))
            write_section(folder, f"e{embryo}_s{section}", labels)
            rows.append(f"e{embryo}_s{section},e{embryo},{section}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def run_command(monkeypatch, capsys, *arguments) -> tuple[int, str, str]:
    """Run ``devotools`` in this process: exit code, what it said, and what it complained of."""
    monkeypatch.setattr(sys, "argv", ["devotools", *map(str, arguments)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr()
    code = stop.value.code
    return code if isinstance(code, int) else int(code is not None), said.out, said.err


def files_under(folder: Path) -> set[str]:
    """Every file below a folder, hidden ones too."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
