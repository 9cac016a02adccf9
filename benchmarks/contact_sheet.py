"""Lay drawn sections side by side, or in turn with real micrographs, to judge the drawings by eye.

    python benchmarks/contact_sheet.py --out sheet.png [--data DIR] [--outlines]

DIR/images holds the real pictures; none are part of this repository.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from devotools.synthetic import draw_section


def drawn_tile(seed: int, side: int, outlines: bool) -> np.ndarray:
    """Return one drawn section (side, side, 3) uint8, at will with red label outlines."""
    image, labels = draw_section(seed)
    grey = cv2.resize(np.uint8(image * 255), (side, side), interpolation=cv2.INTER_CUBIC)
    tile = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    if outlines:
        large = cv2.resize(labels, (side, side), interpolation=cv2.INTER_NEAREST).astype(np.float32)
        # a pixel whose 3 x 3 neighbourhood holds two labels lies on an outline
        cross = np.ones((3, 3), np.uint8)
        tile[cv2.dilate(large, cross) != cv2.erode(large, cross)] = (0, 0, 255)
    return tile


def real_tile(path: Path, side: int) -> np.ndarray:
    """Return a picture from a file on a grey square (side, side, 3) uint8."""
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise SystemExit(f"{path} is not a picture; give a folder whose images/ holds PNG files")
    scale = side / max(grey.shape)
    size = (round(grey.shape[1] * scale), round(grey.shape[0] * scale))
    tile = np.full((side, side, 3), 128, np.uint8)
    tile[: size[1], : size[0]] = cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC)[..., None]
    return tile


def contact_sheet(tiles: list[np.ndarray], columns: int) -> np.ndarray:
    """Return all tiles in rows of `columns`, the last row filled up with grey."""
    tiles = tiles + [np.full_like(tiles[0], 128)] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    return np.vstack(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="picture to write")
    parser.add_argument("--data", type=Path, help="folder with images/ to alternate with")
    parser.add_argument("--count", type=int, default=24, help="drawn sections (24)")
    parser.add_argument("--columns", type=int, default=6, help="tiles in a row (6)")
    parser.add_argument("--side", type=int, default=300, help="side of a tile in pixels (300)")
    parser.add_argument("--seed", type=int, default=0, help="first seed (0)")
    parser.add_argument("--outlines", action="store_true", help="draw label outlines")
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + options.count)
    tiles = [drawn_tile(seed, options.side, options.outlines) for seed in seeds]
    if options.data:
        paths = sorted((options.data / "images").glob("*.png"))
        if not paths:
            raise SystemExit(
                f"no PNG files in {options.data / 'images'}; give a folder with images/"
            )
        # real ones first of each pair, from the start again when they run out
        pairs = [
            (real_tile(paths[k % len(paths)], options.side), tile) for k, tile in enumerate(tiles)
        ]
        tiles = [tile for pair in pairs for tile in pair]
    cv2.imwrite(str(options.out), contact_sheet(tiles, options.columns))


if __name__ == "__main__":
    main()
