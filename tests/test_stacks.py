"""Stacks: what counts as sections, one grey scale, sizes, damaged files, stacks of labels."""

import re
import struct
import tracemalloc
from itertools import repeat

import numpy as np
import pytest
import tifffile
from helpers import files_under
from PIL import Image

from devotools._validate import InputError
from devotools.exchange.stacks import (
    count_pages,
    is_stack,
    open_stack,
    read_pixel_size,
    write_label_stack,
)
from devotools.images import read_image, to_grey

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 60_000, (5, 30, 40), dtype=np.uint16)
SIZES = {"PhysicalSizeX": 120, "PhysicalSizeXUnit": "nm"}
SIZES |= {"PhysicalSizeY": 0.12, "PhysicalSizeYUnit": "µm", "PhysicalSizeZ": 0.5}
OME = {"axes": "ZYX"} | SIZES
DEEP = SIZES["PhysicalSizeZ"]
IMAGEJ = {"axes": "ZYX", "unit": "um", "spacing": 0.5}


def read_all(path):
    with open_stack(path) as stack:
        return np.stack(list(stack))


# --- what a stack is ---------------------------------------------------------------------------

WAYS = {
    "plain": {"metadata": None},
    "shaped": {},
    "lzw": {"compression": "lzw", "photometric": "minisblack"},
    "zstd": {"compression": "zstd", "photometric": "minisblack"},
    "bigtiff": {"bigtiff": True},
    "big-endian": {"byteorder": ">"},
    "tiled": {"tile": (16, 16), "compression": "zlib", "photometric": "minisblack"},
    "one page for all": {"truncate": True},
    "one page, big-endian": {"truncate": True, "byteorder": ">"},
    "imagej": {"imagej": True, "metadata": IMAGEJ},
    "imagej time": {"imagej": True, "metadata": {"axes": "TYX"}},
    "ome": {"ome": True, "metadata": OME},
    "ome lzw": {"ome": True, "metadata": OME, "compression": "lzw"},
    "ome with one channel": {"ome": True, "metadata": {"axes": "CZYX"}},
}


@pytest.mark.parametrize("way", WAYS)
def test_sections_of_every_kind_of_stack(tmp_path, way):
    array = STACK[None] if "channel" in way else STACK
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, array, **WAYS[way])
    assert is_stack(path)
    assert count_pages(path) == 5
    with open_stack(path) as stack:
        assert (len(stack), stack.shape, stack.path) == (5, STACK.shape, path)
        assert stack.axis == {"imagej": "Z", "ome": "Z", "imagej time": "T"}.get(
            way, "Z" if way.startswith("ome") else "I"
        )
        for number in (4, 0, 2):
            section = stack.section(number)
            assert section.dtype == np.float32
            np.testing.assert_array_equal(section, to_grey(STACK[number]))


def test_pages_stored_differently_are_still_one_stack(tmp_path):
    path = tmp_path / "mixed.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(STACK[0], compression="zlib")
        tiff.write(STACK[1])
        tiff.write(STACK[2, :8, :8])  # a thumbnail is no section
    np.testing.assert_array_equal(
        read_all(path), to_grey(STACK[:2].reshape(60, 40)).reshape(2, 30, 40)
    )


def test_one_picture_and_its_thumbnail_are_no_stack(tmp_path):
    path = tmp_path / "thumb.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(STACK[0], metadata=None)
        tiff.write(STACK[1, :8, :8], metadata=None)
    assert not is_stack(path)
    assert count_pages(path) == 1
    np.testing.assert_array_equal(read_all(path)[0], read_image(path))


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_is_not_sections(tmp_path, planar):
    colour = RNG.integers(0, 255, (4, 20, 25, 3), dtype=np.uint8)
    stored = colour if planar == "contig" else np.moveaxis(colour, -1, 1)
    options = {"photometric": "rgb", "planarconfig": planar, "iccprofile": bytes(128)}
    tifffile.imwrite(tmp_path / "one.tif", stored[0], **options)
    tifffile.imwrite(tmp_path / "four.tif", stored, **options)
    assert not is_stack(tmp_path / "one.tif")
    assert count_pages(tmp_path / "four.tif") == 4
    np.testing.assert_array_equal(read_all(tmp_path / "four.tif")[3], to_grey(colour[3]))


