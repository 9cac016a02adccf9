"""The exercises of lesson 06: masks worth learning from, and how many of them."""

from __future__ import annotations

import numpy as np

from .kit import Case, Exercise, Mistake

# A nucleus of 3 x 3 pixels as it comes back from a JPEG file: greys along every outline.
_FROM_JPEG = np.array(
    [
        [0, 2, 9, 3, 0, 0],
        [4, 131, 243, 128, 8, 0],
        [7, 240, 255, 250, 21, 1],
        [1, 135, 252, 140, 127, 0],
        [0, 11, 30, 6, 0, 2],
    ],
    np.uint8,
)
# Nothing but compression noise
_NOISE = np.array([[0, 3, 1, 0], [2, 9, 4, 0]], np.uint8)

RESCUE = Exercise(
    key="6.1",
    right=lambda grey: np.asarray(grey) >= 128,
    cases=(
        Case("a nucleus that was saved as JPEG", (_FROM_JPEG,)),
        Case("a mask without a nucleus, but with noise", (_NOISE,)),
    ),
    hints=(
        "The mask was 0 and 255. JPEG moved some values a little: to which of the two is each "
        "value closer?",
        "The middle between 0 and 255 is 127.5. A comparison of an array gives True and False.",
        "return grey > 127",
    ),
    mistakes=(
        Mistake(
            "everything above zero became nucleus",
            lambda grey: np.asarray(grey) > 0,
            "JPEG leaves small values where there was nothing, and with > 0 each of them is "
            "nucleus: this is what happened in 2020. Ask whether a value is closer to 255 or to 0.",
        ),
        Mistake(
            "the cut is too low",
            lambda grey: np.asarray(grey) >= 127,
            "Even 127 is nearer to 0 than to 255. Cut in the middle.",
        ),
        Mistake(
            "the cut is too high",
            lambda grey: np.asarray(grey) > 128,
            "128 is nearer to 255 than to 0. Cut in the middle, at 127.5.",
        ),
        Mistake(
            "the cut lies at half of this picture's own maximum",
            lambda grey: np.asarray(grey) > np.asarray(grey).max() / 2,
            "A picture without a nucleus has a maximum too, of noise. The mask was 0 and 255: cut "
            "half-way between those.",
        ),
        Mistake(
            "only pure white became nucleus",
            lambda grey: np.asarray(grey) == 255,
            "JPEG also darkens pixels inside: a 243 was white once. Cut in the middle between 0 "
            "and 255. (Or did you subtract? In uint8 grey - 255 begins again at 0: compare, or "
            "take grey.astype(int).)",
        ),
        Mistake(
            "the picture was scaled, not cut",
            lambda grey: np.asarray(grey) / 255,
            "It still holds shades between 0 and 1, and half a nucleus does not exist. Compare "
            "with the middle: the answer is True or False.",
        ),
        Mistake(
            "background and nucleus are swapped",
            lambda grey: np.asarray(grey) < 128,
            "In this file the nucleus is white, so the large values are the nucleus.",
        ),
        Mistake(
            "the mask holds 0 and 255",
            lambda grey: np.where(np.asarray(grey) >= 128, 255, 0),
            "That is right for the file; in memory a mask is True and False. Leave out the last "
            "step.",
        ),
    ),
    spares="Return a new array, of True and False: grey > 127, for example.",
    solved="half of 255 undoes most of what JPEG did. What it smeared for good stays smeared.",
)

_SECTIONS = [("A", 3), ("A", 4), ("A", 9), ("B", 4), ("B", 9), ("C", 9)]
_UNSORTED = [("B", 9), ("A", 3), ("C", 9), ("A", 4), ("B", 4), ("A", 9)]


def _other_embryos(sections: list, labelled: list) -> list:
    known = {embryo for embryo, _ in labelled}
    return [(embryo, number) for embryo, number in sections if embryo not in known]


def _no_neighbours(sections: list, labelled: list) -> list:
    return [
        (embryo, number)
        for embryo, number in sections
        if not any(embryo == other and abs(number - at) <= 1 for other, at in labelled)
    ]


