"""Sections as PyTorch datasets, and the split that keeps every embryo on one side."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

from devotools._files import whole_folder
from devotools._validate import (
    InputError,
    check_count,
    check_folder,
    check_fraction,
    check_kind,
    check_same_shape,
)
from devotools.images import (
    ImageMaskPair,
    composed,
    is_image,
    pair_files,
    read_image,
    read_mask,
    replace_file,
    stretch_contrast,
    write_image,
    write_labels,
    write_mask,
)
from devotools.synthetic import Appearance, Series, synthesize_series

Transform = Callable[..., dict[str, Any]]
MANIFEST = ("name", "embryo", "section")  # the columns that a manifest.csv must have
STATES_FILE = "states.csv"  # of drawn folders: name, label, state


class NucleusDataset(Dataset):
    """Sections with their masks: image (1, H, W) float32 and mask (1, H, W) float32 of 0 and 1.

    ``pairs`` come from :func:`~devotools.pair_files` or :func:`read_dataset`. The image is read,
    stretched to its percentiles as :func:`~devotools.predict_probability` does, and then goes
    through ``transform`` *together with its mask*, in one call, so that both are turned, cropped
    and bent alike. Without a transform each section keeps its own size.

    In the worker processes of a ``DataLoader`` the transform is seeded anew from the loader's
    generator, so workers do not repeat each other, and the same generator gives the same batches.
    Raises :class:`~devotools._validate.InputError` for no pairs, unreadable files and masks of
    another size than their image. Taught in lesson 02.
    """

    def __init__(self, pairs: Sequence[ImageMaskPair], transform: Transform | None = None):
        self.pairs = _check_pairs(pairs)
        if not self.pairs:
            raise InputError("pairs is empty; expected at least one image with its mask.")
        self.transform = transform
        self._worker_seed: int | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        pair = self.pairs[index]
        image, mask = read_image(pair.image), read_mask(pair.mask)
        check_same_shape(image, mask, (f"image {str(pair.image)!r}", f"mask {str(pair.mask)!r}"))
        self._worker_seed = seed_in_worker(self.transform, self._worker_seed)
        return to_tensors(stretch_contrast(image), mask, self.transform)


def _check_pairs(pairs: Sequence[ImageMaskPair]) -> list[ImageMaskPair]:
    remedy = "Read them with read_dataset(folder), or take a side of a split: split.train."
    single = isinstance(pairs, (str, Path, ImageMaskPair, Split, NucleusDataset))
    if isinstance(pairs, Iterable) and not single:
        pairs = list(pairs)
        for pair in pairs:
            check_kind(pair, ImageMaskPair, "one of pairs", remedy)
        return pairs
    raise InputError(f"pairs is {_kind(pairs)}; expected a list of ImageMaskPair. {remedy}")


def _kind(value: object) -> str:
    return repr(value) if isinstance(value, (str, Path)) else f"a {type(value).__name__}"


def make_loader(
    dataset: Dataset, batch_size: int, *, shuffle: bool, seed: int = 0, workers: int = 0
) -> DataLoader:
    """A PyTorch ``DataLoader`` whose order and workers follow from ``seed`` alone.

    ``workers`` processes prepare the pictures; 0 does it in this one. Sections of different sizes
    go into one batch only after a transform that makes them alike.
    Raises :class:`~devotools._validate.InputError`. Taught in lesson 02.
    """
    seed = check_count(seed, "seed", least=0)
    if not isinstance(shuffle, bool):
        raise InputError(f"shuffle is {shuffle!r}; expected True or False.")
    return DataLoader(
        dataset,
        batch_size=check_count(batch_size, "batch_size"),
        shuffle=shuffle,
        num_workers=check_count(workers, "workers", least=0),
        generator=torch.Generator().manual_seed(seed % 2**64),
        collate_fn=_collate,
    )


def _collate(items: list) -> object:
    """One batch of single items; pictures of different sizes get a sentence, not torch's words."""
    sizes = {tuple(picture.shape) for picture, *_ in items if isinstance(picture, Tensor)}
    if len(sizes) > 1:
        raise InputError(
            f"one batch holds pictures of the sizes {', '.join(map(str, sorted(sizes)))}; expected "
            "one size. Give the dataset a transform (train_transform, eval_transform), or take "
            "batch_size=1."
        )
    return default_collate(items)


