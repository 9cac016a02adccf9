"""Checks of what comes in. Every message says what came, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np


class InputError(ValueError):
    """Input that cannot be used. Its message is a sentence meant for the person who gave it."""


def check_image(image: np.ndarray, name: str = "image") -> np.ndarray:
    """Return ``image`` as an array, sure to be (H, W), not empty, numeric and finite."""
    array = np.asarray(image)
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
    if array.dtype.kind not in "ui":
        raise InputError(
            f"{name} has dtype {array.dtype}; expected whole numbers, one for each nucleus. "
            "Make them from a probability with label_nuclei."
        )
    if array.dtype.kind == "i" and array.min() < 0:
        raise InputError(
            f"{name} holds {array.min()}; expected 0 for background and ids from 1. "
            "Give the nuclei other numbers, for example with skimage.measure.label(labels > 0)."
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


def check_folder(path: str | Path, name: str = "folder") -> Path:
    """Return ``path`` as a Path, sure to be a folder that exists."""
    folder = Path(path)
    if not folder.exists():
        raise InputError(
            f"{name} {str(path)!r} does not exist; expected a folder. "
            "Check the spelling of the path."
        )
    if not folder.is_dir():
        raise InputError(
            f"{name} {str(path)!r} is a file; expected a folder. Give the folder it is in."
        )
    return folder


def _some(values: np.ndarray, most: int = 5) -> str:
    shown = ", ".join(f"{value:g}" for value in values[:most])
    more = f", ... ({len(values)} values)" if len(values) > most else ""
    return f"the values {shown}{more}"
