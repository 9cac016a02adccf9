"""Files from the web: fetched gently, checked before a byte is used, kept, never half.

pooch keeps the files and tries again; what it lacks is here: a limit on size and on time, the rest
of half a download, a mirror, and one sentence when there is no network. TLS is always verified.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pooch
import requests
import urllib3

from devotools._files import cannot_write
from devotools._validate import InputError

MIRROR = "DEVOTOOLS_DATA_URL"  # a server that holds the same paths, such as a served cache folder
CACHE = "DEVOTOOLS_CACHE"
HOME = "https://github.com/devoworm/devotools"
RETRIES = 3
CONNECT_S, SILENT_S = 10, 30  # how long a server may take to answer, and to say nothing
CHUNK = 2**16
Check = Callable[[Path], None]


class NotThere(Exception):
    """The server is there and says that the file is not (404 or 410)."""


class _Final(Exception):
    """A failure that asking again cannot mend; its message is the sentence for the user."""


@dataclass(frozen=True)
class Source:
    """One file of the web: its address, its limits, and what it must be.

    ``check`` raises ValueError for a file that is not what was asked for; ``resumable`` files may
    be put together from two downloads, because their check would notice a wrong joint.
    """

    url: str
    check: Check
    max_bytes: int
    max_seconds: float
    resumable: bool = False

    @property
    def path(self) -> str:
        """Where it lies, in the cache and on a mirror: the address without its server."""
        return unquote(urlsplit(self.url).path).lstrip("/")


def cache_folder(cache: str | Path | None = None) -> Path:
    """The folder that keeps downloads: ``cache``, $DEVOTOOLS_CACHE, or the system's own."""
    return Path(cache or os.environ.get(CACHE) or pooch.os_cache("devotools"))


def address(source: Source) -> str:
    """Where to ask: the mirror of $DEVOTOOLS_DATA_URL if there is one, else the origin."""
    mirror = os.environ.get(MIRROR, "").strip()
    if not mirror:
        return source.url
    if urlsplit(mirror).scheme not in ("http", "https"):
        raise InputError(
            f"{MIRROR} is {mirror!r}; expected an address that begins with http:// or https://. "
            "Mend the environment variable, or remove it to ask the original server."
        )
    return f"{mirror.rstrip('/')}/{quote(source.path)}"


def kept(source: Source, cache: Path) -> Path | None:
    """The file in the cache, if it is there and passes its check."""
    path = cache / source.path
    try:
        if path.is_file():
            source.check(path)
            return path
    except (ValueError, OSError):
        return None
    return None


def fetch(source: Source, cache: Path) -> Path:
    """Return the file from the cache, or download it there; it has passed its check either way.

    Raises :class:`NotThere` where the server lacks it, and
    :class:`~devotools._validate.InputError` for everything else that goes wrong.
    """
    path, url = kept(source, cache), address(source)
    if path is not None:
        return path
    path = cache / source.path
    try:
        path.unlink(missing_ok=True)  # damaged: it failed its check
        keeper = pooch.create(
            path=cache,
            base_url="",
            registry={source.path: None},  # the check below stands in for pooch's own hashes
            urls={source.path: url},
            retry_if_failed=RETRIES,
        )
        pooch.get_logger().setLevel(logging.WARNING)
        keeper.fetch(source.path, downloader=_Downloader(source, path))
    except NotThere:
        raise
    except _Final as error:
        raise InputError(str(error)) from error
    except requests.RequestException as error:
        raise InputError(_unreachable(url, error)) from error
    except ValueError as error:
        raise InputError(_wrong(url, error)) from error
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


class _Downloader:
    """What pooch calls to fill its temporary file; an error makes it try again."""

    def __init__(self, source: Source, path: Path):
        self.source = source
        self.part = path.with_name(path.name + ".part")

    def __call__(self, url: str, output_file: str, _pooch: object, check_only: bool = False):
        temporary = self.part if self.source.resumable else Path(output_file)
        self._download(url, temporary)
        try:
            self.source.check(temporary)
        except ValueError:
            temporary.unlink()
            raise
        if temporary != Path(output_file):
            shutil.move(temporary, output_file)

    def _download(self, url: str, temporary: Path) -> None:
        have = temporary.stat().st_size if self.source.resumable and temporary.exists() else 0
        deadline = time.monotonic() + self.source.max_seconds
        with requests.get(
            url, headers=_headers(have), stream=True, timeout=(CONNECT_S, SILENT_S)
        ) as response:
            _check_answer(response, url)
            if response.status_code == 416:  # what we have is as long as the file, or longer
                temporary.unlink(missing_ok=True)
                raise requests.RequestException("the rest of the file was not there")
            range_said = response.headers.get("Content-Range", "")
            more = response.status_code == 206 and range_said.startswith(f"bytes {have}-")
            if response.status_code == 206 and not more:
                raise requests.RequestException(f"it sent another part ({range_said[:40]!r})")
            with open(temporary, "ab" if more else "wb") as file:
                for block in _blocks(response, self.source, deadline, have if more else 0):
                    file.write(block)


