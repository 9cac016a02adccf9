"""Your own folder: every form of picture and mask, every refusal, and ImageJ's outlines."""

import csv
import os
import random
import struct
import time
import unicodedata
import zipfile

import numpy as np
import pytest
import tifffile
from helpers import draw_discs, files_under, picture_of
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.draw import polygon2mask
from skimage.measure import find_contours, label
from test_exchange_archive import mutate

from devotools import InputError, exchange
from devotools._files import cannot_write
from devotools.datasets import read_dataset
from devotools.exchange import (
    clean_mask,
    import_folder,
    importing,
    read_rois,
    rois_to_labels,
    unpack,
)
from devotools.exchange.rois import read_roi
from devotools.images import (
    read_image,
    read_labels,
    read_mask,
    stretch_contrast,
    write_image,
    write_labels,
)

LABELS = draw_discs()
MASK = np.where(LABELS > 0, 255, 0).astype(np.uint8)
PICTURE = picture_of(LABELS)
SMOOTH = np.asarray(Image.fromarray(MASK).resize((32, 32), Image.LANCZOS).resize((64, 64)))


def roi_bytes(kind, box=(0, 0, 0, 0), points=None, *, sub_pixel=False, **header):
    """A .roi file as ImageJ writes it; ``points`` are (row, column), ``box`` top left bottom right.

    Written from the table in ImageJ's RoiDecoder, apart from the reader.
    """
    points = np.zeros((0, 2)) if points is None else np.asarray(points, float)
    if len(points):
        box = (*np.floor(points.min(axis=0)), *np.ceil(points.max(axis=0)))
    top, left, bottom, right = (int(value) for value in box)
    content = bytearray(64)
    content[:4] = b"Iout"
    struct.pack_into(">hBx4hH", content, 4, 228, kind, top, left, bottom, right, len(points))
    struct.pack_into(">i", content, 36, header.get("shape_size", 0))
    struct.pack_into(">HH", content, 48, header.get("subtype", 0), 128 if sub_pixel else 0)
    struct.pack_into(">i", content, 56, header.get("position", 0))
    if "rectangle" in header:  # x, y, width, height as floats
        struct.pack_into(">4f", content, 18, *header["rectangle"])
    corners = np.round(points - (top, left)).astype(">i2")
    content += corners[:, 1].tobytes() + corners[:, 0].tobytes()
    if sub_pixel and len(points):
        content += points[:, 1].astype(">f4").tobytes() + points[:, 0].astype(">f4").tobytes()
    return bytes(content)


def with_bytes(content, place, number):
    """The same outline with another 16-bit number at a place of its header."""
    return content[:place] + struct.pack(">H", number) + content[place + 2 :]


SQUARE = roi_bytes(0, points=[(10, 10), (10, 20), (20, 20), (20, 10)])


def write_set(path, rois):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        for name, content in rois.items():
            file.writestr(name, content)
    return path


@pytest.fixture
def put(tmp_path):
    """Put a picture and a mask under the same name; masks of any form are arrays or bytes."""

    def put(name="a", mask=MASK, suffix=".png", image=PICTURE, mask_name=None):
        target = tmp_path / "masks" / f"{mask_name or name}{suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(mask, bytes):
            target.write_bytes(mask)
        elif suffix == ".tif":
            tifffile.imwrite(target, mask)
        elif mask is not None:
            Image.fromarray(mask).save(target)
        if image is not None:
            write_image(tmp_path / "images" / f"{name}.png", image)

    return put


@pytest.fixture
def bring(tmp_path):
    def bring(out="out", **options):
        return import_folder(tmp_path / "images", tmp_path / "masks", tmp_path / out, **options)

    return bring


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def reasons(report):
    return {row.image or row.mask: row.reason for row in report.refused}


# --- what is taken


def test_a_folder_becomes_what_train_reads(put, bring, tmp_path):
    put("s1")
    put("s2", LABELS.astype(np.uint16), ".tif")
    seen = []
    report = bring(embryo="E7", pixel_size_um=0.12, progress=lambda *n: seen.append(n))
    assert [row.name for row in report.imported] == ["s1", "s2"]
    assert (report.refused, seen) == ([], [(1, 2), (2, 2)])
    out = tmp_path / "out"
    assert files_under(out) == {
        *("images/s1.png", "images/s2.png", "masks/s1.png", "masks/s2.png"),
        *("labels/s2.tif", "manifest.csv", "report.csv"),
    }
    pairs = read_dataset(out)
    assert [(p.name, p.embryo, p.section) for p in pairs] == [("s1", "E7", 1), ("s2", "E7", 2)]
    for pair in pairs:
        assert np.allclose(read_image(pair.image), PICTURE, atol=1 / 255)
        assert (read_mask(pair.mask) == (LABELS > 0)).all()
    assert (read_labels(pairs[1].labels) == LABELS).all()
    assert table(out / "manifest.csv")[0] == {
        "name": "s1",
        "embryo": "E7",
        "section": "1",
        "pixel_size_um": "0.12",
    }
    assert [row["status"] for row in table(out / "report.csv")] == ["imported", "imported"]


