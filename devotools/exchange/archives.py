"""Archives, unpacked with no way out of the target folder.

A tar or zip file is a list of instructions written by somebody else: it can name a file outside
the folder, a link that leads out of it, a device, or a few kilobytes that swell to fill the disk.
Here only plain files and folders below the target are made; anything else is refused, and then
nothing of the archive is left.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from devotools._files import whole_folder
from devotools._validate import InputError, check_count, check_positive

MAX_BYTES = 2 * 2**30
MAX_MEMBERS = 20_000
MAX_RATIO = 200  # micrographs shrink to a half or a tenth; a bomb to a thousandth
FREE_BYTES = 16 * 2**20  # what a small archive may swell to, whatever its ratio: empty masks do
CHUNK = 2**16
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,  # and with it UnicodeError
    OverflowError,
    MemoryError,
    NotImplementedError,  # a compression that zipfile does not know
    RuntimeError,  # a password
    LookupError,  # the readers themselves, on headers that point nowhere
)
Part = tuple[str, bool, int, Callable[[], IO[bytes]]]  # name, folder?, bytes, how to open


def unpack(
    archive: str | Path,
    target: str | Path,
    *,
    max_bytes: int = MAX_BYTES,
    max_members: int = MAX_MEMBERS,
    max_ratio: float = MAX_RATIO,
) -> list[Path]:
    """Unpack a tar (plain, gz, bz2, xz) or zip file into ``target``; return its files, sorted.

    ``target`` must be new or empty, and appears only when everything is unpacked. Refused with a
    sentence (:class:`~devotools._validate.InputError`): names that are absolute, hold ``..`` or a
    drive, or stand twice; symbolic and hard links; devices and pipes; sparse and encrypted files;
    more than ``max_members`` entries; more than ``max_bytes`` in all, or more than ``max_ratio``
    times the archive (the first 16 MiB are free); and damaged files. Permissions and owners are
    not taken over. Source: CWE-22, CWE-59, CWE-409.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with zipfile.ZipFile(folder / "a.zip", "w") as file:
    ...     file.writestr("images/a.txt", "one")
    >>> [path.name for path in unpack(folder / "a.zip", folder / "out")]
    ['a.txt']
    """
    archive, target = Path(archive), Path(target)
    check_count(max_members, "max_members")
    most = _most_bytes(archive, check_count(max_bytes, "max_bytes"), max_ratio)
    with whole_folder(target) as unfinished, readable(archive):
        for path in _write_parts(archive, unfinished, most, max_members):
            path.resolve().relative_to(unfinished.resolve())  # a second lock on the door
    return sorted(path for path in target.rglob("*") if path.is_file())


def is_archive(path: Path) -> bool:
    """Whether a name is that of an archive that :func:`unpack` reads."""
    return re.search(r"\.(zip|tar|tgz|txz|tbz2?|tar\.(gz|xz|bz2))$", path.name.lower()) is not None


def is_zip(path: Path) -> bool:
    """Whether a file begins as zip files do; a tar that ends with one is a tar."""
    with open(path, "rb") as file:
        return file.read(4) in (b"PK\3\4", b"PK\5\6")


@contextmanager
def readable(archive: str | Path) -> Iterator[None]:
    """Turn whatever a damaged archive makes the readers raise into one sentence."""
    try:
        yield
    except InputError:
        raise
    except DAMAGE as error:
        why = (str(error).strip().splitlines() or [""])[0][:160] or type(error).__name__
        raise InputError(
            f"{str(archive)!r} cannot be unpacked ({why}); expected a whole tar or zip file "
            "without a password. It may be damaged or half downloaded, or the disk may be full: "
            "get it again, or unpack it yourself and give the folder."
        ) from error


def safe_name(name: str, archive: str | Path) -> PurePosixPath:
    """A member's name as a relative path that stays inside; raises for any other.

    >>> safe_name("data/./images/a.png", "x.zip")
    PurePosixPath('data/images/a.png')
    """
    parts = PurePosixPath(name.replace("\\", "/"))
    if not name or "\0" in name:
        raise _refusal(archive, name, "a name that is empty or holds a zero byte", "a plain name")
    if parts.is_absolute() or re.match(r"[A-Za-z]:", name):
        raise _refusal(archive, name, "an absolute path", "a path inside the archive")
    if ".." in parts.parts:
        raise _refusal(archive, name, "a way out of the folder (..)", "a path inside the archive")
    return parts


def _most_bytes(archive: Path, max_bytes: int, max_ratio: float) -> int:
    check_positive(max_ratio, "max_ratio")
    if not archive.is_file():
        raise InputError(
            f"{str(archive)!r} is no file; expected a tar or zip archive. Check the path."
        )
    return min(max_bytes, max(FREE_BYTES, int(max_ratio * archive.stat().st_size)))


def _write_parts(archive: Path, folder: Path, most: int, max_members: int) -> Iterator[Path]:
    taken: set[str] = set()
    left = most
    with zipfile.ZipFile(archive) if is_zip(archive) else _Tar(archive, most) as file:
        parts = _zip_parts(file, archive) if isinstance(file, zipfile.ZipFile) else file.parts()
        for number, (name, is_folder, size, opener) in enumerate(parts, start=1):
            if number > max_members:
                raise _bomb(archive, f"more than {max_members} members")
            if size > left:
                raise _bomb(archive, f"more than {most:,} bytes when unpacked")
            relative = safe_name(name, archive)
            if not relative.parts:  # "./", the folder itself
                continue
            path = folder.joinpath(*relative.parts)
            if is_folder:
                path.mkdir(parents=True, exist_ok=True)
                continue
            if str(relative).casefold() in taken:
                raise _refusal(archive, name, "a file that stands twice", "each file once")
            taken.add(str(relative).casefold())
            left -= _copy(opener, path, size)
            yield path


def _copy(opener: Callable[[], IO[bytes]], path: Path, size: int) -> int:
    """Write one file; never more than it said it would be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done = 0
    with opener() as source, open(path, "xb") as target:
        while done < size and (block := source.read(min(CHUNK, size - done))):
            target.write(block)
            done += len(block)
    if done != size:
        raise EOFError(f"{path.name} ends after {done} of {size} bytes")
    return done


