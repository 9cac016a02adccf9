"""Many workers, on this machine or on a cluster, by Dask: an optional extra.

A worker loads the model once and segments chunk after chunk into the folder of the results, which
all machines must see under one path; only the outcomes travel. Chunks are those of a run on one
machine, so the results are the same. See docs/a-cluster.md for SLURM.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from devotools._validate import InputError
from devotools.classification import ResNet18Classifier, load_classifier
from devotools.model import ResNet18FPN, load_model
from devotools.pipeline.jobs import Job
from devotools.pipeline.outcome import Outcome
from devotools.pipeline.results import Results
from devotools.pipeline.runner import chunks, segment_part
from devotools.pipeline.segmenting import Way, failed
from devotools.pipeline.settings import Settings, facts_of
from devotools.pipeline.workshop import Workshop

AHEAD = 4  # chunks that wait at each worker
RETRIES = 5  # a chunk whose worker died is given to another, so often
DASK = {
    "distributed.scheduler.allowed-failures": RETRIES,
    # else each worker keeps the call stacks of its last hour, and its memory grows with the time
    "distributed.worker.profile.enabled": False,
    # else it gives memory back after each step, and a third of its time goes into getting it again
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
}


@contextmanager
def connect(scheduler: str | None = None, workers: int | None = None) -> Iterator[Any]:
    """A Dask client: of a running ``scheduler`` (tcp://host:port), or of ``workers`` made here.

    Raises :class:`~devotools._validate.InputError` when Dask is not installed, or no scheduler
    answers.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise InputError(
            "--workers and --scheduler need Dask, which is not installed; install it with "
            'python -m pip install "devotools[dask]".'
        ) from error
    with dask.config.set(DASK):
        if scheduler is None:
            with (
                _levels_kept("distributed"),
                LocalCluster(
                    n_workers=workers, threads_per_worker=1, dashboard_address=":0"
                ) as cluster,
                Client(cluster) as client,
            ):
                client.run(_be_quiet)
                try:
                    yield client
                finally:  # what Dask says of workers that are being ended is no news
                    logging.getLogger("distributed").setLevel(logging.CRITICAL)
            return
        try:
            client = Client(scheduler, timeout=20)
        except (OSError, ValueError) as error:
            raise InputError(
                f"no Dask scheduler answers at {scheduler!r} ({error}); expected an address like "
                "tcp://127.0.0.1:8786. Start one with: dask scheduler."
            ) from error
        with client:
            yield client


@contextmanager
def _levels_kept(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    try:
        yield
    finally:
        logger.setLevel(level)


def _be_quiet() -> None:
    """In a worker: the command ends its workers at Ctrl-C, and says itself what failed in them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it reaches each process of a terminal
    logging.getLogger("distributed.worker").setLevel(logging.CRITICAL)
    logging.getLogger("distributed.worker.memory").setLevel(logging.WARNING)


def segment_on_cluster(
    client: Any, jobs: Sequence[Job], results: Results, device: str | None = None
) -> Iterator[Outcome]:
    """:func:`~devotools.pipeline.runner.segment_jobs` on the workers of a Dask client.

    A worker that dies costs only what it was doing, which another does again. Workers must
    calculate as this machine does: where one cannot, the run ends and says so.
    """
    from distributed import as_completed

    settings = results.settings
    classify = None if settings.classify is None else _absolute(settings.classify)
    order = Order(results.out.resolve(), settings, _absolute(settings.model), device, classify)
    left = _left(jobs, results)
    sent: dict[Any, list[Job]] = {}
    answers = as_completed()

    def send(count: int) -> None:
        for part, todo in islice(left, count):
            future = client.submit(work_on, order, part, todo, pure=False)
            sent[future] = todo
            answers.add(future)

    yield from results.outcomes([job for job in jobs if results.is_done(job)])
    send(AHEAD * max(1, sum(client.nthreads().values())))
    for future in answers:
        for outcome in _answer(future, sent.pop(future)):
            results.add(outcome)
            yield outcome
        send(1)


def _left(jobs: Sequence[Job], results: Results) -> Iterator[tuple[list[Job], list[Job]]]:
    """Chunks in which something is left to do, and what that is."""
    for part in chunks(jobs):
        todo = [job for job in part if not results.is_done(job)]
        if todo:
            yield [replace(job, path=job.path.absolute()) for job in part], todo


def _answer(future: Any, todo: Sequence[Job]) -> list[Outcome]:
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, InputError):
        raise error
    return [failed(job, f"its worker failed: {error}") for job in todo]


@dataclass(frozen=True)
class Order:
    """What is the same for all chunks of a run."""

    out: Path
    settings: Settings
    model: str
    device: str | None
    classify: str | None = None


def work_on(order: Order, part: list[Job], todo: list[Job]) -> list[Outcome]:
    """Segment one chunk, in a worker."""
    network, classifier = _networks(order)
    way = Way(network, order.out, order.settings, classifier)
    wanted = {job.image for job in todo}
    with Workshop() as workshop:
        segment_part(way, part, workshop, lambda job: job.image not in wanted)
        return list(workshop.finished(everything=True))


def _absolute(model: str) -> str:
    """A model as a worker finds it, which runs in another folder."""
    path = Path(model)
    return str(path.absolute()) if path.is_file() else model


@lru_cache(maxsize=1)
def _networks(order: Order) -> tuple[ResNet18FPN, ResNet18Classifier | None]:
    """The networks, loaded once a worker; refused where they, or the arithmetic, are others."""
    settings = order.settings
    if "threads" in settings.arithmetic:
        torch.set_num_threads(int(settings.arithmetic.split()[-2]))
    network = load_model(order.model, order.device)
    classify = order.classify
    classifier = None if classify is None else load_classifier(classify, order.device)
    for name, here in facts_of(network, classifier).items():
        if here != getattr(settings, name):
            raise InputError(
                f"a worker has {name} {here!r}, this machine {getattr(settings, name)!r}; expected "
                "the same, or the results would differ. Use workers with the same type of "
                "processor and the same version of devotools."
            )
    return network, classifier
