"""Crops of nuclei with their states, as a PyTorch dataset that knows the embryo of each."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from devotools._validate import InputError, check_folder
from devotools.classification.crops import CONTEXT, STATES, UNSURE, nucleus_crops
from devotools.datasets import STATES_FILE, seed_in_worker
from devotools.images import ImageMaskPair, composed, read_image, read_labels
from devotools.measure import measure_nuclei
from devotools.synthetic import Series

CLASS_OF = {"interphase": 0, "speckled": 0, "condensed": 1}
NEITHER = {"mixed", UNSURE, ""}  # not to be learned from
COLUMNS = ["name", "label", "state"]


def read_states(path: str | Path) -> pd.DataFrame:
    """Read ``states.csv`` (name, label, state), or that of a folder that ``synthesize`` drew.

    Raises :class:`~devotools._validate.InputError` for a file that is missing or is no such table.
    """
    path = Path(path)
    path = path / STATES_FILE if path.is_dir() else path
    if not path.is_file():
        check_folder(path.parent, "data folder")
        raise InputError(
            f"{str(path)!r} does not exist; expected a table with the columns "
            f"{', '.join(COLUMNS)}. devotools synthesize writes one; for your own nuclei make it "
            "in a spreadsheet."
        )
    try:
        table = pd.read_csv(path, dtype={"name": str, "state": str}, keep_default_na=False)
        return table[COLUMNS].astype({"label": "int64"})
    except (KeyError, ValueError, pd.errors.ParserError) as error:
        raise InputError(
            f"{str(path)!r} is no table of states ({error}); expected the columns "
            f"{', '.join(COLUMNS)}, whole numbers as labels. Export it again as CSV."
        ) from error


class NucleusCropDataset(Dataset):
    """Crops (1, 64, 64) float32 with their classes, 0 *interphase* or 1 *condensed*.

    ``sources`` is a drawn :class:`~devotools.Series`, a list of them, or pairs with labels from
    :func:`~devotools.read_dataset`; these need ``states``, the table of :func:`read_states`. A
    series brings its own. "speckled" is interphase; nuclei that are "mixed", "unsure" or not in
    the table are left out. ``transform`` is called as ``transform(image=crop)`` with a (64, 64)
    crop (see :func:`~devotools.augment.crop_transform`), and seeded anew in the worker processes
    of a ``DataLoader``. Crops are cut once, and kept.

    ``crops`` is (K, 1, 64, 64) float32, ``classes`` (K,) int64, ``embryo`` (K,) text, for splits
    by embryo; ``about`` has a row for each: ``embryo``, ``name``, ``label``, ``state`` and
    ``diameter_px``. Raises :class:`~devotools._validate.InputError`. Taught in lesson 07.
    """

    def __init__(
        self,
        sources: Series | Sequence[Series] | Sequence[ImageMaskPair],
        states: pd.DataFrame | None = None,
        transform: Callable[..., dict[str, Any]] | None = None,
        *,
        context: float = CONTEXT,
    ):
        crops, tables = [], []
        for embryo, name, image, labels, state_of in _sections(sources, states):
            table = _about(embryo, name, labels, state_of)
            known = table["state"].isin(CLASS_OF).to_numpy()
            if known.any():
                crops.append(nucleus_crops(image, labels, context=context)[known])
                tables.append(table[known])
        if not crops:
            raise InputError(
                "no nucleus of sources has a state to learn from; expected at least one that is "
                f"{' or '.join(CLASS_OF)}. Check that names and labels of states are those of "
                "sources."
            )
        self._fill(np.concatenate(crops), pd.concat(tables, ignore_index=True))
        self.transform = transform

    @classmethod
    def from_crops(
        cls,
        crops: np.ndarray,
        about: pd.DataFrame,
        transform: Callable[..., dict[str, Any]] | None = None,
    ) -> NucleusCropDataset:
        """A dataset of crops (K, 1, 64, 64) that were cut before, with a row of ``about`` each.

        Raises :class:`~devotools._validate.InputError` for other numbers of crops and rows, and
        for states that cannot be learned.
        """
        if len(crops) != len(about):
            raise InputError(
                f"there are {len(crops)} crops and {len(about)} rows of about; expected a row for "
                "each crop."
            )
        unknown = sorted(set(map(str, about["state"])) - set(CLASS_OF))
        if unknown:
            raise InputError(
                f"about names the state {unknown[0]!r}; expected {' or '.join(CLASS_OF)}. Leave "
                "out nuclei of other states, crops and rows alike."
            )
        made = cls.__new__(cls)
        made._fill(np.asarray(crops, np.float32), about.reset_index(drop=True))
        made.transform = transform
        return made

    def _fill(self, crops: np.ndarray, about: pd.DataFrame) -> None:
        self.crops, self.about = crops, about
        self.classes = np.array(about["state"].map(CLASS_OF), np.int64)
        self.embryo = about["embryo"].to_numpy(str)
        self._worker_seed: int | None = None

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        crop = self.crops[index, 0]
        self._worker_seed = seed_in_worker(self.transform, self._worker_seed)
        if self.transform is not None:
            crop = self.transform(image=crop)["image"]
        return torch.from_numpy(np.ascontiguousarray(crop, np.float32))[None], self.classes[index]

    def subset(
        self, chosen: np.ndarray, transform: Callable[..., dict[str, Any]] | None = None
    ) -> NucleusCropDataset:
        """The nuclei that ``chosen`` names, by their numbers or as (K,) bool, with ``transform``.

        For a split: ``data.subset(np.isin(data.embryo, ["embryo01"]))``. Raises
        :class:`~devotools._validate.InputError` when none is left.
        """
        chosen, known = np.asarray(chosen), len(self)
        fits = chosen.shape == (known,) if chosen.dtype == bool else chosen.dtype.kind in "ui"
        numbers = np.flatnonzero(chosen) if chosen.dtype == bool and fits else chosen
        if not numbers.size:
            raise InputError("chosen names no nucleus; expected at least one.")
        if not fits or not -known <= numbers.min() <= numbers.max() < known:
            raise InputError(
                f"chosen has shape {chosen.shape} and dtype {chosen.dtype}; expected ({known},) "
                f"bool, or whole numbers below {known}. Compare, for example data.embryo == 'e1'."
            )
        chosen = numbers
        part = copy.copy(self)
        part._fill(self.crops[chosen], self.about.iloc[chosen].reset_index(drop=True))
        part.transform = transform
        return part

    def join(self, others: Iterable[NucleusCropDataset]) -> NucleusCropDataset:
        """These nuclei and those of ``others`` in one dataset, with this one's transform."""
        parts = [self, *others]
        return NucleusCropDataset.from_crops(
            np.concatenate([part.crops for part in parts]),
            pd.concat([part.about for part in parts]),
            self.transform,
        )


