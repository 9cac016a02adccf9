"""All that the app does, without a widget: pictures in, nuclei, corrections, tables, a zip out."""

from __future__ import annotations

import tempfile
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from devotools._validate import (
    InputError,
    check_count,
    check_fraction,
    check_pixel_size,
    check_positive,
)
from devotools.classification import ResNet18Classifier, classify_nuclei, load_classifier
from devotools.measure import measure_nuclei
from devotools.metrics import THRESHOLD
from devotools.model import ResNet18FPN, load_model
from devotools.pipeline import scale_for, with_states
from devotools.predict import check_channels, label_nuclei, predict_scaled
from devotools.ui.canvas.region import Region, region_of
from devotools.ui.canvas.widget import MAX_ID

from .corrections import Delete, Step, step_for
from .pictures import Picture, draw_examples, folder_pictures, free_name, resolve_inside, take_in


@dataclass(frozen=True)
class Settings:
    """What the results follow from. ``model`` is a shipped model's name, or a file."""

    model: str = "nuclei"
    nucleus_size: float | None = None  # px; None lets the picture's longest side decide
    pixel_size_um: float | None = None
    threshold: float = THRESHOLD
    min_area: int = 20  # px
    states: bool = False  # whether the state of each nucleus is told

    def __post_init__(self):
        check_fraction(self.threshold, "threshold")
        check_count(self.min_area, "smallest area", least=0)
        if self.nucleus_size is not None:
            check_positive(self.nucleus_size, "nucleus size", "pixels")
        if self.pixel_size_um is not None:
            check_pixel_size(self.pixel_size_um, "pixel size")


