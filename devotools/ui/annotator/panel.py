"""The annotator: a picture, a brush, and masks that are on the disk as soon as the hand rests."""

from __future__ import annotations

from html import escape
from pathlib import Path

import ipywidgets as widgets
import numpy as np

from devotools._validate import InputError
from devotools.model import ResNet18FPN, load_model
from devotools.predict import label_nuclei, predict_probability
from devotools.ui.canvas.region import Region, region_of
from devotools.ui.canvas.widget import MAX_ID, Canvas
from devotools.ui.controls.button import CalmButton

from .folder import LabelFolder
from .history import History

UNSAVED = "NOT saved"
HISTORIES = 10  # pictures whose strokes can be taken back


def annotate(
    pictures: str | Path,
    out: str | Path,
    *,
    model: ResNet18FPN | str | Path | None = None,
    scale: float | str = "auto",
    embryo: str | None = None,
) -> Annotator:
    """Draw masks over the pictures of a folder, in the browser; they are saved stroke by stroke.

    ``out`` becomes a folder that ``devotools train`` reads, with the pictures labelled so far: see
    :class:`~.folder.LabelFolder`. It may be the folder that has ``pictures`` as its ``images/``.
    With a ``model`` (a network, a shipped name or a file) the first labels of a picture are its
    proposal at ``scale``, and one corrects instead of drawing from nothing; a proposal is saved
    with the first stroke, or when one accepts it. ``embryo`` is noted in ``manifest.csv``. Called
    again with the same folders it goes on where one stopped. Works in JupyterLab and in Voila.

    Raises :class:`~devotools._validate.InputError` for no pictures, two of one name, or a model
    that cannot be loaded. Taught in lesson 06.
    """
    if isinstance(model, (str, Path)):
        model = load_model(model)
    return Annotator(LabelFolder(pictures, out, embryo=embryo), model, scale)


