"""Exercises that check themselves and name the mistake: the door of this wing.

`kit` is the machinery. Each `lesson_NN` holds the exercises of one lesson: a right answer, the
wrong answers that people really give, and hints. `check` compares a student's answer with all.
`read_progress` reads from saved notebooks which exercises are solved.
"""

from devotools._validate import check_choice

from . import lesson_01, lesson_02, lesson_03, lesson_04, lesson_05, lesson_06, lesson_07
from .kit import Case, Exercise, Hints, Mistake, Verdict, judge
from .progress import read_progress

LESSONS = (lesson_01, lesson_02, lesson_03, lesson_04, lesson_05, lesson_06, lesson_07)
EXERCISES = {exercise.key: exercise for lesson in LESSONS for exercise in lesson.EXERCISES}

__all__ = [
    "EXERCISES",
    "Case",
    "Exercise",
    "Hints",
    "Mistake",
    "Verdict",
    "check",
    "hint",
    "read_progress",
]


def check(key: str, answer: object, *given: object) -> Verdict:
    """Judge an answer to the exercise ``key``, for example ``"4.2"``.

    ``answer`` is a function or a value, as the exercise asks; ``given`` is what the answer was to
    be computed from, where the lesson passes it on. The verdict says *solved*, *not yet*, or names
    the mistake. Raises :class:`~devotools._validate.InputError` for an unknown key.

    >>> check("4.1", None)
    not yet: nothing to check so far. Write your answer above and run both cells again.
    """
    return judge(_find(key), answer, given)


def hint(key: str) -> Hints:
    """Show the hints of the exercise ``key``, from a nudge to nearly the answer, closed at first.

    Raises :class:`~devotools._validate.InputError` for an unknown key.

    >>> len(hint("4.1").texts)
    3
    """
    return Hints(_find(key).hints)


def _find(key: str) -> Exercise:
    return EXERCISES[check_choice(key, "exercise", EXERCISES)]
