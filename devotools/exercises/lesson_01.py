"""The exercises of lesson 01: masks, labels, sizes, and the leak."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from skimage.measure import label

from .kit import Case, Exercise, Mistake

# --- 1.1 the lazy program

_ONE_OF_FOUR = np.array([[1, 0], [0, 0]], bool)
_THREE_OF_TEN = np.array([[0, 1, 1, 0, 0], [0, 1, 0, 0, 0]], bool)
_NOTHING = np.zeros((2, 3), bool)

LAZY_ACCURACY = Exercise(
    key="1.1",
    right=lambda mask: float(1 - mask.mean()),
    cases=(
        Case("a mask with 1 nucleus pixel of 4", (_ONE_OF_FOUR,)),
        Case("a mask with 3 nucleus pixels of 10", (_THREE_OF_TEN,)),
        Case("a mask without a nucleus", (_NOTHING,)),
    ),
    hints=(
        "Where is a program right that answers 'background' for every pixel?",
        "It is right in each pixel that is no nucleus. The mean of a mask is the share of True.",
        "return 1 - mask.mean()",
    ),
    mistakes=(
        Mistake(
            "that is the share of nucleus pixels",
            lambda mask: float(mask.mean()),
            "In those pixels the lazy program is wrong. It is right in all the others.",
        ),
        Mistake(
            "that is a number of pixels, not a share",
            lambda mask: int((~mask).sum()),
            "Accuracy lies between 0 and 1: divide by the number of all pixels, mask.size.",
        ),
        Mistake(
            "that is in per cent",
            lambda mask: float(100 * (1 - mask.mean())),
            "As a score, accuracy runs from 0 to 1. Leave out the factor 100.",
        ),
        Mistake(
            "divided by the number of rows",
            lambda mask: float((~mask).sum() / len(mask)),
            "len() of a picture counts its rows. All pixels are mask.size, or use .mean().",
        ),
    ),
    solved="and the rarer the nuclei, the better this useless program looks.",
)

# --- 1.2 how many nuclei

_GAPS = np.array([[0, 0, 3, 3], [7, 0, 0, 3], [7, 7, 0, 0]], np.int32)
_TOUCHING = np.array([[2, 2, 5, 5], [0, 2, 5, 0]], np.int32)
_EMPTY = np.zeros((2, 2), np.int32)
_INSIDE = np.full((2, 3), 4, np.int32)
_FOLDED = np.array([[4, 0, 4], [4, 0, 0]], np.int32)

COUNT_NUCLEI = Exercise(
    key="1.2",
    right=lambda labels: len(np.unique(labels[labels > 0])),
    cases=(
        Case("the nuclei 3 and 7", (_GAPS,)),
        Case("the nuclei 2 and 5, which touch", (_TOUCHING,)),
        Case("a section without a nucleus", (_EMPTY,)),
        Case("a piece from the inside of nucleus 4", (_INSIDE,)),
        Case("nucleus 4, in two pieces", (_FOLDED,)),
    ),
    hints=(
        "How many different numbers are there, and which of them is no nucleus?",
        "np.unique gives the different values. Throw the background away before you count.",
        "return len(np.unique(labels[labels > 0]))",
    ),
    mistakes=(
        Mistake(
            "the background is counted as a nucleus",
            lambda labels: len(np.unique(labels)),
            "np.unique lists the 0 as well, and 0 is background.",
        ),
        Mistake(
            "that is the largest number, not how many there are",
            lambda labels: int(labels.max()),
            "The numbers have gaps: nucleus 7 may be there without nucleus 6. Count how many "
            "different numbers there are.",
        ),
        Mistake(
            "touching nuclei are counted as one",
            lambda labels: int(label(labels > 0, connectivity=1).max()),
            "You count the blobs of the mask. Two nuclei that touch are one blob, but they have "
            "two numbers: count the numbers.",
        ),
        Mistake(
            "pieces are counted, not nuclei",
            lambda labels: int(label(labels).max()),
            "A fold may part a nucleus in two pieces, and both have its number: count the numbers.",
        ),
        Mistake(
            "one is taken away even where there is no background",
            lambda labels: len(np.unique(labels)) - 1,
            "Right nearly always. But in a piece from the inside of a nucleus there is no 0 to "
            "take away: choose the values above 0 first, then count.",
        ),
        Mistake(
            "that counts pixels",
            lambda labels: int((labels > 0).sum()),
            "labels > 0 is true once for each pixel of a nucleus. Ask how many different numbers "
            "there are.",
        ),
    ),
    solved="and it holds for gaps, for nuclei that touch, and for pictures without background.",
)

# --- 1.3 area in square micrometres

# no nucleus has as many pixels as its number says
_TWO_NUCLEI = np.array([[7, 7, 0, 4], [7, 0, 4, 4], [0, 0, 4, 4]], np.int32)


def _area(labels: np.ndarray, number: int, pixel_size_um: float) -> float:
    return float((labels == number).sum() * pixel_size_um**2)


AREA = Exercise(
    key="1.3",
    right=_area,
    cases=(
        Case("nucleus 7, with pixels of half a micrometre", (_TWO_NUCLEI, 7, 0.5)),
        Case("nucleus 4, with pixels of 0.2 micrometres", (_TWO_NUCLEI, 4, 0.2)),
        Case("nucleus 9, which is not in this section", (_TWO_NUCLEI, 9, 0.5)),
    ),
    hints=(
        "How many pixels has the nucleus, and how many square micrometres has one pixel?",
        "A pixel is as high as it is wide: its area is the pixel size times the pixel size.",
        "return (labels == number).sum() * pixel_size_um ** 2",
    ),
    mistakes=(
        Mistake(
            "multiplied by the pixel size only once",
            lambda labels, number, size: float((labels == number).sum() * size),
            "The pixel size is a length. A pixel has that height *and* that width, so its area is "
            "the square.",
        ),
        Mistake(
            "divided where it should be multiplied",
            lambda labels, number, size: float((labels == number).sum() / size**2),
            "Think of one pixel, half a micrometre wide: its area is a quarter of a square "
            "micrometre, not four.",
        ),
        Mistake(
            "the number of pixels is squared as well",
            lambda labels, number, size: float(((labels == number).sum() * size) ** 2),
            "** belongs to what stands directly before it: square the pixel size alone, then "
            "multiply.",
        ),
        Mistake(
            "multiplied by two instead of squared",
            lambda labels, number, size: float((labels == number).sum() * size * 2),
            "To square is to multiply the pixel size by itself: pixel_size_um ** 2.",
        ),
        Mistake(
            "that is the area in pixels",
            lambda labels, number, size: int((labels == number).sum()),
            "Now say how large one pixel is: multiply by its area in square micrometres.",
        ),
        Mistake(
            "all nuclei are counted",
            lambda labels, number, size: float((labels > 0).sum() * size**2),
            "Asked for is the one nucleus with this number: compare with labels == number.",
        ),
        Mistake(
            "the numbers of the labels are added up",
            lambda labels, number, size: float(labels[labels == number].sum() * size**2),
            "labels[labels == number] holds the number itself, once for each pixel. Add up the "
            "comparison, labels == number, which counts 1 for each pixel.",
        ),
    ),
    solved="and an error of a factor 2 in the pixel size is a factor 4 in every area.",
)

# --- 1.4 the leak

Place = tuple[str, int]  # embryo, section


def _sides(test: Sequence[Place], train: Sequence[Place]) -> list[tuple[bool, bool]]:
    """Of each test section: whether the one before and the one after are training sections."""
    known = set(train)
    return [((e, s - 1) in known, (e, s + 1) in known) for e, s in test]


def _leaks(test: Sequence[Place], train: Sequence[Place]) -> int:
    return sum(before or after for before, after in _sides(test, train))


def _same_embryo(test: Sequence[Place], train: Sequence[Place]) -> int:
    embryos = {embryo for embryo, _ in train}
    return sum(embryo in embryos for embryo, _ in test)


def _any_embryo(test: Sequence[Place], train: Sequence[Place]) -> int:
    sections = {section for _, section in train}
    return sum(section - 1 in sections or section + 1 in sections for _, section in test)


def _within(most: int, test: Sequence[Place], train: Sequence[Place]) -> int:
    return sum(any(e == f and abs(s - t) <= most for f, t in train) for e, s in test)


_EXACTLY_ONE = "A direct neighbour's number is exactly one less or one more."
_TEST = [("A", 0), ("A", 3), ("A", 8), ("A", 10), ("B", 2), ("B", 5), ("B", 12), ("C", 2)]
_TRAIN = [("A", 1), ("A", 2), ("A", 4), ("A", 6), ("A", 9), ("B", 1), ("B", 4), ("B", 8)]

LEAK = Exercise(
    key="1.4",
    right=_leaks,
    cases=(
        Case("eight test and eight training sections of the embryos A, B and C", (_TEST, _TRAIN)),
        Case("a test section between two training sections", ([("A", 3)], [("A", 2), ("A", 4)])),
        Case("neighbours by number, but of another embryo", ([("A", 3)], [("B", 2), ("B", 4)])),
        Case("a training section two away, on each side", ([("A", 3)], [("A", 1), ("A", 5)])),
        Case("training sections three away", ([("A", 6)], [("A", 3), ("A", 9)])),
    ),
    hints=(
        "Go through the test sections one by one. Which two places would each have as neighbours?",
        "The neighbours of (embryo, section) are (embryo, section - 1) and (embryo, section + 1). "
        "With train as a set, `place in set(train)` asks whether one of them is there.",
        "known = set(train), then return sum((e, s - 1) in known or (e, s + 1) in known "
        "for e, s in test)",
    ),
    mistakes=(
        Mistake(
            "a section with two neighbours in training counts twice",
            lambda test, train: sum(map(sum, _sides(test, train))),
            "Asked for is the number of test *sections*: before *or* after is enough, and both "
            "count once.",
        ),
        Mistake(
            "any section of the same embryo counts as a neighbour",
            _same_embryo,
            "A direct neighbour is of the same embryo *and* its number is one less or one more.",
        ),
        Mistake(
            "sections two away count, too",
            lambda test, train: _within(2, test, train),
            _EXACTLY_ONE,
        ),
        Mistake(
            "sections three away count, too",
            lambda test, train: _within(3, test, train),
            _EXACTLY_ONE,
        ),
        Mistake(
            "the embryo is forgotten",
            _any_embryo,
            "Section 4 of another embryo is no neighbour of section 3 of this one. Compare "
            "embryo and section together, as a pair.",
        ),
        Mistake(
            "only the section before is looked up",
            lambda test, train: sum(before for before, _ in _sides(test, train)),
            "A neighbour may come after, too: its number is one more.",
        ),
        Mistake(
            "only the section after is looked up",
            lambda test, train: sum(after for _, after in _sides(test, train)),
            "A neighbour may come before, too: its number is one less.",
        ),
        Mistake(
            "test and training are swapped",
            lambda test, train: _leaks(train, test),
            "You count training sections with a neighbour in the test. The leak is the other way "
            "round: test sections whose neighbour was learned from.",
        ),
        Mistake(
            "those are the sections that do not leak",
            lambda test, train: len(test) - _leaks(test, train),
            "You count the test sections with no neighbour in training. Asked for are the others.",
        ),
        Mistake(
            "that finds no neighbour at all",
            lambda test, train: 0,
            "Do you look for the test sections themselves? None stands on both sides: look for "
            "those *beside* them. Or do you compare things that are never equal, a number or a "
            "list [e, s] with a pair (e, s)?",
        ),
    ),
    solved="now run the next cell: what does it say of a random split?",
)

EXERCISES = (LAZY_ACCURACY, COUNT_NUCLEI, AREA, LEAK)
