"""The table of nuclei against counting by hand and scikit-image."""

import numpy as np
import pandas as pd
import pytest
from helpers import draw_discs
from skimage.measure import regionprops_table

from devotools._validate import InputError
from devotools.measure import COLUMNS, measure_nuclei


def test_by_hand():
    labels = np.array([[0, 3, 3], [0, 0, 3], [9, 0, 0]])
    image = np.array([[0, 0.2, 0.4], [0, 0, 0.9], [0.7, 0, 0]], np.float32)
    table = measure_nuclei(labels, image, pixel_size_um=0.5)
    assert table.label.tolist() == [3, 9]
    np.testing.assert_allclose(table.centroid_row, [1 / 3, 2])
    np.testing.assert_allclose(table.centroid_col, [5 / 3, 0])
    assert table.area_px.tolist() == [3, 1]
    np.testing.assert_allclose(table.area_um2, [0.75, 0.25])
    np.testing.assert_allclose(table.intensity_mean, [0.5, 0.7], atol=1e-6)


def test_against_scikit_image():
    labels = draw_discs() * 5
    labels[40:44, 2:30] = 4
    image = np.random.default_rng(0).random(labels.shape)
    expected = regionprops_table(
        labels, image, properties=("label", "centroid", "area", "eccentricity", "intensity_mean")
    )
    table = measure_nuclei(labels, image)
    names = {"centroid-0": "centroid_row", "centroid-1": "centroid_col", "area": "area_px"}
    for column, values in expected.items():
        np.testing.assert_allclose(table[names.get(column, column)], values, err_msg=column)


@pytest.mark.parametrize("labels", [np.zeros((4, 4), int), draw_discs()])
def test_columns_and_their_types_are_always_the_same(labels):
    table = measure_nuclei(labels)
    assert table.dtypes.astype(str).to_dict() == COLUMNS
    assert len(table) == labels.max()
    assert table.area_um2.isna().all()
    assert table.intensity_mean.isna().all()
    assert isinstance(table, pd.DataFrame)


def test_odd_labels():
    full = measure_nuclei(np.ones((1, 1), np.uint8), np.ones((1, 1)))
    assert full.area_px.tolist() == [1]
    assert full.eccentricity.tolist() == [0]
    far = measure_nuclei(np.array([[0, 10**12, 5]]))  # the ids are numbers, not lengths of a list
    assert far.label.tolist() == [5, 10**12]
    assert far.centroid_col.tolist() == [2, 1]
    assert measure_nuclei(np.full((2, 3), 6)).label.tolist() == [6]


def test_bad_arguments_are_refused():
    labels = draw_discs()
    with pytest.raises(InputError, match=r"labels has shape \(64, 64\) and image .* \(3, 3\)"):
        measure_nuclei(labels, np.zeros((3, 3)))
    with pytest.raises(InputError, match="expected whole numbers"):
        measure_nuclei(labels > 0)
    with pytest.raises(InputError, match="NaN"):
        measure_nuclei(labels, np.full(labels.shape, np.nan))
    for size in (0, -1, np.nan, np.inf, "0.1", True):
        with pytest.raises(InputError, match=r"pixel_size_um is .* number of micrometres above 0"):
            measure_nuclei(labels, pixel_size_um=size)
