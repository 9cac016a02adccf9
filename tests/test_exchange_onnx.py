"""The ONNX file: PyTorch's logits at every size, and metadata that suffice to use it without us."""

import inspect
import json
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from helpers import draw_discs, files_under, picture_of, run_command
from PIL import Image

import devotools
from devotools import InputError, export_onnx, label_nuclei, predict_probability
from devotools.exchange.description import MIN_AREA, describe
from devotools.exchange.onnx_export import OPSET
from devotools.model import ResNet18FPN, save_model

ROOT = Path(__file__).resolve().parents[1]
METADATA = {"note": "a test", "validation": {"iou": 0.5, "ü": [1, None, "µm"]}}


def small_model() -> ResNet18FPN:
    """Random weights that have seen some pictures, so that no layer is at rest."""
    torch.manual_seed(0)
    net = ResNet18FPN().train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.rand(4, 1, 64, 64))
        net.head[3].weight *= 3
    net.working_side, net.working_nucleus, net.metadata = 96, 20.0, METADATA
    return net.eval()


@pytest.fixture(autouse=True)
def in_float32(monkeypatch):
    """What is written is in float32: compared with it is what the package gives in float32."""
    monkeypatch.setenv("DEVOTOOLS_BFLOAT16", "0")


@pytest.fixture(scope="module")
def net():
    return small_model()


@pytest.fixture(scope="module")
def file(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "new" / "small.onnx"
    net.train()
    export_onnx(net, path)
    assert net.training  # left as it was
    net.eval()
    return path


def session_of(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def session(file):
    return session_of(file)


@pytest.mark.parametrize(
    "shape", [(1, 64, 64), (2, 64, 160), (3, 128, 96), (7, 96, 64), (1, 256, 320)]
)
@torch.inference_mode()
def test_logits_are_those_of_pytorch(net, session, shape):
    batch, *size = shape
    picture = torch.rand(batch, 1, *size, generator=torch.Generator().manual_seed(5))
    (logits,) = session.run(["logits"], {"image": picture.numpy()})
    expected = net(picture).numpy()
    assert logits.shape == expected.shape
    assert logits.dtype == np.float32
    assert expected.std() > 0.1
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)


def test_the_file_is_one_and_plain(file):
    assert files_under(file.parent) == {"small.onnx"}  # no data beside it, nothing half
    model = onnx.load(file)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]
    assert model.ir_version <= 10  # what onnxruntime of 2024 reads
    for tensor, name in ((model.graph.input[0], "image"), (model.graph.output[0], "logits")):
        axes = [axis.dim_param or axis.dim_value for axis in tensor.type.tensor_type.shape.dim]
        assert (tensor.name, axes) == (name, ["batch", 1, "height", "width"])
    text = file.read_bytes()
    assert str(ROOT).encode() not in text
    assert b"site-packages" not in text


# --- the metadata: what they say is what the package does


def weights_of(n: int, m: int) -> np.ndarray:
    """The matrix (m, n) that the metadata describe under resize."""
    centre = (np.arange(m)[:, None] + 0.5) * n / m
    weights = np.maximum(0, 1 - np.abs(centre - np.arange(n) - 0.5) / max(1, n / m))
    return weights / weights.sum(axis=1, keepdims=True)


def resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    rows, columns = (weights_of(n, m) for n, m in zip(picture.shape, size, strict=True))
    return (rows @ picture @ columns.T).astype(np.float32)


