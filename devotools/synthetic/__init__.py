"""Drawn embryos: electron micrographs with labels that are known, because we drew them.

The way of a picture: `appearance` (what may vary) -> `style` (what this embryo drew) and `anatomy`
(its body in space, cut by a plane) -> `tissue`, `nuclei`, `clutter` (painting) -> `optics` (the
photograph), led by `micrograph`; `series` is the door.
"""

from .appearance import Appearance
from .label_noise import add_label_noise
from .series import Series, draw_section, synthesize_series

__all__ = ["Appearance", "Series", "add_label_noise", "draw_section", "synthesize_series"]
