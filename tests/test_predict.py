"""From picture to labels: the picture's own grid, the model's mode, nuclei that touch."""

import itertools

import numpy as np
import pytest
import torch
from helpers import Bright, draw_discs, picture_of
from skimage.draw import ellipse
from skimage.measure import label
from torch import nn

from devotools._validate import InputError
from devotools.images import stretch_contrast
from devotools.metrics import match_instances
from devotools.model import ResNet18FPN
from devotools.predict import label_nuclei, predict_probabilities, predict_probability


class Watching(Bright):
    """Bright, and it remembers what it was shown and in which mode."""

    working_nucleus = None  # so it does not look again at another scale

    def __init__(self, working_side=None):
        super().__init__()
        self.working_side = working_side
        self.norm = nn.BatchNorm2d(1)
        self.seen, self.modes = [], []

    def forward(self, image):
        self.seen.append(tuple(image.shape))
        self.modes.append(self.training)
        return super().forward(image)


def pictures(*shapes):
    rng = np.random.default_rng(0)
    return [rng.random(shape, np.float32) for shape in shapes]


# --- probability


@pytest.mark.parametrize("scale", ["auto", 1, 0.37, 2.5, np.float32(0.5)])
@pytest.mark.parametrize("shape", [(64, 64), (33, 65), (1, 1), (7, 300), (300, 1)])
def test_the_answer_lies_in_the_pictures_own_grid(shape, scale):
    image = np.random.default_rng(0).random(shape)
    probability = predict_probability(Watching(working_side=48), image, scale=scale)
    assert probability.shape == shape
    assert probability.dtype == np.float32
    assert 0 <= probability.min() <= probability.max() <= 1


@pytest.mark.parametrize(
    ("scale", "seen"), [("auto", (1, 1, 24, 48)), (1, (1, 1, 60, 120)), (0.5, (1, 1, 30, 60))]
)
def test_scale_says_what_the_network_sees(scale, seen):
    model = Watching(working_side=48)
    predict_probability(model, *pictures((60, 120)), scale=scale)
    assert model.seen == [seen]


def test_auto_without_a_working_side_leaves_the_pixels():
    model = Watching()
    predict_probability(model, *pictures((20, 30)))
    assert model.seen == [(1, 1, 20, 30)]


def test_the_answer_lies_where_the_nucleus_is():
    labels = draw_discs([(30, 70)], 14, (96, 160))
    for side in (48, 96, 320):
        probability = predict_probability(Watching(side), picture_of(labels))
        rows, columns = np.nonzero(probability >= 0.5)
        assert rows.mean() == pytest.approx(30, abs=0.6)
        assert columns.mean() == pytest.approx(70, abs=0.6)


@pytest.mark.parametrize("change", [lambda x: x, lambda x: x * 3000 - 7, lambda x: x / 4 + 0.5])
def test_brightness_and_range_do_not_matter(change):
    image = picture_of(draw_discs())
    expected = torch.sigmoid(20 * (torch.from_numpy(stretch_contrast(image)) - 0.5)).numpy()
    answer = predict_probability(Bright(), change(image).astype(np.float32))
    np.testing.assert_allclose(answer, expected, atol=1e-4)


def test_whole_numbers_and_their_floats_agree():
    image = np.random.default_rng(0).integers(0, 256, (20, 20), np.uint8)
    np.testing.assert_allclose(
        predict_probability(Bright(), image), predict_probability(Bright(), image / 255), atol=1e-5
    )


def test_a_model_that_answers_with_nan_is_named():
    broken = ResNet18FPN()
    torch.nn.init.constant_(broken.head[-1].weight, float("nan"))
    with pytest.raises(InputError, match=r"model answers with NaN; .* train it again"):
        predict_probability(broken, np.random.default_rng(0).random((64, 64)))


def test_flat_pictures_have_an_answer():
    for value in (0, 0.5, 1, -3, 1e30):
        answer = predict_probability(Bright(), np.full((9, 9), value))
        assert np.isfinite(answer).all()
        assert (answer < 0.5).all()