def _other_numbers(sections: list, labelled: list) -> list:
    known = {number for _, number in labelled}
    return [(embryo, number) for embryo, number in sections if number not in known]


def _same_embryos(sections: list, labelled: list) -> list:
    known = {embryo for embryo, _ in labelled}
    return [(embryo, number) for embryo, number in sections if embryo in known]


TEST_SECTIONS = Exercise(
    key="6.2",
    right=_other_embryos,
    cases=(
        Case("section 3 of embryo A labelled for training", (_SECTIONS, [("A", 3)])),
        Case("sections of A and B labelled", (_SECTIONS, [("A", 4), ("B", 9)])),
        Case("sections that are not sorted, one of B labelled", (_UNSORTED, [("B", 9)])),
    ),
    hints=(
        "What does the network know about embryo A once it has learned from one of its sections?",
        "Collect the embryos of the labelled sections in a set; then go through all sections.",
        "return [(e, n) for e, n in sections if e not in {known for known, _ in labelled}]",
    ),
    mistakes=(
        Mistake(
            "the same embryo stands on both sides",
            lambda sections, labelled: [one for one in sections if one not in labelled],
            "You left out the labelled sections themselves, but others of the same embryo are "
            "still there. They share its stain, its light and its nuclei: leave out the embryo.",
        ),
        Mistake(
            "only the neighbours were left out",
            _no_neighbours,
            "Sections further off show other nuclei, but the same stain and the same light, and "
            "the stain is just what is tested. Leave out the whole embryo.",
        ),
        Mistake(
            "sections were compared by their number alone",
            _other_numbers,
            "Section 9 of A and section 9 of B are pictures of two animals. Compare the embryo, "
            "the first of the two.",
        ),
        Mistake(
            "these are the sections that must not be used",
            _same_embryos,
            "You kept the embryos that were learned from. Turn the condition round.",
        ),
    ),
    spares="Build a new list: remove() and sort() change the caller's own.",
    solved="so labels are counted in embryos: one labelled section takes its whole embryo out of "
    "the test.",
)


def _place_of_enough(scores: list, error: list) -> int:
    best = int(np.argmax(scores))
    return _first(scores, scores[best] - error[best])


def _first(scores: list, bar: float) -> int:
    return next(i for i, score in enumerate(scores) if score >= bar)


def _enough(labels: list, train: list, test: list, error: list) -> int:
    return int(labels[_place_of_enough(test, error)])


def _enough_above_the_bar(labels: list, train: list, test: list, error: list) -> int:
    best = int(np.argmax(test))
    bar = test[best] - error[best]
    return int(next(n for n, score in zip(labels, test, strict=True) if score > bar))


def _enough_by_own_error(labels: list, train: list, test: list, error: list) -> int:
    reached = np.add(test, error) >= max(test)
    return int(labels[int(np.argmax(reached))])


def _enough_where_bars_touch(labels: list, train: list, test: list, error: list) -> int:
    best = int(np.argmax(test))
    reached = np.add(test, error) >= test[best] - error[best]
    return int(labels[int(np.argmax(reached))])


def _enough_by_small_steps(labels: list, train: list, test: list, error: list) -> int:
    steps = np.diff(test) < np.array(error[:-1])
    return int(labels[int(np.argmax(steps))]) if steps.any() else int(labels[-1])


_LABELS = [1, 2, 4, 8, 16]

