"""Scores of a folder, counted by hand with a network that calls bright pixels nucleus."""

import numpy as np
import pytest
from helpers import Bright, draw_discs, picture_of, write_dataset, write_section

from devotools._validate import InputError
from devotools.augment import train_transform
from devotools.datasets import NucleusDataset, read_dataset
from devotools.evaluation import evaluate
from devotools.images import write_image, write_labels, write_mask

ROW = {"name", "iou", "dice", "precision", "recall", "f1"}


def write(folder, name, *, picture, mask, labels=None):
    write_image(folder / "images" / f"{name}.png", picture)
    write_mask(folder / "masks" / f"{name}.png", mask > 0)
    if labels is not None:
        write_labels(folder / "labels" / f"{name}.tif", labels)


def test_a_perfect_answer_scores_one(tmp_path):
    scores = evaluate(Bright(), write_dataset(tmp_path))
    assert scores.images == 6
    assert scores.iou == scores.dice == scores.precision == scores.recall == scores.f1 == 1


def test_by_hand(tmp_path):
    three = draw_discs()
    one = np.where(three == 1, 1, 0)
    area = [int((three == n).sum()) for n in (1, 2, 3)]
    write(tmp_path, "a", picture=picture_of(three), mask=three)  # 3 of 3
    write(tmp_path, "b", picture=picture_of(one), mask=three)  # 1 of 3 found
    write(tmp_path, "c", picture=picture_of(three), mask=one)  # 2 made up
    scores = evaluate(Bright(), str(tmp_path))
    iou = area[0] / sum(area)
    assert scores.iou == pytest.approx((1 + iou + iou) / 3)  # a mean over pictures
    assert scores.dice == pytest.approx((1 + 2 * (2 * area[0] / (sum(area) + area[0]))) / 3)
    assert scores.precision == scores.recall == scores.f1 == 5 / 7  # all nuclei together
    assert [row["name"] for row in scores.per_image] == ["a", "b", "c"]
    assert [row["precision"] for row in scores.per_image] == [1, 1, pytest.approx(1 / 3)]
    assert [row["recall"] for row in scores.per_image] == [1, pytest.approx(1 / 3), 1]
    assert [row["f1"] for row in scores.per_image] == [1, 0.5, 0.5]
    assert scores.table()["iou"].is_monotonic_increasing


def test_labels_are_preferred_to_the_pieces_of_the_mask(tmp_path):
    three = draw_discs()
    two = np.where(three > 1, 2, three)  # two far pieces are one nucleus
    write(tmp_path, "a", picture=picture_of(three), mask=three, labels=two)
    write(tmp_path, "b", picture=picture_of(three), mask=three)
    a, b = evaluate(Bright(), tmp_path).per_image
    assert a["iou"] == b["iou"] == 1
    assert (a["recall"], a["precision"]) == (1, pytest.approx(2 / 3))
    assert (b["recall"], b["precision"]) == (1, 1)


def test_a_mask_that_its_labels_contradict_is_refused(tmp_path):
    three = draw_discs()
    write(tmp_path, "a", picture=picture_of(three), mask=three == 0, labels=three)
    with pytest.raises(InputError, match=r"a\.png' and label image .* agree in 0%.*inverted"):
        evaluate(Bright(), tmp_path)


@pytest.mark.parametrize(("change", "says"), [(0, " 0, with IoU 0.00"), (40, "IoU 0.0")])
def test_labels_of_another_section_or_none_are_refused(tmp_path, change, says):
    three = draw_discs()
    other = np.roll(three, change, axis=0) * (change > 0)
    write(tmp_path, "a", picture=picture_of(three), mask=three, labels=other)
    with pytest.raises(InputError, match=rf"a\.png' has \d+ pixels .*label image .*{says}"):
        evaluate(Bright(), tmp_path)


def test_a_roughly_brushed_mask_agrees_with_its_labels(tmp_path):
    three = draw_discs()
    rough = np.roll(three, 2, axis=0)
    write(tmp_path, "a", picture=picture_of(three), mask=rough, labels=three)
    assert evaluate(Bright(), tmp_path).recall == 1


