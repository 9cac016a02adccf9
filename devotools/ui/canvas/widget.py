"""The Python side of the canvas: shows a picture and its nuclei, and hears what was painted."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from PIL import Image

from devotools._validate import InputError, check_image, check_labels, check_same_shape
from devotools.images import stretch_contrast, to_grey

from .region import Region, region_of

HERE = Path(__file__).parent
MAX_ID = 2**16 - 2  # ids travel in 16 bits, and
UNCHANGED = 2**16 - 1  # this one means: leave the pixel as it is
TOOLS = ["select", "brush", "erase", "polygon", "fill", "move"]


class Canvas(anywidget.AnyWidget):
    """A picture with outlines over it, to zoom, point at and paint on.

    ``on`` gives a function for each kind of event that the owner wants to hear of: ``edit(region,
    number)`` when a stroke has ended (0 erases), ``delete(number)``, ``undo()``, ``redo()``,
    ``next()`` and ``previous()``. The stroke is on the screen already; the owner calls
    :meth:`update` with the labels that hold from now on, and what differs is sent. An
    :class:`~devotools._validate.InputError` of such a function becomes the ``message``. What a page
    says of a picture, or of numbers, that have changed before it was heard is refused, or read anew
    from the place where the stroke began.

    Attributes
    ----------
    tool, brush, opacity, selected
        The tool's name, the brush's radius (px), how strongly outlines are drawn, the id of the
        selected nucleus (0 for none); both sides may change them.
    states
        The state of each nucleus by its id, as text, where it was told: a *condensed* one gets a
        thick purple outline and a ``c`` behind its number, an *unsure* one a ``?``.
    can_undo, can_redo, message, label
        What the buttons offer, the line below the picture, and what a screen reader calls it.
    """

    _esm = "\n".join(
        (HERE / name).read_text(encoding="utf-8") for name in ("labels.js", "view.js", "canvas.js")
    )
    _css = HERE / "canvas.css"

    tools = traitlets.List(traitlets.Unicode(), TOOLS).tag(sync=True)
    tool = traitlets.Unicode("select").tag(sync=True)
    brush = traitlets.Float(6).tag(sync=True)
    opacity = traitlets.Float(1).tag(sync=True)
    selected = traitlets.Int(0).tag(sync=True)
    states = traitlets.Dict().tag(sync=True)
    can_undo = traitlets.Bool(False).tag(sync=True)
    can_redo = traitlets.Bool(False).tag(sync=True)
    message = traitlets.Unicode("").tag(sync=True)
    label = traitlets.Unicode("No picture").tag(sync=True)
    height = traitlets.Unicode("480px").tag(sync=True)

    def __init__(self, on: Mapping[str, Callable[..., None]], **traits: Any):
        super().__init__(**traits)
        self._on = dict(on)
        self._name = ""
        self._png = b""
        self._shown: np.ndarray | None = None  # what the browser has, (H, W) uint16
        self._scene = self._version = 0  # which picture that is, and after which patch
        self._renumbered = 0  # the last patch that gave a number to another nucleus
        self.on_msg(self._receive)

    def show(self, image: np.ndarray, labels: np.ndarray, name: str) -> None:
        """Show another picture, (H, W) in [0, 1], with its (H, W) labels."""
        image, labels = check_image(image), check_labels(labels)
        check_same_shape(image, labels, ("image", "labels"))
        self._png, self._name = _png_of(image), name
        self._scene += 1
        self._shown = labels.astype(np.uint16)
        self.selected = 0
        self._describe()
        self._send_scene()

    def update(self, labels: np.ndarray) -> None:
        """Show other labels on the same picture; only what differs is sent.

        The selected nucleus stays so, whatever its number is now: numbers change with the
        threshold, and who presses Delete means what is seen.
        """
        selected = self._shown == self.selected if self.selected else None
        different = labels != self._shown
        if different.any():
            box = region_of(different)
            values = np.where(box.mask, labels[box.box], UNCHANGED).astype("<u2")
            self._version += 1
            if _passes_numbers_on(self._shown, labels):
                self._renumbered = self._version
            self._shown = labels.astype(np.uint16)
            height, width = box.mask.shape
            place = {"row": box.row, "col": box.col, "height": height, "width": width}
            patch = {"type": "patch", "version": self._version, **place}
            self.send(patch, [zlib.compress(values.tobytes(), 1)])
        if selected is not None:
            self.selected = _most_of(labels[selected], of=int(selected.sum()))
        self._describe()

    def _describe(self) -> None:
        count = len(np.unique(self._shown[self._shown > 0]))
        self.label = f"{self._name}: {count} {'nucleus' if count == 1 else 'nuclei'} outlined"

    def _send_scene(self) -> None:
        if self._shown is not None:
            height, width = self._shown.shape
            packed = zlib.compress(self._shown.astype("<u2").tobytes(), 1)
            scene = {"type": "scene", "name": self._name, "height": height, "width": width}
            known = {"scene": self._scene, "version": self._version}
            self.send(scene | known, [self._png, packed])

    def _receive(self, _widget: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        kind = content.get("type")
        if kind == "hello":  # a page has opened, perhaps again
            self._send_scene()
            return
        try:
            if kind in self._on and self._shown is not None:
                self._do(kind, content, buffers)
        finally:
            self.send({"type": "heard"})  # a page tells when this stays away

    def _do(self, kind: str, content: dict[str, Any], buffers: list[Any]) -> None:
        self.message = ""
        late = content.get("version", self._version) != self._version
        try:
            elsewhere = content.get("scene", self._scene) != self._scene
            if elsewhere and kind in ("edit", "delete", "undo", "redo"):
                raise InputError(
                    "the picture changed before this was heard; expected a stroke on "
                    f"{self._name!r}, which is shown now. Draw it again."
                )
            if kind == "edit":
                self._on["edit"](*self._read_edit(content, buffers, late))
            elif kind == "delete":
                self._on["delete"](self._number_to_delete(content))
            else:
                self._on[kind]()
        except InputError as error:
            self.message = str(error)

    def _number_to_delete(self, content: dict[str, Any]) -> int:
        if content.get("version", self._version) < self._renumbered:
            raise InputError(
                "the nuclei got new numbers before this was heard; expected the number of one that "
                "is shown. Press Delete again."
            )
        return int(content.get("id", self.selected))

    def _read_edit(
        self, content: dict[str, Any], buffers: list[Any], late: bool
    ) -> tuple[Region, int]:
        """The region and the number of a stroke; what the browser has is brought up to date.

        Where numbers have changed meanwhile it is that of the nucleus in which the stroke began,
        or a new one.
        """
        number = content["id"]
        if late and number:
            row, col = content.get("start", (-1, -1))
            height, width = self._shown.shape
            inside = 0 <= row < height and 0 <= col < width
            under = int(self._shown[row, col]) if inside else 0
            number = under or int(self._shown.max()) + 1
        if number > MAX_ID:
            self._send_scene()
            raise InputError(
                f"this would be nucleus {number:,}; expected {MAX_ID:,} at most. Remove small ones."
            )
        height, width = content["height"], content["width"]
        bits = np.frombuffer(buffers[0], np.uint8)
        mask = np.unpackbits(bits, count=height * width, bitorder="little").astype(bool)
        region = Region(content["row"], content["col"], mask.reshape(height, width))
        region.check_inside(self._shown.shape)
        # where a patch crossed the stroke nobody knows what the page has: it will be told
        self._shown[region.box][region.mask] = UNCHANGED if late else number
        return region, number


def _passes_numbers_on(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether a nucleus has a number now that another one had, or pixels of another one."""
    here = (after > 0) & (before != after) & (before != UNCHANGED)
    taken = np.unique(after[here])
    return bool((before[here] > 0).any() or np.isin(taken, before[after == 0]).any())


def _most_of(numbers: np.ndarray, of: int) -> int:
    """The nucleus that has at least half of these pixels' numbers; 0 where none has."""
    counts = np.bincount(numbers[numbers > 0], minlength=1)
    return int(counts.argmax()) if 0 < of <= 2 * counts.max() else 0


def _png_of(image: np.ndarray) -> bytes:
    """An (H, W) picture as an 8-bit PNG, its contrast stretched; quickly rather than small."""
    file = io.BytesIO()
    grey = np.round(stretch_contrast(to_grey(image)) * 255).astype(np.uint8)
    Image.fromarray(grey).save(file, format="PNG", compress_level=1)
    return file.getvalue()
