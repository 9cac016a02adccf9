"""Augmentation: image and mask move together, masks stay binary, seeds decide."""

import numpy as np
import pytest
from helpers import draw_discs

from devotools._validate import InputError
from devotools.augment import eval_transform, train_transform

LABELS = draw_discs([(20, 20), (70, 30), (40, 75), (85, 85)], 11, (97, 110))
MASK = (LABELS > 0).astype(np.uint8)
IMAGE = MASK.astype(np.float32) * 0.8 + 0.1


def iou(first, second):
    return (first & second).sum() / max(1, (first | second).sum())


def test_image_and_mask_get_the_same_geometry():
    # The picture is its own mask, so what is bright afterwards must be what the mask says. Padding
    # is white and therefore left out; light and blur move an outline by a pixel at most.
    transform = train_transform(96, seed=0)
    scores = []
    for _ in range(60):
        out = transform(image=0.9 - IMAGE * 0.8, mask=MASK)  # nuclei dark: padding is not one
        halfway = (out["image"].min() + out["image"].max()) / 2
        dark = out["image"] < halfway
        if out["mask"].sum() > 200:
            scores.append(iou(dark, out["mask"] > 0))
    assert len(scores) > 40
    assert np.median(scores) > 0.95
    assert min(scores) > 0.8


@pytest.mark.parametrize("size", [60, 80, 130, 175])
def test_resizing_does_not_shift_the_mask(size):
    out = eval_transform(size)(image=0.9 - IMAGE * 0.8, mask=MASK)
    centre = np.argwhere(out["image"] < 0.5).mean(axis=0)
    np.testing.assert_allclose(centre, np.argwhere(out["mask"]).mean(axis=0), atol=0.3)


def test_geometry_moves_and_is_not_the_same_each_time():
    transform = train_transform(64, seed=0)
    masks = [transform(image=IMAGE, mask=MASK)["mask"] for _ in range(8)]
    assert len({mask.tobytes() for mask in masks}) == 8


def test_zoom_says_how_large_the_picture_becomes():
    image = np.full((64, 64), 0.5, np.float32)  # what is padded is white
    for zoom, filled in (([0.5], 0.25), ([1.0], 1.0)):
        transform = train_transform(64, seed=3, zoom=zoom)
        # Most sections are neither bent nor turned; the median is of those.
        shares = [
            (transform(image=image, mask=MASK[:64, :64])["image"] < 0.95).mean() for _ in range(31)
        ]
        assert np.median(shares) == pytest.approx(filled, abs=0.02)
    for zoom in ((0, 1), (-1.0, 2.0), ("a", 1)):
        with pytest.raises(InputError, match=r"zoom is .* above 0"):
            train_transform(64, zoom=zoom)
    with pytest.raises(InputError, match="zoom is empty"):
        train_transform(64, zoom=())


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_masks_stay_binary_and_images_in_range(dtype):
    transform = train_transform(48, seed=1)
    for _ in range(60):
        out = transform(image=IMAGE, mask=MASK.astype(dtype))
        assert set(np.unique(out["mask"])) <= {0, 1}
        assert out["mask"].dtype == dtype
        assert out["image"].dtype == np.float32
        assert 0 <= out["image"].min() <= out["image"].max() <= 1


def test_light_reaches_the_image_alone():
    transform = train_transform(64, seed=2)
    seen = [transform(image=np.full_like(IMAGE, 0.5), mask=MASK) for _ in range(20)]
    assert len({round(float(out["image"].mean()), 3) for out in seen}) > 10


def sequence(seed, length=6):
    transform = train_transform(40, seed=seed)
    outs = [transform(image=IMAGE, mask=MASK) for _ in range(length)]
    return [(out["image"].tobytes(), out["mask"].tobytes()) for out in outs]


def test_the_seed_decides():
    assert sequence(5) == sequence(5)
    assert sequence(5) != sequence(6)
    assert sequence(None) != sequence(None)
    assert len(set(sequence(5))) == 6


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (200, 1), (33, 65), (64, 64), (300, 17)])
@pytest.mark.parametrize("size", [8, 33, 64])
def test_any_picture_becomes_a_square(shape, size):
    image = np.random.default_rng(0).random(shape, np.float32)
    mask = np.ones(shape, np.uint8)
    transform = train_transform(size, seed=0)
    for out in (*(transform(image=image, mask=mask) for _ in range(5)),):
        assert out["image"].shape == out["mask"].shape == (size, size)
    out = eval_transform(size)(image=image, mask=mask)
    assert out["image"].shape == out["mask"].shape == (size, size)


def test_eval_transform_keeps_the_whole_picture_and_pads_with_resin():
    transform = eval_transform(96)
    image, mask = np.full((96, 48), 0.25, np.float32), np.ones((96, 48), np.uint8)
    first, again = transform(image=image, mask=mask), transform(image=image, mask=mask)
    np.testing.assert_array_equal(first["image"], again["image"])
    np.testing.assert_array_equal(first["image"][:, 24:72], image)
    np.testing.assert_array_equal(first["mask"][:, 24:72], mask)
    assert (first["image"][:, :24] == 1).all()
    assert first["mask"].sum() == mask.sum()


@pytest.mark.parametrize("size", [0, -3, 2.5, "64", None, True])
def test_a_size_that_is_none_is_refused(size):
    for make in (train_transform, eval_transform):
        with pytest.raises(InputError, match=r"size is .*expected a whole number"):
            make(size)


def test_a_seed_that_is_none_is_refused():
    with pytest.raises(InputError, match="seed is -1"):
        train_transform(64, seed=-1)


@pytest.mark.parametrize(
    ("image", "mask", "sentence"),
    [
        (IMAGE, MASK > 0, r"mask has dtype bool; .* mask\.astype\(numpy\.uint8\)"),
        (IMAGE.astype(float), MASK, r"image has dtype float64; .* image\.astype\(numpy\.float32\)"),
        (IMAGE.astype(">f4"), MASK, "image has dtype >f4"),
    ],
)
def test_what_would_fail_now_and_then_is_refused_at_once(image, mask, sentence):
    for transform in (train_transform(64, seed=0), eval_transform(64)):
        with pytest.raises(InputError, match=sentence):
            transform(image=image, mask=mask)
