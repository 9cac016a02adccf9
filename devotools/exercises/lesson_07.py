"""The exercises of lesson 07: scores of a rare class, what a network saw, and honest fractions."""

from __future__ import annotations

import numpy as np

from .kit import Case, Exercise, Mistake

# True where a nucleus is condensed: 2 of 10, of which one is found, and two are made up.
_TRUE = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0], bool)
_CALLED = np.array([1, 0, 1, 1, 0, 0, 0, 0, 0, 0], bool)
_NONE_CALLED = np.zeros(10, bool)
_OTHER_TRUE = np.array([1, 1, 1, 1, 0, 0], bool)
_OTHER_CALLED = np.array([1, 1, 1, 0, 0, 1], bool)


def _recalls(true: np.ndarray, called: np.ndarray) -> tuple[float, float]:
    """The share of the condensed ones that was found, and of the others."""
    return float(called[true].mean()), float((~called[~true]).mean())


def _balanced(true: np.ndarray, called: np.ndarray) -> float:
    return float(np.mean(_recalls(true, called)))


def _mean_precision(true: np.ndarray, called: np.ndarray, never: float = np.nan) -> float:
    """How many of those called one thing are it, averaged; ``never`` if it is never called."""
    condensed = true[called].mean() if called.any() else never
    return float((condensed + (~true[~called]).mean()) / 2)


BALANCED = Exercise(
    key="7.1",
    right=_balanced,
    cases=(
        Case("2 condensed nuclei of 10, one of them found", (_TRUE, _CALLED)),
        Case("a program that calls everything interphase", (_TRUE, _NONE_CALLED)),
        Case("4 condensed nuclei of 6", (_OTHER_TRUE, _OTHER_CALLED)),
    ),
    hints=(
        "Two questions, one for each state: of those that really are condensed, how many were "
        "called so? And of those that really are not?",
        "called[true] are the answers for the condensed ones, called[~true] those for the others; "
        "the mean of True and False is a share.",
        "return (called[true].mean() + (~called[~true]).mean()) / 2",
    ),
    mistakes=(
        Mistake(
            "that is accuracy",
            lambda true, called: float((true == called).mean()),
            "Each nucleus counts once there, so the common state decides nearly alone. Take the "
            "share of right answers within each state, then the mean of the two.",
        ),
        Mistake(
            "of the others the wrong calls are counted",
            lambda true, called: float((called[true].mean() + called[~true].mean()) / 2),
            "For an interphase nucleus False is the right answer: take ~called[~true].",
        ),
        Mistake(
            "that is the recall of the condensed ones alone",
            lambda true, called: _recalls(true, called)[0],
            "A program that calls everything condensed would have 1. Ask the same of the others, "
            "and take the mean of both.",
        ),
        Mistake(
            "that is the recall of the interphase ones alone",
            lambda true, called: _recalls(true, called)[1],
            "That is half of it, and the half in which the lazy program is perfect. Ask the same "
            "of the condensed ones.",
        ),
        Mistake(
            "the calls were taken for the truth",
            _mean_precision,
            "You divide by how often a state was called: that is precision. Divide by how many "
            "there really are, which is what true says.",
        ),
        Mistake(
            "the calls were taken for the truth, and no call counts as 0",
            lambda true, called: _mean_precision(true, called, never=0.0),
            "You divide by how often a state was called: that is precision. Divide by how many "
            "there really are, which is what true says. Then nothing is divided by 0.",
        ),
        Mistake(
            "the two shares were added up, not averaged",
            lambda true, called: float(sum(_recalls(true, called))),
            "A perfect program would have 2. Divide by the number of states.",
        ),
    ),
    solved="whoever calls everything interphase has 0.5 now, however rare the other state is.",
)

_CROP = (np.arange(48, dtype=np.float32).reshape(6, 8) % 7) / 10


def _covered(crop: np.ndarray, rows: slice, cols: slice, value: float) -> np.ndarray:
    covered = np.array(crop, copy=True)
    covered[rows, cols] = value
    return covered


def _cover(crop: np.ndarray, row: int, col: int, side: int) -> np.ndarray:
    return _covered(crop, slice(row, row + side), slice(col, col + side), crop.mean())


def _with(value: float):
    def cover(crop: np.ndarray, row: int, col: int, side: int) -> np.ndarray:
        return _covered(crop, slice(row, row + side), slice(col, col + side), value)

    return cover


def _under_the_square(crop: np.ndarray, row: int, col: int, side: int) -> np.ndarray:
    rows, cols = slice(row, row + side), slice(col, col + side)
    return _covered(crop, rows, cols, crop[rows, cols].mean())


def _around(crop: np.ndarray, row: int, col: int, side: int) -> np.ndarray:
    half = side // 2
    rows = slice(max(row - half, 0), row + side - half)
    return _covered(crop, rows, slice(max(col - half, 0), col + side - half), crop.mean())


