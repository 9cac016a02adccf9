"""Store a figure in fewer bytes, where nobody can see the difference."""

from io import BytesIO

import numpy as np
from PIL import Image

LARGEST_ERROR = 12  # of 255, in any channel of any pixel


def smaller_png(data: bytes) -> bytes:
    """The picture of a PNG file, opaque and in a palette of 256 colours.

    Figures of grey sections and a few colours lose nothing that shows. Where a colour would change
    by more than `LARGEST_ERROR`, the picture keeps its colours; where nothing is saved, its bytes.
    """
    picture = Image.open(BytesIO(data))
    if picture.mode == "P":
        return data  # it has been here before
    opaque = on_white(picture)
    # A palette without dither: neighbouring pixels of the same colour stay the same.
    few = opaque.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    if opaque.getcolors(256) is not None:  # an exact palette exists
        few = opaque.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    kept = few if largest_error(few, opaque) <= LARGEST_ERROR else opaque
    encoded = BytesIO()
    kept.save(encoded, "PNG", optimize=True)
    return min(encoded.getvalue(), data, key=len)


def on_white(picture: Image.Image) -> Image.Image:
    """The picture in RGB; where it is transparent, white shows."""
    paper = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(paper, picture.convert("RGBA")).convert("RGB")


def largest_error(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of a channel in a pixel."""
    first, second = (np.asarray(image.convert("RGB"), int) for image in (one, other))
    return int(abs(first - second).max())
