"""A button that one double click does not press twice."""

from __future__ import annotations

import time
from typing import Any

import ipywidgets as widgets

QUEUED = 0.05  # seconds; what comes sooner after the last answer was pressed before it was seen


class CalmButton(widgets.Button):
    """A button for what cannot be taken back: it passes over a press that waited behind another.

    While Python is busy, presses queue up; the second of a double click would act on what the
    first has made, and nobody has seen.
    """

    _ended = float("-inf")

    def _handle_button_msg(self, widget: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        if time.monotonic() - self._ended < QUEUED:
            return
        try:
            super()._handle_button_msg(widget, content, buffers)
        finally:
            self._ended = time.monotonic()
