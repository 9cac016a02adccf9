"""The whole recipe on one page: from a folder of labelled sections to a model on disk."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.measure import label, regionprops

from devotools._files import cannot_write
from devotools._validate import InputError, check_count, check_same_shape
from devotools.augment import eval_transform, train_transform
from devotools.datasets import (
    NucleusDataset,
    Split,
    make_loader,
    read_dataset,
    split_by_embryo,
)
from devotools.evaluation import check_agree
from devotools.images import ImageMaskPair, read_image, read_labels, read_mask
from devotools.metrics import iou_score
from devotools.model import ResNet18FPN, load_model, save_model
from devotools.predict import check_channels
from devotools.runtime import choose_device, seed_everything
from devotools.train import Diverged, History, TrainConfig, fit, validate

ZOOM = 1.5  # a picture's longest side at work, over the side of a training crop


@dataclass(frozen=True)
class Recipe:
    """What :func:`train_on_folder` needs to know; the command's options of ``devotools train``.

    ``init`` is "random", "imagenet", "nuclei", or a .safetensors file. ``learning_rate`` None is
    2e-3 from random and ImageNet weights, 5e-4 for a model that has learned nuclei already, whose
    batch norm keeps its statistics (``frozen_norm`` of :class:`~devotools.TrainConfig`).
    """

    init: str = "random"
    epochs: int = 20
    size: int = 256
    batch_size: int = 8
    learning_rate: float | None = None
    val: float = 0.2
    test: float = 0.0
    workers: int = 0
    seed: int = 0
    device: str | None = None


def train_on_folder(
    data: str | Path,
    out: str | Path,
    recipe: Recipe | None = None,
    *,
    remark: Callable[[str], object] | None = None,
) -> tuple[History, Split]:
    """Train on ``data`` (``images/``, ``masks/``, perhaps ``manifest.csv``); save to ``out``.

    Returns the history and the split, whose ``test`` side nobody has seen. Interrupted, it saves
    the best weights so far; nothing is saved when no epoch was finished. ``remark`` is called
    with what makes the score too good, with masks that may be inverted, or are not what the labels
    say, with a file ``out`` that will be replaced, with the score of a model that has learned
    already, and, after the training, where that is no lower than what was reached. Raises
    :class:`~devotools._validate.InputError` before any work where it can, and when the training
    diverges: then the best weights until there are saved all the same. Taught in lesson 06.
    """
    recipe, out = recipe or Recipe(), Path(out)
    _check_target(out)
    split = split_by_embryo(read_dataset(data), val=recipe.val, test=recipe.test, seed=recipe.seed)
    if not split.val:
        raise InputError(
            f"val is {recipe.val}; expected more than 0: the best weights are chosen by it."
        )
    for look in (_without_embryo, _mostly_nucleus, _stale_masks):
        said = look(split) if remark is not None else ""
        if said:
            remark(said)
    if remark is not None and (said := _replaced(out)):
        remark(said)
    seed_everything(recipe.seed)
    model = start_model(recipe.init)
    check_channels(model)
    _check_room(out, model)
    model.working_side = model.working_side or round(ZOOM * recipe.size)
    diameters = _diameters_of(split.train, "training") + _diameters_of(split.val, "validation")
    if model.working_nucleus is None:
        model.working_nucleus = round(model.working_side * float(np.median(diameters)), 1)
    train_loader, val_loader = make_loaders(split, model.working_side, recipe)
    learned, rate = recipe.init not in ("random", "imagenet"), recipe.learning_rate
    config = TrainConfig(
        epochs=recipe.epochs,
        learning_rate=rate if rate is not None else 5e-4 if learned else 2e-3,
        frozen_norm=learned,
        device=recipe.device,
    )
    before = None
    if remark is not None and learned:
        before = _score(model, val_loader, recipe.device)
        remark(f"{recipe.init!r} itself scores IoU {before:.3f} on the validation sections.")
    try:
        history = fit(model, train_loader, val_loader, config)
    except Diverged as error:
        if not error.history.best_epoch:
            said = f"{error} That was before the first epoch ended: {str(out)!r} was not written."
            raise InputError(said) from error
        save_model(out, model, _card(recipe, split, error.history))
        best = error.history.best_epoch
        said = f"{error} The best was epoch {best}, saved as {str(out)!r}."
        raise InputError(said) from error
    if history.best_epoch:
        save_model(out, model, _card(recipe, split, history))
        if before is not None and history.best_iou <= before:
            remark(
                f"nothing was gained: the trained model scores IoU {history.best_iou:.3f} there, "
                f"{recipe.init!r} scores {before:.3f}. Keep that one, or label more sections."
            )
    return history, split


def _score(model: ResNet18FPN, loader: Any, device: str | None) -> float:
    """The IoU of a model before it is trained."""
    device = choose_device(device)
    return validate(model.to(device), loader, device)[1]


def start_model(init: str) -> ResNet18FPN:
    """The network to begin with: random, ImageNet's encoder, or one that has learned nuclei."""
    if init == "random":
        return ResNet18FPN()
    if init == "imagenet":
        return ResNet18FPN(weights="imagenet")
    try:
        return load_model(init)
    except InputError as error:
        if Path(init).exists():
            raise
        others = "'random' and 'imagenet' begin without a model."
        raise InputError(f"init is {init!r}: {error} {others}") from error


def make_loaders(split: Split, working_side: int, recipe: Recipe) -> tuple[Any, Any]:
    """Random crops to learn from; whole pictures at working resolution to choose by."""
    check_count(recipe.size, "size", least=32)
    learn = NucleusDataset(split.train, train_transform(recipe.size, recipe.seed))
    choose = NucleusDataset(split.val, eval_transform(working_side))
    options = {"seed": recipe.seed, "workers": recipe.workers}
    return (
        make_loader(learn, recipe.batch_size, shuffle=True, **options),
        make_loader(choose, recipe.batch_size, shuffle=False, **options),
    )


