"""Every reader meets damaged files: a sentence, or an answer; no crash, no hang, no stray file.

A few thousand mutations of small valid files, each made from its number alone. A failure names the
kind and the number; `DEVOTOOLS_FUZZ_ONLY=1234 pytest tests/test_fuzz.py -k images` runs that one.
`DEVOTOOLS_FUZZ=50` makes fifty times as many, which takes a quarter of an hour.
"""

import io
import json
import os
import random
import shutil
import signal
import struct
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from helpers import draw_discs, files_under, picture_of, write_dataset
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from devotools import InputError
from devotools.datasets import read_dataset
from devotools.exchange import export_rois, import_folder, read_rois, rois_to_labels, unpack
from devotools.exchange.masks import read_truth
from devotools.exchange.wormimage import RECORD, _Record
from devotools.images import read_image, read_labels, read_mask, to_grey
from devotools.model import ResNet18FPN, load_model, save_model

TIMES = int(os.environ.get("DEVOTOOLS_FUZZ", "1"))
ONLY = os.environ.get("DEVOTOOLS_FUZZ_ONLY")
SECONDS = 20  # for one input, on a machine that does other things too; most take milliseconds

LABELS = draw_discs([(7, 7), (14, 20)], 4, (22, 30))
GREY = np.round(255 * picture_of(LABELS)).astype(np.uint8)
GREY += np.random.default_rng(0).integers(0, 20, GREY.shape).astype(np.uint8)


# --- mutations ---------------------------------------------------------------------------------


def mutate(content: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """Damage a file, in one or two of the ways in which files are damaged, or forged."""
    for _ in range(chance.choice((1, 1, 2))):
        content = chance.choice(WAYS)(content, others, chance) or b"\0"
    return chance.choice((lambda c: c, lambda c: c, mended))(content)


def flipped(content, _, chance):
    content = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8, 30))):
        at = chance.randrange(min(len(content), chance.choice((64, 600, 10**9))))
        content[at] ^= 1 << chance.randrange(8)
    return bytes(content)


def rewritten(content, _, chance):
    """A number, as lengths and offsets are, in either order of its bytes."""
    size = chance.choice((1, 2, 2, 4, 4, 4, 8))
    number = chance.choice(
        (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
    )
    number = (number if chance.random() < 0.9 else 2**63 - 1) % 2 ** (8 * size)
    at = chance.randrange(min(len(content), chance.choice((64, 600, 10**9))))
    order = chance.choice(("little", "big"))
    return content[:at] + number.to_bytes(size, order) + content[at + size :]


def cut(content, _, chance):
    return content[: chance.randrange(len(content))]


def spliced(content, others, chance):
    """The head of one file on the body of another."""
    head, at = chance.choice(others), chance.randrange(min(len(content), 400))
    return head[:at] + content[at:]


def doubled(content, _, chance):
    at = chance.randrange(len(content))
    piece = content[at : at + chance.choice((1, 2, 8, 100))]
    return content[:at] + piece * chance.choice((2, 3, 50, 6000)) + content[at:]


def dropped(content, _, chance):
    at = chance.randrange(len(content))
    return content[:at] + content[at + chance.choice((1, 2, 4, 30)) :]


WAYS = (flipped, flipped, rewritten, rewritten, cut, spliced, doubled, dropped)


def mended(content: bytes) -> bytes:
    """With checksums that fit again, so that the damage reaches what lies behind them."""
    if content.startswith(b"\x89PNG"):
        return mended_png(content)
    if content[257:262] == b"ustar":
        return mended_tar(content)
    return content


def mended_png(content: bytes) -> bytes:
    parts, at = [content[:8]], 8
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        body = content[at + 4 : at + 8 + length]
        parts.append(content[at : at + 4] + body + struct.pack(">I", zlib.crc32(body)))
        at += 12 + length
    return b"".join(parts)


def mended_tar(content: bytes) -> bytes:
    """Any block with letters where a checksum stands becomes a header again."""
    content = bytearray(content)
    for at in range(0, len(content) - 511, 512):
        if content[at + 257 : at + 262] == b"ustar":
            content[at + 148 : at + 156] = b" " * 8
            content[at + 148 : at + 156] = b"%06o\0 " % sum(content[at : at + 512])
    return bytes(content)


# --- the loop ----------------------------------------------------------------------------------


class Hung(BaseException):
    """Not an Exception, so that no reader takes it for a damaged file."""


@contextmanager
def watchdog():
    """Stop an input that takes too long; without SIGALRM (Windows) the test merely hangs."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def bark(*_):
        raise Hung(f"not done after {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, bark)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fuzz(kind: str, count: int, make, read) -> tuple[int, int]:
    """``read(make(chance))`` for each number; how many were answered, and how many refused."""
    answered = refused = 0
    for number in [int(ONLY)] if ONLY else range(count * TIMES):
        chance = random.Random(f"{kind} {number}")
        what = make(chance)
        try:
            with watchdog():
                read(what)
            answered += 1
        except InputError as error:
            refused += 1
            sentence = str(error)
            if not 20 < len(sentence) < 3000:
                pytest.fail(f"{kind} {number}: a sentence of {len(sentence)} letters: {error}")
        except (Exception, Hung) as error:
            raise AssertionError(f"{kind} {number}: {type(error).__name__}: {error}") from error
    return answered, refused


@pytest.fixture
def quiet(capfd, caplog):
    """Nothing is printed or logged, not even by the libraries in C."""
    yield
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
    assert [record.getMessage() for record in caplog.records if record.levelno >= 30] == []


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, and a snapshot of what lies around it."""
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "mine.txt").write_text("mine")
    monkeypatch.chdir(work)
    return work


