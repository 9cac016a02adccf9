"""The same network, quicker: what a trained model can leave out when it only has to predict.

Batch norm has become a fixed scale and shift, which the convolution before it can do itself; and
on machines with instructions for it, 16-bit arithmetic (bfloat16) halves what has to be moved
through memory. `benchmarks/speed.py` measures both, and how few pixels of the labels they change.
"""

from __future__ import annotations

import copy
import weakref
from itertools import chain, pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from devotools.model import ResNet18FPN
from devotools.runtime import has_fast_bfloat16

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
