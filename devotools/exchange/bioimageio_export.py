"""The network as a package of the BioImage Model Zoo (format 0.5), for Fiji, ilastik and others.

A package is a zip file: a description (YAML), the weights in two formats, the network's source, a
pair of test tensors, a cover and a page of documentation. bioimageio.core has run it, in both
formats and without a network, before it gets its name.
"""

from __future__ import annotations

import copy
import inspect
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from devotools import model as network_module
from devotools._validate import InputError
from devotools.exchange.archives import unpack
from devotools.exchange.description import HOME, LEAST_SIDE, LICENCE, describe, need
from devotools.exchange.onnx_export import OPSET, to_onnx
from devotools.images import replace_file, stretch_contrast
from devotools.metrics import THRESHOLD
from devotools.model import STRIDE, ResNet18FPN
from devotools.plots import draw_overlay
from devotools.predict import label_nuclei, predict_probability
from devotools.synthetic import draw_section

SECTION = 1_500_000_006  # a drawing with nuclei that no training has seen: test and cover
SECTION_SIZE = 256
COVER_SIDE = 384
DESCRIPTION = "rdf.yaml"  # the name that the format gives it
DEVICES = {"onnx": "CPUExecutionProvider", "pytorch_state_dict": "cpu"}
MAX_DIFFERENCE = 1e-3  # between probabilities; measured about 1e-6
TAGS = [
    *("2d", "electron-microscopy", "nuclei", "nucleus-segmentation", "semantic-segmentation"),
    *("segmentation", "c-elegans", "embryo", "resnet", "fpn", "pytorch", "devoworm"),
]
CITATIONS = [
    {
        "text": "devotools: lessons and tools for segmenting nuclei in C. elegans embryos",
        "url": HOME,
    },
    {
        "text": "Deb, M. (2020). Pre-trained models for developmental biology. DevoWorm, GSoC",
        "url": "https://github.com/devoworm/GSoC-2020",
    },
    {
        "text": "He, K. et al. (2016). Deep residual learning for image recognition",
        "doi": "10.1109/CVPR.2016.90",
    },
    {
        "text": "Lin, T.-Y. et al. (2017). Feature pyramid networks for object detection",
        "doi": "10.1109/CVPR.2017.106",
    },
]

README = """\
# {name}

{description} Made with [devotools]({home}) {version}.

## Use

1. One section a picture, grey. Bring its longest side {side}{width}. This is the one
   step that the package cannot do for you, and the one that matters most.
2. Give the whole picture, not tiles: the percentiles are those of the whole picture, and the
   network looks some hundred pixels far. Pad sides that are no multiple of {stride} at the bottom
   and right by repeating the border.
3. The package stretches the percentiles 1 and 99.8 to 0 and 1, and gives the probability of
   nucleus for each pixel.
4. Pixels of at least {threshold} are nucleus. Fill narrow holes, part the pieces that have a waist
   by a watershed of their distance transform, number those that do not touch by a side, and drop
   what has fewer than {area} pixels of the original picture.

The metadata of `weights.onnx` say each step exactly. `weights.pt` holds tensors only: open it with
`torch.load(path, weights_only=True)`.

## Validation

Outline the nuclei of at least ten sections of your own by hand, from embryos that you leave out of
everything else. Compare them with the model's by Dice and by the F1 of nuclei at an IoU of 0.5
(`devotools evaluate --data DIR`), and look at the worst picture before the mean.

## Figures

{figures}
"""


