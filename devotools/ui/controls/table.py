"""A table of which one row can be chosen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

HERE = Path(__file__).parent


class Table(anywidget.AnyWidget):
    """Rows of text; the row chosen is ``selected``, by its id, and 0 is none.

    Each of ``rows`` begins with its id, a whole number from 1, which is not shown. ``notes`` gives
    a sentence that stands below a row, by id; ``empty`` is shown where there is no row. With
    ``names`` the first column is text, set to the left. ``on_delete(id)`` is called when somebody
    presses Delete on a row.
    """

    _esm = HERE / "table.js"
    _css = HERE / "controls.css"

    caption = traitlets.Unicode("").tag(sync=True)
    columns = traitlets.List(traitlets.Unicode()).tag(sync=True)
    rows = traitlets.List(traitlets.List()).tag(sync=True)
    notes = traitlets.Dict().tag(sync=True)
    empty = traitlets.Unicode("").tag(sync=True)
    names = traitlets.Bool(False).tag(sync=True)
    selected = traitlets.Int(0).tag(sync=True)
    height = traitlets.Unicode("auto").tag(sync=True)

    def __init__(self, on_delete: Callable[[int], None] = lambda _: None, **traits: Any):
        super().__init__(**traits)
        self._on_delete = on_delete
        self.on_msg(self._receive)

    def _receive(self, _widget: Any, content: dict[str, Any], _buffers: list[Any]) -> None:
        if content.get("type") == "delete":
            self._on_delete(int(content.get("id", self.selected)))
