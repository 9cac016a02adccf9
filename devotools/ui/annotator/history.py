"""Strokes that can be taken back."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from devotools.ui.canvas.region import Region

STEPS = 500  # kept a picture; the oldest are forgotten


@dataclass(frozen=True)
class Change:
    """One stroke: its pixels, what they were, and what they became."""

    region: Region
    before: np.ndarray  # (pixels,)
    number: int


@dataclass
class History:
    """The strokes on one label image, done and undone.

    >>> labels, history = np.array([[0, 1, 1]]), History()
    >>> history.do(labels, Region(0, 1, np.array([[True]])), 0)
    >>> labels.tolist()
    [[0, 0, 1]]
    >>> history.undo(labels)
    True
    >>> labels.tolist()
    [[0, 1, 1]]
    """

    done: list[Change] = field(default_factory=list)
    undone: list[Change] = field(default_factory=list)

    def do(self, labels: np.ndarray, region: Region, number: int) -> None:
        """Write ``number`` into the region of ``labels`` (H, W), in place."""
        region.check_inside(labels.shape)
        view = labels[region.box]
        self.done.append(Change(region, view[region.mask].copy(), number))
        view[region.mask] = number
        self.undone.clear()
        del self.done[:-STEPS]

    def undo(self, labels: np.ndarray) -> bool:
        """Take the last stroke back, in place. False when there is none."""
        if not self.done:
            return False
        change = self.done.pop()
        labels[change.region.box][change.region.mask] = change.before
        self.undone.append(change)
        return True

    def redo(self, labels: np.ndarray) -> bool:
        """Do again what was taken back last, in place. False when there is none."""
        if not self.undone:
            return False
        change = self.undone.pop()
        labels[change.region.box][change.region.mask] = change.number
        self.done.append(change)
        return True