def test_planes_that_may_be_sections_are_refused(tmp_path):
    options = {"photometric": "rgb", "planarconfig": "separate"}
    tifffile.imwrite(tmp_path / "four.tif", RNG.random((4, 3, 20, 25), np.float32), **options)
    with (
        pytest.raises(InputError, match=r"3 planes stored as colours.*minisblack"),
        open_stack(tmp_path / "four.tif") as stack,
    ):
        list(stack)
    grey = np.repeat(RNG.integers(0, 255, (4, 1, 20, 25), dtype=np.uint8), 3, axis=1)
    tifffile.imwrite(tmp_path / "grey.tif", grey, **options)
    np.testing.assert_allclose(read_all(tmp_path / "grey.tif"), grey[:, 0] / 255, atol=1e-5)


def test_pyramid_levels_are_not_sections(tmp_path):
    path = tmp_path / "pyramid.ome.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(STACK, subifds=1, tile=(16, 16), metadata={"axes": "ZYX"})
        tiff.write(STACK[:, ::2, ::2], subfiletype=1, tile=(16, 16))
    assert count_pages(path) == 5
    np.testing.assert_array_equal(read_all(path)[4], to_grey(STACK[4]))


def test_palette_and_ink_are_shown_as_in_a_single_picture(tmp_path):
    grey = (STACK >> 8).astype(np.uint8)
    palette = RNG.integers(0, 2**16, (3, 256), dtype=np.uint16)
    for name, options in {
        "palette": {"photometric": "palette", "colormap": palette},
        "ink": {"photometric": "miniswhite"},
    }.items():
        tifffile.imwrite(tmp_path / "stack.tif", grey, **options)
        tifffile.imwrite(tmp_path / "single.tif", grey[2], **options)
        expected = read_image(tmp_path / "single.tif")
        np.testing.assert_array_equal(read_all(tmp_path / "stack.tif")[2], expected, name)


def test_other_files_are_no_stacks(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "broken.tif").write_bytes(b"II*\0 nothing behind")
    (tmp_path / "empty.tif").touch()
    for name in ("a.png", "broken.tif", "empty.tif", "missing.tif"):
        assert not is_stack(tmp_path / name), name
    with pytest.raises(InputError, match=r"is no TIFF.*Save the stack as TIFF"):
        count_pages(tmp_path / "a.png")


# --- refusals ----------------------------------------------------------------------------------

PAIR = np.stack([STACK, STACK])  # (2, 5, H, W)


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (STACK[:3], {"imagej": True, "metadata": {"axes": "CYX"}}, "has 3 channels.*Split Channel"),
        (PAIR, {"ome": True, "metadata": {"axes": "CZYX"}}, "has 2 channels.*Split Channels"),
        (PAIR, {"imagej": True, "metadata": {"axes": "TZYX"}}, r"the axes T=2 x Z=5.*own file"),
        (PAIR, {}, r"the axes Q=2 x Q=5.*own file"),
        (STACK, {"volumetric": True, "tile": (16, 16)}, "all its depth in one page.*Fiji"),
    ],
    ids=["channels", "channels and depth", "time and depth", "two unknown", "volume"],
)
def test_what_is_no_single_series_is_refused(tmp_path, array, options, message):
    path = tmp_path / "odd.tif"
    tifffile.imwrite(path, array, **options)
    assert is_stack(path)  # so that the reason is told, and not that of a single picture
    with pytest.raises(InputError, match=message), open_stack(path):
        pass


def test_positions_are_refused(tmp_path):
    path = tmp_path / "positions.ome.tif"
    with tifffile.TiffWriter(path) as tiff:
        for _ in range(3):
            tiff.write(STACK, metadata={"axes": "ZYX"})
    with pytest.raises(InputError, match=r"holds 3 stacks or positions.*own file"):
        count_pages(path)


def test_pages_of_different_types_are_refused(tmp_path):
    path = tmp_path / "types.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(STACK[0])
        tiff.write(STACK[1].astype(np.float32))
    with pytest.raises(InputError, match=r"different number types.*one type"):
        count_pages(path)


@pytest.mark.parametrize(
    ("first", "second", "sizes"),
    [
        (STACK[0], STACK[1, :25], "30 x 40, 25 x 40"),
        (STACK[0, :8, :8], STACK[1], "8 x 8, 30 x 40"),  # the first is no smaller copy of others
        (STACK[:2], STACK[2], "2 x 30 x 40, 30 x 40"),
        (STACK[0], np.stack([STACK[1]] * 3, -1), "30 x 40, 30 x 40 x 3"),
    ],
    ids=["height", "thumbnail first", "one more", "colour"],
)
def test_pages_of_different_sizes_are_refused(tmp_path, first, second, sizes):
    path = tmp_path / "sizes.tif"
    with tifffile.TiffWriter(path) as tiff:
        for array in (first, second):
            tiff.write(array, photometric="rgb" if array.shape[-1] == 3 else "minisblack")
    for reader in (count_pages, read_image):
        with pytest.raises(InputError, match=rf"sizes \({sizes}\); expected one size.*its own"):
            reader(path)


