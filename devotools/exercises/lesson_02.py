"""The exercises of lesson 02: image and mask move together, and a mask stays a mask."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from devotools.metrics import dice_score, iou_score

from .kit import Case, Exercise, Mistake

Pair = tuple[np.ndarray, np.ndarray]

# --- 2.1 flip

_IMAGE = np.array([[0.9, 0.5, 0.1], [0.2, 0.7, 0.3]])
_MASK = np.array([[1, 0, 0], [1, 1, 0]])
_TALL = np.array([[0.8, 0.1], [0.6, 0.3], [0.2, 0.4]])
_TALL_MASK = np.array([[1, 0], [1, 0], [0, 0]])
_BROAD = np.array([[0.9, 0.6, 0.4, 0.1], [0.2, 0.8, 0.3, 0.5]])
_BROAD_MASK = np.array([[1, 1, 0, 0], [0, 1, 0, 0]])

FLIP = Exercise(
    key="2.1",
    right=lambda image, mask: (image[:, ::-1], mask[:, ::-1]),
    cases=(
        Case("a picture of 2 rows and 3 columns", (_IMAGE, _MASK)),
        Case("a picture of 3 rows and 2 columns", (_TALL, _TALL_MASK)),
        Case("a picture of 2 rows and 4 columns", (_BROAD, _BROAD_MASK)),
    ),
    hints=(
        "The first axis counts rows, from the top; the second counts columns, from the left. "
        "Which of the two must run backwards?",
        "In NumPy, array[::-1] runs backwards along the first axis. A lone colon, as in "
        "array[:, ...], leaves an axis as it is.",
        "return image[:, ::-1], mask[:, ::-1]",
    ),
    mistakes=(
        Mistake(
            "that is upside down",
            lambda image, mask: (image[::-1], mask[::-1]),
            "The first axis counts rows, the second columns. Left and right change places when "
            "the columns run backwards.",
        ),
        Mistake(
            "only the image was flipped",
            lambda image, mask: (image[:, ::-1], mask),
            "Image and mask have parted: the nucleus is on the right now, and its mask still on "
            "the left. Do the same to both.",
        ),
        Mistake(
            "only the mask was flipped",
            lambda image, mask: (image, mask[:, ::-1]),
            "Image and mask have parted: the mask is on the right now, and its nucleus still on "
            "the left. Do the same to both.",
        ),
        Mistake(
            "that is half a turn",
            lambda image, mask: (image[::-1, ::-1], mask[::-1, ::-1]),
            "Both axes run backwards, which turns the picture by 180 degrees. Leave the rows in "
            "their order.",
        ),
        Mistake(
            "rows and columns have changed places",
            lambda image, mask: (image.T, mask.T),
            "Transposing mirrors along the diagonal: a picture of 2 x 3 becomes one of 3 x 2. A "
            "flip keeps the shape.",
        ),
        Mistake(
            "nothing has changed",
            lambda image, mask: (image, mask),
            "Both came back as they were. Let the columns run backwards in both.",
        ),
    ),
    solved="and both moved together, which is the whole point.",
)

# --- 2.2 crop

_NUMBERS = np.arange(20).reshape(4, 5) / 20  # 4 rows, 5 columns, every pixel another value
_CORNER = np.array([[0, 0, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 0, 0, 0]])


def _window(picture: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    return picture[top : top + height, left : left + width]


def _both(cut: Callable[..., np.ndarray]) -> Callable[..., Pair]:
    """Cut image and mask in the same way."""
    return lambda image, mask, *window: (cut(image, *window), cut(mask, *window))


CROP = Exercise(
    key="2.2",
    right=_both(_window),
    cases=(
        Case("top 1, left 2, height 2, width 3", (_NUMBERS, _CORNER, 1, 2, 2, 3)),
        Case("top 0, left 1, height 3, width 2", (_NUMBERS, _CORNER, 0, 1, 3, 2)),
    ),
    hints=(
        "Rows first: which rows belong to the piece, and which columns?",
        "A slice a:b holds a but not b. The rows run from top to top + height.",
        "rows, columns = slice(top, top + height), slice(left, left + width), then "
        "return image[rows, columns], mask[rows, columns]",
    ),
    mistakes=(
        Mistake(
            "rows and columns have changed places",
            _both(lambda p, top, left, height, width: _window(p, left, top, width, height)),
            "In NumPy the row comes first: picture[row, column]. top and height choose rows, left "
            "and width columns.",
        ),
        Mistake(
            "the piece is one row and one column too large",
            _both(lambda p, top, left, h, w: _window(p, top, left, h + 1, w + 1)),
            "A slice a:b ends *before* b. So top:top + height has exactly height rows; nothing is "
            "to be added.",
        ),
        Mistake(
            "the piece is one row and one column too small",
            _both(lambda p, top, left, h, w: _window(p, top, left, h - 1, w - 1)),
            "A slice a:b already ends before b. Nothing is to be taken away.",
        ),
        Mistake(
            "only the image was cropped",
            lambda image, mask, *window: (_window(image, *window), mask),
            "The mask still has its old size and belongs to another picture now. Cut both.",
        ),
        Mistake(
            "height and width are taken for the end",
            _both(lambda p, top, left, height, width: p[top:height, left:width]),
            "A slice wants first and end, not first and length: the end is top + height.",
        ),
        Mistake(
            "the piece begins in the corner",
            _both(lambda p, top, left, height, width: p[:height, :width]),
            "top and left say where the piece begins. Let the slices begin there.",
        ),
    ),
    solved="rows first, the end not included, and both cut alike.",
)

# --- 2.3 enlarge a mask

# float32, or interpolated values would be rounded back to 0 and 1 unseen
_SMALL = np.array([[0, 1, 1], [1, 0, 0]], np.float32)
_DOT = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], np.float32)


def _linear(mask: np.ndarray) -> np.ndarray:
    size = (2 * mask.shape[1], 2 * mask.shape[0])
    return cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)


def _spread(mask: np.ndarray) -> np.ndarray:
    large = np.zeros((2 * mask.shape[0], 2 * mask.shape[1]), mask.dtype)
    large[::2, ::2] = mask
    return large


ENLARGE = Exercise(
    key="2.3",
    right=lambda mask: mask.repeat(2, axis=0).repeat(2, axis=1),
    cases=(
        Case("a mask of 2 rows and 3 columns", (_SMALL,)),
        Case("a single pixel in the middle", (_DOT,)),
    ),
    hints=(
        "Each pixel becomes a square of 2 x 2 pixels, all with the same value. No new value is "
        "needed.",
        "array.repeat(2, axis=0) shows every row twice. What does axis=1 do?",
        "return mask.repeat(2, axis=0).repeat(2, axis=1)",
    ),
    mistakes=(
        Mistake(
            "the mask was interpolated",
            _linear,
            "Between 0 and 1 you have invented values like 0.25, and a quarter of a nucleus does "
            "not exist. Give each new pixel the value of the nearest old one.",
        ),
        Mistake(
            "the mask was interpolated, and everything above 0 became nucleus",
            lambda mask: (_linear(mask) > 0).astype(mask.dtype),
            "There are two values again, but the nucleus has grown by a rim: that is what "
            "happened to the masks of 2020. Take the nearest pixel.",
        ),
        Mistake(
            "only the rows were doubled",
            lambda mask: mask.repeat(2, axis=0),
            "Count the columns: each must be there twice as well (axis=1).",
        ),
        Mistake(
            "only the columns were doubled",
            lambda mask: mask.repeat(2, axis=1),
            "Count the rows: each must be there twice as well (axis=0).",
        ),
        Mistake(
            "the mask stands there four times",
            lambda mask: np.tile(mask, (2, 2)),
            "np.tile lays copies beside each other. Enlarging repeats each *pixel*: that is "
            "repeat.",
        ),
        Mistake(
            "the new pixels were left empty",
            _spread,
            "Only every second row and column has a value; the nucleus is full of holes. The "
            "pixels between take the value of their nearest neighbour.",
        ),
        Mistake(
            "repeat was called without an axis",
            lambda mask: mask.repeat(2),
            "Without an axis NumPy makes one long row. Name the axis, once 0 and once 1.",
        ),
    ),
    solved="and only 0 and 1 are left, whatever the mask.",
)

# --- 2.4 how far may they part?

_LIMIT = 0.8


def _block(height: int, width: int) -> np.ndarray:
    """A nucleus of that many rows and columns, with room all round."""
    mask = np.zeros((height + 40, width + 40), bool)
    mask[20 : 20 + height, 20 : 20 + width] = True
    return mask


def _disc(diameter: int) -> np.ndarray:
    """A round nucleus, with room all round."""
    rows, columns = np.indices((diameter + 40, diameter + 40)) - (diameter + 39) / 2
    return rows**2 + columns**2 <= (diameter / 2) ** 2


def _largest(
    mask: np.ndarray,
    score: Callable[[np.ndarray, np.ndarray], float] = dice_score,
    axis: int = 1,
    beyond: bool = False,
) -> int:
    """How far a mask may be moved before the score falls below the limit."""
    step = 0
    while True:
        value = score(mask, np.roll(mask, step + 1, axis))
        if value < _LIMIT or (beyond and value == _LIMIT) or step == 20:
            return step
        step += 1


SHIFT = Exercise(
    key="2.4",
    right=_largest,
    cases=(
        Case("a nucleus of 4 rows and 16 columns", (_block(4, 16),)),
        Case("a nucleus of 12 rows and 12 columns", (_block(12, 12),)),
        Case("a nucleus of 10 rows and 10 columns", (_block(10, 10),)),
        Case("a round nucleus, 24 columns wide", (_disc(24),)),
    ),
    hints=(
        "Try 1 column, then 2, then 3 ... and stop when the score is too low. Which of the steps "
        "is the last good one?",
        "np.roll(mask, step, axis=1) moves a mask by step columns. Compare it with the mask "
        "itself: dt.dice_score(mask, np.roll(mask, step, axis=1)).",
        "step = 0, then while dt.dice_score(mask, np.roll(mask, step + 1, axis=1)) >= 0.8: "
        "step += 1, and at the end return step",
    ),
    mistakes=(
        Mistake(
            "that is the first shift that is too large",
            lambda mask: _largest(mask) + 1,
            "One step too far: at this shift the Dice is below 0.8 already. Asked for is the last "
            "one that is still good.",
        ),
        Mistake(
            "the mask came round from the other side",
            lambda mask: max(
                step
                for step in range(mask.shape[1])
                if dice_score(mask, np.roll(mask, step, 1)) >= _LIMIT
            ),
            "np.roll brings back on the left what leaves on the right, so very large shifts fit "
            "again. Stop at the first shift that is too far.",
        ),
        Mistake(
            "that is IoU, not Dice",
            lambda mask: _largest(mask, iou_score),
            "IoU is the stricter of the two: 0.8 of it is reached sooner. Measure with "
            "dt.dice_score.",
        ),
        Mistake(
            "the mask was moved by rows",
            lambda mask: _largest(mask, axis=0),
            "axis=0 moves a picture down, by rows. To move it to the right, along the columns, "
            "take axis=1.",
        ),
        Mistake(
            "exactly 0.8 was thrown away",
            lambda mask: _largest(mask, beyond=True),
            "Asked for is a Dice of *at least* 0.8: compare with >=, not with >.",
        ),
        Mistake(
            "that is a fifth of the width",
            lambda mask: int(0.2 * mask.any(axis=0).sum()),
            "For a rectangle this is right. A round nucleus loses more when it is moved: try one "
            "shift after another, and measure.",
        ),
        Mistake(
            "that is the Dice, not the shift",
            lambda mask: dice_score(mask, np.roll(mask, _largest(mask), 1)),
            "Asked for is by how many columns the mask may move: a whole number.",
        ),
    ),
    solved="run the next cell: what do small nuclei ask of a mask that large ones do not?",
)

EXERCISES = (FLIP, CROP, ENLARGE, SHIFT)
