"""Checks of what comes in. Every message says what came, what was expected and what to do."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

MAX_ID = 2**63 - 1  # the largest whole number of a table's column
PIXEL_SIZES_UM = (1e-6, 1e6)  # from a picometre to a metre


class InputError(ValueError):
    """Input that cannot be used. Its message is a sentence meant for the person who gave it."""


def as_array(value: Any, name: str) -> np.ndarray:
    """Return ``value`` as an array: lists and tensors are taken as well, if they can be."""
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists, tensors with gradients
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{name} is a {type(value).__name__} that cannot be read as an array ({reason}); "
            "expected numbers in rows of one length. Of a tensor give "
            "tensor.detach().cpu().float()."
        ) from error


def check_kind(value: Any, kind: type | tuple[type, ...], name: str, remedy: str) -> None:
    """Refuse a ``value`` of another class; ``remedy`` says how to get what is expected."""
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        came = f"the class {value.__name__}" if isinstance(value, type) else _shown(value)
        raise InputError(
            f"{name} is {came}; expected a {' or a '.join(k.__name__ for k in kinds)}. {remedy}"
        )


def check_image(image: np.ndarray, name: str = "image") -> np.ndarray:
    """Return ``image`` as an array, sure to be (H, W), not empty, numeric and finite."""
    array = as_array(image, name)
    if array.ndim != 2:
        raise InputError(
            f"{name} has shape {array.shape}; expected two axes (row, column). "
            "Choose one section of a stack, or turn colour into grey with read_image."
        )
    if array.size == 0:
        raise InputError(f"{name} has shape {array.shape}: no pixel at all. Give a larger array.")
    if array.dtype.kind not in "buif":
        raise InputError(
            f"{name} has dtype {array.dtype}; expected numbers. Convert it with astype."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int(array.size - np.isfinite(array).sum())
        raise InputError(
            f"{name} holds {bad} values that are NaN or infinite; expected finite numbers. "
            "Replace them, for example with numpy.nan_to_num."
        )
    return array


def check_mask(mask: np.ndarray, name: str = "mask") -> np.ndarray:
    """Return ``mask`` as an (H, W) bool array; numbers are taken only when they are 0 and 1."""
    array = check_image(mask, name)
    if array.dtype == bool:
        return array
    values = np.unique(array)
    if not np.isin(values, (0, 1)).all():
        raise InputError(
            f"{name} holds {_some(values)}; expected a mask of True and False (or 1 and 0). "
            "Make one with a comparison, for example probability >= 0.5 or labels > 0."
        )
    return array.astype(bool)


def check_labels(labels: np.ndarray, name: str = "labels") -> np.ndarray:
    """Return ``labels`` as an (H, W) array of whole numbers from 0, which is background."""
    array = check_image(labels, name)
    if array.dtype.kind == "b":
        raise InputError(
            f"{name} has dtype bool; expected whole numbers, one for each nucleus. It is a mask: "
            "skimage.measure.label numbers its pieces."
        )
    if array.dtype.kind not in "ui":
        raise InputError(
            f"{name} has dtype {array.dtype}; expected whole numbers, one for each nucleus. "
            "Labels that were saved as decimals: labels.astype(int); a probability: label_nuclei."
        )
    low, high = array.min(), array.max()
    if low < 0 or high > MAX_ID:
        raise InputError(
            f"{name} holds {low if low < 0 else high}; expected 0 for background and ids from 1 to "
            f"{MAX_ID}. Give the nuclei other numbers, for example with "
            "skimage.measure.label(labels > 0)."
        )
    return array


def check_same_shape(first: np.ndarray, second: np.ndarray, names: tuple[str, str]) -> None:
    """Refuse two pictures of different size."""
    if first.shape != second.shape:
        raise InputError(
            f"{names[0]} has shape {first.shape} and {names[1]} has shape {second.shape}; "
            "expected the same rows and columns. Check that they belong to the same section, "
            "and that neither was resized or cropped alone."
        )


def check_count(value: int, name: str, *, least: int = 1) -> int:
    """Return ``value``, sure to be a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(f"{name} is {value!r}; expected a whole number of at least {least}.")
    return int(value)


def check_positive(value: float, name: str, unit: str = "") -> float:
    """Return ``value``, sure to be a finite number above zero."""
    good = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not good or not np.isfinite(value) or value <= 0:
        of_unit = f" of {unit}" if unit else ""
        raise InputError(f"{name} is {value!r}; expected a number{of_unit} above 0.")
    return float(value)


def check_pixel_size(value: float, name: str = "pixel_size_um") -> float:
    """Return ``value``, sure to be micrometres along a pixel of some microscope, or telescope."""
    least, most = PIXEL_SIZES_UM
    if not least <= check_positive(value, name, "micrometres") <= most:
        raise InputError(
            f"{name} is {value!r} micrometres; expected {least:g} to {most:g}. Give the length of "
            "one side of a pixel."
        )
    return float(value)


def check_fraction(value: float, name: str) -> float:
    """Return ``value``, sure to lie in [0, 1]."""
    good = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not good or not 0 <= value <= 1:
        raise InputError(f"{name} is {value!r}; expected a number from 0 to 1.")
    return float(value)


def check_choice(value: str, name: str, choices: Iterable[str]) -> str:
    """Return ``value``, sure to be one of ``choices``."""
    known = list(choices)
    if value not in known:
        raise InputError(f"{name} is {value!r}; expected one of {', '.join(map(repr, known))}.")
    return value


def check_path(path: Any, name: str = "path") -> Path:
    """Return ``path`` as a Path, sure to have been text or a Path."""
    check_kind(path, (str, os.PathLike), name, "Give the name of a file or folder.")
    return Path(path)


def as_paths(paths: Any) -> list[Path]:
    """The paths of a list; one path by itself is taken as a list of one."""
    if isinstance(paths, (str, os.PathLike)):
        return [Path(paths)]
    return [check_path(path) for path in paths]


def check_folder(path: str | Path, name: str = "folder") -> Path:
    """Return ``path`` as a Path, sure to be a folder that exists."""
    folder = check_path(path, name)
    if not folder.exists():
        raise InputError(
            f"{name} {str(path)!r} does not exist; expected a folder. "
            "Check the spelling of the path."
        )
    if not folder.is_dir():
        raise InputError(
            f"{name} {str(path)!r} is a file; expected a folder. Give the folder it is in."
        )
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InputError(
            f"{name} {str(path)!r} may not be read (permission denied); expected a folder that you "
            "may read. Ask its owner for the right to, or for a copy in a folder of yours."
        )
    return folder


def _shown(value: Any) -> str:
    """A value as a message names it: short ones themselves, long ones by their class."""
    text = repr(value)
    return text if len(text) <= 60 and "\n" not in text else f"a {type(value).__name__}"


def _some(values: np.ndarray, most: int = 5) -> str:
    shown = ", ".join(f"{value:g}" for value in values[:most])
    more = f", ... ({len(values)} values)" if len(values) > most else ""
    return f"the values {shown}{more}"
