"""Runs over many pictures: cut off, gone on with, large, stacked; results are whole and alike."""

import json
import os
import shutil
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from helpers import Bright, draw_discs, files_under, picture_of
from PIL import Image

from devotools import InputError, read_image, read_labels
from devotools import pipeline as wing
from devotools._files import cannot_write
from devotools.images import write_image
from devotools.pipeline import mosaic
from devotools.predict import label_nuclei, predict_probability

STABLE = ("labels", "overlays", "rois", "nuclei.csv", "nuclei3d.csv")


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    for number in range(11):
        shape = (64, 64) if number % 4 else (40, 70)
        at = [(12 + number, 12), (20, 20 + 2 * number + 10)]
        write_image(folder / f"{number:02d}.png", picture_of(draw_discs(at, 6, shape)))
    return folder


def run(paths, out, network=None, stop_after=None, **options):
    """Segment; ends like a killed process after so many outcomes. Returns the outcomes by name."""
    network = network or Bright()
    settings = wing.settings_for(network, **options)
    jobs = wing.find_jobs([paths], out)
    seen = {}
    with wing.open_results(out, settings, [str(paths)]) as results:
        for outcome in wing.segment_jobs(network, jobs, results):
            seen[outcome.image] = outcome
            if len(seen) == stop_after:
                return seen
        results.finish(jobs)
    return seen


def contents(out):
    """Every file that must not depend on when a run was cut off."""
    return {name: (out / name).read_bytes() for name in files_under(out) if name.startswith(STABLE)}


class Counting(Bright):
    """Counts the pictures that it sees."""

    def __init__(self):
        super().__init__()
        self.seen = 0

    def forward(self, image):
        self.seen += len(image)
        return super().forward(image)


# --- going on


def test_a_second_run_does_nothing_again(pictures, tmp_path):
    run(pictures, tmp_path / "out")
    before, network = contents(tmp_path / "out"), Counting()
    outcomes = run(pictures, tmp_path / "out", network)
    assert (network.seen, len(outcomes)) == (0, 11)
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("stop_after", [1, 5, 10])
def test_a_run_that_was_cut_off_ends_like_one_that_was_not(pictures, tmp_path, stop_after):
    run(pictures, tmp_path / "whole")
    run(pictures, tmp_path / "cut", stop_after=stop_after)
    run(pictures, tmp_path / "cut")
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    assert not [name for name in files_under(tmp_path / "cut") if "/." in f"/{name}"]


def test_leftovers_of_a_killed_run_are_cleared_away(pictures, tmp_path):
    out = tmp_path / "out"
    run(pictures, out, stop_after=3)
    for name in ("labels/.0123abcd.tif", ".89abcdef.csv", "overlays/.01234567.png"):
        (out / name).write_text("half")
    (out / "labels" / ".mine").write_text("not ours")
    with open(out / "progress.jsonl", "a") as file:
        file.write('{"image": "05.png", "nuc')  # killed within a line
    run(pictures, out)
    assert [name for name in files_under(out) if "/." in f"/{name}"] == ["labels/.mine"]
    lines = (out / "progress.jsonl").read_text().splitlines()
    assert {json.loads(line)["image"] for line in lines} == {f"{n:02d}.png" for n in range(11)}


@pytest.mark.parametrize("damage", ["truncate", "remove", "change", "overlay"])
def test_done_means_that_the_results_are_whole(pictures, tmp_path, damage):
    out = tmp_path / "out"
    run(pictures, out)
    before = contents(out)
    victim = out / ("overlays/03.png" if damage == "overlay" else "labels/03.tif")
    if damage == "remove":
        victim.unlink()
    elif damage == "change":
        content = bytearray(victim.read_bytes())
        content[-1] ^= 1
        victim.write_bytes(content)
    else:
        victim.write_bytes(victim.read_bytes()[:-40])
    run(pictures, out)
    assert contents(out) == before


def test_a_picture_that_has_changed_is_done_again(pictures, tmp_path):
    out = tmp_path / "out"
    run(pictures, out)
    write_image(pictures / "04.png", picture_of(draw_discs()))
    assert run(pictures, out)["04.png"].nuclei == 3
    assert len(np.unique(read_labels(out / "labels" / "04.tif"))) == 4


