"""Store a figure in fewer bytes, where nobody can see the difference."""

from io import BytesIO

import numpy as np
from PIL import Image
from scipy.spatial import cKDTree

LARGEST_ERROR = 20  # of 255, in any channel of any coloured pixel
GREY_STEP = 5  # every fifth grey is in the palette: an error of two
NEARLY_GREY = 2  # of 255, between the channels of a pixel


def smaller_png(data: bytes) -> bytes:
    """The picture of a PNG file, opaque and in a palette of 256 colours.

    Figures of grey sections and a few colours lose nothing that shows; what is grey stays grey.
    Where a colour would change by more than `LARGEST_ERROR`, the picture keeps its colours; where
    nothing is saved, its bytes.
    """
    picture = Image.open(BytesIO(data))
    if picture.mode == "P":
        return data  # it has been here before
    opaque = on_white(picture)
    if opaque.getcolors(256) is not None:  # an exact palette exists
        few = opaque.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    else:
        few = with_greys(opaque)
    kept = few if largest_error(few, opaque) <= LARGEST_ERROR else opaque
    encoded = BytesIO()
    kept.save(encoded, "PNG", optimize=True)
    return min(encoded.getvalue(), data, key=len)


def with_greys(picture: Image.Image) -> Image.Image:
    """An RGB picture in a palette of 52 greys and 204 colours, without dither.

    A palette of colours alone would give an even grey a tint here and there.
    """
    colours, places = np.unique(np.asarray(picture).reshape(-1, 3), axis=0, return_inverse=True)
    is_grey = np.ptp(colours.astype(int), axis=1) <= NEARLY_GREY
    greys = np.repeat(np.arange(0, 256, GREY_STEP, dtype=np.uint8)[:, None], 3, axis=1)
    palette = greys
    if not is_grey.all():
        row = Image.fromarray(colours[~is_grey][None])
        method = Image.Quantize.MAXCOVERAGE
        chosen = row.quantize(256 - len(greys), method=method, dither=Image.Dither.NONE)
        palette = np.vstack([greys, np.reshape(chosen.getpalette(), (-1, 3)).astype(np.uint8)])
    nearest = cKDTree(palette).query(colours)[1]
    nearest[is_grey] = np.round(colours[is_grey].mean(axis=1) / GREY_STEP)
    indices = nearest[places.reshape(picture.height, picture.width)].astype(np.uint8)
    few = Image.fromarray(indices, "P")
    few.putpalette(palette.tobytes())
    return few


def on_white(picture: Image.Image) -> Image.Image:
    """The picture in RGB; where it is transparent, white shows."""
    paper = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(paper, picture.convert("RGBA")).convert("RGB")


def largest_error(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of a channel in a pixel."""
    first, second = (np.asarray(image.convert("RGB"), int) for image in (one, other))
    return int(abs(first - second).max())