def export_bioimageio(
    model: ResNet18FPN,
    path: str | Path,
    *,
    authors: Sequence[str] | None = None,
    licence: str = LICENCE,
) -> None:
    """Write ``model`` as a package (``.zip``) of the BioImage Model Zoo, format 0.5.

    It takes grey pictures (batch, 1, y, x) of any range, at the model's working resolution, with
    sides of 64, 96, 128 ...; percentiles are its preprocessing, and the sigmoid its
    postprocessing, so it gives the probability of nucleus. The weights are in it as ONNX and as a
    PyTorch state dict with the network's own source. That state dict is ``torch.save``'s file of
    plain tensors, because bioimageio.core opens no other; it opens it with ``weights_only=True``,
    and devotools never opens it. ``authors`` are names; those of devotools if not said.
    ``licence`` is that of the weights, as an SPDX identifier.

    Raises :class:`~devotools._validate.InputError` where the extra ``bioimageio`` is not
    installed, for a name that does not end in .zip, where bioimageio finds a fault, and where
    the file cannot be written; then nothing is. Source: https://bioimage.io, its model
    description 0.5.
    """
    if Path(path).suffix.lower() != ".zip":
        raise InputError(f"{str(path)!r} does not end in .zip; expected a name that does.")
    needed = ["onnx", "onnxscript", "onnxruntime", "bioimageio.spec", "bioimageio.core"]
    need("bioimageio", needed)
    description = describe(model, licence=licence)
    names = [description["author"]] if authors is None else list(authors)
    _check_names(names, licence)
    model = copy.deepcopy(model).cpu().float().eval()
    with (
        replace_file(path) as temporary,
        TemporaryDirectory() as scratch,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # what the two libraries warn of is in their summary
        temporary.touch()  # a place that cannot be written is known before the work
        parts = _write_parts(Path(scratch), model, description)
        _write_package(temporary, _model_descr(parts, model, description, names))
        check_package(temporary)


def check_package(path: str | Path) -> None:
    """Have bioimageio validate a package, and run it in both formats; nothing asks the network.

    Raises :class:`~devotools._validate.InputError` where the description is not valid, or the
    answer to the test picture is not the one in the package.
    """
    from bioimageio.core import create_prediction_pipeline
    from bioimageio.core.digest_spec import get_test_input_sample, get_test_output_sample
    from bioimageio.spec import load_model_description

    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "package"
        unpack(path, folder)
        try:  # io checks would ask whether the addresses in it are there
            descr = load_model_description(folder / DESCRIPTION, perform_io_checks=False)
            expected = _probability(get_test_output_sample(descr))
            given = {weights: get_test_input_sample(descr) for weights in DEVICES}  # each its own
        except ValueError as error:
            raise _fault("refuses the package", error) from error
        for weights, device in DEVICES.items():
            with create_prediction_pipeline(descr, weight_format=weights, devices=[device]) as runs:
                answer = runs.predict_sample_without_blocking(given[weights])
            difference = np.abs(_probability(answer) - expected).max()
            if not difference < MAX_DIFFERENCE:
                raise _fault("runs the package", f"by {weights} it is {difference:.2g} off")


def _probability(sample) -> np.ndarray:
    return np.asarray(sample.members["probability"].data)


def _fault(does: str, why: object) -> InputError:
    return InputError(
        f"bioimageio {does}, and something is wrong: {' '.join(str(why).split())[:300]}; expected "
        "a valid package that gives our probability. The versions of bioimageio, onnx or torch may "
        "be unusual: please report it, with what `devotools doctor` says."
    )


# --- the files ---------------------------------------------------------------------------------


def _write_parts(folder: Path, model: ResNet18FPN, description: dict[str, Any]) -> dict[str, Path]:
    """Everything but the description itself."""
    names = {
        "onnx": "weights.onnx",
        "state": "weights.pt",
        "source": "resnet18fpn.py",
        "input": "test_input.npy",
        "output": "test_output.npy",
        "cover": "cover.png",
        "readme": "README.md",
    }
    parts = {key: folder / name for key, name in names.items()}
    parts["onnx"].write_bytes(to_onnx(model, description).SerializeToString())
    torch.save(
        {name: value.contiguous() for name, value in model.state_dict().items()}, parts["state"]
    )
    parts["source"].write_text(network_source(), encoding="utf-8")
    picture = _test_picture(model)
    np.save(parts["input"], picture)
    np.save(parts["output"], _answer(model, picture))
    _write_cover(parts["cover"], model)
    parts["readme"].write_text(_readme(description), encoding="utf-8")
    return parts


def network_source() -> str:
    """The source of :class:`ResNet18FPN`, word for word, as a module that stands alone."""
    lines = [
        f'"""The network of devotools ({HOME}, MIT licence): PyTorch and torchvision suffice."""',
        "from torch import Tensor, nn",
        "from torch.nn import functional",
        "from torchvision.models import resnet18",
        "from torchvision.ops import FeaturePyramidNetwork",
        "from typing import Any",
        f"STRIDE = {network_module.STRIDE}",
        f"PYRAMID_CHANNELS = {network_module.PYRAMID_CHANNELS}",
        "InputError = ValueError",
        "def check_count(value, name):\n    return value",
        "def _imagenet_weights():\n    raise ValueError('only devotools has ImageNet weights')",
    ]
    parts = (network_module.ResNet18FPN, network_module._padding, network_module.resnet18_encoder)
    return "\n\n\n".join(["\n".join(lines), *map(inspect.getsource, parts)])


def _test_picture(model: ResNet18FPN) -> np.ndarray:
    """A drawn section at working resolution, (1, 1, H, W) float32, a little wider than high."""
    image = torch.from_numpy(draw_section(SECTION, SECTION_SIZE)[0])[None, None]
    width = max(LEAST_SIDE, (model.working_side or SECTION_SIZE) // STRIDE * STRIDE)
    image = functional.interpolate(
        image, size=(width, width), mode="bilinear", align_corners=False, antialias=True
    )
    return image[..., : max(LEAST_SIDE, width - STRIDE), :].clamp(0, 1).numpy()


@torch.inference_mode()
def _answer(model: ResNet18FPN, picture: np.ndarray) -> np.ndarray:
    """The probability (1, 1, H, W) that belongs to it."""
    stretched = torch.from_numpy(stretch_contrast(picture[0, 0]))[None, None]
    return torch.sigmoid(model(stretched)).numpy()


def _write_cover(path: Path, model: ResNet18FPN) -> None:
    """A drawn section, and beside it the nuclei that the model finds there."""
    image = draw_section(SECTION, SECTION_SIZE)[0]
    labels = label_nuclei(predict_probability(model, image))
    grey = np.repeat(np.uint8(np.round(image * 255))[..., None], 3, axis=2)
    panels = [
        Image.fromarray(panel).resize((COVER_SIDE, COVER_SIDE), Image.Resampling.LANCZOS)
        for panel in (grey, draw_overlay(image, labels))
    ]
    cover = Image.new("RGB", (2 * COVER_SIDE, COVER_SIDE))
    for number, panel in enumerate(panels):
        cover.paste(panel, (number * COVER_SIDE, 0))
    cover.save(path)


def _readme(description: dict[str, Any]) -> str:
    nucleus = description["working_nucleus"]
    return README.format(
        home=HOME,
        stride=STRIDE,
        threshold=THRESHOLD,
        side=f"to about {description['working_side']} pixels"
        if description["working_side"]
        else "to what the model was trained for",
        width=f", so that a nucleus is about {nucleus:.0f} pixels wide" if nucleus else "",
        area=description["postprocessing"][-1]["smallest_area"],
        figures=_figures(description),
        **{key: description[key] for key in ("name", "description", "version")},
    )


def _figures(description: dict[str, Any]) -> str:
    """The model's card, one level down; or, for a model of one's own, what its file says."""
    if description["model_card"]:
        return description["model_card"].replace("# ", "## ")
    stored = json.dumps(description["training"], indent=1, ensure_ascii=False)
    return f"What was stored with the weights when they were trained:\n\n```json\n{stored}\n```\n"


# --- the description ---------------------------------------------------------------------------


def _model_descr(
    parts: dict[str, Path], model: ResNet18FPN, description: dict[str, Any], names: list[str]
):
    """The description as bioimageio.spec wants it; it checks every field, and hashes the files."""
    from bioimageio.spec import get_validation_context
    from bioimageio.spec.model import v0_5 as spec

    addresses = [HOME, *(entry["url"] for entry in CITATIONS if "url" in entry)]
    with get_validation_context().replace(known_files=dict.fromkeys(addresses)):  # not asked for
        try:
            return _checked_descr(spec, parts, model, description, names)
        except ValueError as error:
            raise _fault("refuses the description", error) from error


def _checked_descr(
    spec, parts: dict[str, Path], model: ResNet18FPN, description: dict[str, Any], names: list[str]
):
    return spec.ModelDescr(
        name=f"Nuclei in EM of C elegans embryos ({description['name']})",
        description=description["description"],
        authors=[spec.Author(name=name) for name in names],
        cite=[_citation(spec, entry) for entry in CITATIONS],
        license=spec.LicenseId(description["licence"]),
        documentation=spec.FileDescr(source=parts["readme"]),
        covers=[spec.FileDescr(source=parts["cover"])],
        git_repo=spec.HttpUrl(HOME),
        tags=TAGS,
        version=spec.Version(description["version"]),
        inputs=[_input(spec, parts["input"])],
        outputs=[_output(spec, parts["output"])],
        weights=_weights(spec, parts, model),
        config=_config(spec, model, description),
    )


def _check_names(names: list[str], licence: str) -> None:
    """Know before the work whether the format takes these."""
    from bioimageio.spec.model import v0_5 as spec

    try:
        good = bool(names) and all(spec.Author(name=name).name.strip() for name in names)
        spec.LicenseId(licence)
    except ValueError:  # pydantic's
        good = False
    if not good:
        raise InputError(
            f"authors are {names!r} and the licence is {licence!r}; expected names without a "
            "slash, and an SPDX identifier such as MIT or CC-BY-4.0. Mend what does not fit."
        )


def _citation(spec, entry: dict[str, str]):
    doi = spec.Doi(entry["doi"]) if "doi" in entry else None
    url = spec.HttpUrl(entry["url"]) if "url" in entry else None
    return spec.CiteEntry(text=entry["text"], doi=doi, url=url)


def _input(spec, test: Path):
    any_size = spec.ParameterizedSize(min=LEAST_SIDE, step=STRIDE)
    whole = [spec.AxisId(name) for name in ("channel", "y", "x")]  # each picture by itself
    return spec.InputTensorDescr(
        id=spec.TensorId("image"),
        description="A grey micrograph of one section, at the model's working resolution.",
        axes=[
            spec.BatchAxis(),
            spec.ChannelAxis(channel_names=[spec.Identifier("grey")]),
            spec.SpaceInputAxis(id=spec.AxisId("y"), size=any_size),
            spec.SpaceInputAxis(id=spec.AxisId("x"), size=any_size),
        ],
        data=spec.IntervalOrRatioDataDescr(type="float32"),
        test_tensor=spec.FileDescr(source=test),
        preprocessing=[
            spec.ScaleRangeDescr(
                kwargs=spec.ScaleRangeKwargs(axes=whole, min_percentile=1.0, max_percentile=99.8)
            ),
            spec.ClipDescr(kwargs=spec.ClipKwargs(min=0.0, max=1.0)),
        ],
    )


def _output(spec, test: Path):
    same = {
        name: spec.SizeReference(tensor_id=spec.TensorId("image"), axis_id=spec.AxisId(name))
        for name in ("y", "x")
    }
    return spec.OutputTensorDescr(
        id=spec.TensorId("probability"),
        description="The probability of nucleus, from 0 to 1.",
        axes=[
            spec.BatchAxis(),
            spec.ChannelAxis(channel_names=[spec.Identifier("nucleus")]),
            *(spec.SpaceOutputAxis(id=spec.AxisId(name), size=size) for name, size in same.items()),
        ],
        data=spec.IntervalOrRatioDataDescr(type="float32", range=(0.0, 1.0)),
        test_tensor=spec.FileDescr(source=test),
        postprocessing=[spec.SigmoidDescr()],
    )


def _weights(spec, parts: dict[str, Path], model: ResNet18FPN):
    """The state dict is the original, the ONNX file is made from it."""
    return spec.WeightsDescr(
        pytorch_state_dict=spec.PytorchStateDictWeightsDescr(
            source=parts["state"],
            architecture=spec.ArchitectureFromFileDescr(
                source=parts["source"],
                callable=spec.Identifier("ResNet18FPN"),
                kwargs={"in_channels": model.in_channels, "classes": model.classes},
            ),
            pytorch_version=spec.Version(torch.__version__.partition("+")[0]),
        ),
        onnx=spec.OnnxWeightsDescr(
            source=parts["onnx"], opset_version=OPSET, parent="pytorch_state_dict"
        ),
    )


def _config(spec, model: ResNet18FPN, description: dict[str, Any]):
    about = spec.BioimageioConfig(
        architecture_type="ResNet18 + feature pyramid",
        modality="electron microscopy",
        target_structure=["nucleus"],
        task="semantic segmentation",
        model_parameter_count=sum(weights.numel() for weights in model.parameters()),
    )
    kept = ("working_side", "working_nucleus", "preprocessing", "postprocessing")
    return spec.Config(bioimageio=about, devotools={key: description[key] for key in kept})


def _write_package(path: Path, descr) -> None:
    from bioimageio.spec import get_validation_context, save_bioimageio_package

    try:
        with get_validation_context().replace(perform_io_checks=False):
            save_bioimageio_package(descr, output_path=path, local_files_only=True)
    except ValueError as error:
        raise _fault("packs the model", error) from error
