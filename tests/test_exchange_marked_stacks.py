"""Stacks that somebody marked: label stacks and ImageJ's outlines become sections to learn from."""

import csv
import struct

import numpy as np
import pytest
import tifffile
from helpers import draw_discs, files_under, picture_of, run_command
from test_exchange_import import roi_bytes, write_set

from devotools import InputError, read_image, read_labels, read_mask, split_by_embryo
from devotools.datasets import read_dataset
from devotools.exchange import add_rois, import_folder, open_rois, write_label_stack
from devotools.exchange.rois import read_roi, read_stack_rois

LABELS = np.stack([np.roll(draw_discs(), 3 * k, axis=1) for k in range(4)])
LABELS[3] = 0  # the last section shows no nucleus
PICTURES = np.stack([picture_of(labels) for labels in LABELS])
GREY = np.round(PICTURES * 255).astype(np.uint8)


def save(path, array, **options):
    tifffile.imwrite(path, array, **{"photometric": "minisblack"} | options)


@pytest.fixture
def place(tmp_path):
    """A stack of four sections in images/, and an empty folder of masks."""
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    save(tmp_path / "images" / "s.tif", GREY, imagej=True, metadata={"axes": "ZYX"})
    return tmp_path


@pytest.fixture
def bring(place):
    def bring(**options):
        return import_folder(place / "images", place / "masks", place / "out", **options)

    return bring


def sections(place):
    """Name, section, mask and labels (or None) of what was imported, in the order of names."""
    return [
        (
            pair.name,
            pair.section,
            read_mask(pair.mask),
            None if pair.labels is None else read_labels(pair.labels),
        )
        for pair in read_dataset(place / "out")
    ]


def square_on(position, *, at=10, second=None):
    """A square outline on one slice; ``second`` is (channel, slice, frame) of a hyperstack."""
    corners = [(at, at), (at, at + 8), (at + 8, at + 8), (at + 8, at)]
    content = bytearray(roi_bytes(0, points=corners, position=position))
    if second is not None:
        struct.pack_into(">i", content, 60, len(content))
        content += struct.pack(">4i", 0, *second) + bytes(48)
    return bytes(content)


# --- what is taken


def test_a_label_stack_gives_a_section_for_each_page(place, bring):
    write_label_stack(place / "masks" / "s_labels.tif", LABELS, LABELS.shape)
    report = bring(pixel_size_um=0.2)
    assert [row.name for row in report.imported] == ["s_0000", "s_0001", "s_0002", "s_0003"]
    assert [row.reason for row in report.rows] == [*[""] * 3, "section 3: look: the mask is empty"]
    found = sections(place)
    for number, (_, section, mask, labels) in enumerate(found):
        assert section == number
        assert (mask == (LABELS[number] > 0)).all()
        assert labels is None or (labels == LABELS[number]).all()
    assert [labels is None for *_, labels in found] == [False, False, False, True]
    for pair, picture in zip(read_dataset(place / "out"), PICTURES, strict=True):
        assert np.allclose(read_image(pair.image), picture, atol=1 / 255)


def test_the_sections_of_a_stack_stay_together(place, bring):
    """They are of one embryo, so that none of them is learned from while others validate."""
    save(place / "images" / "t.tif", GREY)
    for name in ("s", "t"):
        save(place / "masks" / f"{name}.tif", LABELS.astype(np.uint8))
    assert {row.embryo for row in bring().imported} == {"s", "t"}
    split = split_by_embryo(read_dataset(place / "out"), val=0.5, test=0)
    assert [len({pair.embryo for pair in part}) for part in (split.train, split.val)] == [1, 1]


@pytest.mark.parametrize("embryo", ["E5", None])
def test_a_given_embryo_or_folder_counts_first(place, bring, embryo):
    (place / "images" / "E4").mkdir()
    (place / "images" / "s.tif").rename(place / "images" / "E4" / "s.tif")
    (place / "masks" / "E4").mkdir()
    save(place / "masks" / "E4" / "s.tif", LABELS.astype(np.uint8))
    rows = bring(embryo=embryo).imported
    assert {row.embryo for row in rows} == {embryo or "E4"}
    with open(place / "out" / "manifest.csv", newline="") as file:
        assert [row["section"] for row in csv.DictReader(file)] == ["0", "1", "2", "3"]