class Annotator(widgets.VBox):
    """What :func:`annotate` shows.

    Attributes
    ----------
    number : int
        The picture shown, from 0.
    labels : numpy.ndarray
        Its labels, (H, W) int32.
    """

    def __init__(
        self, folder: LabelFolder, model: ResNet18FPN | None = None, scale: float | str = "auto"
    ):
        self.folder, self._model, self._scale = folder, model, scale
        self.number = folder.last()
        self.labels = np.zeros((1, 1), np.int32)
        self._histories: dict[int, History] = {}
        self._stamps: dict[int, tuple[int, int] | None] = {}  # what each history goes on from
        self._state, self._usable, self._seen = "", False, None
        self.canvas = Canvas(
            {
                "edit": self._edit,
                "delete": self._delete,
                "undo": lambda: self._step("undo"),
                "redo": lambda: self._step("redo"),
                "next": lambda: self.go(1),
                "previous": lambda: self.go(-1),
            },
            tool="brush",
            height="clamp(280px, calc(100vh - 190px), 900px)",
        )
        self.header = widgets.HTML()
        line = widgets.HBox([*self._buttons(), self.header])
        line.add_class("dt-bar")  # as the tools below it look
        super().__init__([line, self.canvas])
        self.show_number(self.number)

    def __repr__(self) -> str:
        return f"Annotator of {len(self.folder)} pictures: draw in a running notebook"

    def _buttons(self) -> list[widgets.Button]:
        words = {
            "Previous": lambda: self.go(-1),
            "Next": lambda: self.go(1),
            "Accept and next": self.accept,
        }
        self.buttons = {}
        for text, act in words.items():
            button = CalmButton(description=text, layout={"width": "auto", "flex": "0 0 auto"})
            button.on_click(lambda _, act=act: self._guarded(act))
            self.buttons[text] = button
        return list(self.buttons.values())

    # --- pictures ----------------------------------------------------------------------------

    def show_number(self, number: int) -> None:
        """Show the picture of this number, from 0, with what is stored or proposed."""
        self.number, self._usable = number, False
        self._seen = self.folder.stamp(number)
        if self._stamps.get(number, self._seen) != self._seen:  # somebody else has drawn meanwhile
            self._histories.pop(number, None)
        self._forget_old_strokes()
        name = self.folder.files[number].name
        try:
            image = self.folder.image(number)
            self.labels = self._first_labels(image)
        except InputError as error:
            self.labels = np.zeros((1, 1), np.int32)
            self.canvas.show(np.zeros((1, 1)), self.labels, name)
            self.canvas.message = str(error)
            self._state = "cannot be used"
        else:
            self._usable = True
            self.canvas.message = ""
            self.canvas.show(image, self.labels, name)
        self._refresh()

    def _first_labels(self, image: np.ndarray) -> np.ndarray:
        stored = self.folder.labels(self.number)
        if stored is not None:
            self._state = "saved"
            return self._few_enough(stored)
        if self._model is None:
            self._state = "nothing drawn yet"
            return np.zeros(image.shape, np.int32)
        self._state = "proposal of the model, not saved"
        probability = predict_probability(self._model, image, scale=self._scale)
        return self._few_enough(label_nuclei(probability))

    def _few_enough(self, labels: np.ndarray) -> np.ndarray:
        if labels.max() >= MAX_ID:  # one number stays for a new nucleus
            raise InputError(
                f"{self.folder.files[self.number].name!r} has nuclei up to number "
                f"{labels.max():,}; expected less than {MAX_ID:,}. Remove the specks of its mask "
                "first, for example with skimage.morphology.remove_small_objects."
            )
        return labels

    def go(self, way: int) -> None:
        """Show the next picture, or with -1 the one before; after the last comes the first.

        What could not be saved is tried again first: who leaves it would lose it.
        """
        if self._usable and self._state == UNSAVED:
            self._save()
        self.show_number((self.number + way) % len(self.folder))

    def accept(self) -> None:
        """Save the labels as they are, also when there is no nucleus, and show the next."""
        self._check_alone()
        self._save()
        self.go(1)

    # --- strokes -----------------------------------------------------------------------------

    @property
    def _history(self) -> History:
        return self._histories.setdefault(self.number, History())

    def _forget_old_strokes(self) -> None:
        used = {
            n: history for n, history in self._histories.items() if history.done or history.undone
        }
        if self.number in used:
            used[self.number] = used.pop(self.number)  # the latest stand last
        self._histories = dict(list(used.items())[-HISTORIES:])

    def _edit(self, region: Region, number: int) -> None:
        self._check_alone()
        self._history.do(self.labels, region, number)
        self._save()

    def _delete(self, number: int) -> None:
        mask = self.labels == number
        if not number or not mask.any():
            raise InputError(
                "no nucleus is selected; expected one to delete. Choose the tool Select and click "
                "it, or use the eraser."
            )
        self._edit(region_of(mask), 0)

    def _step(self, way: str) -> None:
        self._check_alone()
        if getattr(self._history, way)(self.labels):
            self._save()

    def _check_alone(self) -> None:
        """Refuse a stroke over labels that somebody else has written since they were shown."""
        if self._state == UNSAVED or self.folder.stamp(self.number) == self._seen:
            return
        self._histories.pop(self.number, None)
        self.show_number(self.number)
        raise InputError(
            f"the labels of {self.folder.files[self.number].name!r} were changed meanwhile, by "
            "another page or program; expected one at a time. They are shown as they are now: draw "
            "the stroke again."
        )

    def _save(self) -> None:
        self.canvas.update(self.labels)
        self._state = UNSAVED
        try:
            if not self._usable:
                raise InputError(
                    f"{self.folder.files[self.number].name!r} cannot be used; expected a picture. "
                    "Go to the next one."
                )
            self.folder.save(self.number, self.labels)
            self._state, self._seen = "saved", self.folder.stamp(self.number)
            self._stamps[self.number] = self._seen
        finally:
            self._refresh()

    def _refresh(self) -> None:
        total = len(self.folder)
        labelled = self.folder.count_labelled()
        name = escape(self.folder.files[self.number].name)
        self.header.value = (
            f'<span role="status"><b>{name}</b>, picture {self.number + 1} of {total}: '
            f"{self._state}. {labelled} of {total} are labelled.</span>"
        )
        self.canvas.can_undo = bool(self._history.done)
        self.canvas.can_redo = bool(self._history.undone)

    def _guarded(self, act) -> None:
        try:
            act()
        except InputError as error:
            self.canvas.message = str(error)
