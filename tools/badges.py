"""Draw the badges of README and lessons into docs/images/badges: `python tools/badges.py`."""

from links import BADGES
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

# What stands on the badge, its colour, and the colour of the text. tests/test_links.py holds the
# contrast.
LOOKS = {
    "binder": ("Run on", "Binder", "#0072B2", "#FFFFFF"),
    "colab": ("Open in", "Colab", "#E69F00", "#000000"),
    "nbviewer": ("Read on", "nbviewer", "#56B4E9", "#000000"),
    "app": ("Open", "the app", "#009E73", "#000000"),
}
DARK = ("#333333", "#FFFFFF")
HEIGHT, MARGIN, SIZE = 22, 7, 12


def draw(first: str, second: str, colour: str, text: str) -> Image.Image:
    """A badge of two words: the first on dark grey, the second on its colour."""
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans:bold"), SIZE)
    parts = [(first, *DARK), (second, colour, text)]
    widths = [round(font.getlength(words)) + 2 * MARGIN for words, _, _ in parts]
    badge = Image.new("RGB", (sum(widths), HEIGHT))
    pen, left = ImageDraw.Draw(badge), 0
    for (words, ground, ink), width in zip(parts, widths, strict=True):
        pen.rectangle((left, 0, left + width - 1, HEIGHT), fill=ground)
        pen.text((left + MARGIN, HEIGHT // 2), words, fill=ink, font=font, anchor="lm")
        left += width
    return badge.quantize(32)


if __name__ == "__main__":
    BADGES.mkdir(parents=True, exist_ok=True)
    for name, look in LOOKS.items():
        draw(*look).save(BADGES / f"{name}.png", optimize=True)
