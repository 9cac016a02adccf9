"""The training loop: learn from one set of embryos, keep what does best on another."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from devotools._validate import (
    InputError,
    check_count,
    check_fraction,
    check_kind,
    check_positive,
)
from devotools.inference import evaluating, keeping_mode
from devotools.losses import segmentation_loss
from devotools.metrics import THRESHOLD
from devotools.runtime import choose_device, has_fast_bfloat16


@dataclass(frozen=True)
class TrainConfig:
    """The settings of :func:`fit`, each with its reason.

    ``epochs``: passes over the training loader. ``learning_rate``: the highest of a one-cycle
    schedule, which warms up, then falls to almost nothing (Smith and Topin 2018).
    ``weight_decay``: AdamW's pull towards small weights. ``averaging``: share of the running
    average of the weights that each step keeps, for example 0.998; the average is what is
    validated and kept; 0 is off. ``frozen_norm``: batch norm keeps the statistics that the model
    has, in place of those of each small batch; for a model that has learned already. ``device``:
    "cpu", "cuda", "mps", or None for the fastest. ``bfloat16``: 16-bit arithmetic; None uses it
    where the machine is faster with it. ``max_minutes``: stop early at a clock time, whatever the
    epochs say. ``progress``: a bar.
    """

    epochs: int = 10
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    averaging: float = 0.0
    frozen_norm: bool = False
    device: str | None = None
    bfloat16: bool | None = None
    max_minutes: float | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        check_count(self.epochs, "epochs")
        check_positive(self.learning_rate, "learning_rate")
        check_fraction(self.weight_decay, "weight_decay")
        check_fraction(self.averaging, "averaging")
        if self.max_minutes is not None:
            check_positive(self.max_minutes, "max_minutes", "minutes")


class Diverged(InputError):
    """A training whose numbers stopped being numbers; ``history`` is what was finished before."""

    history: Record


class Record:
    """What every history can do; :class:`History` and its like say which scores they hold.

    ``scores`` names the lists that validation fills, in its order; the epoch with the highest
    ``chosen_by`` is kept. ``score_name`` and ``loss_name`` are the words for figures.
    """

    scores: ClassVar[tuple[str, ...]]
    chosen_by: ClassVar[str]
    score_name: ClassVar[str]
    loss_name: ClassVar[str]

    @property
    def best_score(self) -> float:
        """The score of the weights that were kept; NaN if no epoch was finished."""
        scores = getattr(self, self.chosen_by)
        return scores[self.best_epoch - 1] if self.best_epoch else float("nan")

    def add(self, scores: Iterable[float], seconds: float) -> float:
        """Note what validation said of an epoch; returns the score to choose by."""
        for name, value in zip(self.scores, scores, strict=True):
            getattr(self, name).append(value)
        self.seconds.append(seconds)
        return getattr(self, self.chosen_by)[-1]

    def whole_epochs(self) -> Record:
        """Cut the lists to the epochs that were finished, after a stop in the midst of one."""
        for name in ("train_loss", *self.scores):
            del getattr(self, name)[len(self.seconds) :]
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return asdict(self)


@dataclass
class History(Record):
    """What happened in each epoch; ``best_epoch`` counts from 1 and is 0 if none was finished."""

    scores = ("val_loss", "val_iou", "val_dice")
    chosen_by, score_name, loss_name = "val_iou", "IoU", "cross-entropy + Dice"

    train_loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_iou: list[float] = field(default_factory=list)
    val_dice: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    best_epoch: int = 0
    interrupted: bool = False

    @property
    def best_iou(self) -> float:
        """Validation IoU of the weights that were kept; NaN if no epoch was finished."""
        return self.best_score


class Task(Protocol):
    """What a network is to learn: the loss that falls, and the scores to choose by."""

    history: type[Record]

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """What training makes small: a scalar."""

    def validate(
        self, model: nn.Module, loader: Iterable, device: torch.device, bfloat16: bool | None
    ) -> tuple[float, ...]:
        """The scores that ``history`` names, in its order."""


class Segmentation:
    """The usual task: a mask for each picture, judged by IoU."""

    history = History

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """:func:`~devotools.segmentation_loss`; raises InputError for masks that are none."""
        _check_masks(logits, target)
        return segmentation_loss(logits, target)

    def validate(
        self, model: nn.Module, loader: Iterable, device: torch.device, bfloat16: bool | None
    ) -> tuple[float, float, float]:
        """:func:`validate`."""
        return validate(model, loader, device, bfloat16=bfloat16)


def fit(
    model: nn.Module,
    train_loader: Iterable[tuple[Tensor, Tensor]],
    val_loader: Iterable[tuple[Tensor, Tensor]],
    config: TrainConfig | None = None,
    task: Task | None = None,
) -> History:
    """Train ``model`` and leave in it the weights with the best validation IoU.

    Both loaders give batches of images and masks, (N, 1, H, W) float32 each. A validation loader
    is required, and must hold other embryos: the training score of a network that learned its
    pictures by heart is perfect. After an interruption (the stop button, Ctrl-C) the best weights
    so far are in the model and the history says so. The model's mode is what it was before; the
    model stays on the device it was trained on. ``task`` is what is to be learned, if not masks:
    :class:`~devotools.classification.Classification` learns classes of crops by balanced accuracy.

    Raises :class:`~devotools._validate.InputError` for a missing or empty loader, or when the loss
    stops being a number. Taught in lesson 03.
    """
    config, task = config or TrainConfig(), task or Segmentation()
    check_kind(model, nn.Module, "model", "Give the network itself, for example ResNet18FPN().")
    check_kind(config, TrainConfig, "config", "Write TrainConfig(epochs=10).")
    if isinstance(task, type):
        raise InputError(f"task is the class {task.__name__}; expected one of it. Add brackets.")
    _check_loaders(train_loader, val_loader)
    if not any(weight.requires_grad for weight in model.parameters()):
        raise InputError(
            "model has no weight that may learn; expected one with requires_grad. Thaw a part of "
            "it, for example the head, with requires_grad_(True)."
        )
    device = choose_device(config.device)
    model.to(device, memory_format=torch.channels_last)
    averaged = running_average(model, config.averaging) if config.averaging else None
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.epochs * len(train_loader)
    )
    history, best = task.history(), copy.deepcopy(model.state_dict())
    started = time.perf_counter()
    bar = tqdm(total=config.epochs * len(train_loader), disable=not config.progress, unit="step")

    def step(images: Tensor, masks: Tensor) -> float:
        with autocast(device, config.bfloat16):
            logits = model(images)
        loss = task.loss(logits.float(), masks)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if averaged is not None:
            averaged.update_parameters(model)
        bar.update()
        return loss.item()

    with keeping_mode(model):
        try:
            for epoch in range(1, config.epochs + 1):
                epoch_start = time.perf_counter()
                set_training(model, config.frozen_norm)
                history.train_loss.append(_train(train_loader, device, step))
                judged = averaged.module if averaged is not None else model
                scores = task.validate(judged, val_loader, device, config.bfloat16)
                _check_scores(scores, epoch)
                score = history.add(scores, time.perf_counter() - epoch_start)
                said = f"validation {history.score_name} {score:.3f}"
                bar.set_postfix_str(f"epoch {epoch}/{config.epochs}, {said}")
                if history.best_epoch == 0 or score > history.best_score:
                    history.best_epoch, best = epoch, copy.deepcopy(judged.state_dict())
                if _time_is_up(started, config.max_minutes):
                    break
        except KeyboardInterrupt:
            history.interrupted = True
        except Diverged as error:
            error.history = history.whole_epochs()
            raise
        finally:
            bar.close()
            model.load_state_dict(best)
            optimizer.zero_grad(set_to_none=True)  # gradients take as much room as the weights
    return history.whole_epochs()


@torch.inference_mode()
def validate(
    model: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    device: torch.device,
    *,
    bfloat16: bool | None = None,
) -> tuple[float, float, float]:
    """Mean loss, IoU and Dice of ``model`` over the pictures of ``loader``, at the threshold 0.5.

    IoU and Dice are taken picture by picture, then averaged; empty against empty counts 1.
    """
    losses, ious, dices = [], [], []
    with evaluating(model):
        for images, masks in loader:
            images, masks = to_device(device, images), to_device(device, masks)
            with autocast(device, bfloat16):
                logits = model(images)
            logits = logits.float()
            losses.append(segmentation_loss(logits, masks).item() * len(images))
            predicted, true = torch.sigmoid(logits) >= THRESHOLD, masks > 0.5
            both = (predicted & true).sum(dim=(1, 2, 3)).double()  # (N,)
            total = (predicted.sum(dim=(1, 2, 3)) + true.sum(dim=(1, 2, 3))).double()  # (N,)
            empty = total == 0
            ious += torch.where(empty, 1.0, both / (total - both).clamp(min=1)).tolist()
            dices += torch.where(empty, 1.0, 2 * both / total.clamp(min=1)).tolist()
    count = len(ious)
    return sum(losses) / count, sum(ious) / count, sum(dices) / count


def autocast(device: torch.device, bfloat16: bool | None) -> torch.autocast:
    """16-bit arithmetic inside the ``with`` block; None uses it where it is faster."""
    wanted = has_fast_bfloat16(device) if bfloat16 is None else bfloat16
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=wanted)


def set_training(model: nn.Module, frozen_norm: bool = False) -> None:
    """Training mode; with ``frozen_norm`` batch norm stays as in use, and only its weights learn.

    Of a handful of crops mean and spread vary from batch to batch, and with them all that follows
    in the network. So detectors are mostly fine-tuned this way (torchvision's FrozenBatchNorm2d).
    """
    model.train()
    if frozen_norm:
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def _train(
    loader: Iterable[tuple[Tensor, Tensor]],
    device: torch.device,
    step: Callable[[Tensor, Tensor], float],
) -> float:
    """One pass over ``loader``; the mean loss."""
    losses = []
    for images, masks in loader:
        loss = step(to_device(device, images), to_device(device, masks))
        if loss != loss:  # NaN is the one number that differs from itself
            raise Diverged(
                f"the loss is not a number after {len(losses) + 1} steps of this epoch; expected "
                "it to fall. Lower learning_rate, and check the images for NaN. The model is as "
                "after its best epoch so far, or as it began."
            )
        losses.append(loss)
    return sum(losses) / len(losses)


def to_device(device: torch.device, batch: Tensor) -> Tensor:
    """A batch on the device, pictures with their channels last, which convolutions are fast in."""
    order = torch.channels_last if batch.ndim == 4 else torch.preserve_format
    return batch.to(device, memory_format=order, non_blocking=True)


def running_average(model: nn.Module, share: float) -> AveragedModel:
    """A copy of ``model`` that follows it slowly: each update keeps ``share`` of what it was.

    At first it follows faster, so that it does not remember the random start. Such an average
    wanders less than the weights themselves, and scores better (Polyak and Juditsky 1992).
    """

    def average(old: list[Tensor], new: list[Tensor], count: Tensor) -> None:
        if not old[0].is_floating_point():  # counters
            torch._foreach_copy_(old, new)
            return
        keep = min(share, (1 + float(count)) / (10 + float(count)))
        torch._foreach_lerp_(old, new, 1 - keep)  # all tensors in one call

    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)


def _check_loaders(train_loader: Any, val_loader: Any) -> None:
    for loader, name in ((train_loader, "train_loader"), (val_loader, "val_loader")):
        if loader is None:
            raise InputError(
                f"{name} is None; expected a DataLoader. Without pictures of other embryos nobody "
                "knows whether the network learned or remembered: make one with split_by_embryo."
            )
        if isinstance(loader, Dataset):
            raise InputError(
                f"{name} is a {type(loader).__name__}, which gives one picture at a time; expected "
                "batches. Wrap it: make_loader(dataset, batch_size=8, shuffle=True)."
            )
        if not hasattr(loader, "__len__"):
            raise InputError(
                f"{name} is a {type(loader).__name__}, which does not say how many batches it has; "
                "expected a DataLoader. Make one with make_loader."
            )
        if len(loader) == 0:
            raise InputError(
                f"{name} has no batch; expected at least one. Give more pictures, a smaller "
                "batch_size, or drop_last=False."
            )


def _check_scores(scores: Iterable[float], epoch: int) -> None:
    if not all(isfinite(score) for score in scores):
        raise Diverged(
            f"the validation scores of epoch {epoch} are {', '.join(f'{s:g}' for s in scores)}; "
            "expected finite numbers. Lower learning_rate, and check the validation images for "
            "NaN. The model is as after its best epoch so far, or as it began."
        )


def _check_masks(logits: Tensor, masks: Tensor) -> None:
    said = f"masks of shape {tuple(masks.shape)} and dtype {str(masks.dtype).split('.')[-1]}"
    if masks.shape != logits.shape or not masks.is_floating_point():
        raise InputError(
            f"the loader gives {said}; expected {tuple(logits.shape)} and float32, as the logits. "
            "NucleusDataset makes them so; of others take masks[:, None].float()."
        )
    low, high = (float(value) for value in masks.aminmax())
    if low < 0 or high > 1:
        raise InputError(
            f"the loader gives masks from {low:g} to {high:g}; expected 0 for background and 1 for "
            "nucleus. Compare once: (masks > 0).float()."
        )


def _time_is_up(started: float, max_minutes: float | None) -> bool:
    return max_minutes is not None and time.perf_counter() - started > 60 * max_minutes
