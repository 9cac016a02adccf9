"""A stack from its file to its results: each section segmented, nuclei linked through them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import numpy as np

from devotools._files import WriteError
from devotools._validate import InputError
from devotools.classification import ResNet18Classifier
from devotools.exchange import Stack, add_rois, open_rois, open_stack, write_label_stack
from devotools.inference import check_working_size
from devotools.measure import measure_nuclei
from devotools.model import ResNet18FPN
from devotools.pipeline.jobs import Job
from devotools.pipeline.journal import file_state, file_sum
from devotools.pipeline.linking import Tally, link_sections
from devotools.pipeline.outcome import Outcome, table_rows
from devotools.pipeline.report import uncertainty
from devotools.pipeline.segmenting import write_overlay
from devotools.pipeline.settings import Settings
from devotools.pipeline.states import (
    count_states,
    states_by_label,
    states_of_solids,
    tell,
    with_states,
)
from devotools.predict import label_nuclei, predict_scaled


def segment_stack(
    network: ResNet18FPN,
    job: Job,
    out: Path,
    settings: Settings,
    progress: Callable[[int], None] = lambda sections: None,
    classifier: ResNet18Classifier | None = None,
) -> Outcome:
    """Segment a stack section by section, and link the nuclei so that each has one number.

    Written are one label stack, an overlay for each section in a folder of the stack's name, rows
    for both tables, and outlines for ImageJ where the settings ask for them. Memory does not grow
    with the number of sections. A ``classifier`` tells the state of each nucleus in each section,
    and from all its sections that of the whole
    (:func:`~devotools.pipeline.states.states_of_solids`). Raises
    :class:`~devotools._validate.InputError` when the file cannot be read.
    """
    started, source = time.perf_counter(), file_state(job.path)
    names, rois_name = [job.result("labels", ".tif")], job.result("rois", ".zip")
    tally, tables, doubts, told = Tally(), [], [], []
    with open_stack(job.path) as stack, _whole_or_none(job, out):
        factor = _scale_of(network, stack, settings.scale)
        check_working_size(network, stack.shape[1:], factor)
        pixel_size_um = settings.pixel_size_um or stack.pixel_size_um
        sections = _segmented(network, stack, factor, settings, doubts)

        def recorded() -> Iterator[np.ndarray]:
            for number, (image, labels) in enumerate(sections):
                names.append(job.result("overlays", f"/{number:04d}.png"))
                states = tell(classifier, image, labels)
                write_overlay(out / names[-1], image, labels, states_by_label(states))
                nuclei = measure_nuclei(labels, image, pixel_size_um=pixel_size_um)
                if states is not None:
                    told.append(states.assign(area_px=nuclei["area_px"]))
                nuclei = with_states(nuclei, states)
                nuclei["section"] = number
                tables.append(table_rows(job.image, nuclei))
                if rois is not None:
                    add_rois(rois, labels, section=number)
                progress(number + 1)
                yield labels

        outlines = open_rois(out / rois_name, stack.shape[1:]) if settings.rois else nullcontext()
        with outlines as rois:
            write_label_stack(
                out / names[0],
                tally.watch(recorded()),
                stack.shape,
                pixel_size_um=pixel_size_um,
                section_thickness_um=stack.section_thickness_um,
                axis="T" if stack.axis == "T" else "Z",
            )
        solid = tally.table(
            pixel_size_um=pixel_size_um, section_thickness_um=stack.section_thickness_um
        ).drop(columns="image")
    if settings.rois and len(solid):
        names.append(rois_name)
    seen = [doubt for doubt in doubts if doubt]  # empty sections would hide the others
    whole = None if classifier is None else states_of_solids(told, classifier.limit)
    return Outcome(
        image=job.image,
        nuclei=len(solid),
        seconds=time.perf_counter() - started,
        rows="".join(tables),
        sections=len(doubts),
        rows_3d=table_rows(job.image, with_states(solid, whole)),
        scale=factor,
        uncertainty=float(np.mean(seen)) if seen else 0.0,
        output=job.output.as_posix(),
        files={name: file_sum(out / name) for name in names},
        source=source,
        states=count_states(whole),
    )


@contextmanager
def _whole_or_none(job: Job, out: Path) -> Iterator[None]:
    """Leave nothing of a stack of which a section cannot be read, also of an earlier run."""
    try:
        yield
    except WriteError:
        raise  # the run ends, and goes on later
    except InputError:
        overlays = out / job.result("overlays", "")
        whole = [out / job.result("labels", ".tif"), out / job.result("rois", ".zip")]
        for path in [*whole, *overlays.glob("[0-9]*.png")]:
            path.unlink(missing_ok=True)
        with suppress(OSError):
            overlays.rmdir()
        raise


def _scale_of(network: ResNet18FPN, stack: Stack, scale: float | str) -> float:
    """One scale for all sections: as set, or what is usual in three of them."""
    if scale != "auto":
        return float(scale)
    looked_at = (stack.section(len(stack) * quarter // 4) for quarter in (1, 2, 3))
    return float(np.median([factor for _, factor in predict_scaled(network, looked_at)]))


def _segmented(
    network: ResNet18FPN, stack: Stack, factor: float, settings: Settings, doubts: list[float]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each section's image and labels, numbered alike through the stack."""
    waiting: deque[np.ndarray] = deque()

    def images() -> Iterator[np.ndarray]:
        for image in stack:
            waiting.append(image)
            yield image

    def labelled() -> Iterator[np.ndarray]:
        for probability, _ in predict_scaled(network, images(), scale=factor):
            labels = label_nuclei(
                probability, threshold=settings.threshold, min_area=settings.min_area
            )
            doubts.append(uncertainty(probability, labels))
            yield labels

    for labels in link_sections(labelled()):
        yield waiting.popleft(), labels
