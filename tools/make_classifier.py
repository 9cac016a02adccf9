"""Train the shipped classifier ``states`` from drawn embryos only.

    python tools/make_classifier.py

The encoder of the shipped model ``nuclei`` learns to tell *interphase* from *condensed* nuclei in
crops of drawn embryos. Embryos numbered from four billion teach; others, from 4.1 billion, choose
the epoch, the temperature and the limit of *unsure*. What ``benchmarks/states.py`` tests on is
numbered from 4.2 billion. Nothing here has seen a real micrograph. The result is
``devotools/weights/states.safetensors`` in half precision, with its SHA-256 in ``SHA256SUMS``.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from make_weights import commit, publish, to_half
from tqdm import tqdm

from devotools import InputError, TrainConfig, crop_transform, fit, seed_everything
from devotools.classification import (
    CONTEXT,
    Classification,
    NucleusCropDataset,
    ResNet18Classifier,
    balanced_accuracy,
    calibrate,
    expected_calibration_error,
    predict_logits,
    save_classifier,
    to_probability,
)
from devotools.classification.classifier import PARTS
from devotools.datasets import make_loader
from devotools.synthetic import Series, synthesize_series

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "devotools" / "weights" / "states.safetensors"
TRAIN_FROM, VALIDATION_FROM, TEST_FROM = 4_000_000_000, 4_100_000_000, 4_200_000_000
SECTIONS = 2  # of each embryo to learn from: more embryos teach more than more sections
VALIDATION_SECTIONS = 3
BATCH = 32
WANTED = 0.98  # share of the states said, if not "unsure", that is to be right


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line, or the words given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--embryos", type=int, default=4000, help="drawn embryos to learn from")
    parser.add_argument("--validation", type=int, default=400, help="drawn embryos to choose by")
    parser.add_argument("--parts", choices=PARTS, default="all", help="which weights learn")
    parser.add_argument("--context", type=float, default=CONTEXT)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--averaging", type=float, default=0.998)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default=None)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    return parser.parse_args(words)


# --- drawings ----------------------------------------------------------------------------------


def nuclei_of(series: Series, context: float = CONTEXT) -> NucleusCropDataset | None:
    """The nuclei of a drawn series that are one of the two states; None where there is none.

    ``about`` gets what says how well each can be seen: see :func:`visibility`.
    """
    try:
        data = NucleusCropDataset(series, context=context)
    except InputError:
        return None
    seen = visibility(series, data.about, data.crops, context)
    about = pd.concat([data.about, seen], axis=1)
    rounded = np.round(data.crops * 255) / np.float32(255)  # as a PNG would hold them
    return NucleusCropDataset.from_crops(rounded, about)


def visibility(
    series: Series, about: pd.DataFrame, crops: np.ndarray, context: float
) -> pd.DataFrame:
    """How well a nucleus can be seen in its section.

    ``share`` is the diameter of the cut over the diameter of the whole nucleus, 1 through the
    middle and less towards a pole, or where something hides a part; ``contrast`` how much brighter
    it is than a ring round it, in the stretched picture; ``dark`` how far the darkest fiftieth of
    it lies below its median: whether there is any chromatin to be seen.
    """
    full = series.nuclei.set_index("id")["radius_um"].loc[about["label"]].to_numpy()
    cut = about["diameter_px"].to_numpy() / 2 * series.pixel_size_um
    side = crops.shape[-1]
    down, right = np.mgrid[:side, :side] - (side - 1) / 2
    away = np.hypot(down, right) / (side / 2 / context)  # 1 at the envelope
    inside, ring = away < 0.85, (away > 1.15) & (away < 1.6)
    contrast = crops[:, 0, inside].mean(axis=1) - crops[:, 0, ring].mean(axis=1)
    nucleus = crops[:, 0, inside]
    dark = np.median(nucleus, axis=1) - np.quantile(nucleus, 0.02, axis=1)
    share = np.minimum(cut / full, 1.0)
    return pd.DataFrame({"share": share, "contrast": contrast, "dark": dark})


def draw_one(task: tuple[int, int, float]) -> NucleusCropDataset | None:
    """The nuclei of one drawn embryo: its number, its sections, the context of the crops."""
    number, sections, context = task
    return nuclei_of(synthesize_series(sections=sections, seed=number), context)


def draw(
    first: int, count: int, *, sections: int = SECTIONS, context: float = CONTEXT
) -> NucleusCropDataset:
    """The nuclei of embryos ``first`` to ``first + count - 1``."""
    tasks = [(number, sections, context) for number in range(first, first + count)]
    with ProcessPoolExecutor(os.cpu_count() or 1) as pool:
        drawn = tqdm(pool.map(draw_one, tasks, chunksize=16), total=count, desc="drawing")
        parts = [part for part in drawn if part is not None]
    return parts[0].join(parts[1:])


# --- training ----------------------------------------------------------------------------------


def train(
    data: NucleusCropDataset, choose: NucleusCropDataset, arguments: argparse.Namespace
) -> tuple[ResNet18Classifier, dict]:
    """Train on ``data``, keep the epoch that does best on ``choose``; the model and its history."""
    seed_everything(arguments.seed)
    model = ResNet18Classifier(weights="nuclei").learn(arguments.parts)
    model.context = arguments.context
    everything = np.arange(len(data))
    learn = data.subset(everything, crop_transform(arguments.seed))
    history = fit(
        model,
        make_loader(learn, BATCH, shuffle=True, seed=arguments.seed),
        make_loader(choose, 4 * BATCH, shuffle=False),
        TrainConfig(
            epochs=arguments.epochs,
            learning_rate=arguments.learning_rate,
            averaging=arguments.averaging,
            device=arguments.device,
        ),
        Classification(),
    )
    return model.cpu().eval(), history.to_dict()


def scores(model: ResNet18Classifier, data: NucleusCropDataset) -> dict[str, float]:
    """Balanced accuracy, calibration error and share of *unsure* on ``data``."""
    probability = to_probability(predict_logits(model, data.crops), model.temperature)
    said, confidence = probability.argmax(axis=1), probability.max(axis=1)
    error = expected_calibration_error(said == data.classes, confidence)
    return {
        "nuclei": len(data),
        "balanced_accuracy": round(balanced_accuracy(data.classes, said), 4),
        "calibration_error": round(error, 4),
        "unsure": round(float((confidence < model.limit).mean()), 4),
    }


def command(arguments: argparse.Namespace) -> str:
    """The command that makes these weights again: only what differs from the defaults."""
    usual = vars(parse_arguments([]))
    options = [
        f"--{key.replace('_', '-')} {value}"
        for key, value in vars(arguments).items()
        if value != usual[key] and key not in ("out", "device")
    ]
    return " ".join(["python tools/make_classifier.py", *options])


def card(arguments: argparse.Namespace, history: dict, facts: dict, minutes: float) -> dict:
    """What is stored beside the weights."""
    settings = {
        key: value for key, value in vars(arguments).items() if key not in ("out", "device")
    }
    return {
        "command": command(arguments),
        "commit": commit(),
        "data": "drawn embryos only (devotools.synthetic), no real micrograph",
        "settings": settings,
        "minutes": round(minutes, 1),
        "torch": torch.__version__,
        "history": {name: _rounded(values) for name, values in history.items()},
        **facts,
    }


def _rounded(values: object) -> object:
    return [round(value, 4) for value in values] if isinstance(values, list) else values


def states_of(classes: Iterable[int]) -> dict[str, int]:
    """How many nuclei there are of each state."""
    counts = np.bincount(np.asarray(list(classes)), minlength=2)
    return {"interphase": int(counts[0]), "condensed": int(counts[1])}


def main() -> None:
    """Draw, train, calibrate, save."""
    arguments = parse_arguments()
    data = draw(TRAIN_FROM, arguments.embryos, context=arguments.context)
    choose = draw(
        VALIDATION_FROM,
        arguments.validation,
        sections=VALIDATION_SECTIONS,
        context=arguments.context,
    )
    started = time.monotonic()
    model, history = train(data, choose, arguments)
    minutes = (time.monotonic() - started) / 60
    to_half(model)
    model.float()  # what is calibrated and scored here is what load_classifier will give
    before = scores(model, choose)
    calibrate(model, choose, wanted=WANTED)
    facts = {
        "training": states_of(data.classes),
        "validation": states_of(choose.classes) | scores(model, choose),
        "calibration_error_before": before["calibration_error"],
    }
    to_half(model)
    save_classifier(arguments.out, model, card(arguments, history, facts, minutes))
    if arguments.out.resolve() == WEIGHTS.resolve():
        publish(arguments.out)
    print(facts, f"temperature {model.temperature:.3f}, limit {model.limit:.3f}")
    print(f"saved {arguments.out} ({arguments.out.stat().st_size / 2**10:.0f} KiB)")


if __name__ == "__main__":
    main()
