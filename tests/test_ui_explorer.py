"""Explorer: controls that draw a picture again, say what it shows, and store no state."""

import base64
import io
import re
from pathlib import Path

import ipywidgets as widgets
import matplotlib.pyplot as plt
import pytest
from PIL import Image

from devotools import ui
from devotools.ui import Explorer


def draw(figure, height, colour):
    """A bar as high as the slider says."""
    figure.subplots().bar([0], [height], color=colour)
    return f"{height} high" if height else None


@pytest.fixture
def explorer():
    controls = {
        "height": widgets.IntSlider(3, min=0, max=9, description="height"),
        "colour": widgets.Dropdown(options=["black", "grey"], description="colour"),
    }
    return Explorer(draw, controls, alt="A bar, as high as the slider says.", size=(4, 2))


def picture_in(explorer):
    """The PNG in the explorer's HTML."""
    data = re.search(r'src="data:image/png;base64,([^"]+)"', explorer.picture.value)[1]
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_is_drawn_at_once_at_its_size(explorer):
    assert explorer.message == "3 high"
    assert picture_in(explorer).size == (360, 180)


def test_each_control_changes_picture_and_message(explorer):
    seen = [explorer.picture.value]
    explorer.controls["height"].value = 5
    seen.append(explorer.picture.value)
    assert explorer.message == "5 high"
    explorer.controls["colour"].value = "grey"
    seen.append(explorer.picture.value)
    assert len(set(seen)) == 3
    # The same values give the same picture.
    explorer.controls["colour"].value = "black"
    assert explorer.picture.value == seen[1]


def test_nothing_to_say_is_an_empty_message(explorer):
    explorer.controls["height"].value = 0
    assert explorer.message == ""


def test_controls_stand_above_the_picture_and_the_message_below(explorer):
    *controls, picture, text = explorer.children
    assert controls == list(explorer.controls.values())
    assert picture is explorer.picture
    assert text.value == explorer.message


def test_picture_has_alternative_text_before_and_after_a_change(explorer):
    for height in (3, 4):
        explorer.controls["height"].value = height
        assert 'alt="A bar, as high as the slider says."' in explorer.picture.value


def test_alternative_text_is_escaped():
    explorer = Explorer(lambda figure: None, {}, alt='p < 1 & "so on" <script>')
    assert 'alt="p &lt; 1 &amp; &quot;so on&quot; &lt;script&gt;"' in explorer.picture.value
    assert "<script>" not in explorer.picture.value


def test_text_form_never_changes(explorer):
    """It is stored in the notebooks and compared: no address, no id, no value of a slider."""
    before = repr(explorer)
    assert before == "Explorer (height, colour): move the sliders in a running notebook"
    explorer.controls["height"].value = 7
    assert repr(explorer) == before
    # ipywidgets cuts a longer text form off.
    assert len(before) < 110
    assert explorer._repr_mimebundle_()["text/plain"] == before


def test_no_figure_is_left_to_pyplot(explorer):
    """Else the notebook would show the picture twice, and keep each one in memory."""
    explorer.controls["height"].value = 8
    assert plt.get_fignums() == []


def test_error_while_drawing_is_not_swallowed():
    def fail(figure, height):
        if height:
            raise ValueError("no such height")

    explorer = Explorer(fail, {"height": widgets.IntSlider(0)}, alt="Nothing.")
    with pytest.raises(ValueError, match="no such height"):
        explorer.controls["height"].value = 1


@pytest.mark.parametrize("name", [name for name in ui.__all__ if name != "Explorer"])
def test_each_explorer_of_the_package_has_tests_of_its_own(name):
    others = set(Path(__file__).parent.glob("test_ui*.py")) - {Path(__file__)}
    assert any(name in path.read_text(encoding="utf-8") for path in others)
