"""Reading, writing and pairing: what comes back is what was stored, or a sentence."""

import os

import numpy as np
import pytest
import tifffile
from helpers import draw_discs, files_under
from PIL import Image
from skimage.color import rgb2gray

from devotools import images
from devotools._validate import InputError
from devotools.images import (
    pair_files,
    read_image,
    read_labels,
    read_mask,
    replace_file,
    stretch_contrast,
    to_grey,
    write_image,
    write_labels,
    write_mask,
)

RAMP = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


def save_tiff(path, array, **options):
    tifffile.imwrite(path, array, **options)
    return path


def save_png(path, array, mode=None):
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(path)
    return path


# --- reading a micrograph


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "TIF", "tiff", "gif", "webp", "PNG"])
def test_eight_bit_is_divided_by_255_in_every_lossless_format(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    if suffix == "webp":
        Image.fromarray(RAMP).convert("RGB").save(path, lossless=True)
    else:
        Image.fromarray(RAMP).save(path)
    image = read_image(path)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, RAMP / 255, atol=2e-7)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_copy_agrees_with_eight_bit(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    array = RAMP.astype(np.uint16) * 257
    save_png(path, array) if suffix == "png" else save_tiff(path, array)
    np.testing.assert_allclose(read_image(path), RAMP / 255, atol=1e-6)


def test_grey_stored_as_colour_is_the_same_grey(tmp_path):
    for mode in ("RGB", "RGBA", "LA", "P", "CMYK"):
        path = tmp_path / f"{mode}.{'tif' if mode == 'CMYK' else 'png'}"
        Image.fromarray(RAMP).convert("RGB" if mode == "CMYK" else mode).save(path)
        np.testing.assert_allclose(read_image(path), RAMP / 255, atol=2e-3, err_msg=mode)


def test_colour_becomes_luminance(tmp_path):
    colour = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    expected = rgb2gray(colour)
    np.testing.assert_allclose(
        read_image(save_png(tmp_path / "a.png", colour)), expected, atol=1e-5
    )
    planar = np.moveaxis(colour, -1, 0)
    for name, array, planes in (("b", colour, "contig"), ("c", planar, "separate")):
        options = {"photometric": "rgb", "planarconfig": planes, "iccprofile": bytes(128)}
        path = save_tiff(tmp_path / f"{name}.tif", array, **options)
        np.testing.assert_allclose(read_image(path), expected, atol=1e-5)


def test_palette_is_looked_up(tmp_path):
    palette = np.zeros((3, 256), np.uint16)
    palette[:, 1] = 65535
    path = save_tiff(
        tmp_path / "a.tif", np.array([[0, 1]], np.uint8), photometric="palette", colormap=palette
    )
    np.testing.assert_allclose(read_image(path), [[0, 1]], atol=1e-6)


def test_transparency_is_ignored(tmp_path):
    clear = np.dstack([RAMP, RAMP, RAMP, np.zeros_like(RAMP)])
    np.testing.assert_allclose(
        read_image(save_png(tmp_path / "a.png", clear)), RAMP / 255, atol=1e-6
    )


@pytest.mark.parametrize("compression", ["lzw", "zstd", "zlib"])
def test_compressed_tiff(tmp_path, compression):
    path = save_tiff(tmp_path / "a.tif", RAMP, compression=compression)
    np.testing.assert_allclose(read_image(path), RAMP / 255, atol=1e-7)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_printers_colours_are_turned_into_light(tmp_path, kind):
    colours = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
    ink = colours.astype(kind) * (np.iinfo(kind).max // 255)
    path = save_tiff(tmp_path / "a.tif", ink, photometric="separated")
    rgb = np.asarray(Image.fromarray(colours, "CMYK").convert("RGB"))
    np.testing.assert_allclose(read_image(path), rgb2gray(rgb), atol=2 / 255)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP"])
def test_a_picture_that_is_called_tif_and_is_none(tmp_path, kind):
    Image.fromarray(np.full((9, 9), 51, np.uint8)).save(tmp_path / "a.tif", format=kind)
    np.testing.assert_allclose(read_image(tmp_path / "a.tif"), 0.2, atol=2 / 255)


def test_a_folder_in_place_of_the_file_is_named(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(InputError, match=r"a\.png' cannot be written: it is a folder; expected"):
        write_image(tmp_path / "a.png", np.zeros((4, 4)))


def test_ink_is_turned_into_light(tmp_path):
    path = save_tiff(tmp_path / "a.tif", RAMP, photometric="miniswhite")
    np.testing.assert_allclose(read_image(path), 1 - RAMP / 255, atol=1e-7)


def test_what_pillow_takes_for_a_bomb_is_read(tmp_path, monkeypatch):
    write_image(tmp_path / "a.png", np.full((64, 64), 0.5))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert read_image(tmp_path / "a.png").shape == (64, 64)
    assert Image.MAX_IMAGE_PIXELS == 1000


@pytest.mark.parametrize("compression", ["raw", "group4"])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_one_bit_masks_say_which_value_is_white(tmp_path, compression, white_is_zero):
    mask = RAMP > 100
    stored = ~mask if white_is_zero else mask
    Image.fromarray(stored).save(
        tmp_path / "a.tif", compression=compression, tiffinfo={262: 0 if white_is_zero else 1}
    )
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        said = (tiff.pages[0].asarray() == 1) ^ (tiff.pages[0].photometric == 0)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.tif"), said)


def test_the_writer_of_tifffile_says_of_every_bool_that_white_is_zero(tmp_path):
    path = save_tiff(tmp_path / "a.tif", RAMP > 100)
    np.testing.assert_array_equal(read_mask(path), RAMP > 100)


def test_few_nuclei_in_a_deep_dark_are_no_outliers():
    image = np.abs(np.random.default_rng(0).normal(size=(256, 256)))
    image[100:108, 100:110] = 6000  # a tenth of a percent
    grey = to_grey(image)
    assert grey[100, 100] == pytest.approx(1, abs=1e-3)
    assert grey[:90].max() < 0.01


@pytest.mark.parametrize("value", [1e6, -1e6, 1e30])
def test_one_value_far_off_takes_no_contrast_from_the_others(tmp_path, value):
    """A detector's code for *no value*."""
    ramp = np.tile(RAMP, (10, 10)).astype(np.float32)
    picture = ramp.copy()
    picture[0, 0] = value
    grey = read_image(save_tiff(tmp_path / "a.tif", picture))
    assert 0 <= grey.min() < grey.max() <= 1
    np.testing.assert_allclose(stretch_contrast(grey)[1:], stretch_contrast(ramp)[1:], atol=0.02)


def test_the_previews_in_a_cameras_jpeg_are_no_stack(tmp_path):
    picture, preview = (Image.new("RGB", (side, side), "gray") for side in (32, 8))
    picture.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[preview])
    assert read_image(tmp_path / "a.jpg").shape == (32, 32)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (np.array([[0.25, 1.0]], np.float32), [[0.25, 1.0]]),
        (np.array([[0.25, 0.5]], np.float64), [[0.25, 0.5]]),
        (np.array([[-10, 30]], np.float32), [[0, 1]]),
        (np.array([[0, 1000, 4000]], np.float32), [[0, 0.25, 1]]),
        (np.array([[-100, 0, 300]], np.int16), [[0, 0.25, 1]]),
        (np.array([[0, 32767]], np.int16), [[0, 1]]),
        (np.array([[5.0, 5.0]], np.float32), [[0, 0]]),
        (np.array([[0, 255]], np.uint8), [[0, 1]]),
        (np.array([[0, 2**32 - 1]], np.uint32), [[0, 1]]),
        (np.array([[False, True]]), [[0, 1]]),
        (np.array([[0.5]], np.float16), [[0.5]]),
        (np.array([[128]], np.uint8), [[128 / 255]]),
    ],
    ids=lambda value: f"{value.dtype}" if isinstance(value, np.ndarray) else "",
)
def test_numbers_become_zero_to_one(tmp_path, stored, expected):
    image = read_image(save_tiff(tmp_path / "a.tif", stored))
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, expected, atol=1e-6)
    np.testing.assert_array_equal(image, to_grey(stored))


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (9, 2), (9, 3), (9, 4), (3, 9)])
def test_thin_pictures_keep_their_shape(tmp_path, shape):
    array = np.full(shape, 51, np.uint8)
    for path in (save_tiff(tmp_path / "a.tif", array), save_png(tmp_path / "a.png", array)):
        np.testing.assert_allclose(read_image(path), np.full(shape, 0.2), atol=1e-6)


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    path = save_png(tmp_path / "a.png", RAMP)

    def locked(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", locked)  # rights on disk do not bind the administrator
    with pytest.raises(InputError, match=r"a.png' may not be read.*; expected .*Ask its owner"):
        read_image(path)


def test_odd_names_are_read(tmp_path):
    for name in ("day.2.png", "Ä b ñ 核.png", "with space.PNG", "-dash.png"):
        assert read_image(save_png(tmp_path / name, RAMP)).shape == RAMP.shape
    link = tmp_path / "link.png"
    link.symlink_to(tmp_path / "day.2.png")
    assert read_image(str(link)).shape == RAMP.shape


def test_stacks_are_refused(tmp_path):
    save_tiff(tmp_path / "pages.tif", np.zeros((3, 8, 9), np.uint8), photometric="minisblack")
    save_tiff(tmp_path / "fiji.tif", np.zeros((3, 8, 9), np.uint8), imagej=True)
    save_tiff(tmp_path / "appended.tif", RAMP)
    save_tiff(tmp_path / "appended.tif", RAMP, append=True)
    frames = [Image.fromarray(RAMP), Image.fromarray(RAMP + 1)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    for name in ("pages.tif", "fiji.tif", "appended.tif", "film.gif"):
        with pytest.raises(InputError, match=r"is a stack of \d.* expected one picture"):
            read_image(tmp_path / name)


@pytest.mark.parametrize("planes", [3, 4])
def test_planes_that_may_be_sections_are_refused(tmp_path, planes):
    """tifffile stores three sections so by itself; mixed as colours they would be worth nothing."""
    sections = np.random.default_rng(0).integers(0, 256, (planes, 20, 30), dtype=np.uint8)
    options = {"photometric": "rgb", "planarconfig": "separate"}
    path = save_tiff(tmp_path / "a.tif", sections, **options)
    with pytest.raises(InputError, match=rf"{planes} planes stored as .*photometric='minisblack'"):
        read_image(path)
    named = save_tiff(tmp_path / "b.tif", sections, **options, metadata={"axes": "ZYX"})
    with pytest.raises(InputError, match="planes stored as colours"):
        read_image(named)
    grey = save_tiff(tmp_path / "c.tif", sections[[0, 0, 0, 1][:planes]], **options)
    np.testing.assert_allclose(read_image(grey), sections[0] / 255, atol=1e-5)


def test_pages_of_different_sizes_are_refused(tmp_path):
    path = save_tiff(tmp_path / "a.tif", np.zeros((40, 40), np.uint8), metadata=None)
    save_tiff(path, np.zeros((31, 40), np.uint8), append=True, metadata=None)
    with pytest.raises(
        InputError, match=r"different sizes \(40 x 40, 31 x 40\); expected one size"
    ):
        read_image(path)


@pytest.mark.parametrize(
    ("shape", "flag"), [((16, 16), 0), ((16, 17), 0), ((30, 30), 1)], ids=["half", "odd", "marked"]
)
def test_a_thumbnail_is_passed_over(tmp_path, shape, flag):
    picture = np.full((31, 33), 255, np.uint8)
    path = save_tiff(tmp_path / "a.tif", picture, metadata=None)
    save_tiff(path, np.zeros(shape, np.uint8), append=True, metadata=None, subfiletype=flag)
    assert (read_image(path) == 1).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_is_refused(tmp_path, value):
    grey = np.zeros((4, 4), np.float32)
    grey[1, 1] = value
    with pytest.raises(InputError, match="1 values that are NaN or infinite"):
        read_image(save_tiff(tmp_path / "a.tif", grey))
    colour = np.dstack([grey] * 3)
    with pytest.raises(InputError, match="NaN or infinite"):
        read_image(save_tiff(tmp_path / "b.tif", colour, photometric="rgb"))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "gif", "bmp"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_truncated_file_is_refused(tmp_path, suffix, share):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: max(5, int(share * len(whole)))])
    with pytest.raises(InputError, match=r"a\.\w+' (cannot be read|is not an image|is a TIFF wi)"):
        read_image(path)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_a_jpeg_in_a_tiff_that_was_cut_off_is_refused(tmp_path, share):
    """A JPEG decoder would make up what is missing."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8), compression="jpeg"
    )
    whole = path.read_bytes()
    read_image(path)
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"is cut off: it has .* bytes; expected .*Copy it again"):
        read_image(path)


@pytest.mark.parametrize("channels", [2, 3, 4, 5])
def test_stains_in_one_page_are_not_mixed(tmp_path, channels):
    path = tmp_path / "stains.tif"
    stains = np.random.default_rng(0).integers(0, 256, (8, 9, channels), np.uint8)
    tifffile.imwrite(path, stains, photometric="minisblack", planarconfig="contig")
    with pytest.raises(InputError, match=rf"has {channels} channels; expected one.*Split Channels"):
        read_image(path)


def test_grey_with_transparency_is_no_two_stains(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (8, 9), np.uint8)
    path, both = tmp_path / "a.tif", np.dstack([grey, 255 - grey])
    tifffile.imwrite(path, both, photometric="minisblack", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(read_image(path), read_image_of(grey, tmp_path))


def read_image_of(array, folder):
    tifffile.imwrite(folder / "plain.tif", array)
    return read_image(folder / "plain.tif")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_missing_empty_text_and_folder_are_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    with pytest.raises(InputError, match="does not exist"):
        read_image(path)
    path.touch()
    with pytest.raises(InputError, match="is empty"):
        read_image(path)
    path.write_text("just a note")
    with pytest.raises(InputError, match=r"(is not an image|cannot be read)"):
        read_image(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match="is a folder"):
        read_image(path)


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "a\0b.png"])
def test_impossible_names_are_refused(name):
    with pytest.raises(InputError, match="expected"):
        read_image(name)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes among files")
def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(InputError, match="pipe"):
        read_image(tmp_path / "a.png")


def test_microscope_format_names_the_way_out(tmp_path):
    (tmp_path / "a.CZI").write_bytes(b"ZISRAWFILE")
    with pytest.raises(InputError, match=r"Open it in Fiji .* save it as TIFF"):
        read_image(tmp_path / "a.CZI")


def test_a_size_that_no_memory_holds_is_refused(tmp_path):
    path = save_tiff(tmp_path / "a.tif", RAMP, compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[0].tags["ImageWidth"].overwrite(2**31 - 1, dtype="I")
    with pytest.raises(InputError, match=r"12,884,901,882 numbers; expected 1,073,741,824 at most"):
        read_image(path)


def test_complex_and_five_channels_are_refused(tmp_path):
    with pytest.raises(InputError, match="complex"):
        read_image(save_tiff(tmp_path / "a.tif", np.zeros((4, 4), np.complex64)))
    five = np.zeros((8, 8, 5), np.uint8)
    options = {"photometric": "minisblack", "planarconfig": "contig"}
    with pytest.raises(InputError, match="expected"):
        read_image(save_tiff(tmp_path / "b.tif", five, **options))


# --- contrast


def test_contrast_is_stretched_to_the_percentiles():
    image = np.linspace(0.4, 0.6, 1000, dtype=np.float32).reshape(20, 50)
    stretched = stretch_contrast(image)
    low, high = np.percentile(image, (1, 99.8))
    np.testing.assert_allclose(stretched, np.clip((image - low) / (high - low), 0, 1), atol=1e-5)


def test_contrast_of_flat_and_nearly_flat_pictures():
    assert not stretch_contrast(np.full((5, 5), 0.3)).any()
    lone = np.zeros((100, 100), np.float32)
    lone[3, 3] = 0.5  # between the percentiles there is nothing
    assert stretch_contrast(lone)[3, 3] == 1
    assert stretch_contrast(lone).sum() == 1


@pytest.mark.parametrize("dtype", ["uint32", "int32", "uint64", "int64", ">i8"])
def test_contrast_of_whole_numbers_of_a_wide_dtype(dtype):
    """Divided by the maximum of their dtype they are almost 0, and still a picture."""
    narrow = np.arange(240, dtype=np.uint8).reshape(12, 20)
    np.testing.assert_allclose(
        stretch_contrast(to_grey(narrow.astype(dtype))), stretch_contrast(narrow), atol=1e-5
    )


def test_contrast_beyond_what_32_bits_hold():
    assert stretch_contrast(np.array([[0, 1e300], [1e299, 2e299]])).max() == 1


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.uint32])
def test_images_of_unknown_range_are_not_written(tmp_path, dtype):
    array = np.array([[-5, 7]], np.int16) if dtype is np.int16 else np.array([[5, 7]], dtype)
    with pytest.raises(InputError, match=r"dtype .* runs from -?5 to 7; .* as uint8 or uint16"):
        write_image(tmp_path / "a.png", array)
    assert not list(tmp_path.iterdir())


# --- masks and labels


@pytest.mark.parametrize(
    "stored",
    [
        np.array([[0, 1], [1, 0]], np.uint8),
        np.array([[0, 255], [255, 0]], np.uint8),
        np.array([[7, 9], [9, 7]], np.uint8),
        np.array([[0, 65535], [65535, 0]], np.uint16),
        np.array([[0.0, 1.0], [1.0, 0.0]], np.float32),
        np.array([[False, True], [True, False]]),
        np.array([[-1, 1], [1, -1]], np.int16),
    ],
    ids=["01", "0-255", "7-9", "16bit", "float", "bool", "negative"],
)
def test_two_values_are_a_mask(tmp_path, stored):
    expected = [[False, True], [True, False]]
    mask = read_mask(save_tiff(tmp_path / "a.tif", stored))
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, expected)
    if stored.dtype in (np.uint8, bool):
        np.testing.assert_array_equal(read_mask(save_png(tmp_path / "a.png", stored)), expected)


def test_a_mask_of_imagej_holds_what_was_marked_however_it_is_shown(tmp_path):
    """*Create Mask* gives 255 where something was marked, and a table of greys turned round."""
    marked = np.zeros((6, 7), np.uint8)
    marked[2:4, 3] = 255
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, marked, photometric="miniswhite")
    np.testing.assert_array_equal(read_mask(path), marked > 0)
    np.testing.assert_array_equal(read_labels(path) > 0, marked > 0)  # as labels always were
    assert read_image(path)[2, 3] == 0  # a picture is what one sees


def test_a_transparent_mask_is_refused(tmp_path):
    layer = np.full((6, 7, 4), 255, np.uint8)
    layer[..., 3] = 0
    layer[2:4, 3, 3] = 255  # white paint on a layer that is empty elsewhere
    Image.fromarray(layer).save(tmp_path / "m.png")
    with pytest.raises(InputError, match=r"is transparent in places; .*black background"):
        read_mask(tmp_path / "m.png")


def test_two_colours_are_a_mask_and_the_brighter_is_nucleus(tmp_path):
    true = np.random.default_rng(1).random((33, 47)) > 0.5
    for bright, dark in (((255, 255, 255), (0, 0, 0)), ((12, 200, 5), (200, 30, 77))):
        colour = np.where(true[..., None], bright, dark).astype(np.uint8)
        np.testing.assert_array_equal(read_mask(save_png(tmp_path / "a.png", colour)), true)
        clear = np.dstack([colour, np.full(true.shape, 255, np.uint8)])
        np.testing.assert_array_equal(read_mask(save_png(tmp_path / "b.png", clear)), true)


@pytest.mark.parametrize(("value", "nucleus"), [(0, False), (1, True), (255, True)])
def test_a_mask_of_one_value(tmp_path, value, nucleus):
    path = save_png(tmp_path / "a.png", np.full((4, 5), value, np.uint8))
    assert (read_mask(path) == nucleus).all()


def test_more_than_two_values_are_refused_with_the_remedy(tmp_path):
    labels = save_tiff(tmp_path / "a.tif", draw_discs())
    with pytest.raises(InputError, match=r"4 different values.* save labels > 0 as the mask"):
        read_mask(labels)
    Image.fromarray(np.uint8(draw_discs() > 0) * 255).save(tmp_path / "a.jpg", quality=85)
    with pytest.raises(InputError, match=r"saved as JPEG, compute image > 127, half of white"):
        read_mask(tmp_path / "a.jpg")


def test_labels_come_back_as_numbers_whatever_their_palette(tmp_path):
    labels = draw_discs()
    write_labels(tmp_path / "a.tif", labels)
    palette = np.random.default_rng(0).integers(0, 65535, (3, 256), np.uint16)
    save_tiff(tmp_path / "b.tif", labels.astype(np.uint8), photometric="palette", colormap=palette)
    indexed = Image.fromarray(labels.astype(np.uint8))
    indexed.putpalette(list(range(255, -1, -1)) * 3)
    indexed.save(tmp_path / "c.png")
    for name in ("a.tif", "b.tif", "c.png"):
        read = read_labels(tmp_path / name)
        assert read.dtype == np.int32
        np.testing.assert_array_equal(read, labels)


def test_labels_that_are_no_labels_are_refused(tmp_path):
    with pytest.raises(InputError, match="expected whole numbers"):
        read_labels(save_tiff(tmp_path / "a.tif", np.ones((4, 4), np.float32)))
    with pytest.raises(InputError, match="holds -3; expected 0 for background"):
        read_labels(save_tiff(tmp_path / "b.tif", np.full((4, 4), -3, np.int16)))
    with pytest.raises(InputError, match=r"id 4294967295; expected ids below 2\*\*31"):
        read_labels(save_tiff(tmp_path / "c.tif", np.full((4, 4), 2**32 - 1, np.uint32)))


# --- writing


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
def test_what_is_written_is_read_back(tmp_path, suffix):
    labels = draw_discs()
    image = np.round(np.random.default_rng(0).random((64, 64)) * 255) / 255
    new = tmp_path / "new folder" / "deeper"
    write_image(new / f"image{suffix}", image)
    write_mask(new / f"mask{suffix}", labels > 0)
    write_labels(new / f"labels{suffix}", labels)
    np.testing.assert_allclose(read_image(new / f"image{suffix}"), image, atol=1e-6)
    np.testing.assert_array_equal(read_mask(new / f"mask{suffix}"), labels > 0)
    np.testing.assert_array_equal(read_labels(new / f"labels{suffix}"), labels)
    assert files_under(new) == {f"{kind}{suffix}" for kind in ("image", "mask", "labels")}


def test_large_ids_go_into_a_wider_file_or_nowhere(tmp_path):
    large = np.array([[0, 70000]])
    write_labels(tmp_path / "a.tif", large)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), large)
    for name, ids in (("a.png", large), ("b.tif", np.array([[0, 2**31]]))):
        with pytest.raises(InputError, match="expected ids below"):
            write_labels(tmp_path / name, ids)
    assert files_under(tmp_path) == {"a.tif"}


def test_decimals_at_the_end_of_what_there_is_are_in_range():
    most = np.finfo(np.float64).max
    np.testing.assert_allclose(to_grey(np.array([[-most, 0, most]])), [[0, 0.5, 1]])


def test_nothing_is_written_that_would_lose_pixels(tmp_path):
    with pytest.raises(InputError, match=r"expected \.png, \.tif or \.tiff"):
        write_mask(tmp_path / "a.jpg", np.eye(4) > 0)
    with pytest.raises(InputError, match="runs from 0 to 7; expected values from 0 to 1"):
        write_image(tmp_path / "a.png", np.array([[0.0, 7.0]]))
    with pytest.raises(InputError, match="expected a mask of True and False"):
        write_mask(tmp_path / "a.png", np.array([[0.0, 0.1, 0.9]]))
    assert files_under(tmp_path) == set()


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file" / "a.png", tmp_path / "file" / "deep" / "a.png"):
        with pytest.raises(InputError, match=r"a\.png' cannot be written .* choose another name"):
            write_mask(path, np.eye(4) > 0)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_failed_move_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(images.os, "replace", full)
    with pytest.raises(InputError, match="No space left on device"):
        write_image(tmp_path / "a.png", RAMP)
    assert files_under(tmp_path) == {"a.png"}
    assert (tmp_path / "a.png").read_text() == "old"


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_nothing(tmp_path, failure):
    def half(path):
        with replace_file(path) as temporary:
            temporary.write_text("half of i")
            raise failure

    with pytest.raises(failure):
        half(tmp_path / "a.txt")
    assert files_under(tmp_path) == set()


def test_a_name_of_full_length_can_be_written(tmp_path):
    path = tmp_path / ("n" * 251 + ".png")
    write_mask(path, np.eye(4) > 0)
    assert read_mask(path).sum() == 4


# --- pairing


def touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_pairs_go_by_name_not_by_position(tmp_path):
    images_dir = touch(tmp_path / "i", "b.png", "a.tif", "day.2.PNG", ".hidden.png", "notes.txt")
    masks_dir = touch(tmp_path / "m", "a.png", "day.2.tif", "b.png", "Thumbs.db")
    (images_dir / "folder.png").mkdir()
    pairs = pair_files(images_dir, masks_dir)
    assert [pair.name for pair in pairs] == ["a", "b", "day.2"]
    assert all(pair.image.stem == pair.mask.stem for pair in pairs)
    assert pairs[0].labels is pairs[0].embryo is pairs[0].section is None


def test_orphans_of_both_sides_are_named(tmp_path):
    images_dir = touch(tmp_path / "i", "a.png", "only_image.png")
    masks_dir = touch(tmp_path / "m", "a.png", "only_mask.png")
    with pytest.raises(InputError, match=r"1 images .*\(only_image\) and 1 masks .*\(only_mask\)"):
        pair_files(images_dir, masks_dir)


def test_many_orphans_are_cut_short(tmp_path):
    images_dir = touch(tmp_path / "i", "a.png", *(f"x{n:03}.png" for n in range(50)))
    with pytest.raises(InputError, match="x019, and 30 more"):
        pair_files(images_dir, touch(tmp_path / "m", "a.png"))


def test_a_name_that_stands_twice_is_refused(tmp_path):
    images_dir = touch(tmp_path / "i", "a.png", "a.tif")
    with pytest.raises(InputError, match=r"a\.png and a\.tif.*Rename or remove one"):
        pair_files(images_dir, touch(tmp_path / "m", "a.png"))


def test_folders_that_are_missing_or_without_images_are_refused(tmp_path):
    good = touch(tmp_path / "i", "a.png")
    with pytest.raises(InputError, match=r"masks folder .* does not exist"):
        pair_files(good, tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no image"):
        pair_files(good, touch(tmp_path / "m", "a.txt"))
    with pytest.raises(InputError, match="is a file; expected a folder"):
        pair_files(good / "a.png", good)
