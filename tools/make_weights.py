"""Train the shipped model ``nuclei`` from drawn embryos only: ``make weights``.

Nothing here has seen a real micrograph. Sections numbered from 0 teach: first crops of them, at
many magnifications, then whole sections, as they are met in use. Sections of other embryos,
numbered from a billion, choose the best weights and the working resolution. What is done is kept
in the user's cache folder every five minutes, and a second call goes on from there. The result is
``devotools/weights/nuclei.safetensors`` in half precision, with its figures in the metadata, and
beside it ``SHA256SUMS``, which ``load_model`` holds it to. Weights that were trained elsewhere
(``--out``) are put in place, with their sum, by ``python tools/make_weights.py --place FILE``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pooch
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from skimage.measure import regionprops
from torch import Tensor, nn
from tqdm import tqdm

from devotools import ResNet18FPN, save_model, seed_everything, segmentation_loss, train_transform
from devotools._validate import InputError
from devotools.augment import eval_transform
from devotools.datasets import to_tensors
from devotools.images import replace_file, stretch_contrast
from devotools.metrics import Matches, iou_score, match_instances
from devotools.model import SUMS, load_model
from devotools.predict import label_nuclei, predict_probabilities
from devotools.runtime import choose_device, has_fast_bfloat16
from devotools.synthetic import Appearance, draw_section
from devotools.train import autocast, running_average, validate

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "devotools" / "weights" / "nuclei.safetensors"
SIZE = 256  # side of a drawing, and of a training crop
BATCH = 8
VALIDATION_FROM = 1_000_000_000  # sections numbered from here are never trained on
STEPS, CROPS = 4_800, 3_100  # in all, and from crops
LOOKS = 10  # validations, of which the best is kept
SIDES = (256, 320, 384, 448, 512)  # working resolutions to choose from
WHOLE = (0.875, 0.9375, 1.0, 1.0, 1.0625, 1.125)  # longest side of a whole section, times --side
# nuclei that an eye has to look for, and torn holes as bright as nuclei
FAINT = Appearance(visibility=(0.4, 0.9), holes=(0.0, 2.0))
CHECKPOINT_SECONDS = 300
# What the weights follow from.
SETTINGS = tuple(
    "steps crops side pool faint frayed first validation "
    "learning_rate muon averaging smooth seed start".split()
)
ORIGIN = ("command", "commit", "minutes", "start")  # what weights tell of those they began with


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line, or the words given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps in all")
    parser.add_argument(
        "--crops",
        type=int,
        default=CROPS,
        help="so many of them learn from 8 crops each, the others from 4 whole sections",
    )
    parser.add_argument(
        "--side", type=int, default=448, help="longest side of whole sections, pixels"
    )
    parser.add_argument("--pool", type=int, default=24_000, help="drawn sections to learn from")
    parser.add_argument(
        "--faint",
        type=float,
        default=0.67,
        help="share of them drawn as FAINT: fainter nuclei, torn holes",
    )
    parser.add_argument(
        "--frayed",
        type=float,
        default=0.0,
        help="in the faint ones (see --faint), up to this share of a nucleus' radius breaks up "
        "at the rim",
    )
    parser.add_argument("--first", type=int, default=0, help="number of the first of them")
    parser.add_argument("--validation", type=int, default=320, help="drawn sections to choose by")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="of AdamW")
    parser.add_argument(
        "--muon",
        type=float,
        default=0.02,
        help="learning rate of Muon, which trains the convolutions; 0: AdamW trains them too, "
        "as it does on a machine without quick bfloat16, in which Muon works",
    )
    parser.add_argument("--averaging", type=float, default=0.998)
    parser.add_argument(
        "--smooth", type=float, default=50.0, help="smooth of soft Dice (devotools.losses), pixels"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--start",
        metavar="MODEL",
        help='begin with these weights ("nuclei": the shipped ones), not with random ones',
    )
    parser.add_argument("--device", default=None)
    parser.add_argument(
        "--place",
        type=Path,
        metavar="FILE",
        help="train nothing: put weights trained elsewhere in place",
    )
    parser.add_argument("--fresh", action="store_true", help="forget an earlier, unfinished run")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    return parser.parse_args(words)


def suited(arguments: argparse.Namespace) -> argparse.Namespace:
    """The arguments, without Muon where its products would take longer than all the rest."""
    quick = has_fast_bfloat16(choose_device(arguments.device))
    known = hasattr(torch.optim, "Muon")
    if arguments.muon and not (quick and known):
        lacking = "Muon in this torch (2.9 has it)" if quick else "quick bfloat16 for Muon"
        print(f"there is no {lacking}: AdamW trains everything (--muon 0)")
        arguments.muon = 0.0
    return arguments


# --- drawings ----------------------------------------------------------------------------------


def faint_looks(frayed: float) -> Appearance:
    """``FAINT``, with rims that break up; raises InputError for a share that is none."""
    return replace(FAINT, frayed=(0.0, frayed))


def draw_one(number: int, faint: float = 0.0, frayed: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Drawn section ``number``: image (H, W) uint8, as a PNG would hold it, and labels uint8.

    A share of ``faint`` of all numbers, evenly spread, is drawn as ``FAINT``, with rims of nuclei
    ``frayed`` up to this share of their radius.
    """
    is_faint = int((number + 1) * faint) > int(number * faint)
    image, labels = draw_section(number, SIZE, faint_looks(frayed) if is_faint else None)
    return np.round(image * 255).astype(np.uint8), labels.astype(np.uint8)