def _headers(have: int) -> dict[str, str]:
    try:
        version = importlib.metadata.version("devotools")
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"
    agent = f"devotools/{version} (lessons on nucleus segmentation; +{HOME})"
    headers = {"User-Agent": agent, "Accept-Encoding": "identity"}
    return headers | {"Range": f"bytes={have}-"} if have else headers


def _check_answer(response: requests.Response, url: str) -> None:
    way = [*(step.url for step in response.history), response.url]
    bare = [step for step in way if not step.startswith("https:")]
    if url.startswith("https:") and bare:
        raise _Final(
            f"{url!r} leads to {bare[0][:200]!r}, which is not protected (https). Nothing was "
            "downloaded. A portal may stand between: log in to the network first."
        )
    status = response.status_code
    if status in (404, 410):
        raise NotThere(url)
    if status >= 500 or status in (408, 429):  # the server's trouble: it may pass
        raise requests.HTTPError(f"status {status} {response.reason}")
    if status not in (200, 206, 416):
        raise _Final(
            f"{url!r} answers with status {status} ({response.reason}); expected the file. The "
            "server does not give it to us: open the address in a browser, and see what it says."
        )


def _blocks(
    response: requests.Response, source: Source, deadline: float, done: int
) -> Iterator[bytes]:
    """What arrives, as it arrives: a server that drips must not hold us for ever."""
    said = response.headers.get("Content-Length", "")
    if said.isdecimal() and done + int(said) > source.max_bytes:
        raise _too_large(source, f"{done + int(said):,}")
    read = getattr(response.raw, "read1", response.raw.read)  # urllib3 1 has no read1
    try:
        while block := read(CHUNK):
            done += len(block)
            if done > source.max_bytes:
                raise _too_large(source, "more")
            if time.monotonic() > deadline:
                raise requests.Timeout(f"not done after {source.max_seconds:g} seconds")
            yield block
    except (urllib3.exceptions.HTTPError, OSError) as error:
        if isinstance(error, requests.RequestException):
            raise
        raise requests.ConnectionError(f"cut off after {done:,} bytes ({error})") from error


def _too_large(source: Source, size: str) -> _Final:
    return _Final(
        f"{source.path!r} has {size} bytes on the server; expected {source.max_bytes:,} at most. "
        "It is not the file that we know: nothing was kept."
    )


def _unreachable(url: str, error: Exception) -> str:
    why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return (
        f"{url!r} cannot be downloaded ({type(error).__name__}: {why}). What has arrived is kept: "
        f"try again later. In a classroom without a network, set {MIRROR} to a server that holds "
        "the files, or do without: `devotools synthesize --out drawn` draws labelled embryos."
    )


def _wrong(url: str, error: Exception) -> str:
    return (
        f"{url!r} sent another file than expected: {error}. Nothing of it was kept. A portal may "
        f"stand between (open the address in a browser), {MIRROR} may be wrong, or the file has "
        "changed; `devotools synthesize --out drawn` draws labelled embryos without a network."
    )


# --- what a file must be -----------------------------------------------------------------------


def git_blob_hash(path: str | Path) -> str:
    r"""The name that git gives to a file: SHA-1 over ``blob <size>\0`` and its content, in hex.

    Source: the Git book, chapter 10.2, Git Objects.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.txt"
    >>> _ = path.write_bytes(b"what is up, doc?")
    >>> git_blob_hash(path)
    'bd9dbf5aae1a3862dd1526723246b20206e5fc37'
    """
    path = Path(path)
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    return _hash_into(digest, path)


def sha256(path: str | Path) -> str:
    """SHA-256 of a file, in hex."""
    return _hash_into(hashlib.sha256(), Path(path))


def _hash_into(digest, path: Path) -> str:
    with open(path, "rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()