def check_around(place: Path, expected: set[str]) -> None:
    found = files_under(place.parent)
    assert found == {"mine.txt"} | {f"work/{name}" for name in expected}, found


# --- pictures ----------------------------------------------------------------------------------


def picture_files() -> dict[str, bytes]:
    """Small valid pictures in every format, depth and compression that people have."""
    colour = np.stack([GREY, GREY // 2, 255 - GREY], axis=2)
    pillow = {
        "a.png": GREY,
        "b.png": colour,
        "c.png": GREY.astype(np.uint16) * 200,
        "d.png": LABELS > 0,
        "a.jpg": GREY,
        "b.jpg": colour,
        "a.bmp": GREY,
        "a.gif": GREY,
        "a.webp": colour,
    }
    files = {}
    for name, array in pillow.items():
        files[name] = saved(Image.fromarray(array), Path(name).suffix)
    files["e.png"] = saved(Image.fromarray(GREY).convert("P"), ".png")
    files["c.jpg"] = saved(Image.fromarray(colour).convert("CMYK"), ".jpg")
    tiffs = {
        "a": (GREY, {}),
        "b": (GREY.astype(np.uint16), {"compression": "lzw"}),
        "c": (colour, {"compression": "zlib", "photometric": "rgb"}),
        "d": (GREY.astype(np.float32), {"tile": (16, 16)}),
        "e": (LABELS, {"compression": "zstd"}),
        "f": (GREY, {"imagej": True}),
        "g": (GREY, {"bigtiff": True, "compression": "packbits"}),
        "h": (GREY, {"compression": "jpeg"}),
        "i": (LABELS.astype(np.int16), {"byteorder": ">", "rowsperstrip": 5}),
        "j": (GREY, {"ome": True, "predictor": True, "compression": "zlib"}),
    }
    for name, (array, options) in tiffs.items():
        stream = io.BytesIO()
        tifffile.imwrite(stream, array, **options)
        files[f"{name}.tif"] = stream.getvalue()
    return files


def saved(picture: Image.Image, suffix: str) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format={".jpg": "jpeg"}.get(suffix, suffix[1:]))
    return stream.getvalue()


def test_images(place, quiet):
    files = picture_files()
    names, contents = list(files), list(files.values())

    def make(chance):
        name = chance.choice(names)
        path = place / f"damaged{Path(name).suffix}"
        path.write_bytes(mutate(files[name], contents, chance))
        return path, chance.choice((read_image, read_image, read_mask, read_labels))

    def read(what):
        path, reader = what
        try:
            array = reader(path)
            assert array.ndim == 2
            if reader is read_image:
                assert array.dtype == np.float32
                assert 0 <= array.min() <= array.max() <= 1
        finally:
            check_around(place, {path.name})
            path.unlink()

    answered, refused = fuzz("images", 1200, make, read)
    assert ONLY or (answered > 100 and refused > 300)


# --- masks of every form, and whole folders ----------------------------------------------------


def roi_set(folder: Path) -> bytes:
    export_rois(LABELS, folder / "set.zip")
    content = (folder / "set.zip").read_bytes()
    (folder / "set.zip").unlink()
    return content


def mark_files(folder: Path) -> dict[str, bytes]:
    files = {name: content for name, content in picture_files().items() if name[0] in "dei"}
    zipped = roi_set(folder)
    with zipfile.ZipFile(io.BytesIO(zipped)) as file:
        files["a.roi"] = file.read("0001.roi")
    oval = bytearray(files["a.roi"][:64])
    oval[6] = 2
    return files | {"b.roi": bytes(oval), "a.zip": zipped}


def test_rois(place, quiet):
    files = [c for name, c in mark_files(place).items() if name.endswith((".roi", ".zip"))]

    def make(chance):
        (place / "damaged").write_bytes(mutate(chance.choice(files), files, chance))

    def read(_):
        try:
            labels = rois_to_labels(read_rois(place / "damaged"), LABELS.shape)
            assert labels.shape == LABELS.shape
        finally:
            check_around(place, {"damaged"})

    answered, refused = fuzz("rois", 700, make, read)
    assert ONLY or (answered > 20 and refused > 100)


def test_marks(place, quiet):
    files = mark_files(place)
    names, contents = list(files), list(files.values())

    def make(chance):
        name = chance.choice(names)
        path = place / f"damaged{Path(name).suffix}"
        path.write_bytes(mutate(files[name], contents, chance))
        return path, chance.random() < 0.5

    def read(what):
        path, clean = what
        try:
            mask, labels = read_truth(path, LABELS.shape, clean=clean)
            assert mask.dtype == bool
            assert labels is None or labels.dtype == np.int32
        finally:
            check_around(place, {path.name})
            path.unlink()

    answered, refused = fuzz("marks", 300, make, read)
    assert ONLY or (answered > 20 and refused > 50)


def test_folders(place, quiet):
    """Damaged pictures, marks and archives of them become rows of the report, or a sentence."""
    marks, pictures = mark_files(place), picture_files()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("masks/one.tif", marks["e.tif"])
    contents = [*marks.values(), *pictures.values()]

    def make(chance):
        shutil.rmtree(place / "images", ignore_errors=True)
        shutil.rmtree(place / "masks", ignore_errors=True)
        (place / "images").mkdir()
        (place / "masks").mkdir()
        name, mark = chance.choice(list(pictures)), chance.choice(list(marks))
        damaged = mutate(pictures[name], contents, chance)
        (place / "images" / f"one{Path(name).suffix}").write_bytes(damaged)
        (place / "images" / "two.png").write_bytes(pictures["a.png"])
        damaged = mutate(marks[mark], contents, chance)
        (place / "masks" / f"two{Path(mark).suffix}").write_bytes(damaged)
        (place / "masks" / "one.tif").write_bytes(marks["e.tif"])
        (place / "masks.zip").write_bytes(mutate(packed.getvalue(), contents, chance))
        return place / chance.choice(("masks", "masks", "masks.zip"))

    def read(masks):
        before = files_under(place)
        try:
            import_folder(place / "images", masks, place / "out", clean=True)
            assert files_under(place) - before == {
                f"out/{name}" for name in files_under(place / "out")
            }
        finally:
            shutil.rmtree(place / "out", ignore_errors=True)
            check_around(place, before)

    answered, refused = fuzz("folders", 120, make, read)
    assert ONLY or (answered > 20 and answered + refused == 120 * TIMES)


# --- archives ----------------------------------------------------------------------------------


def archive_files() -> list[bytes]:
    parts = {"data/images/a.png": b"picture", "data/masks/a.png": b"mask" * 300, "b.txt": b""}
    archives = []
    for mode in ("w", "w", "w:gz", "w:bz2", "w:xz"):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode=mode) as tar:
            for name, content in parts.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        archives.append(stream.getvalue()[: 6 * 512 if mode == "w" else None])
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", compression) as file:
            for name, content in parts.items():
                file.writestr(name, content)
        archives.append(stream.getvalue())
    return archives