def draw_many(
    first: int, count: int, workers: int, faint: float = 0.0, frayed: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Sections ``first`` to ``first + count - 1``: images and labels, (count, H, W) uint8."""
    images = np.empty((count, SIZE, SIZE), np.uint8)
    labels = np.empty_like(images)
    with ProcessPoolExecutor(workers) as pool:
        draw = partial(draw_one, faint=faint, frayed=frayed)
        drawn = pool.map(draw, range(first, first + count), chunksize=32)
        for i, both in enumerate(tqdm(drawn, total=count, desc="drawing", unit="section")):
            images[i], labels[i] = both
    return images, labels


class Drawings:
    """A pool of drawn sections from which any batch can be made again from its number alone.

    The first ``crops`` batches, or all, hold crops at many magnifications; those after them whole
    sections whose longest side has about ``side`` pixels.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        seed: int,
        crops: int | None = None,
        side: int | None = None,
    ):
        self.images, self.labels, self.seed, self.crops = images, labels, seed, crops
        self.transform = train_transform(SIZE, seed)
        self.whole_transform = None if side is None else train_transform(side, seed, zoom=WHOLE)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Training batch ``step``: images and masks, (N, 1, side, side) float32."""
        rng = np.random.default_rng([self.seed, step])
        if self.crops is None or step < self.crops:
            transform, count = self.transform, BATCH
        else:
            transform, count = self.whole_transform, BATCH // 2  # about as many pixels
        transform.set_random_seed(int(rng.integers(2**31)))
        chosen = rng.integers(len(self.images), size=count)
        items = [self._item(i, transform) for i in chosen]
        return torch.stack([image for image, _ in items]), torch.stack([mask for _, mask in items])

    def _item(self, index: int, transform) -> tuple[Tensor, Tensor]:
        image = stretch_contrast(self.images[index] / np.float32(255))
        return to_tensors(image, self.labels[index] > 0, transform)

    def batches(self, first: int, end: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Training batches ``first`` to ``end - 1``, the next made while one is learned from."""
        with ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(self.batch, first)
            for step in range(first, end):
                ready, coming = coming, ahead.submit(self.batch, step + 1)
                yield ready.result()

    def whole(self, side: int) -> list[tuple[Tensor, Tensor]]:
        """Every section whole, its longest side ``side``, in batches: for validation."""
        transform = eval_transform(side)
        items = [self._item(i, transform) for i in range(len(self.images))]
        groups = [items[i : i + BATCH] for i in range(0, len(items), BATCH)]
        return [tuple(torch.stack(part) for part in zip(*group, strict=True)) for group in groups]


# --- training, in pieces that survive an interruption --------------------------------------------