def test_stack_spread_over_files_is_refused(tmp_path):
    path = tmp_path / "part.ome.tif"
    tifffile.imwrite(path, STACK, metadata={"axes": "ZYX"})
    content = path.read_bytes()
    assert content.count(b'SizeZ="5"') == 1
    path.write_bytes(content.replace(b'SizeZ="5"', b'SizeZ="7"'))  # two sections lie elsewhere
    with pytest.raises(InputError, match=r"several files.*save one file"):
        count_pages(path)


def test_too_many_pages_are_refused(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "long.tif", STACK)
    monkeypatch.setattr("devotools.exchange.stacks.MAX_SECTIONS", 4)
    with pytest.raises(InputError, match=r"more than 4 pages.*shorter series"):
        count_pages(tmp_path / "long.tif")


# --- grey scale --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "array",
    [
        RNG.random((3, 8, 9), dtype=np.float32),
        RNG.random((3, 8, 9), dtype=np.float32) * 7 - 2,
        np.stack([np.full((8, 9), value, np.float32) for value in (0.2, 0.5, 3)]),
        np.full((3, 8, 9), 5.0, np.float32),
        RNG.integers(0, 300, (3, 8, 9), dtype=np.int16),
        RNG.integers(-300, 300, (3, 8, 9), dtype=np.int16),
        RNG.integers(0, 2, (3, 8, 9)).astype(bool),
        RNG.integers(0, 2**32, (3, 8, 9), dtype=np.uint32),
        np.where(RNG.permutation(216) == 0, -3.4e38, RNG.normal(100, 20, 216))
        .astype(np.float32)
        .reshape(3, 8, 9),
    ],
    ids="fraction floats one-bright-section flat int below-zero bool uint32 no-value".split(),
)
def test_grey_is_one_rule_for_the_whole_stack(tmp_path, array):
    """The same as if the stack were one large picture."""
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, array, photometric="minisblack")
    expected = to_grey(array.reshape(-1, array.shape[2])).reshape(array.shape)
    np.testing.assert_allclose(read_all(path), expected, rtol=0, atol=1e-7)


def test_colour_beyond_one_is_stretched_over_the_whole_stack(tmp_path):
    colour = (
        RNG.random((3, 8, 9, 3)).astype(np.float32) * np.float32([1, 2, 3])[:, None, None, None]
    )
    tifffile.imwrite(tmp_path / "stack.tif", colour, photometric="rgb")
    expected = to_grey(colour.reshape(24, 9, 3)).reshape(3, 8, 9)
    np.testing.assert_allclose(read_all(tmp_path / "stack.tif"), expected, rtol=0, atol=1e-6)


def test_a_section_with_nan_is_named(tmp_path):
    array = np.zeros((3, 8, 9), np.float32)
    array[1, 2, 3] = np.nan
    tifffile.imwrite(tmp_path / "nan.tif", array, photometric="minisblack")
    message = r"section 1 of '.*nan.tif' holds 1 values that are NaN"
    with pytest.raises(InputError, match=message), open_stack(tmp_path / "nan.tif"):
        pass


# --- damaged files -----------------------------------------------------------------------------


def test_a_damaged_section_is_named_and_the_others_can_be_read(tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK, compression="zlib", photometric="minisblack")
    with tifffile.TiffFile(path) as tiff:
        start = tiff.series[0][3].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[start : start + 40] = bytes(40)
    path.write_bytes(content)
    with open_stack(path) as stack:
        np.testing.assert_array_equal(stack.section(4), to_grey(STACK[4]))
        with pytest.raises(InputError, match=r"section 3 of '.*stack.tif' cannot be read.*copy it"):
            stack.section(3)


