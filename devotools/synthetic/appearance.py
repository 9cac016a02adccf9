"""What a drawn micrograph may look like: every factor by name, with its range."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from numbers import Real
from typing import Any

from devotools._validate import InputError

Range = tuple[float, float]


def _factor(meaning: str, default: Any, off: Any, least: float = 0.0, most: float = 1000) -> Any:
    """Declare one factor; `off` is the value that takes it out of the drawing."""
    told = {"meaning": meaning, "off": off, "least": least, "most": most}
    return field(default=default, metadata=told)


def _chance(meaning: str, default: float) -> Any:
    return _factor(f"probability of {meaning}", default, 0.0, most=1.0)


# Several factors under one name, for `Appearance.without`
GROUPS = {
    "granules": ("granules_dark", "granules_bright"),
    "chromatin": ("speckles", "blobs", "clumps", "nucleolus"),
    "hard_negatives": ("vacuoles", "holes", "bare_chromosomes", "polar_bodies"),
    "clutter": (
        "tonal_patches", "eggshell", "folds", "hairs", "knife_marks", "dirt", "debris",
        "wedge", "label_bar", "frame", "second_embryo",
    ),
    "degradation": ("blur", "noise", "contrast", "jpeg"),
}  # fmt: skip


@dataclass(frozen=True)
class Appearance:
    """Ranges and probabilities of everything that makes a drawing look like a micrograph.

    A pair is a range from which each embryo draws one value; a single number is a probability.
    Brightness runs from 0 (black) to 1 (white), lengths are pixels of a 256-pixel picture.

    The ranges were set by eye beside transmission electron micrographs of WormImage
    (www.wormimage.org); wider than reality, because a network that has seen too much variation
    copes with the real amount, and one that has seen too little does not
    (domain randomisation: Tobin et al. 2017, arXiv:1703.06907). Lesson 03 switches some off.
    Raises InputError for a value that is no such pair or number, or out of its range.

    Examples
    --------
    >>> calm = Appearance().without("granules", "label_bar")
    >>> calm.granules_dark, calm.granules_bright, calm.label_bar
    ((0.0, 0.0), (0.0, 0.0), 0.0)
    >>> Appearance.factors()["label_bar"]
    'probability of a black label bar with small pale digits at an edge'
    """

    # --- tones
    resin: Range = _factor("brightness of the empty resin", (0.76, 0.98), (0.88, 0.88), most=1)
    tonal_patches: float = _chance("straight-edged areas of another tone in the resin", 0.6)
    shading: Range = _factor("slope of brightness over the frame", (0.0, 0.2), (0.0, 0.0))
    cytoplasm: Range = _factor("brightness of cytoplasm over resin", (0.28, 0.62), (0.45, 0.45))
    texture: Range = _factor("strength of the fine cytoplasm texture", (0.3, 1.0), (0.0, 0.0))
    dark_core: Range = _factor(
        "how much darker the core is than the rim", (-0.04, 0.15), (0.0, 0.0), least=-1
    )
    pale_probability: float = _chance("the pale type: weak cytoplasm, nuclei hardly seen", 0.25)
    # --- inside the embryo
    granules_dark: Range = _factor("density of dark granules", (0.15, 1.2), (0.0, 0.0))
    granules_bright: Range = _factor("density of bright granules", (0.1, 1.1), (0.0, 0.0))
    vacuoles: Range = _factor("mean number of vacuoles and yolk clusters", (0.0, 3.0), (0.0, 0.0))
    holes: Range = _factor(
        "mean number of angular bright holes torn in the cytoplasm", (0.0, 0.0), (0.0, 0.0)
    )
    membranes: float = _chance("visible borders between cells", 0.7)
    bare_chromosomes: Range = _factor(
        "mean number of chromatin clumps without a nucleus", (0.0, 0.7), (0.0, 0.0)
    )
    # --- nuclei
    nuclei_contrast: Range = _factor(
        "brightness of nuclei: 0 like cytoplasm, 1 like resin", (0.5, 1.1), (0.85, 0.85)
    )
    visibility: Range = _factor(
        "least contrast of nuclei that count: 1 easily seen, 0 as faint as it comes",
        (1.0, 1.0),
        (0.0, 0.0),
    )
    dim_nuclei: float = _chance("a single nucleus to be much dimmer than its neighbours", 0.12)
    speckles: float = _factor("weight of fine speckled chromatin", 0.8, 0.0)
    blobs: float = _factor("weight of short dark chromatin blobs, evenly spread", 1.0, 0.0)
    clumps: float = _factor("weight of a few black condensed clumps near the middle", 0.7, 0.0)
    nucleolus: float = _factor("weight of one round dark body", 0.12, 0.0)
    elongation: Range = _factor("long over short axis of nuclei", (1.02, 1.5), (1.0, 1.0))
    raggedness: Range = _factor(
        "how far looks stray from the envelope (px)", (0.2, 1.6), (0.0, 0.0)
    )
    frayed: Range = _factor(
        "share of a nucleus' radius over which its rim breaks up into cytoplasm",
        (0.0, 0.0),
        (0.0, 0.0),
        most=1,
    )
    # --- the embryo's shape and size
    magnification: Range = _factor(
        "pixels for 18 um, about half an embryo, in whole views",
        (48.0, 112.0),
        (85.0, 85.0),
        least=1,
    )
    zoom: float = _chance("a stronger magnification (18 um on 100 to 230 px)", 0.36)
    lobed: float = _chance("an outline that follows the cells", 0.5)
    oval: Range = _factor("tilt of the cut: 0 round, 1 the full 50 x 30 um", (0.0, 0.8), (0.0, 0.0))
    # --- clutter
    eggshell: float = _chance("shells and thin outlines at a distance", 0.85)
    second_embryo: float = _chance("a second embryo, mostly cut by the frame", 0.3)
    polar_bodies: float = _chance("a small piece of cytoplasm without a nucleus", 0.14)
    folds: float = _chance("a broad or double dark fold", 0.15)
    hairs: float = _chance("thin dark or white threads", 0.35)
    knife_marks: float = _chance("straight parallel scratches", 0.2)
    dirt: float = _chance("scattered dark specks", 0.8)
    debris: float = _chance("clusters of dark crumbs outside the embryo", 0.7)
    wedge: float = _chance("a black wedge or rod, often touching the embryo", 0.2)
    label_bar: float = _chance("a black label bar with small pale digits at an edge", 0.75)
    frame: float = _chance("white margins and thin black lines at the edges", 0.7)
    # --- the way to the file
    blur: Range = _factor("loss of resolution", (0.0, 1.0), (0.0, 0.0))
    noise: Range = _factor("standard deviation of the pixel noise", (0.0, 0.035), (0.0, 0.0))
    contrast: Range = _factor("how far contrast and gamma stray", (0.0, 1.0), (0.0, 0.0))
    jpeg: float = _chance("JPEG compression (quality 45 to 95)", 0.45)

    def __post_init__(self) -> None:
        for item in fields(self):
            least, most = item.metadata["least"], item.metadata["most"]
            value, is_range = getattr(self, item.name), isinstance(item.default, tuple)
            ends = value if is_range and isinstance(value, (tuple, list)) else (value,)
            good = len(ends) == 1 + is_range and all(isinstance(end, Real) for end in ends)
            if not good or not least <= ends[0] <= ends[-1] <= most:
                kind = "a pair (low, high) of numbers" if is_range else "a number"
                raise InputError(
                    f"{item.name} is {value!r}; expected {kind} from {least:g} to {most:g}, "
                    f"for example {item.default!r}: {item.metadata['meaning']}"
                )

    @classmethod
    def factors(cls) -> dict[str, str]:
        """Return every factor's name with its meaning in one line."""
        return {item.name: item.metadata["meaning"] for item in fields(cls)}

    def without(self, *names: str) -> Appearance:
        """Return a copy in which the named factors or groups (see `GROUPS`) are switched off.

        A brightness cannot be absent: such a factor is held at one plain value instead.

        Raises
        ------
        InputError
            If a name is neither a factor nor a group; the message lists those that are.
        """
        off = {item.name: item.metadata["off"] for item in fields(self)}
        if not all(isinstance(name, str) for name in names):
            raise InputError(f"names are {names!r}; expected words: without('hairs', 'folds')")
        wanted = [single for name in names for single in GROUPS.get(name, (name,))]
        unknown = sorted(set(wanted) - set(off))
        if unknown:
            raise InputError(
                f"unknown factor(s) {', '.join(unknown)}; choose from the factors "
                f"{', '.join(off)} or the groups {', '.join(GROUPS)}"
            )
        return replace(self, **{name: off[name] for name in wanted})
