"""How well the state of a nucleus is told: the shipped classifier on drawn test embryos.

    python benchmarks/states.py              the figures of the model card
    python benchmarks/states.py --compare    what was chosen by validation, half an hour or so

The test embryos have numbers of their own, from 4.2 billion: nothing was trained on them, and
nothing chosen by them. Told are accuracy and balanced accuracy, the confusion matrix, the expected
calibration error before and after the temperature, and balanced accuracy by the size of a nucleus
and by where the section cuts it. *Clear* is a nucleus at least CLEAR_DIAMETER pixels wide, cut at
CLEAR_SHARE of its diameter or more, brighter than what lies round it by CLEAR_CONTRAST of the
picture's range, and with something in it that is darker than its median by CLEAR_DARK; these bounds
were set on validation embryos, and none looks at the truth. Mixed nuclei, with clumps among
blobs, are neither state: told is only what they are called. `--compare` trains with other crops and
other parts of the network frozen, and scores on validation embryos.

Also told is what happens to nuclei that `nuclei` finds by itself: those that match a true one.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import make_classifier as maker
import pooch
from small_png import smaller_png

import devotools as dt
from devotools.classification import (
    UNSURE,
    NucleusCropDataset,
    accuracy,
    balanced_accuracy,
    classify_nuclei,
    confusion_matrix,
    expected_calibration_error,
    nucleus_crops,
    plot_confusion,
    plot_reliability,
    predict_logits,
    reliability,
    to_probability,
)
from devotools.metrics import match_instances

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
FIGURE = ROOT / "devotools" / "weights" / "states.png"
EMBRYOS, SECTIONS = 600, 3
CLEAR_DIAMETER, CLEAR_SHARE, CLEAR_CONTRAST, CLEAR_DARK = 12, 0.7, 0.1, 0.15
SIZES = (0, 10, 14, 20, 30, np.inf)  # px of 256-pixel pictures
SHARES = (0, 0.5, 0.7, 0.9, 1)
RATES = {"head": 5e-3, "norms": 2e-3, "all": 1e-3}
COMPARED = (("head", 2.0), ("norms", 2.0), ("all", 2.0), ("all", 1.5), ("all", 3.0))
COMPARE_EMBRYOS, COMPARE_VALIDATION, COMPARE_EPOCHS = 2500, 400, 3


# --- the test set ------------------------------------------------------------------------------


def draw_test(number: int) -> tuple[NucleusCropDataset | None, np.ndarray, list]:
    """One test embryo: its nuclei, the crops of mixed ones, and pictures with labels and states."""
    series = dt.synthesize_series(sections=SECTIONS, seed=maker.TEST_FROM + number)
    state = dict(zip(series.nuclei["id"], series.nuclei["state"], strict=True))
    mixed = [number for number, word in state.items() if word == "mixed"]
    pieces = [
        nucleus_crops(image, np.where(np.isin(labels, mixed), labels, 0))
        for image, labels in zip(series.images, series.labels, strict=True)
    ]
    pictures = [
        (np.float16(image), np.uint8(labels), state)
        for image, labels in zip(series.images, series.labels, strict=True)
    ]
    return maker.nuclei_of(series), np.concatenate(pieces), pictures


def test_set(workers: int) -> tuple[NucleusCropDataset, np.ndarray, list]:
    """All test nuclei, the crops of mixed ones, and the pictures."""
    with ProcessPoolExecutor(workers) as pool:
        drawn = list(pool.map(draw_test, range(EMBRYOS), chunksize=8))
    parts = [data for data, _, _ in drawn if data is not None]
    pictures = [picture for _, _, some in drawn for picture in some]
    return parts[0].join(parts[1:]), np.concatenate([mixed for _, mixed, _ in drawn]), pictures


def is_clear(about: pd.DataFrame) -> np.ndarray:
    """Which nuclei of a table can be seen clearly."""
    clear = about["diameter_px"] >= CLEAR_DIAMETER
    clear &= (about["share"] >= CLEAR_SHARE) & (about["contrast"] >= CLEAR_CONTRAST)
    clear &= about["dark"] >= CLEAR_DARK
    return clear.to_numpy()


# --- figures -----------------------------------------------------------------------------------


def scores(true: np.ndarray, probability: np.ndarray, limit: float) -> dict[str, float]:
    """What is told of some nuclei: over all of them, and over those that are not unsure."""
    said, sure = probability.argmax(axis=1), probability.max(axis=1) >= limit
    return {
        "nuclei": len(true),
        "condensed": int((true == 1).sum()),
        "accuracy": _round(accuracy(true, said)),
        "balanced_accuracy": _round(balanced_accuracy(true, said)),
        "unsure": _round((~sure).mean() if len(sure) else np.nan),
        "balanced_accuracy_sure": _round(balanced_accuracy(true[sure], said[sure])),
    }


def by_bins(
    values: np.ndarray, edges: tuple, true: np.ndarray, probability: np.ndarray, limit: float
) -> list[dict]:
    """The scores of nuclei in each step of ``values``."""
    steps = np.digitize(values, edges[1:-1])
    return [
        {"from": edges[k], "to": None if np.isinf(edges[k + 1]) else edges[k + 1]}
        | scores(true[steps == k], probability[steps == k], limit)
        for k in range(len(edges) - 1)
    ]


def on_found_nuclei(pictures: list, classifier) -> dict[str, float]:
    """States of the nuclei that the shipped model finds, where they match a true one."""
    finder = dt.load_model("nuclei")
    images = (np.float32(image) for image, _, _ in pictures)
    true, condensed = [], []
    for probability, (image, labels, state) in zip(
        dt.predict_probabilities(finder, images), pictures, strict=True
    ):
        found = dt.label_nuclei(probability)
        told = classify_nuclei(classifier, np.float32(image), found).set_index("label")
        for id_, number, _ in match_instances(labels, found).pairs:
            if state[id_] != "mixed":
                true.append(int(state[id_] == "condensed"))
                condensed.append(told.loc[number, "condensed_probability"])
    condensed = np.array(condensed)
    return scores(np.array(true), np.stack([1 - condensed, condensed], axis=1), classifier.limit)


def measure(workers: int) -> dict:
    """All figures of the card; the figure is drawn as well."""
    classifier = dt.load_classifier("states")
    data, mixed, pictures = test_set(workers)
    logits, true, limit = predict_logits(classifier, data.crops), data.classes, classifier.limit
    before, after = to_probability(logits), to_probability(logits, classifier.temperature)
    correct = after.argmax(axis=1) == true
    clear = is_clear(data.about)
    called = to_probability(predict_logits(classifier, mixed), classifier.temperature)
    unsure = called.max(axis=1) < limit
    found = {
        "embryos": EMBRYOS,
        "sections": EMBRYOS * SECTIONS,
        "clear_means": {
            "diameter_px": CLEAR_DIAMETER,
            "share": CLEAR_SHARE,
            "contrast": CLEAR_CONTRAST,
            "dark": CLEAR_DARK,
        },
        "temperature": round(classifier.temperature, 4),
        "limit": round(limit, 4),
        "clear": scores(true[clear], after[clear], limit),
        "all": scores(true, after, limit),
        "found_by_nuclei": on_found_nuclei(pictures, classifier),
        "confusion": confusion_matrix(true, after.argmax(axis=1)).tolist(),
        "confusion_clear": confusion_matrix(true[clear], after[clear].argmax(axis=1)).tolist(),
        "calibration_error_before": _round(expected_calibration_error(correct, before.max(axis=1))),
        "calibration_error": _round(expected_calibration_error(correct, after.max(axis=1))),
        "reliability": reliability(correct, after.max(axis=1)).round(4).to_dict("records"),
        "by_diameter_px": by_bins(data.about["diameter_px"], SIZES, true, after, limit),
        "by_share": by_bins(data.about["share"], SHARES, true, after, limit),
        "mixed": {
            "nuclei": len(mixed),
            "condensed": _round((called[~unsure, 1] >= 0.5).sum() / len(mixed)),
            "interphase": _round((called[~unsure, 1] < 0.5).sum() / len(mixed)),
            UNSURE: _round(unsure.mean()),
        },
    }
    draw_figure(found, correct, before, after, true)
    return found


def draw_figure(
    found: dict, correct: np.ndarray, before: np.ndarray, after: np.ndarray, true: np.ndarray
) -> None:
    """Reliability, the confusion matrix, and balanced accuracy by size and by cut."""
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.3), layout="constrained")
    look = {"color": "#D55E00", "linestyle": "--", "marker": "s"}
    plot_reliability(correct, before.max(axis=1), axes[0], name="before", **look)
    plot_reliability(correct, after.max(axis=1), axes[0], name="calibrated")
    axes[0].set_title("Reliability")
    plot_confusion(true, after.argmax(axis=1), axes[1])
    axes[1].set_title("All test nuclei")
    for ax, key, label in (
        (axes[2], "by_diameter_px", "diameter (px)"),
        (axes[3], "by_share", "cut over whole diameter"),
    ):
        rows = found[key]
        names = [
            f"{row['from']:g}+" if row["to"] is None else f"{row['from']:g} to {row['to']:g}"
            for row in rows
        ]
        places = np.arange(len(rows))
        ax.plot(places, [r["balanced_accuracy"] for r in rows], "o-", color="#0072B2", label="all")
        sure = [r["balanced_accuracy_sure"] for r in rows]
        ax.plot(places, sure, "s--", color="#D55E00", label="not unsure")
        ax.set_xticks(places, names, rotation=20)
        ax.set(xlabel=label, ylabel="balanced accuracy", ylim=(0.5, 1.01))
        ax.legend(loc="lower right")
    png = BytesIO()
    figure.savefig(png, format="png", dpi=100)
    FIGURE.write_bytes(smaller_png(png.getvalue()))


# --- what was chosen by validation ---------------------------------------------------------------


def drawn(name: str, first: int, count: int, sections: int, context: float) -> NucleusCropDataset:
    """Nuclei to compare with, kept in the user's cache folder."""
    kept = Path(pooch.os_cache("devotools")) / "states" / f"{name}_{count}_{sections}_{context}.npz"
    if not kept.exists():
        data = maker.draw(first, count, sections=sections, context=context)
        kept.parent.mkdir(parents=True, exist_ok=True)
        columns = {f"about_{key}": data.about[key].to_numpy() for key in data.about}
        columns |= {k: v.astype(str) for k, v in columns.items() if v.dtype == object}
        np.savez(kept, crops=np.uint8(np.round(data.crops * 255)), **columns)
    with np.load(kept) as file:
        about = {k.removeprefix("about_"): file[k] for k in file.files if k != "crops"}
        return NucleusCropDataset.from_crops(file["crops"] / np.float32(255), pd.DataFrame(about))