@pytest.mark.parametrize("way", [way for way in WAYS if "channel" not in way])
def test_a_cut_file_is_refused_in_one_sentence(tmp_path, way):
    """Each way of storing pages loses the last ones without a word in tifffile itself."""
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK, **WAYS[way])
    path.write_bytes(path.read_bytes()[:6_000])
    assert is_stack(path)
    with pytest.raises(InputError) as stopped, open_stack(path) as stack:
        list(stack)
    assert "\n" not in str(stopped.value)
    assert "stack.tif" in str(stopped.value)


def test_pages_in_a_circle_are_refused(tmp_path):
    path = tmp_path / "circle.tif"
    tifffile.imwrite(path, STACK, metadata=None)
    with tifffile.TiffFile(path) as tiff:
        offsets = [page.offset for page in tiff.pages]
    content = bytearray(path.read_bytes())
    tags = struct.unpack_from("<H", content, offsets[-1])[0]
    struct.pack_into("<I", content, offsets[-1] + 2 + 12 * tags, offsets[1])
    path.write_bytes(content)
    assert not is_stack(path)
    with pytest.raises(InputError, match="circle"):
        count_pages(path)


def test_a_small_file_that_claims_very_much_is_refused(tmp_path):
    path = tmp_path / "huge.tif"
    tifffile.imwrite(path, STACK, truncate=True)
    content = path.read_bytes()
    assert content.count(b'"shape": [5, 30, 40]') == 1
    path.write_bytes(content.replace(b'"shape": [5, 30, 40]', b'"shape": [99999,30,40]'[:20]))
    with pytest.raises(InputError, match=r"huge.tif"), open_stack(path) as stack:
        list(stack)


def test_claims_are_counted_over_all_sections(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "stack.tif", STACK)
    monkeypatch.setattr("devotools.images.FREE_BYTES", 10_000)
    monkeypatch.setattr("devotools.images.MAX_RATIO", 0)
    with pytest.raises(InputError, match=r"says that it holds 12,000 bytes; expected 10,000"):
        count_pages(tmp_path / "stack.tif")


def test_section_number_outside(tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", STACK)
    with open_stack(tmp_path / "stack.tif") as stack:
        for number in (-1, 5):
            with pytest.raises(InputError, match=rf"section is {number}; expected 0 to 4"):
                stack.section(number)


def peak_of(work):
    work()  # what Python keeps for good, it keeps now
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_sections(tmp_path):
    page, peaks = np.zeros((256, 256), np.uint8), []  # a section is 0.25 MB as float32
    for count in (8, 64):
        path = tmp_path / f"{count}.tif"
        with tifffile.TiffWriter(path) as tiff:
            for _ in range(count):
                tiff.write(page, contiguous=False, metadata=None)

        def read(path=path):
            with open_stack(path) as stack:
                return sum(section.sum() for section in stack)

        def write(count=count):
            labels = np.zeros((256, 256), np.int32)
            write_label_stack(tmp_path / "l.tif", repeat(labels, count), (count, 256, 256))

        peaks.append((peak_of(read), peak_of(write)))
    assert peaks[1][0] < peaks[0][0] + 200_000
    assert peaks[1][1] < peaks[0][1] + 200_000


# --- sizes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "pixel", "thickness", "source"),
    [
        ({"ome": True, "metadata": OME}, 0.12, 0.5, "OME metadata: 0.12 µm a pixel, 0.5 µm from"),
        ({"imagej": True, "metadata": IMAGEJ, "resolution": (8, 8)}, 0.125, 0.5, "ImageJ metadata"),
        (
            {"imagej": True, "metadata": IMAGEJ | {"unit": "\\u00B5m"}, "resolution": (8, 8)},
            0.125,
            0.5,
            "ImageJ metadata",
        ),
        (
            {"imagej": True, "metadata": IMAGEJ | {"unit": "nm"}, "resolution": (0.2, 0.2)},
            0.005,
            0.0005,
            "ImageJ metadata",
        ),
        (
            {"resolution": (50_000, 50_000), "resolutionunit": "centimeter"},
            0.2,
            None,
            "resolution tags",
        ),
        ({"resolution": (254_000, 254_000), "resolutionunit": "inch"}, 0.1, None, "resolution"),
        ({"resolution": (72, 72), "resolutionunit": "inch"}, None, None, "352.8 µm.*screens"),
        ({"resolution": (96, 96), "resolutionunit": "inch"}, None, None, "264.6 µm.*screens"),
        ({"resolution": (4800, 4800), "resolutionunit": "inch"}, None, None, "5.292 µm.*scanners"),
        ({"resolution": (1, 1), "resolutionunit": "centimeter"}, None, None, "for screens"),
        ({"resolution": (1, 1), "resolutionunit": "none"}, None, None, "no pixel size in the file"),
        ({}, None, None, "no pixel size in the file"),
        (
            {"ome": True, "metadata": OME | {"PhysicalSizeX": 352.8, "PhysicalSizeXUnit": "µm"}},
            None,
            None,
            "OME metadata: 352.8 µm.*screens",
        ),
        ({"ome": True, "metadata": OME | {"PhysicalSizeY": 0.3}}, None, DEEP, "are not square"),
        (
            {"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeZ": 0.5}},
            None,
            0.5,
            "no pixel size in the file",
        ),
        ({"ome": True, "metadata": OME | {"PhysicalSizeY": -1}}, None, None, "no size of a pixel"),
        (
            {"ome": True, "metadata": OME | {"PhysicalSizeX": 4e-9, "PhysicalSizeY": 4e-9}},
            None,
            None,
            "4e-09 µm is no size of a pixel",
        ),
        (
            {"imagej": True, "metadata": IMAGEJ | {"unit": "inch"}, "resolution": (4800, 4800)},
            None,
            None,
            "ImageJ metadata: 5.292 µm a pixel is .*scanners",
        ),
        (
            {
                "imagej": True,
                "metadata": IMAGEJ | {"unit": "micron", "spacing": 50, "zunit": "nm"},
                "resolution": (8, 8),
            },
            0.125,
            0.05,
            "0.05 µm from section to section",
        ),
        (
            {
                "imagej": True,
                "metadata": IMAGEJ | {"unit": "um", "yunit": "nm"},
                "resolution": (8,) * 2,
            },
            None,
            0.5,
            "are not square",
        ),
        (
            {"ome": True, "metadata": OME | {"PhysicalSizeXUnit": "pixel"}},
            None,
            DEEP,
            "no pixel size in the file",
        ),
        (
            {"imagej": True, "metadata": IMAGEJ | {"axes": "TYX"}, "resolution": (8, 8)},
            0.125,
            None,
            r"a pixel \(a time series\)",
        ),
    ],
)
def test_pixel_sizes(tmp_path, options, pixel, thickness, source):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK, **options)
    with open_stack(path) as stack:
        found = (stack.pixel_size_um, stack.section_thickness_um)
        assert found == (pixel and pytest.approx(pixel), thickness and pytest.approx(thickness))
        assert re.search(source, stack.pixel_size_source), stack.pixel_size_source
    value, text = read_pixel_size(path)
    assert value == found[0]
    assert text.split(":")[0] == stack.pixel_size_source.split(":")[0]


