"""One picture, or a few, from the file to its results: what every worker does.

Pictures go through the network in fixed groups of neighbours, so that a run that was cut off and
one that was not calculate the same.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from devotools._files import WriteError
from devotools._validate import InputError
from devotools.classification import ResNet18Classifier
from devotools.exchange import export_rois, read_pixel_size
from devotools.images import read_image, replace_file, write_labels
from devotools.inference import check_working_size
from devotools.measure import measure_nuclei
from devotools.model import ResNet18FPN
from devotools.pipeline.jobs import Job
from devotools.pipeline.journal import file_state, file_sum
from devotools.pipeline.outcome import Outcome, table_rows
from devotools.pipeline.report import uncertainty
from devotools.pipeline.settings import Settings
from devotools.pipeline.states import count_states, states_by_label, tell, with_states
from devotools.pipeline.workshop import Workshop
from devotools.plots import draw_overlay
from devotools.predict import label_nuclei, predict_scaled


@dataclass(frozen=True)
class Way:
    """How and where: the networks, the folder of results, and the settings."""

    network: ResNet18FPN
    out: Path
    settings: Settings
    classifier: ResNet18Classifier | None = None


@dataclass(frozen=True)
class Picture:
    """A picture that was read: (H, W) float32, and what was known of its file at that moment."""

    job: Job
    image: np.ndarray
    pixel_size_um: float | None
    source: list[int]
    seconds: float


def segment_chunk(
    way: Way,
    jobs: Sequence[Job],
    workshop: Workshop,
    done: Callable[[Job], bool] = lambda job: False,
) -> None:
    """Segment a few pictures; the workshop gets an :class:`Outcome` of each that is not ``done``.

    The next picture is read while the network works, and the one before labelled and written. A
    picture that fails is an outcome with its reason.
    """
    waiting: deque[Picture] = deque()
    network, settings = way.network, way.settings

    def images() -> Iterator[np.ndarray]:
        for job, coming in _read_ahead(network, jobs, settings, workshop.reader):
            try:
                waiting.append(coming.result())
            except InputError as error:
                workshop.take(failed(job, str(error)))
            else:
                yield waiting[-1].image

    before = time.perf_counter()
    for probability, factor in predict_scaled(network, images(), scale=settings.scale):
        picture = waiting.popleft()
        now = time.perf_counter()
        if not done(picture.job):
            size, seconds = picture.image.size, now - before
            workshop.submit(size, _finish_or_fail, picture, probability, factor, way, seconds)
        before = now


def _read_ahead(
    network: ResNet18FPN, jobs: Sequence[Job], settings: Settings, reader: Executor
) -> Iterator[tuple[Job, Future]]:
    """Each job with its picture, the next one being read meanwhile."""
    coming: deque[tuple[Job, Future]] = deque()
    for job in jobs:
        coming.append((job, reader.submit(read_picture, network, job, settings)))
        if len(coming) > 1:
            yield coming.popleft()
    yield from coming


def read_picture(network: ResNet18FPN, job: Job, settings: Settings) -> Picture:
    """Read a job's file. Raises :class:`~devotools._validate.InputError` with the reason."""
    started = time.perf_counter()
    image = read_image(job.path)
    check_working_size(network, image.shape, settings.scale)
    size = settings.pixel_size_um or read_pixel_size(job.path)[0]
    return Picture(job, image, size, file_state(job.path), time.perf_counter() - started)


def failed(job: Job, reason: str) -> Outcome:
    """The outcome of a picture that cannot be segmented."""
    return Outcome(job.image, None, 0.0, reason, output=job.output.as_posix())


def _finish_or_fail(picture: Picture, *known: object) -> Outcome:
    """:func:`finish`; where it cannot, that is one picture's failure, and nothing of it stays."""
    try:
        return finish(picture, *known)
    except WriteError:
        raise
    except InputError as error:
        out = known[2].out
        for folder, suffix in (("labels", ".tif"), ("overlays", ".png"), ("rois", ".zip")):
            (out / picture.job.result(folder, suffix)).unlink(missing_ok=True)
        return failed(picture.job, str(error))


def finish(
    picture: Picture,
    probability: np.ndarray,
    factor: float,
    way: Way,
    seconds: float,
) -> Outcome:
    """Label a picture from its probability (H, W), write its results and measure its nuclei."""
    started, job, image = time.perf_counter(), picture.job, picture.image
    out, settings = way.out, way.settings
    labels = label_nuclei(probability, threshold=settings.threshold, min_area=settings.min_area)
    names = [job.result("labels", ".tif"), job.result("overlays", ".png")]
    write_labels(out / names[0], labels)
    told = tell(way.classifier, image, labels)
    write_overlay(out / names[1], image, labels, states_by_label(told))
    if settings.rois and labels.any():
        names.append(job.result("rois", ".zip"))
        export_rois(labels, out / names[2])
    nuclei = measure_nuclei(labels, image, pixel_size_um=picture.pixel_size_um)
    return Outcome(
        image=job.image,
        nuclei=len(nuclei),
        seconds=picture.seconds + seconds + time.perf_counter() - started,
        rows=table_rows(job.image, with_states(nuclei, told)),
        scale=factor,
        uncertainty=uncertainty(probability, labels),
        output=job.output.as_posix(),
        files={name: file_sum(out / name) for name in names},
        source=picture.source,
        states=count_states(told),
    )


def write_overlay(
    path: Path, image: np.ndarray, labels: np.ndarray, states: Mapping[int, str] | None = None
) -> None:
    """Write a picture with its outlines as PNG, whole or not at all."""
    with replace_file(path) as temporary:
        overlay = Image.fromarray(draw_overlay(image, labels, states))
        overlay.save(temporary, format="PNG", compress_level=1)  # 6 takes four times as long
