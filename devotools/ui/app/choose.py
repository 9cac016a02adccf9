"""The left column: pictures to choose, the list of them, and what is known about them."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path

import ipywidgets as widgets

from devotools._validate import InputError
from devotools.images import IMAGE_SUFFIXES
from devotools.model import SHIPPED
from devotools.ui.controls.button import CalmButton
from devotools.ui.controls.table import Table
from devotools.ui.controls.upload import Upload

from .session import Session

UPLOAD_LIMIT = 200 * 10**6  # bytes a file
WEIGHTS = ".safetensors"
EXAMPLES = {"pixel_size_um": "0.12 (micrometres)", "nucleus_size": "40 (pixels)"}
AS_IT_IS = ("model", "states")  # settings that are no numbers in a field of text
WIDE = {"layout": {"width": "auto"}, "style": {"description_width": "8.5em"}}


class Choose(widgets.VBox):
    """Upload, folder and examples; the list of pictures; model, pixel size, nucleus size, states.

    ``on_pictures()`` is called when pictures have come or gone or need the network again,
    ``on_open(number)`` when one of the list is chosen (from 0), ``say(text)`` with what went wrong.
    """

    def __init__(
        self,
        session: Session,
        *,
        on_pictures: Callable[[], None],
        on_open: Callable[[int], None],
        say: Callable[[str], None],
    ):
        self._session, self._on_pictures, self._say = session, on_pictures, say
        self._refused: list[str] = []
        self._filling = False
        self.upload = Upload(
            session.upload_path,
            on_file=self._take_file,
            on_refused=self._refuse,
            on_failed=self._fail,
            on_all=self._finish_upload,
            limit=UPLOAD_LIMIT,
            accept=",".join([*sorted(IMAGE_SUFFIXES), WEIGHTS]),
        )
        self.examples = widgets.Button(
            description="Try the drawn examples", layout={"width": "auto"}
        )
        self.examples.on_click(lambda _: self._guarded(self._add_examples))
        self.list = Table(
            caption="Pictures",
            columns=["picture", "nuclei"],
            names=True,
            empty="No picture yet.",
            height="190px",
        )
        self.list.observe(lambda change: change.new and on_open(change.new - 1), "selected")
        self.remove = CalmButton(
            description="Remove the picture shown", layout={"width": "auto"}, disabled=True
        )
        parts = [_heading("Pictures"), self.upload, self.examples, *self._folder_part()]
        super().__init__([*parts, self.list, self.remove, *self._settings_part()])
        self.add_class("dt-column")

    def _folder_part(self) -> list[widgets.Widget]:
        self.folder = widgets.Text(
            ".", description="folder", continuous_update=False, tooltip="inside the app's folder"
        )
        self.folder.layout.width = "auto"
        self.open_folder = widgets.Button(description="Open folder", layout={"width": "auto"})
        self.open_folder.on_click(lambda _: self._guarded(self._add_folder))
        if self._session.folder is None:
            return []
        note = f"On this machine, inside <b>{escape(Path(self._session.folder).name)}</b>:"
        return [widgets.HTML(note), self.folder, self.open_folder]

    def _settings_part(self) -> list[widgets.Widget]:
        self.model = widgets.Dropdown(options=self._models(), description="model", **WIDE)
        self.pixel_size = widgets.Text(
            description="pixel size (µm)", placeholder="if known", continuous_update=False, **WIDE
        )
        self.nucleus_size = widgets.Text(
            description="nucleus size (px)", placeholder="auto", continuous_update=False, **WIDE
        )
        self.model.observe(lambda change: self._change(model=change.new), "value")
        for box, name in ((self.pixel_size, "pixel_size_um"), (self.nucleus_size, "nucleus_size")):
            box.observe(lambda change, name=name: self._change(**{name: change.new}), "value")
        self.states = widgets.Checkbox(
            description="tell states (interphase, condensed)", indent=False, layout=WIDE["layout"]
        )
        self.states.observe(lambda change: self._change(states=change.new), "value")
        fields = [self.model, self.pixel_size, self.nucleus_size, self.states]
        return [_heading("Settings"), *fields]

    def _models(self) -> list[tuple[str, str]]:
        """What the model may be: the shipped ones, and the files in the app's folder."""
        found = [(f"{name} (shipped)", name) for name in SHIPPED]
        root = self._session.folder
        files = sorted(Path(root).rglob(f"*{WEIGHTS}")) if root is not None else []
        return found + [(p.relative_to(root).as_posix(),) * 2 for p in files]

    # --- what comes in -----------------------------------------------------------------------

    def _take_file(self, path: Path, name: str) -> None:
        try:
            if path.suffix.lower() == WEIGHTS:
                self._take_model(path, name)
            else:
                self._session.add(path, path.name)
                self.show_list()
        except InputError as error:  # told when all have come: until then it would be wiped
            self._refused.append(str(error).replace(str(path), name))

    def _take_model(self, path: Path, name: str) -> None:
        self._session.change(model=str(path))  # a file that is no model is not offered either
        self._filling = True  # other options let the field jump to the first of them
        self.model.options = [*self.model.options, (name, str(path))]
        self.model.value = str(path)
        self._filling = False

    def _refuse(self, name: str, size: int) -> None:
        self._refused.append(
            f"{name!r} has {size / 1e6:.0f} MB; expected {self.upload.limit / 1e6:.0f} MB at most "
            "for an upload. Start the app with the folder that it lies in, devotools app FOLDER, "
            "and open it there."
        )

    def _fail(self, name: str, error: OSError) -> None:
        self._refused.append(
            f"{name!r} cannot be kept ({error.strerror or error}); expected room for it on the "
            "disk of the machine that runs the app. Make room, or open the folder it lies in."
        )

    def _finish_upload(self) -> None:
        self._say(" ".join(self._refused))
        self._refused.clear()
        self._on_pictures()

    def _add_examples(self) -> None:
        self._session.add_examples()
        self.show_settings()
        self._on_pictures()

    def _add_folder(self) -> None:
        self._session.add_folder(self.folder.value.strip() or ".")
        self._on_pictures()

    # --- what is known about them ------------------------------------------------------------

    def _change(self, **values: str | bool) -> None:
        if not self._filling:
            self._guarded(lambda: self._apply(values))

    def _apply(self, values: dict[str, str | bool]) -> None:
        try:
            self._session.change(
                **{n: v if n in AS_IT_IS else _number(v, n) for n, v in values.items()}
            )
        except InputError:
            self.show_settings()
            raise
        self._on_pictures()

    def show_settings(self) -> None:
        """Bring the fields to what the session has."""
        settings = self._session.settings
        with self.hold_trait_notifications():
            self.model.value = settings.model
        self.pixel_size.value = _text(settings.pixel_size_um)
        self.nucleus_size.value = _text(settings.nucleus_size)
        self.states.value = settings.states

    def show_list(self, current: int | None = None) -> None:
        """Bring the list of pictures up to date; ``current`` (from 0) is the one shown."""
        known = {id(picture): count for picture, count in self._session.counts()}
        reasons = {key: count for key, count in known.items() if isinstance(count, str)}
        counts = {key: "failed" if key in reasons else str(count) for key, count in known.items()}
        pictures = list(enumerate(self._session.pictures, start=1))
        notes = {n: reasons.get(id(p), p.error) for n, p in pictures}
        self.list.notes = {str(n): note for n, note in notes.items() if note}
        self.list.rows = [
            [n, p.name, "failed" if p.error else counts.get(id(p), "…")] for n, p in pictures
        ]
        self.remove.disabled = not pictures
        if current is not None:
            self.list.selected = current + 1

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            self._say("")
            act()
        except InputError as error:
            self._say(str(error))


def _heading(text: str) -> widgets.HTML:
    return widgets.HTML(f"<h2>{text}</h2>")


def _number(text: str, name: str) -> float | None:
    """The number that a field holds; None when it is empty."""
    if not text.strip():
        return None
    try:
        return float(text.replace(",", "."))
    except ValueError as error:
        raise InputError(
            f"{name.removesuffix('_um').replace('_', ' ')} is {text!r}; expected a number, for "
            f"example {EXAMPLES[name]}, or nothing. Mend it or leave the field empty."
        ) from error


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
