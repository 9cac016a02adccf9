"""The exercises of lesson 05: from logits to a mask, from areas to sizes, from cuts to nuclei."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from devotools.metrics import iou_score, match_instances

from .kit import Case, Exercise, Mistake


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


MASK_FROM_LOGITS = Exercise(
    key="5.1",
    right=lambda logits: logits >= 0,
    cases=(
        Case("the logits -3, -0.2, 0.2, 3", (np.array([[-3.0, -0.2, 0.2, 3.0]]),)),
        Case("the logits 0, 0.4, 0.6, -0.6", (np.array([[0.0, 0.4], [0.6, -0.6]]),)),
        Case("the logits -7, -2, 1", (np.array([[-7.0, -2.0, 1.0]]),)),
        Case("a picture without a nucleus", (np.array([[-4.0, -1.0], [-0.3, -2.0]]),)),
    ),
    hints=(
        "Which logit belongs to a probability of 0.5? Look at the table above.",
        "sigmoid(0) is 1 / (1 + 1). Either turn the logits into probabilities first, or compare "
        "them with that logit. A pixel at exactly 0.5 is nucleus here.",
        "return logits >= 0",
    ),
    mistakes=(
        Mistake(
            "logits are compared with 0.5",
            lambda logits: logits >= 0.5,
            "0.5 is a probability; as a logit it means a probability of 0.62, so pixels between "
            "are lost. The logit of 0.5 is 0.",
        ),
        Mistake(
            "everything became nucleus",
            lambda logits: _sigmoid(_sigmoid(logits)) >= 0.5,
            "Either the sigmoid was applied twice, or a probability was compared with 0. Compare "
            "probabilities with 0.5, or logits with 0, and not the one with the other's threshold. "
            "(Or brackets are missing: 1 / (1 + exp(-logit)).)",
        ),
        Mistake(
            "a pixel at exactly 0.5 is left out",
            lambda logits: logits > 0,
            "The threshold itself counts as nucleus here, in training, scores and pictures alike: "
            "at least, not more than. (np.round would send 0.5 to 0 as well.)",
        ),
        Mistake(
            "the minus is missing in the sigmoid",
            lambda logits: logits <= 0,
            "It is 1 / (1 + exp(-logit)): with exp(+logit) a high logit gets a low probability.",
        ),
        Mistake(
            "the scale is that of this picture",
            lambda logits: (logits - logits.min()) / np.ptp(logits) >= 0.5,
            "Brought to 0 ... 1 by its own lowest and highest logit, every picture has nuclei. The "
            "sigmoid is the same for all: only a logit of 0 is 0.5.",
        ),
        Mistake(
            "nucleus and background are exchanged",
            lambda logits: logits < 0,
            "A high logit means rather nucleus. Turn the comparison round.",
        ),
    ),
    solved="no sigmoid is needed for a mask: it never changes which of two values is larger.",
)


def _diameter(area_px: float, pixel_size_um: float) -> float:
    return float(2 * np.sqrt(area_px / np.pi) * pixel_size_um)


DIAMETER = Exercise(
    key="5.2",
    right=_diameter,
    cases=(
        Case("314 pixels of 0.5 µm", (314, 0.5)),
        Case("50 pixels of 0.12 µm", (50, 0.12)),
    ),
    tolerance=1e-3,  # 3.14 is near enough
    hints=(
        "The area of a circle is pi times the radius squared. Solve it for the radius.",
        "The radius in pixels is np.sqrt(area_px / np.pi). A length is turned into micrometres by "
        "multiplying it once with the pixel size.",
        "return 2 * np.sqrt(area_px / np.pi) * pixel_size_um",
    ),
    mistakes=(
        Mistake(
            "that is the radius",
            lambda area, size: np.sqrt(area / np.pi) * size,
            "A diameter is twice the radius: half the width that you see in the picture.",
        ),
        Mistake(
            "the pixel size is not squared in the area",
            lambda area, size: 2 * np.sqrt(area * size / np.pi),
            "A pixel of 0.5 µm covers 0.5 x 0.5 µm². Multiply the area by the pixel size squared, "
            "or the finished length by the pixel size.",
        ),
        Mistake(
            "the pixel size is squared in a length",
            lambda area, size: 2 * np.sqrt(area / np.pi) * size**2,
            "Squared belongs to areas. You have taken the root already, so this is a length: "
            "multiply once.",
        ),
        Mistake(
            "that is in pixels",
            lambda area, size: 2 * np.sqrt(area / np.pi),
            "The number is right, its unit is not: multiply by the pixel size.",
        ),
        Mistake(
            "the pixel size is divided by",
            lambda area, size: 2 * np.sqrt(area / np.pi) / size,
            "Micrometres a pixel, times pixels, gives micrometres. Small pixels must make the "
            "diameter smaller, not larger.",
        ),
        Mistake(
            "the root is missing",
            lambda area, size: 2 * area / np.pi * size,
            "Area over pi is the radius squared.",
        ),
        Mistake(
            "that is the side of a square",
            lambda area, size: np.sqrt(area) * size,
            "You have spread the area over a square; a circle of that area is a little wider. "
            "Divide by pi before the root, and double the radius.",
        ),
    ),
    solved="one number that a biologist can picture, from any outline, round or not.",
)


def _square_um(areas_px: np.ndarray, pixel_size_um: float) -> np.ndarray:
    return np.asarray(areas_px) * pixel_size_um**2


VOLUME = Exercise(
    key="5.3",
    right=lambda areas, size, thickness: float(_square_um(areas, size).sum() * thickness),
    cases=(
        Case("the areas 40, 90, 110, 60 px", (np.array([40, 90, 110, 60]), 0.5, 0.8)),
        Case("a single cut of 50 px", (np.array([50]), 0.2, 1.5)),
    ),
    hints=(
        "Think of a pile of coins: each section is one coin. What is the volume of one?",
        "The volume of a coin is its area in square micrometres times the thickness of the "
        "section; the volume of the pile is their sum.",
        "return areas_px.sum() * pixel_size_um**2 * thickness_um",
    ),
    mistakes=(
        Mistake(
            "the mean area is counted for one section",
            lambda areas, size, thickness: _square_um(areas, size).mean() * thickness,
            "That is a single coin of middling size. Add all areas up, or multiply by their number "
            "too.",
        ),
        Mistake(
            "the pixel size is not squared",
            lambda areas, size, thickness: np.sum(areas) * size * thickness,
            "An area in pixels becomes square micrometres with the pixel size squared. Check the "
            "units: µm times µm times µm.",
        ),
        Mistake(
            "the pixel size is cubed",
            lambda areas, size, thickness: np.sum(areas) * size**3 * thickness,
            "Only two sides of the brick are pixels. The third is the thickness, which is there "
            "already.",
        ),
        Mistake(
            "the pixel size stands in for the thickness",
            lambda areas, size, thickness: np.sum(areas) * size**3,
            "The brick under a pixel is no cube: a section is as thick as it was cut. Use the "
            "pixel size twice and the thickness once.",
        ),
        Mistake(
            "the thickness is missing",
            lambda areas, size, thickness: _square_um(areas, size).sum(),
            "That is a sum of areas, in µm². Each area stands for a section: multiply by its "
            "thickness.",
        ),
        Mistake(
            "the pixel size is missing",
            lambda areas, size, thickness: np.sum(areas) * thickness,
            "Pixels times micrometres is no volume. Multiply by the pixel size squared.",
        ),
        Mistake(
            "the ends are counted half",
            lambda areas, size, thickness: (
                float(np.sum((areas[1:] + areas[:-1]) / 2)) * size**2 * thickness
            ),
            "The trapezoidal rule goes from the first cut to the last, and loses half a section at "
            "either end: a nucleus with a single cut would have no volume. Each cut stands for a "
            "whole section.",
        ),
        Mistake(
            "that is a sphere through the largest cut",
            lambda areas, size, thickness: 4 / 3 * np.pi * (np.max(areas) / np.pi) ** 1.5 * size**3,
            "It takes the nucleus for a ball that was cut through its middle. The areas know its "
            "true shape: add them up.",
        ),
    ),
    solved="it holds for any shape, as long as the sections lie evenly spaced.",
)


def _ids(section: np.ndarray) -> set[int]:
    return set(np.unique(section[section > 0]).tolist())


def _links(labels: np.ndarray, least: float = 0.2) -> int:
    return sum(match_instances(a, b, least).tp for a, b in pairwise(labels))


def _count(labels: np.ndarray, least: float = 0.2) -> int:
    return sum(len(_ids(section)) for section in labels) - _links(labels, least)


def _reached(labels: np.ndarray, least: float = 0.2) -> int:
    """Cuts that any cut of the section before overlaps enough: two may share one partner."""
    return sum(
        any(iou_score(before == other, after == one) >= least for other in _ids(before))
        for before, after in pairwise(labels)
        for one in _ids(after)
    )


# In each section the nuclei are numbered afresh, now and then with a gap where one was deleted.
# Of the five nuclei in _TINY three go on in the next section, one of them at less than half size.
_TINY = np.array(
    [
        [[1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
        [[1, 1, 1, 1, 0, 0, 2, 2, 2, 2, 2, 0, 0, 0, 3, 3]],
        [[0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 2, 2, 0, 0, 0]],
        [[0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 2, 2, 0, 0, 0]],
    ]
)
# Of the three nuclei that touch one goes on: 3 (IoU 0.33), so that 2 (0.29) has no partner left.
_TOUCHING = np.array(
    [
        [[1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3]],
        [[0, 0, 0, 0, 1, 1, 0, 0, 3, 3, 3, 0, 0, 3]],
    ]
)
# Nucleus 1 falls in two, of which only one is its own; then a section without any.
_FALLS_IN_TWO = np.array(
    [
        [[1, 1, 1, 1, 1, 1, 0, 3, 3, 0]] * 2,
        [[1, 1, 1, 1, 4, 4, 0, 2, 2, 0]] * 2,
        [[0] * 10] * 2,
        [[0] * 10, [0, 0, 0, 0, 0, 0, 0, 2, 2, 0]],
        [[0] * 10, [0, 0, 0, 0, 0, 0, 0, 1, 1, 0]],
    ]
)
# Two nuclei that move on: IoU 2/9, just enough for a link, and 2/11, just too little.
_NEAR_THE_LIMIT = np.array(
    [
        [[1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0]],
        [[0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2]],
    ]
)
_PAIR = np.array([[[1, 1, 0, 3, 3, 3, 3, 3]], [[0, 0, 0, 2, 2, 0, 0, 0]]])

COUNT = Exercise(
    key="5.4",
    right=_count,
    cases=(
        Case("two sections in which one nucleus goes on, under another number", (_PAIR,)),
        Case("four sections with eight cuts", (_TINY,)),
        Case("nuclei that touch, and overlaps too small for a link", (_TOUCHING,)),
        Case("a nucleus that falls in two, and a section without any", (_FALLS_IN_TWO,)),
        Case("overlaps near the limit of 0.2", (_NEAR_THE_LIMIT,)),
    ),
    hints=(
        "Two cuts that are linked are one nucleus; three in a chain are one nucleus as well. By "
        "how many does each link lower the number?",
        "Count the cuts of all sections (without the background), then take away one for each "
        "link. match_instances(one, next, 0.2).tp is the number of links between two sections.",
        "cuts = sum(len(np.unique(one[one > 0])) for one in labels); "
        "links = sum(dt.match_instances(a, b, 0.2).tp for a, b in pairwise(labels)); "
        "return cuts - links",
    ),
    mistakes=(
        Mistake(
            "cuts are counted, not nuclei",
            lambda labels: sum(len(_ids(section)) for section in labels),
            "A nucleus that is cut four times counts four times. Take away one for each link from "
            "a section to the next.",
        ),
        Mistake(
            "the largest number was taken for the count",
            lambda labels: sum(int(section.max()) for section in labels) - _links(labels),
            "A number may be missing where a nucleus was deleted. Count the different ones: "
            "len(np.unique(one[one > 0])).",
        ),
        Mistake(
            "only the fullest section is counted",
            lambda labels: max(len(_ids(section)) for section in labels),
            "No single section cuts every nucleus. Those that lie above and below it are missing.",
        ),
        Mistake(
            "cuts are linked by their number",
            lambda labels: len(_ids(labels)),
            "Number 2 of one section is not number 2 of the next: the numbers are given afresh in "
            "each. Link by overlap.",
        ),
        Mistake(
            "links are counted, not nuclei",
            _links,
            "A nucleus with a single cut has no link, one with four cuts has three. Take the links "
            "away from the cuts.",
        ),
        Mistake(
            "the links ask for too much overlap",
            lambda labels: _count(labels, 0.5),
            "match_instances asks for an IoU of 0.5 unless you say otherwise, and near its ends a "
            "nucleus shrinks faster than that from section to section. Give it 0.2.",
        ),
        Mistake(
            "the links ask for too little overlap",
            lambda labels: _count(labels, 0.1),
            "Neighbours that hardly touch are linked as well, and two nuclei become one. Give "
            "match_instances an IoU of 0.2.",
        ),
        Mistake(
            "the background is counted as a nucleus",
            lambda labels: sum(len(np.unique(section)) for section in labels) - _links(labels),
            "np.unique also returns 0, wherever there is background. Leave it out: "
            "np.unique(one[one > 0]).",
        ),
        Mistake(
            "one is taken away for a background that is not there",
            lambda labels: sum(len(np.unique(section)) - 1 for section in labels) - _links(labels),
            "Where nuclei fill a section there is no 0 in it. Leave out the zeros, not one value: "
            "np.unique(one[one > 0]).",
        ),
        Mistake(
            "two cuts are linked to one",
            lambda labels: sum(len(_ids(section)) for section in labels) - _reached(labels),
            "A nucleus that falls in two goes on as one of the pieces; the other is a new nucleus. "
            "Link one to one, as match_instances does.",
        ),
    ),
    solved="cuts minus links. Every missed link makes one nucleus too many.",
)

EXERCISES = (MASK_FROM_LOGITS, DIAMETER, VOLUME, COUNT)
