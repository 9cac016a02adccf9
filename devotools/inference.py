"""How a trained network answers: at its own scale, in tiles where a picture is large, and quickly.

Quickly, for there is much that it can leave out when it only has to predict. Batch norm has become
a fixed scale and shift, which the convolution before it can do itself; and on machines
that are quicker with it, 16-bit arithmetic (bfloat16) halves what has to be moved through memory.
`benchmarks/speed.py` measures both, and how few pixels of the labels they change.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import chain, pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from devotools._validate import InputError
from devotools.model import ResNet18FPN
from devotools.runtime import has_fast_bfloat16

MAX_PIXELS = 2**26  # 8192 x 8192; more at once would need more memory than most machines have
TILE = 2048  # larger pictures go through the network in pieces of this side
HALO = 288  # how far beyond a pixel the network looks; like TILE, a multiple of its stride of 32

_ready: weakref.WeakKeyDictionary[nn.Module, tuple[tuple, nn.Module]] = weakref.WeakKeyDictionary()


def for_prediction(model: nn.Module) -> nn.Module:
    """A copy of ``model`` that predicts the same, quicker; the model itself stays as it is.

    The copy is kept and given out again until a weight of the model changes. It is in eval mode,
    on the model's device, folded (:func:`fold_batch_norm`), in bfloat16 where
    :func:`~devotools.runtime.has_fast_bfloat16` says so, and takes pictures (N, 1, H, W) of any
    floating type. Networks other than :class:`~devotools.ResNet18FPN` are given back as they are.

    >>> model = ResNet18FPN()
    >>> for_prediction(model) is for_prediction(model)
    True
    """
    if type(model) is not ResNet18FPN:  # of a network that we do not know, nothing can be folded
        return model
    device = next(model.parameters()).device
    precision = torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    state = (device, precision, *map(_version, chain(model.parameters(), model.buffers())))
    known, copied = _ready.get(model, (None, None))
    if known != state:
        copied = fold_batch_norm(model).to(precision, memory_format=torch.channels_last)
        _ready[model] = (state, copied)
    return copied


def _version(tensor: Tensor) -> tuple[int, int]:
    """What changes whenever a tensor does: where it lies, and how often it was written to."""
    return tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version


def fold_batch_norm(model: ResNet18FPN) -> ResNet18FPN:
    """A copy of ``model`` in eval mode, each batch norm folded into the convolution before it.

    A trained batch norm gives ``(x - mean) / std * weight + bias``, channel by channel: a scale
    and a shift. A convolution whose filters are scaled, and whose bias is shifted, does the same
    in one pass. Source: ``torch.nn.utils.fusion.fuse_conv_bn_eval``.

    >>> folded = fold_batch_norm(ResNet18FPN())
    >>> any(isinstance(part, nn.BatchNorm2d) for part in folded.modules())
    False
    """
    copied = copy.deepcopy(model).eval()
    for parent in list(copied.modules()):
        for (name, first), (next_name, second) in pairwise(list(parent.named_children())):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(first, second))
                setattr(parent, next_name, nn.Identity())
    return copied


# --- from a picture to its probabilities ---------------------------------------------------------


def predict_stretched(model: ResNet18FPN, image: np.ndarray, factor: float) -> np.ndarray:
    """Probability (H, W) float32 of an (H, W) float32 picture whose contrast is stretched already.

    For a piece of a picture, which must not be stretched by itself. The network sees the picture
    ``factor`` times as large.
    """
    worked = at_working_size(model, image, factor)
    return in_grid(network_answers(model, [worked])[0], image.shape)


def at_working_size(model: ResNet18FPN, image: np.ndarray, factor: float) -> Tensor:
    """A picture (H, W) float32 as the network sees it: (1, h, w)."""
    size = check_working_size(model, image.shape, factor)
    return _resize(torch.from_numpy(image)[None, None], size)[0]


def check_working_size(
    model: ResNet18FPN, shape: tuple[int, int], scale: float | str
) -> tuple[int, int]:
    """The size at which the network sees a picture of ``shape`` (H, W); too large is refused."""
    factor = scale_factor(model, shape, scale)
    height, width = (max(1.0, side * factor) for side in shape)
    if height * width > MAX_PIXELS:
        raise InputError(
            f"a picture of {shape[0]} x {shape[1]} pixels, enlarged {factor:.3g} "
            f"times, has {height * width:.3g} pixels; expected {MAX_PIXELS:,} at most. Give a "
            "smaller scale (a larger nucleus size), or cut the picture into pieces."
        )
    return round(height), round(width)


def scale_factor(model: ResNet18FPN, shape: tuple[int, int], scale: float | str) -> float:
    """The factor by which a picture of ``shape`` (H, W) is enlarged before the network sees it.

    For "auto" that which makes its longest side what the model was trained on.
    """
    if scale != "auto":
        return float(scale)
    working_side = getattr(model, "working_side", None)  # other networks know of none
    return working_side / max(shape) if working_side else 1.0


def network_answers(model: nn.Module, pictures: list[Tensor]) -> Tensor:
    """Probabilities (N, 1, h, w) float32 of pictures (1, h, w), all of one size.

    The model's mode is what it was before.
    """
    network = for_prediction(model)
    # a copy is in eval mode already, and to go through all parts of a model takes time
    with nullcontext() if network is not model else evaluating(model), torch.inference_mode():
        return torch.sigmoid(_in_tiles(network, torch.stack(pictures)))


def in_grid(answer: Tensor, shape: tuple[int, int]) -> np.ndarray:
    """One answer (1, h, w) brought back to a picture's own grid: (H, W) float32 in [0, 1]."""
    return _resize(answer[None], shape)[0, 0].clamp(0, 1).numpy()