def test_sub_folders_are_embryos(put, bring, tmp_path):
    put("E1/day/t03")
    put("E2/t03")
    put("lonely")
    report = bring()
    assert {(row.name, row.embryo) for row in report.imported} == {
        ("E1_day_t03", "E1"),
        ("E2_t03", "E2"),
        ("lonely", ""),
    }
    embryos = {pair.name: pair.embryo for pair in read_dataset(tmp_path / "out")}
    assert embryos == {"E1_day_t03": "E1", "E2_t03": "E2", "lonely": None}


@pytest.mark.parametrize(
    ("mask", "suffix", "labelled"),
    [
        (MASK, ".png", False),
        (LABELS > 0, ".tif", False),
        ((LABELS > 0).astype(np.float32), ".tif", False),
        (np.dstack([MASK] * 3), ".png", False),
        (np.dstack([MASK] * 4), ".png", False),
        (LABELS.astype(np.uint8), ".png", True),
        (LABELS.astype(np.uint16), ".tif", True),
        (LABELS.astype(np.float32), ".tif", True),  # as Fiji keeps them
        (LABELS * 100_000, ".tif", True),
    ],
)
def test_forms_of_masks(put, bring, tmp_path, mask, suffix, labelled):
    put(mask=mask, suffix=suffix)
    assert bring().refused == []
    assert (read_mask(tmp_path / "out" / "masks" / "a.png") == (LABELS > 0)).all()
    assert (tmp_path / "out" / "labels" / "a.tif").exists() == labelled
    if labelled:
        ids = read_labels(tmp_path / "out" / "labels" / "a.tif")
        assert len(np.unique(ids)) == 4
        assert ((ids > 0) == (LABELS > 0)).all()


def test_deep_and_coloured_pictures_lose_nothing(put, bring, tmp_path):
    """12 bits in a 16-bit file: as 8 bits, 16 grey values would be left."""
    deep = np.random.default_rng(0).integers(0, 4096, LABELS.shape, np.uint16)
    colour = np.random.default_rng(1).integers(0, 256, (*LABELS.shape, 3), np.uint8)
    for name in ("deep", "colour"):
        put(name, image=None)
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images" / "deep.tif", deep)
    Image.fromarray(colour).save(tmp_path / "images" / "colour.png")
    assert bring().refused == []
    out = tmp_path / "out" / "images"
    assert (tifffile.imread(out / "deep.tif") == deep).all()
    grey = colour @ np.array([0.2125, 0.7154, 0.0721]) / 255
    assert np.allclose(read_image(out / "colour.tif"), grey, atol=1e-4)


@pytest.mark.parametrize(
    ("dtype", "factor"),
    [
        *((np.int64, 1), (np.uint32, 1), (np.int32, 257), (np.uint16, 1)),
        *((np.float32, 1e-6), (np.float32, 1e-4), (np.float64, 100)),
    ],
)
def test_eight_bits_in_a_wider_type_keep_their_levels(put, bring, tmp_path, dtype, factor):
    """255 of 2**63 steps are nothing in 16 bits: the picture would be black."""
    grey = np.random.default_rng(0).integers(20, 200, LABELS.shape)
    put(image=None)
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images" / "a.tif", (grey * factor).astype(dtype))
    assert bring().refused == []
    (written,) = (tmp_path / "out" / "images").iterdir()
    stored = stretch_contrast(read_image(written))
    assert np.allclose(stored, stretch_contrast(grey / 255), atol=2e-3)
    assert len(np.unique(stored)) > 160


def test_a_dead_link_is_a_row(put, bring, tmp_path):
    put()
    (tmp_path / "images" / "gone.png").symlink_to("nowhere.png")
    assert "no mask has its name" in reasons(bring())["gone.png"]


def test_accents_are_one_however_they_are_written(put, bring):
    composed, taken_apart = (unicodedata.normalize(form, "zebré") for form in ("NFC", "NFD"))
    put(composed, mask_name=taken_apart)
    assert len(bring().imported) == 1


@pytest.mark.parametrize(
    "name", ["a", "a_mask", "a_cp_masks", "a-labels", "mask_a", "a_RoiSet", "RoiSet_a", "a.seg"]
)
def test_names_of_masks(put, bring, name):
    put(mask_name=name)
    assert [row.name for row in bring().imported] == ["a"]


def test_one_folder_for_both(put, tmp_path):
    put("a", mask_name="../images/a_masks")
    put("b", mask=write_set(tmp_path / "x.zip", {"1.roi": SQUARE}).read_bytes(), suffix=".zip",
        mask_name="../images/b")  # fmt: skip
    report = import_folder(tmp_path / "images", tmp_path / "images", tmp_path / "out")
    assert [row.name for row in report.imported] == ["a", "b"]