class Optimizer:
    """Muon for the convolutions, AdamW for the rest: the first and the last layer, batch norm.

    The weights of a convolution are a matrix, one row an output channel. AdamW scales each of its
    numbers by itself; Muon makes a step of about equal length in every direction of the matrix, so
    that a few strong directions do not drown the others (Jordan et al. 2024, "Muon: An optimizer
    for hidden layers in neural networks"). Here it learns in half the time what AdamW alone does
    (benchmarks/README.md), though its steps cost more.
    """

    def __init__(self, model: nn.Module, learning_rate: float, muon: float):
        self.convolutions: list[tuple[nn.Parameter, nn.Parameter]] = []  # and each as a matrix
        others = []
        for weight in model.parameters():
            if muon and weight.ndim == 4 and min(weight.shape[:2]) >= 16:
                matrix = self._as_matrix(weight.data)
                if matrix.untyped_storage().data_ptr() != weight.untyped_storage().data_ptr():
                    raise RuntimeError("expected a model in torch.channels_last")
                self.convolutions.append((weight, nn.Parameter(matrix)))
            else:
                others.append(weight)
        self.parts = [(torch.optim.AdamW(others, weight_decay=1e-2), learning_rate)]
        if self.convolutions:
            matrices = [matrix for _, matrix in self.convolutions]
            self.parts.append((torch.optim.Muon(matrices, weight_decay=1e-2, ns_steps=3), muon))

    @staticmethod
    def _as_matrix(weight: Tensor) -> Tensor:
        """(out, in, h, w) as (out, h * w * in): the same memory, for it is channels-last."""
        return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)

    def step(self, share: float) -> None:
        """Go ``share`` of the longest step down the gradients of the model."""
        for weight, matrix in self.convolutions:
            matrix.grad = self._as_matrix(weight.grad)
        for optimizer, peak in self.parts:
            for group in optimizer.param_groups:
                group["lr"] = share * peak
            optimizer.step()

    def tensors(self) -> dict[str, Tensor]:
        """What it remembers, by part, number of the parameter, and name."""
        return {
            f"{part}.{number}.{name}": value
            for part, (optimizer, _) in enumerate(self.parts)
            for number, state in optimizer.state_dict()["state"].items()
            for name, value in state.items()
        }

    def load_tensors(self, flat: dict[str, Tensor]) -> None:
        """Remember it again."""
        states = [optimizer.state_dict() for optimizer, _ in self.parts]
        for key, value in flat.items():
            part, number, name = key.split(".")
            states[int(part)]["state"].setdefault(int(number), {})[name] = value
        for (optimizer, _), state in zip(self.parts, states, strict=True):
            optimizer.load_state_dict(state)


