"""Pictures of pictures: Axes in, Axes out, and every nucleus outlined."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from helpers import draw_discs, picture_of

from devotools._validate import InputError
from devotools.plots import (
    draw_overlay,
    plot_history,
    show_batch,
    show_image,
    show_overlay,
)
from devotools.train import History

LABELS = draw_discs()
IMAGE = picture_of(LABELS)


def test_given_axes_are_used_and_no_figure_is_made():
    figure, (left, right) = plt.subplots(1, 2)
    assert show_image(IMAGE, left, title="grey") is left
    assert show_overlay(IMAGE, LABELS, right, true=LABELS > 0) is right
    assert plt.get_fignums() == [figure.number]
    assert left.get_title() == "grey"
    _, axes = plt.subplots(1, 2)
    assert plot_history(History([1.0], [1.0], [0.5], [0.6], [1.0], 1), axes) is axes
    assert len(plt.get_fignums()) == 2


def test_without_axes_one_figure_is_made():
    assert show_image(IMAGE).figure is plt.gcf()
    assert len(plt.get_fignums()) == 1


def test_grey_runs_from_zero_to_one():
    shown = show_image(IMAGE).get_images()[0]
    assert shown.get_clim() == (0, 1)
    np.testing.assert_array_equal(shown.get_array(), IMAGE)


def test_each_nucleus_has_an_outline_in_its_place():
    ax = show_overlay(IMAGE, LABELS)
    assert len(ax.lines) == 3
    for line, (row, column) in zip(ax.lines, ((16, 16), (16, 44), (46, 30)), strict=True):
        columns, rows = line.get_data()
        assert (rows.min() + rows.max()) / 2 == pytest.approx(row)
        assert (columns.min() + columns.max()) / 2 == pytest.approx(column)
        assert rows.max() - rows.min() == pytest.approx(13)


def test_true_and_predicted_differ_in_line_and_colour():
    true, predicted = show_overlay(IMAGE, LABELS > 0, true=LABELS == 1).lines[::3]
    assert true.is_dashed() != predicted.is_dashed()
    assert true.get_color() != predicted.get_color()


def test_touching_nuclei_and_those_at_the_border_are_closed():
    halves = np.ones((6, 8), int)
    halves[:, 4:] = 2
    for line in show_overlay(np.zeros((6, 8)), halves).lines:
        points = line.get_xydata()
        np.testing.assert_array_equal(points[0], points[-1])


def test_nothing_to_outline():
    assert len(show_overlay(IMAGE, np.zeros_like(LABELS), true=LABELS > 5).lines) == 0


@pytest.mark.parametrize("size", [0.001, 0.12, 5.0, 1000])
def test_the_scale_bar_is_labelled(size):
    ax = show_image(IMAGE, pixel_size_um=size)
    assert ax.texts[0].get_text().endswith("µm")
    ax.figure.canvas.draw()


@pytest.mark.parametrize(
    "images", [np.zeros((5, 1, 8, 9)), torch.zeros(5, 1, 8, 9), np.zeros((5, 8, 9)), [IMAGE] * 5]
)
def test_a_batch_is_a_grid(images):
    axes = show_batch(images, columns=3, titles=list("abcde"))
    assert axes.shape == (2, 3)
    assert [ax.get_visible() for ax in axes.flat] == [True] * 5 + [False]
    assert axes[1, 1].get_title() == "e"


def test_a_batch_shows_its_masks():
    axes = show_batch(torch.from_numpy(IMAGE)[None, None], torch.from_numpy(LABELS > 0)[None, None])
    assert axes.shape == (1, 1)
    assert len(axes[0, 0].lines) == 3


def test_history_shows_every_epoch_and_the_one_kept():
    history = History([3, 2, 1], [3, 2, 2.5], [0.1, 0.6, 0.5], [0.2, 0.7, 0.6], [1, 1, 1], 2)
    losses, scores = plot_history(history)
    assert [list(line.get_ydata()) for line in losses.lines] == [[3, 2, 1], [3, 2, 2.5]]
    star = scores.lines[-1]
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (2, 0.6)
    assert len({line.get_linestyle() for line in losses.lines}) == 2
    plot_history(History())[0].figure.canvas.draw()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: show_image(np.zeros((4, 4, 3))), "expected two axes"),
        (lambda: show_image(np.full((4, 4), np.nan)), "16 values that are NaN"),
        (lambda: show_image(IMAGE, pixel_size_um=0), "pixel_size_um is 0; expected"),
        (lambda: show_overlay(IMAGE, np.eye(4)), r"\(64, 64\) and predicted has shape \(4, 4\)"),
        (lambda: show_overlay(IMAGE, true=np.eye(4)), "true has shape"),
        (lambda: show_batch(np.zeros((4, 3, 8, 8))), r"expected \(N, 1, H, W\)"),
        (lambda: show_batch([]), "the batch has shape"),
        (lambda: show_batch(np.zeros((2, 8, 8)), np.zeros((1, 8, 8))), "2 images and 1 masks"),
        (lambda: show_batch(np.zeros((2, 8, 8)), titles=["a"]), "2 images and 1 titles"),
        (lambda: show_batch(np.zeros((2, 8, 8)), columns=0), "columns is 0"),
        (lambda: draw_overlay(IMAGE, np.eye(4, dtype=int)), "labels has shape"),
    ],
)
def test_bad_arguments_are_refused(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (64, 48), (1000, 700)])
def test_the_drawn_overlay_is_a_colour_picture_of_whole_multiples(shape):
    labels = np.ones(shape, np.int32)
    picture = draw_overlay(np.zeros(shape, np.float32), labels)
    times = picture.shape[0] // shape[0]
    assert picture.shape == (times * shape[0], times * shape[1], 3)
    assert picture.dtype == np.uint8
    assert times == max(1, round(768 / max(shape)))


def test_the_drawn_overlay_leaves_the_background_grey():
    plain = draw_overlay(IMAGE, np.zeros_like(LABELS))
    assert (plain[..., 0] == plain[..., 2]).all()
    outlined = draw_overlay(IMAGE, LABELS)
    changed = (outlined != plain).any(axis=2)
    assert changed.any()
    assert not changed[-60:].any()  # nothing lies there
    ring = outlined[(16 - 6) * 12 + 2, 16 * 12 + 6]  # the first row inside nucleus 1, enlarged
    assert tuple(int(value) for value in outlined[(10 * 12), 16 * 12 + 6]) == (230, 159, 0), ring


def test_a_twelve_bit_picture_in_sixteen_bits_is_not_drawn_dark():
    twelve = np.round(IMAGE * 4095).astype(np.uint16)
    np.testing.assert_allclose(draw_overlay(twelve, LABELS), draw_overlay(IMAGE, LABELS), atol=2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_whole_numbers_are_shown_by_their_dtype(dtype):
    whole = np.round(IMAGE * np.iinfo(dtype).max).astype(dtype)
    shown = show_image(whole).get_images()[0].get_array()
    np.testing.assert_allclose(shown, IMAGE, atol=1 / 255)


@pytest.mark.parametrize("light", [255, -255])
def test_a_picture_that_would_be_all_white_or_black_is_refused(light):
    with pytest.raises(InputError, match=r"image runs from .*; expected values from 0 .* stretch"):
        show_image(IMAGE * light)


def test_a_probability_has_no_outline():
    with pytest.raises(InputError, match=r"predicted holds .* not whole, .* label_nuclei"):
        show_overlay(IMAGE, IMAGE * 0.5)
    assert show_overlay(IMAGE, LABELS.astype(float)).lines  # as a file of Fiji may hold them


@pytest.mark.parametrize("labels", [LABELS > 0, LABELS * 0.5, -LABELS])
def test_drawn_overlays_need_labels(labels):
    with pytest.raises(InputError, match="labels"):
        draw_overlay(IMAGE, labels)