Section = tuple[str, str, np.ndarray, np.ndarray, dict[int, str]]


def _sections(
    sources: Series | Sequence[Series] | Sequence[ImageMaskPair], states: pd.DataFrame | None
) -> Iterator[Section]:
    """Embryo, name, image (H, W), labels (H, W), and the state of each label, by section."""
    items = [sources] if isinstance(sources, Series) else list(sources)
    kinds = {type(item) for item in items}
    if kinds == {Series}:
        for series in items:
            yield from _of_series(series)
        return
    if kinds != {ImageMaskPair}:
        said = ", ".join(sorted(kind.__name__ for kind in kinds)) or "nothing"
        raise InputError(
            f"sources holds {said}; expected drawn series, or the pairs of read_dataset."
        )
    if states is None:
        raise InputError(
            "states is None; expected the table of read_states: pairs do not say in what state "
            "their nuclei are."
        )
    _check_states(states)
    names = states["name"].astype(str).map(composed)
    by_name = {name: rows for name, rows in states.groupby(names)}
    for pair in items:
        rows = by_name.get(pair.name)
        if rows is not None:
            yield _of_pair(pair, dict(zip(rows["label"], rows["state"], strict=True)))


def _of_series(series: Series) -> Iterator[Section]:
    state_of = dict(zip(series.nuclei["id"], series.nuclei["state"], strict=True))
    embryo = f"seed {series.seed}"
    for number, (image, labels) in enumerate(zip(series.images, series.labels, strict=True)):
        yield embryo, f"{embryo}, section {number}", image, labels, state_of


def _of_pair(pair: ImageMaskPair, state_of: dict[int, str]) -> Section:
    if pair.labels is None:
        raise InputError(
            f"section {pair.name!r} has no label image; expected one in labels/, whose numbers "
            "states names."
        )
    labels = read_labels(pair.labels)
    return pair.embryo or pair.name, pair.name, read_image(pair.image), labels, state_of


def _check_states(states: pd.DataFrame) -> None:
    unknown = sorted(set(states["state"]) - set(CLASS_OF) - NEITHER)
    if unknown:
        raise InputError(
            f"states holds {unknown[0]!r}; expected {', '.join(map(repr, (*STATES, UNSURE)))}, or "
            "the words of drawings (speckled, condensed, mixed). Mend the table."
        )


def _about(embryo: str, name: str, labels: np.ndarray, state_of: dict[int, str]) -> pd.DataFrame:
    """A row for each nucleus of a section, as :func:`nucleus_crops` orders them."""
    nuclei = measure_nuclei(labels)
    return pd.DataFrame(
        {
            "embryo": embryo,
            "name": name,
            "label": nuclei["label"],
            "state": [state_of.get(label, "") for label in nuclei["label"]],
            "diameter_px": 2 * np.sqrt(nuclei["area_px"] / np.pi),
        }
    )
