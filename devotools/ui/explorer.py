"""A picture and the sliders that change it: what every explorer of a lesson is made of."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import ipywidgets as widgets
from matplotlib.figure import Figure

SLIDER = {  # how a slider of an explorer looks: redraw when it is let go, room for its name
    "continuous_update": False,
    "style": {"description_width": "9em"},
    "layout": {"width": "28em"},
}


class Explorer(widgets.VBox):
    """Controls above a picture; moving one draws the picture again.

    ``draw(figure, **values)`` draws on an empty matplotlib ``Figure`` with the controls' values by
    name, and may return a sentence that is shown under the picture. ``alt`` says what the picture
    shows, for those who cannot see it. Works in JupyterLab and in Voila alike. Outside a running
    kernel (nbviewer) only a line of text is left: put a figure beside it.

    Attributes
    ----------
    controls : dict
        The widgets by name; change ``controls[name].value`` and the picture follows.
    message : str
        The sentence under the picture.
    """

    def __init__(
        self,
        draw: Callable[..., str | None],
        controls: Mapping[str, widgets.Widget],
        *,
        alt: str,
        size: tuple[float, float] = (6.0, 3.2),
    ):
        self._draw, self._size, self._alt = draw, size, escape(alt)
        self.controls = dict(controls)
        self.picture = widgets.HTML()  # an Image widget has no alternative text
        self._text = widgets.Label()
        for control in self.controls.values():
            control.observe(self._refresh, "value")
        super().__init__([*self.controls.values(), self.picture, self._text])
        self._refresh()

    @property
    def message(self) -> str:
        """The sentence under the picture."""
        return self._text.value

    def _refresh(self, _change: Any = None) -> None:
        figure = Figure(figsize=self._size, layout="constrained")
        values = {name: control.value for name, control in self.controls.items()}
        text = self._draw(figure, **values)
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=90)
        data = b64encode(png.getvalue()).decode()
        self.picture.value = (
            f'<img style="max-width: 100%" alt="{self._alt}" src="data:image/png;base64,{data}">'
        )
        self._text.value = text or ""

    def __repr__(self) -> str:
        names = ", ".join(self.controls)
        return f"Explorer ({names}): move the sliders in a running notebook"
