"""The threshold explorer: a slider moves, and what is found, its score and the picture follow."""

import numpy as np
import pytest
from helpers import CENTRES, draw_discs, picture_of

from devotools import InputError
from devotools.ui import Explorer, explore_threshold

TRUE = draw_discs()  # three nuclei


@pytest.fixture
def probability():
    """Two nuclei found with certainty, the third with 0.4, and a small false one of 16 pixels."""
    found = np.zeros(TRUE.shape, np.float32)
    found[TRUE > 0] = 0.9
    found[TRUE == 3] = 0.4
    found[56:60, 4:8] = 0.7
    return found


@pytest.fixture
def explorer(probability):
    return explore_threshold(picture_of(TRUE), probability, true=TRUE)


def test_begins_where_the_package_stands(explorer):
    assert isinstance(explorer, Explorer)
    values = {name: control.value for name, control in explorer.controls.items()}
    assert values == {"threshold": 0.5, "min_area": 20}
    assert explorer.message == (
        "2 nuclei at threshold 0.50, smallest area 20 pixels: precision 1.00, recall 0.67, F1 0.80"
    )


def test_a_lower_threshold_finds_the_faint_one(explorer):
    before = explorer.picture.value
    explorer.controls["threshold"].value = 0.35
    assert explorer.message.startswith("3 nuclei at threshold 0.35")
    assert explorer.message.endswith("precision 1.00, recall 1.00, F1 1.00")
    assert explorer.picture.value != before


def test_a_smaller_area_lets_the_false_one_in(explorer):
    before = explorer.picture.value
    explorer.controls["min_area"].value = 0
    assert explorer.message.startswith("3 nuclei")
    assert explorer.message.endswith("precision 0.67, recall 0.67, F1 0.67")
    assert explorer.picture.value != before
    explorer.controls["threshold"].value = 0.95
    assert explorer.message.startswith("0 nuclei at threshold 0.95, smallest area 0 pixels")


def test_without_truth_it_counts_only(probability):
    explorer = explore_threshold(picture_of(TRUE), probability)
    explorer.controls["min_area"].value = 120  # the discs have 113 pixels
    assert explorer.message == "0 nuclei at threshold 0.50, smallest area 120 pixels"
    one = draw_discs(CENTRES[:1])
    assert explore_threshold(picture_of(one), (one > 0) * 0.9).message.startswith("1 nucleus at")


def test_picture_has_alternative_text(explorer):
    assert 'alt="Two panels. Left, the probability of nucleus' in explorer.picture.value


def test_bad_input_is_refused_with_a_sentence(probability):
    image = picture_of(TRUE)
    with pytest.raises(InputError, match=r"image has .* and probability has shape \(63, 64\)"):
        explore_threshold(image, probability[1:])
    with pytest.raises(InputError, match=r"probability runs from -20 to 16.*torch\.sigmoid"):
        explore_threshold(image, 40 * probability - 20)
    with pytest.raises(InputError, match=r"image .* and true has shape \(64, 32\)"):
        explore_threshold(image, probability, true=TRUE[:, ::2])
    with pytest.raises(InputError, match="true has dtype bool; expected whole numbers"):
        explore_threshold(image, probability, true=TRUE > 0)
    with pytest.raises(InputError, match="expected two axes"):
        explore_threshold(image[None], probability)
