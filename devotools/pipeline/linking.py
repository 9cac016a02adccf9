"""One number for each nucleus through all sections of a series, and its measures in 3-D."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from devotools._validate import (
    check_fraction,
    check_labels,
    check_positive,
    check_same_shape,
)

# Both were chosen by measurement: benchmarks/linking.py.
MIN_IOU = 0.15
BRIDGE_IOU = 0.5
COLUMNS_3D = {
    "image": "object",
    "label": "int64",
    "sections": "int64",
    "first_section": "int64",
    "last_section": "int64",
    "centroid_section": "float64",
    "centroid_row": "float64",
    "centroid_col": "float64",
    "volume_voxels": "int64",
    "area_max_px": "int64",
    "depth_um": "float64",
    "volume_um3": "float64",
}


def link_sections(
    sections: Iterable[np.ndarray],
    *,
    min_iou: float = MIN_IOU,
    bridge_iou: float | None = BRIDGE_IOU,
) -> Iterator[np.ndarray]:
    """Give each nucleus one id through a series of label images, (H, W) int32 each.

    Nuclei of neighbouring sections are the same where their overlap (IoU, the shared pixels by
    those of both together) is at least ``min_iou``. Each has one partner at most, and the
    partners are those whose overlaps have the largest sum; so where one piece covers two nuclei
    it continues one of them, and the two do not become one.

    A nucleus that one section misses goes on behind it, where it was followed through two sections
    before, and overlaps by ``bridge_iou`` with one that is new in the section after. That is more
    than ``min_iou``: where one nucleus ends another may begin near by. None bridges nothing.

    What finds no partner is new; ids are 1, 2, 3 ... in the order of the sections. The sections
    must lie on each other as in the embryo: align them before. Where a nucleus spans two sections
    or fewer, a link is a guess (``benchmarks/results/linking.json``). Only the last three are kept
    in memory. Raises :class:`~devotools._validate.InputError` for anything but label images of
    one size. Source: Kuhn's assignment, ``scipy.optimize.linear_sum_assignment``.

    >>> sections = [np.array([[0, 1, 1, 0, 2]]), np.array([[0, 5, 5, 0, 0]])]
    >>> [section.tolist() for section in link_sections(sections)]
    [[[0, 1, 1, 0, 2]], [[0, 1, 1, 0, 0]]]
    """
    check_fraction(min_iou, "min_iou")
    if bridge_iou is not None:
        check_fraction(bridge_iou, "bridge_iou")
    past: deque[np.ndarray] = deque(maxlen=3)  # the last section stands last
    given = 0
    for number, section in enumerate(sections):
        labels = check_labels(section, f"section {number}")
        if past:
            check_same_shape(labels, past[-1], (f"section {number}", f"section {number - 1}"))
        linked = _link(labels, past, given, min_iou, bridge_iou)
        given = max(given, int(linked.max()))
        past.append(linked)
        yield linked


def _link(
    labels: np.ndarray,
    past: Sequence[np.ndarray],
    given: int,
    min_iou: float,
    bridge_iou: float | None,
) -> np.ndarray:
    """One section with the ids of those before it; new ids go on from ``given``."""
    ids, order = _compact(labels)
    chosen = np.zeros(len(ids) + 1, np.int32)
    if past:
        for nucleus, id_ in _partners(order, past[-1], min_iou):
            chosen[nucleus] = id_
    if len(past) == 3 and bridge_iou is not None:
        older, before, last = past
        missed = np.isin(before, older) & ~np.isin(before, last)
        free = np.where(chosen[order] == 0, order, 0)
        for nucleus, id_ in _partners(free, np.where(missed, before, 0), bridge_iou):
            chosen[nucleus] = id_
    new = chosen[1:] == 0
    chosen[1:][new] = given + 1 + np.arange(new.sum())
    return chosen[order]


def _compact(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ids of a section in their order, and the section with 1, 2, 3 ... instead."""
    ids = np.unique(labels[labels > 0])
    return ids, np.where(labels > 0, np.searchsorted(ids, labels) + 1, 0)


def _partners(new: np.ndarray, old: np.ndarray, min_iou: float) -> Iterator[tuple[int, int]]:
    """Pairs (number in ``new``, id in ``old``), one to one, whose IoU has the largest sum.

    Nuclei that overlap hang together in groups, mostly of two; each group is solved alone, so
    that a mosaic with ten thousand nuclei needs no table of all against all.
    """
    new_ids, new = _compact(new)
    old_ids, old = _compact(old)
    both = (new > 0) & (old > 0)
    pairs, shared = np.unique(np.stack([new[both], old[both]]), axis=1, return_counts=True)
    areas = np.bincount(new.ravel())[pairs[0]] + np.bincount(old.ravel())[pairs[1]]
    iou = shared / (areas - shared)
    enough = iou >= min_iou
    (rows, columns), iou = pairs[:, enough] - 1, iou[enough]
    size = len(new_ids) + len(old_ids)
    links = coo_array((iou, (rows, columns + len(new_ids))), shape=(size, size))
    _, group = connected_components(links, directed=False)
    for members in _groups(group[rows]):
        for row, column in _assign(rows[members], columns[members], iou[members]):
            yield int(new_ids[row]), int(old_ids[column])


