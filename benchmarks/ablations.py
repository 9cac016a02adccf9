"""What helps, what does not: one change at a time to the recipe of the shipped model.

    python benchmarks/ablations.py --steps 600

Each variant is trained from the same random start on the same drawn sections in the same order,
and scored on the same drawn validation embryos. Scores are as `devotools.evaluate` counts them:
mean IoU over sections and F1 over all nuclei. Variants that only change the prediction (flips at
test time, no watershed, faint nuclei dropped) are scored with the weights of the recipe itself.
The first variant is trained with two seeds: smaller differences than theirs mean nothing.
The same command goes on with the variants that its file lacks.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, maximum
from skimage.measure import label
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from make_weights import SIZE, VALIDATION_FROM, Drawings, Training, draw_many
from make_weights import parse_arguments as weights_arguments

import devotools as dt
from devotools.metrics import Matches

WORKING_SIDE = 384


class PlainPyramid(dt.ResNet18FPN):
    """The pyramid without normalisation, as in torchvision's default."""

    def __init__(self):
        super().__init__()
        for block in [*self.pyramid.inner_blocks, *self.pyramid.layer_blocks]:
            channels = block[0].out_channels
            block[0] = nn.Conv2d(
                block[0].in_channels, channels, block[0].kernel_size, padding=block[0].padding
            )
            block[1] = nn.Identity()


