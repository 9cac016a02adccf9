"""The settings of a run: what must be the same for two runs to give the same results."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from devotools._validate import (
    InputError,
    check_count,
    check_fraction,
    check_pixel_size,
    check_positive,
)
from devotools.classification import ResNet18Classifier
from devotools.images import replace_file
from devotools.metrics import THRESHOLD
from devotools.runtime import has_fast_bfloat16

FILE = "settings.json"
# what a setting is called on the command line, and which setting it follows from
OPTIONS = {
    "pictures": "the pictures, seen from the results",
    "model": "--model",
    "nucleus_size": "--nucleus-size",
    "pixel_size_um": "--pixel-size",
    "threshold": "--threshold",
    "min_area": "--min-area",
    "rois": "--rois",
    "classify": "--classify",
    "weights": "the model's weights",
    "working_side": "the model's working side",
    "working_nucleus": "the nucleus size that the model was trained at",
    "classifier": "the classifier's weights",
    "devotools": "the version of devotools",
    "arithmetic": "how the machine calculates",
}
ARITHMETIC = r"(?P<precision>\w+) on cpu(, (?P<threads>\d+) threads)?"
FOLLOWS = {
    "scale": "nucleus_size",
    "weights": "model",
    "working_side": "model",
    "working_nucleus": "model",
    "classifier": "classify",
}
NAMES = {"model": "weights", "classify": "classifier"}  # a name, and the sum of what it names
SIZES = ("working_side", "working_nucleus")  # of a model: the scale follows from them


@dataclass(frozen=True)
class Settings:
    """How pictures are segmented. Lengths of nuclei are pixels of the pictures as they are.

    ``model`` is the name or file given, ``weights`` the SHA-256 of what it holds. ``scale`` is
    "auto" or the factor that follows from ``nucleus_size``. ``arithmetic`` is how the machine
    calculates: in bfloat16 results do not depend on the number of threads, in float32 they do, in
    the last digit, and a pixel in a million may fall on the other side of the threshold.
    ``classify`` is the name or file of the classifier that tells states, None where they are not
    told, and ``classifier`` the SHA-256 of what it holds. ``working_side`` and ``working_nucleus``
    are the model's, in pixels.
    """

    model: str
    weights: str
    scale: float | str
    nucleus_size: float | None
    pixel_size_um: float | None
    threshold: float
    min_area: int
    rois: bool
    arithmetic: str
    devotools: str
    working_side: int | None = None
    working_nucleus: float | None = None
    classify: str | None = None
    classifier: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; where no states are told, nothing is said of them."""
        values = asdict(self)
        if self.classify is None:
            del values["classify"], values["classifier"]
        return values


def settings_for(
    network: nn.Module,
    model: str = "nuclei",
    *,
    nucleus_size: float | None = None,
    pixel_size_um: float | None = None,
    threshold: float = THRESHOLD,
    min_area: int = 20,
    rois: bool = False,
    classifier: ResNet18Classifier | None = None,
    classify: str = "states",
) -> Settings:
    """The settings of a run with a loaded network; with a ``classifier``, it tells states too.

    Raises :class:`~devotools._validate.InputError` for a setting out of its range, and when a
    ``nucleus_size`` is given and the model does not know the size that it was trained for.
    """
    check_fraction(threshold, "threshold")
    check_count(min_area, "min_area", least=0)
    if pixel_size_um is not None:
        check_pixel_size(pixel_size_um)
    return Settings(
        model=model,
        scale=scale_for(network, nucleus_size),
        nucleus_size=nucleus_size,
        pixel_size_um=pixel_size_um,
        threshold=threshold,
        min_area=min_area,
        rois=rois,
        classify=None if classifier is None else classify,
        **facts_of(network, classifier),
    )


def scale_for(network: nn.Module, nucleus_size: float | None) -> float | str:
    """The ``scale`` of a prediction: "auto", or the factor that nuclei of so many pixels ask for.

    Raises :class:`~devotools._validate.InputError` for a size that is none, and when the model does
    not know the size of the nuclei that it was trained on.
    """
    if nucleus_size is None:
        return "auto"
    check_positive(nucleus_size, "nucleus_size", "pixels")
    trained_on = getattr(network, "working_nucleus", None)
    if trained_on is None:
        raise InputError(
            f"the nucleus size is {nucleus_size}, but this model does not say at which nucleus "
            "size it was trained; expected no nucleus size with it. Leave it out, or choose the "
            "model nuclei."
        )
    return trained_on / nucleus_size


def facts_of(network: nn.Module, classifier: ResNet18Classifier | None = None) -> dict[str, Any]:
    """What follows from the networks and the machine that they run on."""
    return {
        "weights": weights_sum(network),
        **{size: getattr(network, size, None) for size in SIZES},
        "arithmetic": _arithmetic(network),
        "devotools": importlib.metadata.version("devotools"),
        "classifier": None if classifier is None else classifier_sum(classifier),
    }


