"""The network as one ONNX file, which runs without PyTorch and without devotools.

ONNX is the exchange format of neural networks: onnxruntime, OpenCV, MATLAB and many programs read
it. The file says in its metadata what to do before and after the network.
"""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional

from devotools._validate import InputError, check_path
from devotools.exchange.description import LICENCE, describe, need
from devotools.images import replace_file
from devotools.model import STRIDE, ResNet18FPN

OPSET = 18  # of 2022: what torch exports to by itself, and onnxruntime reads from 1.14 on


def export_onnx(model: ResNet18FPN, path: str | Path, *, licence: str = LICENCE) -> None:
    """Write ``model`` as an ONNX file (opset 18): ``image`` in, ``logits`` out.

    Both are float32 (batch, 1, height, width), of any batch size, and of any height and width that
    are multiples of 32 and at least 64. The padding of other sizes, which depends on the picture,
    is left out: it is a step of the metadata, beside the percentile stretch, the working
    resolution, the sigmoid, the threshold and the smallest area (:func:`describe`). The logits are
    those of PyTorch within 1e-4. ``licence`` is that of the weights; it goes into the metadata.

    Raises :class:`~devotools._validate.InputError` where the extra ``onnx`` is not installed, for
    a name that does not end in .onnx, and where the file cannot be written; then nothing is.
    Source: the ONNX specification, https://onnx.ai.
    """
    if check_path(path).suffix.lower() != ".onnx":
        raise InputError(f"{str(path)!r} does not end in .onnx; expected a name that does.")
    need("onnx", ["onnx", "onnxscript"])
    description = describe(model, licence=licence)
    with replace_file(path) as temporary:
        temporary.touch()  # a place that cannot be written is known before the work
        temporary.write_bytes(to_onnx(model, description).SerializeToString())


def to_onnx(model: ResNet18FPN, description: dict[str, Any]):
    """The network as an ``onnx.ModelProto`` that carries ``description``."""
    import onnx

    network = Unpadded(copy.deepcopy(model).cpu().float()).eval()
    example = torch.zeros(2, 1, 2 * STRIDE, 3 * STRIDE)  # sizes of 1 would be taken for constants
    sizes = {0: Dim("batch"), 2: STRIDE * Dim("rows", min=2), 3: STRIDE * Dim("columns", min=2)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about its own parts
        program = torch.onnx.export(
            network,
            (example,),
            input_names=["image"],
            output_names=["logits"],
            dynamic_shapes={"image": sizes},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    exported = program.model_proto
    _tidy(exported)
    exported.doc_string = (
        f"{description['description']} Pictures must be prepared as the metadata 'preprocessing' "
        "say; 'postprocessing' leads from logits to numbered nuclei."
    )
    for key, value in description.items():
        text = value if isinstance(value, str) else json.dumps(value)
        exported.metadata_props.add(key=key, value=text)
    onnx.checker.check_model(exported, full_check=True)
    return exported


class Unpadded(nn.Module):
    """The network less its padding: :meth:`ResNet18FPN.forward` for sizes that need none."""

    def __init__(self, network: ResNet18FPN):
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Logits (N, 1, H, W) of pictures whose height and width 32 divides."""
        net = self.network
        logits = net.head(net.fuse(net.pyramid(net.encode(image))))  # (N, 1, H/4, W/4)
        return functional.interpolate(
            logits, size=image.shape[-2:], mode="bilinear", align_corners=False
        )


def _tidy(exported) -> None:
    """Give the axes names that people read, and take out the exporter's notes for its makers."""
    graph = exported.graph
    del graph.value_info[:]
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
    for tensor in (*graph.input, *graph.output):
        del tensor.type.tensor_type.shape.dim[:]
        for name in ("batch", 1, "height", "width"):
            axis = tensor.type.tensor_type.shape.dim.add()
            if isinstance(name, str):
                axis.dim_param = name
            else:
                axis.dim_value = name
