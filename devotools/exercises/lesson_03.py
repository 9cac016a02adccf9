"""The exercises of lesson 03: shapes, losses by hand, and reading the curves."""

from __future__ import annotations

import numpy as np

from .kit import Case, Exercise, Mistake

# --- 3.1 how much one place of a stage sees -------------------------------------------------------

PLACES = Exercise(
    key="3.1",
    right=lambda: 32 * 32,
    hints=(
        "Compare the 128 x 128 pixels of the picture with the 4 x 4 places of stage 4.",
        "One place is as high as it is wide: first find its side in pixels.",
        "The side is 128 / 4 = 32 pixels. A place covers side times side.",
    ),
    mistakes=(
        Mistake(
            "that is one side of the square",
            lambda: 32,
            "A place is 32 pixels wide and 32 pixels high. How many pixels is that?",
        ),
        Mistake(
            "that is the number of places",
            lambda: 16,
            "Stage 4 has 4 x 4 = 16 places. Divide all pixels among them.",
        ),
        Mistake(
            "that is the number of features",
            lambda: 512,
            "512 is how many numbers describe one place. Asked for is how many pixels it covers.",
        ),
    ),
    otherwise="Divide the number of pixels in the picture by the number of places in stage 4.",
    solved=(
        "1024 pixels share one place, and a nucleus 20 pixels wide has about 314. With one answer "
        "for each place, stage 4 alone could say that there is a nucleus, but not draw it: that is "
        "what the pyramid is for."
    ),
)

# --- 3.2 and 3.3 the two losses on tiny arrays ----------------------------------------------------

_NUCLEUS = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]], float)
_SURE = np.where(_NUCLEUS == 1, 0.9, 0.1)
_HALF = np.where(_NUCLEUS == 1, 0.6, 0.3)
_MISTAKEN = np.where(_NUCLEUS == 1, 0.9, 0.1)
_MISTAKEN[2, 2], _MISTAKEN[0, 0] = 0.1, 0.8  # one more wrong than the other
_CORNER = np.array([[0.9, 0.2], [0.1, 0.1]])
_ONE = np.array([[1.0, 0.0], [0.0, 0.0]])


def _mean_cost(probability: np.ndarray, mask: np.ndarray) -> float:
    right = np.where(mask == 1, probability, 1 - probability)
    return float(-np.log(right).mean())


CROSS_ENTROPY = Exercise(
    key="3.2",
    right=_mean_cost,
    cases=(
        Case("a sure answer on 4 x 4 pixels", (_SURE, _NUCLEUS)),
        Case("an unsure answer on 4 x 4 pixels", (_HALF, _NUCLEUS)),
        Case("2 x 2 pixels", (_CORNER, _ONE)),
        Case("an answer with one pixel missed and one made up", (_MISTAKEN, _NUCLEUS)),
    ),
    hints=(
        "First find, for each pixel, the probability that was given to what is true there.",
        "Where the mask is 1 that is `probability`, elsewhere `1 - probability`: np.where does it.",
        "return -np.log(np.where(mask == 1, probability, 1 - probability)).mean()",
    ),
    mistakes=(
        Mistake(
            "the background costs nothing",
            lambda p, m: float(-(m * np.log(p)).mean()),
            "You count -log(p) where the mask is 1 only. A pixel that was made up must cost too: "
            "outside the nucleus the right answer has the probability 1 - p.",
        ),
        Mistake(
            "the background costs nothing, and is not counted",
            lambda p, m: float(-(m * np.log(p)).sum() / m.sum()),
            "You look at the nucleus alone, so an answer of 1 everywhere is perfect. Each pixel "
            "outside costs -log(1 - p), and counts in the mean.",
        ),
        Mistake(
            "every pixel is taken for nucleus",
            lambda p, m: float(-np.log(p).mean()),
            "The mask is not used at all. What is right in the background is 1 - p.",
        ),
        Mistake(
            "the mask is not asked",
            lambda p, m: float(-np.log(np.maximum(p, 1 - p)).mean()),
            "You count whatever the network was surer of, so a mistake made with confidence is "
            "cheap. What is right is said by the mask: p where it is 1, and 1 - p elsewhere.",
        ),
        Mistake(
            "that is the sum, not the mean",
            lambda p, m: _mean_cost(p, m) * m.size,
            "Divide by the number of pixels, or a larger picture always looks worse.",
        ),
        Mistake(
            "the sign is wrong",
            lambda p, m: -_mean_cost(p, m),
            "The logarithm of a probability is negative; a loss must fall as the answer improves.",
        ),
        Mistake(
            "that is the logarithm to base 10",
            lambda p, m: _mean_cost(p, m) / float(np.log(10)),
            "np.log is the natural logarithm, and the one that is meant.",
        ),
    ),
    spares="Let np.where make a new array, or copy yours first: a loss is asked again and again.",
    solved="and that is torch.nn.functional.binary_cross_entropy, to the last digit.",
)


