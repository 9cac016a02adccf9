"""What a run has done so far, line by line, so that a later one goes on where it was cut off."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from pathlib import Path

from devotools._files import WriteError, cannot_write
from devotools.pipeline.jobs import Job
from devotools.pipeline.outcome import Outcome

FILE = "progress.jsonl"
KNOWN = {field.name for field in fields(Outcome)}


class Journal:
    """A file with one line of JSON for each picture done, written at once; read by its places.

    Only the place of each line is kept in memory. A line that was cut off by a crash is dropped.
    """

    def __init__(self, out: str | Path):
        self.path = Path(out) / FILE
        self._places: dict[str, int] = {}
        try:
            self._file = open(self.path, "a+b")  # noqa: SIM115 - it stays open for the run
            self._read()
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def _read(self) -> None:
        self._file.seek(0)
        end = 0
        for line in self._file:
            try:
                image = _outcome(line).image if line.endswith(b"\n") else None
            except (ValueError, TypeError, AttributeError):
                image = None
            if image is None:
                break
            self._places[image] = end
            end += len(line)
        self._file.truncate(end)

    def add(self, outcome: Outcome) -> None:
        """Write one line, and let it reach the file before anything else is done."""
        # ASCII with escapes: any file name can be written, also one that is not UTF-8
        line = json.dumps(outcome.to_dict()).encode() + b"\n"
        if self.has_vanished():
            raise WriteError(
                f"the folder {str(self.path.parent)!r} has vanished while results were being "
                "written; expected it to stay. Run again, into a folder that nothing else removes."
            )
        try:
            self._file.seek(0, 2)
            place = self._file.tell()
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self._places[outcome.image] = place

    def has_vanished(self) -> bool:
        """Whether somebody has removed the file, or the folder that it is in."""
        return not self.path.exists()

    def get(self, image: str) -> Outcome | None:
        """The latest outcome of a picture, or None."""
        if image not in self._places:
            return None
        self._file.seek(self._places[image])
        return _outcome(self._file.readline())

    def images(self) -> list[str]:
        """The pictures that there are outcomes of."""
        return list(self._places)

    def every_file(self) -> dict[str, set[str]]:
        """The names of all results that were ever recorded, and of which pictures."""
        owners: dict[str, set[str]] = {}
        self._file.seek(0)
        for line in self._file:
            outcome = _outcome(line)
            for name in outcome.files:
                owners.setdefault(name, set()).add(outcome.image)
        return owners

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _outcome(line: bytes) -> Outcome:
    """What a line tells; a later version may tell more. Raises TypeError where it tells less."""
    told = json.loads(line)
    return Outcome(**{name: value for name, value in told.items() if name in KNOWN})


def is_done(job: Job, outcome: Outcome | None, out: Path) -> bool:
    """Whether a picture need not be done again: same file as then, and all results are whole."""
    if outcome is None or outcome.nuclei is None or outcome.output != job.output.as_posix():
        return False
    try:
        if file_state(job.path) != outcome.source:
            return False
        return all(file_sum(out / name) == known for name, known in outcome.files.items())
    except OSError:
        return False


def file_state(path: Path) -> list[int]:
    """Size in bytes, and time of the last change in nanoseconds."""
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]


def file_sum(path: Path) -> list[int | str]:
    """Size in bytes, and SHA-256."""
    with open(path, "rb") as file:
        return [path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()]