def test_touching_true_nuclei_of_a_mask_are_one_piece(tmp_path):
    corner = np.zeros((64, 64), int)
    corner[10:20, 10:20] = corner[20:30, 20:30] = 1  # by a corner: two
    write(tmp_path, "a", picture=picture_of(corner), mask=corner)
    assert evaluate(Bright(), tmp_path).recall == 1
    assert evaluate(Bright(), tmp_path).precision == 1


@pytest.mark.parametrize(("area", "recall"), [(19, 1.0), (20, 0.5)])
def test_small_pieces_are_not_looked_for(tmp_path, area, recall):
    true = draw_discs([(16, 16)])
    picture = picture_of(true)
    true[50, 10 : 10 + area] = 1
    write(tmp_path, "a", picture=picture, mask=true)
    scores = evaluate(Bright(), tmp_path)
    assert scores.recall == recall
    assert scores.precision == 1
    assert scores.iou < 1  # but they count as pixels


def test_empty_sections_have_a_stated_score(tmp_path):
    nothing = np.zeros((64, 64), int)
    write(tmp_path, "a", picture=picture_of(nothing), mask=nothing, labels=nothing)
    scores = evaluate(Bright(), tmp_path).to_dict()
    assert [scores[key] for key in ("iou", "dice", "precision", "recall", "f1")] == [1.0] * 5
    write(tmp_path, "a", picture=picture_of(nothing), mask=draw_discs(), labels=draw_discs())
    scores = evaluate(Bright(), tmp_path).to_dict()
    assert [scores[key] for key in ("iou", "dice", "precision", "recall", "f1")] == [0.0] * 5


def test_folder_pairs_and_dataset_are_the_same(tmp_path):
    pairs = read_dataset(write_dataset(tmp_path))
    turned = NucleusDataset(pairs, train_transform(32, 0))  # its transform is left out
    expected = evaluate(Bright(), tmp_path)
    assert evaluate(Bright(), pairs) == evaluate(Bright(), tuple(pairs)) == expected
    assert evaluate(Bright(), turned) == expected


def test_mixed_sizes_go_the_way_of_prediction(tmp_path):
    for name, shape in (("a", (64, 64)), ("b", (40, 90)), ("c", (64, 64))):
        write_section(tmp_path, name, draw_discs([(16, 16), (20, 60)], 7, shape))
    model = Bright()
    model.working_side = 128
    steps = []
    scores = evaluate(model, tmp_path, progress=lambda *counts: steps.append(counts))
    assert scores.f1 == 1
    assert scores.iou > 0.85
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert evaluate(model, tmp_path, scale=1).iou == 1
    assert evaluate(model, tmp_path, threshold=1.0).recall == 0


def test_the_format_is_the_one_of_the_design(tmp_path):
    scores = evaluate(Bright(), write_dataset(tmp_path, embryos=1)).to_dict()
    assert list(scores) == ["images", "iou", "dice", "precision", "recall", "f1", "per_image"]
    assert all(set(row) == ROW for row in scores["per_image"])


def test_a_mask_of_another_size_is_refused(tmp_path):
    write(tmp_path, "a", picture=picture_of(draw_discs()), mask=np.eye(9))
    with pytest.raises(InputError, match=r"a\.png' has shape \(64, 64\) and mask .*\(9, 9\)"):
        evaluate(Bright(), tmp_path)
    write(
        tmp_path,
        "a",
        picture=picture_of(draw_discs()),
        mask=draw_discs(),
        labels=np.eye(9, dtype=int),
    )
    with pytest.raises(InputError, match=r"label image .*\(9, 9\)"):
        evaluate(Bright(), tmp_path)


@pytest.mark.parametrize("data", [None, [], 7, ["a.png"], {}])
def test_data_that_is_none_is_refused(data):
    with pytest.raises(InputError, match=r"data is a \w+ of \d; expected a folder with"):
        evaluate(Bright(), data)