def _in_tiles(network: nn.Module, batch: Tensor) -> Tensor:
    """Logits (N, 1, h, w) float32 of a batch, piece by piece where it is large.

    Each piece sees ``HALO`` pixels beyond what is kept of its answer, as far as the network looks,
    so the pieces together are what the whole would give, in less memory.
    """
    one = next(network.parameters(), torch.empty(0))
    answers = []
    for rows, rows_seen in _pieces(batch.shape[2]):
        row = []
        for cols, cols_seen in _pieces(batch.shape[3]):
            seen = batch[:, :, slice(*rows_seen), slice(*cols_seen)]
            seen = seen.to(one.device, one.dtype, memory_format=torch.channels_last)
            answer = network(seen).float().cpu()
            top, left = rows[0] - rows_seen[0], cols[0] - cols_seen[0]
            row.append(answer[:, :, top : top + rows[1] - rows[0], left : left + cols[1] - cols[0]])
        answers.append(torch.cat(row, dim=3))
    return torch.cat(answers, dim=2)


def _pieces(side: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Cut a side of so many pixels: (start, end) of each piece, and of what is seen for it."""
    if side <= TILE + 2 * HALO:
        return [((0, side), (0, side))]
    return [
        (
            (start, min(start + TILE, side)),
            (max(start - HALO, 0), min(start + TILE + HALO, side)),
        )
        for start in range(0, side, TILE)
    ]


def _resize(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, 1, H, W) to (N, 1, *size); made smaller, each pixel averages all that it covers."""
    if pictures.shape[-2:] == tuple(size):
        return pictures
    return functional.interpolate(
        pictures, size=size, mode="bilinear", align_corners=False, antialias=True
    )


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put ``model`` into eval mode, and back into the mode it had."""
    with keeping_mode(model):
        model.eval()
        yield


@contextmanager
def keeping_mode(model: nn.Module) -> Iterator[None]:
    """Bring each part of ``model`` back into the mode it had: some may have been frozen in eval."""
    modes = [(part, part.training) for part in model.modules()]
    try:
        yield
    finally:
        for part, was_training in modes:
            part.training = was_training
