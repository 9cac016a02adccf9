"""Drawn embryos: electron micrographs with labels that are known, because we drew them.

The way of a picture: `appearance` (what may vary) -> `style` (what this embryo drew) and `anatomy`
(its body in space) -> `cutting` (what a plane meets, and the labels' rule) -> `tissue`, `granules`,
`nuclei`, `clutter` (painting) -> `optics` (the photograph), led by `micrograph`. `series` is the
door; `label_noise` spoils masks. `streams`, `noise` and `shapes` are the tools.
"""

from .appearance import Appearance
from .label_noise import add_label_noise
from .series import Series, draw_section, synthesize_series

__all__ = ["Appearance", "Series", "add_label_noise", "draw_section", "synthesize_series"]
