"""A stack and what was marked on it, as pictures and masks, one section at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devotools._validate import InputError
from devotools.exchange.archives import is_archive
from devotools.exchange.masks import read_truth
from devotools.exchange.rois import Roi, read_stack_rois, rois_to_labels
from devotools.exchange.stacks import Stack, open_stack


@dataclass(frozen=True)
class MarkedSection:
    """Section ``number``, from 0, of an open stack, with its outlines or its page of the masks."""

    stack: Stack
    number: int
    marks: list[Roi] | Stack
    clean: bool

    def read(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Picture (H, W) float32, mask (H, W) bool, and labels (H, W) int32 where they are known.

        Raises :class:`~devotools._validate.InputError` for a damaged page, and as
        :func:`~devotools.exchange.masks.read_truth` and
        :func:`~devotools.exchange.rois_to_labels` do.
        """
        grey = self.stack.section(self.number)
        if not isinstance(self.marks, Stack):
            labels = rois_to_labels(self.marks, grey.shape)
            return grey, labels > 0, labels
        with tempfile.TemporaryDirectory() as scratch:
            page = Path(scratch) / f"{self.marks.path.stem}_{self.number:04d}.tif"
            self.marks.save_section(self.number, page)
            try:
                return grey, *read_truth(page, grey.shape, clean=self.clean)
            except InputError as error:
                raise InputError(str(error).replace(str(page), page.name)) from error


def marked_sections(image: Path, mask: Path, *, clean: bool = False) -> Iterator[MarkedSection]:
    """The sections of a stack that somebody marked, each to be read before the next is asked for.

    ``mask`` is a stack of masks or label images with as many sections, all of them marked, or
    ImageJ's outlines with positions: then only the sections that have any. Raises
    :class:`~devotools._validate.InputError` where the two do not belong together.
    """
    with ExitStack() as opened:
        stack = opened.enter_context(open_stack(image))
        if mask.suffix.lower() == ".roi" or is_archive(mask):
            outlines = read_stack_rois(mask, len(stack))
            yield from (MarkedSection(stack, k, rois, clean) for k, rois in outlines.items())
            return
        marks = opened.enter_context(open_stack(mask))
        if marks.shape != stack.shape:
            raise InputError(
                f"mask {mask.name!r} has {_size(marks)}, image {image.name!r} has {_size(stack)}; "
                "expected the same. Check that they belong together."
            )
        yield from (MarkedSection(stack, k, marks, clean) for k in range(len(stack)))


def _size(stack: Stack) -> str:
    sections, height, width = stack.shape
    return f"{sections} section{'s' * (sections != 1)} of {height} x {width} pixels"
