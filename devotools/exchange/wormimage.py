"""The 92-cell embryo of WormImage: the serial sections that the 2020 project learned from."""

from __future__ import annotations

import json
import shutil
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from devotools._files import check_new
from devotools._validate import InputError, check_count
from devotools.datasets import add_to_manifest
from devotools.exchange.download import NotThere, Source, cache_folder, fetch, kept, sha256
from devotools.images import replace_file

SERIES = "https://www.wormimage.org/data/wild_herm/embryo/92_cell_embryo/92_cell_embryo_7"
EMBRYO = "92_cell_embryo"
MAX_BYTES = 50 * 2**20
MAX_SECONDS = 120.0
RECORD = "wormimage.sha256.json"
ATTRIBUTION = """\
Electron micrographs of a C. elegans embryo of 92 cells, from WormImage (https://www.wormimage.org),
a public archive of electron micrographs of C. elegans.

Series: data/wild_herm/embryo/92_cell_embryo. Sections: the numbers in the files' names.
Downloaded for you by devotools; devotools neither owns nor distributes these pictures.

Terms: we know of no licence that is published for them. Use them for yourself and in class, name
WormImage wherever you show one, and ask the archive before you publish or pass on any.
"""


@dataclass(frozen=True)
class WormImages:
    """What was fetched: the pictures, the names that the server lacks, and whom to thank."""

    files: list[Path]
    missing: list[str]
    attribution: str


def fetch_wormimage(
    out: str | Path,
    *,
    first: int = 101,
    last: int = 180,
    pause: float = 1.0,
    progress: Callable[[int, int], object] | None = None,
    cache: str | Path | None = None,
) -> WormImages:
    """Fetch the serial sections ``first`` to ``last`` of the 92-cell embryo into ``out/images/``.

    One at a time, ``pause`` seconds between two downloads; what the cache holds is not asked for
    again, so an interrupted fetch goes on where it stopped. Nobody has published the pictures'
    hashes: the first download of each is recorded in the cache (SHA-256), and later ones are held
    to it. Names that the server lacks are returned as ``missing``. ``out`` gets ATTRIBUTION.txt
    and manifest.csv (one embryo; rows that you wrote there stay) as well; there are no masks.
    ``progress(done, total)`` is called after each. ``DEVOTOOLS_DATA_URL`` names a mirror.

    Raises :class:`~devotools._validate.InputError` without a network, for a picture that is none
    or has changed, and where ``out`` holds another file of a picture's name. Source:
    devoworm/GSoC-2020, download_training_data.ipynb. Taught in lesson 06; docs/data/wormimage.md
    is the data card.
    """
    out, folder = Path(out), cache_folder(cache)
    numbers = _numbers(first, last, pause)
    _check_ours(out)
    record = _Record(folder / RECORD)
    files, missing, asked = [], [], False
    for done, number in enumerate(numbers, start=1):
        source = _source(number, record)
        here = kept(source, folder) is not None
        if asked and not here:
            time.sleep(pause)
        asked = asked or not here
        try:
            files.append(_place(_fetch_held(source, folder, record), out))
        except NotThere:
            missing.append(Path(source.path).name)
        if progress is not None:
            progress(done, len(numbers))
    if not files:
        raise InputError(
            f"none of the {len(numbers)} pictures from {first} to {last} is on the server; "
            "expected numbers from 101 to 180, as the 2020 project listed them. Ask for those; "
            "if you did, the archive has moved: see docs/data/wormimage.md."
        )
    _note_sections(out)
    return WormImages(files, missing, ATTRIBUTION)


def _numbers(first: int, last: int, pause: float) -> range:
    check_count(first, "first", least=0)
    check_count(last, "last", least=first)
    if last > 9999:
        raise InputError(f"last is {last}; expected 9999 at most: the names have four digits.")
    if not isinstance(pause, (int, float)) or not 0 <= pause <= 3600:
        raise InputError(f"pause is {pause!r}; expected seconds from 0 to 3600.")
    return range(first, last + 1)


def _source(number: int, record: _Record) -> Source:
    url = f"{SERIES}.{number:04d}.jpg"
    name = Source(url, check_jpeg, MAX_BYTES, MAX_SECONDS).path
    return Source(url, lambda path: record.check(name, path), MAX_BYTES, MAX_SECONDS)


def _fetch_held(source: Source, folder: Path, record: _Record) -> Path:
    path = fetch(source, folder)
    record.keep(source.path, path)
    return path


class _Record:
    """The hashes of the first downloads, by path, in a JSON file in the cache."""

    def __init__(self, path: Path):
        self.path = path
        self.hashes = self._stored()

    def _stored(self) -> dict[str, str]:
        hashes: dict[str, str] = {}
        try:
            if self.path.exists():
                hashes = json.loads(self.path.read_text(encoding="utf-8"))
            good = all(isinstance(value, str) for value in hashes.values())
        except (ValueError, OSError, AttributeError):
            good = False
        if not good:
            raise InputError(
                f"{str(self.path)!r} cannot be read; expected the recorded SHA-256 of each "
                "picture. Remove it: the pictures will be recorded anew."
            )
        return hashes

    def check(self, name: str, path: Path) -> None:
        """Raise ValueError for no JPEG, and for another one than was recorded."""
        check_jpeg(path)
        known = self.hashes.get(name)
        if known is not None and (came := sha256(path)) != known:
            raise ValueError(
                f"its SHA-256 is {came[:16]}..., and {known[:16]}... was recorded in "
                f"{str(self.path)!r} when it was first downloaded; if the archive has really "
                "changed the picture, remove its line there"
            )

    def keep(self, name: str, path: Path) -> None:
        """Write down a picture's hash, the first time it is seen."""
        if name in self.hashes:
            return
        self.hashes = self._stored()  # another fetch may have added to it meanwhile
        self.hashes.setdefault(name, sha256(path))
        with replace_file(self.path) as temporary:
            temporary.write_text(
                json.dumps(self.hashes, indent=1, sort_keys=True) + "\n", encoding="utf-8"
            )


def check_jpeg(path: Path) -> None:
    """Raise ValueError for a file that is no whole JPEG, such as a portal's log-in page."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=["JPEG"]) as picture:
                picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError("it is no whole JPEG picture") from error


def _check_ours(out: Path) -> None:
    """Refuse a folder that holds other things than an earlier fetch: they would be mixed."""
    note = out / "ATTRIBUTION.txt"
    if note.is_file() and note.read_bytes() == ATTRIBUTION.encode():
        return
    check_new(out)


def _place(path: Path, out: Path) -> Path:
    """Copy a picture out of the cache, unless it is there already."""
    target, note = out / "images" / path.name, out / "ATTRIBUTION.txt"
    if target.exists():
        if target.is_file() and sha256(target) == sha256(path):
            return target
        raise InputError(
            f"{str(target)!r} is another file than the one fetched; expected none, or the same. "
            "Move it away, or choose another folder."
        )
    if not note.exists():  # before the first picture: none stands without its name
        with replace_file(note) as temporary:
            temporary.write_bytes(ATTRIBUTION.encode())
    with replace_file(target) as temporary:
        shutil.copyfile(path, temporary)
    return target


def _note_sections(out: Path) -> None:
    pictures = sorted((out / "images").glob(f"{EMBRYO}_7.[0-9]*.jpg"))
    numbers = (int(path.stem.rpartition(".")[2]) for path in pictures)
    add_to_manifest(
        out / "manifest.csv",
        (
            {"name": path.stem, "embryo": EMBRYO, "section": str(number)}
            for path, number in zip(pictures, numbers, strict=True)
        ),
    )
