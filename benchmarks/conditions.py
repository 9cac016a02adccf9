"""The shipped model under other conditions: turned, in a wider frame, resized, noisy, blurred.

    python benchmarks/conditions.py
    python benchmarks/conditions.py --frames --embryos 25 --seed 2000011

Labelled sections are changed in one way at a time, picture and truth alike. Truth are the nuclei
that `devotools evaluate` looks for, in IoU as well (there it is the whole mask). By default they
are drawn (two sections of each of 50 embryos, of the same embryos as the test set of the model
card) and the scores are stored in benchmarks/results; `--data DIR` takes a labelled folder of
yours, `--model FILE` weights of yours, and only `--out` stores their scores. `--frames` compares,
in frames of several widths, from which size of nucleus on a picture is looked at again (`SMALL` in
devotools/working_scale.py).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.transform import resize as skimage_resize
from tqdm import tqdm

import devotools as dt
from devotools import working_scale
from devotools.evaluation import truth
from devotools.predict import predict_scaled

RESULTS = Path(__file__).resolve().parent / "results"
Section = tuple[np.ndarray, np.ndarray]  # picture (H, W) float32 in [0, 1], true nuclei (H, W)
FRAMES = (1.0, 1.25, 1.5, 2.0, 3.0)
SMALL = (0.0, 0.6, 0.75, 0.9)


def turned(image: np.ndarray, labels: np.ndarray, *, quarters: int, mirrored: bool) -> Section:
    """One of the eight ways to lay a picture down."""
    if mirrored:
        image, labels = image[:, ::-1], labels[:, ::-1]
    return np.rot90(image, quarters), np.rot90(labels, quarters)


def framed(image: np.ndarray, labels: np.ndarray, *, times: float) -> Section:
    """The picture in the middle of a frame so many times as wide, of bare resin with some noise."""
    if times == 1:
        return image, labels
    border = [(round(side * (times - 1) / 2),) * 2 for side in image.shape]
    inside = np.pad(np.ones(image.shape, bool), border)
    noise = np.random.default_rng(0).normal(np.percentile(image, 90), 0.02, inside.shape)
    wide = np.where(inside, np.pad(image, border), noise)
    return wide, np.pad(labels, border)


def resized(image: np.ndarray, labels: np.ndarray, *, times: float) -> Section:
    """The picture with so many times as many pixels a side."""
    size = tuple(round(side * times) for side in image.shape)
    picture = skimage_resize(image, size, order=1, anti_aliasing=times < 1)
    nearest = partial(skimage_resize, order=0, anti_aliasing=False, preserve_range=True)
    return picture, nearest(labels, size).astype(labels.dtype)


def noisy(image: np.ndarray, labels: np.ndarray, *, sigma: float) -> Section:
    """Gaussian noise of so much of the range from black to white."""
    return image + np.random.default_rng(0).normal(0, sigma, image.shape), labels


def blurred(image: np.ndarray, labels: np.ndarray, *, share: float) -> Section:
    """Gaussian blur; sigma is so much of the picture's longest side."""
    return ndimage.gaussian_filter(image, share * max(image.shape)), labels


def compressed(image: np.ndarray, labels: np.ndarray, *, quality: int) -> Section:
    """Saved as JPEG and read again."""
    file = BytesIO()
    Image.fromarray(np.uint8(np.round(image * 255))).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file), np.float32) / 255, labels


def bent(image: np.ndarray, labels: np.ndarray, *, gamma: float) -> Section:
    """Other gamma: below 1 brighter, above 1 darker."""
    return image**gamma, labels


def shaded(image: np.ndarray, labels: np.ndarray, *, darkest: float) -> Section:
    """Light that falls off from right to left."""
    return image * np.linspace(darkest, 1, image.shape[1]), labels


def inverted(image: np.ndarray, labels: np.ndarray) -> Section:
    """Dark for bright: a negative, or another technique."""
    return 1 - image, labels


Condition = Callable[[np.ndarray, np.ndarray], Section]