def test_masks_in_a_folder_of_the_images(put, tmp_path):
    put("a", mask_name="../images/masks/a")
    report = import_folder(tmp_path / "images", tmp_path / "images" / "masks", tmp_path / "out")
    assert [(row.name, row.status) for row in report.rows] == [("a", "imported")]


def test_results_among_the_pictures_are_not_imported(put, bring, tmp_path):
    """But corrected labels of a run are, where they are given as the masks."""
    put("a")
    results = tmp_path / "images" / "results"
    for name in ("settings.json", "progress.jsonl", "overlays/a.png"):
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_bytes((tmp_path / "images" / "a.png").read_bytes())
    write_labels(results / "labels" / "a.tif", LABELS)
    assert [(row.name, row.status) for row in bring().rows] == [("a", "imported")]
    report = import_folder(tmp_path / "images", results / "labels", tmp_path / "again")
    assert [(row.mask, row.status) for row in report.rows] == [("a.tif", "imported")]


def test_archives_for_folders(put, tmp_path):
    put("a")
    for side in ("images", "masks"):
        with zipfile.ZipFile(tmp_path / f"{side}.zip", "w") as file:
            file.write(tmp_path / side / "a.png", f"{side}/a.png")
    report = import_folder(tmp_path / "images.zip", tmp_path / "masks.zip", tmp_path / "out")
    assert [row.name for row in report.imported] == ["a"]
    with zipfile.ZipFile(tmp_path / "masks.zip", "a") as file:
        file.writestr("masks/b.png", "rubbish")
    write_image(tmp_path / "images" / "b.png", PICTURE)
    report = import_folder(tmp_path / "images", tmp_path / "masks.zip", tmp_path / "again")
    assert reasons(report)["b.png"].startswith("'/masks/masks/b.png' is not an image")
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr("../evil", "x")
    with pytest.raises(InputError, match="a way out"):
        import_folder(tmp_path / "evil.zip", tmp_path / "masks.zip", tmp_path / "second")
    assert not (tmp_path / "second").exists()


def test_what_is_unusual_is_remarked(put, bring):
    put("empty", np.zeros_like(MASK))
    put("inverted", 255 - MASK)
    remarks = {row.name: row.reason for row in bring().imported}
    assert remarks["empty"] == "look: the mask is empty"
    assert "is it inverted?" in remarks["inverted"]


@pytest.mark.parametrize("times", [1, 100_000])
def test_classes_are_remarked(put, bring, times):
    disc = draw_discs([(32, 32)], 24, (64, 64)) > 0
    nucleus = draw_discs([(36, 30)], 7, (64, 64)) > 0
    put("classes", (disc.astype(np.int32) + nucleus) * times, ".tif")
    put("nuclei", LABELS * times, ".tif")
    remarks = {row.name: row.reason for row in bring().imported}
    said = f"nucleus {2 * times} lies inside nucleus {times}; are these classes"
    assert said in remarks["classes"]
    assert remarks["nuclei"] == ""


# --- what is refused


@pytest.mark.parametrize(
    ("mask", "suffix", "match"),
    [
        (MASK[:32], ".png", r"shape \(64, 64\).*shape \(32, 64\)"),
        (MASK.T.repeat(2, 0), ".png", "expected the same rows and columns"),
        (MASK, ".jpg", r"is a JPEG of many values.*--clean"),
        (SMOOTH, ".png", r"values, scattered like those of a grey picture.*--clean"),
        (np.dstack([MASK, MASK.T, MASK]), ".png", "different values"),
        (np.stack([MASK, MASK]), ".tif", "stack"),
        ((LABELS + 0.5).astype(np.float32), ".tif", r"decimals of many values.*--clean"),
        (np.full(LABELS.shape, np.nan, np.float32), ".tif", "NaN"),
        (-LABELS.astype(np.int16), ".tif", "whole numbers from -3 to 0.* ids from 1"),
        (LABELS.astype(np.float32) - 1, ".tif", "whole numbers from -1 to 2"),
        (LABELS.astype(np.uint32) + 3_000_000_000, ".tif", r"below 2\*\*31"),
        (b"", ".png", "is empty"),
        (b"rubbish", ".png", "is not an image"),
        (b"rubbish", ".zip", "no ImageJ ROI"),
        (b"rubbish", ".roi", "no ImageJ ROI"),
        (b"rubbish", ".czi", "microscope maker's format"),
    ],
)
def test_refused_masks(put, bring, tmp_path, mask, suffix, match):
    put("good")
    put("bad", mask, suffix)
    report = bring()
    assert [row.name for row in report.imported] == ["good"]
    with pytest.raises(InputError, match=match):
        raise InputError(reasons(report)["bad.png"])
    assert "bad" not in str(files_under(tmp_path / "out"))
    rows = {row["image"]: row for row in table(tmp_path / "out" / "report.csv")}
    assert rows["bad.png"]["status"] == "refused"
    assert rows["bad.png"]["reason"] == reasons(report)["bad.png"]


