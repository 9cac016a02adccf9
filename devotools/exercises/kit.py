"""What an exercise is, and how an answer is judged: by the right one and the known wrong ones."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import torch

from devotools._validate import InputError

# What is said to a stub that nobody has filled in.
UNTOUCHED = "nothing to check so far. Write your answer above and run both cells again."
MANY_ANSWERS = (
    "An array holds many answers at once. To ask whether there is a True in it: .any(). Pixel by "
    "pixel: np.where in place of if, & and | in place of and, or."
)
ONE_NUMBER = (
    "That is an array, and one number is asked for: is .sum(), .mean() or [0] missing? (Python's "
    "own sum adds up the rows.)"
)
NUMBERS = (
    "the values are right, but they are numbers, and a mask is True and False: image[mask] and "
    "~mask do something else with numbers. End with a comparison, or with .astype(bool)."
)
CHANGED = (
    "the lists are not those of the lesson any more. (list.sort() changes a list, sorted(list) "
    "makes a new one.) Leave them as they are, run their cell again, then this one."
)
SMALL = 1e-6  # differences below are no mistake: many add so much where they divide
NOTHING_BACK = (
    "your function gives nothing back. End it with return and the answer; print only shows."
)


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people really give: its name, the answer itself, what to look at.

    ``wrong`` is of the same kind as the exercise's ``right``: a function, or a value computed from
    what is given. It is never shown; an answer that behaves like it is recognised by it.
    """

    name: str
    wrong: Callable[..., Any]
    advice: str


