"""Some pixels of a picture, by their box: what a stroke changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from devotools._validate import InputError, check_mask


@dataclass(frozen=True)
class Region:
    """Some pixels of a picture: ``mask`` (h, w) bool, its top left corner at ``row``, ``col``."""

    row: int
    col: int
    mask: np.ndarray

    @property
    def box(self) -> tuple[slice, slice]:
        """The part of the picture that ``mask`` lies on, to index an (H, W) array with."""
        height, width = self.mask.shape
        return slice(self.row, self.row + height), slice(self.col, self.col + width)

    def check_inside(self, shape: tuple[int, ...]) -> None:
        """Refuse a region that is no mask, or reaches out of a picture of ``shape``."""
        check_mask(self.mask, "region")
        rows, columns = self.box
        if min(self.row, self.col) < 0 or rows.stop > shape[0] or columns.stop > shape[1]:
            raise InputError(
                f"the region covers rows {rows.start} to {rows.stop} and columns {columns.start} "
                f"to {columns.stop}; expected a place inside the picture of {shape[0]} x "
                f"{shape[1]} pixels. Draw inside the picture."
            )


def region_of(mask: np.ndarray) -> Region:
    """The smallest region that holds the True pixels of an (H, W) mask.

    >>> region_of(np.array([[False, False], [False, True]]))
    Region(row=1, col=1, mask=array([[ True]]))
    """
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return Region(int(rows[0]), int(columns[0]), mask[box].copy())