def test_archives(place, quiet):
    files = archive_files()

    def make(chance):
        (place / "damaged").write_bytes(mutate(chance.choice(files), files, chance))

    def read(_):
        try:
            unpack(place / "damaged", place / "out", max_bytes=10**6)
            inside = files_under(place / "out")
            assert sum((place / "out" / name).stat().st_size for name in inside) <= 10**6
        finally:
            shutil.rmtree(place / "out", ignore_errors=True)
            check_around(place, {"damaged"})

    answered, refused = fuzz("archives", 700, make, read)
    assert ONLY or (answered > 50 and refused > 100)


# --- tables and records ------------------------------------------------------------------------


def test_manifests(place, quiet):
    write_dataset(place, embryos=2, sections=2)
    manifest, inside = place / "manifest.csv", files_under(place)
    seeds = [
        manifest.read_bytes(),
        b'\xef\xbb\xbfname,embryo,section,pixel_size_um\r\n"e0_s0","a\n,b","12",0.1\r\n',
        "name,embryo,section\nimages/e1_s1.png,Ä,٣\n".encode(),
    ]

    def make(chance):
        manifest.write_bytes(mutate(chance.choice(seeds), seeds, chance))

    def read(_):
        try:
            pairs = read_dataset(place)
            assert len(pairs) == 4
            assert all(pair.section is None or pair.section >= 0 for pair in pairs)
        finally:
            check_around(place, inside)

    answered, refused = fuzz("manifests", 500, make, read)
    assert ONLY or (answered > 50 and refused > 50)


