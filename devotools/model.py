"""ResNet18FPN: a ResNet18 encoder, a feature pyramid, and one logit for each pixel.

Read it from the top: :meth:`ResNet18FPN.forward` is the whole network, with the shape of every
tensor beside it. Then come saving and loading, which never run code from a file.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Callable, Mapping
from http.client import HTTPException
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import ResNet18_Weights, resnet18
from torchvision.ops import FeaturePyramidNetwork

from devotools._validate import InputError, check_count, check_kind, check_path
from devotools.images import replace_file
from devotools.runtime import choose_device

SHIPPED = ("nuclei",)  # names that load_model knows, files in devotools/weights/
STRIDE = 32  # the deepest features are 32 times coarser than the picture
PYRAMID_CHANNELS = 64
FORMAT = "devotools-1"
SUMS = "SHA256SUMS"  # beside the shipped weights: what they must be, to the bit
MAX_BYTES = 2**28  # 256 MiB: more than a network here can weigh, in any precision
MAX_HEADER = 2**24  # 16 MiB of names and notes
PRECISIONS = ("F16", "BF16", "F32", "F64")
PICKLES = {b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"}  # how their files begin


class ResNet18FPN(nn.Module):
    """A segmentation network: pictures (N, in_channels, H, W) to logits (N, classes, H, W).

    The encoder is torchvision's ``resnet18``, whose first layer takes ``in_channels``; its four
    stages feed torchvision's feature pyramid. Any height and width will do: a size that 32 does
    not divide, or that is below 64, is padded at the bottom and right with its own border, and
    the logits are cropped back, so nothing is squashed.

    ``weights=None`` starts from random numbers. ``weights="imagenet"`` starts the encoder from
    torchvision's ImageNet weights (45 MB, downloaded once, hash checked); for one channel the
    first layer's red, green and blue filters are added up. Raises
    :class:`~devotools._validate.InputError` for other words or without a network.

    ``working_side`` is the longest side, in pixels, at which the model was trained to see a
    picture, and ``working_nucleus`` the usual diameter of a nucleus there; None when unknown.
    ``metadata`` is what :func:`save_model` stored beside the weights.

    Sources: He et al. 2016, "Deep residual learning"; Lin et al. 2017, "Feature pyramid networks".
    Taught in lesson 03.

    >>> ResNet18FPN()(torch.zeros(2, 1, 50, 70)).shape
    torch.Size([2, 1, 50, 70])
    """

    def __init__(self, in_channels: int = 1, classes: int = 1, weights: str | None = None):
        super().__init__()
        self.in_channels = check_count(in_channels, "in_channels")
        self.classes = check_count(classes, "classes")
        self.working_side: int | None = None
        self.working_nucleus: float | None = None
        self.metadata: dict[str, Any] = {}
        self.encoder = resnet18_encoder(in_channels, weights)
        self.pyramid = FeaturePyramidNetwork(
            [64, 128, 256, 512], PYRAMID_CHANNELS, norm_layer=nn.BatchNorm2d
        )
        self.head = nn.Sequential(
            nn.Conv2d(PYRAMID_CHANNELS, PYRAMID_CHANNELS, 3, padding=1, bias=False),
            nn.BatchNorm2d(PYRAMID_CHANNELS),
            nn.ReLU(inplace=True),
            nn.Conv2d(PYRAMID_CHANNELS, classes, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Logits of a batch of pictures, at the pictures' own size."""
        height, width = image.shape[-2:]
        right, bottom = _padding(width), _padding(height)
        x = image  # (N, C, H', W')
        if right or bottom:
            x = functional.pad(image, (0, right, 0, bottom), mode="replicate")
        stages = self.encode(x)
        levels = self.pyramid(stages)  # the same four sizes, each 64 channels
        logits = self.head(self.fuse(levels))  # (N, classes, H'/4, W'/4)
        logits = functional.interpolate(
            logits.float(), size=x.shape[-2:], mode="bilinear", align_corners=False
        )  # (N, classes, H', W')
        return logits[..., :height, :width]  # (N, classes, H, W)

    def encode(self, x: Tensor) -> dict[str, Tensor]:
        """The four stages of ResNet18, from fine and plain to coarse and rich."""
        net = self.encoder
        x = net.bn1(net.conv1(x))  # (N, 64, H/2, W/2)
        x = net.relu(net.maxpool(x))  # (N, 64, H/4, W/4); ReLU last: the same from fewer pixels
        stage1 = net.layer1(x)  # (N, 64, H/4, W/4)
        stage2 = net.layer2(stage1)  # (N, 128, H/8, W/8)
        stage3 = net.layer3(stage2)  # (N, 256, H/16, W/16)
        stage4 = net.layer4(stage3)  # (N, 512, H/32, W/32)
        return {"1": stage1, "2": stage2, "3": stage3, "4": stage4}

    def fuse(self, levels: dict[str, Tensor]) -> Tensor:
        """The four levels of the pyramid added up at the size of the finest."""
        finest = levels["1"]  # (N, 64, H/4, W/4)
        for coarse in (levels["2"], levels["3"], levels["4"]):
            finest = finest + functional.interpolate(
                coarse, size=finest.shape[-2:], mode="bilinear", align_corners=False
            )
        return finest