class Session:
    """Pictures, one network, and what was found; nothing is left on the disk at the end.

    ``folder`` is the only place that :meth:`add_folder` and models in files may come from; None
    allows none. The network runs once a picture: threshold, smallest area and corrections work on
    its answer, which lies in a temporary folder that goes with the session (or when the program
    ends).

    >>> session = Session()
    >>> session.change(threshold=0.7)
    >>> session.settings.threshold
    0.7
    >>> session.close()
    """

    def __init__(self, folder: str | Path | None = None):
        self.folder = folder
        self.settings = Settings()
        self.pictures: list[Picture] = []
        self._models: dict[str, ResNet18FPN] = {}
        self._tables: dict[str, tuple[Any, pd.DataFrame]] = {}
        self._told: dict[str, tuple[Any, pd.DataFrame]] = {}
        self._classifier: ResNet18Classifier | None = None
        self._found: tuple[Any, np.ndarray] | None = None
        self._corrected: tuple[Any, tuple[Step, ...], Any] = (None, (), None)
        self._image: tuple[Path | None, np.ndarray | None] = (None, None)
        self._temporary = tempfile.TemporaryDirectory(prefix="devotools_")
        self._workspace = Path(self._temporary.name)
        self._closer = weakref.finalize(self, self._temporary.cleanup)

    def close(self) -> None:
        """Remove what was uploaded and computed."""
        self._closer()

    # --- pictures ----------------------------------------------------------------------------

    def add(self, path: str | Path, name: str | None = None) -> Picture:
        """Take one file in, under ``name``; a bad one is kept with its reason."""
        path = Path(path)
        taken = {picture.name for picture in self.pictures}
        picture = take_in(path, free_name(name or path.name, taken))
        self.pictures.append(picture)
        return picture

    def upload_path(self, name: str) -> Path:
        """Where an uploaded file of this name is to be written: in the session's own folder."""
        safe = PurePosixPath(name.replace("\\", "/")).name.lstrip(".") or "picture"
        folder = Path(tempfile.mkdtemp(dir=self._workspace))
        return folder / safe

    def add_folder(self, folder: str = ".") -> list[Picture]:
        """Take in all files of a folder under the session's own, sub-folders included.

        Files that are open already are left out, or their nuclei would count twice. Raises
        :class:`~devotools._validate.InputError` for a place outside, and for nothing new.
        A link that leads out is kept with its reason, as other bad files are.
        """
        open_already = {picture.path.resolve() for picture in self.pictures}
        found = folder_pictures(self.folder, folder)
        new = [(path, name) for path, name in found if path.resolve() not in open_already]
        if not new:
            raise InputError(
                f"all {len(found)} files of {folder!r} are open already; expected new ones. Name "
                "another folder, or remove pictures from the list first."
            )
        return [self._add_inside(path, name) for path, name in new]

    def _add_inside(self, path: Path, name: str) -> Picture:
        try:
            return self.add(resolve_inside(self.folder, str(path)), name)
        except InputError as error:
            self.pictures.append(Picture(path, name, str(error)))
            return self.pictures[-1]

    def add_examples(self) -> list[Picture]:
        """Draw the examples and take them in, with their pixel size."""
        folder = Path(tempfile.mkdtemp(dir=self._workspace))
        return [self.add(path, name) for path, name in draw_examples(folder)]

    def pixel_size(self, picture: Picture) -> float | None:
        """Micrometres along a pixel: what was typed in, else what the file says, else None."""
        return self.settings.pixel_size_um or picture.pixel_size_um

    def remove(self, picture: Picture) -> None:
        """Take a picture out of the session; its file stays where it was, unless uploaded."""
        self.pictures.remove(picture)
        self._forget(picture)
        if self._image[0] == picture.path:
            self._image = (None, None)  # opened again, the file may be another
        if picture.path.is_relative_to(self._workspace):
            picture.path.unlink(missing_ok=True)

    def image(self, picture: Picture) -> np.ndarray:
        """The picture as (H, W) float32 in [0, 1]; the last one is kept, for the sliders' sake."""
        if self._image[0] != picture.path:
            self._image = (picture.path, picture.read())
        return self._image[1]

    @property
    def good(self) -> list[Picture]:
        """The pictures that can be used."""
        return [picture for picture in self.pictures if not picture.error]

    # --- settings ----------------------------------------------------------------------------

    def change(self, **values: Any) -> None:
        """Change settings by name; a new model or nucleus size lets the network run again.

        Raises :class:`~devotools._validate.InputError` and changes nothing when one cannot be.
        """
        new = replace(self.settings, **values)
        old, self.settings = self.settings, new
        try:
            if (new.model, new.nucleus_size) != (old.model, old.nucleus_size):
                self.scale()
        except Exception:
            self.settings = old
            raise
        if (new.model, new.nucleus_size) != (old.model, old.nucleus_size):
            for picture in self.pictures:
                self._forget(picture)
                if picture.refused:  # by the network as it was set before
                    picture.error, picture.refused = "", False

    @property
    def model(self) -> ResNet18FPN:
        """The network of the settings, loaded once."""
        name = self.settings.model
        if name not in self._models:
            path = Path(name)
            if path.suffix and not path.is_relative_to(self._workspace):
                path = resolve_inside(self.folder, name)
            network = load_model(path if path.suffix else name)
            check_channels(network)
            self._models = {name: network}  # one at a time: there may be little memory
        return self._models[name]

    def scale(self) -> float | str:
        """The scale for :func:`~devotools.predict_probability` that the nucleus size asks for."""
        return scale_for(self.model, self.settings.nucleus_size)

    # --- nuclei ------------------------------------------------------------------------------

    def run(self, progress: Callable[[int, int, str], None] | None = None) -> None:
        """Run the network on every picture that waits for it.

        ``progress`` is told how many are done, of how many, and the name of the next. A picture
        that the network cannot take gets its ``error``; the others go on.
        """
        failed = [
            name for name, (_, table) in self._tables.items() if isinstance(table, InputError)
        ]
        for name in failed:  # its file may have come back
            del self._tables[name]
        for picture in self.pictures:
            if picture.no_room:  # by now there may be some
                picture.error, picture.no_room = "", False
        waiting = [picture for picture in self.good if picture.probability is None]
        for number, picture in enumerate(waiting):
            if progress:
                progress(number, len(waiting), picture.name)
            self._predict(picture)
        if progress:
            progress(len(waiting), len(waiting), "")

    def _predict(self, picture: Picture) -> None:
        started = time.perf_counter()
        try:
            answers = predict_scaled(self.model, [picture.read()], scale=self.scale())
            probability, picture.scale = next(answers)
        except InputError as error:
            picture.error, picture.refused = str(error), True
            return
        try:
            picture.probability = self._keep(probability)
        except OSError as error:
            folder, picture.no_room = str(self._workspace.parent), True
            picture.error = (
                f"The answer for {picture.name!r} cannot be kept in the temporary folder "
                f"{folder!r} ({error.strerror or error}); expected room for it. Save what is done; "
                "make room there, or start the app with TMPDIR on a larger disk."
            )
            return
        picture.seconds = time.perf_counter() - started

    def _keep(self, probability: np.ndarray) -> Path:
        """Write the network's answer into the session's folder, whole or not at all."""
        handle, path = tempfile.mkstemp(".npy", dir=self._workspace)
        try:
            with open(handle, "wb") as file:
                np.save(file, probability)
        except OSError:
            Path(path).unlink(missing_ok=True)
            raise
        return Path(path)

    def _forget(self, picture: Picture) -> None:
        """Drop the network's answer for a picture."""
        if picture.probability is not None:
            picture.probability.unlink(missing_ok=True)
        picture.probability = None

    def labels(self, picture: Picture) -> np.ndarray:
        """The nuclei of a picture, (H, W) int32: by threshold and smallest area, then corrected.

        Raises :class:`~devotools._validate.InputError` before the network has run, and where
        there are more nuclei than a label image of 16 bits can hold.
        """
        if picture.probability is None:
            raise InputError(
                f"{picture.name!r} has no nuclei yet; expected the network's answer. "
                "Let it run first."
            )
        found = self._find(picture.probability)
        if found.max() > MAX_ID:
            raise InputError(
                f"{picture.name!r} has {found.max():,} pieces at threshold "
                f"{self.settings.threshold:.2f}; expected {MAX_ID:,} at most. "
                "Raise the smallest area."
            )
        return self._correct(picture, found)

    def _correct(self, picture: Picture, found: np.ndarray) -> np.ndarray:
        """The nuclei after corrections; those of the last picture are kept, for the next step."""
        steps = tuple(picture.corrections.done)
        base, begun, labels = self._corrected
        if base is not found or steps[: len(begun)] != begun:
            begun, labels = (), found
        labels = picture.corrections.apply(labels, after=len(begun))
        self._corrected = (found, steps, labels)
        return labels.copy()

    def _find(self, probability: Path) -> np.ndarray:
        """The nuclei before corrections; those of the last picture are kept."""
        settings = self.settings
        key = (probability, settings.threshold, settings.min_area)
        if self._found is None or self._found[0] != key:
            labels = label_nuclei(
                np.load(probability), threshold=settings.threshold, min_area=settings.min_area
            )
            self._found = (key, labels)
        return self._found[1]

    def table(self, picture: Picture) -> pd.DataFrame:
        """One row a nucleus: :func:`~devotools.measure_nuclei`, and its state if that is told."""
        return with_states(self._measured(picture), self.states(picture))

    def states(self, picture: Picture) -> pd.DataFrame | None:
        """The table of :func:`~devotools.classify_nuclei`; None where states are not told."""
        if not self.settings.states:
            return None
        key, kept = self._key(picture), self._told.get(picture.name)
        if kept is None or kept[0] != key:
            told = classify_nuclei(self.classifier, self.image(picture), self.labels(picture))
            self._told[picture.name] = kept = (key, told)
        return kept[1]

    def states_by_label(self, picture: Picture) -> dict[int, str]:
        """The state of each nucleus by its number; empty where states are not told."""
        told = self.states(picture)
        return {} if told is None else dict(zip(told["label"].tolist(), told["state"], strict=True))

    @property
    def classifier(self) -> ResNet18Classifier:
        """The shipped classifier, loaded once."""
        if self._classifier is None:
            self._classifier = load_classifier()
        return self._classifier

    def _key(self, picture: Picture) -> tuple[Any, ...]:
        """What the nuclei of a picture follow from."""
        settings = replace(self.settings, states=False)
        return settings, picture.probability, tuple(picture.corrections.done)

    def _measured(self, picture: Picture) -> pd.DataFrame:
        key = self._key(picture)
        kept = self._tables.get(picture.name)
        if kept is None or kept[0] != key:
            try:
                size = self.pixel_size(picture)
                table = measure_nuclei(
                    self.labels(picture), self.image(picture), pixel_size_um=size
                )
            except InputError as error:
                table = error
            self._tables[picture.name] = kept = (key, table)
        if isinstance(kept[1], InputError):
            raise kept[1]
        return kept[1]

    def counts(self) -> Iterator[tuple[Picture, int | str]]:
        """The number of nuclei of each picture that the network has seen, in order.

        Where they cannot be counted, the sentence that says why.
        """
        for picture in self.good:
            if picture.probability is not None:
                try:
                    count = len(self._measured(picture))
                except InputError as error:
                    count = str(error)
                yield picture, count

    # --- corrections -------------------------------------------------------------------------

    def delete(self, picture: Picture, number: int) -> None:
        """Say that the nucleus ``number`` is none."""
        if number < 1:
            raise InputError(
                "no nucleus is selected; expected one to delete. Click it in the picture, or its "
                "row of the table."
            )
        mask = self.labels(picture) == number
        if not mask.any():
            raise InputError(
                f"{picture.name!r} has no nucleus {number}; expected a number of its table. "
                "Select one first."
            )
        picture.corrections.do(Delete(region_of(mask)))

    def paint(self, picture: Picture, region: Region, number: int) -> None:
        """Paint ``region`` with ``number``, as :func:`~.corrections.step_for` explains it."""
        picture.corrections.do(step_for(self.labels(picture), region, number))