def classifier_sum(classifier: ResNet18Classifier) -> str:
    """A SHA-256 over all that a classifier's answers follow from."""
    numbers = (classifier.context, classifier.temperature, classifier.limit)
    whole = f"{weights_sum(classifier)} {numbers}"
    return hashlib.sha256(whole.encode()).hexdigest()


def weights_sum(network: nn.Module) -> str:
    """A SHA-256 over all weights of a network, wherever they were loaded from."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _arithmetic(network: nn.Module) -> str:
    device = next(network.parameters(), torch.empty(0)).device
    if has_fast_bfloat16(device):
        return f"bfloat16 on {device.type}"
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    return f"float32 on {device.type}{threads}"


def check_same_run(out: Path, settings: Settings, inputs: Sequence[str]) -> None:
    """Compare with the settings of the results in ``out``; write them where there are none.

    Raises :class:`~devotools._validate.InputError` that names what differs: results of two
    settings in one folder could not be told apart.
    """
    seen = {"pictures": [_seen_from(out, path) for path in inputs], "places": _places(inputs)}
    new = settings.to_dict() | seen
    try:
        old = json.loads((out / FILE).read_text(encoding="utf-8"))
        stored = {key: old.get(key) for key in seen}
        typed = old.get("inputs")  # an earlier version kept them as they were typed
        if typed == list(inputs) or old.get("places") == new["places"]:
            old["pictures"] = new["pictures"]
        old.setdefault("pictures", typed)
        # an earlier version did not note the sizes, and went by the model's name
        keys = [key for key in new if key != "places" and (key in old or key not in SIZES)]
        keys += [key for key in ("classify",) if key in old and key not in new]
        different = [key for key in keys if old.get(key) != new.get(key)]
        noted = all(size in old for size in SIZES) and not set(SIZES) & set(different)
        for name, total in NAMES.items():  # the same weights under another name are the same
            if noted and name in different and total in new and total not in different:
                different.remove(name)
        if not different and stored != seen:  # moved, together or alone: next time perhaps again
            write_settings(out, {key: old[key] for key in old if key != "inputs"} | seen)
        known = {key: old.get(key) for key in different}
    except FileNotFoundError:
        write_settings(out, new)
        return
    except (ValueError, AttributeError) as error:
        raise InputError(
            f"{str(out / FILE)!r} cannot be read ({error}); expected the settings of an earlier "
            "run. Choose a new folder for the results."
        ) from error
    if different:
        said = "; ".join(_difference(key, known, new) for key in _causes(different))
        other = f"{out if out.name else out.resolve()}-2"
        raise InputError(
            f"{str(out)!r} holds results of other settings ({said}). Choose a new folder, for "
            f"example {other!r}, or go on there with the settings of {FILE}.{_remedy(known, new)}"
        )


def _seen_from(out: str | Path, path: str) -> str:
    """The way from the results to a path: the same wherever the command is given.

    So "." is another folder after `cd`, and pictures and results may be moved together.
    """
    path, out = os.path.realpath(path), os.path.realpath(out)
    try:
        return Path(os.path.relpath(path, out)).as_posix()
    except ValueError:  # another drive of Windows
        return path


def _places(inputs: Sequence[str]) -> str:
    """A SHA-256 of where the pictures lie, which names no folder: only the results may move too."""
    places = "\0".join(map(os.path.realpath, inputs))
    return hashlib.sha256(places.encode("utf-8", "surrogateescape")).hexdigest()


def _remedy(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """How to calculate as then, on a processor, where that is all that differs."""
    then, now = (re.fullmatch(ARITHMETIC, str(one.get("arithmetic"))) for one in (old, new))
    if then is None or now is None:
        return ""
    words = []
    if then["precision"] != now["precision"]:
        words.append(f"DEVOTOOLS_BFLOAT16={int(then['precision'] == 'bfloat16')}")
    if then["threads"] and then["threads"] != now["threads"]:
        words.append(f"OMP_NUM_THREADS={then['threads']}")
    return f" To calculate as then on such a processor, put {' '.join(words)} before the command."


def _causes(different: Sequence[str]) -> list[str]:
    """The settings that differ, without what merely follows from another that does."""
    return [key for key in different if FOLLOWS.get(key) not in different]


def _difference(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """A setting that differs, in the words of the command."""
    words = OPTIONS.get(key, key)
    return f"{words}: {_said(old.get(key))}, now {_said(new.get(key))}"


def _said(value: Any) -> str:
    if value is None or value is False:
        return "not given"
    if value is True:
        return "given"
    if isinstance(value, list):
        return ", ".join(map(repr, value))
    text = str(value)
    return f"{text[:8]}..." if len(text) == 64 else text  # a SHA-256


def write_settings(out: Path, settings: dict[str, Any]) -> None:
    """Write ``settings.json``, whole or not at all."""
    with replace_file(out / FILE) as temporary:
        temporary.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