def _padding(side: int) -> int:
    """Pixels to add up to a multiple of 32, 64 at least: one deep feature alone has no spread."""
    return max(-side % STRIDE, 2 * STRIDE - side)


def resnet18_encoder(in_channels: int, weights: str | None = None) -> nn.Module:
    """Torchvision's ``resnet18`` without what classifies, its first layer for ``in_channels``.

    ``weights`` is None (random) or "imagenet"; raises :class:`~devotools._validate.InputError`.
    """
    if weights not in (None, "imagenet"):
        raise InputError(f"weights is {weights!r}; expected None (random start) or 'imagenet'.")
    encoder = resnet18(weights=None)
    if weights == "imagenet":
        encoder.load_state_dict(_imagenet_weights())
    del encoder.avgpool, encoder.fc  # they classify a whole picture; here each pixel counts
    if in_channels != 3:
        rgb = encoder.conv1.weight  # (64, 3, 7, 7)
        encoder.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        if weights == "imagenet":
            grey = rgb.detach().sum(dim=1, keepdim=True) / in_channels  # (64, 1, 7, 7)
            encoder.conv1.weight = nn.Parameter(grey.repeat(1, in_channels, 1, 1))
    return encoder


def _imagenet_weights() -> Mapping[str, Tensor]:
    """Torchvision's download: the one file that torch unpickles, as plain tensors only."""
    source = ResNet18_Weights.IMAGENET1K_V1
    name = source.url.rpartition("/")[2]  # resnet18-<first digits of its SHA-256>.pth
    cached = Path(torch.hub.get_dir()) / "checkpoints" / name
    wanted = name.rpartition("-")[2].removesuffix(".pth")
    if cached.exists() and not _sha256(cached).startswith(wanted):
        raise InputError(
            f"{str(cached)!r} does not have the SHA-256 that its name promises ({wanted}...); "
            "it is damaged or was changed. Delete it, and it will be downloaded again."
        )
    try:
        return source.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (URLError, HTTPException, OSError, RuntimeError) as error:  # RuntimeError: a bad hash
        raise InputError(
            f"the ImageNet weights ({name}) cannot be had ({error}). Connect to the internet once, "
            f"or copy the file to {str(cached.parent)!r}; without it start from random weights "
            "(weights=None) or from the shipped model (load_model('nuclei'))."
        ) from error


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- saving and loading ------------------------------------------------------------------------


def save_model(
    path: str | Path, model: ResNet18FPN, metadata: Mapping[str, Any] | None = None
) -> None:
    """Save weights and ``metadata`` (anything JSON can hold) as one safetensors file.

    The architecture, the working resolution and the version of devotools are stored as well.
    The file is whole or not there at all. Floating weights keep their dtype; pass
    ``model.half()`` to halve the size. Raises :class:`~devotools._validate.InputError` when the
    folder cannot be written, or ``metadata`` holds what JSON cannot, and for another network.
    """
    check_kind(
        model,
        ResNet18FPN,
        "model",
        "Write save_model(path, model, metadata); for a classifier there is save_classifier.",
    )
    check_path(path)
    if not isinstance(metadata, Mapping | None):
        raise InputError(
            f"metadata is {metadata!r}; expected a dictionary, for example {{'note': 'my notes'}}."
        )
    card = {
        "format": FORMAT,
        "devotools": importlib.metadata.version("devotools"),
        "architecture": "ResNet18FPN",
        "in_channels": model.in_channels,
        "classes": model.classes,
        "working_side": model.working_side,
        "working_nucleus": model.working_nucleus,
        "metadata": dict(metadata or {}),
    }
    write_checkpoint(path, card, weights_of(model))


