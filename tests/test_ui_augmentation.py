"""The explorer of augmentation: light changes the picture, geometry may part image and mask."""

import re

import numpy as np
import pytest

from devotools import InputError, dice_score
from devotools.ui import explore_augmentation
from devotools.ui.augmentation import _turn_and_zoom


@pytest.fixture
def mask():
    mask = np.zeros((64, 64), bool)
    mask[8:20, 8:20] = True  # in the upper left
    return mask


@pytest.fixture
def explorer(mask):
    explorer = explore_augmentation(np.where(mask, 0.8, 0.3), mask)
    explorer.controls["rotation"].value = 0
    return explorer


def dice_of(explorer):
    return float(re.search(r"mask: ([\d.]+)\.$", explorer.message)[1])


@pytest.mark.parametrize(
    ("name", "value"), [("rotation", 45), ("zoom", 1.5), ("brightness", 0.2), ("noise", 0.1)]
)
def test_each_slider_changes_the_picture_and_the_mask_goes_along(explorer, name, value):
    before = explorer.picture.value
    explorer.controls[name].value = value
    assert explorer.picture.value != before
    assert explorer.message == "The mask went along. Dice with the right mask: 1.00."


def test_only_geometry_parts_image_and_mask(explorer):
    explorer.controls["along"].value = False
    assert explorer.message == "The mask stayed behind. Dice with the right mask: 1.00."
    explorer.controls["brightness"].value = 0.3
    explorer.controls["noise"].value = 0.2
    assert dice_of(explorer) == 1
    explorer.controls["rotation"].value = 5
    assert 0.3 < dice_of(explorer) < 1
    explorer.controls["rotation"].value = 90
    assert dice_of(explorer) == 0
    explorer.controls["rotation"].value = 0
    explorer.controls["zoom"].value = 0.5
    assert dice_of(explorer) < 1


def test_same_settings_same_picture(explorer):
    explorer.controls["noise"].value = 0.1
    noisy = explorer.picture.value
    explorer.controls["noise"].value = 0.2
    explorer.controls["noise"].value = 0.1
    assert explorer.picture.value == noisy


def test_turns_as_numpy_does(mask):
    """A quarter turn moves pixels only, so another library must agree to the pixel."""
    picture = mask.astype(np.uint8)
    assert np.array_equal(_turn_and_zoom(picture, 90, 1, 0), np.rot90(picture))
    assert np.array_equal(_turn_and_zoom(picture, 180, 1, 0), picture[::-1, ::-1])


def test_mask_stays_a_mask_and_follows_the_image(mask):
    picture = np.random.default_rng(0).random((64, 64)).astype(np.float32) * 0.2 + 0.8 * mask
    moved = _turn_and_zoom(picture, 30, 1.3, 1)
    right = _turn_and_zoom(mask.astype(np.uint8), 30, 1.3, 0)
    assert set(np.unique(right)) == {0, 1}
    assert dice_score(right, moved > 0.5) > 0.95


def test_takes_masks_of_numbers_and_pictures_of_bytes(mask):
    explorer = explore_augmentation(np.where(mask, 200, 80).astype(np.uint8), mask.astype(int))
    assert dice_of(explorer) == 1
    assert 'alt="The section before and after' in explorer.picture.value


def test_bad_input_is_refused(mask):
    image = np.where(mask, 0.8, 0.3)
    with pytest.raises(InputError, match=r"image has shape .* and mask has shape \(32, 64\)"):
        explore_augmentation(image, mask[:32])
    with pytest.raises(InputError, match=r"expected a mask of True and False"):
        explore_augmentation(image, mask * 7)
    with pytest.raises(InputError, match=r"image has shape \(2, 64, 64\)"):
        explore_augmentation(np.stack([image, image]), mask)