@pytest.mark.parametrize("scale", ["Auto", "2", 0, -1, np.nan, np.inf, None, True, [1]])
def test_other_scales_are_refused(scale):
    with pytest.raises(InputError, match=r"scale is .*; expected .*a number above 0"):
        predict_probability(Bright(), *pictures((8, 8)), scale=scale)


def test_a_scale_that_would_fill_the_memory_is_refused():
    with pytest.raises(InputError, match=r"64 x 64 pixels, enlarged 1e\+06 times.* smaller scale"):
        predict_probability(Bright(), *pictures((64, 64)), scale=1e6)


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.zeros((4, 4, 3)), "expected two axes"),
        (np.zeros(4), "expected two axes"),
        (np.zeros((0, 4)), "no pixel"),
        (np.full((4, 4), np.nan), "16 values that are NaN"),
        (np.array([["a"]]), "expected numbers"),
        (np.zeros((4, 4), complex), "expected numbers"),
    ],
)
def test_other_pictures_are_refused(image, sentence):
    with pytest.raises(InputError, match=sentence):
        predict_probability(Bright(), image)


def test_a_network_for_colour_is_refused():
    model = Bright()
    model.in_channels = 3
    with pytest.raises(InputError, match="takes 3 channels and gives 1 classes; expected one"):
        predict_probability(model, *pictures((8, 8)))


# --- the model's mode


@pytest.mark.parametrize("training", [True, False])
def test_each_part_of_the_model_comes_back_into_its_mode(training):
    model = Watching().train(training)
    model.norm.eval()  # frozen by hand
    predict_probability(model, *pictures((8, 8)))
    assert model.modes == [False]
    assert model.training is training
    assert model.norm.training is False


def test_the_mode_comes_back_when_the_model_fails():
    class Failing(Bright):
        def forward(self, image):
            raise RuntimeError("out of order")

    model = Failing().train()
    with pytest.raises(RuntimeError, match="out of order"):
        predict_probability(model, *pictures((8, 8)))
    assert model.training


def test_the_mode_is_back_while_a_generator_waits():
    model = Watching().train()
    answers = predict_probabilities(model, pictures((8, 8), (8, 8), (9, 9)), batch_size=1)
    assert model.training
    next(answers)
    assert model.training
    answers.close()
    assert model.training


# --- many pictures


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_many_are_the_same_as_one_by_one_and_in_order(batch_size):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1)).eval()
    model.working_side = 24
    images = pictures((20, 20), (20, 20), (30, 30), (20, 31), (20, 31), (20, 20), (1, 1))
    many = list(predict_probabilities(model, iter(images), batch_size=batch_size))
    assert len(many) == len(images)
    for image, answer in zip(images, many, strict=True):
        np.testing.assert_allclose(answer, predict_probability(model, image), atol=1e-5)


def test_neighbours_of_one_size_go_together():
    model = Watching()
    list(predict_probabilities(model, pictures(*[(8, 8)] * 5, (9, 9), (8, 8)), batch_size=3))
    assert [shape[0] for shape in model.seen] == [3, 2, 1, 1]


def test_pictures_are_taken_as_they_are_needed():
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield np.zeros((8, 8))

    answers = predict_probabilities(Bright(), endless(), batch_size=4)
    assert not taken
    next(answers)
    assert len(taken) <= 5
    assert list(predict_probabilities(Bright(), [])) == []


def test_a_batch_size_of_nothing_is_refused():
    with pytest.raises(InputError, match="batch_size is 0; expected a whole number"):
        next(predict_probabilities(Bright(), pictures((8, 8)), batch_size=0))


# --- labels


def sure(labels):
    return (labels > 0).astype(np.float32)