def test_refused_files(put, bring, tmp_path):
    put("good")
    put("no_mask", None)
    put("no_image", image=None)
    put("twice")
    put("twice", suffix=".tif", image=None)
    put("double")
    write_image(tmp_path / "images" / "double.tif", PICTURE)
    put("x/y")
    put("x_y")
    put("damaged")
    (tmp_path / "images" / "damaged.png").write_bytes(b"rubbish")
    (tmp_path / "images" / "notes.txt").write_text("x")
    (tmp_path / "masks" / "notes.doc").write_text("x")
    (tmp_path / "masks" / ".hidden.png").write_text("x")
    (tmp_path / "masks" / "Thumbs.db").write_text("x")
    report = bring()
    assert {row.name for row in report.imported} == {"good", "x_y"}
    why = reasons(report)
    assert (
        why.keys()
        == {
            *("no_mask.png", "no_image.png", "twice.png", "twice.tif", "double.png", "double.tif"),
            *("x_y.png", "damaged.png", "notes.txt", "notes.doc"),
        }
        or "x/y.png" in why
    )
    assert "no mask has its name" in why["no_mask.png"]
    assert "no image has its name" in why["no_image.png"]
    assert "2 files have this name" in why["double.tif"]
    twice = [row.reason for row in report.refused if row.image == "twice.png"]
    assert twice[0].startswith("2 masks have its name")
    assert "is not an image" in why["damaged.png"]
    assert "this is no picture" in why["notes.txt"]
    assert "this is no mask" in why["notes.doc"]
    assert "another picture is called 'x_y'" in why["x/y.png"]


def test_nothing_usable_writes_nothing(put, bring, tmp_path):
    put("a", MASK[:32])
    put("b", None)
    with pytest.raises(InputError, match=r"(?s)none of 2 files .*a.png: .*shape.*b.png: no mask"):
        bring()
    assert {path.name for path in tmp_path.iterdir()} == {"images", "masks"}


def test_it_appears_at_once_or_not_at_all(put, bring, tmp_path):
    put("a")
    put("b")

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring(progress=stop)
    assert {path.name for path in tmp_path.iterdir()} == {"images", "masks"}
    assert bring().imported
    with pytest.raises(InputError, match="is not empty"):
        bring()


def test_one_folder_for_both_without_masks(put, tmp_path):
    put("a")
    with pytest.raises(
        InputError, match=r"both .*images', .*expected two folders.*Give the folder"
    ):
        import_folder(tmp_path / "images", tmp_path / "images" / ".", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_makers_format_is_to_be_converted_with_a_mask_or_without(put, bring, tmp_path):
    put("good")
    put("marked", image=None)
    for name in ("marked.czi", "lonely.CZI"):
        (tmp_path / "images" / name).write_bytes(b"ZISRAW")
    why = reasons(bring())
    assert why.keys() == {"marked.czi", "lonely.CZI"}
    for reason in why.values():
        assert "a microscope maker's format; expected PNG, JPEG or TIFF. Open it in Fiji" in reason


@pytest.mark.parametrize("missing", ["images", "masks"])
def test_missing_folders(put, bring, tmp_path, missing):
    put()
    os.rename(tmp_path / missing, tmp_path / "elsewhere")
    with pytest.raises(InputError, match=f"{missing} folder .* does not exist"):
        bring()


def test_bad_pixel_size(put, bring):
    put()
    for size in (0, 1e9):
        with pytest.raises(InputError, match="pixel_size_um is "):
            bring(pixel_size_um=size)


def test_a_mask_that_may_not_be_read_is_a_row(put, bring, monkeypatch):
    put("good")
    put("bad", LABELS.astype(np.uint8), ".tif")
    real = open

    def locked(path, *args, **kwargs):
        if str(path).endswith("bad.tif"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr("builtins.open", locked)
    report = bring()
    assert [row.name for row in report.imported] == ["good"]
    assert "bad.tif' may not be read" in reasons(report)["bad.png"]


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe0 cut off"], ids=["empty", "cut off"])
def test_a_broken_jpeg_is_not_said_to_hold_many_values(put, bring, content):
    put("good")
    put("bad", content, ".jpg")
    assert "many values" not in reasons(bring())["bad.png"]


def test_results_for_masks_are_told_apart(put, tmp_path):
    put()
    results = tmp_path / "results"
    write_labels(results / "labels" / "a.tif", LABELS)
    for name in ("settings.json", "progress.jsonl"):
        (results / name).write_text("{}")
    with pytest.raises(InputError, match=r"results', results of a run; expected masks.*Give that"):
        import_folder(tmp_path / "images", results, tmp_path / "out")
    assert len(import_folder(tmp_path / "images", results / "labels", tmp_path / "o").imported) == 1


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int32])
@pytest.mark.parametrize("low", [-1, "least"])
def test_a_signed_mask_of_two_values_is_one(put, bring, tmp_path, kind, low):
    limits = np.iinfo(kind)
    low, high = (low, 1) if low == -1 else (limits.min, limits.max)
    put(mask=np.where(LABELS > 0, high, low).astype(kind), suffix=".tif")
    assert bring().refused == []
    assert (read_mask(tmp_path / "out" / "masks" / "a.png") == (LABELS > 0)).all()


