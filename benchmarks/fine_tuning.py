"""How many labels does a new stain need? Fine-tuning from few sections, over several seeds.

    python benchmarks/fine_tuning.py --out devotools/data/fine_tuning.json

The shift is that of lesson 06, made up: a stain that darkens nuclei, which the shipped model has
never seen. Every arm learns for the same number of steps, from sections of embryos that stand on
no other side; four more labelled sections choose the weights. All arms are scored on the same test
embryos, with the stain and without it (what was forgotten?), and against ragged copies of the
test masks (what would somebody measure who has no better ones?). ``--only`` runs some arms and
keeps the others that are stored. *Turned round* is the remedy that costs no label: stained pictures
are shown as negatives, before any label and with eight.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

import devotools as dt
from devotools.datasets import to_tensors

# Numbers of drawings; the weights and the other measurements use others.
FIRST_TRAIN, FIRST_TEST = 3_600_000_000, 3_700_000_000
CROP, BATCH, VALIDATION = 256, 4, 4
STEPS_AN_EPOCH = 16  # 64 crops: 1, 2, 4 ... 32 sections are met equally often
RATE = 2e-3  # of lesson 06, from a trained start as from random numbers: much has to change
GENTLE_RATE = 5e-4  # the recipe's from a trained start, where little has to change


@dataclass(frozen=True)
class Arm:
    """One way to learn: from how many sections, from which start, from what kind of picture."""

    name: str
    labels: int
    start: str = "nuclei"
    rate: float = RATE
    stained: bool = True
    one_embryo: bool = False
    ragged: bool = False
    ordinary: int = 0  # ordinary sections mixed in
    turned: bool = False  # stained pictures are shown as negatives
    frozen_norm: bool = False  # as devotools train does from a trained start


ARMS = (
    *(Arm("fine-tuned", labels) for labels in (1, 2, 4, 8, 16, 32)),
    *(Arm("random start", labels, start="random") for labels in (8, 32)),
    Arm("all of one embryo", 8, one_embryo=True),
    Arm("ordinary ones mixed in", 8, ordinary=8),
    Arm("a tenth of the rate", 8, rate=RATE / 10),
    Arm("turned round", 8, turned=True),
    Arm("ragged masks", 8, ragged=True),
    Arm("no shift, clean masks", 6, rate=GENTLE_RATE, stained=False, frozen_norm=True),
    Arm(
        "no shift, ragged masks",
        6,
        rate=GENTLE_RATE,
        stained=False,
        ragged=True,
        frozen_norm=True,
    ),
    Arm("no shift, batch norm free", 6, rate=GENTLE_RATE, stained=False),
    Arm("batch norm frozen", 8, frozen_norm=True),
)


@dataclass(frozen=True)
class Section:
    """A drawn section: as it is, stained, and its truth."""

    ordinary: np.ndarray
    stained: np.ndarray
    labels: np.ndarray
    ragged: np.ndarray

    def seen(self, *, stained: bool, turned: bool) -> np.ndarray:
        """The picture as a network is shown it."""
        if not stained:
            return self.ordinary
        return 1 - self.stained if turned else self.stained


def stain(image: np.ndarray, labels: np.ndarray, strength: float) -> np.ndarray:
    """Darken nuclei, as lesson 06 does."""
    taken_up = gaussian_filter((labels > 0).astype(np.float32), 1)
    return image * (1 - strength * taken_up)


def make_section(image: np.ndarray, labels: np.ndarray, seed: int) -> Section:
    """The stain's strength follows from the embryo's ``seed``."""
    strength = np.random.default_rng(seed).uniform(0.65, 0.85)
    ragged = dt.add_label_noise(labels > 0, seed=seed % 2**32)
    return Section(image, stain(image, labels, strength), labels, ragged)


def draw_sections(first: int, count: int) -> list[Section]:
    """One section of each of ``count`` embryos; those in which no nucleus is cut are left out."""
    sections = []
    while len(sections) < count:
        image, labels = dt.draw_section(first)
        if labels.any():
            sections.append(make_section(image, labels, first))
        first += 1
    return sections


def draw_one_embryo(first: int, count: int) -> list[Section]:
    """As many sections of a single embryo, the first that has enough."""
    while True:
        series = dt.synthesize_series(sections=count + 2, seed=first)
        pairs = [(i, j) for i, j in zip(series.images, series.labels, strict=True) if j.any()]
        if len(pairs) >= count:
            return [make_section(image, labels, first) for image, labels in pairs[:count]]
        first += 1


class Pictures(torch.utils.data.Dataset):
    """Images with masks, each in turn until there are ``length`` of them."""

    def __init__(self, pairs: list, transform, length: int):
        self.pairs, self.transform, self.length = pairs, transform, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        if index >= self.length:
            raise IndexError(index)
        image, mask = self.pairs[index % len(self.pairs)]
        return to_tensors(dt.stretch_contrast(image), mask, self.transform)


def pairs_of(sections: list[Section], arm: Arm) -> list:
    """What an arm sees of sections: image and mask."""
    return [
        (
            one.seen(stained=arm.stained, turned=arm.turned),
            one.ragged if arm.ragged else one.labels > 0,
        )
        for one in sections
    ]


def learn(arm: Arm, seed: int, steps: int, device: str | None) -> dt.ResNet18FPN:
    """Train one arm with one seed; arms of one seed share their embryos."""
    first = FIRST_TRAIN + 10_000 * seed
    draw = draw_one_embryo if arm.one_embryo else draw_sections
    train = pairs_of(draw(first, arm.labels), arm)
    train += [(one.ordinary, one.labels > 0) for one in draw_sections(first + 4000, arm.ordinary)]
    val = pairs_of(draw_sections(first + 8000, VALIDATION), arm)
    dt.seed_everything(seed)
    shipped = dt.load_model("nuclei")
    model = shipped if arm.start == "nuclei" else dt.ResNet18FPN()
    side = model.working_side = shipped.working_side
    learn_from = Pictures(train, dt.train_transform(CROP, seed), STEPS_AN_EPOCH * BATCH)
    choose_by = Pictures(val, dt.eval_transform(side), len(val))
    dt.fit(
        model,
        dt.make_loader(learn_from, BATCH, shuffle=True, seed=seed),
        dt.make_loader(choose_by, BATCH, shuffle=False),
        dt.TrainConfig(
            epochs=max(1, steps // STEPS_AN_EPOCH),
            learning_rate=arm.rate,
            frozen_norm=arm.frozen_norm,
            device=device,
            progress=False,
        ),
    )
    return model


def judge(
    model: dt.ResNet18FPN, sections: list[Section], *, turned: bool = False
) -> dict[str, float]:
    """Mean IoU and pooled F1 on the test sections, stained and not, and against ragged masks."""
    scores = {}
    for name in ("stained", "ordinary"):
        images = [one.seen(stained=name == "stained", turned=turned) for one in sections]
        found = [dt.label_nuclei(p) for p in dt.predict_probabilities(model, images)]
        matches = dt.Matches(0, 0, 0)
        for one, nuclei in zip(sections, found, strict=True):
            matches += dt.match_instances(one.labels, nuclei)
        for truth in ("labels", "ragged"):
            ious = [
                dt.iou_score(getattr(one, truth) > 0, nuclei > 0)
                for one, nuclei in zip(sections, found, strict=True)
            ]
            against = " against ragged masks" if truth == "ragged" else ""
            scores[f"{name} iou{against}"] = float(np.mean(ious))
        scores[f"{name} f1"] = matches.f1
    return {name: round(score, 4) for name, score in scores.items()}


def summary(rows: list[dict[str, float]]) -> dict[str, dict[str, float | list[float]]]:
    """Each figure's mean and standard deviation over seeds, and the single values."""
    return {
        name: {
            "mean": round(float(np.mean([row[name] for row in rows])), 4),
            "sd": round(float(np.std([row[name] for row in rows], ddof=min(1, len(rows) - 1))), 4),
            "seeds": [row[name] for row in rows],
        }
        for name in rows[0]
    }


