"""What an exported model is, in words and numbers: enough to use it without devotools.

The steps before and after the network are those of :func:`~devotools.predict.predict_probability`
and :func:`~devotools.predict.label_nuclei`. A test follows them with NumPy alone and gets the same
probability.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from collections.abc import Iterable
from importlib.resources import files
from posixpath import normpath
from typing import Any

import torch

from devotools._validate import InputError, check_kind
from devotools.images import LEAST_SPAN
from devotools.metrics import THRESHOLD
from devotools.model import SHIPPED, STRIDE, ResNet18FPN, load_model
from devotools.predict import HOLE, NECK, check_channels
from devotools.working_scale import SMALL

HOME = "https://github.com/devoworm/devotools"
LICENCE = "MIT"
CARDS = {"nuclei": "README.md"}  # of the shipped models, in devotools/weights/
MIN_AREA = 20  # what label_nuclei drops if nothing is said
LOW, HIGH = 1.0, 99.8  # the percentiles of stretch_contrast
LEAST_SIDE = 2 * STRIDE  # one deep feature alone has no spread, see ResNet18FPN.forward
RESIZING = (
    "Bilinear with antialiasing, along rows and columns in turn. From n to m pixels, output pixel "
    "i lies at c = (i + 0.5) * n / m of the input; input pixel j has the weight "
    "max(0, 1 - abs(c - j - 0.5) / max(1, n / m)); the weights of each i are divided by their sum. "
    "(Pillow's BILINEAR in mode F does this, and torch's interpolate with antialias=True.)"
)


def describe(model: ResNet18FPN, *, licence: str = LICENCE) -> dict[str, Any]:
    """A description of ``model`` that JSON can hold; a shipped model's card is part of it.

    Raises :class:`~devotools._validate.InputError` for a network that takes colour or gives
    several classes, whose use is not known here, and for an empty ``licence``.
    """
    if not licence.strip():
        raise InputError(
            "licence is empty; expected that of the weights, for example MIT or CC-BY-4.0. Say it, "
            f"or leave the option out for {LICENCE}."
        )
    check_kind(model, ResNet18FPN, "model", 'Load one first: model = load_model("nuclei").')
    check_channels(model)
    name = shipped_name(model)
    return {
        "name": f"devotools {name}" if name else "ResNet18FPN of devotools",
        "description": (
            "Finds nuclei in electron micrographs of the C. elegans embryo: a ResNet18 with a "
            "feature pyramid that gives one logit a pixel."
        ),
        "author": author(),
        "licence": licence,
        "source": HOME,
        "version": importlib.metadata.version("devotools"),
        "input": (
            "image: float32 (batch, 1, height, width), after the preprocessing; height and width "
            f"are multiples of {STRIDE} and at least {LEAST_SIDE}"
        ),
        "output": "logits: float32 (batch, 1, height, width), before the postprocessing",
        "working_side": model.working_side,
        "working_nucleus": model.working_nucleus,
        "preprocessing": _before(model),
        "postprocessing": _after(),
        "training": model.metadata,
        "model_card": card_of(name) if name else "",
    }


def _before(model: ResNet18FPN) -> list[dict[str, Any]]:
    resize = {
        "step": "resize",
        "longest_side": model.working_side,
        "how": (
            "The factor is longest_side / max(height, width); the new sides are "
            f"max(1, side * factor), rounded, a half to the even number. {RESIZING} Where "
            f"the median nucleus seen then is below {SMALL:g} times working_nucleus in width, "
            "devotools looks again with the factor that brings it to that width, and where none is "
            "seen, at other scales; where nuclei are of another size, take the factor that brings "
            "them to it."
        ),
    }
    return [
        {
            "step": "grey",
            "how": (
                "One number a pixel, float32 from 0 to 1: whole numbers are divided by the largest "
                "of their type (255 or 65535), colour is 0.2125 R + 0.7154 G + 0.0721 B, and "
                "numbers of another range become (x - min) / (max - min)."
            ),
        },
        {
            "step": "percentiles",
            "low": LOW,
            "high": HIGH,
            "least_span": LEAST_SPAN,
            "how": (
                "Of the whole picture, linear between neighbours (numpy.percentile). The picture "
                "becomes (picture - p_low) / (p_high - p_low), clipped to 0 and 1. Where the span "
                "is not above least_span times the largest absolute value of the picture, minimum "
                "and maximum take the percentiles' place; where it still is not, divide by 1."
            ),
        },
        *([resize] if model.working_side else []),
        {
            "step": "pad",
            "multiple": STRIDE,
            "least": LEAST_SIDE,
            "how": (
                "Repeat the last row downwards and the last column to the right until height and "
                "width are multiples of multiple, and not below least."
            ),
        },
    ]


def _after() -> list[dict[str, Any]]:
    return [
        {"step": "sigmoid", "how": "1 / (1 + exp(-logit)) is the probability of nucleus."},
        {"step": "crop", "how": "Keep the rows and columns from before the padding."},
        {
            "step": "resize back",
            "how": f"To the picture's own size, then clip to 0 and 1. {RESIZING}",
        },
        {
            "step": "threshold",
            "threshold": THRESHOLD,
            "how": "Pixels of at least threshold are nucleus.",
        },
        {
            "step": "labels",
            "connectivity": 1,
            "hole": round(HOLE, 6),
            "neck": NECK,
            "smallest_area": MIN_AREA,
            "how": (
                "Pieces touch by a side, not by a corner. Fill a hole when the largest disc that "
                "fits into it has at most hole times the radius of the largest that fits into its "
                "piece. Part a piece by a watershed of its distance transform, divided by its "
                "maximum, where it narrows by more than neck. Number the nuclei, and drop those of "
                "fewer pixels than smallest_area. Without the watershed nuclei that touch stay "
                "together."
            ),
        },
    ]


def shipped_name(model: ResNet18FPN) -> str:
    """The name under which these very weights come with devotools; empty for any others."""
    for name in SHIPPED:
        try:
            shipped = load_model(name)
        except InputError:  # damaged: then it is not this one
            continue
        if shipped.metadata == model.metadata and _same_weights(shipped, model):
            return name
    return ""


def _same_weights(one: ResNet18FPN, other: ResNet18FPN) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name].cpu())
        for name, value in first.items()
        if not name.endswith("num_batches_tracked")
    )


def card_of(name: str) -> str:
    """The card of a shipped model, in Markdown; its links lead to the project's home."""
    text = (files("devotools") / "weights" / CARDS[name]).read_text(encoding="utf-8")
    return re.sub(r"!?\[([^\]]*)\]\((?!https?:)([^)]+)\)", _link_home, text)


def _link_home(link: re.Match[str]) -> str:
    """A link or a picture of the card as a link that works anywhere."""
    return f"[{link[1]}]({HOME}/blob/main/{normpath(f'devotools/weights/{link[2]}')})"


def author() -> str:
    """Who made devotools, as its own metadata say."""
    return importlib.metadata.metadata("devotools")["Author"] or "The devotools contributors"


def need(extra: str, modules: Iterable[str]) -> None:
    """Raise one sentence when a package that an export needs is not installed."""
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise InputError(
                f"this export needs the package {error.name or name!r}, which is not installed; "
                f"expected the extra {extra!r}. In the folder of devotools, run: "
                f'python -m pip install -c constraints.txt -e ".[{extra}]"'
            ) from error
