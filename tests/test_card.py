"""The model card, and the conditions that it tells of: nothing is typed in."""

import importlib.util

import make_card
import numpy as np
import pytest
from lesson_notebooks import ROOT

import devotools as dt


@pytest.fixture(scope="module")
def conditions():
    """The benchmark as a module."""
    path = ROOT / "benchmarks" / "conditions.py"
    spec = importlib.util.spec_from_file_location("conditions", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_card_says_what_is_stored():
    card = (ROOT / "devotools" / "weights" / "README.md").read_text(encoding="utf-8")
    assert card == make_card.card_text()


def test_a_condition_changes_picture_and_truth_alike(conditions):
    """Where a nucleus is, the changed truth has it: the picture of the truth changes as it does."""
    _, labels = dt.draw_section(2)
    flat = (labels > 0).astype(np.float32)
    for name, changes in conditions.conditions().items():
        for change in changes:
            image, true = change(flat, labels)
            assert image.shape == true.shape, name
            assert set(np.unique(true)) == set(np.unique(labels)), name
            if name == "inverted":
                image = 1 - image
            inside, outside = image[true > 0].mean(), image[true == 0].mean()
            assert inside > outside + 0.5, name


def test_turned_all_eight_ways_are_eight(conditions):
    image, labels = dt.draw_section(2)
    turned = [
        change(image, labels)[0].tobytes()
        for change in conditions.conditions()["turned, all eight ways"]
    ]
    assert len(set(turned)) == 8