def test_records(place, quiet):
    """The hashes of the first downloads, a JSON file in the cache."""
    seed = json.dumps({"data/a.jpg": "0" * 64, "data/b.jpg": "f" * 64}).encode()

    def make(chance):
        (place / RECORD).write_bytes(mutate(seed, [seed, b"[[1, 2]]", b'{"a": {"b": 1}}'], chance))

    def read(_):
        try:
            hashes = _Record(place / RECORD).hashes
            assert all(isinstance(value, str) for value in hashes.values())
        finally:
            check_around(place, {RECORD})

    answered, refused = fuzz("records", 200, make, read)
    assert ONLY or (answered > 10 and refused > 50)


# --- checkpoints -------------------------------------------------------------------------------


def forged_header(header: dict, chance: random.Random) -> dict:
    """One lie, told in valid JSON: about a shape, a type, a place, a name, or the network."""
    header = json.loads(json.dumps(header))
    name = chance.choice([key for key in header if key != "__metadata__"])
    entry, numbers = header[name], (0, 1, 3, 63, 2**31, 2**40, 2**62, -1, 1.5, "64", None)
    what = chance.randrange(7)
    if what == 0:
        entry["shape"] = [chance.choice(numbers) for _ in range(chance.randrange(6))]
    elif what == 1:
        entry["dtype"] = chance.choice(("F8_E4M3", "I64", "BOOL", "U8", "F64", "C64", "x", None))
    elif what == 2:
        entry["data_offsets"] = [chance.choice(numbers), chance.choice(numbers)]
    elif what == 3:
        header[chance.choice(("more.weight", "", "a" * 9999, "head.0.weight"))] = header.pop(name)
    elif what == 4:
        other = chance.choice([key for key in header if key != "__metadata__"])
        header[name], header[other] = header[other], header[name]
    else:
        card = json.loads(header["__metadata__"]["devotools"])
        card[chance.choice(list(card))] = chance.choice((*numbers, [], {}, "x" * 9999, 1024))
        header["__metadata__"]["devotools"] = json.dumps(card)
    return header


def test_checkpoints(place, quiet, tmp_path_factory):
    """Half the damage is to the header, where all lengths are; the rest to the weights."""
    torch.manual_seed(0)
    save_model(place / "whole.safetensors", ResNet18FPN().half(), {"note": "a test"})
    whole = (place / "whole.safetensors").read_bytes()
    (place / "whole.safetensors").unlink()
    path, size = place / "damaged.safetensors", 8 + struct.unpack("<Q", whole[:8])[0]
    header, weights = json.loads(whole[8:size]), whole[size:]

    def make(chance):
        what = chance.randrange(10)
        if what < 4:
            forged = json.dumps(forged_header(header, chance)).encode()
            path.write_bytes(struct.pack("<Q", len(forged)) + forged + weights)
        elif what < 8:
            damaged = mutate(whole[:size], [whole[:size], b'{"a": 1}' * 50], chance)
            path.write_bytes(damaged + (weights if chance.random() < 0.5 else b""))
        elif what < 9:
            path.write_bytes(whole[: chance.randrange(len(whole))])
        else:
            at = size + chance.randrange(len(weights) - 8)
            number = chance.choice((b"\xff" * 4, b"\0" * 8, b"\x00\x7c", chance.randbytes(4)))
            path.write_bytes(whole[:at] + number + whole[at + len(number) :])

    def read(_):
        try:
            model = load_model(path)
            assert all(torch.isfinite(value).all() for value in model.parameters())
        finally:
            check_around(place, {path.name})

    answered, refused = fuzz("checkpoints", 150, make, read)
    assert ONLY or (answered > 3 and refused > 100)