@pytest.mark.parametrize(
    ("unit", "micrometres"),
    [
        ("Nanometers", 0.001),
        ("MICRONS", 1),
        ("micrometers", 1),
        ("\\u00b5m", 1),
        ("angstrom", 0.0001),
        ("Inches", 25_400),
    ],
)
def test_units_that_people_write(tmp_path, unit, micrometres):
    per_unit = 10 * micrometres
    about = {"metadata": {"axes": "YX", "unit": unit}, "resolution": (per_unit, per_unit)}
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], imagej=True, **about)
    assert read_pixel_size(tmp_path / "a.tif")[0] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("unit", "said"), [("furlong", "the unit 'furlong' is not known"), ("pixel", "no pixel size")]
)
def test_units_that_nobody_knows(tmp_path, unit, said):
    about = {"metadata": {"axes": "YX", "unit": unit}, "resolution": (2, 2)}
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], imagej=True, **about)
    value, source = read_pixel_size(tmp_path / "a.tif")
    assert (value, said in source) == (None, True)


def test_pixel_size_of_other_files(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png", dpi=(300, 300))
    assert read_pixel_size(tmp_path / "a.png") == (
        None,
        "no pixel size: only TIFF files hold one that can be trusted",
    )
    (tmp_path / "broken.tif").write_bytes(b"II*\0 nothing behind")
    with pytest.raises(InputError, match=r"broken.tif.*cannot be read"):
        read_pixel_size(tmp_path / "broken.tif")


def test_ome_text_that_is_broken_costs_only_the_size(tmp_path):
    path = tmp_path / "odd.ome.tif"
    tifffile.imwrite(path, STACK[0], metadata=SIZES | {"axes": "YX"})
    path.write_bytes(path.read_bytes().replace(b'PhysicalSizeX="120"', b'PhysicalSizeX="one"'))
    assert read_pixel_size(path) == (None, "no pixel size in the file")


# --- stacks of labels --------------------------------------------------------------------------


def draw_stack(sections=4, top=5):
    labels = np.zeros((sections, 30, 40), np.int32)
    labels[:, 5:10, 5:12] = np.arange(1, sections + 1)[:, None, None]
    labels[2, 20:25, 20:25] = top
    return labels


@pytest.mark.parametrize(
    ("top", "where", "dtype"),
    [(5, 2, "uint16"), (65_535, 2, "uint16"), (65_536, 2, "int32"), (2**31 - 1, 0, "int32")],
)
def test_label_stack_comes_back_as_it_was(tmp_path, top, where, dtype):
    labels = draw_stack()
    labels[where, 20:25, 20:25] = top
    path = tmp_path / "new" / "labels.tif"
    write_label_stack(path, iter(labels), labels.shape, pixel_size_um=0.125)
    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        assert (series.axes, series.dtype, len(tiff.pages)) == ("ZYX", dtype, 4)
        assert tiff.pages.first.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        np.testing.assert_array_equal(series.asarray(), labels)
    assert files_under(tmp_path) == {"new/labels.tif"}


def test_label_stack_tells_fiji_its_sizes(tmp_path):
    path, labels = tmp_path / "labels.tif", draw_stack()
    sizes = {"pixel_size_um": 0.125, "section_thickness_um": 0.75}
    write_label_stack(path, labels, labels.shape, **sizes)
    with tifffile.TiffFile(path) as tiff:
        expected = {"images": 4, "slices": 4, "unit": "micron", "spacing": 0.75}
        assert expected.items() <= tiff.imagej_metadata.items()
        assert tiff.pages.first.tags["XResolution"].value == (8, 1)
    with open_stack(path) as stack:
        assert (stack.pixel_size_um, stack.section_thickness_um) == (0.125, 0.75)
    write_label_stack(path, labels, labels.shape, axis="T")
    with open_stack(path) as stack:
        assert (stack.axis, stack.pixel_size_um, len(stack)) == ("T", None, 4)


def test_label_stack_is_the_same_file_each_time(tmp_path):
    labels = draw_stack()
    for name in "ab":
        write_label_stack(tmp_path / f"{name}.tif", labels, labels.shape, pixel_size_um=0.1)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_large_label_stack_is_bigtiff(tmp_path, monkeypatch):
    monkeypatch.setattr("devotools.exchange.stacks.BIG", 4 * 30 * 40 * 2 - 1)
    labels = draw_stack()
    write_label_stack(tmp_path / "labels.tif", labels, labels.shape)
    with tifffile.TiffFile(tmp_path / "labels.tif") as tiff:
        assert tiff.is_bigtiff
        assert tiff.series[0].axes == "ZYX"
        np.testing.assert_array_equal(tiff.asarray(), labels)


@pytest.mark.parametrize(
    ("sections", "options", "message"),
    [
        (draw_stack()[:3], {}, r"there are 3 sections; expected 4"),
        (draw_stack(5), {}, r"section 4 has shape .*; expected 4 sections of \(30, 40\)"),
        (draw_stack()[:, :9], {}, r"section 0 has shape \(9, 40\); expected 4 sections"),
        (draw_stack().astype(float), {}, r"section 0 has dtype float64; expected whole numbers"),
        (draw_stack(top=2**31 - 1).astype(np.int64) * 2, {}, r"section 2 holds the id 4294967294"),
        (draw_stack(), {"pixel_size_um": 0}, r"pixel_size_um is 0; expected .*micrometres"),
        (draw_stack(), {"section_thickness_um": -1}, r"section_thickness_um is -1; expected"),
    ],
)
def test_label_stack_refuses_and_leaves_nothing(tmp_path, sections, options, message):
    with pytest.raises(InputError, match=message):
        write_label_stack(tmp_path / "labels.tif", sections, (4, 30, 40), **options)
    assert files_under(tmp_path) == set()


def test_an_error_of_the_sections_leaves_nothing(tmp_path):
    def failing():
        yield draw_stack()[0]
        raise InputError("section 1 is damaged")

    (tmp_path / "labels.tif").write_text("what was there")
    with pytest.raises(InputError, match="section 1 is damaged"):
        write_label_stack(tmp_path / "labels.tif", failing(), (4, 30, 40))
    assert (tmp_path / "labels.tif").read_text() == "what was there"
    assert files_under(tmp_path) == {"labels.tif"}