def to_tensors(
    image: np.ndarray, mask: np.ndarray, transform: Transform | None = None
) -> tuple[Tensor, Tensor]:
    """Send an (H, W) image and mask through one transform; return both as (1, H, W) float32."""
    mask = mask.astype(np.uint8)  # albumentations cannot bend a bool mask
    if transform is not None:
        both = transform(image=image, mask=mask)
        image, mask = both["image"], both["mask"]
    image_tensor = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))
    mask_tensor = torch.from_numpy(np.ascontiguousarray(mask, dtype=np.float32))
    return image_tensor[None], mask_tensor[None]  # (1, H, W) each


def seed_in_worker(transform: Transform | None, seeded: int | None) -> int | None:
    """Seed the transform once in each worker process, and again when a new epoch starts it."""
    worker = get_worker_info()
    if worker is None or worker.seed == seeded or not hasattr(transform, "set_random_seed"):
        return seeded
    transform.set_random_seed(worker.seed % 2**32)
    return worker.seed


# --- folders -----------------------------------------------------------------------------------


def read_dataset(folder: str | Path) -> list[ImageMaskPair]:
    """The sections of a folder with ``images/`` and ``masks/``, sorted by name.

    ``labels/`` (label images of the same names) and ``manifest.csv`` (columns name, embryo,
    section) are used where they exist. Raises :class:`~devotools._validate.InputError` as
    :func:`~devotools.pair_files`, and for a manifest that does not fit. Taught in lesson 01.
    """
    folder = check_folder(folder, "data folder")
    for part in ("images", "masks"):
        check_folder(folder / part, f"data folder's {part}/")
    pairs = pair_files(folder / "images", folder / "masks")
    labels = _labels_in(folder / "labels")
    rows = _read_manifest(folder / "manifest.csv", {pair.name for pair in pairs})
    _check_known(labels, pairs, folder / "labels")
    if rows and not any(pair.name in rows for pair in pairs):
        raise InputError(
            f"{str(folder / 'manifest.csv')!r} names {len(rows)} sections, for example "
            f"{next(iter(rows))[:100]!r}, and none of the images, for example {pairs[0].name!r}; "
            "expected the images' names in its column name. Mend the names, or remove the file."
        )
    return [_with_origin(pair, labels.get(pair.name), rows.get(pair.name)) for pair in pairs]


