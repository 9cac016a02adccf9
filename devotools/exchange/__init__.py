"""The wing for real data: pictures and masks from outside, made fit for the course.

`download` (fetch, check, keep) serves `wormimage` and `devoworm`; `archives` unpacks with no way
out of the target; `rois` reads ImageJ's outlines; `masks` turns what people draw into masks;
`importing` makes a data folder of your own pictures. `folders` holds the rule of all: whole, or
not at all.
"""

from devotools.exchange.archives import unpack
from devotools.exchange.devoworm import MaskSet, fetch_devoworm_masks
from devotools.exchange.importing import ImportReport, ImportRow, import_folder
from devotools.exchange.masks import clean_mask
from devotools.exchange.rois import read_rois, rois_to_labels
from devotools.exchange.wormimage import WormImages, fetch_wormimage

__all__ = [
    "ImportReport",
    "ImportRow",
    "MaskSet",
    "WormImages",
    "clean_mask",
    "fetch_devoworm_masks",
    "fetch_wormimage",
    "import_folder",
    "read_rois",
    "rois_to_labels",
    "unpack",
]