def write_checkpoint(
    path: str | Path, card: Mapping[str, Any], weights: Mapping[str, Tensor]
) -> None:
    """Write weights and their description as one safetensors file, whole or not at all.

    Raises :class:`~devotools._validate.InputError` as :func:`save_model` does.
    """
    try:
        description = {"devotools": json.dumps(card)}
    except (TypeError, ValueError) as error:
        raise InputError(
            f"metadata cannot be stored ({error}); expected what JSON can hold: text, numbers, "
            "lists, dictionaries. Turn NumPy numbers and paths into these with float() and str()."
        ) from error
    tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    with replace_file(path) as temporary:
        temporary.write_bytes(save(tensors, description))


def load_model(
    name_or_path: str | Path = "nuclei", device: str | torch.device | None = None
) -> ResNet18FPN:
    """Load a shipped model by its name, or your own by its path: float32, in eval mode.

    ``"nuclei"`` is the model that comes with the package and works offline. ``device`` is
    ``"cpu"``, ``"cuda"`` or ``"mps"``; None keeps the CPU. Only safetensors files are read, so
    loading never runs code; a shipped model must have the SHA-256 that was published with it.
    Raises :class:`~devotools._validate.InputError` for a missing, truncated or too large file, a
    pickle (.pt, .pth), weights of another architecture, or weights that are no finite numbers;
    names, shapes and types are compared before any weight is read. Taught in lesson 05.
    """
    path = _find(name_or_path)
    if str(name_or_path) in SHIPPED:
        check_published(path)
    card, tensors = read_checkpoint(path, _read_card, _check_shapes)
    model = ResNet18FPN(card["in_channels"], card["classes"])
    model.load_state_dict(tensors, strict=False)
    model.working_side, model.working_nucleus = card["working_side"], card["working_nucleus"]
    model.metadata = card["metadata"]
    return model.eval().to(choose_device(str(device)) if device is not None else "cpu")


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Weights without the batch counters, which only training from scratch would use."""
    return {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}


def _find(name_or_path: str | Path) -> Path:
    return find_weights(name_or_path, SHIPPED)


def find_weights(name_or_path: str | Path, shipped: tuple[str, ...]) -> Path:
    """The file of a shipped model's name, or of a path; refused where there is none."""
    if str(name_or_path) in shipped:
        return Path(str(files("devotools") / "weights" / f"{name_or_path}.safetensors"))
    path = Path(name_or_path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise InputError(
            f"model {str(name_or_path)!r} {what}; expected a .safetensors file written by "
            f"devotools, or the name of a shipped model: {', '.join(shipped)}."
        )
    return path


def published_sum(path: Path) -> str:
    """The SHA-256 that the file beside shipped weights names for them; empty if it names none."""
    lines = path.with_name(SUMS).read_text(encoding="utf-8").splitlines()
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    return sums.get(path.name, "")


def check_published(path: Path, maker: str = "tools/make_weights.py --place FILE") -> None:
    """Refuse shipped weights that have another SHA-256 than was published with them."""
    try:
        known, found = published_sum(path), _sha256(path)
    except OSError as error:
        raise InputError(
            f"the shipped model {path.stem!r} cannot be read ({error}); expected it, and {SUMS}, "
            "in devotools/weights. The installation is damaged: install devotools again."
        ) from error
    if found != known:
        raise InputError(
            f"the shipped model {path.stem!r} has the SHA-256 {found[:16]}..., expected "
            f"{known[:16] or 'no'}... as {SUMS} says: it is damaged or was changed. Install "
            "devotools again; weights of your own belong elsewhere (--model FILE), and new ones "
            f"to ship are put in place by {maker}."
        )


def read_checkpoint(
    path: Path,
    read_card: Callable[[Path, Mapping[str, str] | None], dict[str, Any]],
    check_shapes: Callable[[Path, Mapping[str, Any], Mapping], None],
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The description, and the weights in single precision; checked in this order.

    ``check_shapes`` gets the shape and the type of each tensor by its name. Raises
    :class:`~devotools._validate.InputError`, before a weight is read where it can.
    """
    try:
        _check_start(path)
        with safe_open(path, framework="pt") as checkpoint:
            card = read_card(path, checkpoint.metadata())
            names = checkpoint.keys()
            said = {name: checkpoint.get_slice(name) for name in names}
            shapes = {name: (tuple(s.get_shape()), s.get_dtype()) for name, s in said.items()}
            check_shapes(path, card, shapes)
            tensors = {name: checkpoint.get_tensor(name).float() for name in names}
    except (SafetensorError, OSError) as error:
        size = os.path.getsize(path)
        raise InputError(
            f"model {str(path)!r} cannot be read ({error}; {size} bytes); expected a whole "
            "safetensors file. It is truncated or not a model: copy or train it again."
        ) from error
    bad = [name for name, value in tensors.items() if not torch.isfinite(value).all()]
    if bad:
        raise InputError(
            f"model {str(path)!r} holds NaN or infinity in {len(bad)} layers, first {bad[0]!r}; "
            "expected finite weights. It is damaged, or its training failed: copy it again, or "
            "train it with a smaller learning rate."
        )
    return card, tensors


def _check_start(path: Path) -> None:
    """Refuse a pickle, and what is too large, by the first bytes: nothing is allocated for it."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(9)
    # The first 8 bytes of safetensors are a length, which may be any; then comes a brace.
    if start[:2] in PICKLES and start[8:] != b"{":
        raise InputError(
            f"model {str(path)!r} is a pickle (a .pt or .pth file); expected safetensors. "
            "A pickle can run any code when it is opened, so it is not. Load it where you "
            "trust it, and save its weights with devotools.save_model."
        )
    header = int.from_bytes(start[:8], "little")
    if size > MAX_BYTES or (header > MAX_HEADER and header <= size):
        what = f"{size:,} bytes, {header:,} of them names and notes"
        raise InputError(
            f"model {str(path)!r} has {what}; expected {MAX_BYTES:,} and {MAX_HEADER:,} at most, "
            "more than any ResNet18 here needs. It is another kind of file: check the name."
        )


def _check_shapes(
    path: Path, card: Mapping[str, Any], said: Mapping[str, tuple[tuple[int, ...], str]]
) -> None:
    """Compare what a file says of its weights with the network that it claims to hold."""
    with torch.device("meta"):  # shapes only, no memory
        expected = weights_of(ResNet18FPN(card["in_channels"], card["classes"]))
    different = sorted(expected.keys() ^ said.keys())
    if different:
        first = different[0][:80]
        raise _wrong_architecture(path, f"{len(different)} layers differ, first {first!r}")
    for name, (shape, precision) in said.items():
        wanted = tuple(expected[name].shape)
        if shape != wanted:
            raise _wrong_architecture(path, f"layer {name!r} has shape {shape}, not {wanted}")
        if precision not in PRECISIONS:
            raise _wrong_architecture(
                path, f"layer {name!r} holds {precision}, not one of {', '.join(PRECISIONS)}"
            )


def _read_card(path: Path, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    try:
        card = json.loads((metadata or {})["devotools"])
        known = card["format"] == FORMAT and card["architecture"] == "ResNet18FPN"
        counts = [card["in_channels"], card["classes"]]
        sizes = [card["working_side"], card["working_nucleus"]]
        known &= all(type(n) is int and 1 <= n <= 1024 for n in counts)
        known &= all(n is None or (isinstance(n, (int, float)) and 0 < n <= 2**16) for n in sizes)
        known &= isinstance(card["metadata"], dict)
    except (KeyError, TypeError, ValueError, RecursionError):  # JSON may be broken in many ways
        known = False
    if not known:
        raise _wrong_architecture(path, "it carries no description that devotools wrote")
    return card


def _wrong_architecture(path: Path, why: str) -> InputError:
    return InputError(
        f"model {str(path)!r} is not a ResNet18FPN of devotools: {why}. Expected a file written "
        "by devotools train or devotools.save_model."
    )