ENOUGH = Exercise(
    key="6.3",
    right=_enough,
    cases=(
        Case(
            "scores that level off at 4",
            (
                _LABELS,
                [0.95, 0.92, 0.88, 0.84, 0.80],
                [0.30, 0.48, 0.62, 0.66, 0.65],
                [0.09, 0.08, 0.06, 0.05, 0.03],
            ),
        ),
        Case(
            "scores that still rise",
            (
                _LABELS,
                [0.90, 0.93, 0.91, 0.88, 0.86],
                [0.20, 0.31, 0.45, 0.58, 0.70],
                [0.08, 0.07, 0.06, 0.13, 0.04],
            ),
        ),
        Case(
            "scores that pause on their way",
            (
                _LABELS,
                [0.94, 0.93, 0.90, 0.86, 0.83],
                [0.39, 0.55, 0.57, 0.60, 0.73],
                [0.21, 0.07, 0.17, 0.14, 0.14],
            ),
        ),
        Case(
            "a best mean that is not the last, and one just on the bar",
            (
                _LABELS,
                [0.84, 0.98, 0.95, 0.90, 0.86],
                [0.25, 0.5, 0.625, 0.75, 0.6875],  # exact in binary: 0.5 is 0.75 - 0.25
                [0.05, 0.05, 0.05, 0.25, 0.05],
            ),
        ),
        Case(
            "scores that dip on their way",
            (
                _LABELS,
                [0.90, 0.93, 0.90, 0.88, 0.86],
                [0.58, 0.65, 0.50, 0.56, 0.66],
                [0.06, 0.12, 0.12, 0.10, 0.05],
            ),
        ),
    ),
    hints=(
        "The best mean minus its error is a bar. Which means reach it?",
        "Find the place of the best test score; the error at this place belongs to it.",
        "Go from few labels to many: return the first number whose test score reaches "
        "max(test) - error[np.argmax(test)].",
    ),
    mistakes=(
        Mistake(
            "that is the best, not the smallest that is as good",
            lambda labels, train, test, error: int(labels[int(np.argmax(test))]),
            "The error says how much a mean moves by chance. A smaller number of labels within "
            "it cannot be told from the best, and is less work.",
        ),
        Mistake(
            "the error of the smaller set was used, not that of the best",
            _enough_by_own_error,
            "A number of labels whose score moves a lot would be let in by its own uncertainty. "
            "Set the bar once: the best score minus the error of the best.",
        ),
        Mistake(
            "what lies just on the bar was thrown away",
            _enough_above_the_bar,
            "Asked for is *at least* the best score minus its error: compare with >=, not with >.",
        ),
        Mistake(
            "the bar is not that of the best mean",
            lambda labels, train, test, error: int(labels[_first(test, test[-1] - error[-1])]),
            "The best need not be the last: find its place with np.argmax(test), and take score "
            "and error from there.",
        ),
        Mistake(
            "the error bars need only touch",
            _enough_where_bars_touch,
            "You let in what comes within two errors, its own and that of the best. The bar has "
            "one error, that of the best: the best score minus it.",
        ),
        Mistake(
            "the largest error was used",
            lambda labels, train, test, error: int(labels[_first(test, max(test) - max(error))]),
            "Each mean has an error of its own. The bar belongs to the best mean, so take the "
            "error that stands beside it.",
        ),
        Mistake(
            "the error of the most labels was used",
            lambda labels, train, test, error: int(labels[_first(test, max(test) - error[-1])]),
            "The best need not be the last: find its place with np.argmax(test), and take the "
            "error from there.",
        ),
        Mistake(
            "the first small step was taken for the end",
            _enough_by_small_steps,
            "A score may pause and rise again. Compare each mean with the best one, not with its "
            "neighbour.",
        ),
        Mistake(
            "that was chosen on the training score",
            lambda labels, train, test, error: int(labels[_place_of_enough(train, error)]),
            "On what it has learned by heart a network is always good, and best with the fewest "
            "pictures. Use the row of test scores.",
        ),
        Mistake(
            "that is the place, not the number of labels",
            lambda labels, train, test, error: _place_of_enough(test, error),
            "Places are counted from 0; return what stands in labels at this place.",
        ),
        Mistake(
            "that is the score, not the number of labels",
            lambda labels, train, test, error: float(test[_place_of_enough(test, error)]),
            "Asked for is how many labels reach it, not how high it is.",
        ),
        Mistake(
            "all the labels there are",
            lambda labels, train, test, error: int(labels[-1]),
            "More labels never hurt much, but somebody has to draw them. Look for the fewest that "
            "reach the bar.",
        ),
    ),
    solved="and where the scores still rise at the end, perhaps more than there are.",
)

