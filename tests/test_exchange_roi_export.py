"""Nuclei as ImageJ's outlines: what goes out comes back, pixel by pixel."""

import random
import struct
import zipfile

import numpy as np
import pytest
from helpers import draw_discs, files_under
from skimage.segmentation import relabel_sequential

from devotools import InputError, export_rois
from devotools.exchange import add_rois, open_rois, read_rois, rois_to_labels
from devotools.exchange.roi_export import outline, roi_bytes
from devotools.exchange.rois import read_roi


def back(labels, path):
    export_rois(labels, path)
    return rois_to_labels(read_rois(path), labels.shape)


def test_discs_come_back(tmp_path):
    labels = draw_discs()
    assert export_rois(labels, tmp_path / "a.zip") == ["0001.roi", "0002.roi", "0003.roi"]
    assert (back(labels, tmp_path / "a.zip") == labels).all()
    assert files_under(tmp_path) == {"a.zip"}


@pytest.mark.parametrize(
    "drawing",
    [
        ["1"],
        ["11", "11"],
        ["1.", ".1"],  # by a corner
        ["1.1", "1.1", "111"],
        ["111", "1.1", "111"],  # a hole
        ["11111", "1...1", "1.1.1", "1...1", "11111"],  # an island in it
        ["111.", "1.11", "11.1", ".111"],  # holes that meet at a corner
        ["1.1.1", ".....", "1.1.1"],  # pieces
        ["122", "112", "331"],  # neighbours, and a piece apart
    ],
)
def test_every_shape_comes_back(tmp_path, drawing):
    labels = np.array([[0 if c == "." else int(c) for c in row] for row in drawing], np.int32)
    assert (back(labels, tmp_path / "a.zip") == labels).all()


def test_noise_comes_back(tmp_path):
    """Pieces, holes and corners of every kind; at the frame as well."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 4, rng.integers(1, 14, 2)).astype(np.int32)
        if labels.max():
            expected = relabel_sequential(labels)[0]
            assert (back(labels, tmp_path / "a.zip") == expected).all(), labels


def test_ids_are_numbered_again_and_kept_in_the_names(tmp_path):
    labels = np.array([[7, 0, 2**31 + 5]], np.uint32)
    assert export_rois(labels, tmp_path / "a.zip") == ["0000000007.roi", "2147483653.roi"]
    assert rois_to_labels(read_rois(tmp_path / "a.zip"), (1, 3)).tolist() == [[1, 0, 2]]


def test_a_file_is_what_imagej_expects(tmp_path):
    """Byte by byte, for one square of two by three pixels."""
    labels = np.zeros((9, 9), np.int32)
    labels[4:6, 3:6] = 1
    export_rois(labels, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        content = file.read("0001.roi")
    assert content[:4] == b"Iout"
    assert struct.unpack_from(">hB", content, 4) == (228, 8)  # version, traced
    assert struct.unpack_from(">4hH", content, 8) == (4, 3, 6, 6, 4)  # top left bottom right, n
    assert not any(content[18:64])
    assert struct.unpack_from(">8h", content, 64) == (0, 3, 3, 0, 0, 0, 2, 2)  # all x, then all y
    assert len(content) == 80


def test_a_section_stands_in_the_name_and_in_the_file(tmp_path):
    """ImageJ counts slices from 1, and a position of 0 would show an outline on all of them."""
    labels = np.array([[0, 7, 7], [12_345, 0, 0]])
    with open_rois(tmp_path / "a.zip", labels.shape) as file:
        assert add_rois(file, labels, section=0) == ["0007-0000.roi", "12345-0000.roi"]
        assert add_rois(file, labels, section=11) == ["0007-0011.roi", "12345-0011.roi"]
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        rois = [read_roi(file.read(name), name) for name in file.namelist()]
    assert [roi.position for roi in rois] == [1, 1, 12, 12]
    assert (rois_to_labels(rois[2:], labels.shape) == [[0, 1, 1], [2, 0, 0]]).all()


def test_a_set_without_outlines_is_no_file(tmp_path):
    export_rois(np.ones((4, 4), int), tmp_path / "a.zip")  # of an earlier run
    with open_rois(tmp_path / "a.zip", (4, 4)) as file:
        assert add_rois(file, np.zeros((4, 4), int)) == []
    assert files_under(tmp_path) == set()


def test_an_outline_needs_its_corners_only():
    assert len(outline(np.ones((50, 70), bool))) == 4


@pytest.mark.parametrize(
    ("labels", "name", "sentence"),
    [
        (np.zeros((4, 4), int), "a.zip", "labels hold 0 nuclei; expected 1 to 20,000"),
        (np.ones((1, 32_768), np.uint8), "a.zip", "expected 32,767 pixels along a side"),
        (np.ones((4, 4), int), "a.roi", r"does not end in \.zip"),
        (np.ones((4, 4)), "a.zip", "expected whole numbers"),
        (np.ones((4, 4), int), "file/a.zip", "cannot be written"),
    ],
)
def test_refusals(tmp_path, labels, name, sentence):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=sentence):
        export_rois(labels, tmp_path / name)
    assert files_under(tmp_path) == {"file"}


def test_an_outline_without_end_is_refused():
    corners = np.array([(row, random.Random(row).randrange(9)) for row in range(70_000)])
    with pytest.raises(InputError, match="70,000 corners; expected 65,535"):
        roi_bytes(corners, "1.roi")
