"""The whole idea in one figure, which the README shows.

    python benchmarks/idea.py --out docs/images/idea.png

Top: an embryo is drawn and cut, so its mask is known, and the network learns from both. Bottom: a
section of another embryo goes through the shipped model to numbers.
"""

import argparse
from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import ConnectionPatch, Rectangle
from PIL import Image

import devotools as dt

# No seeds of the shipped model's training. The new section was chosen: all of its nuclei are found.
LEARN_SEED, USE_SEED = 39, 2_000_032
SECTION = 18  # the middle of the series
NUMBER = {"ha": "center", "va": "center", "fontsize": 9, "fontweight": "bold"}
NUMBER["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
STEPS = (
    ("draw an embryo, cut it", "a section ...", "... and its exact mask", "a ResNet18 learns"),
    ("a new section", "probability of nucleus", "numbered nuclei", "a table"),
)


def draw_cuts(series: dt.Series, ax: Axes) -> None:
    """The nuclei of an embryo from the side, and where the knife goes."""
    for nucleus in series.nuclei.itertuples():
        middle = (nucleus.depth_um, nucleus.row_um)
        ax.add_patch(plt.Circle(middle, nucleus.radius_um, fill=False, edgecolor="#0072B2"))
    for number in range(0, len(series.images), 3):
        ax.axvline(number * series.section_thickness_um, color="grey", linewidth=0.6)
    here = SECTION * series.section_thickness_um
    ax.axvline(here, color="black", linestyle="--", linewidth=2)
    side = len(series.images[0]) * series.pixel_size_um
    ax.set(xlim=(here - side / 2, here + side / 2), ylim=(side, 0), aspect="equal")
    ax.set(xticks=[], yticks=[])


def draw_network(ax: Axes) -> None:
    """The stages of the network: smaller and smaller, and back up the pyramid."""
    down = [(0.06 + 0.1 * n, 0.62 / 1.55**n) for n in range(5)]
    up = [(0.58 + 0.1 * n, 0.62 / 1.55 ** (3 - n)) for n in range(4)]
    for places, colour in ((down, "#E69F00"), (up, "#56B4E9")):
        for left, height in places:
            corner, looks = (left, 0.5 - height / 2), {"facecolor": colour, "edgecolor": "black"}
            ax.add_patch(Rectangle(corner, 0.06, height, **looks))
    ax.text(0.27, 0.04, "what?", ha="center", fontsize=11)
    ax.text(0.75, 0.04, "where?", ha="center", fontsize=11)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=[], yticks=[])


def draw_table(labels: np.ndarray, image: np.ndarray, pixel_size_um: float, ax: Axes) -> None:
    """The first rows of the measurements."""
    table = dt.measure_nuclei(labels, image, pixel_size_um=pixel_size_um).head(6)
    lines = ["nucleus  area µm²  bright"]
    for row in table.itertuples():
        lines.append(f"{row.label:7d} {row.area_um2:9.1f} {row.intensity_mean:7.2f}")
    lines.append(f"{'...':>7s}")
    style = {"ha": "center", "va": "center", "family": "monospace", "linespacing": 1.7}
    ax.text(0.5, 0.5, "\n".join(lines), fontsize=9.5, **style)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=[], yticks=[])


def draw_idea() -> plt.Figure:
    """Both rows, with arrows from step to step."""
    tidy = dt.Appearance().without("second_embryo", "label_bar")
    known = dt.synthesize_series(nuclei=24, sections=36, size=256, seed=LEARN_SEED, appearance=tidy)
    new = dt.synthesize_series(nuclei=30, sections=9, size=256, seed=USE_SEED, appearance=tidy)
    image = new.images[4]
    probability = dt.predict_probability(dt.load_model("nuclei"), image)
    labels = dt.label_nuclei(probability)

    figure, axes = plt.subplots(2, 4, figsize=(9.6, 5.3), layout="constrained")
    draw_cuts(known, axes[0, 0])
    dt.show_image(known.images[SECTION], axes[0, 1])
    dt.show_image(known.labels[SECTION] > 0, axes[0, 2])
    draw_network(axes[0, 3])
    dt.show_image(image, axes[1, 0])
    dt.show_image(probability, axes[1, 1])
    dt.show_overlay(image, labels, axes[1, 2])
    for row in dt.measure_nuclei(labels).itertuples():
        place = (row.centroid_col, row.centroid_row)
        axes[1, 2].annotate(str(row.label), place, **NUMBER)
    draw_table(labels, image, new.pixel_size_um, axes[1, 3])
    for row, titles, name in zip(axes, STEPS, ("LEARN", "USE"), strict=True):
        for ax, title in zip(row, titles, strict=True):
            ax.set_title(title, fontsize=12)
        style = {"rotation": 90, "va": "center", "ha": "right", "fontsize": 14}
        row[0].text(-0.05, 0.5, name, transform=row[0].transAxes, fontweight="bold", **style)
    figure.get_layout_engine().set(wspace=0.08, hspace=0.06)
    connect(figure, axes)
    return figure


def connect(figure: plt.Figure, axes: np.ndarray) -> None:
    """Arrows between neighbours, and from the network down to where it is used."""
    pairs = [(row[n], (1.01, 0.5), row[n + 1], (-0.01, 0.5)) for row in axes for n in range(3)]
    for one, start, other, end in pairs:
        arrow = ConnectionPatch(
            start, end, "axes fraction", "axes fraction", axesA=one, axesB=other,
            arrowstyle="-|>", mutation_scale=16, linewidth=2, color="black",
        )  # fmt: skip
        figure.add_artist(arrow)


def main() -> None:
    """Draw the figure and store it in a palette, which is small."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    drawn = BytesIO()
    draw_idea().savefig(drawn, dpi=110)
    few = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    out.parent.mkdir(parents=True, exist_ok=True)
    few.save(out, optimize=True)
    print(f"{out}: {out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
