"""What a person changed by hand: kept as steps, so that it can be undone, and done again.

A step is not tied to the numbers of the nuclei, which change with the threshold, but to its place
in the picture. So corrections outlive a move of the slider.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from devotools._validate import InputError, check_labels
from devotools.ui.canvas.region import Region
from devotools.ui.canvas.widget import MAX_ID


@dataclass(frozen=True, eq=False)  # two strokes alike are two
class Delete:
    """Nuclei that lie by at least half of their area in ``region`` are none."""

    region: Region

    def apply(self, labels: np.ndarray) -> None:
        """Take the nuclei out of ``labels`` (H, W), in place."""
        covered = np.bincount(labels[self.region.box][self.region.mask])
        areas = np.bincount(labels.ravel(), minlength=len(covered))[: len(covered)]
        gone = 2 * covered >= np.maximum(areas, 1)
        gone[0] = False
        labels[np.append(gone, np.zeros(labels.max() + 1 - len(gone), bool))[labels]] = 0


@dataclass(frozen=True, eq=False)
class Erase:
    """The pixels of ``region`` belong to no nucleus."""

    region: Region

    def apply(self, labels: np.ndarray) -> None:
        """Clear the pixels in ``labels`` (H, W), in place."""
        labels[self.region.box][self.region.mask] = 0


@dataclass(frozen=True, eq=False)
class Paint:
    """The free pixels of ``region`` are a new nucleus, or more of the one at ``anchor``.

    ``anchor`` is a row and column. Pixels of other nuclei are left to them.
    """

    region: Region
    anchor: tuple[int, int] | None = None

    def apply(self, labels: np.ndarray) -> None:
        """Write the pixels into ``labels`` (H, W), in place."""
        number = labels[self.anchor] if self.anchor else 0
        number = number or labels.max() + 1
        view = labels[self.region.box]
        view[self.region.mask & (view == 0)] = number


Step = Delete | Erase | Paint


@dataclass
class Corrections:
    """The steps of one picture, done and undone.

    >>> from devotools.ui.canvas.region import region_of
    >>> found = np.array([[1, 0, 2]])
    >>> steps = Corrections()
    >>> steps.do(Delete(region_of(found == 2)))
    >>> steps.apply(found)
    array([[1, 0, 0]])
    >>> steps.undo()
    True
    >>> steps.apply(found)
    array([[1, 0, 2]])
    """

    done: list[Step] = field(default_factory=list)
    undone: list[Step] = field(default_factory=list)

    def do(self, step: Step) -> None:
        """Add a step; what was undone before it is forgotten."""
        self.done.append(step)
        self.undone.clear()

    def undo(self) -> bool:
        """Take the last step back. False when there is none."""
        if self.done:
            self.undone.append(self.done.pop())
            return True
        return False

    def redo(self) -> bool:
        """Do again what was undone last. False when there is none."""
        if self.undone:
            self.done.append(self.undone.pop())
            return True
        return False

    def apply(self, labels: np.ndarray, after: int = 0) -> np.ndarray:
        """The (H, W) label image with every step done to it; the argument stays as it was.

        Nuclei keep their numbers, so a deleted one leaves a gap, and new ones are counted on. The
        first ``after`` steps are passed over: they have been done to ``labels`` already.
        """
        labels = check_labels(labels).copy()
        for step in self.done[after:]:
            step.apply(labels)
        return labels


def step_for(labels: np.ndarray, region: Region, number: int) -> Step:
    """What painting ``region`` of an (H, W) label image with ``number`` means.

    0 erases; the number of a nucleus that is there enlarges it; any other makes a new one.
    Raises :class:`~devotools._validate.InputError` where nothing would change.

    >>> labels = np.array([[1, 0, 0]])
    >>> step_for(labels, Region(0, 1, np.array([[True]])), 1).anchor
    (0, 0)
    >>> step_for(labels, Region(0, 1, np.array([[True]])), 9).anchor is None
    True
    """
    region.check_inside(labels.shape)
    under = labels[region.box][region.mask]
    if number == 0:
        if not under.any():
            raise InputError(
                "there is no nucleus under the eraser; expected one. Move it over a nucleus."
            )
        return Erase(region)
    if (under > 0).all():
        raise InputError(
            "all that was painted belongs to a nucleus already; expected some free pixels. Delete "
            "or erase the old nucleus first."
        )
    places = np.argwhere(labels == number)
    if len(places):
        return Paint(region, _middle(places))
    if labels.max() >= MAX_ID:
        raise InputError(
            f"the picture has the nucleus {labels.max()}; expected ids up to {MAX_ID} at most. "
            "Raise the smallest area, so that specks are left out."
        )
    return Paint(region)


def _middle(places: np.ndarray) -> tuple[int, int]:
    """Of some pixels (N, 2), the one nearest to their centre: it stays when outlines move."""
    away = ((places - places.mean(axis=0)) ** 2).sum(axis=1)
    row, column = places[away.argmin()]
    return int(row), int(column)