class Training:
    """Model, running average, optimiser and step count; saved as tensors and JSON, no pickle."""

    def __init__(self, arguments: argparse.Namespace, build=ResNet18FPN, loss=None):
        seed_everything(arguments.seed)
        self.loss = loss or partial(segmentation_loss, smooth=arguments.smooth)
        self.steps, self.step, self.minutes = arguments.steps, 0, 0.0
        self.best_iou, self.history, self.commit = -1.0, [], commit()
        self.device = choose_device(arguments.device)
        model = build()
        self.start, self.side = None, arguments.side
        if arguments.start is not None:
            begun = load_model(arguments.start)
            model.load_state_dict(begun.state_dict())
            self.start = {key: begun.metadata.get(key) for key in ORIGIN}
        self.model = model.to(self.device, memory_format=torch.channels_last).train()
        self.averaged = running_average(self.model, arguments.averaging)
        self.best = clone(self.averaged.module)
        self.optimizer = Optimizer(self.model, arguments.learning_rate, arguments.muon)
        self.settings = {key: getattr(arguments, key) for key in SETTINGS}

    def learn(self, images: Tensor, masks: Tensor) -> float:
        """One step of the optimiser; returns the loss."""
        images = images.to(self.device, memory_format=torch.channels_last)
        with autocast(self.device, None):
            logits = self.model(images)
        loss = self.loss(logits.float(), masks.to(self.device))
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step(one_cycle(self.step / self.steps))
        self.averaged.update_parameters(self.model)
        self.step += 1
        return loss.item()

    def save(self, path: Path) -> None:
        """Write everything that is needed to go on."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"averaged.{k}": v for k, v in self.averaged.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        tensors |= {f"optimizer.{k}": v for k, v in self.optimizer.tensors().items()}
        keys = ("step", "minutes", "best_iou", "history", "commit", "settings")
        card = {key: getattr(self, key) for key in keys}
        tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        with replace_file(path) as temporary:
            save_file(tensors, temporary, {"training": json.dumps(card)})

    def resume(self, path: Path) -> bool:
        """Go on from ``path``, if it is there; raises InputError where its settings are others."""
        if not path.exists():
            return False
        with safe_open(path, framework="pt") as file:
            card = json.loads(file.metadata()["training"])
            if card["settings"] != self.settings:
                known = card["settings"].keys() == self.settings.keys()
                how = (
                    f"that of {command(card['settings'])!r}; expected one of these settings. Give "
                    "that command to end it,"
                    if known
                    else "by an earlier version of this script; expected one of this version. "
                    f"Check out {card['commit']} to end it,"
                )
                raise InputError(
                    f"{str(path)!r} holds step {card['step']} of another training, {how} or add "
                    "--fresh to forget it."
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        parts = {name: {} for name in ("model", "averaged", "best", "optimizer")}
        for name, value in tensors.items():
            part, _, key = name.partition(".")
            parts[part][key] = value
        self.model.load_state_dict(parts["model"])
        self.averaged.load_state_dict(parts["averaged"])
        self.best = parts["best"]
        self.optimizer.load_tensors(parts["optimizer"])
        for key in ("step", "minutes", "best_iou", "history", "commit"):
            setattr(self, key, card[key])
        return True


def one_cycle(done: float) -> float:
    """Share of the highest learning rate when ``done`` of all steps is behind, both in [0, 1].

    Up for 10 %, then down a cosine.
    """
    if done < 0.1:
        return 0.04 + 0.96 * done / 0.1
    return max(1e-3, 0.5 + 0.5 * np.cos(np.pi * (done - 0.1) / 0.9))


def clone(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the weights."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def train(training: Training, drawings: Drawings, validation: Drawings, checkpoint: Path) -> None:
    """Train to the end, validating ``LOOKS`` times, saving every five minutes."""
    every = max(1, training.steps // LOOKS)
    batches = validation.whole(training.side)
    saved = started = time.monotonic()
    before, losses = training.minutes, []
    with tqdm(total=training.steps, initial=training.step, desc="training", unit="step") as bar:
        for images, masks in drawings.batches(training.step, training.steps):
            losses.append(training.learn(images, masks))
            bar.update()
            training.minutes = before + (time.monotonic() - started) / 60
            if training.step % every == 0 or training.step == training.steps:
                judged = training.averaged.module
                _, iou, _ = validate(judged, batches, training.device, bfloat16=None)
                training.history.append([training.step, float(np.mean(losses)), iou])
                bar.set_postfix_str(f"loss {np.mean(losses):.3f}, validation IoU {iou:.4f}")
                bar.write(f"step {training.step}: loss {np.mean(losses):.4f}, IoU {iou:.4f}")
                losses = []
                if iou > training.best_iou:
                    training.best_iou, training.best = iou, clone(judged)
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                training.save(checkpoint)
                saved = time.monotonic()
    training.save(checkpoint)


# --- the figures that go with the weights --------------------------------------------------------


def score(model: ResNet18FPN, drawings: Drawings) -> tuple[float, float]:
    """Mean IoU and pooled object F1 through predict_probability, at the model's working side."""
    images = (image / np.float32(255) for image in drawings.images)
    total, ious = Matches(0, 0, 0), []
    for probability, labels in zip(
        predict_probabilities(model, images), drawings.labels, strict=True
    ):
        predicted = label_nuclei(probability)
        ious.append(iou_score(labels > 0, predicted > 0))
        total += match_instances(labels, predicted)
    return float(np.mean(ious)), total.f1


def choose_side(model: ResNet18FPN, validation: Drawings) -> dict[int, tuple[float, float]]:
    """Set the working resolution that does best on drawn validation sections."""
    scores = {}
    for side in SIDES:
        model.working_side = side
        scores[side] = score(model, validation)
    model.working_side = max(scores, key=lambda side: sum(scores[side]))
    return scores


def usual_nucleus(labels: np.ndarray, working_side: int) -> float:
    """Median diameter of a nucleus at working resolution, in pixels."""
    diameters = [r.equivalent_diameter_area for one in labels for r in regionprops(one)]
    return round(float(np.median(diameters)) * working_side / SIZE, 1)


def command(settings: dict[str, float]) -> str:
    """Return the command that makes these weights again: only what differs from the defaults."""
    usual = vars(parse_arguments([]))
    options = [
        f"--{key.replace('_', '-')} {value}"
        for key, value in settings.items()
        if value != usual.get(key)
    ]
    return " ".join(["python tools/make_weights.py", *options])


