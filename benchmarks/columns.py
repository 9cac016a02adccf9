"""The project's picture: input, prediction, mask, side by side.

    python benchmarks/columns.py --out columns.png                 # drawn test embryos
    python benchmarks/columns.py --data DIR --out columns.png      # your own labelled sections
    python benchmarks/columns.py --worst --out failures.png        # where the model fails

Drawn sections come from a seed that training never uses. DIR has images/ and masks/.
"""

import argparse
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

import devotools as dt

TEST_SEED = 2_000_003  # devotools.datasets mixes it with the embryo's number; no training number


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with images/ and masks/")
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=3)
    parser.add_argument("--worst", action="store_true", help="the lowest IoU instead of the first")
    return parser.parse_args()


def drawn_pairs(folder: Path) -> list[dt.ImageMaskPair]:
    """Draw 24 test embryos; return two sections of each that have nuclei."""
    dt.synthesize_dataset(folder, embryos=24, sections=5, seed=TEST_SEED)
    pairs = dt.read_dataset(folder)
    return [p for p in pairs if p.section in (2, 3) and dt.read_mask(p.mask).any()]


def draw_columns(model: dt.ResNet18FPN, pairs: list[dt.ImageMaskPair], out: Path) -> None:
    """Draw one row a pair: input, predicted mask, hand-drawn or true mask."""
    size = (6.6, 2.25 * len(pairs))
    _, axes = plt.subplots(len(pairs), 3, figsize=size, squeeze=False, layout="constrained")
    for row, pair in zip(axes, pairs, strict=True):
        image, mask = dt.read_image(pair.image), dt.read_mask(pair.mask)
        labels = dt.label_nuclei(dt.predict_probability(model, image))
        dt.show_image(image, row[0])
        dt.show_image(labels > 0, row[1], title=f"IoU {dt.iou_score(mask, labels > 0):.2f}")
        dt.show_image(mask, row[2])
    for ax, title in zip(axes[0], ("input", "prediction", "mask"), strict=True):
        ax.set_title(f"{title}\n{ax.get_title()}".strip())
    plt.savefig(out, dpi=110)


def main() -> None:
    """Choose the sections, draw the figure."""
    arguments = parse_arguments()
    model = dt.load_model(arguments.model)
    with tempfile.TemporaryDirectory() as scratch:
        drawn = arguments.data is None
        pairs = drawn_pairs(Path(scratch) / "d") if drawn else dt.read_dataset(arguments.data)
        if arguments.worst:
            names = dt.evaluate(model, pairs).table()["name"]
            order = {name: place for place, name in enumerate(names)}
            pairs = sorted(pairs, key=lambda pair: order[pair.name])
        draw_columns(model, pairs[: arguments.rows], arguments.out)
    print(f"{arguments.rows} rows written to {arguments.out}")


if __name__ == "__main__":
    main()
