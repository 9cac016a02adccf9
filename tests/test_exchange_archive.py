"""Archives: what is good comes out whole; what is bad is refused, and nothing is left behind."""

import io
import random
import shutil
import stat
import tarfile
import time
import zipfile

import pytest
from helpers import files_under

from devotools import InputError
from devotools.exchange import unpack

GOOD = {"data/images/a.png": b"picture", "data/masks/a.png": b"mask" * 1000, "empty.txt": b""}
MODES = {"a.tar": "w", "a.tar.gz": "w:gz", "a.tar.bz2": "w:bz2", "a.tar.xz": "w:xz"}


def write_tar(path, files=GOOD, mode="w", odd=()):
    """A tar of plain files, and of members that are made by hand."""
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in odd:
            tar.addfile(member)
    return path


def write_zip(path, files=GOOD, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def odd_member(name, kind, link=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


def refuse(archive, tmp_path, match, **limits):
    """Unpacking raises that sentence, and nothing but the archive is there afterwards."""
    before = files_under(tmp_path)
    with pytest.raises(InputError, match=match):
        unpack(archive, tmp_path / "out", **limits)
    assert files_under(tmp_path) == before
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [*MODES, "a.zip", "no_suffix"])
def test_good_archives_come_out_whole(tmp_path, name):
    path = tmp_path / name
    write_tar(path, mode=MODES[name]) if name in MODES else write_zip(path)
    files = unpack(path, tmp_path / "out")
    assert {p.relative_to(tmp_path / "out").as_posix(): p.read_bytes() for p in files} == GOOD
    assert files_under(tmp_path) == {name} | {f"out/{file}" for file in GOOD}


def test_an_empty_target_is_taken_and_a_full_one_refused(tmp_path):
    archive = write_zip(tmp_path / "a.zip")
    (tmp_path / "empty").mkdir()
    unpack(archive, tmp_path / "empty")
    assert files_under(tmp_path / "empty") == set(GOOD)
    with pytest.raises(InputError, match="is not empty"):
        unpack(archive, tmp_path / "empty")


def test_permissions_are_not_taken_over(tmp_path):
    member = tarfile.TarInfo("tool")
    member.mode = 0o4777
    unpack(write_tar(tmp_path / "a.tar", {}, odd=[member]), tmp_path / "out")
    assert not stat.S_IMODE((tmp_path / "out" / "tool").stat().st_mode) & 0o7111


@pytest.mark.parametrize("write", [write_tar, write_zip])
@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("/etc/evil", "an absolute path"),
        ("\\evil", "an absolute path"),
        ("C:/evil", "an absolute path"),
        ("C:evil", "an absolute path"),
        ("../evil", "a way out"),
        ("images/../../evil", "a way out"),
        ("..\\evil", "a way out"),
        ("images/..", "a way out"),
    ],
)
def test_names_that_lead_outside(tmp_path, write, name, match):
    refuse(write(tmp_path / "archive", {"good.txt": b"x", name: b"y"}), tmp_path, match)


@pytest.mark.parametrize(
    ("kind", "link", "match"),
    [
        (tarfile.SYMTYPE, "/etc", "a symbolic link"),
        (tarfile.SYMTYPE, "good.txt", "a symbolic link"),
        (tarfile.LNKTYPE, "../secret", "a hard link"),
        (tarfile.CHRTYPE, "", "a device or a pipe"),
        (tarfile.BLKTYPE, "", "a device or a pipe"),
        (tarfile.FIFOTYPE, "", "a device or a pipe"),
        (tarfile.GNUTYPE_SPARSE, "", "sparse"),
    ],
)
def test_tar_members_that_are_no_plain_files(tmp_path, kind, link, match):
    archive = write_tar(tmp_path / "a.tar", odd=[odd_member("door", kind, link)])
    refuse(archive, tmp_path, match)


@pytest.mark.parametrize(
    ("kind", "match"), [(stat.S_IFLNK, "a symbolic link"), (stat.S_IFIFO, "a device or a pipe")]
)
def test_zip_members_that_are_no_plain_files(tmp_path, kind, match):
    info = zipfile.ZipInfo("door")
    info.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("good.txt", "x")
        file.writestr(info, "/etc")
    refuse(tmp_path / "a.zip", tmp_path, match)


