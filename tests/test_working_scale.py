"""The scale at which a picture is looked at, when its nuclei are not as large as usual."""

import cv2
import numpy as np
import pytest
from torch import nn

from devotools import (
    iou_score,
    label_nuclei,
    load_model,
    match_instances,
    predict_probability,
    synthesize_series,
)
from devotools.predict import predict_scaled
from devotools.working_scale import nucleus_size, sure_nuclei


class Blobs(nn.Module):
    """Sees bright discs, whatever their size: two scales always agree."""

    in_channels = classes = 1
    working_side, working_nucleus = 64, 16.0

    def forward(self, image):
        return 20 * (image - 0.5)


@pytest.fixture(scope="module")
def model():
    return load_model("nuclei")


@pytest.fixture(scope="module")
def section():
    """A clear section with a handful of nuclei: picture and labels, 256 x 256."""
    series = synthesize_series(nuclei=40, sections=5, seed=5)
    return series.images[2], series.labels[2]


def framed(image, side, fill):
    """The picture in the middle of a much larger, empty one."""
    out = np.full((side, side), fill, image.dtype)
    at = (side - len(image)) // 2
    out[at : at + len(image), at : at + len(image)] = image
    return out


def f1(model, image, labels, **options):
    return match_instances(labels, label_nuclei(predict_probability(model, image, **options))).f1


def test_a_usual_picture_is_looked_at_once(model, section, monkeypatch):
    looks = []
    monkeypatch.setattr(
        "devotools.working_scale.predict_stretched", lambda *a: looks.append(a) or np.zeros((9, 9))
    )
    ((_, factor),) = predict_scaled(model, [section[0]])
    assert factor == pytest.approx(model.working_side / 256)
    assert not looks


def test_a_small_embryo_in_a_large_frame_is_found(model, section):
    image, labels = section
    large = framed(image, 1280, float(np.median(image)))
    true = framed(labels, 1280, 0)
    usual = f1(model, image, labels)
    assert usual > 0.5
    assert f1(model, large, true, scale=model.working_side / 1280) < 0.5 * usual
    assert f1(model, large, true) >= 0.75 * usual


@pytest.mark.parametrize(("seed", "times"), [(5, 2.2), (8, 1.8)])
def test_an_embryo_that_fills_half_of_the_frame_is_enlarged(model, seed, times):
    """Some of its nuclei are seen, small as they are, and more where they have the usual size."""
    series = synthesize_series(nuclei=60, sections=5, seed=seed)
    side = 2 * round(128 * times)
    image = framed(series.images[2], side, float(np.median(series.images[2])))
    true = framed(series.labels[2], side, 0)
    squeezed = model.working_side / side
    ((_, factor),) = predict_scaled(model, [image])
    assert factor > 1.3 * squeezed
    assert f1(model, image, true) > f1(model, image, true, scale=squeezed) + 0.1


@pytest.mark.parametrize(("diameter", "enlarged"), [(8, 2), (11, 16 / 11), (13, 1), (30, 1)])
def test_nuclei_that_are_markedly_small_are_enlarged(diameter, enlarged):
    """To the size that the model knows; what is a little smaller, or larger, stays."""
    image = np.zeros((64, 64), np.float32)
    rows, columns = np.mgrid[:64, :64]
    for row, column in ((16, 16), (16, 48), (48, 16), (48, 48)):
        image[(rows - row) ** 2 + (columns - column) ** 2 <= (diameter / 2) ** 2] = 1
    ((_, factor),) = predict_scaled(Blobs(), [image])
    assert factor == pytest.approx(enlarged, rel=0.12)


@pytest.mark.parametrize("times", [0.5, 3])
def test_the_size_of_the_file_does_not_matter(model, section, times):
    image, labels = section
    side = round(256 * times)
    resized = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    true = cv2.resize(labels.astype(np.float32), (side, side), interpolation=cv2.INTER_NEAREST)
    found = label_nuclei(predict_probability(model, resized), min_area=5)
    whole = label_nuclei(predict_probability(model, image))
    assert iou_score(true > 0, found > 0) > iou_score(labels > 0, whole > 0) - 0.15


def test_an_empty_picture_stays_at_the_usual_scale(model):
    noise = np.random.default_rng(0).random((200, 300), np.float32)
    for image in (noise, np.zeros((200, 300), np.float32)):
        ((_, factor),) = predict_scaled(model, [image])
        assert factor == pytest.approx(model.working_side / 300)


def test_a_number_is_obeyed(model, section):
    ((_, factor),) = predict_scaled(model, [section[0]], scale=0.25)
    assert factor == 0.25


@pytest.mark.parametrize("diameter", [8, 16, 40])
def test_the_size_that_two_scales_agree_on(diameter):
    rows, columns = np.mgrid[:400, :400]
    image = np.zeros((400, 400), np.float32)
    for row in range(50, 400, 100):
        for column in range(50, 400, 100):
            image[(rows - row) ** 2 + (columns - column) ** 2 <= (diameter / 2) ** 2] = 1
    size = nucleus_size(Blobs(), [image], [0.25, 0.5, 1, 2, 4])
    assert size == pytest.approx(diameter, rel=0.15)
    assert nucleus_size(Blobs(), [np.zeros((64, 64), np.float32)], [0.5, 1, 2]) is None


def test_sure_nuclei_leave_out_what_is_doubtful_or_cut():
    probability = np.zeros((60, 60), np.float32)
    probability[5:15, 5:15] = 0.95
    probability[30:40, 30:40] = 0.6  # doubtful
    probability[0:9, 40:50] = 0.95  # cut by the border
    probability[50:52, 50:52] = 0.95  # too small
    assert sure_nuclei(probability, 10.0) == pytest.approx([2 * np.sqrt(100 / np.pi)])
    assert sure_nuclei(np.zeros((4, 4), np.float32), 10.0).size == 0


def test_nuclei_of_a_long_strip_are_found(model):
    """Its longest side says nothing about them: many sections side by side."""
    sections = [synthesize_series(nuclei=40, sections=5, seed=s) for s in range(5, 17)]
    strip = np.hstack([one.images[2] for one in sections])  # 12 times as wide as high
    true = np.hstack([one.labels[2] + 1000 * n for n, one in enumerate(sections)])
    true[true % 1000 == 0] = 0
    for image, labels in ((strip, true), (strip.T, true.T)):
        found = label_nuclei(predict_probability(model, np.ascontiguousarray(image)))
        assert match_instances(np.ascontiguousarray(labels), found).f1 > 0.6