# --- zip ---------------------------------------------------------------------------------------


def _zip_parts(file: zipfile.ZipFile, archive: Path) -> Iterator[Part]:
    for info in file.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            what = "a symbolic link" if kind == stat.S_IFLNK else "a device or a pipe"
            raise _refusal(archive, info.filename, what, "plain files and folders")
        if info.flag_bits & 1:
            raise _refusal(archive, info.filename, "an encrypted file", "files without a password")
        is_folder = info.filename.endswith("/")
        yield info.filename, is_folder, info.file_size, lambda info=info: file.open(info)


# --- tar ---------------------------------------------------------------------------------------


class _Counted:
    """A stream that stops giving when more has come out of it than it may hold."""

    def __init__(self, stream: IO[bytes], most: int, archive: Path):
        self.stream, self.left, self.most, self.archive = stream, most, most, archive

    def read(self, size: int) -> bytes:
        block = self.stream.read(size)
        self.left -= len(block)
        if self.left < 0:
            raise _bomb(self.archive, f"more than {self.most:,} bytes when unpacked")
        return block


class _Tar:
    """A tar file read once from front to back, so that no header can send the reader back."""

    def __init__(self, archive: Path, most: int):
        self.archive, self.most = archive, most

    def __enter__(self) -> _Tar:
        self.raw = _decompressed(self.archive)
        padding = 2**20 + 4 * CHUNK  # headers, and what tar fills its last block with
        counted: Any = _Counted(self.raw, 2 * self.most + padding, self.archive)
        try:
            self.tar = tarfile.open(fileobj=counted, mode="r|", errorlevel=2)
        except BaseException:
            self.raw.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.tar.close()
        self.raw.close()

    def parts(self) -> Iterator[Part]:
        for member in self.tar:
            what = _tar_fault(member)
            if what:
                raise _refusal(self.archive, member.name, what, "plain files and folders")
            yield member.name, member.isdir(), member.size, lambda m=member: self._open(m)

    def _open(self, member: tarfile.TarInfo) -> IO[bytes]:
        source = self.tar.extractfile(member)
        if source is None:
            raise tarfile.ExtractError(f"{member.name!r} holds no file")
        return source


def _decompressed(archive: Path) -> IO[bytes]:
    with open(archive, "rb") as file:
        start = file.read(6)
    for magic, opener in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open)):
        if start.startswith(magic):
            return opener(archive, "rb")
    return open(archive, "rb")


def _tar_fault(member: tarfile.TarInfo) -> str:
    """What a member is that it may not be; empty for plain files and folders."""
    if member.issym():
        return "a symbolic link"
    if member.islnk():
        return "a hard link"
    if member.issparse():
        return "a sparse file"
    if member.size < 0:
        return "a file of negative size"
    return "" if member.isreg() or member.isdir() else "a device or a pipe"


def _refusal(archive: str | Path, name: str, what: str, expected: str) -> InputError:
    return InputError(
        f"{str(archive)!r} holds {what}: {name[:120]!r}; expected {expected}. Nothing was "
        "unpacked. Ask whoever made it for another, or pack the pictures again."
    )


def _bomb(archive: str | Path, what: str) -> InputError:
    return InputError(
        f"{str(archive)!r} holds {what}; expected a data set of pictures. Nothing was unpacked. "
        "If you trust it, unpack it yourself and give the folder, or raise the limit of unpack."
    )