def test_mask_and_labels_of_one_nucleus_never_part(put, bring, tmp_path):
    alone = LABELS == LABELS.max()
    painted = Image.fromarray(np.uint8(7 * alone), mode="P")  # shown dark on bright
    painted.putpalette([255, 255, 255] * 7 + [200, 0, 0] + [0, 0, 0] * 248)
    (tmp_path / "masks").mkdir()
    painted.save(tmp_path / "masks" / "a.png")
    put(mask=None)
    assert bring().refused == []
    assert not (tmp_path / "out" / "labels").exists()


def test_one_nucleus_alone_keeps_its_number(put, bring, tmp_path):
    alone = np.where(LABELS == LABELS.max(), 7, 0)
    put(mask=alone.astype(np.uint16), suffix=".tif")
    put("grey", np.uint8(128 * (LABELS > 0)))  # in pieces: a mask whose white is grey
    assert bring().refused == []
    assert files_under(tmp_path / "out" / "labels") == {"a.tif"}
    assert np.unique(read_labels(tmp_path / "out" / "labels" / "a.tif")).tolist() == [0, 7]


# --- masks made clean


@pytest.mark.parametrize(("mask", "suffix"), [(MASK, ".jpg"), (SMOOTH, ".png"), (SMOOTH, ".tif")])
def test_clean_takes_ragged_masks(put, bring, tmp_path, mask, suffix):
    put(mask=mask, suffix=suffix)
    assert bring(clean=True).refused == []
    assert (read_mask(tmp_path / "out" / "masks" / "a.png") != (LABELS > 0)).mean() < 0.02


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int32, np.uint32])
@pytest.mark.parametrize("times", [1, 16])
def test_clean_takes_eight_bits_in_a_deeper_file(put, bring, tmp_path, dtype, times):
    put(mask=(np.uint16(SMOOTH) * times).astype(dtype), suffix=".tif")
    assert bring(clean=True).refused == []
    assert (read_mask(tmp_path / "out" / "masks" / "a.png") != (LABELS > 0)).mean() < 0.02


@pytest.mark.parametrize("times", [1, 40])
@pytest.mark.parametrize("clean", [False, True])
def test_a_label_image_with_stray_pixels_is_not_cut_at_half(put, bring, times, clean):
    ids = label(LABELS > 0)
    rows, columns = np.indices(ids.shape)
    for number in range(1, ids.max() + 1):  # two pixels astray
        place = np.argwhere((ids == 0) & (rows % 7 == 3) & (columns % 7 == 3))[[number, -number]]
        ids[tuple(place.T)] = number
    put()
    put("bad", (ids * times).astype(np.uint8))
    assert "a label image, it seems" in reasons(bring(clean=clean))["bad.png"]


def test_clean_takes_masks_of_twelve_bits(put, bring, tmp_path):
    put(mask=SMOOTH.astype(np.uint16) * 16, suffix=".tif")
    assert bring(clean=True).refused == []
    assert (read_mask(tmp_path / "out" / "masks" / "a.png") != (LABELS > 0)).mean() < 0.02


@pytest.mark.parametrize("clean", [False, True])
def test_soft_outlines_are_no_numbers_of_nuclei(put, bring, tmp_path, clean):
    """The greys of three smoothed outlines hardly repeat: each could be the id of one pixel."""
    rows, columns = np.indices((512, 512))
    inside = [
        17.3 - np.hypot((rows - r) * 0.9, columns - c)
        for r, c in ((100.3, 90.7), (300.1, 200.2), (200.4, 400.6))
    ]
    soft = np.uint8(255 * np.clip(np.max(inside, axis=0) + 0.5, 0, 1))
    put("soft", soft, image=np.random.default_rng(0).random((512, 512)))
    put("good")
    report = bring(clean=clean)
    if not clean:
        assert "scattered like those of a grey picture" in reasons(report)["soft.png"]
        return
    assert report.refused == []
    assert not (tmp_path / "out" / "labels" / "soft.tif").exists()
    assert read_mask(tmp_path / "out" / "masks" / "soft.png").sum() == pytest.approx(
        (soft > 127).sum(), rel=0.02
    )