@pytest.mark.parametrize(
    ("radius", "distance"), [(5, 2.0), *itertools.product([8, 11, 15, 30], [1.6, 1.8, 2.0])]
)
def test_touching_discs_are_parted(radius, distance):
    size = 7 * radius
    apart = int(distance * radius)
    centres = [(size // 2, 2 * radius), (size // 2, 2 * radius + apart)]
    true = draw_discs(centres, radius, (size, size))
    labels = label_nuclei(sure(true))
    assert labels.max() == 2
    matches = match_instances(true, labels, 0.8)
    assert matches.tp == 2


def test_discs_of_different_size_and_a_row_of_three_are_parted():
    size = (80, 120)
    uneven = sure(draw_discs([(40, 30)], 20, size) + draw_discs([(40, 61)], 11, size))
    assert label_nuclei(np.clip(uneven, 0, 1)).max() == 2
    row = draw_discs([(40, 25), (40, 47), (40, 69)], 12, size)
    assert label_nuclei(sure(row)).max() == 3


@pytest.mark.parametrize("radius", [3, 4, 7, 12.5, 25, 40])
def test_one_disc_stays_one(radius):
    assert label_nuclei(sure(draw_discs([(45, 45)], radius, (91, 91)))).max() == 1


@pytest.mark.parametrize("angle", [0, 0.3, 0.8, 1.5])
@pytest.mark.parametrize("long", [15, 30, 45])
def test_one_ellipse_stays_one(long, angle):
    picture = np.zeros((120, 120))
    picture[ellipse(60, 60, 12, long, picture.shape, angle)] = 1
    assert label_nuclei(picture).max() == 1


@pytest.mark.parametrize("radius", [8, 14, 20])
@pytest.mark.parametrize("distance", [0.6, 0.9, 1.1])
def test_a_slight_waist_stays_one(radius, distance):
    # Two middles of equal height: neither is the higher one, and still there is one nucleus.
    peanut = sure(draw_discs([(60, 40), (60, 40 + round(distance * radius))], radius, (120, 120)))
    assert label_nuclei(peanut).max() == 1
    assert label_nuclei(peanut.T).max() == 1


def test_thin_pieces_that_meet_at_a_corner_are_two():
    picture = np.zeros((6, 6))
    picture[0, 0] = picture[1, 1] = picture[1, 2] = 1
    assert np.bincount(label_nuclei(picture, min_area=1).ravel())[1:].tolist() == [1, 2]


def test_a_ragged_outline_stays_one():
    ragged = sure(draw_discs([(40, 40)], 20, (80, 80)))
    ragged[np.random.default_rng(0).random(ragged.shape) < 0.02] = 0
    labels = label_nuclei(ragged)
    assert np.bincount(labels.ravel())[1:].max() > 0.5 * ragged.sum()


def test_separate_blobs_are_what_scikit_image_labels():
    rng = np.random.default_rng(0)
    for _ in range(5):
        centres = [(r, c) for r in range(15, 120, 25) for c in range(15, 120, 25)]
        true = np.zeros((130, 130))
        for row, column in centres:
            if rng.random() < 0.7:
                true[ellipse(row, column, *rng.uniform(4, 9, 2), true.shape, rng.random())] = 1
        expected = label(true, connectivity=1)
        matches = match_instances(expected, label_nuclei(true), 1.0)
        assert (matches.tp, matches.fp, matches.fn) == (expected.max(), 0, 0)


def test_touching_is_by_a_side_not_by_a_corner():
    picture = np.zeros((8, 8))
    picture[:4, :4] = picture[4:, 4:] = 1
    assert label_nuclei(picture, min_area=1).max() == 2
    picture = np.zeros((8, 8))
    picture[:4, :4] = picture[4:, :4] = 1
    assert label_nuclei(picture, min_area=1).max() == 1


def test_parting_loses_no_pixel_and_ids_are_consecutive():
    picture = sure(draw_discs([(20, 20), (20, 33), (50, 50), (5, 58)], 8))
    labels = label_nuclei(picture, min_area=0)
    np.testing.assert_array_equal(labels > 0, picture > 0)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))


