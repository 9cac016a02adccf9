"""Time to learn: how soon we reach what the recipe of 2020 reaches in twenty minutes.

    python benchmarks/learn.py --minutes 20

Both learn from the same drawn sections, from random weights, on the same threads, one after the
other, and are judged on the same drawn validation sections at 256 pixels. Time is processor time
of this process by its threads, so that what else the machine does counts for neither; only
training counts, not the validation. The recipe of 2020 is `segmentation_models_pytorch`'s FPN with
ResNet18 (random start, as ours), Dice loss, Adam at 1.5e-4, batches of five and that package's
usual augmentations for grey pictures; ours is what `tools/make_weights.py --muon 0 --faint 0` does
(AdamW trains everything, as in `fit`, on default drawings), with a schedule as long as `--ours`.
Writes benchmarks/results/learn.json and .png.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import albumentations as A
import cv2
import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from make_weights import BATCH, SIZE, VALIDATION_FROM, Drawings, Training, draw_many
from make_weights import parse_arguments as weights_arguments

import devotools as dt
from devotools.train import validate

RESULTS = Path(__file__).resolve().parent / "results"
CPU = torch.device("cpu")
GOAL_SHARE = 1.0  # of what the recipe of 2020 has reached at its best


def judge(model: nn.Module, batches: list) -> float:
    """Mean validation IoU at 256 pixels."""
    was = model.training
    _, iou, _ = validate(model, batches, CPU, bfloat16=None)
    model.train(was)
    return float(iou)


def learn(
    step: Callable[[int], None], judged: Callable[[], float], minutes: float, every: float
) -> list[tuple[float, int, float]]:
    """Train for so long; (minutes of training, steps, validation IoU) at each look."""
    curve, spent, look, number = [], 0.0, every, 0
    while spent < minutes:
        started = time.process_time()
        step(number)
        spent += (time.process_time() - started) / 60 / torch.get_num_threads()
        number += 1
        if spent >= look or spent >= minutes:
            curve.append((round(spent, 3), number, round(judged(), 4)))
            print(*curve[-1], flush=True)
            look += every
    return curve


def recipe_2020(pool: Drawings, batches: list, minutes: float, every: float) -> list:
    """The FPN of 2020 as it was trained then."""
    dt.seed_everything(0)
    model = smp.FPN("resnet18", encoder_weights=None, in_channels=1).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1.5e-4)
    loss_of = smp.losses.DiceLoss("binary")
    augment = A.Compose(
        [
            A.HorizontalFlip(p=0.5),
            A.Affine(
                scale=(0.5, 1.5),
                translate_percent=0.1,
                border_mode=cv2.BORDER_REFLECT_101,
                p=1,
            ),
            A.GaussNoise(p=0.2),
            A.Perspective(p=0.5),
            A.OneOf([A.CLAHE(p=1), A.RandomBrightnessContrast(p=1), A.RandomGamma(p=1)], p=0.9),
            A.OneOf([A.Sharpen(p=1), A.Blur(3, p=1), A.MotionBlur(3, p=1)], p=0.9),
        ],
        seed=0,
    )
    rng = np.random.default_rng(0)

    def batch() -> tuple[Tensor, Tensor]:
        pairs = []
        for index in rng.integers(len(pool.images), size=5):
            mask = (pool.labels[index] > 0).astype(np.uint8)
            pairs.append(augment(image=pool.images[index], mask=mask))
        images = np.stack([pair["image"] for pair in pairs]).astype(np.float32) / 255
        masks = np.stack([pair["mask"] for pair in pairs]).astype(np.float32)
        return torch.from_numpy(images)[:, None], torch.from_numpy(masks)[:, None]

    def step(number: int) -> None:
        images, masks = batch()
        loss = loss_of(model(images), masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return learn(step, lambda: judge(model, batches), minutes, every)


def ours(pool: Drawings, batches: list, minutes: float, every: float) -> list:
    """Our recipe from random weights, its schedule made for ``minutes``."""
    settings = weights_arguments(["--averaging", "0.98", "--smooth", "1", "--muon", "0"])
    training = Training(settings)
    images, masks = pool.batch(0)
    started = time.process_time()
    for _ in range(4):  # how long a step takes here, for the schedule; then a fresh start
        training.learn(images, masks)
    seconds = (time.process_time() - started) / 4 / torch.get_num_threads() + 0.02
    settings.steps = int(minutes * 60 / seconds)
    training = Training(settings)

    def step(number: int) -> None:
        training.learn(*pool.batch(number))

    return learn(step, lambda: judge(training.averaged.module, batches), minutes, every)


def chart(result: dict, path: Path) -> None:
    """Validation IoU over minutes of training."""
    fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for name, colour, style in (
        ("recipe of 2020", "#E69F00", "--o"),
        ("devotools", "#0072B2", "-s"),
    ):
        times, _, ious = zip(*result["curves"][name], strict=True)
        ax.plot(times, ious, style, color=colour, label=name, markersize=4)
    ax.axhline(result["goal"], color="grey", linewidth=1)
    ax.set_xlabel("minutes of processor time")
    ax.set_ylabel("IoU on drawn validation sections")
    ax.set_ylim(0, 1)
    ax.legend()
    fig.savefig(path, dpi=110)


def main() -> None:
    """Train both, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20, help="for the recipe of 2020")
    parser.add_argument("--ours", type=float, default=4, help="minutes of our schedule")
    parser.add_argument("--pool", type=int, default=4000)
    parser.add_argument("--validation", type=int, default=160)
    parser.add_argument("--out", type=Path, default=RESULTS / "learn.json")
    arguments = parser.parse_args()
    pool = Drawings(*draw_many(0, arguments.pool, 2), seed=0)
    batches = Drawings(*draw_many(VALIDATION_FROM, arguments.validation, 2), seed=0).whole(SIZE)
    curves = {
        "devotools": ours(pool, batches, arguments.ours, arguments.ours / 16),
        "recipe of 2020": recipe_2020(pool, batches, arguments.minutes, arguments.minutes / 20),
    }
    goal = max(iou for _, _, iou in curves["recipe of 2020"])
    reached = [minutes for minutes, _, iou in curves["devotools"] if iou >= goal]
    result = {
        "command": " ".join(["python benchmarks/learn.py", *sys.argv[1:]]),
        "threads": torch.get_num_threads(),
        "batch": {"devotools": BATCH, "recipe of 2020": 5},
        "goal": goal,
        "reached_after_minutes": reached[0] if reached else None,
        "times_sooner": round(arguments.minutes / reached[0], 1) if reached else None,
        "curves": curves,
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    chart(result, arguments.out.with_suffix(".png"))
    print({key: result[key] for key in ("goal", "reached_after_minutes", "times_sooner")})


if __name__ == "__main__":
    main()
