"""Is the model's output less noisy than the mask it was trained on? The claim of 2020, measured.

    python benchmarks/label_noise.py --look clear --out devotools/data/label_noise_clear.json
    python benchmarks/label_noise.py --look full --out devotools/data/label_noise_full.json

For each seed a network is trained on drawn sections with *noisy* masks (brushed, distorted, saved
as JPEG, every value above zero taken: `devotools.add_label_noise`). Then prediction and noisy mask
are both compared with the clean truth, on the very sections that it was trained on and on sections
of other embryos. Two questions are kept apart: how good is everything together (IoU of the whole
picture, F1), and how good is the *outline* of those nuclei that both have found (IoU of each).

The *clear* look has large bright nuclei and no clutter, no hard negatives, no degradation and no
pale type, so that a network learns it well in minutes; with the *full* look the same steps leave
it half taught.
"""

import argparse
import json
import platform
import sys
from pathlib import Path

import numpy as np
import torch

import devotools as dt
from devotools.datasets import to_tensors
from devotools.images import stretch_contrast
from devotools.synthetic import add_label_noise, draw_section

SIZE = 256
CROP = 192
FIRST_TRAIN, FIRST_TEST = (
    3_000_000_000,
    3_500_000_000,
)  # numbers of drawings; the weights use others


LOOKS = {
    "full": dt.Appearance(),
    "clear": dt.Appearance(
        pale_probability=0, dim_nuclei=0, zoom=1, nuclei_contrast=(0.8, 1.1)
    ).without("clutter", "hard_negatives", "degradation"),
}


class NoisySections(torch.utils.data.Dataset):
    """Drawn sections with noisy masks; the clean labels are kept beside, for judging only."""

    def __init__(self, first: int, count: int, arguments: argparse.Namespace, transform=None):
        strength, look = arguments.strength, LOOKS[arguments.look]
        drawn = [draw_section(first + number, SIZE, look) for number in range(count)]
        self.images = [image for image, _ in drawn]
        self.labels = [labels for _, labels in drawn]
        self.noisy = [
            add_label_noise(labels > 0, seed=first + number, strength=strength)
            for number, labels in enumerate(self.labels)
        ]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = stretch_contrast(self.images[index])
        return to_tensors(image, self.noisy[index], self.transform)


def train_on_noise(arguments: argparse.Namespace, seed: int) -> tuple:
    """Train one network on noisy masks, validated on noisy masks too, as in real life."""
    start = seed * 100_000
    train_set = NoisySections(FIRST_TRAIN + start, arguments.sections, arguments)
    train_set.transform = dt.train_transform(CROP, seed)
    val_set = NoisySections(FIRST_TRAIN + start + 50_000, 24, arguments)
    val_set.transform = dt.eval_transform(SIZE)
    dt.seed_everything(seed)
    model = dt.ResNet18FPN()
    loader = dt.make_loader(train_set, 8, shuffle=True, seed=seed)
    epochs = max(1, round(arguments.steps / len(loader)))
    dt.fit(
        model,
        loader,
        dt.make_loader(val_set, 8, shuffle=False),
        dt.TrainConfig(epochs=epochs, averaging=0.99, device=arguments.device),
    )
    model.working_side = SIZE
    return model, train_set


def judge(model: dt.ResNet18FPN, sections: NoisySections) -> dict[str, float]:
    """Noisy mask and prediction against the clean truth; means over sections and nuclei."""
    scores = {"mask_iou": [], "model_iou": [], "mask_outline": [], "model_outline": []}
    found = {"mask": dt.Matches(0, 0, 0), "model": dt.Matches(0, 0, 0)}
    probabilities = dt.predict_probabilities(model, sections.images)
    for clean, noisy, probability in zip(
        sections.labels, sections.noisy, probabilities, strict=True
    ):
        guesses = {"mask": dt.label_nuclei(noisy.astype(float)), "model": None}
        guesses["model"] = dt.label_nuclei(probability)
        pairs = {}
        for name, guess in guesses.items():
            scores[f"{name}_iou"].append(dt.iou_score(clean > 0, guess > 0))
            found[name] += dt.match_instances(clean, guess)
            # any overlap will do here: a bad outline must not drop out of the comparison
            loose = dt.match_instances(clean, guess, iou_threshold=0.1)
            pairs[name] = {true: iou for true, _, iou in loose.pairs}
        for nucleus in pairs["mask"].keys() & pairs["model"].keys():
            scores["mask_outline"].append(pairs["mask"][nucleus])
            scores["model_outline"].append(pairs["model"][nucleus])
    result = {name: float(np.mean(values)) for name, values in scores.items()}
    better = np.array(scores["model_outline"]) > np.array(scores["mask_outline"])
    result |= {"outline_better_share": float(better.mean()), "nuclei_compared": len(better)}
    return result | {f"{name}_f1": matches.f1 for name, matches in found.items()}


def spread(rows: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation over seeds of every figure, and of the two differences."""
    for row in rows:
        row["iou_gain"] = row["model_iou"] - row["mask_iou"]
        row["outline_gain"] = row["model_outline"] - row["mask_outline"]
    deviation = min(1, len(rows) - 1)
    return {
        name: {
            "mean": round(float(np.mean([row[name] for row in rows])), 4),
            "sd": round(float(np.std([row[name] for row in rows], ddof=deviation)), 4),
        }
        for name in rows[0]
    }


def main() -> None:
    """Train a network for each seed; write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sections", type=int, default=400, help="drawn sections to learn from")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--strength", type=float, default=1.0, help="of the label noise")
    parser.add_argument("--look", choices=list(LOOKS), default="clear")
    parser.add_argument("--device", default=None)
    parser.add_argument("--out", type=Path, default=Path("devotools/data/label_noise_clear.json"))
    arguments = parser.parse_args()
    test_set = NoisySections(FIRST_TEST, 100, arguments)
    seen, unseen = [], []
    for seed in range(arguments.seeds):
        model, train_set = train_on_noise(arguments, seed)
        seen.append(judge(model, train_set))
        unseen.append(judge(model, test_set))
        print(f"seed {seed}: {json.dumps(unseen[-1])}", flush=True)
    result = {
        "command": " ".join(["python", "benchmarks/label_noise.py", *sys.argv[1:]]),
        "settings": {"sections": arguments.sections, "steps": arguments.steps}
        | {"strength": arguments.strength, "seeds": arguments.seeds, "look": arguments.look},
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "sections it was trained on": spread(seen),
        "sections of other embryos": spread(unseen),
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
