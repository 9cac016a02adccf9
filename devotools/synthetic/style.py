"""The look of one embryo: a value for each range of `Appearance`, drawn once for all sections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .appearance import Appearance
from .streams import Streams


@dataclass(frozen=True)
class GranuleKind:
    """One population of granules; lengths in pixels of an embryo with a half length of 75."""

    name: str
    density: float  # granules a pixel
    radius: float
    tone: float
    irregular: float  # share with an angular outline


@dataclass(frozen=True)
class Style:
    """One value for everything that all sections of an embryo share. Tones run from 0 to 1."""

    pale: bool
    resin: float
    cytoplasm: float
    nucleus: float
    chromatin: float
    black: float
    texture: tuple[float, ...]  # strength at sigma 0, 0.7, 1.7, 6 and 25
    speckle: tuple[float, float, float, float]  # sigma, threshold, darker, brighter
    cell_tone: float
    core: float
    core_reach: float
    softness: float
    granules: tuple[GranuleKind, ...]
    granule_trend: float  # above 0: granules gather near the rim
    granule_clumping: float
    vacuoles: float
    holes: float
    bare_chromosomes: float
    chromatin_kinds: tuple[str, ...]
    chromatin_weights: tuple[float, ...]
    chromatin_grain: float
    chromatin_threshold: float
    network: bool
    nuclear_texture: float
    raggedness: float
    frayed: float
    nuclear_softness: float
    envelope: tuple[float, float, float]  # probability, width (px), strength
    visibility: float  # of nuclei that count: 1 easily seen, 0 as faint as it comes
    dim_nuclei: float


def draw_style(appearance: Appearance, streams: Streams) -> Style:
    """Draw the look of one embryo; each factor from a stream of its own."""

    def pick(factor: str) -> float:
        low, high = getattr(appearance, factor)
        return float(streams.at("pick " + factor).uniform(low, high))

    pale = bool(streams.at("pale").random() < appearance.pale_probability)
    rng = streams.at("tones")
    resin = pick("resin")
    cytoplasm = resin * (rng.uniform(0.62, 0.86) if pale else pick("cytoplasm"))
    lift = pick("nuclei_contrast") * (rng.uniform(0.3, 0.85) if pale else 1.0)
    nucleus = cytoplasm + (resin - cytoplasm) * lift
    black = rng.uniform(0.02, 0.22)
    kinds, weights = _chromatin(appearance, streams.at("chromatin"), pale)
    tissue, looks = streams.at("tissue"), streams.at("nuclear looks")
    texture = _texture(tissue, pick("texture"), pale)
    return Style(
        pale=pale,
        resin=resin,
        cytoplasm=cytoplasm,
        nucleus=nucleus,
        chromatin=min(rng.uniform(0.06, 0.48), nucleus * 0.62),
        black=black,
        texture=texture,
        speckle=_speckle(tissue, pick("texture"), cytoplasm, pale),
        cell_tone=tissue.uniform(0, 0.035),
        core=-pick("dark_core") * (0.6 if pale else 1.0),
        core_reach=tissue.uniform(0.5, 1.0),
        softness=tissue.uniform(0.4, 1.0),
        granules=_granules(streams.at("granules"), pick, resin, cytoplasm, pale),
        granule_trend=tissue.uniform(-1, 4) * (tissue.random() < 0.6),
        granule_clumping=tissue.uniform(0, 1.3),
        vacuoles=pick("vacuoles"),
        holes=pick("holes"),
        # the pale type shows many clumps whose nucleus the section has left
        bare_chromosomes=pick("bare_chromosomes") * (3 if pale else 1),
        chromatin_kinds=kinds,
        chromatin_weights=weights,
        chromatin_grain=looks.uniform(0.4, 1.2),
        chromatin_threshold=looks.uniform(0.3, 1.3),
        network=bool(looks.random() < 0.2),
        nuclear_texture=max(texture[1], texture[2]) * looks.uniform(0.25, 0.8)
        if pale
        else looks.uniform(0.01, 0.09),
        raggedness=pick("raggedness"),
        frayed=pick("frayed"),
        nuclear_softness=looks.uniform(0.7, 1.9),
        envelope=(
            float(looks.choice([0.0, 0.5, 0.9], p=[0.45, 0.3, 0.25])),
            looks.uniform(0.6, 1.2),
            looks.uniform(0.15, 0.6),
        ),
        visibility=pick("visibility"),
        dim_nuclei=appearance.dim_nuclei * (0.4 if pale else 1.0),  # dim enough already
    )


def _texture(rng: np.random.Generator, strength: float, pale: bool) -> tuple[float, ...]:
    """Return the noise strengths; the pale type is grainy, at a little more than a pixel."""
    most = np.array([0.05, 0.09, 0.05, 0.03, 0.04]) * ([0.8, 1.2, 1, 1, 1] if pale else 1)
    return tuple(float(value) for value in most * rng.uniform([0, 0.3, 0.2, 0, 0], 1) * strength)


def _speckle(
    rng: np.random.Generator, strength: float, cytoplasm: float, pale: bool
) -> tuple[float, float, float, float]:
    """Return ribosome-like speckle: noise above a threshold, darker here and brighter there."""
    sigma = float(rng.choice([0.7, 1.1, 1.7]))
    threshold, dark, bright = rng.uniform(0.3, 1.3), rng.uniform(0, 0.16), rng.uniform(0, 0.12)
    dark *= (rng.random() < 0.75) * cytoplasm / 0.5
    bright *= rng.random() < 0.6
    return sigma, threshold, dark * strength * (1.3 if pale else 1.0), bright * strength


def _granules(
    rng: np.random.Generator, pick, resin: float, cytoplasm: float, pale: bool
) -> tuple[GranuleKind, ...]:
    """Return four populations: small bright, dark, large bright, and greyish ones."""
    dark, bright = pick("granules_dark"), pick("granules_bright")
    dark_tone = cytoplasm * (rng.uniform(0.6, 0.92) if pale else rng.uniform(0.1, 0.62))
    bright_tone = cytoplasm + (resin - cytoplasm) * rng.uniform(0.4, 1.05)
    irregular = rng.uniform(0, 0.8)
    share = 0.35 if pale else 1.0
    return (
        GranuleKind("bright", 0.017 * bright, rng.uniform(0.6, 1.9), bright_tone, irregular),
        GranuleKind("dark", 0.026 * dark * share, rng.uniform(0.7, 2.3), dark_tone, irregular / 3),
        GranuleKind(
            "large bright",
            0.005 * bright * rng.random(),
            rng.uniform(1.8, 3.0),
            bright_tone,
            irregular,
        ),
        GranuleKind(
            "grey", 0.008 * dark * rng.random(), rng.uniform(1.0, 2.8), cytoplasm * 0.8, irregular
        ),
    )


def _chromatin(
    appearance: Appearance, rng: np.random.Generator, pale: bool
) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return the looks of chromatin with the probability of each in this embryo.

    One look prevails in an embryo: its cells are in the same phase of the cycle more or less.
    """
    kinds = ("speckles", "blobs", "clumps", "blobs and clumps", "nucleolus", "empty")
    base = np.array(
        [
            appearance.speckles,
            appearance.blobs,
            appearance.clumps * (4.0 if pale else 0.4),
            2.0 * appearance.clumps * appearance.blobs,
            appearance.nucleolus * (0.2 if pale else 1.0),
            0.01,
        ]
    )
    base = base / base.sum()
    weights = 0.3 * base
    weights[rng.choice(len(kinds), p=base)] += 0.7
    return kinds, tuple(weights / weights.sum())