def _dice_loss(probability: np.ndarray, mask: np.ndarray) -> float:
    overlap, total = (probability * mask).sum(), probability.sum() + mask.sum()
    return float(1 - (2 * overlap + 1) / (total + 1))


def _hard_dice_loss(probability: np.ndarray, mask: np.ndarray) -> float:
    return _dice_loss((probability >= 0.5).astype(float), mask)


DICE_LOSS = Exercise(
    key="3.3",
    right=_dice_loss,
    cases=(
        Case("a sure answer on 4 x 4 pixels", (_SURE, _NUCLEUS)),
        Case("an unsure answer on 4 x 4 pixels", (_HALF, _NUCLEUS)),
        Case("2 x 2 pixels with no nucleus", (_CORNER, np.zeros((2, 2)))),
    ),
    hints=(
        "Three sums: the probability that lies on the nucleus, all probability, all nucleus.",
        "Twice the first, over the second plus the third; add 1 above and below; take it from 1.",
        "return 1 - (2 * (probability * mask).sum() + 1) / (probability.sum() + mask.sum() + 1)",
    ),
    mistakes=(
        Mistake(
            "that is the score, not the loss",
            lambda p, m: 1 - _dice_loss(p, m),
            "A loss is made small: take the score from 1.",
        ),
        Mistake(
            "the probability was made a mask first",
            _hard_dice_loss,
            "After `>= 0.5` a small step of the weights changes nothing, so there is no slope to "
            "go down. Sum the probabilities themselves: that is what makes the Dice *soft*.",
        ),
        Mistake(
            "that is soft IoU, not soft Dice",
            lambda p, m: float(1 - ((p * m).sum() + 1) / (p.sum() + m.sum() - (p * m).sum() + 1)),
            "Dice counts the overlap twice and divides by the sum of both, not by their union.",
        ),
        Mistake(
            "the overlap is counted once",
            lambda p, m: float(1 - ((p * m).sum() + 1) / (p.sum() + m.sum() + 1)),
            "Below the line the overlap stands twice, in both sums. Above it must stand twice "
            "as well, or a perfect answer would cost one half.",
        ),
        Mistake(
            "the 1 above and below is missing",
            lambda p, m: float(1 - 2 * (p * m).sum() / (p.sum() + m.sum())),
            "It keeps an empty picture from dividing by zero, and from costing the most even when "
            "the network rightly finds nothing there.",
        ),
    ),
    solved="and that is dt.soft_dice_loss for one picture.",
)

# --- 3.4 which epoch to keep ----------------------------------------------------------------------

BEST_EPOCH = Exercise(
    key="3.4",
    right=lambda train_loss, val_iou: int(np.argmax(val_iou)) + 1,
    example=(
        [0.90, 0.78, 0.71, 0.66, 0.61, 0.56, 0.52, 0.48],
        [0.21, 0.38, 0.49, 0.55, 0.58, 0.57, 0.54, 0.51],
    ),
    fixed=True,
    hints=(
        "Which of the two lists was measured on embryos that the network did not learn from?",
        "np.argmax gives the place of the largest value, and places count from 0.",
        "int(np.argmax(val_iou)) + 1",
    ),
    mistakes=(
        Mistake(
            "that is the epoch with the lowest training loss",
            lambda train_loss, val_iou: int(np.argmin(train_loss)) + 1,
            "The training loss goes on falling while the network learns its pictures by heart. "
            "Choose by the validation score.",
        ),
        Mistake(
            "you count from 0",
            lambda train_loss, val_iou: int(np.argmax(val_iou)),
            "The place in the list is right, but the first epoch is number 1.",
        ),
        Mistake(
            "that is the first epoch",
            lambda train_loss, val_iou: int(np.argmin(val_iou)) + 1,
            "It has the lowest validation score (and the highest training loss). IoU is a score: "
            "more is better.",
        ),
    ),
    otherwise="Find the epoch with the highest validation score; the first epoch is number 1.",
    solved="from here on the network only learned its own pictures by heart.",
)

EXERCISES = (PLACES, CROSS_ENTROPY, DICE_LOSS, BEST_EPOCH)