def test_a_failed_picture_is_tried_again(pictures, tmp_path):
    out, good = tmp_path / "out", (pictures / "02.png").read_bytes()
    (pictures / "02.png").write_bytes(good[:50])
    assert run(pictures, out)["02.png"].nuclei is None
    (pictures / "02.png").write_bytes(good)
    assert run(pictures, out)["02.png"].nuclei == 2
    run(pictures, tmp_path / "fresh")
    assert contents(out) == contents(tmp_path / "fresh")


def test_new_pictures_are_added_and_names_that_collide_now_part(pictures, tmp_path):
    out = tmp_path / "out"
    run(pictures, out)
    Image.open(pictures / "03.png").save(pictures / "03.bmp")
    network = Counting()
    run(pictures, out, network)
    names = {name for name in files_under(out / "labels") if name.startswith("03")}
    assert names == {"03_png.tif", "03_bmp.tif"}
    assert network.seen < 12  # whole groups of pictures were left alone, at least


def test_the_same_weights_under_another_name_are_no_other_settings(pictures, tmp_path):
    run(pictures, tmp_path / "out", model="mine.safetensors")
    network = Counting()
    run(pictures, tmp_path / "out", network, model="./copies/mine.safetensors")
    assert network.seen == 0
    network.working_side = 999  # the weights are the same, and would see pictures larger
    with pytest.raises(InputError, match=r"--model: mine.safetensors, now other.safetensors"):
        run(pictures, tmp_path / "out", network, model="other.safetensors")
    with pytest.raises(InputError, match="the model's working side: not given, now 999"):
        run(pictures, tmp_path / "out", network, model="mine.safetensors")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"threshold": 0.6}, r"\(--threshold: 0.5, now 0.6\)"),
        ({"min_area": 5}, r"\(--min-area: 20, now 5\)"),
        ({"rois": True}, r"\(--rois: not given, now given\)"),
        ({"nucleus_size": 24.0}, r"\(--nucleus-size: not given, now 24.0\)"),
    ],
)
def test_other_settings_are_refused(pictures, tmp_path, options, name):
    run(pictures, tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(InputError, match=f"results of other settings {name}"):
        run(pictures, tmp_path / "out", **options)
    assert contents(tmp_path / "out") == before


def test_other_numbers_of_threads_are_refused_with_the_way_to_go_on(
    monkeypatch, pictures, tmp_path
):
    monkeypatch.setenv("DEVOTOOLS_BFLOAT16", "0")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    run(pictures, tmp_path / "out")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.raises(InputError, match=r"3 threads, now .* put OMP_NUM_THREADS=3 before"):
        run(pictures, tmp_path / "out")


@pytest.mark.parametrize(("then", "now"), [("0", "1"), ("1", "0")])
def test_another_precision_is_refused_with_the_way_to_go_on(
    monkeypatch, pictures, tmp_path, then, now
):
    has = {"avx512_bf16": True}
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: has, raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setenv("DEVOTOOLS_BFLOAT16", then)
    run(pictures, tmp_path / "out")
    monkeypatch.setenv("DEVOTOOLS_BFLOAT16", now)
    with pytest.raises(InputError, match=rf"put DEVOTOOLS_BFLOAT16={then} .*before the command"):
        run(pictures, tmp_path / "out")


def test_other_pictures_are_refused(pictures, tmp_path):
    run(pictures, tmp_path / "out")
    shutil.copytree(pictures, tmp_path / "others")
    with pytest.raises(InputError, match=r"the pictures, seen .*Choose a new folder"):
        run(tmp_path / "others", tmp_path / "out")


def test_other_weights_are_refused(pictures, tmp_path):
    class Other(Bright):
        def state_dict(self, *_, **__):
            import torch

            return {"w": torch.ones(1)}

    run(pictures, tmp_path / "out")
    with pytest.raises(InputError, match="weights"):
        run(pictures, tmp_path / "out", Other())


def test_settings_that_cannot_be_read_are_refused(pictures, tmp_path):
    run(pictures, tmp_path / "out")
    (tmp_path / "out" / "settings.json").write_text("{")
    with pytest.raises(InputError, match=r"settings\.json' cannot be read"):
        run(pictures, tmp_path / "out")


def test_two_runs_do_not_mix(pictures, tmp_path):
    settings = wing.settings_for(Bright())
    with (
        wing.open_results(tmp_path / "out", settings),
        pytest.raises(InputError, match="another run is writing into"),
        wing.open_results(tmp_path / "out", settings),
    ):
        pass
    with wing.open_results(tmp_path / "out", settings):
        pass


def test_a_full_disk_ends_the_run_and_keeps_what_was_done(pictures, tmp_path, monkeypatch):
    from devotools.pipeline import segmenting

    out, real, written = tmp_path / "out", segmenting.write_labels, []

    def full(path, labels):
        written.append(path)
        if len(written) > 4:
            raise cannot_write(path, OSError(28, "No space left on device"))
        real(path, labels)

    monkeypatch.setattr(segmenting, "write_labels", full)
    with pytest.raises(InputError, match=r"cannot be written .No space left on device.*has room"):
        run(pictures, out)
    monkeypatch.setattr(segmenting, "write_labels", real)
    assert len((out / "progress.jsonl").read_text().splitlines()) >= 1
    run(pictures, out)
    run(pictures, tmp_path / "whole")
    assert contents(out) == contents(tmp_path / "whole")


def test_a_folder_that_vanishes_ends_the_run(pictures, tmp_path, monkeypatch):
    out, add = tmp_path / "out", wing.Results.add

    def add_and_lose(results, outcome):
        add(results, outcome)
        shutil.rmtree(out, ignore_errors=True)

    monkeypatch.setattr(wing.Results, "add", add_and_lose)
    with pytest.raises(InputError, match="has vanished"):
        run(pictures, out)


def test_the_rois_of_a_picture_are_written(pictures, tmp_path):
    from devotools.exchange import read_rois, rois_to_labels

    run(pictures, tmp_path / "out", rois=True)
    for number in (0, 5):
        labels = read_labels(tmp_path / "out" / "labels" / f"{number:02d}.tif")
        rois = read_rois(tmp_path / "out" / "rois" / f"{number:02d}.zip")
        np.testing.assert_array_equal(rois_to_labels(rois, labels.shape), labels)


def test_the_pixel_size_of_a_file_gives_areas(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    image = np.uint8(picture_of(draw_discs()) * 255)
    tifffile.imwrite(
        folder / "a.tif", image, imagej=True, resolution=(2, 2), metadata={"unit": "um"}
    )
    rows = run(folder, tmp_path / "out")["a.tif"].rows.splitlines()
    area_px, area_um2 = rows[0].split(",")[4:6]
    assert float(area_um2) == pytest.approx(int(area_px) / 4)


def test_the_same_words_from_another_folder_are_other_pictures(pictures, tmp_path, monkeypatch):
    """ "." is where one stands: the pictures of another folder must not take the results' place."""
    shutil.copytree(pictures, tmp_path / "others")
    monkeypatch.chdir(pictures)
    run(".", "../out")
    before = contents(tmp_path / "out")
    monkeypatch.chdir(tmp_path / "others")
    with pytest.raises(InputError, match=r"the pictures, .*: '../pictures', now '../others'"):
        run(".", "../out")
    assert contents(tmp_path / "out") == before
    monkeypatch.chdir(tmp_path)
    network = Counting()
    run("pictures", "out", network)
    assert network.seen == 0


def test_pictures_and_results_may_be_moved_together(pictures, tmp_path):
    run(pictures, tmp_path / "out")
    (tmp_path / "moved").mkdir()
    for name in ("pictures", "out"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    network = Counting()
    run(tmp_path / "moved" / "pictures", tmp_path / "moved" / "out", network)
    assert network.seen == 0


def test_pictures_that_are_away_for_a_moment_lose_nothing(pictures, tmp_path):
    out = tmp_path / "out"
    run(pictures, out)
    before = contents(out)
    (pictures / "03.png").rename(tmp_path / "03.png")
    (pictures / "05.png").write_bytes(b"broken for a moment")
    seen = run(pictures, out)
    assert "03.png" not in (out / "images.csv").read_text()
    assert seen["05.png"].nuclei is None
    for name in ("labels/03.tif", "overlays/03.png", "labels/05.tif"):
        assert (out / name).read_bytes() == before[name]
    with wing.open_results(out, wing.settings_for(Bright()), [str(pictures)]) as results:
        assert results.away(wing.find_jobs([pictures], out)) == ["03.png"]

    (tmp_path / "03.png").rename(pictures / "03.png")
    network = Counting()
    run(pictures, out, network)
    assert network.seen < 11


def test_a_result_that_cannot_be_made_fails_one_picture(pictures, tmp_path, monkeypatch):
    from devotools.pipeline import segmenting

    real = segmenting.export_rois

    def limited(labels, path):
        if path.name == "06.zip":
            raise InputError("ROIs end at 32767 pixels a side.")
        real(labels, path)

    monkeypatch.setattr(segmenting, "export_rois", limited)
    out = tmp_path / "out"
    seen = run(pictures, out, rois=True)
    assert len(seen) == 11
    assert (seen["06.png"].nuclei, seen["06.png"].error) == (
        None,
        "ROIs end at 32767 pixels a side.",
    )
    assert not [name for name in files_under(out) if "/06." in name]
    assert "06.png,failed" in (out / "images.csv").read_text()


def away(inputs, out):
    """Segment ``inputs``; the pictures of which there are results, and which are not there now."""
    jobs = wing.find_jobs(inputs, out)
    with wing.open_results(out, wing.settings_for(Bright()), inputs) as results:
        list(wing.segment_jobs(Bright(), jobs, results))
        results.finish(jobs)
        return results.away(jobs)


def test_equal_size_and_time_do_not_make_two_pictures_one(tmp_path):
    """As files from one zip have them: the one that is away keeps its results."""
    out, both = tmp_path / "out", [str(tmp_path / "d1"), str(tmp_path / "d2")]
    for folder, at in (("d1", (20, 20)), ("d2", (40, 30))):
        path = tmp_path / folder / "s.tif"
        path.parent.mkdir()
        tifffile.imwrite(path, np.uint8(255 * picture_of(draw_discs([at], 6, (64, 64)))))
        os.utime(path, (10**9, 10**9))
    away(both, out)
    jobs = wing.find_jobs(both, out)
    kept = out / jobs[1].result("labels", ".tif")
    before = kept.read_bytes()
    (tmp_path / "d2").rename(tmp_path / "away")
    away(both, out)
    assert kept.read_bytes() == before


def test_a_picture_that_is_called_otherwise_now_is_not_away(tmp_path):
    for name in ("d1", "d2"):
        write_image(tmp_path / name / f"{name}.png", picture_of(draw_discs()))
    write_image(tmp_path / "d1" / "a.png", picture_of(draw_discs([(20, 20)], 6, (64, 64))))
    out, both = tmp_path / "out", [str(tmp_path / "d1"), str(tmp_path / "d2")]
    assert away(both, out) == []
    write_image(tmp_path / "d2" / "a.png", picture_of(draw_discs()))
    assert away(both, out) == []
    assert {name for name in files_under(out / "labels") if name.startswith("a")} == {
        "a_png.tif",
        "a_png_2.tif",
    }


def test_results_of_an_earlier_version_are_gone_on_with(pictures, tmp_path, monkeypatch):
    """Its settings keep the pictures as they were typed, its journal no number of sections."""
    sections = np.uint8(255 * np.stack([picture_of(draw_discs())] * 3))
    tifffile.imwrite(pictures / "stack.tif", sections, photometric="minisblack")
    monkeypatch.chdir(tmp_path)
    run("pictures", "out")
    tables = {
        name: (tmp_path / "out" / name).read_bytes() for name in ("nuclei.csv", "nuclei3d.csv")
    }
    settings = json.loads((tmp_path / "out" / "settings.json").read_text())
    settings["inputs"] = ["pictures"]
    del settings["pictures"]
    (tmp_path / "out" / "settings.json").write_text(json.dumps(settings))
    lines = (tmp_path / "out" / "progress.jsonl").read_text().splitlines()
    earlier = [json.loads(line) | {"of a later version": 1} for line in lines]
    for told in earlier:
        del told["sections"]
    (tmp_path / "out" / "progress.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in earlier)
    )
    network = Counting()
    run("pictures", "out", network)
    assert network.seen == 0
    for name, content in tables.items():
        assert (tmp_path / "out" / name).read_bytes() == content


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links on this system")
def test_only_what_moves_is_told(pictures, tmp_path, monkeypatch):
    """Results that moved alone, and a way through a link, are still those of the same pictures."""
    monkeypatch.chdir(tmp_path)
    network = Counting()
    run("pictures", "out", network)
    seen = network.seen
    (tmp_path / "deep").mkdir()
    shutil.move("out", "deep/out")
    run("pictures", "deep/out", network)
    os.symlink(tmp_path / "deep", tmp_path / "link")
    run("pictures", tmp_path / "link" / "out", network)
    assert network.seen == seen
    (tmp_path / "both").mkdir()
    for name in ("pictures", "deep"):  # together, and then the results alone
        shutil.move(name, f"both/{name}")
    run("both/pictures", "both/deep/out", network)
    shutil.move("both/deep", "deep")
    shutil.move("both/pictures", "pictures")
    run("pictures", "deep/out", network)
    shutil.move("deep/out", "out")
    run("pictures", "out", network)
    (tmp_path / "pictures").rename(tmp_path / "others")
    shutil.move("out", "deep/out")
    with pytest.raises(InputError, match=r"'\.\./\.\./others'"):
        run("others", "deep/out", network)


def test_a_name_in_other_case_on_a_disk_that_knows_no_case(pictures, tmp_path, monkeypatch):
    """There A.tif is a.tif, and removing the old results would remove the new ones."""
    run(pictures, tmp_path / "out")
    (pictures / "00.png").rename(pictures / "aA.png")
    run(pictures, tmp_path / "out")
    (pictures / "aA.png").rename(pictures / "Aa.png")
    alike = Path.samefile
    monkeypatch.setattr(
        Path,
        "samefile",
        lambda one, other: str(one).casefold() == str(other).casefold() or alike(one, other),
    )
    run(pictures, tmp_path / "out")
    assert (tmp_path / "out" / "labels" / "Aa.tif").exists()
    assert (tmp_path / "out" / "labels" / "aA.tif").exists()  # the same file, on such a disk
    assert not (tmp_path / "out" / "labels" / "00.tif").exists()


def test_a_stack_with_a_damaged_section_leaves_nothing(pictures, tmp_path):
    sections = np.stack([picture_of(draw_discs())] * 4).astype(np.float32)
    with tifffile.TiffWriter(pictures / "stack.tif") as tiff:
        for section in np.uint8(sections * 255):
            tiff.write(section, compression="zlib", contiguous=False)
    with tifffile.TiffFile(pictures / "stack.tif") as tiff:
        start, count = tiff.pages[2].dataoffsets[0], tiff.pages[2].databytecounts[0]
    content = bytearray((pictures / "stack.tif").read_bytes())
    content[start : start + count] = bytes(count)
    (pictures / "stack.tif").write_bytes(content)
    seen = run(pictures, tmp_path / "out", nucleus_size=12.0)
    assert "section 2 of" in seen["stack.tif"].error
    assert not [name for name in files_under(tmp_path / "out") if "stack" in name]
    assert not (tmp_path / "out" / "overlays" / "stack").exists()
    assert seen["00.png"].nuclei == 2


def test_a_table_of_stacks_goes_with_the_last_stack(pictures, tmp_path):
    sections = np.uint8(255 * np.stack([picture_of(draw_discs())] * 3))
    tifffile.imwrite(pictures / "stack.tif", sections, photometric="minisblack")
    run(pictures, tmp_path / "out")
    assert (tmp_path / "out" / "nuclei3d.csv").exists()
    (pictures / "stack.tif").unlink()
    run(pictures, tmp_path / "out")
    assert not (tmp_path / "out" / "nuclei3d.csv").exists()


# --- large pictures


def large_picture():
    """A picture of 700 x 900 with nuclei everywhere, also where windows meet."""
    rng = np.random.default_rng(0)
    centres = [
        (r + rng.uniform(-4, 4), c + rng.uniform(-4, 4))
        for r in range(15, 690, 37)
        for c in range(15, 890, 41)
    ]
    return picture_of(draw_discs(centres, 9, (700, 900)))


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="no such call on this system")
def test_a_disk_too_small_for_a_mosaic_is_told(tmp_path, monkeypatch):
    """Written into a mapped file, what finds no room would end the program without a word."""
    (tmp_path / "in").mkdir()
    Image.fromarray(np.uint8(large_picture() * 255)).save(tmp_path / "in" / "a.png")
    monkeypatch.setattr(mosaic, "MOSAIC_PIXELS", 100_000)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    write_image(tmp_path / "in" / "small.png", picture_of(draw_discs()))
    seen = run(tmp_path / "in", tmp_path / "out", nucleus_size=12.0)
    assert "into 2 MiB (No space left on device); expected as much room" in seen["a.png"].error
    assert seen["small.png"].nuclei is not None  # for which there was room
    assert not [name for name in files_under(tmp_path / "out") if name.endswith(".raw")]


def test_a_compressed_mosaic_asks_for_room_to_unpack(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    image = np.uint8(large_picture() * 255)
    tifffile.imwrite(tmp_path / "in" / "a.tif", image, tile=(64, 64), compression="zlib")
    monkeypatch.setattr(mosaic, "MOSAIC_PIXELS", 100_000)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    error = run(tmp_path / "in", tmp_path / "out", nucleus_size=12.0)["a.tif"].error
    assert "is unpacked into" in error
    assert "TMPDIR" in error


@pytest.mark.parametrize("kind", ["tif", "png", "16-bit", "float", "colour", "tiled"])
def test_a_mosaic_gives_what_the_whole_picture_gives(kind, tmp_path, monkeypatch):
    image = large_picture()
    path = tmp_path / "in" / ("a.png" if kind == "png" else "a.tif")
    path.parent.mkdir()
    stored = {
        "16-bit": np.uint16(image * 65535),
        "float": image * 300 - 7,
        "colour": np.stack([np.uint8(image * 255)] * 3, axis=-1),
    }.get(kind, np.uint8(image * 255))
    if kind == "png":
        Image.fromarray(stored).save(path)
    elif kind == "tiled":
        tifffile.imwrite(path, stored, tile=(64, 64), compression="zlib")
    else:
        tifffile.imwrite(path, stored)
    network = Bright()
    whole = label_nuclei(predict_probability(network, read_image(path), scale=1))
    monkeypatch.setattr(mosaic, "MOSAIC_PIXELS", 100_000)
    monkeypatch.setattr(mosaic, "TILE", 128)
    monkeypatch.setattr(mosaic, "MARGIN", 64)
    outcome = run(tmp_path / "in", tmp_path / "out", network, nucleus_size=12.0, rois=True)[
        path.name
    ]
    labels = read_labels(tmp_path / "out" / "labels" / "a.tif")
    assert outcome.nuclei == whole.max() == len(np.unique(labels)) - 1
    np.testing.assert_array_equal(labels > 0, whole > 0)
    pairs = {(a, b) for a, b in zip(labels.ravel(), whole.ravel(), strict=True) if a}
    assert len(pairs) == whole.max()  # the same nuclei under other numbers
    areas = sorted(int(row.split(",")[4]) for row in outcome.rows.splitlines())
    assert areas == sorted(np.bincount(whole.ravel())[1:])
    with Image.open(tmp_path / "out" / "overlays" / "a.png") as overlay:
        assert overlay.size == (900, 700)
    with tifffile.TiffFile(tmp_path / "out" / "labels" / "a.tif") as file:
        assert not file.pages[0].is_tiled  # ImageJ opens no tiles


@pytest.mark.parametrize("kind", ["white is zero", "one bit, white is zero", "alpha"])
def test_a_mosaic_is_read_as_a_small_picture_is(kind, tmp_path):
    grey = large_picture()
    stored, options = {
        "white is zero": (np.uint8(grey * 255), {"photometric": "miniswhite"}),
        "one bit, white is zero": (grey > 0.5, {"photometric": "miniswhite", "software": "scan"}),
        "alpha": (
            np.stack([grey * 255] * 3 + [np.full_like(grey, 1000)], axis=-1),
            {"photometric": "rgb", "extrasamples": ["unassalpha"]},
        ),
    }[kind]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored, **options)
    with mosaic.open_pixels(path) as pixels:
        np.testing.assert_allclose(
            pixels.grey(slice(None), slice(None)), read_image(path), atol=1e-6
        )


def test_a_mosaic_is_not_enlarged_for_days(tmp_path, monkeypatch):
    path = tmp_path / "in" / "a.png"
    write_image(path, large_picture())
    monkeypatch.setattr(mosaic, "MOSAIC_PIXELS", 100_000)
    outcome = run(tmp_path / "in", tmp_path / "out", Bright(), nucleus_size=0.5)["a.png"]
    assert outcome.nuclei is None
    assert "'a.png' is a large picture and would be enlarged 24 times" in outcome.error
    assert "expected 8 times at most" in outcome.error


def test_a_large_picture_tells_how_far_it_is(tmp_path, monkeypatch):
    path = tmp_path / "in" / "a.png"
    write_image(path, large_picture())
    monkeypatch.setattr(mosaic, "MOSAIC_PIXELS", 100_000)
    monkeypatch.setattr(mosaic, "TILE", 256)
    said, settings = [], wing.settings_for(Bright(), nucleus_size=12.0)
    with wing.open_results(tmp_path / "out", settings, ["in"]) as results:
        jobs = wing.find_jobs([tmp_path / "in"], tmp_path / "out")
        (outcome,) = wing.segment_jobs(Bright(), jobs, results, told=said.append)
    assert outcome.nuclei > 0
    assert said == [f"a.png: window {number}" for number in range(1, len(said) + 1)]
    assert len(said) > 2


@pytest.mark.parametrize("most", [60_000, 100_000])
def test_large_labels_are_written_strip_by_strip(most, tmp_path):
    canvas = np.random.default_rng(0).integers(0, most, (3 * mosaic.STRIP + 7, 33), np.int32)
    mosaic._write_canvas(tmp_path / "a.tif", canvas)
    written = tifffile.imread(tmp_path / "a.tif")
    assert written.dtype == (np.uint16 if most < 2**16 else np.int32)
    np.testing.assert_array_equal(written, canvas)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ([np.random.default_rng(0).integers(0, 255, (3, 340, 350), np.uint8)], "planes stored as"),
        ([np.zeros((340, 350), np.uint8), np.zeros((300, 350), np.uint8)], "different sizes"),
    ],
    ids=["planes", "sizes"],
)
def test_a_mosaic_of_several_planes_is_a_row(arrays, reason, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for array in arrays:
        options = {"photometric": "rgb", "planarconfig": "separate"} if array.ndim == 3 else {}
        tifffile.imwrite(tmp_path / "in" / "a.tif", array, append=True, **options)
    monkeypatch.setattr(mosaic, "MOSAIC_PIXELS", 100_000)
    assert reason in run(tmp_path / "in", tmp_path / "out")["a.tif"].error


def test_a_mosaic_that_cannot_be_read_is_a_row(tmp_path, monkeypatch):
    path = tmp_path / "in" / "a.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, np.uint8(large_picture() * 255), compression="zlib")
    path.write_bytes(path.read_bytes()[:-3000])
    monkeypatch.setattr(mosaic, "MOSAIC_PIXELS", 100_000)
    assert "a.tif" in run(tmp_path / "in", tmp_path / "out")["a.tif"].error
    assert not [name for name in files_under(tmp_path / "out") if name.startswith("labels")]


# --- stacks


def write_stack(path):
    """Five sections: one nucleus through all, one in the last three; 0.5 um pixels, 2 um thick."""
    sections = [
        picture_of(draw_discs([(20, 20), (40 + k, 44)] if k > 1 else [(20, 20)], 8))
        for k in range(5)
    ]
    tifffile.imwrite(
        path,
        np.stack([np.uint8(section * 255) for section in sections]),
        imagej=True,
        resolution=(2, 2),
        metadata={"axes": "ZYX", "unit": "um", "spacing": 2.0},
    )


def test_a_stack_whose_name_is_not_utf8_has_its_overlay_in_the_report(tmp_path):
    (tmp_path / "in").mkdir()
    try:
        write_stack(tmp_path / "in" / os.fsdecode(b"caf\xe9.tif"))
    except OSError:
        pytest.skip("this file system wants UTF-8")
    run(tmp_path / "in", tmp_path / "out")
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "There is no overlay" not in text
    assert text.count("in 5 sections, of which section 2 is shown") == 1


def test_a_stack_becomes_one_label_stack_with_volumes(tmp_path):
    (tmp_path / "in").mkdir()
    write_stack(tmp_path / "in" / "series.tif")
    write_image(tmp_path / "in" / "single.png", picture_of(draw_discs()))
    outcomes = run(tmp_path / "in", tmp_path / "out")
    assert (outcomes["series.tif"].nuclei, outcomes["single.png"].nuclei) == (2, 3)
    labels = tifffile.imread(tmp_path / "out" / "labels" / "series.tif")
    assert labels.shape == (5, 64, 64)
    assert [sorted(np.unique(section)) for section in labels] == [[0, 1]] * 2 + [[0, 1, 2]] * 3
    solid = (tmp_path / "out" / "nuclei3d.csv").read_text().splitlines()
    first = dict(zip(solid[0].split(","), solid[1].split(","), strict=True))
    voxels = int((labels == 1).sum())
    assert (first["image"], first["label"], first["sections"]) == ("series.tif", "1", "5")
    assert int(first["volume_voxels"]) == voxels
    assert float(first["volume_um3"]) == pytest.approx(voxels * 0.25 * 2)
    rows = (tmp_path / "out" / "nuclei.csv").read_text().splitlines()
    assert rows[0].endswith(",section")
    assert len({len(row.split(",")) for row in rows}) == 1
    assert files_under(tmp_path / "out" / "overlays") == {
        *(f"series/{k:04d}.png" for k in range(5)),
        "single.png",
    }


def test_the_rois_of_a_stack_lie_on_their_sections(tmp_path):
    from devotools.exchange import rois_to_labels
    from devotools.exchange.rois import read_roi

    (tmp_path / "in").mkdir()
    write_stack(tmp_path / "in" / "series.tif")
    outcome = run(tmp_path / "in", tmp_path / "out", rois=True)["series.tif"]
    with zipfile.ZipFile(tmp_path / "out" / "rois" / "series.zip") as file:
        rois = [read_roi(file.read(name), name) for name in file.namelist()]
    ids = [(1,), (1,), (1, 2), (1, 2), (1, 2)]
    assert [roi.name for roi in rois] == [
        f"{nucleus:04d}-{k:04d}.roi" for k, there in enumerate(ids) for nucleus in there
    ]
    for k, labels in enumerate(tifffile.imread(tmp_path / "out" / "labels" / "series.tif")):
        here = [roi for roi in rois if roi.position == k + 1]  # ImageJ counts from 1
        np.testing.assert_array_equal(rois_to_labels(here, labels.shape), labels)
    assert "rois/series.zip" in outcome.files


def test_done_includes_the_rois_of_a_stack(tmp_path):
    (tmp_path / "in").mkdir()
    write_stack(tmp_path / "in" / "series.tif")
    out = tmp_path / "out"
    run(tmp_path / "in", out, rois=True)
    before = contents(out)
    (out / "rois" / "series.zip").unlink()
    run(tmp_path / "in", out, rois=True)
    assert contents(out) == before


@pytest.mark.parametrize("kind", ["picture", "mosaic", "stack"])
def test_without_nuclei_there_are_no_rois(kind, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    shape = (2, 300, 350) if kind == "stack" else (300, 350)
    tifffile.imwrite(tmp_path / "in" / "a.tif", np.full(shape, 60, np.uint8))
    if kind == "mosaic":
        monkeypatch.setattr(mosaic, "MOSAIC_PIXELS", 100_000)
    outcome = run(tmp_path / "in", tmp_path / "out", nucleus_size=12.0, rois=True)["a.tif"]
    assert (outcome.nuclei, outcome.error) == (0, "")
    assert not [name for name in outcome.files if name.startswith("rois")]
    assert not [name for name in files_under(tmp_path / "out") if name.startswith("rois")]


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_picture_that_pillow_takes_for_a_bomb_is_a_mosaic(suffix, tmp_path, monkeypatch):
    """Above 179 million pixels Pillow opens none: the largest scans, but those of a microscope."""
    path = tmp_path / f"a.{suffix}"
    pixels = np.full((300, 350), 60, np.uint8)
    Image.fromarray(pixels).save(path)
    monkeypatch.setattr(mosaic, "MOSAIC_PIXELS", 100_000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20_000)
    assert mosaic.is_mosaic(path)
    with mosaic.open_pixels(path) as opened:
        np.testing.assert_array_equal(opened.array, pixels)
    assert Image.MAX_IMAGE_PIXELS == 20_000


def test_a_picture_that_is_named_in_two_ways_is_done_once(pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(pictures)
    jobs = wing.find_jobs([".", "../pictures", "../pictures/../pictures/00.png"], tmp_path / "out")
    assert len(jobs) == 11


def test_several_channels_are_a_row_with_a_remedy(tmp_path):
    (tmp_path / "in").mkdir()
    tifffile.imwrite(
        tmp_path / "in" / "a.tif",
        np.zeros((2, 32, 32), np.uint8),
        imagej=True,
        metadata={"axes": "CYX"},
    )
    assert "channels" in run(tmp_path / "in", tmp_path / "out")["a.tif"].error


def test_a_process_id_is_not_needed_to_lock(pictures, tmp_path):
    """A lock that a killed run has left does not keep the next one out."""
    out = tmp_path / "out"
    out.mkdir()
    (out / ".lock").write_text(str(os.getpid()))
    run(pictures, out)
    assert not (out / ".lock").exists()


def test_names_of_results():
    names = wing.output_names([Path(n) for n in ("a.png", "sub/a.png", "A.jpg", "day.2.png")])
    assert [name.as_posix() for name in names] == ["a_png", "sub/a", "A_jpg", "day.2"]
    twins = [Path("1", "\u00e9.png"), Path("1", "e\u0301.png")]  # one name to a Mac
    assert len({unicodedata.normalize("NFC", str(name)) for name in wing.output_names(twins)}) == 2