def conditions() -> dict[str, list[Condition]]:
    """What is done to the sections; where there are several, all of them are scored together."""
    eight = [(quarters, mirrored) for mirrored in (False, True) for quarters in range(4)]
    return {
        "as they are": [partial(turned, quarters=0, mirrored=False)],
        "turned, all eight ways": [partial(turned, quarters=q, mirrored=m) for q, m in eight],
        **{f"frame {n:g} times as wide": [partial(framed, times=n)] for n in FRAMES[1:]},
        **{f"{n:g} times the pixels a side": [partial(resized, times=n)] for n in (0.5, 0.75, 2)},
        **{f"noise, sigma {n:.0%} of the range": [partial(noisy, sigma=n)] for n in (0.03, 0.1)},
        **{f"blur, sigma {n:.1%} of the side": [partial(blurred, share=n)] for n in (0.004, 0.01)},
        **{f"JPEG of quality {n}": [partial(compressed, quality=n)] for n in (60, 15)},
        **{f"gamma {n:g}": [partial(bent, gamma=n)] for n in (0.5, 2)},
        "shaded to 60 % on one side": [partial(shaded, darkest=0.6)],
        "inverted": [inverted],
    }


def score(model: dt.ResNet18FPN, sections: Iterable[Section]) -> dict[str, float]:
    """IoU (mean over pictures), F1 (all nuclei), and how many were looked at again."""
    overlaps, matches, again = [], dt.Matches(0, 0, 0), 0
    for image, labels in sections:
        picture = np.ascontiguousarray(np.clip(image, 0, 1), np.float32)
        ((probability, factor),) = predict_scaled(model, [picture])
        found = dt.label_nuclei(probability)
        overlaps.append(dt.iou_score(labels > 0, found > 0))
        matches += dt.match_instances(np.ascontiguousarray(labels), found)
        again += abs(factor * max(picture.shape) / model.working_side - 1) > 0.01
    scores = {"pictures": len(overlaps), "iou": float(np.mean(overlaps)), "f1": matches.f1}
    return {**scores, "precision": matches.precision, "recall": matches.recall, "rescaled": again}


def read(folder: Path) -> list[Section]:
    """The labelled sections of a folder."""
    pairs = dt.read_dataset(folder)
    return [(dt.read_image(pair.image), truth(pair)[1]) for pair in pairs]


def drawn(embryos: int, seed: int) -> list[Section]:
    """Two sections of each embryo, as `devotools synthesize` draws them."""
    with tempfile.TemporaryDirectory() as scratch:
        words = [sys.executable, "-m", "devotools", "synthesize", "--out", f"{scratch}/drawn"]
        options = ["--embryos", str(embryos), "--sections", "2", "--seed", str(seed)]
        subprocess.run([*words, *options], check=True, stdout=subprocess.DEVNULL)
        return read(Path(scratch) / "drawn")


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--data", type=Path, help="labelled sections of yours, not drawn ones")
    parser.add_argument("--embryos", type=int, default=50)
    parser.add_argument("--seed", type=int, default=2_000_003)
    parser.add_argument("--frames", action="store_true", help="compare SMALL in wider frames")
    parser.add_argument("--out", type=Path, help="where to store the scores, JSON")
    arguments = parser.parse_args()
    if arguments.out is None and not arguments.data and arguments.model == "nuclei":
        arguments.out = RESULTS / ("frames.json" if arguments.frames else "conditions.json")
    model = dt.load_model(arguments.model)
    taken = read(arguments.data) if arguments.data else drawn(arguments.embryos, arguments.seed)
    named = {str(arguments.data): "DIR"}
    if arguments.out is not None:
        named[str(arguments.out)] = f"benchmarks/results/{arguments.out.name}"
    words = [named.get(str(Path(word)), word) for word in sys.argv[1:]]  # no path of one machine
    rows = []
    if arguments.frames:
        tasks = [
            (f"frame {n:g} times as wide", [partial(framed, times=n)], s)
            for s in SMALL
            for n in FRAMES[:4]
        ]
    else:
        tasks = [(name, done, working_scale.SMALL) for name, done in conditions().items()]
    for name, changes, small in tqdm(tasks, unit="condition"):
        working_scale.SMALL = small
        scores = score(model, (change(*one) for change in changes for one in taken))
        rows.append({"condition": name, "small": small, **scores})
        tqdm.write(f"{name:32} {small:4} IoU {scores['iou']:.3f} F1 {scores['f1']:.3f}")
    result = {"command": " ".join(["python benchmarks/conditions.py", *words]), "rows": rows}
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
