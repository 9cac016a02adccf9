"""A folder of results: one run at a time, nothing mixed, nothing half-written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from devotools._files import cannot_write
from devotools._validate import InputError
from devotools.images import composed
from devotools.pipeline.jobs import Job
from devotools.pipeline.journal import Journal, is_done
from devotools.pipeline.linking import COLUMNS_3D
from devotools.pipeline.outcome import ODD_NAMES, Outcome, write_tables
from devotools.pipeline.report import write_report
from devotools.pipeline.settings import FILE as SETTINGS
from devotools.pipeline.settings import Settings, check_same_run
from devotools.pipeline.states import STATE_COLUMNS

FOLDERS = ("labels", "overlays", "rois")
LOCK = ".lock"
TEMPORARY = re.compile(r"\.[0-9a-f]{8}(\.[a-z0-9]+)?")  # as images.replace_file calls them
SECTION_COLUMN = "section"


class Results:
    """The results in ``out``, open for one run; made by :func:`open_results`."""

    def __init__(self, out: Path, settings: Settings, journal: Journal):
        self.out, self.settings, self.journal = out, settings, journal
        self._done: dict[str, bool] = {}

    def is_done(self, job: Job) -> bool:
        """Whether a picture was finished, by this run or an earlier one, and its results are whole.

        Files are compared with their sums once, when a picture is first asked for.
        """
        if job.image not in self._done:
            self._done[job.image] = is_done(job, self.journal.get(job.image), self.out)
        return self._done[job.image]

    def add(self, outcome: Outcome) -> None:
        """Record what became of a picture; its files are written already."""
        self.journal.add(outcome)
        self._done[outcome.image] = outcome.nuclei is not None

    def outcomes(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """What is known of each picture, in the order of ``jobs``."""
        for job in jobs:
            outcome = self.journal.get(job.image)
            if outcome is not None:
                yield outcome

    def finish(self, jobs: Sequence[Job]) -> None:
        """Write the tables and the report, and remove what pictures were called before.

        Where the folder has vanished nothing is written.
        """
        if self.journal.has_vanished():
            return
        _remove_temporary_files(self.out)  # of a worker that died in the middle of a file
        self.write_tables(jobs)
        self.remove_leftovers(jobs)
        overlays, sections = {}, {}
        for outcome in self.outcomes(jobs):
            image = outcome.image.encode("utf-8", ODD_NAMES).decode()  # as the tables call it
            drawn = [name for name in outcome.files if name.startswith("overlays/")]
            if drawn:
                overlays[image] = drawn[len(drawn) // 2]  # the middle of a stack
            if outcome.is_stack:  # an earlier version did not note how many
                sections[image] = outcome.sections or len(drawn)
        write_report(self.out, overlays=overlays, sections=sections)

    def write_tables(self, jobs: Sequence[Job]) -> None:
        """Write ``nuclei.csv`` and ``images.csv``; ``nuclei3d.csv`` where there are stacks."""
        stacks = any(outcome.is_stack for outcome in self.outcomes(jobs))
        states = self.settings.classify is not None
        write_tables(
            self.out,
            self.outcomes(jobs),
            extra=[SECTION_COLUMN] if stacks else [],
            extra_3d=",".join([*COLUMNS_3D, *(STATE_COLUMNS if states else [])]) if stacks else "",
            states=states,
        )
        if not stacks:  # else that of an earlier run, when there were some, would stay
            with suppress(OSError):
                (self.out / "nuclei3d.csv").unlink()

    def remove_leftovers(self, jobs: Sequence[Job]) -> None:
        """Remove earlier results of pictures that have others now.

        So it is when ``a.jpg`` has come to ``a.png``: what was ``a.tif`` is now ``a_png.tif``.
        Those of a picture that is not there, or fails, this time stay.
        """
        claimed: set[str] = set()
        done: set[str] = set()
        for outcome in self.outcomes(jobs):
            if outcome.nuclei is not None:
                claimed.update(outcome.files)
                done.add(outcome.image)
        renamed = self._renamed(jobs)
        alike = {_key(name): name for name in claimed}
        for name, owners in self.journal.every_file().items():
            if name not in claimed and owners <= done | renamed:
                with suppress(OSError):
                    twin = alike.get(_key(name))  # A.tif and a.tif are one file on many disks
                    known = twin is not None and (self.out / twin).exists()
                    if not (known and (self.out / twin).samefile(self.out / name)):
                        (self.out / name).unlink()

    def away(self, jobs: Sequence[Job]) -> list[str]:
        """Pictures that are not among ``jobs``, and whose results from an earlier run are here."""
        now = {name for outcome in self.outcomes(jobs) for name in outcome.files}
        here = {job.image for job in jobs} | self._renamed(jobs)
        owners = [
            owned
            for name, owned in self.journal.every_file().items()
            if name not in now and (self.out / name).exists()
        ]
        return sorted(set().union(*owners) - here)

    def _renamed(self, jobs: Sequence[Job]) -> set[str]:
        """What pictures of this run were called before: ``a.png`` is ``d1/a.png``, once ``d2`` has
        one too. Known by their results, all of which are there under the new name: none is lost.
        """
        now = {job.image for job in jobs}
        sums = {tuple(known) for o in self.outcomes(jobs) for known in o.files.values()}
        before = (self.journal.get(image) for image in self.journal.images() if image not in now)
        return {
            outcome.image
            for outcome in before
            if outcome.files and sums.issuperset(map(tuple, outcome.files.values()))
        }


@contextmanager
def open_results(
    out: str | Path, settings: Settings, inputs: Sequence[str] = ()
) -> Iterator[Results]:
    """Open a folder for the results of a run, a new one or that of an earlier run.

    Raises :class:`~devotools._validate.InputError` when it cannot be written, another run is
    writing into it, it has results of other settings, or folders that no run has written.
    """
    out = Path(out)
    lock = _lock(out)
    try:
        _check_ours(out)
        check_same_run(out, settings, inputs)
        _remove_temporary_files(out)
        journal = Journal(out)
        try:
            yield Results(out, settings, journal)
        finally:
            journal.close()
    finally:
        lock.release()
        with suppress(OSError):
            (out / LOCK).unlink()
        with suppress(OSError):
            out.rmdir()  # where nothing came of it


def _key(name: str) -> str:
    """The same for names that a file system may take for one: of other case, or other accents."""
    return composed(name).casefold()


def _lock(out: Path) -> FileLock:
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / LOCK)
        lock.acquire(timeout=0)
        return lock
    except Timeout as error:
        raise InputError(
            f"another run is writing into {str(out)!r}; expected a folder for this run alone. Wait "
            "until it has ended, or choose another folder."
        ) from error
    except OSError as error:
        raise cannot_write(out, error) from error


def _check_ours(out: Path) -> None:
    theirs = [name for name in FOLDERS if (out / name).exists()]
    if theirs and not (out / SETTINGS).is_file():
        raise InputError(
            f"{str(out)!r} has {theirs[0]!r} that devotools segment did not write; expected a new "
            "folder or one with earlier results, so that nothing is overwritten. Choose another, "
            f"for example {str(out / 'results')!r}."
        )


def _remove_temporary_files(out: Path) -> None:
    """Remove what a run that was killed had not finished writing."""
    for folder in (out, *(out / name for name in FOLDERS)):
        files = folder.iterdir() if folder == out else folder.rglob(".*")
        for path in list(files) if folder.is_dir() else []:
            if TEMPORARY.fullmatch(path.name) and path.is_file():
                with suppress(OSError):
                    path.unlink()
