"""A slider whose name a screen reader hears."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

HERE = Path(__file__).parent


class Slider(anywidget.AnyWidget):
    """A number between ``min`` and ``max`` in steps; ``value`` follows while it is moved.

    ``digits`` are shown after the point, and ``unit`` behind them.
    """

    _esm = HERE / "slider.js"
    _css = HERE / "controls.css"

    description = traitlets.Unicode("").tag(sync=True)
    value = traitlets.Float(0).tag(sync=True)
    min = traitlets.Float(0).tag(sync=True)
    max = traitlets.Float(1).tag(sync=True)
    step = traitlets.Float(0.05).tag(sync=True)
    digits = traitlets.Int(2).tag(sync=True)
    unit = traitlets.Unicode("").tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)
