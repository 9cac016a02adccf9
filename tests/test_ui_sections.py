"""The explorer of a series: the slider moves through the embryo, and the count follows."""

import numpy as np
import pytest

from devotools import InputError, synthesize_series
from devotools.ui import explore_series


@pytest.fixture(scope="module")
def series():
    return synthesize_series(nuclei=6, sections=5, size=64, seed=1)


def test_message_counts_the_nuclei_of_each_section(series):
    explorer = explore_series(series)
    pictures = set()
    for number, labels in enumerate(series.labels):
        explorer.controls["section"].value = number
        nuclei = len(np.unique(labels[labels > 0]))
        words = {0: "no nuclei are cut", 1: "1 nucleus is cut"}.get(
            nuclei, f"{nuclei} nuclei are cut"
        )
        assert explorer.message.endswith(f": {words}.")
        assert explorer.message.startswith(f"Section {number} (they are numbered 0 to 4), ")
        assert f"{number * series.section_thickness_um:.1f} µm" in explorer.message
        pictures.add(explorer.picture.value)
    assert len(pictures) == 5


def test_opens_in_the_middle_and_covers_all_sections(series):
    slider = explore_series(series).controls["section"]
    assert (slider.min, slider.value, slider.max) == (0, 2, 4)


def test_outlines_can_be_taken_away(series):
    explorer = explore_series(series)
    with_outlines, message = explorer.picture.value, explorer.message
    explorer.controls["outlines"].value = False
    assert explorer.picture.value != with_outlines
    assert explorer.message == message
    explorer.controls["outlines"].value = True
    assert explorer.picture.value == with_outlines


def test_picture_has_alternative_text(series):
    assert 'alt="Left, the section in grey' in explore_series(series).picture.value


def test_one_section_is_enough():
    explorer = explore_series(synthesize_series(nuclei=2, sections=1, size=64, seed=3))
    assert explorer.message.startswith("Section 0 (they are numbered 0 to 0), 0.0 µm")


def test_anything_but_a_series_is_refused(series):
    with pytest.raises(InputError, match=r"is a ndarray; expected a Series.*synthesize_series"):
        explore_series(series.images)
