"""A button that saves a file through the browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

HERE = Path(__file__).parent


class Download(anywidget.AnyWidget):
    """A button; ``make()`` is called when it is pressed and returns the file's name and content.

    It may return None, and then nothing is saved: the owner says why.
    """

    _esm = HERE / "download.js"
    _css = HERE / "controls.css"

    description = traitlets.Unicode("Save").tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)

    def __init__(self, make: Callable[[], tuple[str, bytes] | None], **traits: Any):
        super().__init__(**traits)
        self._make = make
        self.on_msg(self._receive)

    def _receive(self, _widget: Any, content: dict[str, Any], _buffers: list[Any]) -> None:
        if content.get("type") != "want":
            return
        made = None
        try:
            made = self._make()
        finally:
            if made is None:  # whatever happened: without an answer the button stays grey
                self.send({"type": "nothing"})
        if made is None:
            return
        name, data = made
        self.send({"type": "file", "name": name, "kind": "application/zip"}, [data])
