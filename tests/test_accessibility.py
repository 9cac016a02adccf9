"""Controls of the lessons: each has a name that is read aloud, and answers to the keyboard."""

import ipywidgets as widgets
import numpy as np
import pytest
from helpers import draw_discs, picture_of

import devotools as dt
from devotools import ui

LABELS = draw_discs()
IMAGE, MASK = picture_of(LABELS), LABELS > 0
EXPLORERS = {
    "series": lambda: ui.explore_series(dt.synthesize_series(sections=2, size=64, seed=1)),
    "augmentation": lambda: ui.explore_augmentation(IMAGE, MASK),
    "threshold": lambda: ui.explore_threshold(IMAGE, np.float32(MASK)),
    "label_noise": lambda: ui.explore_label_noise(MASK),
}
# What JupyterLab draws as plain HTML inputs: arrow keys, space and Tab work in them.
KEYBOARD = (
    widgets.Checkbox,
    widgets.Dropdown,
    widgets.FloatSlider,
    widgets.IntSlider,
    widgets.ToggleButton,
    widgets.Button,
    widgets.RadioButtons,
    widgets.SelectionSlider,
)


def parts_of(widget):
    """A widget and all that stand in it."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from parts_of(child)


def controls_of(explorer):
    """What a reader can move."""
    shown_only = (widgets.HTML, widgets.Label, widgets.Image, widgets.Output, widgets.Box)
    return [part for part in parts_of(explorer) if not isinstance(part, shown_only)]


def test_every_explorer_is_looked_at():
    assert {f"explore_{name}" for name in EXPLORERS} == {
        name for name in dir(ui) if name.startswith("explore_")
    }


@pytest.mark.parametrize("make", EXPLORERS.values(), ids=list(EXPLORERS))
def test_controls_have_names_and_follow_the_keyboard(make):
    controls = controls_of(make())
    assert controls
    names = [control.description for control in controls]
    assert all(len(name) > 2 for name in names)
    assert len(set(names)) == len(names), "two controls of one name"
    for control in controls:
        assert isinstance(control, KEYBOARD), type(control).__name__
        assert not control.disabled