# --- what it has found: one small test each ----------------------------------------------------


def refusal(action, match):
    with pytest.raises(InputError, match=match), watchdog():
        action()


def test_a_small_tiff_that_claims_a_gigabyte(tmp_path):
    """One strip of zeros, packed, and a height that makes them a billion: minutes of nothing."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((1, 16384), np.uint8), compression="zlib", metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags["ImageLength"].overwrite(50_000)
    refusal(lambda: read_image(path), "says that it holds 819,200,000 bytes; expected 134,217,728")
    honest = np.zeros((6000, 6000), np.uint8)
    tifffile.imwrite(path, honest, compression="zlib")  # emptiness packs well, and is no lie
    assert read_labels(path).shape == honest.shape


def test_what_tifffile_thinks_is_not_printed(tmp_path, quiet):
    content = bytearray(picture_files()["a.tif"])
    content[24:26] = b"\xff\xff"
    (tmp_path / "a.tif").write_bytes(content)
    refusal(lambda: read_image(tmp_path / "a.tif"), "cannot be read as an image|TIFF")


def test_a_tiff_by_another_name_goes_the_way_of_tiffs(tmp_path, quiet):
    """Pillow's own way prints what it thinks of damaged ones."""
    path = tmp_path / "a.png"
    path.write_bytes(picture_files()["c.tif"])
    assert read_image(path).shape == GREY.shape
    refusal(lambda: read_truth(path, GREY.shape, clean=True), "is coloured; expected grey")
    path.write_bytes(path.read_bytes()[:-200])
    refusal(lambda: read_image(path), "cannot be read as an image")


def test_no_program_is_started_for_a_picture(tmp_path, monkeypatch):
    """Pillow hands PostScript to Ghostscript, whatever a file is called."""
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("started a program"))
    refusal(lambda: read_image(tmp_path / "a.png"), "is not an image")


def test_a_manifest_with_endless_fields(tmp_path):
    write_dataset(tmp_path, embryos=1, sections=1)
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("name,embryo,section\ne0_s0,E," + "1" * 5000)
    assert read_dataset(tmp_path)[0].section is None
    manifest.write_text("name,embryo,section\n" + "n" * 5000 + ",E,1")
    with pytest.raises(InputError, match="none of the images") as refused:
        read_dataset(tmp_path)
    assert len(str(refused.value)) < 800


def test_pages_that_lead_in_a_circle(tmp_path):
    """Each page of a TIFF names the place of the next; tifffile follows for ever."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, metadata=None)
    tifffile.imwrite(path, GREY[:9], append=True, metadata=None)
    with tifffile.TiffFile(path) as tiff:
        first, second = (page.offset for page in tiff.pages)
        last = second + 2 + 12 * len(tiff.pages[1].tags)
    content = bytearray(path.read_bytes())
    struct.pack_into(tiff.byteorder + "I", content, last, first)
    path.write_bytes(content)
    refusal(lambda: read_image(path), "its pages lead in a circle")


def test_colour_without_a_pixel():
    refusal(lambda: to_grey(np.zeros((0, 5, 3), np.uint8)), "no pixel at all")
    refusal(lambda: to_grey(np.zeros((5, 0, 4), np.float32)), "no pixel at all")


def test_a_layer_with_an_endless_name(tmp_path):
    save_model(tmp_path / "a.safetensors", ResNet18FPN())
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        card = file.metadata()
    save_file({"a" * 9999: torch.zeros(1)}, tmp_path / "b.safetensors", card)
    with pytest.raises(InputError, match="layers differ, first 'aaa") as refused:
        load_model(tmp_path / "b.safetensors")
    assert len(str(refused.value)) < 600