def main() -> None:
    """Score the shipped model, then every arm with every seed; write the table after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=96, help=f"in epochs of {STEPS_AN_EPOCH}")
    parser.add_argument("--test", type=int, default=30, help="test sections, one of each embryo")
    parser.add_argument("--only", nargs="*", choices=sorted({arm.name for arm in ARMS}))
    parser.add_argument("--device", default=None)
    parser.add_argument("--out", type=Path, default=Path("devotools/data/fine_tuning.json"))
    arguments = parser.parse_args()
    test = draw_sections(FIRST_TEST, arguments.test)
    shipped = dt.load_model("nuclei")
    ceiling = np.mean([dt.iou_score(one.labels > 0, one.ragged) for one in test])
    result = {
        "command": " ".join(["python", "benchmarks/fine_tuning.py", *sys.argv[1:]]),
        "settings": {
            "seeds": arguments.seeds,
            "steps": arguments.steps,
            "batch": BATCH,
            "crop": CROP,
            "validation_sections": VALIDATION,
            "test_sections": arguments.test,
        },
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "ragged against clean masks": round(float(ceiling), 4),
        "shipped model": judge(shipped, test),
        "shipped model, turned round": judge(shipped, test, turned=True),
        "arms": [],
    }
    print(result["shipped model"], flush=True)
    if arguments.only and arguments.out.exists():  # the other arms stay as they are stored
        stored = json.loads(arguments.out.read_text(encoding="utf-8"))
        if stored["settings"] != result["settings"]:
            parser.error(f"{arguments.out} has other settings: {stored['settings']}")
        result["arms"] = [arm for arm in stored["arms"] if arm["name"] not in arguments.only]
        result["command"] = stored["command"]
    for arm in ARMS:
        if arguments.only and arm.name not in arguments.only:
            continue
        rows = []
        for seed in range(arguments.seeds):
            model = learn(arm, seed, arguments.steps, arguments.device)
            rows.append(judge(model.cpu(), test, turned=arm.turned))
        row = {"name": arm.name, "labels": arm.labels, "scores": summary(rows)}
        result["arms"].append(row)
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        means = {name: score["mean"] for name, score in row["scores"].items()}
        print(arm.name, arm.labels, means, flush=True)


if __name__ == "__main__":
    main()