def test_small_nuclei_and_stray_ids_are_still_labels(put, bring, tmp_path):
    small = np.kron(np.arange(256).reshape(16, 16), [[1, 1, 0], [1, 1, 0], [0, 0, 0]])
    put("small", small.astype(np.uint8), image=np.random.default_rng(0).random(small.shape))
    stray = label(LABELS > 0).astype(np.uint8)
    stray[[0, 0, 0], [0, 30, 60]] = 11, 12, 13
    put("stray", stray)
    assert bring().refused == []
    assert len(np.unique(read_labels(tmp_path / "out" / "labels" / "small.tif"))) == 256


def test_clean_takes_a_soft_mask_that_jpeg_has_made_ragged(put, bring, tmp_path):
    put("soft", np.uint8(gaussian_filter(MASK.astype(float), 2)), ".jpg")
    assert bring(clean=True).refused == []


def test_clean_does_not_turn_a_mask_of_imagej_round(put, bring, tmp_path):
    put("soft", None)
    tifffile.imwrite(tmp_path / "masks" / "soft.tif", SMOOTH, photometric="miniswhite")
    assert bring(clean=True).refused == []
    assert (read_mask(tmp_path / "out" / "masks" / "soft.png") != (LABELS > 0)).mean() < 0.02


def test_clean_does_not_cut_a_label_image_that_jpeg_has_spoiled(put, bring):
    put("good")
    put("bad", (50 * label(LABELS > 0)).astype(np.uint8), ".jpg")
    assert "a label image, it seems" in reasons(bring(clean=True))["bad.png"]


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_what_a_transparent_mask_means_nobody_knows(put, bring, clean, suffix):
    painted = np.dstack([np.full_like(MASK, 255)] * 3 + [MASK])
    put("good")
    put("bad", painted, suffix)
    assert "is transparent in places" in reasons(bring(clean=clean))["bad.png"]
    opaque = np.dstack([MASK] * 3 + [np.full_like(MASK, 255)])
    put("opaque", opaque, suffix)
    assert "opaque.png" not in reasons(bring("again", clean=clean))


@pytest.mark.parametrize("background", [0, 255])
def test_a_palette_may_be_transparent_too(put, bring, tmp_path, background):
    """Black nuclei on nothing: what lies behind nothing, the file does not say."""
    put("good")
    put("bad")
    picture = Image.fromarray((MASK > 0).astype(np.uint8), "P")
    picture.putpalette([background] * 3 + [0, 0, 0] + [0] * 762)
    picture.save(tmp_path / "masks" / "bad.png", transparency=0)
    assert "is transparent in places" in reasons(bring())["bad.png"]


@pytest.mark.parametrize("specks", [0, 1])
def test_a_section_without_a_nucleus_may_be_a_jpeg(put, bring, tmp_path, specks):
    empty = np.zeros_like(MASK)
    empty[5, 5] = 255 * specks
    put("empty", empty, ".jpg")
    put("good")
    assert bring(clean=True).refused == []
    assert not read_mask(tmp_path / "out" / "masks" / "empty.png").any()


def test_two_labels_are_a_label_image_in_a_jpeg_too(put, bring):
    two = np.where(label(LABELS > 0) == 1, 127, np.where(label(LABELS > 0) == 2, 255, 0))
    put("bad", two.astype(np.uint8), ".jpg")
    put("good")
    assert "a label image, it seems" in reasons(bring(clean=True))["bad.png"]


def test_damaged_notes_of_a_camera_are_no_reason(put, bring, tmp_path):
    put("a")
    with Image.open(tmp_path / "images" / "a.png") as picture:
        picture.save(tmp_path / "images" / "a.png", exif=b"Exif\0\0rubbish")
    assert bring().refused == []


@pytest.mark.parametrize("turned", [3, 6])
def test_a_picture_that_is_to_be_turned_is_refused(put, bring, tmp_path, turned):
    put("good")
    put("bad")
    exif = Image.Exif()
    exif[0x0112] = turned
    with Image.open(tmp_path / "images" / "bad.png") as picture:
        picture.save(tmp_path / "images" / "bad.png", exif=exif)
    assert f"EXIF orientation {turned}" in reasons(bring())["bad.png"]
    (tmp_path / "masks" / "bad.png").unlink()
    put("bad", SQUARE, ".roi", image=None)  # drawn in ImageJ, which does not turn it
    assert bring("again").refused == []
    (tmp_path / "masks" / "bad.roi").unlink()
    tifffile.imwrite(tmp_path / "masks" / "bad.tif", MASK, imagej=True)
    assert bring("mask").refused == []


def test_a_full_disk_is_no_fault_of_a_picture(put, bring, tmp_path, monkeypatch):
    put("a")
    tifffile.imwrite(
        tmp_path / "images" / "s.tif",
        np.stack([np.uint8(PICTURE * 255)] * 3),
        photometric="minisblack",
    )
    tifffile.imwrite(tmp_path / "masks" / "s.tif", np.stack([LABELS] * 3), photometric="minisblack")
    real, written = importing.write_mask, []

    def full(path, mask):
        written.append(path)
        if len(written) == 3:
            raise cannot_write(path, OSError(28, "No space left on device"))
        real(path, mask)

    monkeypatch.setattr(importing, "write_mask", full)
    with pytest.raises(InputError, match="No space left on device"):
        bring()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_clean_does_not_guess_at_colours(put, bring, suffix):
    put("good")
    put("bad", np.dstack([MASK, MASK.T, 255 - MASK]), suffix)
    assert "is coloured; expected grey" in reasons(bring(clean=True))["bad.png"]