def _labels_in(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in sorted(filter(is_image, folder.glob("*"))):
        other = found.setdefault(composed(file.stem), file)
        if other != file:
            raise InputError(
                f"{str(folder)!r} has both {other.name!r} and {file.name!r}; expected "
                "one label image a section. Remove the older one."
            )
    return found


def _with_origin(
    pair: ImageMaskPair, labels: Path | None, row: dict[str, str] | None
) -> ImageMaskPair:
    if row is None:
        return replace(pair, labels=labels)
    said = row["section"].strip()
    section = int(said) if said.isdecimal() and len(said) < 10 else None
    return replace(pair, labels=labels, embryo=row["embryo"].strip() or None, section=section)


def add_to_manifest(path: Path, rows: Iterable[dict[str, str]]) -> None:
    """Add rows (name, embryo, section) to a ``manifest.csv`` for names that it lacks.

    Rows and columns that stand there, whoever wrote them, stay; an embryo that is not known there
    is filled in. Without a file it is begun.
    Raises :class:`~devotools._validate.InputError`, and writes nothing, for what is no such table.
    """
    table, mark = _whole_rows_of(path)
    known, changed = _by_name(table), False
    for row in rows:
        there = known.get(composed(row["name"]))
        if there is None:
            table.append(row)
        elif row["embryo"] and not there.get("embryo", "").strip():
            there["embryo"] = row["embryo"]
        else:
            continue
        changed = True
    if not changed:
        return
    columns = list(dict.fromkeys(key for row in table for key in row))
    with (
        replace_file(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, columns, delimiter=mark, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


def embryos_of(path: Path) -> dict[str, str]:
    """The embryo of each name in a ``manifest.csv``; nothing where there is no such file.

    Raises :class:`~devotools._validate.InputError` for what is no such table.
    """
    known = _by_name(_whole_rows_of(path)[0])
    return {name: row.get("embryo", "").strip() for name, row in known.items()}


def _by_name(table: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    """The row of each name, as it stands there and as the section is called."""
    return {
        name: row
        for row in table
        for whole in [composed(row["name"].strip())]
        for name in (_without_suffix(whole), whole)
    }


def _whole_rows_of(
    path: Path, needed: Sequence[str] = ("name",)
) -> tuple[list[dict[str, str]], str]:
    """The rows of a manifest that can be written again as they are; none without a file."""
    table, mark = _rows_of(path, needed) if path.exists() else ([], ",")
    for row in table:
        if any(cell.strip() for cell in row.pop(None, [])):
            raise InputError(
                f"{str(path)!r} has a row with more cells than columns, that of "
                f"{row['name'][:100]!r}; expected as many. Put names with a {mark!r} in quotes, or "
                "move the table away."
            )
    return table, mark


def _rows_of(path: Path, needed: Sequence[str]) -> tuple[list[dict[str, str]], str]:
    """The rows of a manifest, and the mark between its cells: a comma, semicolon or tab."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            mark = max(",;\t", key=file.readline().count)
            file.seek(0)
            reader = csv.DictReader(file, restval="", delimiter=mark)
            columns = [_known_column(column) for column in reader.fieldnames or ()]
            reader.fieldnames = columns
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{str(path)!r} cannot be read as a table ({error}); expected CSV in UTF-8. Export it "
            "again with this encoding, or move it away."
        ) from error
    if missing := [column for column in needed if column not in columns]:
        found = ", ".join(columns)[:100] or "none"  # of a damaged file they may be long
        raise InputError(
            f"{str(path)!r} lacks the columns {', '.join(missing)} and has {found}; expected "
            "name, embryo, section. Mend its first line; without a manifest, sections of one "
            "embryo count as several."
        )
    if twice := sorted({column for column in needed if columns.count(column) > 1}):
        raise InputError(
            f"{str(path)!r} has more than one column {', '.join(twice)} (capitals do not count); "
            "expected each once. Remove the wrong one, or give it another name."
        )
    return rows, mark


def _known_column(column: str) -> str:
    """A column as we call it, whatever a spreadsheet made of its capitals and blanks."""
    plain = column.strip().casefold()
    return plain if plain in MANIFEST else column


def _read_manifest(path: Path, images: Collection[str]) -> dict[str, dict[str, str]]:
    """The rows by the name of the image; ``images`` are the names that there are."""
    if not path.exists():
        return {}
    rows, _ = _whole_rows_of(path, MANIFEST)
    table: dict[str, dict[str, str]] = {}
    for row in filter(lambda row: row["name"].strip(), rows):
        written = composed(row["name"])
        plain = Path(written.strip().replace("\\", "/")).name
        whole_names = (name for name in (written, plain) if name in images)
        name = next(whole_names, _without_suffix(plain))  # s1.jpg may be s1.jpg.tif
        whole = {key: composed(row[key]) for key in MANIFEST}
        if table.setdefault(name, whole)["embryo"].strip() != whole["embryo"].strip():
            raise InputError(
                f"{str(path)!r} says of {name!r} both embryo {table[name]['embryo']!r} and "
                f"{whole['embryo']!r}; expected one row a section. Remove the wrong one."
            )
    _check_spelling({row["embryo"].strip() for row in table.values()}, path)
    return table


def _check_spelling(embryos: Collection[str], path: Path) -> None:
    """Refuse one embryo in two spellings: it would stand on both sides of a split."""
    spelled: dict[str, str] = {}
    for name in sorted(embryos):
        other = spelled.setdefault(name.casefold(), name)
        if other != name:
            raise InputError(
                f"{str(path)!r} names the embryos {other!r} and {name!r}; expected one spelling, "
                "or sections of one embryo stand on both sides of a split. Mend the table; if they "
                "are two embryos, give one another name."
            )


def _check_known(labels: Iterable[str], pairs: Sequence[ImageMaskPair], folder: Path) -> None:
    names = sorted(labels)
    if names and not {pair.name for pair in pairs}.intersection(names):
        raise InputError(
            f"{str(folder)!r} holds {len(names)} label images, for example {names[0]!r}, and none "
            f"has the name of an image, for example {pairs[0].name!r}; expected the same names. "
            "Rename them, or take the folder away."
        )


def _without_suffix(name: str) -> str:
    """``day.2`` and ``images/day.2.png`` are both the section ``day.2``."""
    path = Path(name)
    return path.stem if is_image(path) else path.name


def synthesize_dataset(
    out: str | Path,
    *,
    embryos: int,
    sections: int,
    size: int = 256,
    seed: int = 0,
    appearance: Appearance | None = None,
    progress: Callable[[], object] | None = None,
) -> int:
    """Draw ``embryos`` and write their sections as real data lie on disk; returns how many.

    ``out`` gets ``images/``, ``masks/`` and ``labels/`` with one file a section under the same
    name in each, ``manifest.csv`` (name, embryo, section, pixel_size_um), and ``states.csv``
    (name, label, state): how the chromatin of each nucleus was drawn. It must be new or empty,
    and appears only when everything is drawn. ``progress()`` is called after each embryo.
    Other seeds draw other embryos. Raises :class:`~devotools._validate.InputError`.
    Taught in lesson 01.
    """
    check_count(embryos, "embryos")
    check_count(sections, "sections")
    check_count(size, "size", least=64)
    check_count(seed, "seed", least=0)
    rows, states = [], []
    with whole_folder(out) as unfinished:
        for number in range(embryos):
            # Not seed + number: then seed 1 would repeat the embryos of seed 0.
            own_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
            series = synthesize_series(
                sections=sections, size=size, seed=own_seed, appearance=appearance
            )
            rows += _write_series(unfinished, series, f"embryo{number + 1:02d}")
            states += _states_of(series, f"embryo{number + 1:02d}")
            if progress is not None:
                progress()
        columns = ["name", "embryo", "section", "pixel_size_um"]
        _write_csv(unfinished / "manifest.csv", columns, rows)
        _write_csv(unfinished / STATES_FILE, ["name", "label", "state"], states)
    return len(rows)


def _write_series(folder: Path, series: Series, embryo: str) -> list[tuple[str, str, int, float]]:
    rows = []
    for section, (image, labels) in enumerate(zip(series.images, series.labels, strict=True)):
        name = _section_name(embryo, section)
        write_image(folder / "images" / f"{name}.png", image)
        write_mask(folder / "masks" / f"{name}.png", labels > 0)
        write_labels(folder / "labels" / f"{name}.tif", labels)
        rows.append((name, embryo, section, round(series.pixel_size_um, 5)))
    return rows


def _section_name(embryo: str, section: int) -> str:
    return f"{embryo}_section{section:02d}"


def _states_of(series: Series, embryo: str) -> list[tuple[str, int, str]]:
    """The state of each nucleus in each section that shows it."""
    states = dict(zip(series.nuclei.id, series.nuclei.state, strict=True))
    return [
        (_section_name(embryo, section), int(number), states[number])
        for section, labels in enumerate(series.labels)
        for number in np.unique(labels[labels > 0])
    ]


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


@dataclass(frozen=True)
class Split:
    """Sections for training, for choosing (validation), and for the last word (test)."""

    train: list[ImageMaskPair]
    val: list[ImageMaskPair]
    test: list[ImageMaskPair]


def split_by_embryo(
    pairs: Sequence[ImageMaskPair], *, val: float = 0.2, test: float = 0.2, seed: int = 0
) -> Split:
    """Divide sections so that no embryo has sections on two sides.

    ``val`` and ``test`` are the shares of *embryos* (not of sections), each at least one embryo
    unless 0. Neighbouring sections are nearly the same picture: split at random, the network
    would be tested on what it learned by heart. A section whose embryo is unknown counts as an
    embryo of its own. The same ``seed`` gives the same split, whatever the order of ``pairs``.
    Raises :class:`~devotools._validate.InputError` when there are too few embryos.
    Taught in lesson 01.
    """
    check_fraction(val, "val")
    check_fraction(test, "test")
    groups: dict[str, list[ImageMaskPair]] = defaultdict(list)
    for pair in sorted(_check_pairs(pairs), key=lambda pair: pair.name):
        known = pair.embryo is not None
        groups[f"embryo {pair.embryo}" if known else f"section {pair.name}"].append(pair)
    order = sorted(groups)
    np.random.default_rng(check_count(seed, "seed", least=0)).shuffle(order)
    n_val, n_test = (max(1, round(share * len(order))) if share else 0 for share in (val, test))
    if n_val + n_test >= len(order):
        raise InputError(
            f"there are {len(order)} embryos; expected at least {n_val + n_test + 1} for "
            f"val={val} and test={test} with one left to train on. Add embryos, or ask for less."
        )
    sides = np.split(np.array(order, dtype=object), [n_test, n_test + n_val])
    test_pairs, val_pairs, train_pairs = (
        [p for key in side for p in groups[key]] for side in sides
    )
    return Split(train_pairs, val_pairs, test_pairs)
