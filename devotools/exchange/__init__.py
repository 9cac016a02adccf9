"""The wing for what comes from outside and goes out: pictures and masks in, models and ROIs out.

`download` (fetch, check, keep) serves `wormimage` and `devoworm`; `archives` unpacks with no way
out of the target; `stacks` and `pixel_size` read what microscopes write; `rois` reads ImageJ's
outlines; `masks` turns what people draw into masks, `marked_stacks` those of a stack; `importing`
makes a data folder of your own pictures. On the way out, `description` says what a
model is, `onnx_export` and `bioimageio_export` write it for other programs, and `roi_export` writes
nuclei for ImageJ. Whatever is written is whole, or not there at all.
"""

import lazy_loader as _lazy

from devotools.exchange.archives import unpack
from devotools.exchange.devoworm import MaskSet, fetch_devoworm_masks
from devotools.exchange.importing import ImportReport, ImportRow, import_folder
from devotools.exchange.masks import clean_mask
from devotools.exchange.pixel_size import read_pixel_size
from devotools.exchange.rois import read_rois, rois_to_labels
from devotools.exchange.stacks import Stack, is_stack, open_stack, write_label_stack
from devotools.exchange.wormimage import WormImages, fetch_wormimage

# The exports need torch and more: they are loaded when they are first used.
__getattr__, __dir__, _ = _lazy.attach(
    __name__,
    submod_attrs={
        "bioimageio_export": ["export_bioimageio"],
        "onnx_export": ["export_onnx"],
        "roi_export": ["add_rois", "export_rois", "open_rois"],
    },
)

__all__ = [
    "ImportReport",
    "ImportRow",
    "MaskSet",
    "Stack",
    "WormImages",
    "add_rois",
    "clean_mask",
    "export_bioimageio",
    "export_onnx",
    "export_rois",
    "fetch_devoworm_masks",
    "fetch_wormimage",
    "import_folder",
    "is_stack",
    "open_rois",
    "open_stack",
    "read_pixel_size",
    "read_rois",
    "rois_to_labels",
    "unpack",
    "write_label_stack",
]
