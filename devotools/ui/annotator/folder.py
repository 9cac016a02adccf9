"""Labels on the disk, in the folder that ``devotools train`` reads; each save is whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from filecmp import cmp
from pathlib import Path

import numpy as np
from skimage.measure import label
from skimage.segmentation import relabel_sequential

from devotools._files import WriteError, cannot_write
from devotools._validate import InputError, check_labels, check_path, check_same_shape
from devotools.datasets import add_to_manifest, embryos_of
from devotools.images import (
    composed,
    is_image,
    list_images,
    read_image,
    read_labels,
    read_mask,
    replace_file,
    write_labels,
    write_mask,
)
from devotools.ui.canvas.widget import MAX_ID

LOSSLESS = {".png", ".tif", ".tiff"}


class LabelFolder:
    """Pictures of one folder, and the data folder ``out`` that grows by one with each labelled.

    ``out`` has ``images/`` (copies, unless the pictures lie there already), ``masks/`` (PNG),
    ``labels/`` (TIFF, a number for each nucleus) and, where ``embryo`` is given, ``manifest.csv``.
    At any time it can be trained on (where the pictures lie in its ``images/`` themselves, once all
    are labelled). Masks are never JPEG: its compression invents values along
    every outline (lesson 06). Raises :class:`~devotools._validate.InputError` for no pictures, for
    two of one name, and where ``out`` holds another picture of that name: its labels would be
    taken for this one's, and overwritten; and for a manifest that cannot be read, or that has
    another embryo for one of the pictures.
    """

    def __init__(self, pictures: str | Path, out: str | Path, *, embryo: str | None = None):
        self.files = list_images(pictures, "pictures folder")
        self.out, self._embryo = check_path(out, "out"), embryo
        stems = [file.stem for file in self.files]
        twice = sorted({stem for stem in stems if stems.count(stem) > 1})
        if twice:
            raise InputError(
                f"{str(pictures)!r} holds more than one picture called {twice[0]!r}; expected one "
                "of each name, for its mask will have that name too. Rename or remove one."
            )
        for number, file in enumerate(self.files):
            self._check_same_picture(number, file)
        if embryo is not None:
            self._check_embryo(embryo)

    def __len__(self) -> int:
        return len(self.files)

    def image(self, number: int) -> np.ndarray:
        """The picture of this number, (H, W) float32 in [0, 1]."""
        return read_image(self.files[number])

    def labels(self, number: int) -> np.ndarray | None:
        """The stored labels, (H, W) int32; from a mask, its 4-connected pieces; None without."""
        stored, mask = self._stored("labels", number), self._stored("masks", number)
        if stored:
            labels = read_labels(stored)
        elif mask:
            labels = label(read_mask(mask), connectivity=1)
        else:
            return None
        names = (f"stored labels of {self.files[number].name!r}", "picture")
        check_same_shape(labels, self.image(number), names)
        if labels.max() >= MAX_ID:
            labels = relabel_sequential(labels)[0]
        return labels.astype(np.int32)

    def stamp(self, number: int) -> tuple[int, int] | None:
        """When the stored labels (or mask) were written, and their size; None without any."""
        stored = self._stored("labels", number) or self._stored("masks", number)
        known = stored.stat() if stored else None
        return (known.st_mtime_ns, known.st_size) if known else None

    def is_labelled(self, number: int) -> bool:
        """Whether a mask of this picture is stored."""
        return self._stored("masks", number) is not None

    def count_labelled(self) -> int:
        """Of how many pictures a mask is stored."""
        masks = {path.stem for path in (self.out / "masks").glob("*.*")}
        return sum(file.stem in masks for file in self.files)

    def save(self, number: int, labels: np.ndarray) -> None:
        """Store the labels (H, W) of a picture: picture, labels, mask, and its embryo.

        Raises :class:`~devotools._validate.InputError` for another size, a number that no picture
        has, and a manifest that cannot be read. A stored mask or label image of another kind of
        file (BMP, JPEG) makes way for the new one.
        """
        labels = check_labels(labels)
        if not 0 <= number < len(self):
            raise InputError(f"number is {number}; expected 0 to {len(self) - 1}, a picture's.")
        file = self.files[number]
        check_same_shape(labels, self.image(number), ("labels", f"picture {file.name!r}"))
        self._write("labels", number, ".tif", write_labels, labels)  # refuses ids too large
        copied = self._copy(file)
        try:
            self._write("masks", number, ".png", write_mask, labels > 0)
        except WriteError:
            if copied:  # a picture without a mask would spoil the folder
                copied.unlink(missing_ok=True)
            raise
        if self._embryo is not None:
            row = {"name": file.stem, "embryo": self._embryo, "section": str(number)}
            add_to_manifest(self.out / "manifest.csv", [row])

    def last(self) -> int:
        """The picture that was saved last, to go on with; 0 when none was."""
        stored = [self._stored("masks", number) for number in range(len(self))]
        times = [path.stat().st_mtime_ns if path else 0 for path in stored]
        return int(np.argmax(times))

    def _check_same_picture(self, number: int, file: Path) -> None:
        stored = self._stored("images", number)
        if stored is None or stored.samefile(file):
            return
        if stored.name == file.name and cmp(stored, file, shallow=False):
            return
        raise InputError(
            f"{str(self.out)!r} already holds a picture {stored.name!r} that is not "
            f"{str(file)!r}; expected other names for other pictures, for their masks are told "
            f"apart by name. Rename it, for example 'E2_{file.name}', or label into another folder."
        )

    def _stored(self, part: str, number: int) -> Path | None:
        return next(iter(self._all_stored(part, number)), None)

    def _all_stored(self, part: str, number: int) -> list[Path]:
        stem = self.files[number].stem
        found = sorted((self.out / part).glob(f"{_escaped(stem)}.*"))
        return [path for path in found if path.stem == stem and is_image(path) and path.is_file()]

    def _check_embryo(self, embryo: str) -> None:
        known = embryos_of(self.out / "manifest.csv")
        for file in self.files:
            there = known.get(composed(file.stem), "")
            if composed(there) not in ("", composed(embryo)):
                raise InputError(
                    f"embryo is {embryo!r}, and {str(self.out / 'manifest.csv')!r} has "
                    f"{there!r} for picture {file.name!r}; expected the same. Give that "
                    "one, or correct the table."
                )

    def _write(
        self,
        part: str,
        number: int,
        suffix: str,
        write: Callable[[Path, np.ndarray], None],
        array: np.ndarray,
    ) -> None:
        """Write over what is there, or in its place, so that no name stands twice."""
        stored = self._all_stored(part, number)
        kept = (path for path in stored if path.suffix.lower() in LOSSLESS)
        target = next(kept, self.out / part / f"{self.files[number].stem}{suffix}")
        write(target, array)
        for path in stored:
            if path != target:
                try:
                    path.unlink()
                except OSError as error:
                    raise cannot_write(path, error) from error

    def _copy(self, file: Path) -> Path | None:
        """The copy that was made; None where the picture is there already."""
        target = self.out / "images" / file.name
        if target.exists():
            return None
        with replace_file(target) as temporary:
            shutil.copyfile(file, temporary)
        return target


def _escaped(stem: str) -> str:
    """A stem in which no character means something to `glob`."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in stem)
