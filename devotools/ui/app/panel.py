"""What one sees of the app: three columns over one session. Works in Voila and in JupyterLab."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from html import escape
from pathlib import Path

import ipywidgets as widgets
import numpy as np
from traitlets import link

from devotools._validate import InputError
from devotools.ui.canvas.region import Region
from devotools.ui.canvas.widget import Canvas
from devotools.ui.controls.download import Download
from devotools.ui.controls.slider import Slider
from devotools.ui.controls.table import Table

from .charts import area_chart, series_chart, states_summary
from .choose import Choose
from .pictures import Picture
from .results import export_zip
from .session import Session

STYLE = (Path(__file__).parent / "app.css").read_text(encoding="utf-8")
TABS = ("Nuclei", "Areas", "Series")
TELL_EVERY = 2.0  # seconds between two looks at what is done, while the network works
LARGE = 4_000_000  # pixels; numbering the nuclei of more takes a while, which has to be said


class App(widgets.VBox):
    """Find nuclei in pictures, correct them by hand, and take a table away.

    ``folder`` is where pictures and models on this machine may come from; without one there are
    uploads and examples. Nothing is kept after the kernel has ended. Taught in lesson 05; the same
    app in a window of its own is the command ``devotools app``.

    Attributes
    ----------
    session : Session
        All that the app knows: pictures, settings, labels and tables.
    """

    def __init__(self, folder: str | Path | None = None):
        self.session = Session(folder)
        self._number: int | None = None  # of the picture shown
        self._counting: asyncio.Task | None = None
        self._told = 0.0  # when the page was last told what is done
        self._build()
        columns = widgets.Box([self.choose, self._middle(), self._right()])
        columns.add_class("dt-columns")
        super().__init__([widgets.HTML(f"<style>{STYLE}</style>{HEADER}"), columns])
        self.add_class("dt-app")

    def __repr__(self) -> str:
        return "App: find, correct and measure nuclei in a running notebook"

    # --- the page ----------------------------------------------------------------------------

    def _build(self) -> None:
        self.choose = Choose(
            self.session, on_pictures=self.refresh, on_open=self.open_number, say=self.say
        )
        self.choose.remove.on_click(lambda _: self._guarded(self._remove))
        self.canvas = Canvas(
            {
                "edit": self._edit,
                "delete": self._delete,
                "undo": lambda: self._step("undo"),
                "redo": lambda: self._step("redo"),
                "next": lambda: self._go(1),
                "previous": lambda: self._go(-1),
            },
            height="clamp(300px, calc(100vh - 230px), 900px)",
        )
        self.messages = widgets.HTML()
        self.threshold = Slider(description="threshold", value=0.5, min=0.05, max=0.95, step=0.01)
        self.min_area = Slider(
            description="smallest area", value=20, min=0, max=1000, step=5, digits=0, unit=" px"
        )
        for slider in (self.threshold, self.min_area):
            slider.observe(self._slide, "value")
        self.table = Table(
            on_delete=lambda number: self._guarded(lambda: self._delete(number)),
            caption="Nuclei of the picture shown",
            empty="No nucleus.",
            height="clamp(170px, calc(100vh - 420px), 700px)",
        )
        link((self.table, "selected"), (self.canvas, "selected"))
        self.areas, self.series, self.summary = (widgets.HTML() for _ in range(3))
        self.tabs = widgets.Tab([self.table, self.areas, self.series], titles=TABS)
        self.tabs.observe(lambda _: self._draw_charts(), "selected_index")
        self.save = Download(self._make_zip, description="Save results (zip)", disabled=True)

    def _middle(self) -> widgets.VBox:
        column = widgets.VBox([self.messages, self.canvas])
        column.add_class("dt-middle")
        return column

    def _right(self) -> widgets.VBox:
        heading = widgets.HTML("<h2>Nuclei</h2>")
        parts = [heading, self.threshold, self.min_area, self.summary, self.tabs, self.save]
        column = widgets.VBox(parts)
        column.add_class("dt-column")
        return column

    def say(self, text: str) -> None:
        """Show a sentence above the picture; an empty one takes it away."""
        self.messages.value = f'<p role="alert" class="dt-alert">{escape(text)}</p>' if text else ""

    def _progress(self, done: int, total: int, name: str) -> None:
        text = f"Looking for nuclei: {done} of {total} pictures done. Now {escape(name)}"
        bar = f'<progress max="{total}" value="{done}"></progress>'
        self.messages.value = f'<p role="status">{text} {bar}</p>' if done < total else ""
        if time.monotonic() - self._told > TELL_EVERY:
            self._show_what_is_done()
            self._told = time.monotonic()

    # --- pictures ----------------------------------------------------------------------------

    @property
    def picture(self) -> Picture | None:
        """The picture shown, or None."""
        return None if self._number is None else self.session.pictures[self._number]

    def refresh(self) -> None:
        """Let the network run where it is due, and show the list and the picture anew."""
        said = self.messages.value
        self.choose.show_list()
        self.session.run(self._progress)
        self.messages.value = said
        self.save.disabled = not self.session.good
        usable = [n for n, p in enumerate(self.session.pictures) if not p.error]
        if self._number not in usable:
            self._number = usable[0] if usable else None
        self.choose.show_list(self._number)
        self._show_picture()

    def _show_what_is_done(self) -> None:
        """While others wait for the network: the counts so far, and the first picture."""
        done = [n for n, p in enumerate(self.session.pictures) if p.probability is not None]
        with suppress(InputError):  # too many pieces: said at the end, when all have been seen
            if done and self._number is None:
                self._number = done[0]
                self._show_picture()
            self.choose.show_list(self._number)

    def open_number(self, number: int) -> None:
        """Show the picture of this number in the list, from 0."""
        if number == self._number or self.session.pictures[number].error:
            return
        before, self._number = self._number, number
        try:
            self._show_picture()
        except InputError as error:  # its file has gone, or it has too many pieces
            self._number = before
            self.choose.list.selected = 0 if before is None else before + 1
            self.say(str(error))

    def _go(self, way: int) -> None:
        failed = self.choose.list.notes  # by number in the list, as text
        usable = [n for n in range(len(self.session.pictures)) if str(n + 1) not in failed]
        if self._number in usable:
            at = usable.index(self._number) + way
            self.choose.list.selected = usable[at % len(usable)] + 1

    def _remove(self) -> None:
        number = self.choose.list.selected - 1
        if 0 <= number < len(self.session.pictures):
            self.choose.list.selected = 0
            self.session.remove(self.session.pictures[number])
            usable = [n for n, p in enumerate(self.session.pictures) if not p.error]
            self._number = min(usable, key=lambda n: abs(n - number), default=None)  # a neighbour
            self.refresh()

    def _show_picture(self) -> None:
        picture = self.picture
        if picture is None or picture.probability is None:
            self.canvas.show(np.zeros((2, 3)), np.zeros((2, 3), np.int32), "No picture")
            self._show_nuclei()
            return
        self.canvas.show(self.session.image(picture), self.session.labels(picture), picture.name)
        self._show_nuclei()

    # --- nuclei ------------------------------------------------------------------------------

    def _slide(self, _change: object) -> None:
        self._guarded(self._relabel)

    def _relabel(self) -> None:
        if self.picture is not None and self.session.image(self.picture).size > LARGE:
            self.messages.value = '<p role="status">Numbering the nuclei of a large picture …</p>'
        self.session.change(threshold=self.threshold.value, min_area=int(self.min_area.value))
        self._update()
        self.messages.value = ""
        self._count_others()

    def _update(self) -> None:
        """After a change of the labels of the picture shown."""
        if self.picture is not None:
            self.canvas.update(self.session.labels(self.picture))
            self._show_nuclei()

    def _show_nuclei(self) -> None:
        picture = self.picture
        size = self.session.pixel_size(picture) if picture else None
        column, unit = ("area_um2", "µm²") if size else ("area_px", "px")
        told = self.session.settings.states
        state = ["state"] if told else []
        self.table.columns = ["id", "row", "column", f"area ({unit})", "ecc.", *state]
        table = self.session.table(picture) if picture else None
        self.canvas.states = self._states()
        self.summary.value = states_summary(self.session.states(picture)) if picture else ""
        rows = [] if table is None else table.itertuples()
        self.table.rows = [
            [
                n.label,
                str(n.label),
                f"{n.centroid_row:.0f}",
                f"{n.centroid_col:.0f}",
                f"{getattr(n, column):.4g}",
                f"{n.eccentricity:.2f}",
                *([n.state] if told else []),
            ]
            for n in rows
        ]
        steps = picture.corrections if picture else None
        self.canvas.can_undo = bool(steps and steps.done)
        self.canvas.can_redo = bool(steps and steps.undone)
        self._draw_charts()

    def _states(self) -> dict[str, str]:
        """The state of each nucleus of the picture shown, by its number as text."""
        states = self.session.states_by_label(self.picture) if self.picture else {}
        return {str(number): state for number, state in states.items()}

    def _draw_charts(self) -> None:
        """Draw the chart that is in sight; the other can wait."""
        shown = TABS[self.tabs.selected_index or 0]
        if shown == "Areas" and self.picture:
            table = self.session.table(self.picture)
            self.areas.value = area_chart(table, self.session.pixel_size(self.picture))
        if shown == "Series":
            counts = [(p, n) for p, n in self.session.counts() if isinstance(n, int)]
            at = [n for n, (picture, _) in enumerate(counts) if picture is self.picture]
            self.series.value = series_chart(
                [p.name for p, _ in counts], [c for _, c in counts], at[0] if at else -1
            )

    def _count_others(self) -> None:
        """Count in the other pictures when the hand rests: the one shown comes first."""
        if self._counting is not None:
            self._counting.cancel()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no notebook, no waiting
            self.choose.show_list(self._number)
            return
        self._counting = loop.create_task(self._count_later())

    async def _count_later(self) -> None:
        await asyncio.sleep(0.2)
        for _ in self.session.counts():
            await asyncio.sleep(0)
        self.choose.show_list(self._number)
        self._draw_charts()

    # --- corrections -------------------------------------------------------------------------

    def _edit(self, region: Region, number: int) -> None:
        try:
            if self.picture is not None:
                self.session.paint(self.picture, region, number)
        finally:
            self._after_correction()

    def _delete(self, number: int) -> None:
        if self.picture is not None:
            self.session.delete(self.picture, number)
            self._after_correction()

    def _step(self, way: str) -> None:
        if self.picture is not None:
            getattr(self.picture.corrections, way)()
            self._after_correction()

    def _after_correction(self) -> None:
        self._update()
        self.choose.show_list(self._number)

    # --- what one takes away -----------------------------------------------------------------

    def _make_zip(self) -> tuple[str, bytes] | None:
        made = None

        def make() -> None:
            nonlocal made
            with tempfile.TemporaryDirectory(prefix="devotools_") as folder:
                path = Path(folder) / "nuclei.zip"
                export_zip(self.session, path, self._saving)
                made = (path.name, path.read_bytes())

        self._guarded(make)
        return made

    def _saving(self, done: int, total: int) -> None:
        bar = f'<progress max="{total}" value="{done}"></progress>'
        text = f'<p role="status">Writing results: {done} of {total} pictures {bar}</p>'
        self.messages.value = text if done < total else ""

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            self.say("")
            act()
        except InputError as error:
            self.say(str(error))


HEADER = (
    '<header class="dt-header"><h1>devotools</h1> <p>Find, correct and measure nuclei in '
    "micrographs. Everything stays on the machine that runs this page, and nothing is kept "
    "when you close it.</p></header>"
)