def commit() -> str:
    """Return the commit that the drawings and the training come from."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()


def to_half(model: ResNet18FPN) -> None:
    """Round the weights to half precision, each tensor whose range allows it; the rest stays."""
    for tensor in chain(model.parameters(), model.buffers()):
        if tensor.is_floating_point() and torch.isfinite(tensor.half()).all():
            tensor.data = tensor.data.half()


def publish(path: Path) -> None:
    """Write the SHA-256 of the weights beside them, where load_model looks it up.

    The sums of other files stay.
    """
    digest, sums = hashlib.sha256(path.read_bytes()).hexdigest(), path.with_name(SUMS)
    known = sums.read_text(encoding="utf-8").splitlines() if sums.exists() else []
    others = [line for line in known if line.partition("  ")[2] != path.name]
    with replace_file(sums) as temporary:
        text = "".join(f"{line}\n" for line in sorted([*others, f"{digest}  {path.name}"]))
        temporary.write_text(text, encoding="utf-8")


def place(source: Path, out: Path) -> None:
    """Put weights that another machine trained in the shipped ones' place, with their sum."""
    load_model(source)  # refuses what is no whole model
    if source.resolve() != out.resolve():
        with replace_file(out) as temporary:
            shutil.copyfile(source, temporary)
    publish(out)


def finish(training: Training, validation: Drawings, out: Path) -> None:
    """Choose the working resolution, score what will be shipped, and save it.

    Raises RuntimeError, and saves nothing, when the rounded weights do not do what the trained
    ones did.
    """
    model = ResNet18FPN().to(memory_format=torch.channels_last)
    model.load_state_dict(training.best)
    to_half(model)
    model.float()  # what is chosen and scored here is what load_model will give
    sides = choose_side(model, validation)
    model.working_nucleus = usual_nucleus(validation.labels, model.working_side)
    iou, f1 = sides[model.working_side]
    if iou < training.best_iou - 0.05:
        raise RuntimeError(f"rounded weights score {iou:.3f}, trained ones {training.best_iou:.3f}")
    card = {
        "command": command(training.settings),
        "commit": training.commit,
        "data": "drawn embryos only (devotools.synthetic), no real micrograph",
        "settings": training.settings,
        "start": training.start,
        "minutes": round(training.minutes, 1),
        "device": str(training.device),
        "torch": torch.__version__,
        "history": training.history,
        "validation": {
            "sections": len(validation.images),
            "iou": round(iou, 4),
            "f1": round(f1, 4),
        },
        "working_sides": {side: [round(v, 4) for v in both] for side, both in sides.items()},
    }
    to_half(model)
    save_model(out, model, card)
    if out.resolve() == WEIGHTS.resolve():
        publish(out)
    print(json.dumps(card["working_sides"]))
    print(f"validation IoU {iou:.4f}, F1 {f1:.4f}, working side {model.working_side}")
    print(f"saved {out} ({out.stat().st_size / 2**20:.1f} MiB)")


def main() -> None:
    """Draw, train, choose, save."""
    arguments = suited(parse_arguments())
    if arguments.place is not None:
        place(arguments.place, arguments.out)
        return
    cache = Path(pooch.os_cache("devotools")) / "weights"
    checkpoint = cache / "training.safetensors"
    if arguments.fresh:
        checkpoint.unlink(missing_ok=True)
    training = Training(arguments)
    try:
        faint_looks(arguments.frayed)
        if arguments.frayed and not arguments.faint:
            raise InputError("--frayed is for the faint drawings, and --faint 0 asks for none.")
        if training.resume(checkpoint):
            print(f"going on from step {training.step} of {training.steps}")
    except InputError as error:
        raise SystemExit(f"make_weights.py: {error}") from None
    workers = os.cpu_count() or 1
    looks = {"faint": arguments.faint, "frayed": arguments.frayed}
    drawn = draw_many(arguments.first, arguments.pool, workers, **looks)
    drawings = Drawings(*drawn, arguments.seed, arguments.crops, arguments.side)
    validation = Drawings(*draw_many(VALIDATION_FROM, arguments.validation, workers), 0)
    train(training, drawings, validation, checkpoint)
    finish(training, validation, arguments.out)
    checkpoint.unlink()


if __name__ == "__main__":
    main()