def test_clean_mask_step_by_step():
    grey = np.zeros((40, 40))
    grey[5:15, 5:15] = 0.8  # a nucleus: loses its corners, no more
    grey[20:25, 20:24] = 0.8  # 5 x 4 pixels less 4 corners: too small
    grey[30, 2:30] = 0.8  # a hair
    grey[0:8, 30:38] = 0.8  # cut by the border: keeps that side
    grey[5:15, 15] = 0.39  # a rag under half of the maximum
    expected = np.zeros((40, 40), bool)
    expected[5:15, 5:15] = True
    expected[[5, 5, 14, 14], [5, 14, 5, 14]] = False
    expected[0:8, 30:38] = True
    expected[[7, 7], [30, 37]] = False
    assert (clean_mask(grey) == expected).all()
    assert not clean_mask(np.full((30, 30), 0.05)).any()
    assert clean_mask(np.ones((30, 30))).all()
    with pytest.raises(InputError, match="NaN"):
        clean_mask(np.full((3, 3), np.nan))


# --- ImageJ's outlines


def painted(content, shape=(30, 30)):
    return rois_to_labels([read_roi(content, "a.roi")], shape) > 0


def block(top, left, bottom, right, shape=(30, 30)):
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


@pytest.mark.parametrize("kind", [0, 7, 8])
def test_outlines_of_corners(kind):
    corners = [(10, 10), (10, 20), (20, 20), (20, 10)]
    assert (painted(roi_bytes(kind, points=corners)) == block(10, 10, 20, 20)).all()
    low = [(r + 0.6, c + 0.4) for r, c in corners]
    assert (painted(roi_bytes(kind, points=low, sub_pixel=True)) == block(11, 10, 21, 20)).all()


def test_a_traced_outline_gives_its_pixels_back():
    """An outline along the sides of pixels, as ImageJ's wand draws it, holds exactly these."""
    steps = [(2, 2), (2, 5), (3, 5), (3, 7), (6, 7), (6, 4), (5, 4), (5, 2)]
    expected = block(2, 2, 5, 5) | block(3, 4, 6, 7) | block(3, 2, 5, 7)
    assert (painted(roi_bytes(8, points=steps)) == expected).all()


def test_polygons_agree_with_scikit_image():
    chance = np.random.default_rng(0)
    for _ in range(20):
        corners = chance.uniform(2, 28, (chance.integers(3, 9), 2))
        ours = painted(roi_bytes(7, points=corners, sub_pixel=True))
        float32 = corners.astype(np.float32).astype(float)
        theirs = polygon2mask((30, 30), float32 - 0.5)  # they put centres on whole numbers
        assert (ours != theirs).sum() <= 1


def test_a_disc_comes_back_from_its_contour():
    contour = max(find_contours(LABELS == 2, 0.5), key=len)[:-1] + 0.5
    ours = painted(roi_bytes(7, points=contour, sub_pixel=True), LABELS.shape)
    assert (ours == (LABELS == 2)).all()


def test_rectangles_and_ovals():
    assert (painted(roi_bytes(1, (3, 4, 9, 12))) == block(3, 4, 9, 12)).all()
    sharp = roi_bytes(1, (3, 4, 9, 12), sub_pixel=True, rectangle=(4.6, 3.4, 8, 6))
    assert (painted(sharp) == block(3, 5, 9, 13)).all()
    rows, columns = np.mgrid[:30, :30] + 0.5
    oval = ((rows - 10) / 5) ** 2 + ((columns - 14) / 8) ** 2 <= 1
    assert (painted(roi_bytes(2, (5, 6, 15, 22))) == oval).all()


def test_outlines_over_the_border_are_cut():
    assert (painted(roi_bytes(1, (-5, -5, 4, 3))) == block(0, 0, 4, 3)).all()
    assert (painted(roi_bytes(2, (20, 20, 60, 60)))[25:, 29]).any()