def follow(session, picture: np.ndarray) -> tuple[np.ndarray, dict]:
    """From numbers in a file to probability, by NumPy, onnxruntime and the metadata alone."""
    said = session.get_modelmeta().custom_metadata_map
    before, after = json.loads(said["preprocessing"]), json.loads(said["postprocessing"])
    own = picture.shape
    for step in before:
        if step["step"] == "grey":
            picture = (picture / np.iinfo(picture.dtype).max).astype(np.float32)
        elif step["step"] == "percentiles":
            low, high = np.percentile(picture, (step["low"], step["high"]))
            rounding = step["least_span"] * np.abs(picture).max()
            if high - low <= rounding:
                low, high = picture.min(), picture.max()
            span = high - low if high - low > rounding else 1
            picture = np.clip((picture - low) / span, 0, 1)
        elif step["step"] == "resize":
            factor = step["longest_side"] / max(own)
            picture = resized(picture, tuple(round(max(1, side * factor)) for side in own))
        elif step["step"] == "pad":
            inner, least = picture.shape, step["least"]
            sides = [max(least, -(-side // step["multiple"]) * step["multiple"]) for side in inner]
            widths = [(0, side - is_now) for side, is_now in zip(sides, inner, strict=True)]
            picture = np.pad(picture, widths, mode="edge")
    (logits,) = session.run(None, {"image": picture[None, None].astype(np.float32)})
    answer, rest = logits[0, 0], {}
    for step in after:
        if step["step"] == "sigmoid":
            answer = 1 / (1 + np.exp(-answer))
        elif step["step"] == "crop":
            answer = answer[: inner[0], : inner[1]]
        elif step["step"] == "resize back":
            answer = np.clip(resized(answer, own), 0, 1)
        else:
            rest |= step
    return answer, rest


@pytest.mark.parametrize("shape", [(96, 96), (50, 70), (130, 77), (64, 300)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_who_follows_the_metadata_gets_our_probability(net, session, shape, dtype):
    grey = picture_of(draw_discs([(20, 20), (40, 55)], 11, shape))
    noise = np.random.default_rng(1).uniform(-0.15, 0.15, shape)
    picture = ((grey + noise).clip(0, 1) * np.iinfo(dtype).max).astype(dtype)
    ours = predict_probability(net, picture)
    theirs, said = follow(session, picture)
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-4)
    options = {"threshold": said["threshold"], "min_area": said["smallest_area"]}
    labels = label_nuclei(ours)
    assert labels.max() > 0
    np.testing.assert_array_equal(label_nuclei(theirs.astype(np.float32), **options), labels)


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_flat_picture_too(net, session, value):
    picture = np.full((40, 60), value, np.uint8)
    theirs, _ = follow(session, picture)
    np.testing.assert_allclose(theirs, predict_probability(net, picture), rtol=0, atol=1e-4)


def test_the_metadata_name_everything(session):
    meta = session.get_modelmeta()
    said = meta.custom_metadata_map
    assert json.loads(said["training"]) == METADATA
    assert (said["licence"], said["version"]) == ("MIT", devotools.__version__)
    assert said["source"] in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (json.loads(said["working_side"]), json.loads(said["working_nucleus"])) == (96, 20.0)
    assert said["model_card"] == ""  # these are not the shipped weights
    assert "preprocessing" in meta.description
    assert inspect.signature(label_nuclei).parameters["min_area"].default == MIN_AREA


def test_the_shipped_model_carries_its_card():
    said = describe(devotools.load_model("nuclei"))
    assert said["name"] == "devotools nuclei"
    assert "# Model card: `nuclei`" in said["model_card"]
    links = re.findall(r"\]\(([^)]+)\)", said["model_card"])  # nothing lies beside the file
    home = f"{said['source']}/blob/main/"
    assert f"{home}devotools/weights/columns.png" in links
    assert all((ROOT / link.removeprefix(home).partition("#")[0]).is_file() for link in links)
    changed = devotools.load_model("nuclei")
    changed.head[3].bias.data += 1e-3
    assert describe(changed)["model_card"] == ""
    json.dumps(said)


def test_a_model_without_a_working_resolution_has_no_resize():
    steps = [step["step"] for step in describe(ResNet18FPN())["preprocessing"]]
    assert steps == ["grey", "percentiles", "pad"]


# --- refusals


@pytest.mark.parametrize(
    ("model", "name", "sentence"),
    [
        (ResNet18FPN(), "a.pt", r"'.*a\.pt' does not end in \.onnx; expected"),
        (ResNet18FPN(3), "a.onnx", "takes 3 channels .*expected one of each"),
        (ResNet18FPN(), "file/a.onnx", "cannot be written"),
    ],
)
def test_what_cannot_be_exported(tmp_path, model, name, sentence):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=sentence):
        export_onnx(model, tmp_path / name)
    assert files_under(tmp_path) == {"file"}


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"'onnxscript', which is not installed.*\[onnx\]"):
        export_onnx(ResNet18FPN(), tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


# --- the command, and the page that shows how to use its file


def test_the_command_and_the_page(net, tmp_path, monkeypatch, capsys):
    """docs/share-a-model.md uses nuclei.onnx in ten lines, and gets our answer."""
    save_model(tmp_path / "mine.safetensors", net, METADATA)
    monkeypatch.chdir(tmp_path)
    arguments = ("--model", "mine.safetensors", "--format", "onnx", "--out", "nuclei.onnx")
    code, said, complaints = run_command(
        monkeypatch, capsys, "export", *arguments, "--licence", "CC-BY-4.0"
    )
    assert (code, complaints) == (0, "")
    assert re.fullmatch(r"model mine\.safetensors written as nuclei\.onnx \(4\d\.\d MiB\)\n", said)
    meta = session_of("nuclei.onnx").get_modelmeta().custom_metadata_map
    assert meta["licence"] == "CC-BY-4.0"
    code, _, complaints = run_command(monkeypatch, capsys, "export", *arguments, "--licence", " ")
    assert code == 2
    assert "licence is empty; expected" in complaints

    page = (ROOT / "docs" / "share-a-model.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(import json.*?)```", page, flags=re.DOTALL)
    assert len(block.partition("\n\n")[2].strip().splitlines()) == 10
    picture = np.uint8(255 * picture_of(draw_discs([(30, 30), (80, 70)], 18, (120, 150))))
    Image.fromarray(picture).save("section.png")
    names: dict = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(block, "share-a-model.md", "exec"), names)
    np.testing.assert_allclose(
        names["probability"], predict_probability(net, picture), rtol=0, atol=1e-3
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--format", "tflite", "--out", "a.onnx"), "--format is 'tflite'; expected one of 'onnx'"),
        (("--format", "onnx", "--out", "a.zip"), "does not end in .onnx"),
        (("--format", "bioimageio", "--out", "a.onnx"), "does not end in .zip"),
    ],
)
def test_the_command_refuses_in_one_sentence(net, tmp_path, monkeypatch, capsys, options, sentence):
    save_model(tmp_path / "mine.safetensors", net)
    monkeypatch.chdir(tmp_path)
    code, said, complaints = run_command(
        monkeypatch, capsys, "export", "--model", "mine.safetensors", *options
    )
    assert (code, said) == (2, "")
    assert sentence in complaints
    assert files_under(tmp_path) == {"mine.safetensors"}
