"""The label noise explorer: a slider moves, and the spoilt mask, its IoU and the picture follow."""

import re

import numpy as np
import pytest
from helpers import draw_discs

from devotools import InputError, add_label_noise, iou_score
from devotools.ui import Explorer, explore_label_noise

MASK = draw_discs(radius=9) > 0


@pytest.fixture
def explorer():
    return explore_label_noise(MASK)


def iou_in(message):
    return float(re.search(r"IoU of spoilt and clean mask (\d\.\d\d)", message).group(1))


def test_begins_with_the_masks_of_2020(explorer):
    assert isinstance(explorer, Explorer)
    values = {name: control.value for name, control in explorer.controls.items()}
    assert values == {"strength": 1.0, "seed": 0}
    expected = iou_score(MASK, add_label_noise(MASK, seed=0))
    assert iou_in(explorer.message) == round(expected, 2)
    assert explorer.message.startswith("strength 1.0: ")


def test_without_noise_the_masks_are_one(explorer):
    before = explorer.picture.value
    explorer.controls["strength"].value = 0
    assert explorer.message == (
        "strength 0.0: IoU of spoilt and clean mask 1.00, area 1.00 of the clean one"
    )
    assert explorer.picture.value != before


def test_more_noise_lowers_the_ceiling(explorer):
    ious = []
    for strength in (0.0, 0.1, 1.0):  # most of it comes at once: the JPEG's rim
        explorer.controls["strength"].value = strength
        ious.append(iou_in(explorer.message))
    assert ious[0] > ious[1] > ious[2]


def test_another_seed_is_another_hand(explorer):
    picture, message = explorer.picture.value, explorer.message
    explorer.controls["seed"].value = 1
    assert explorer.picture.value != picture
    assert explorer.message != message
    explorer.controls["seed"].value = 0
    assert explorer.message == message


def test_zeros_and_ones_are_a_mask():
    assert explore_label_noise(MASK.astype(np.uint8)).message == explore_label_noise(MASK).message


def test_picture_has_alternative_text(explorer):
    assert 'alt="Two panels. Left, the clean mask' in explorer.picture.value


def test_bad_input_is_refused_with_a_sentence():
    with pytest.raises(InputError, match=r"mask holds the values 0, 1, 2, 3; expected a mask"):
        explore_label_noise(draw_discs())
    with pytest.raises(InputError, match=r"mask has shape \(1, 64, 64\); expected two axes"):
        explore_label_noise(MASK[None])
    with pytest.raises(InputError, match=r"mask of shape \(64, 64\) holds no nucleus"):
        explore_label_noise(np.zeros_like(MASK))