class FineSkip(dt.ResNet18FPN):
    """The head sees the stem's features at half the picture's size as well."""

    def __init__(self):
        super().__init__()
        self.skip = nn.Sequential(
            nn.Conv2d(64, 16, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)
        )
        self.mix = nn.Sequential(
            nn.Conv2d(64 + 16, 32, 3, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 1, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        net = self.encoder
        stem = net.relu(net.bn1(net.conv1(image)))  # (N, 64, H/2, W/2)
        features = self.head[:-1](self.fuse(self.pyramid(self.encode(image))))  # (N, 64, H/4, W/4)
        finer = functional.interpolate(features, size=stem.shape[-2:], mode="bilinear")
        logits = self.mix(torch.cat([finer, self.skip(stem)], dim=1))  # (N, 1, H/2, W/2)
        return functional.interpolate(logits, size=image.shape[-2:], mode="bilinear")


class WithDistance(dt.ResNet18FPN):
    """A second answer while it learns: how deep in its nucleus a pixel lies."""

    def __init__(self):
        super().__init__(classes=2)
        self.classes = 1  # of which one is asked for afterwards

    def forward(self, image: Tensor) -> Tensor:
        both = super().forward(image)
        return both if self.training else both[:, :1]


def distance_loss(both: Tensor, masks: Tensor) -> Tensor:
    """The recipe's loss, and the depth: 0 at the outline, 1 from eight pixels on, off by how much.

    Outside it is the same with a minus, as in signed distance maps.
    """
    signed = [
        distance_transform_edt(mask) - distance_transform_edt(1 - mask)
        for mask in masks[:, 0].cpu().numpy()
    ]
    depth = torch.from_numpy(np.stack(signed)).float().div(8).clamp(-1, 1)
    logits, guess = both.unbind(dim=1)
    off = functional.l1_loss(torch.tanh(guess), depth.to(guess.device))
    return dt.segmentation_loss(logits[:, None], masks) + off


def border_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """The recipe's loss, pixels within two of an outline counted three times in cross-entropy."""
    grown = functional.max_pool2d(masks, 5, 1, 2)
    shrunk = -functional.max_pool2d(-masks, 5, 1, 2)
    weight = 1 + 2 * (grown - shrunk)
    entropy = functional.binary_cross_entropy_with_logits(logits, masks, weight=weight)
    return entropy + dt.soft_dice_loss(logits, masks)


def dice_only(logits: Tensor, masks: Tensor) -> Tensor:
    """The loss of 2020."""
    return dt.soft_dice_loss(logits, masks)


def entropy_only(logits: Tensor, masks: Tensor) -> Tensor:
    """Cross-entropy alone."""
    return functional.binary_cross_entropy_with_logits(logits, masks)


@dataclass(frozen=True)
class Variant:
    """One change to the recipe; what is not given is the recipe's."""

    build: Callable[[], nn.Module] = dt.ResNet18FPN
    loss: Callable[[Tensor, Tensor], Tensor] = dt.segmentation_loss
    seed: int = 0
    without: tuple[type, ...] = ()  # kinds of augmentation that are left out
    sides: tuple[int, ...] = ()  # what a picture's longest side becomes before a crop of 256
    times: int = 1  # as many steps


LIGHT = (A.RandomBrightnessContrast, A.RandomGamma, A.OneOf, A.GaussNoise)
TRAINED = {
    "recipe": Variant(),
    "recipe, other seed": Variant(seed=1),
    "pyramid without batch norm": Variant(build=PlainPyramid),
    "finer skip at half size": Variant(build=FineSkip),
    "borders weigh three times": Variant(loss=border_loss),
    "Dice alone": Variant(loss=dice_only),
    "cross-entropy alone": Variant(loss=entropy_only),
    "cross-entropy alone, other seed": Variant(loss=entropy_only, seed=1),
    "distance to the outline learned too": Variant(build=WithDistance, loss=distance_loss),
    "light and sharpness as drawn": Variant(without=LIGHT),
    "one magnification": Variant(sides=(WORKING_SIDE,)),
    "twice the steps": Variant(times=2),
}


def transform_of(variant: Variant) -> A.Compose:
    """The recipe's augmentation with the variant's change."""
    usual = dt.train_transform(SIZE, 0).transforms
    kept = [step for step in usual if not isinstance(step, variant.without)]
    if variant.sides:
        first = A.LongestMaxSize(
            max_size=list(variant.sides),
            interpolation=cv2.INTER_LINEAR,
            mask_interpolation=cv2.INTER_NEAREST_EXACT,
        )
        kept = [first if isinstance(step, A.LongestMaxSize) else step for step in kept]
    return A.Compose(kept, seed=0, strict=True)


def train(arguments: argparse.Namespace, drawings: Drawings, variant: Variant) -> Training:
    """Train one variant from its random start; returns it with its running average."""
    steps = arguments.steps * variant.times
    settings = vars(weights_arguments([])) | vars(arguments)
    settings |= {"seed": variant.seed, "steps": steps, "start": None, "muon": 0}
    training = Training(argparse.Namespace(**settings), build=variant.build, loss=variant.loss)
    drawings.transform = transform_of(variant)
    for images, masks in drawings.batches(0, steps):
        training.learn(images, masks)
    return training


def probability(model: nn.Module, image: np.ndarray, flips: bool) -> np.ndarray:
    """Probability of one section, at will averaged over its four flips."""
    turns = (1, -1) if flips else (1,)
    parts = [
        dt.predict_probability(model, np.ascontiguousarray(image[::up, ::left]))[::up, ::left]
        for up in turns
        for left in turns
    ]
    return np.mean(parts, axis=0)


def score(
    model: nn.Module,
    validation: Drawings,
    flips: bool = False,
    labeller: Callable[[np.ndarray], np.ndarray] = dt.label_nuclei,
) -> dict[str, float]:
    """Mean IoU and pooled F1 on the drawn validation sections."""
    model.working_side = WORKING_SIDE
    ious, total = [], Matches(0, 0, 0)
    for image, labels in zip(validation.images, validation.labels, strict=True):
        found = labeller(probability(model, image / np.float32(255), flips))
        ious.append(dt.iou_score(labels > 0, found > 0))
        total += dt.match_instances(labels, found)
    return {"iou": round(float(np.mean(ious)), 4), "f1": round(total.f1, 4)}


def connected_pieces(probability: np.ndarray) -> np.ndarray:
    """Connected pieces of 20 pixels or more, touching nuclei not parted."""
    pieces = label(probability >= dt.THRESHOLD, connectivity=1)
    small = np.bincount(pieces.ravel()) < 20
    return np.where(small[pieces], 0, pieces)


def without_faint(probability: np.ndarray) -> np.ndarray:
    """Nuclei of which no pixel reaches a probability of 0.9 are dropped."""
    nuclei = dt.label_nuclei(probability)
    peaks = maximum(probability, nuclei, np.arange(nuclei.max() + 1))
    return np.where((peaks < 0.9)[nuclei], 0, nuclei)


def main() -> None:
    """Train every variant, score it, write the table after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--pool", type=int, default=3000, help="drawn sections to learn from")
    parser.add_argument("--validation", type=int, default=160)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--averaging", type=float, default=0.99)
    parser.add_argument("--device", default=None)
    parser.add_argument("--only", nargs="*", choices=list(TRAINED), default=list(TRAINED))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/ablations.json"))
    arguments = parser.parse_args()
    result = {
        "command": " ".join(["python", "benchmarks/ablations.py", *sys.argv[1:]]),
        "steps": arguments.steps,
        "validation_sections": arguments.validation,
        "working_side": WORKING_SIDE,
    }
    rows = earlier(arguments.out, result)
    missing = [name for name in arguments.only if name not in rows]
    drawings = Drawings(*draw_many(0, arguments.pool, 2), seed=0)
    validation = Drawings(*draw_many(VALIDATION_FROM, arguments.validation, 2), seed=0)
    for name in missing:
        started = time.monotonic()
        training = train(arguments, drawings, TRAINED[name])
        seconds = (time.monotonic() - started) / training.steps
        model = training.averaged.module.eval()
        rows[name] = score(model, validation) | {"seconds_a_step": round(seconds, 3)}
        if name == "recipe":
            rows["recipe, weights not averaged"] = score(training.model.eval(), validation)
            rows["recipe, flips averaged"] = score(model, validation, flips=True)
            rows["recipe, nothing parted"] = score(model, validation, labeller=connected_pieces)
            rows["recipe, faint dropped"] = score(model, validation, labeller=without_faint)
        write(arguments.out, result | {"variants": rows})
        print(name, rows[name], flush=True)
    write(arguments.out, result | {"variants": rows})


def write(path: Path, result: dict) -> None:
    """The result as JSON, and beside it as a table of the differences from the recipe."""
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    rows = result["variants"]
    lines = [
        "# One change at a time",
        "",
        f"`{result['command']}`: {result['steps']} steps of 8 crops, from random weights; scored",
        f"on {result['validation_sections']} drawn validation sections, their longest side "
        f"{result['working_side']} pixels.",
        "So short a training tells what is learned soon, not what is learned at last.",
        "A difference no larger than that of the other seed may be chance.",
        "",
        "| variant | IoU | to the recipe | F1 | to the recipe |",
        "|---|---|---|---|---|",
    ]
    usual = rows.get("recipe")
    for name, row in rows.items():
        cells = [name]
        for score in ("iou", "f1"):
            away = "" if usual in (None, row) else f"{row[score] - usual[score]:+.3f}"
            cells += [f"{row[score]:.3f}", away]
        lines.append(f"| {' | '.join(cells)} |")
    path.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def earlier(path: Path, result: dict) -> dict[str, dict[str, float]]:
    """The variants that the same command has stored already."""
    if not path.exists():
        return {}
    stored = json.loads(path.read_text(encoding="utf-8"))
    return stored["variants"] if stored["command"] == result["command"] else {}


if __name__ == "__main__":
    main()
