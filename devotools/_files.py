"""A folder that appears whole, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devotools._validate import InputError


@contextmanager
def whole_folder(out: str | Path) -> Iterator[Path]:
    """Give a hidden folder to fill; it becomes ``out`` only when the block ends without an error.

    ``out`` must be new or empty. Raises :class:`~devotools._validate.InputError` where it is not,
    and where it cannot be written; nothing is left behind then.

    >>> import tempfile
    >>> out = Path(tempfile.mkdtemp()) / "new"
    >>> with whole_folder(out) as unfinished:
    ...     _ = (unfinished / "note.txt").write_text("done")
    >>> (out / "note.txt").read_text()
    'done'
    """
    out = Path(out)
    try:
        check_new(out)
        unfinished = (out if out.is_dir() else out.parent) / f".{uuid.uuid4().hex[:8]}"
        unfinished.mkdir(parents=True)
    except OSError as error:
        raise cannot_write(out, error) from error
    try:
        yield unfinished
        _move(unfinished, out)
    except OSError as error:
        raise cannot_write(out, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def check_new(out: Path) -> None:
    """Refuse a file, and a folder that holds something: it would be overwritten."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            f"{str(out)!r} exists and is not empty; expected a new folder, so that nothing is "
            "overwritten. Choose another name, or remove it first."
        )


class WriteError(InputError):
    """A place where nothing can be written: no fault of the picture that was being worked on."""


def cannot_write(path: str | Path, error: OSError) -> WriteError:
    """The sentence for a place where nothing can be written."""
    said = f"{str(path)!r} cannot be written ({error.strerror or error})."
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return WriteError(f"{said} A file is where a folder is needed; choose another name.")
    if error.errno == errno.ENAMETOOLONG:
        return WriteError(f"{said[:-1]}; expected at most 255 letters. Give it a shorter name.")
    return WriteError(f"{said} Choose a folder that you may write to and that has room.")


def _move(unfinished: Path, out: Path) -> None:
    if not out.exists():
        os.replace(unfinished, out)
        return
    for part in list(unfinished.iterdir()):  # out may be mounted, or where we stand: it stays
        os.replace(part, out / part.name)