COVER = Exercise(
    key="7.2",
    right=_cover,
    spares="Copy the crop first, so that the next square finds it whole: copy = crop.copy().",
    cases=(
        Case("a square of 2 in a small crop", (_CROP, 1, 4, 2)),
        Case("a square of 3 further down", (_CROP, 3, 2, 3)),
        Case("a square of 4 to the right", (_CROP, 2, 3, 4)),
    ),
    hints=(
        "The network must not see what was there, and must not take the patch for something else. "
        "What would a black patch look like to it?",
        "Copy the crop first, so that the next square finds it whole; then set "
        "copy[row : row + side, col : col + side].",
        "copy = crop.copy(); copy[row : row + side, col : col + side] = crop.mean(); return copy",
    ),
    mistakes=(
        Mistake(
            "the square is black",
            _with(0.0),
            "A dark lump in a bright nucleus is what condensed chromatin looks like: you would "
            "put in what you want to take out. Use the mean brightness of the crop.",
        ),
        Mistake(
            "the square is white",
            _with(1.0),
            "White is what resin and a torn section look like, so the network answers to that. "
            "Use the mean brightness of the crop.",
        ),
        Mistake(
            "the square took the median of the crop",
            lambda crop, row, col, side: _with(float(np.median(crop)))(crop, row, col, side),
            "A median would do as well. Take the mean here, so that answers can be compared.",
        ),
        Mistake(
            "the square took the mean of what lies under it",
            _under_the_square,
            "A square over a dark clump stays dark then, and the clump is still told. Take the "
            "mean of the whole crop.",
        ),
        Mistake(
            "row and column are swapped",
            lambda crop, row, col, side: _covered(
                crop, slice(col, col + side), slice(row, row + side), crop.mean()
            ),
            "The first index counts rows, downwards; the second columns, to the right.",
        ),
        Mistake(
            "side is taken for the end",
            lambda crop, row, col, side: _covered(
                crop, slice(row, side), slice(col, side), crop.mean()
            ),
            "A slice wants first and end, not first and length: row : row + side.",
        ),
        Mistake(
            "the square is drawn round the place, not from it",
            _around,
            "Row and column are those of its upper left corner: from row to row + side.",
        ),
        Mistake(
            "the square is one pixel too large",
            lambda crop, row, col, side: _covered(
                crop, slice(row, row + side + 1), slice(col, col + side + 1), crop.mean()
            ),
            "A slice leaves out its end: row : row + side has exactly side rows.",
        ),
        Mistake(
            "nothing is covered",
            lambda crop, row, col, side: crop,
            "The crop came back unchanged: set the square in the copy, and return the copy.",
        ),
    ),
    solved="and whatever you cover with, the network answers to it: try black in the lesson.",
)

# Four bins: how many nuclei, what was claimed on average, which share was right
_COUNT = np.array([10, 10, 20, 60])
_CLAIMED = np.array([0.55, 0.65, 0.8, 0.98])
_RIGHT = np.array([0.6, 0.4, 0.75, 0.9])
_FEW = np.array([5, 0, 0, 15])
_FEW_CLAIMED = np.array([0.6, 0.7, 0.8, 0.95])
_FEW_RIGHT = np.array([0.8, 0.0, 0.0, 0.8])


def _ece(count: np.ndarray, claimed: np.ndarray, right: np.ndarray) -> float:
    return float((count * abs(claimed - right)).sum() / count.sum())


CALIBRATION_ERROR = Exercise(
    key="7.3",
    right=_ece,
    cases=(
        Case("four bins with most nuclei in the last", (_COUNT, _CLAIMED, _RIGHT)),
        Case("two bins in use and two empty ones", (_FEW, _FEW_CLAIMED, _FEW_RIGHT)),
    ),
    hints=(
        "In each bin, how far is what was claimed from what was right? And how many nuclei does "
        "that concern?",
        "abs() takes away the sign. A mean over nuclei is a sum of count times distance, divided "
        "by all the nuclei.",
        "return (count * abs(claimed - right)).sum() / count.sum()",
    ),
    mistakes=(
        Mistake(
            "each bin counts the same",
            lambda count, claimed, right: float(abs(claimed - right).mean()),
            "A bin with one nucleus weighs as much as one with a thousand, and empty ones weigh "
            "as well. Weigh each bin with its count.",
        ),
        Mistake(
            "too sure and not sure enough cancel",
            lambda count, claimed, right: float((count * (claimed - right)).sum() / count.sum()),
            "One bin claims too much and another too little, and the sum says that all is well. "
            "Take the distance, without its sign, before you add.",
        ),
        Mistake(
            "that is the worst bin",
            lambda count, claimed, right: float(abs(claimed - right)[count > 0].max()),
            "It is called maximum calibration error, and is worth knowing. Asked for is the mean "
            "over all nuclei.",
        ),
        Mistake(
            "the distances are squared",
            lambda count, claimed, right: float(
                (count * (claimed - right) ** 2).sum() / count.sum()
            ),
            "Squares are another measure, and make small errors look like none. Take abs().",
        ),
        Mistake(
            "the sum is not divided by the number of nuclei",
            lambda count, claimed, right: float((count * abs(claimed - right)).sum()),
            "It grows with the number of nuclei. Divide by count.sum().",
        ),
        Mistake(
            "the sum is divided by the number of bins",
            lambda count, claimed, right: float((count * abs(claimed - right)).mean()),
            ".mean() divides by the bins. The distances are weighed by nuclei, so divide by all "
            "nuclei: count.sum().",
        ),
    ),
    solved="a mean: look at the diagram as well, where a small bin that is far off can hide.",
)

