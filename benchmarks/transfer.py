"""Does the start matter? Interphase or condensed, from 10, 100 and 1,000 labelled crops.

    python benchmarks/transfer.py
    python benchmarks/transfer.py --imagenet   # adds the line that needs 45 MB from the network

One network, ResNet18Classifier, begins in several ways: with the shipped segmentation encoder,
frozen or free to change; from random numbers; with ImageNet's weights. Every run learns for the
same number of steps from crops of large, clear nuclei, half of each state; forty more, of other
embryos, choose the epoch. Runs of one seed share their crops, another seed has other embryos.
All are scored on the same test nuclei of embryos that stand on no other side.

Each run is written down when it is done, and one that is there already is not repeated: a command
that was cut off goes on, `--minutes` stops it early, and `--imagenet` adds its line to the rest.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import devotools as dt
from devotools.augment import crop_transform
from devotools.classification import Classification, predict_logits

# Numbers of drawings; the weights and the other measurements use others.
FIRST_TRAIN, FIRST_TEST = 3_800_000_000, 3_900_000_000
LABELS = (10, 100, 1000)
TRAIN_EMBRYOS, VALIDATION_EMBRYOS, TEST_EMBRYOS, SECTIONS = 110, 12, 30, 6
VALIDATION, BATCH, STEPS_AN_EPOCH = 40, 32, 25
CLEAR = dt.Appearance(zoom=1, pale_probability=0, dim_nuclei=0).without("clutter", "degradation")


@dataclass(frozen=True)
class Start:
    """One way to begin: whose encoder, which weights learn, and how fast."""

    name: str
    weights: str | None
    parts: str
    rate: float


STARTS = (
    Start("frozen", "nuclei", "head", 1e-2),
    Start("from segmentation", "nuclei", "all", 2e-3),
    Start("from random numbers", None, "all", 2e-3),
    Start("from ImageNet", "imagenet", "all", 2e-3),
)


def draw(first: int, embryos: int) -> dt.NucleusCropDataset:
    """Crops of large, clear nuclei of drawn embryos."""
    return dt.NucleusCropDataset(
        [
            dt.synthesize_series(sections=SECTIONS, seed=seed, appearance=CLEAR)
            for seed in range(first, first + embryos)
        ]
    )


def half_of_each(data: dt.NucleusCropDataset, count: int, rng: np.random.Generator) -> np.ndarray:
    """The numbers of ``count`` crops, as many of one state as of the other."""
    halves = [
        rng.choice(np.flatnonzero(data.classes == state), count // 2, replace=False)
        for state in (0, 1)
    ]
    return np.concatenate(halves)


def pool(seed: int) -> tuple[dt.NucleusCropDataset, dt.NucleusCropDataset]:
    """What a seed learns from, and its forty crops to choose by, of other embryos."""
    first = FIRST_TRAIN + 10_000 * seed
    data, other = draw(first, TRAIN_EMBRYOS), draw(first + 5000, VALIDATION_EMBRYOS)
    chosen = half_of_each(other, VALIDATION, np.random.default_rng(seed))
    return data, other.subset(chosen)


def learn(
    start: Start,
    data: dt.NucleusCropDataset,
    choose_by: dt.NucleusCropDataset,
    labels: int,
    seed: int,
    options: argparse.Namespace,
) -> dt.ResNet18Classifier:
    """Train one network from ``labels`` crops."""
    chosen = half_of_each(data, labels, np.random.default_rng(seed))
    each_epoch = np.resize(chosen, STEPS_AN_EPOCH * BATCH)  # few crops are met again and again
    dt.seed_everything(seed)
    model = dt.ResNet18Classifier(weights=start.weights).learn(start.parts)
    dt.fit(
        model,
        dt.make_loader(
            data.subset(each_epoch, crop_transform(seed)), BATCH, shuffle=True, seed=seed
        ),
        dt.make_loader(choose_by, VALIDATION, shuffle=False),
        dt.TrainConfig(
            epochs=options.steps // STEPS_AN_EPOCH,
            learning_rate=start.rate,
            device=options.device,
            progress=False,
        ),
        Classification(),
    )
    return model.cpu()


def judge(model: dt.ResNet18Classifier, test: dt.NucleusCropDataset) -> float:
    """Balanced accuracy on the test nuclei."""
    said = predict_logits(model, test.crops).argmax(axis=1)
    return round(dt.balanced_accuracy(test.classes, said), 4)


def summary(runs: list[dict]) -> list[dict]:
    """Mean and standard deviation over seeds, for each start and number of labels."""
    rows = []
    for start in STARTS:
        for labels in LABELS:
            scores = [
                run["balanced_accuracy"]
                for run in runs
                if (run["start"], run["labels"]) == (start.name, labels)
            ]
            if scores:
                spread = float(np.std(scores, ddof=min(1, len(scores) - 1)))
                rows.append(
                    {
                        "start": start.name,
                        "labels": labels,
                        "mean": round(float(np.mean(scores)), 4),
                        "sd": round(spread, 4),
                        "seeds": scores,
                    }
                )
    return rows


def write(path: Path, runs: list[dict], test: dt.NucleusCropDataset, options) -> None:
    """Write what has been measured so far."""
    extra = " --imagenet" if any(run["start"] == "from ImageNet" for run in runs) else ""
    result = {
        "command": f"python benchmarks/transfer.py --seeds {options.seeds}"
        f" --steps {options.steps}{extra}",
        "settings": {
            "steps": options.steps,
            "batch": BATCH,
            "validation_crops": VALIDATION,
            "test_crops": len(test),
            "test_condensed": int(test.classes.sum()),
            "test_embryos": TEST_EMBRYOS,
        },
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "summary": summary(runs),
        "runs": runs,
    }
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Do every run that is not written down yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200, help=f"in epochs of {STEPS_AN_EPOCH}")
    parser.add_argument("--imagenet", action="store_true", help="ImageNet's line too (45 MB)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no run later")
    parser.add_argument("--afresh", action="store_true", help="forget what is written down")
    parser.add_argument("--device", default=None)
    parser.add_argument("--out", type=Path, default=Path("devotools/data/transfer.json"))
    options = parser.parse_args()
    if options.imagenet:
        _try_imagenet()
    known = options.out.exists() and not options.afresh
    runs = json.loads(options.out.read_text(encoding="utf-8"))["runs"] if known else []
    done = {(run["start"], run["labels"], run["seed"]) for run in runs}
    test = draw(FIRST_TEST, TEST_EMBRYOS)
    starts = [start for start in STARTS if start.weights != "imagenet" or options.imagenet]
    began = time.perf_counter()
    for seed in range(options.seeds):
        wanted = [
            (start, labels)
            for labels in LABELS
            for start in starts
            if (start.name, labels, seed) not in done
        ]
        data, choose_by = pool(seed) if wanted else (None, None)
        for start, labels in wanted:
            if time.perf_counter() - began > 60 * options.minutes:
                return
            model = learn(start, data, choose_by, labels, seed, options)
            score = judge(model, test)
            run = {"start": start.name, "labels": labels, "seed": seed}
            runs.append({**run, "balanced_accuracy": score})
            write(options.out, runs, test, options)
            print(start.name, labels, seed, score, flush=True)


def _try_imagenet() -> None:
    """Know before an hour of drawing and training whether the weights can be had."""
    try:
        dt.ResNet18Classifier(weights="imagenet")
    except dt.InputError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