def test_zip_with_a_password(tmp_path):
    content = bytearray(write_zip(tmp_path / "a.zip").read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    refuse(tmp_path / "a.zip", tmp_path, "an encrypted file")


def test_a_name_that_stands_twice(tmp_path):
    archive = write_tar(tmp_path / "a.tar", {"a.png": b"1", "A.PNG": b"2"})
    refuse(archive, tmp_path, "stands twice")


def test_a_file_where_a_folder_is(tmp_path):
    refuse(write_tar(tmp_path / "a.tar", {"a": b"1", "a/b": b"2"}), tmp_path, "cannot be unpacked")


@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_limits(tmp_path, write):
    archive = write(tmp_path / "archive")
    refuse(archive, tmp_path, "more than 2 members", max_members=2)
    refuse(archive, tmp_path, "more than 4,000 bytes", max_bytes=4000)
    assert unpack(archive, tmp_path / "out", max_bytes=4007, max_members=3)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.zip"])
def test_bombs(tmp_path, name):
    """20 MB of zeros in a few kilobytes: more than 200 times the archive, and than 16 MiB."""
    files = {"zeros": bytes(20_000_000)}
    path = tmp_path / name
    write_tar(path, files, MODES[name]) if name in MODES else write_zip(path, files)
    refuse(path, tmp_path, "bytes when unpacked")
    assert unpack(path, tmp_path / "out", max_ratio=1_000_000)  # who trusts it may


def test_a_bomb_in_the_header_of_a_tar(tmp_path):
    """A name of 60 MB: read into memory before any member is seen."""
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("a" * 60_000_000))
    refuse(tmp_path / "a.tar.gz", tmp_path, "bytes when unpacked")


def test_a_zip_that_lies_about_its_size(tmp_path):
    content = write_zip(tmp_path / "a.zip", {"zeros": bytes(1_000_000)}).read_bytes()
    small = content.replace((1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    (tmp_path / "a.zip").write_bytes(small)
    refuse(tmp_path / "a.zip", tmp_path, "cannot be unpacked")


@pytest.mark.parametrize("name", [*MODES, "a.zip"])
def test_half_an_archive(tmp_path, name):
    path = tmp_path / name
    rubbish = {"noise": random.Random(0).randbytes(50_000)}
    write_tar(path, rubbish, MODES[name]) if name in MODES else write_zip(path, rubbish)
    path.write_bytes(path.read_bytes()[:25_000])
    refuse(path, tmp_path, "cannot be unpacked")


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path):
    files = {"a.zip": write_zip(tmp_path / "inner.zip").read_bytes()}
    assert [p.name for p in unpack(write_tar(tmp_path / "a.tar", files), tmp_path / "out")] == [
        "a.zip"
    ]


def test_what_is_no_archive(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"<html>log in</html>" * 100)
    refuse(tmp_path / "a.zip", tmp_path, "cannot be unpacked")
    refuse(tmp_path / "none.zip", tmp_path, "is no file")
    (tmp_path / "empty.tar").write_bytes(b"")
    refuse(tmp_path / "empty.tar", tmp_path, "cannot be unpacked")


def mutate(content: bytes, chance: random.Random) -> bytes:
    """A few bytes changed, a piece cut out, or a piece doubled."""
    content = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(content))
        content[at] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
    at, length = chance.randrange(len(content)), chance.randint(1, 600)
    what = chance.randrange(4)
    if what == 0:
        del content[at : at + length]
    elif what == 1:
        content[at:at] = content[at : at + length]
    return bytes(content)


def fuzz(folder, rounds: int, seed: int = 0) -> int:
    """Unpack damaged archives; how many were still good. Anything but InputError comes through."""
    chance, good = random.Random(seed), 0
    seeds = [write_tar(folder / name, mode=mode).read_bytes() for name, mode in MODES.items()]
    seeds += [write_zip(folder / "a.zip").read_bytes()]
    seeds += [write_zip(folder / "b.zip", compression=zipfile.ZIP_STORED).read_bytes()]
    seeds += [seeds[0][:8192]] * 3  # a plain tar's headers carry no checksum that stops most
    inside = folder / "inside"
    inside.mkdir()
    (folder / "damaged").touch()
    outside = sorted(folder.iterdir())
    for _ in range(rounds):
        (folder / "damaged").write_bytes(mutate(chance.choice(seeds), chance))
        try:
            unpack(folder / "damaged", inside / "out", max_bytes=10**6)
            good += 1
            shutil.rmtree(inside / "out")
        except InputError:
            pass
        assert not list(inside.iterdir())
        assert sorted(folder.iterdir()) == outside
    return good


def test_damaged_archives_give_a_sentence_only(tmp_path):
    start = time.monotonic()
    good = fuzz(tmp_path, 250)
    assert 0 < good < 250
    assert time.monotonic() - start < 60