# One row a cut. Nucleus 1 is large and condensed, and was cut four times.
_IDS = np.array([1, 1, 1, 1, 2, 2, 3, 4, 4, 5])
_STATES = np.array(["condensed"] * 4 + ["interphase"] * 3 + ["unsure"] * 2 + ["interphase"])
_MORE_IDS = np.array([7, 9, 8, 7, 9, 12, 9])  # in the order of the sections, not of the nuclei
_CONDENSED = np.isin(_MORE_IDS, (8, 12))
_MORE_STATES = np.where(_CONDENSED, "condensed", "interphase")


def _nuclei_in(ids: np.ndarray, states: np.ndarray, *wanted: str) -> int:
    return len(np.unique(np.asarray(ids)[np.isin(states, wanted)]))


def _index(ids: np.ndarray, states: np.ndarray) -> tuple[int, int]:
    condensed = _nuclei_in(ids, states, "condensed")
    return condensed, condensed + _nuclei_in(ids, states, "interphase")


def _of_cuts(ids: np.ndarray, states: np.ndarray) -> tuple[int, int]:
    states = np.asarray(states)
    return int((states == "condensed").sum()), int((states != "unsure").sum())


def _of_runs(ids: np.ndarray, states: np.ndarray) -> tuple[int, int]:
    """Counts where the id changes, or begins."""
    begins = np.r_[True, np.diff(ids) != 0]
    return _of_cuts(ids[begins], np.asarray(states)[begins])


COUNT_ONCE = Exercise(
    key="7.4",
    right=_index,
    cases=(
        Case("five nuclei, one of them unsure", (_IDS, _STATES)),
        Case("four nuclei, none of them unsure", (_MORE_IDS, _MORE_STATES)),
    ),
    hints=(
        "Take ids 1, 1, 2, 3 with condensed, condensed, interphase, unsure: how many nuclei are "
        "these, and how many of them can be told?",
        "np.unique(ids[states == 'condensed']) are the numbers of the condensed nuclei, each once.",
        "def count(rows): return len(np.unique(ids[rows])), then "
        "return count(states == 'condensed'), count(states != 'unsure')",
    ),
    mistakes=(
        Mistake(
            "cuts are counted, not nuclei",
            _of_cuts,
            "A nucleus that was cut four times has four rows, and is one nucleus. A large one "
            "would have more votes than a small one: count each id once.",
        ),
        Mistake(
            "a nucleus is counted again when its cuts do not follow each other",
            _of_runs,
            "The rows stand in the order of the sections, so other nuclei come between. Ask for "
            "the different ids, wherever they stand: np.unique.",
        ),
        Mistake(
            "the unsure ones are among those counted",
            lambda ids, states: (_index(ids, states)[0], len(np.unique(ids))),
            "Nobody knows their state, and you have counted them as not condensed. Leave them out "
            "below the line, and say how many there were.",
        ),
        Mistake(
            "cuts are counted, the unsure ones too",
            lambda ids, states: (_of_cuts(ids, states)[0], len(ids)),
            "A row is a cut and not a nucleus, and an unsure one has no state: count each id once, "
            "and only where the state is told.",
        ),
        Mistake(
            "the second number counts the others, not all",
            lambda ids, states: (_index(ids, states)[0], _nuclei_in(ids, states, "interphase")),
            "That would be condensed to interphase, a ratio without a name. The index is "
            "condensed of all that were told.",
        ),
        Mistake(
            "the two numbers are swapped",
            lambda ids, states: _index(ids, states)[::-1],
            "Condensed first, then all that were told.",
        ),
        Mistake(
            "the second number counts cuts",
            lambda ids, states: (_index(ids, states)[0], _of_cuts(ids, states)[1]),
            "Above the line you count nuclei, below it cuts. Count each id once in both.",
        ),
        Mistake(
            "that is the fraction, not the two numbers",
            lambda ids, states: _index(ids, states)[0] / _index(ids, states)[1],
            "One in four and 25 in a hundred have the same fraction, and are not known equally "
            "well: return both numbers.",
        ),
    ),
    solved="the interval wants both numbers: how many were condensed, and of how many.",
)

EXERCISES = (BALANCED, COVER, CALIBRATION_ERROR, COUNT_ONCE)