def _check_target(out: Path) -> None:
    """Know before an hour of training, not after, that the file can be written."""
    try:
        is_folder = out.is_dir()
    except OSError as error:  # a name longer than a disk takes
        raise cannot_write(out, error) from error
    if is_folder:
        raise InputError(
            f"--out {str(out)!r} is a folder; expected a file. Name one in it, for example "
            f"{str(out / 'mine.safetensors')!r}."
        )
    if out.suffix != ".safetensors":
        raise InputError(
            f"--out {str(out)!r} ends in {out.suffix!r}; expected .safetensors. "
            f"Name it for example {out.stem + '.safetensors'!r}."
        )
    parent = _existing_parent(out)
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError(
            f"--out {str(out)!r} cannot be written: {str(parent)!r} is no folder, or one you may "
            "not write to. Choose another."
        )


def _check_room(out: Path, model: ResNet18FPN) -> None:
    """Know before the training that the disk holds the weights."""
    needed = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    free = shutil.disk_usage(_existing_parent(out)).free
    if free < needed:
        raise InputError(
            f"--out {str(out)!r} will have {needed / 2**20:.0f} MiB, and its disk has "
            f"{free / 2**20:.0f} MiB left; expected more than that. Make room, or choose another "
            "disk."
        )


def _existing_parent(out: Path) -> Path:
    return next(folder for folder in out.absolute().parents if folder.exists())


def _without_embryo(split: Split) -> str:
    """What to say of sections whose embryo nobody names; nothing where all are named."""
    pairs = [*split.train, *split.val, *split.test]
    unnamed = [pair.name for pair in pairs if pair.embryo is None]
    if not unnamed:
        return ""
    said = "there is no manifest.csv, or it names no embryo"
    if len(unnamed) < len(pairs):
        share = f"{len(unnamed)} of {len(pairs)} sections"
        said = f"manifest.csv names no embryo for {share}, for example {unnamed[0]!r}"
    return (
        f"{said}, so each of these pictures counts as one: sections of the same embryo may stand "
        "on both sides, and the score is then too good."
    )


def _mostly_nucleus(split: Split) -> str:
    """What to say of masks in which nuclei are dark, as some programs save them."""
    pairs = [*split.train, *split.val]
    full = [pair.name for pair in pairs if read_mask(pair.mask).mean() > 0.5]
    if not full:
        return ""
    return (
        f"look: in {len(full)} of {len(pairs)} masks more than half of the pixels are nucleus, for "
        f"example in {full[0]!r}; are they inverted? Nucleus is above 0."
    )


def _stale_masks(split: Split) -> str:
    """What to say of labels that were corrected while their masks were not."""
    pairs = [pair for pair in [*split.train, *split.val] if pair.labels]
    apart: dict[str, float] = {}
    for pair in pairs:
        mask, labelled = read_mask(pair.mask), read_labels(pair.labels) > 0
        score = iou_score(mask, labelled) if mask.shape == labelled.shape else 1.0
        if score < 0.9:
            apart[pair.name] = score
    if not apart:
        return ""
    worst = min(apart, key=apart.get)
    return (
        f"look: in {len(apart)} of {len(pairs)} sections masks/ and labels/ differ, for example in "
        f"{worst!r} (IoU {apart[worst]:.2f}). The masks are learned from; were only the labels "
        "corrected? Then save labels > 0 as the mask."
    )


def _replaced(out: Path) -> str:
    return (
        f"{str(out)!r} is there already, and will be replaced after the training."
        if out.exists()
        else ""
    )


def _diameters_of(pairs: list[ImageMaskPair], side: str) -> list[float]:
    """Diameters of all nuclei; refused where there is none: nothing could be learned or chosen."""
    diameters = [diameter for pair in pairs for diameter in _diameters(pair)]
    if not diameters:
        raise InputError(
            f"none of the {len(pairs)} {side} masks has a nucleus; expected at least one. Label "
            "some, check that the masks were saved with nucleus above 0 (and labels/, if there is "
            "one, with ids), or, where only some pictures show nuclei, take another --seed."
        )
    return diameters


def _diameters(pair: ImageMaskPair) -> list[float]:
    """Diameters of a section's nuclei, as shares of its longest side.

    Image and mask are read for it, so that a bad file is known before the first epoch.
    """
    mask, image = read_mask(pair.mask), read_image(pair.image)
    check_same_shape(image, mask, (f"image {str(pair.image)!r}", f"mask {str(pair.mask)!r}"))
    regions = read_labels(pair.labels) if pair.labels else label(mask, connectivity=1)
    names = (f"mask {str(pair.mask)!r}", f"label image {str(pair.labels)!r}")
    check_same_shape(mask, regions, names)
    check_agree(mask, regions > 0, names)
    ids = np.unique(regions[regions > 0])  # 1, 2, 3 ..., however large they are: regionprops
    regions = np.where(regions > 0, np.searchsorted(ids, regions) + 1, 0)  # takes memory for each
    return [region.equivalent_diameter_area / max(mask.shape) for region in regionprops(regions)]


def _card(recipe: Recipe, split: Split, history: History) -> dict[str, Any]:
    return {
        "command": shlex.join(["devotools", *sys.argv[1:]]),
        "recipe": asdict(recipe),
        "train_sections": len(split.train),
        "val_sections": len(split.val),
        "best_epoch": history.best_epoch,
        "validation_iou": round(history.best_iou, 4),
        "torch": torch.__version__,
    }