MARKED = LABELS[:3]
FORMS = {
    "two values": ((MARKED > 0).astype(np.uint8) * 255, {}),
    "ids as floats, as Fiji keeps them": (MARKED.astype(np.float32), {}),
    "ids of 16 bits, one page after another": (MARKED.astype(np.uint16), {"metadata": None}),
    "white is zero, as ImageJ keeps masks": (MARKED > 0, {"photometric": "miniswhite"}),
    "ids shown in colours": (
        MARKED.astype(np.uint8),
        {
            "photometric": "palette",
            "colormap": np.random.default_rng(0).integers(0, 2**16, (3, 256), np.uint16),
        },
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_mask_stacks(place, bring, form):
    array, options = FORMS[form]
    if array.dtype == bool:
        array = np.where(array, 255, 0).astype(np.uint8)
    save(place / "images" / "s.tif", GREY[:3])
    save(place / "masks" / "s.tif", array, **options)
    report = bring()
    assert [row.status for row in report.rows] == ["imported"] * 3, report.rows
    for number, (_, _, mask, labels) in enumerate(sections(place)):
        assert (mask == (LABELS[number] > 0)).all()
        assert (labels is None) == (form.startswith(("two values", "white is zero")))
        assert labels is None or (labels == LABELS[number]).all()


def test_what_segment_writes_for_imagej_comes_back(place, bring):
    with open_rois(place / "masks" / "s_RoiSet.zip", LABELS.shape[1:]) as file:
        for number in (0, 2):
            add_rois(file, LABELS[number], section=number)
    report = bring()
    assert [row.name for row in report.imported] == ["s_0000", "s_0002"]
    (rest,) = report.refused
    assert rest.reason.startswith("2 of 4 sections have no outline and were left out")
    for (_, section, _, labels), number in zip(sections(place), (0, 2), strict=True):
        assert section == number
        assert (labels == LABELS[number]).all()


@pytest.mark.parametrize("second", [(1, 3, 1), (1, 1, 3), (0, 3, 0)])
def test_outlines_on_a_hyperstack(place, bring, second):
    """ImageJ keeps the place of those in a second header: channel, slice, frame."""
    write_set(place / "masks" / "s.zip", {"a.roi": square_on(0, second=second)})
    assert [row.name for row in bring().imported] == ["s_0002"]
    assert sections(place)[0][3].sum() == 64


def test_a_second_header_that_lies_outside_is_not_read():
    content = bytearray(square_on(0))
    for place in (-5, 3, len(content) - 15, 2**31 - 1):
        struct.pack_into(">i", content, 60, place)
        assert read_roi(bytes(content), "a.roi").position == 0


def test_one_outline_on_a_stack(place, bring):
    (place / "masks" / "s.roi").write_bytes(square_on(2))
    assert [row.name for row in bring().imported] == ["s_0001"]


def test_the_size_of_a_pixel_comes_from_the_file_where_none_is_given(place, bring):
    inches = {"resolution": (254_000, 254_000), "resolutionunit": "inch"}
    save(place / "images" / "s.tif", GREY, **inches)
    save(place / "images" / "t.tif", GREY[0], **inches)
    save(place / "images" / "u.tif", GREY[0])
    save(place / "masks" / "s.tif", LABELS.astype(np.uint8))
    for name in "tu":
        save(place / "masks" / f"{name}.tif", LABELS[0].astype(np.uint8))
    bring(embryo="E1")
    with open(place / "out" / "manifest.csv", newline="") as file:
        sizes = {row["name"]: row["pixel_size_um"] for row in csv.DictReader(file)}
    assert sizes == {f"s_000{k}": "0.1" for k in range(4)} | {"t": "0.1", "u": ""}


# --- what is not


@pytest.mark.parametrize(
    ("positions", "match"),
    [
        ((0,), "which lies on no one section of the stack; expected one with a position"),
        ((1, 5), r"'1\.roi' on section 5 \(ImageJ counts from 1\); expected 1 to 4"),
    ],
)
def test_outlines_that_do_not_fit_the_stack(place, positions, match):
    rois = {f"{k}.roi": square_on(position) for k, position in enumerate(positions)}
    path = write_set(place / "masks" / "s.zip", rois)
    with pytest.raises(InputError, match=match):
        read_stack_rois(path, 4)
    with pytest.raises(InputError, match="none of 1 files could be imported"):
        import_folder(place / "images", place / "masks", place / "out")
    assert not (place / "out").exists()


@pytest.mark.parametrize(
    ("masks", "match"),
    [
        (LABELS[:2], "mask 's.tif' has 2 sections of 64 x 64 pixels, image 's.tif' has 4 sections"),
        (LABELS[:1], "has 1 section of 64 x 64"),
        (LABELS[:, :32], "has 4 sections of 32 x 64"),
    ],
)
def test_masks_of_another_size(place, bring, masks, match):
    save(place / "masks" / "s.tif", masks.astype(np.uint8))
    with pytest.raises(InputError, match=match):
        bring()


def test_one_bad_section_leaves_the_others(place, bring):
    noisy = LABELS.astype(np.uint8)
    noisy[1] = np.random.default_rng(0).integers(0, 255, noisy[1].shape)
    save(place / "masks" / "s.tif", noisy)
    report = bring()
    assert [row.name for row in report.imported] == ["s_0000", "s_0002", "s_0003"]
    (bad,) = report.refused
    assert bad.reason.startswith("section 1: mask 's_0001.tif' holds ")
    assert "scattered like those of a grey picture" in bad.reason


@pytest.mark.parametrize("tag", [5, 126, 34892])
def test_a_stack_with_an_odd_tag_is_a_row(place, bring, tag):
    save(place / "images" / "good.tif", GREY)
    for name in ("s", "good"):
        save(place / "masks" / f"{name}.tif", LABELS.astype(np.uint16))
    with tifffile.TiffFile(place / "masks" / "s.tif", mode="r+b") as tiff:
        for page in tiff.pages:
            page.aspage().tags["PhotometricInterpretation"].overwrite(tag)
    report = bring()
    assert {row.image for row in report.imported} == {"good.tif"}
    assert all("s.tif" in row.reason and "expected" in row.reason for row in report.refused)
    assert report.refused


def test_a_stack_of_channels_says_what_to_do(place, bring):
    save(place / "images" / "s.tif", GREY, imagej=True, metadata={"axes": "CYX"})
    save(place / "masks" / "s.tif", LABELS.astype(np.uint8))
    with pytest.raises(InputError, match="has 4 channels"):
        bring()


def test_the_command_says_which_section(place, monkeypatch, capsys):
    write_label_stack(place / "masks" / "s.tif", LABELS, LABELS.shape)
    options = ("--images", place / "images", "--masks", place / "masks", "--out", place / "out")
    code, said, complaints = run_command(monkeypatch, capsys, "import", *options)
    assert (code, f"4 pictures imported into {place / 'out'}" in said) == (0, True)
    assert "imported: s.tif: section 3: look: the mask is empty" in complaints
    assert "images/s_0003.png" in files_under(place / "out")