def _groups(group: np.ndarray) -> list[np.ndarray]:
    """Positions of each value that occurs in ``group``."""
    order = np.argsort(group, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1) if len(order) else []


def _assign(rows: np.ndarray, columns: np.ndarray, iou: np.ndarray) -> list[tuple[int, int]]:
    """The one-to-one pairs of one group with the largest sum."""
    names, across = np.unique(rows, return_inverse=True)
    partners, down = np.unique(columns, return_inverse=True)
    table = np.zeros((len(names), len(partners)))
    table[across, down] = iou
    best = zip(*linear_sum_assignment(table, maximize=True), strict=True)
    return [(names[row], partners[column]) for row, column in best if table[row, column] > 0]


class Tally:
    """Adds up the nuclei of a series, section by section, for :func:`measure_nuclei_3d`.

    ``watch`` stands between the sections and whoever writes them, so that each is read once:
    ``write_label_stack(path, tally.watch(link_sections(sections)), shape)``.
    """

    def __init__(self) -> None:
        self._rows: list[pd.DataFrame] = []
        self._next = 0
        self._first: np.ndarray | None = None

    def watch(self, sections: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Pass the sections on, and add each."""
        for section in sections:
            self.add(section)
            yield section

    def add(self, section: np.ndarray) -> None:
        """Add the next section, (H, W) labels whose ids hold through the series."""
        labels = check_labels(section, f"section {self._next}")
        if self._first is None:
            self._first = labels
        check_same_shape(labels, self._first, (f"section {self._next}", "section 0"))
        places = np.flatnonzero(labels)
        ids, nucleus = np.unique(labels.ravel()[places], return_inverse=True)
        rows, columns = np.divmod(places, labels.shape[1])
        sums = {
            "label": ids.astype(np.int64),
            "section": self._next,
            "area": np.bincount(nucleus, minlength=len(ids)),
            "row": np.bincount(nucleus, rows, len(ids)),
            "col": np.bincount(nucleus, columns, len(ids)),
        }
        self._rows.append(pd.DataFrame(sums))
        self._next += 1

    def table(
        self,
        *,
        image: str = "",
        pixel_size_um: float | None = None,
        section_thickness_um: float | None = None,
    ) -> pd.DataFrame:
        """The table of :func:`measure_nuclei_3d` of what was added so far."""
        for name, value in (
            ("pixel_size_um", pixel_size_um),
            ("section_thickness_um", section_thickness_um),
        ):
            if value is not None:
                check_positive(value, name, "micrometres")
        rows = [part for part in self._rows if len(part)]
        if not rows:
            return pd.DataFrame(columns=list(COLUMNS_3D)).astype(COLUMNS_3D)
        parts = pd.concat(rows)
        parts["depth"] = parts["section"] * parts["area"]
        groups = parts.groupby("label", sort=True)
        sums, section = groups[["area", "row", "col", "depth"]].sum(), groups["section"]
        thickness = np.nan if section_thickness_um is None else float(section_thickness_um)
        square = np.nan if pixel_size_um is None else float(pixel_size_um) ** 2
        found = pd.DataFrame(
            {
                "image": image,
                "label": sums.index,
                "sections": section.count(),
                "first_section": section.min(),
                "last_section": section.max(),
                "centroid_section": sums["depth"] / sums["area"],
                "centroid_row": sums["row"] / sums["area"],
                "centroid_col": sums["col"] / sums["area"],
                "volume_voxels": sums["area"],
                "area_max_px": groups["area"].max(),
                "depth_um": (section.max() - section.min() + 1) * thickness,
                "volume_um3": sums["area"] * square * thickness,
            }
        )
        return found.reset_index(drop=True).astype(COLUMNS_3D)


def measure_nuclei_3d(
    sections: Iterable[np.ndarray],
    *,
    image: str = "",
    pixel_size_um: float | None = None,
    section_thickness_um: float | None = None,
) -> pd.DataFrame:
    """Measure each nucleus of a series of linked label images (H, W); one row a nucleus.

    Columns: ``image``, as given; ``label``; ``sections``, the number that show it;
    ``first_section`` and ``last_section``, counted from 0; the centroid as section, row and column,
    from the middle of the first voxel; ``volume_voxels``, the labelled pixels of all sections (a
    section in which the nucleus was missed adds none); ``area_max_px``, its largest section;
    ``depth_um``, from the first to the last section, both included; ``volume_um3``. The last two
    are NaN where a size is not known. Raises :class:`~devotools._validate.InputError`.

    >>> series = [np.array([[0, 1, 1]]), np.array([[0, 1, 0]])]
    >>> table = measure_nuclei_3d(series, pixel_size_um=0.5, section_thickness_um=2)
    >>> table[["label", "sections", "volume_voxels", "volume_um3"]]
       label  sections  volume_voxels  volume_um3
    0      1         2              3         1.5
    """
    tally = Tally()
    for section in sections:
        tally.add(section)
    return tally.table(
        image=image, pixel_size_um=pixel_size_um, section_thickness_um=section_thickness_um
    )
