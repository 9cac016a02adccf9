"""A run over any number of pictures: what ``devotools segment`` does, in memory that stays flat."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

from devotools._files import WriteError
from devotools._validate import InputError
from devotools.classification import ResNet18Classifier
from devotools.exchange import is_stack
from devotools.model import ResNet18FPN
from devotools.pipeline.jobs import Job
from devotools.pipeline.mosaic import is_mosaic, segment_mosaic
from devotools.pipeline.outcome import Outcome
from devotools.pipeline.results import Results
from devotools.pipeline.segmenting import Way, failed, segment_chunk
from devotools.pipeline.stack_job import segment_stack
from devotools.pipeline.workshop import Workshop

CHUNK = 8  # neighbours that go through the network together


def segment_jobs(
    network: ResNet18FPN,
    jobs: Sequence[Job],
    results: Results,
    classifier: ResNet18Classifier | None = None,
    told: Callable[[str], object] = lambda said: None,
) -> Iterator[Outcome]:
    """Segment each job that is not done yet; yields every outcome, also the known ones.

    What is yielded is recorded, and its files are written. An error that is not one picture's, such
    as a full disk, ends the run; what was done until then is recorded. A ``classifier`` tells the
    state of each nucleus; it must be the one of the settings of ``results``. ``told`` is told how
    far a stack or a mosaic is, which takes long.
    """
    way = Way(network, results.out, results.settings, classifier)
    with Workshop() as workshop:
        try:
            for part in chunks(jobs):
                done = {job for job in part if results.is_done(job)}
                yield from results.outcomes([job for job in part if job in done])
                if len(done) < len(part):
                    segment_part(way, part, workshop, done.__contains__, told)
                yield from _recorded(results, workshop.finished())
            yield from _recorded(results, workshop.finished(everything=True))
        except BaseException:
            for outcome in workshop.rescued():
                results.add(outcome)
            raise


def _recorded(results: Results, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    for outcome in outcomes:
        results.add(outcome)
        yield outcome


def chunks(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """Fixed groups of neighbours; a stack or a mosaic is one by itself."""
    part: list[Job] = []
    for job in jobs:
        if is_large(job):
            yield from [part] if part else []
            yield [job]
            part = []
            continue
        part.append(job)
        if len(part) == CHUNK:
            yield part
            part = []
    yield from [part] if part else []


def is_large(job: Job) -> bool:
    """Whether a job is a stack or a mosaic, which is worked through piece by piece."""
    return is_stack(job.path) or is_mosaic(job.path)


def segment_part(
    way: Way,
    jobs: Sequence[Job],
    workshop: Workshop,
    done: Callable[[Job], bool] = lambda job: False,
    told: Callable[[str], object] = lambda said: None,
) -> None:
    """Give one of the :func:`chunks` to a workshop, but for the jobs that are done."""
    if len(jobs) == 1 and is_large(jobs[0]):
        workshop.take(_segment_large(way, jobs[0], told))
    else:
        segment_chunk(way, jobs, workshop, done)


def _segment_large(way: Way, job: Job, told: Callable[[str], object]) -> Outcome:
    segment, part = segment_mosaic, "window"
    if is_stack(job.path):
        segment, part = segment_stack, "section"
    number = itertools.count(1)

    def progress(*_: object) -> None:
        told(f"{job.path.name}: {part} {next(number)}")

    known = way.network, job, way.out, way.settings
    try:
        return segment(*known, progress=progress, classifier=way.classifier)
    except WriteError:
        raise
    except InputError as error:
        return failed(job, str(error))