def test_small_ones_are_dropped_and_the_rest_renumbered():
    picture = np.zeros((10, 40))
    picture[0, :19] = picture[4:8, :5] = picture[4:8, 10:20] = 1  # 19, 20 and 40 pixels
    assert np.bincount(label_nuclei(picture).ravel())[1:].tolist() == [20, 40]
    assert np.bincount(label_nuclei(picture, min_area=21).ravel())[1:].tolist() == [40]
    assert label_nuclei(picture, min_area=19).max() == 3
    assert label_nuclei(picture, min_area=1000).max() == 0


def test_the_threshold_is_inclusive():
    picture = np.array([[0.4999, 0.5, 0.7, 0.0]])
    assert label_nuclei(picture, min_area=1).tolist() == [[0, 1, 1, 0]]
    assert label_nuclei(picture, min_area=1, threshold=0.7).tolist() == [[0, 0, 1, 0]]
    assert label_nuclei(picture, min_area=1, threshold=0).tolist() == [[1, 1, 1, 0]]


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (64, 64)])
@pytest.mark.parametrize("value", [0, 1])
def test_nothing_and_everything(shape, value):
    labels = label_nuclei(np.full(shape, value, np.float32), min_area=1)
    assert labels.shape == shape
    assert labels.dtype == np.int32
    assert (labels == value).all()


@pytest.mark.parametrize(
    ("probability", "options", "sentence"),
    [
        (np.array([[-4.0, 3.0]]), {}, r"runs from -4 to 3; .* If these are logits"),
        (np.array([[0.2, 1.01]]), {}, r"runs from 0.2 to 1.01; .* numpy.clip"),
        (np.array([[0, 255]], np.uint8), {}, "runs from 0 to 255"),
        (np.array([[np.nan]]), {}, "NaN"),
        (np.zeros((1, 1, 4, 4)), {}, "two axes"),
        (np.zeros((4, 4)), {"threshold": 1.1}, r"threshold is 1\.1; expected a number from 0 to 1"),
        (np.zeros((4, 4)), {"threshold": "0.5"}, "threshold is '0.5'"),
        (np.zeros((4, 4)), {"min_area": -1}, "min_area is -1; expected a whole number"),
        (np.zeros((4, 4)), {"min_area": 2.5}, r"min_area is 2\.5"),
    ],
)
def test_bad_arguments_are_refused(probability, options, sentence):
    with pytest.raises(InputError, match=sentence):
        label_nuclei(probability, **options)


def test_a_nucleus_has_no_hole():
    probability = np.zeros((20, 30))
    probability[4:14, 4:14] = 0.9
    probability[8:10, 8:10] = 0.1  # a clump of dark chromatin
    labels = label_nuclei(probability)
    assert np.array_equal(labels > 0, np.pad(np.ones((10, 10), bool), ((4, 6), (4, 16))))


def test_a_gap_between_nuclei_is_no_hole():
    probability = np.zeros((40, 40))
    rows, columns = np.indices((40, 40))
    for row, column in ((10, 14), (10, 26), (22, 14), (22, 26)):  # four discs that touch
        probability[(rows - row) ** 2 + (columns - column) ** 2 <= 37] = 0.9
    assert probability[16, 20] == 0
    labels = label_nuclei(probability)
    assert labels.max() == 4
    assert labels[16, 20] == 0


def test_large_pictures_go_through_in_smaller_batches():
    seen = []

    class Watching(Bright):
        def forward(self, image):
            seen.append(tuple(image.shape))
            return super().forward(image)

    pictures = [np.full((512, 512), 0.5, np.float32)] * 9
    assert len(list(predict_probabilities(Watching(), pictures, scale=1))) == 9
    assert seen == [(4, 1, 512, 512), (4, 1, 512, 512), (1, 1, 512, 512)]
    seen.clear()
    small = [np.full((64, 64), 0.5, np.float32)] * 9
    assert len(list(predict_probabilities(Watching(), small, scale=1))) == 9
    assert seen == [(8, 1, 64, 64), (1, 1, 64, 64)]


def test_rounding_just_outside_is_no_logit():
    probability = np.array([[1 + 1e-7, -1e-9, 0.5]])
    assert label_nuclei(probability, min_area=0).tolist() == [[1, 0, 2]]