def compare(seeds: int) -> dict:
    """Train each variant, and score it on validation embryos.

    Each is written down when it is done, and one that is there already is not repeated, so a
    command that was cut off goes on. To begin anew, remove the file.
    """
    path = RESULTS / "states_choice.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"variants": []}
    known = {(one["parts"], one["context"], one["seed"]) for one in found["variants"]}
    for parts, context in COMPARED:
        for seed in range(seeds):
            if (parts, context, seed) in known:
                continue
            data = drawn("train", maker.TRAIN_FROM, COMPARE_EMBRYOS, maker.SECTIONS, context)
            choose = drawn("val", maker.VALIDATION_FROM, COMPARE_VALIDATION, SECTIONS, context)
            words = ["--parts", parts, "--context", str(context), "--seed", str(seed)]
            words += ["--epochs", str(COMPARE_EPOCHS), "--learning-rate", str(RATES[parts])]
            model, _ = maker.train(data, choose, maker.parse_arguments(words))
            probability = to_probability(predict_logits(model, choose.crops))
            clear = is_clear(choose.about)
            found["variants"].append(
                {"parts": parts, "context": context, "seed": seed}
                | scores(choose.classes, probability, 0.5)
                | {"clear": scores(choose.classes[clear], probability[clear], 0.5)}
            )
            found |= {"training_nuclei": len(data), "epochs": COMPARE_EPOCHS}
            found["command"] = f"python benchmarks/states.py --compare --seeds {seeds}"
            store("states_choice", found)
    return found


def store(name: str, found: dict) -> None:
    """Write a result down."""
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _round(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


def main() -> None:
    """Measure, and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--compare", action="store_true", help="train the variants and compare them"
    )
    parser.add_argument("--seeds", type=int, default=1, help="of each variant")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    name = "states_choice" if arguments.compare else "states"
    found = compare(arguments.seeds) if arguments.compare else measure(arguments.workers)
    store(name, found)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
