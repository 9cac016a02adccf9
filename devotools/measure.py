"""From a label image to a table: one row a nucleus."""

from __future__ import annotations

import numpy as np
import pandas as pd
from skimage.measure import regionprops

from devotools._validate import check_image, check_labels, check_pixel_size, check_same_shape

COLUMNS = {
    "label": "int64",
    "centroid_row": "float64",
    "centroid_col": "float64",
    "area_px": "int64",
    "area_um2": "float64",
    "eccentricity": "float64",
    "intensity_mean": "float64",
}


def measure_nuclei(
    labels: np.ndarray, image: np.ndarray | None = None, *, pixel_size_um: float | None = None
) -> pd.DataFrame:
    """Measure each nucleus of an (H, W) label image; one row a nucleus, in the order of the ids.

    Columns: ``label``; ``centroid_row`` and ``centroid_col`` in pixels from the centre of the
    top left pixel; ``area_px``; ``area_um2``, NaN without ``pixel_size_um`` (micrometres along one
    side of a pixel); ``eccentricity`` of the ellipse with the same second moments, 0 for a circle;
    ``intensity_mean`` of ``image`` (H, W) inside the nucleus, NaN without an image. No nucleus
    gives a table without rows. Raises :class:`~devotools._validate.InputError`. Source:
    ``skimage.measure.regionprops``. Taught in lesson 01.

    >>> measure_nuclei(np.array([[0, 1, 1]]), pixel_size_um=2.0)[["label", "area_px", "area_um2"]]
       label  area_px  area_um2
    0      1        2       8.0
    """
    labels = check_labels(labels)
    if image is not None:
        image = check_image(image)
        check_same_shape(labels, image, ("labels", "image"))
    if pixel_size_um is not None:
        check_pixel_size(pixel_size_um)
    square_um = np.nan if pixel_size_um is None else float(pixel_size_um) ** 2
    ids = np.unique(labels[labels > 0])
    order = np.where(labels > 0, np.searchsorted(ids, labels) + 1, 0)  # 1, 2, 3 ..., however large
    rows = [
        (
            ids[region.label - 1],
            *region.centroid,
            region.num_pixels,
            region.num_pixels * square_um,
            region.eccentricity,
            np.nan if image is None else region.intensity_mean,
        )
        for region in regionprops(order, intensity_image=image)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
