"""Does a nucleus keep one number through a series? Links of drawn series, against the truth.

    python benchmarks/linking.py

Drawn embryos are cut into 12, 24 and 48 sections. Three kinds of label images are linked: the true
ones with fresh numbers in each section; the same with one nucleus in twenty missed; and what the
shipped model finds. The thresholds are chosen on some embryos (`--choose`) and the result is told
for others. Told are, for each kind and number of sections:

- count error: nuclei after linking by true nuclei, minus 1 (those that some section shows);
- one id: the share of true nuclei, found in two sections or more, that have one id throughout,
  which no other nucleus has;
- switches: changes of id from one section with the nucleus to the next, by all such steps;
- shared: ids that stand for two true nuclei or more, by all ids that stand for one.

A nucleus that the model finds is the true one with which it has an IoU of 0.5 at least, in 2-D.
"""

import argparse
import json
import platform
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

import devotools as dt
from devotools.pipeline.linking import BRIDGE_IOU, MIN_IOU, link_sections

FIRST_CHOOSE, FIRST_TEST = 3_600_000_000, 3_700_000_000  # the weights learned from others
MISSED = 0.05
THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
BRIDGES = (0.3, 0.4, 0.5, 0.6, 0.7)
KINDS = ("truth", "truth, some missed", "model")


def fresh(labels: np.ndarray, random: np.random.Generator, missed: float = 0.0) -> np.ndarray:
    """One section with new numbers, and without a share of its nuclei."""
    ids = np.unique(labels[labels > 0])
    numbers = np.zeros(labels.max() + 1, np.int32)
    numbers[ids] = random.permutation(len(ids)) + 1
    numbers[ids[random.random(len(ids)) < missed]] = 0
    return numbers[labels]


def draw(seed: int, sections: int, size: int, model) -> dict[str, tuple]:
    """The true labels of one series; for each kind the sections to link, and what they found."""
    series = dt.synthesize_series(sections=sections, size=size, seed=seed)
    random = np.random.default_rng(seed)
    probabilities = dt.predict_probabilities(model, series.images)
    kinds = {
        "truth": [fresh(section, random) for section in series.labels],
        "truth, some missed": [fresh(section, random, MISSED) for section in series.labels],
        "model": [dt.label_nuclei(probability) for probability in probabilities],
    }
    found = {
        kind: [find(true, section) for true, section in zip(series.labels, made, strict=True)]
        for kind, made in kinds.items()
    }
    true = len(np.unique(series.labels)) - 1
    return {kind: (true, made, found[kind]) for kind, made in kinds.items()}


def find(true: np.ndarray, section: np.ndarray) -> list[tuple[int, int]]:
    """Each true nucleus that a section found, and a pixel of what found it (links move none)."""
    pairs = dt.match_instances(true, section).pairs
    return [(nucleus, int(np.argmax(section.ravel() == label))) for nucleus, label, _ in pairs]


def count(true: int, linked: list[np.ndarray], found: list) -> dict[str, int]:
    """What one series adds to the sums."""
    ids_of, nuclei_of = defaultdict(list), defaultdict(set)
    for section, pairs in zip(linked, found, strict=True):
        for nucleus, place in pairs:
            id_ = int(section.flat[place])
            ids_of[nucleus].append(id_)
            nuclei_of[id_].add(nucleus)
    several = {nucleus: ids for nucleus, ids in ids_of.items() if len(ids) > 1}
    whole = [ids for ids in several.values() if len(set(ids)) == 1 and len(nuclei_of[ids[0]]) == 1]
    return {
        "true": true,
        "linked": len(np.unique(np.stack(linked))) - 1,
        "several": len(several),
        "whole": len(whole),
        "steps": sum(len(ids) - 1 for ids in several.values()),
        "switches": sum(a != b for ids in several.values() for a, b in pairwise(ids)),
        "ids": len(nuclei_of),
        "shared": sum(len(nuclei) > 1 for nuclei in nuclei_of.values()),
    }


def score(drawn: list[dict], kind: str, min_iou: float, bridge_iou: float | None) -> dict:
    """Link every series, and pool what was counted."""
    sums = defaultdict(int)
    for series in drawn:
        true, sections, found = series[kind]
        linked = list(link_sections(sections, min_iou=min_iou, bridge_iou=bridge_iou))
        for name, number in count(true, linked, found).items():
            sums[name] += number
    return {
        "nuclei": sums["true"],
        "count_error": round(sums["linked"] / sums["true"] - 1, 4),
        "one_id": round(sums["whole"] / max(1, sums["several"]), 4),
        "switches": round(sums["switches"] / max(1, sums["steps"]), 4),
        "shared": round(sums["shared"] / max(1, sums["ids"]), 4),
    }


def sweep(drawn: list[dict]) -> dict[str, dict]:
    """The share with one id for each threshold, the other held, and no bridge for comparison."""
    return {
        kind: {
            "min_iou, no bridge": {
                str(least): score(drawn, kind, least, None)["one_id"] for least in THRESHOLDS
            },
            "bridge_iou": {
                str(least): score(drawn, kind, MIN_IOU, least)["one_id"] for least in BRIDGES
            },
        }
        for kind in KINDS
    }


def main() -> None:
    """Tell what the thresholds are worth, to choose by and then for other embryos."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--choose", type=int, default=4, help="embryos to choose by")
    parser.add_argument("--test", type=int, default=8, help="embryos to tell the result for")
    parser.add_argument("--sections", type=int, nargs="+", default=[12, 24, 48])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/linking.json"))
    arguments = parser.parse_args()
    model = dt.load_model()
    chosen, told = {}, {}
    for sections in arguments.sections:

        def series(first: int, embryos: int, sections=sections) -> list[dict]:
            seeds = range(first, first + embryos)
            return [draw(seed, sections, arguments.size, model) for seed in seeds]

        choose, test = series(FIRST_CHOOSE, arguments.choose), series(FIRST_TEST, arguments.test)
        chosen[f"{sections} sections"] = sweep(choose)
        told[f"{sections} sections"] = {
            kind: score(test, kind, MIN_IOU, BRIDGE_IOU) for kind in KINDS
        } | {f"{kind}, no bridge": score(test, kind, MIN_IOU, None) for kind in KINDS[1:]}
        print(json.dumps({"choose": chosen, "test": told}, indent=1), flush=True)
    result = {
        "command": " ".join(["python", "benchmarks/linking.py", *sys.argv[1:]]),
        "settings": {
            "min_iou": MIN_IOU,
            "bridge_iou": BRIDGE_IOU,
            "missed": MISSED,
            "size": arguments.size,
        }
        | {"embryos to choose by": arguments.choose, "embryos to tell": arguments.test},
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "share with one id by threshold, embryos to choose by": chosen,
        "result, other embryos": told,
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