_CLEAN = np.zeros((4, 6), bool)
_CLEAN[1:3, 1:3] = True  # 4 pixels
_GROWN = _CLEAN.copy()
_GROWN[1:3, 3] = True  # 6 pixels, 4 of them right
_SHIFTED = np.roll(_CLEAN, 1, axis=1)  # 4 pixels, 2 of them right
_LEFT = np.roll(_CLEAN, -1, axis=1)
_HALF = _CLEAN.copy()
_HALF[2] = False  # 2 pixels, both right
_WIDE = np.zeros((4, 6), bool)
_WIDE[0:4, 0:5] = True  # 20 pixels, 4 of them right


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def _ceiling(clean: np.ndarray, ragged: list) -> float:
    return float(np.mean([_iou(clean, mask) for mask in ragged]))


def _dice_ceiling(clean: np.ndarray, ragged: list) -> float:
    return float(np.mean([2 * _iou(clean, mask) / (1 + _iou(clean, mask)) for mask in ragged]))


def _pooled(clean: np.ndarray, ragged: list) -> float:
    shared = sum((clean & mask).sum() for mask in ragged)
    return float(shared / sum((clean | mask).sum() for mask in ragged))


def _among_themselves(clean: np.ndarray, ragged: list) -> float:
    pairs = [(a, b) for i, a in enumerate(ragged) for b in ragged[i + 1 :]]
    return float(np.mean([_iou(a, b) for a, b in pairs]))


def _of_majority(clean: np.ndarray, ragged: list) -> float:
    return _iou(clean, np.mean(ragged, axis=0) > 0.5)


CEILING = Exercise(
    key="6.4",
    right=_ceiling,
    cases=(
        Case("a mask too large and one set aside", (_CLEAN, [_SHIFTED, _GROWN])),
        Case("four masks", (_CLEAN, [_SHIFTED, _GROWN, _HALF, _WIDE])),
        Case("three masks, none of them good", (_CLEAN, [_SHIFTED, _LEFT, _WIDE])),
    ),
    hints=(
        "What does a model predict that makes no mistake at all? And what is it compared with?",
        "The perfect prediction is the clean mask: score it against each ragged mask, and average.",
        "return np.mean([dt.iou_score(mask, clean) for mask in ragged])",
    ),
    mistakes=(
        Mistake(
            "a perfect model was expected to score 1",
            lambda clean, ragged: 1.0,
            "It would, against the truth. But it is scored against what somebody drew, and where "
            "the drawing is wrong, being right costs.",
        ),
        Mistake(
            "that is Dice, not IoU",
            _dice_ceiling,
            "Divide the shared pixels by those in either mask (lesson 4).",
        ),
        Mistake(
            "all pixels were thrown together",
            _pooled,
            "dt.evaluate takes the IoU of each picture, then the mean, so that a large mask does "
            "not count more than a small one. Average at the end.",
        ),
        Mistake(
            "the ragged masks were compared with each other",
            _among_themselves,
            "That is how well two hands agree, worth knowing, but no model is in it. Put the clean "
            "mask on one side.",
        ),
        Mistake(
            "only the first mask was asked",
            lambda clean, ragged: _iou(clean, ragged[0]),
            "Go through all of them, and take the mean.",
        ),
        Mistake(
            "the masks were merged first",
            _of_majority,
            "Several hands together draw better than each alone, worth knowing. But the score is "
            "taken against each mask as it is: average the scores, not the masks.",
        ),
        Mistake(
            "that is the best picture, not the mean",
            lambda clean, ragged: max(_iou(clean, mask) for mask in ragged),
            "The score of a set is the mean over its pictures, good and bad.",
        ),
    ),
    solved="no model that is right can be measured better than this. Mend the masks first.",
)

EXERCISES = (RESCUE, TEST_SECTIONS, ENOUGH, CEILING)