def test_a_set_becomes_labels(put, bring, tmp_path):
    second = roi_bytes(1, (15, 15, 30, 40))
    rois = {"0001.roi": SQUARE, "0002.roi": second, "__MACOSX/._1.roi": b"x", "readme.txt": b"x"}
    content = write_set(tmp_path / "set.zip", rois).read_bytes()
    put("a", content, ".zip", mask_name="a_RoiSet")
    put("b", SQUARE, ".roi")
    report = bring()
    assert report.refused == []
    expected = np.zeros(LABELS.shape, int)
    expected[10:20, 10:20] = 1
    expected[15:30, 15:40] = 2  # the later one is on top
    assert (read_labels(tmp_path / "out" / "labels" / "a.tif") == expected).all()
    assert (read_labels(tmp_path / "out" / "labels" / "b.tif") == block(
        10, 10, 20, 20, LABELS.shape
    )).all()  # fmt: skip


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"Iout", "ends after 4 bytes .*expected a .roi file of 64 or more"),
        (b"x" * 100, "no ImageJ ROI"),
        (roi_bytes(3), "a straight line, which has no area"),
        (roi_bytes(10, points=[(1, 1)]), "a point, which has no area"),
        (roi_bytes(5, points=[(1, 1), (2, 2), (1, 5)]), "a polyline"),
        (roi_bytes(1, (0, 0, 5, 5), subtype=1), "a text or picture"),
        (roi_bytes(1, (0, 0, 5, 5), shape_size=12), "a composite selection.*Split"),
        (roi_bytes(6), "unknown type 6"),
        (with_bytes(SQUARE, 50, 1), "a spline of which .*Interpolate"),
        (with_bytes(roi_bytes(1, (0, 0, 5, 5)), 54, 4), "a rectangle with round corners"),
        (roi_bytes(0, points=[(1, 1), (2, 2)]), "three corners at least"),
        (SQUARE[:-1], "three corners at least, all of them"),
        (roi_bytes(7, points=[(1, 1), (5, 1), (5, 5)], sub_pixel=True)[:-2], "all of them"),
        (roi_bytes(1, sub_pixel=True, rectangle=(0, 0, np.nan, 5)), "corners that are no pixels"),
        (roi_bytes(1, sub_pixel=True, rectangle=(0, 0, 1e30, 5)), "corners that are no pixels"),
    ],
)
def test_refused_outlines(content, match):
    with pytest.raises(InputError, match=match):
        read_roi(content, "a.roi")


def test_refused_sets(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"holds no \.roi file"):
        read_rois(write_set(tmp_path / "a.zip", {"a.txt": b""}))
    sections = {str(n) + ".roi": roi_bytes(1, (0, 0, 5, 5), position=n) for n in (1, 2)}
    with pytest.raises(InputError, match="several sections of a stack"):
        read_rois(write_set(tmp_path / "a.zip", sections))
    with pytest.raises(InputError, match="a way out"):
        read_rois(write_set(tmp_path / "a.zip", {"../a.roi": SQUARE}))
    with pytest.raises(InputError, match="holds more than"):
        read_rois(write_set(tmp_path / "a.zip", {"a.roi": bytes(9 * 2**20)}))
    (tmp_path / "a.roi").write_bytes(bytes(9 * 2**20))
    with pytest.raises(InputError, match="is larger than"):
        read_rois(tmp_path / "a.roi")
    rois = [read_roi(roi_bytes(1, (50, 50, 60, 60)), "far")]
    with pytest.raises(InputError, match=r"1 of 1 outlines \(far\) cover no pixel"):
        rois_to_labels(rois, (30, 30))
    with pytest.raises(InputError, match="lie wholly under another one"):
        rois_to_labels([read_roi(SQUARE, "a"), read_roi(SQUARE, "b")], (30, 30))


def fuzz(folder, rounds: int, seed: int = 0) -> int:
    """Read and paint damaged outlines; how many were still good. All else must be InputError."""
    chance, good = random.Random(seed), 0
    corners = np.random.default_rng(0).uniform(0, 30, (40, 2))
    seeds = [
        SQUARE,
        roi_bytes(7, points=corners),
        roi_bytes(7, points=corners, sub_pixel=True),
        roi_bytes(1, (3, 4, 9, 12)),
        roi_bytes(2, (3, 4, 9, 12), sub_pixel=True, rectangle=(1, 2, 3, 4)),
    ]
    rois = {f"{n}.roi": content for n, content in enumerate(seeds)}
    seeds.append(write_set(folder / "set.zip", rois).read_bytes())
    for _ in range(rounds):
        (folder / "damaged").write_bytes(mutate(chance.choice(seeds), chance))
        try:
            rois_to_labels(read_rois(folder / "damaged"), (40, 40))
            good += 1
        except InputError:
            pass
    return good


def test_damaged_outlines_give_a_sentence_only(tmp_path):
    start = time.monotonic()
    assert 0 < fuzz(tmp_path, 400) < 400
    assert time.monotonic() - start < 30


def test_many_corners_do_not_hang():
    corners = np.random.default_rng(0).uniform(0, 500, (60_000, 2))
    start = time.monotonic()
    painted(roi_bytes(7, points=corners, sub_pixel=True), (500, 500))
    assert time.monotonic() - start < 20


def test_the_door_names_what_is_there():
    assert all(hasattr(exchange, name) for name in exchange.__all__)
    assert exchange.unpack is unpack