@dataclass(frozen=True)
class Case:
    """Arguments on which a student's function is tried, and a word for them in messages."""

    name: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    With ``cases`` the answer is a function, and ``right`` is one that solves it. Without, the
    answer is a value, and ``right(*given)`` computes it; ``example`` stands in for what the lesson
    gives when the exercise itself is tested, and with ``fixed`` it is what the lesson gives: other
    values were changed on the way. ``spares`` is said to a function that changes the
    arrays it was given; empty where it may. ``otherwise`` is said to a wrong value that is no
    known mistake; ``solved`` to a right answer: why it matters. ``tolerance`` is relative.
    """

    key: str
    right: Callable[..., Any]
    hints: tuple[str, ...]
    mistakes: tuple[Mistake, ...] = ()
    cases: tuple[Case, ...] = ()
    example: tuple[Any, ...] = ()
    fixed: bool = False
    spares: str = ""
    otherwise: str = "Compare it with what the hints say."
    solved: str = ""
    tolerance: float = 1e-4


@dataclass(frozen=True)
class Verdict:
    """*solved* or *not yet*, with a sentence; ``mistake`` is the name of a recognised one."""

    solved: bool
    message: str
    mistake: str | None = None

    def __repr__(self) -> str:
        return ": ".join(part for part in (self.word, self.message) if part)

    @property
    def word(self) -> str:
        """What the verdict comes down to."""
        return "solved" if self.solved else "not yet"

    def _repr_html_(self) -> str:
        # the word says it; the colour of the edge only repeats it
        colour, sign = ("#009E73", "✓") if self.solved else ("#E69F00", "…")
        message = f": {escape(self.message)}" if self.message else ""
        return (
            f'<div style="border-left: 0.3em solid {colour}; padding: 0.2em 0.8em">'
            f"<strong>{sign} {self.word}</strong>{message}</div>"
        )


@dataclass(frozen=True)
class Hints:
    """Hints behind each other: opening one shows the next, still closed."""

    texts: tuple[str, ...] = field(repr=False)

    def __repr__(self) -> str:
        return f"{len(self.texts)} hints, one behind the other; print(_.texts[0]) shows the first"

    def _repr_html_(self) -> str:
        inner = ""
        for number in range(len(self.texts), 0, -1):
            text = escape(self.texts[number - 1])
            inner = (
                f'<details style="margin-left: 1em"><summary>Hint {number} of {len(self.texts)}'
                f"</summary><p>{text}</p>{inner}</details>"
            )
        return inner


def judge(exercise: Exercise, answer: Any, given: tuple[Any, ...] = ()) -> Verdict:
    """Compare an answer with the right one, then with each known mistake."""
    if exercise.cases:
        return _judge_function(exercise, answer)
    if answer is None or answer is ...:
        return _untouched()
    if len(given) != len(exercise.example):
        raise InputError(
            f"exercise {exercise.key!r} got {len(given)} values to compute the answer from; "
            f"expected {len(exercise.example)}. Call check as the lesson does."
        )
    if exercise.fixed and not same(given, exercise.example):
        return Verdict(False, CHANGED)
    if same(answer, exercise.right(*given), exercise.tolerance):
        return _right_values(exercise, answer, exercise.right(*given))
    for mistake in exercise.mistakes:
        if same(answer, mistake.wrong(*given), exercise.tolerance):
            return _named(mistake)
    kind = _kind_of_wrong(answer, exercise.right(*given))
    return Verdict(False, " ".join([exercise.otherwise, *kind]))


def _judge_function(exercise: Exercise, answer: Any) -> Verdict:
    if answer is None or answer is ...:
        return _untouched()
    if not callable(answer):
        return Verdict(
            False, f"this is a {type(answer).__name__}; give the function itself, without brackets."
        )
    results = []
    for case in exercise.cases:
        given = copy.deepcopy(case.arguments)
        try:
            results.append(answer(*given))
        except (Exception, SystemExit) as error:  # noqa: BLE001, a student's code may raise all
            what = " ".join(f"{type(error).__name__}: {error}".split())
            if "truth value of an array" in what:
                what += f". {MANY_ANSWERS}"
            return Verdict(False, f"for {case.name} your function raised {what}")
        if exercise.spares and not same(given, case.arguments):
            return Verdict(False, f"your function changed what it was given. {exercise.spares}")
    if all(result is ... for result in results):
        return _untouched()
    if all(result is None for result in results):
        return _untouched() if _is_stub(answer) else Verdict(False, NOTHING_BACK)
    if all(_like(exercise, exercise.right, results)):
        return _right_values(
            exercise, results[0], exercise.right(*copy.deepcopy(exercise.cases[0].arguments))
        )
    for mistake in exercise.mistakes:
        if all(_like(exercise, mistake.wrong, results)):
            return _named(mistake)
    place = _like(exercise, exercise.right, results).index(False)
    case, got = exercise.cases[place], results[place]
    expected = exercise.right(*copy.deepcopy(case.arguments))
    said = f"for {case.name} {_difference(got, expected, exercise.tolerance)}."
    return Verdict(False, " ".join([said, *_kind_of_wrong(got, expected)]))


def _right_values(exercise: Exercise, got: Any, expected: Any) -> Verdict:
    """Solved, unless a mask is asked for and 0 and 1 have come."""
    mask = isinstance(expected, np.ndarray) and expected.dtype == bool
    if mask and np.asarray(got).dtype != bool:
        return Verdict(False, NUMBERS)
    return Verdict(True, exercise.solved)


def _difference(got: Any, expected: Any, tolerance: float) -> str:
    """What was expected and what came; of long arrays alike in shape, where they first differ."""
    plain = f"expected {_short(expected)}, got {_short(got)}"
    try:
        first, second = _array(got), _array(expected)
    except (TypeError, ValueError):
        return plain
    if first.shape != second.shape or "..." not in plain:
        return plain
    wrong = ~np.isclose(first, second, rtol=tolerance, atol=SMALL, equal_nan=True)
    place = tuple(int(axis[0]) for axis in np.nonzero(wrong))
    where = f"place {', '.join(map(str, place))}"
    if len(place) == 2:
        where = f"row {place[0]}, column {place[1]}"
    one, other = (_short(_values(answer)[place].item()) for answer in (got, expected))
    return f"expected {other} at {where} (counted from 0), got {one}"


def _kind_of_wrong(got: Any, expected: Any) -> list[str]:
    """What to say when an answer is of another kind than the right one."""
    picture = getattr(got, "ndim", 1) > 1  # its rows may be as many by chance
    if isinstance(expected, tuple) and (picture or not _is_row(got) or len(got) != len(expected)):
        return [f"Give {len(expected)} values, with a comma between: return first, second."]
    a_number = isinstance(expected, (int, float, np.number))
    if a_number and isinstance(got, str):
        return ["That is text. Give the number itself, without quotes."]
    if a_number and isinstance(got, (tuple, list)) and len(got) == 1:
        return ["One value in a row: is there a comma or a bracket too many?"]
    if a_number and isinstance(got, (tuple, list)):
        return [f"Those are {len(got)} values, and one number is asked for: what makes it of them?"]
    if a_number and _is_row(got):
        return [ONE_NUMBER]
    return []


def _like(exercise: Exercise, function: Callable[..., Any], results: list[Any]) -> list[bool]:
    """Case by case, whether the results are those of ``function``."""
    return [
        same(result, function(*copy.deepcopy(case.arguments)), exercise.tolerance)
        for case, result in zip(exercise.cases, results, strict=True)
    ]


def _is_stub(function: Callable[..., Any]) -> bool:
    """Whether a function does nothing but ``return None``, as it stood in the lesson."""
    code = getattr(function, "__code__", _stub.__code__)
    return len(code.co_code) == len(_stub.__code__.co_code)


def _stub() -> None:
    return None


def _untouched() -> Verdict:
    return Verdict(False, UNTOUCHED)


def _named(mistake: Mistake) -> Verdict:
    return Verdict(False, f"{mistake.name}. {mistake.advice}", mistake.name)


def same(got: Any, expected: Any, tolerance: float = 1e-4) -> bool:
    """Whether two answers are equal: numbers and arrays within rounding, the rest exactly.

    >>> same(0.33333, 1 / 3), same([1, 2], [2, 1]), same({"a"}, {"a"}), same((1, None), (1, 2))
    (True, False, True, False)
    """
    if isinstance(expected, dict):
        alike = isinstance(got, dict) and got.keys() == expected.keys()
        return alike and all(same(got[key], expected[key], tolerance) for key in expected)
    for kind in (str, (set, frozenset)):
        if isinstance(expected, kind):
            return isinstance(got, kind) and got == expected  # a NumPy text is a str too
    if isinstance(expected, (tuple, list)):
        alike = _is_row(got) and len(got) == len(expected)
        return alike and all(
            same(one, other, tolerance) for one, other in zip(got, expected, strict=True)
        )
    return _same_array(got, expected, tolerance)


def _is_row(value: Any) -> bool:
    """Whether a value has items in an order: a list, a tuple, an array of one axis at least."""
    if isinstance(value, (str, dict, set, frozenset)) or not hasattr(value, "__len__"):
        return False
    return getattr(value, "ndim", 1) > 0


def _same_array(got: Any, expected: Any, tolerance: float) -> bool:
    try:
        first, second = _array(got), _array(expected)
        if first.shape != second.shape:
            return False
        return bool(np.allclose(first, second, rtol=tolerance, atol=SMALL, equal_nan=True))
    except (TypeError, ValueError):  # text, ragged lists, objects: no numbers, so not the same
        return False


def _values(value: Any) -> np.ndarray:
    return np.asarray(value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value)


def _array(value: Any) -> np.ndarray:
    array = _values(value)
    if array.dtype.kind not in "biuf":  # NumPy would make a number of the text "3", and of None
        raise TypeError(f"{array.dtype} is no number")
    return array.astype(float)


def _short(value: Any, most: int = 90) -> str:
    """Return a value in one line."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}"
    text = value.tolist() if isinstance(value, np.ndarray) else value
    text = repr(text) if isinstance(text, str) else " ".join(str(text).split())
    return text if len(text) <= most else text[:most] + " ..."
