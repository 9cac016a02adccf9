"""The BioImage Model Zoo package: bioimageio.core runs it, offline, in both weight formats."""

import ast
import gc
import hashlib
import io
import pickletools
import socket
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from helpers import draw_discs, files_under, picture_of, run_command
from PIL import Image
from test_exchange_onnx import small_model

from devotools import InputError, exchange, export_bioimageio, predict_probability
from devotools.exchange import bioimageio_export
from devotools.exchange.description import author
from devotools.model import ResNet18FPN, load_model, save_model
from devotools.synthetic import draw_section

ROOT = Path(__file__).resolve().parents[1]

# bioimageio.core leaves the package open.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")


@pytest.fixture(autouse=True)
def in_float32(monkeypatch):
    """What is written is in float32: compared with it is what the package gives in float32."""
    monkeypatch.setenv("DEVOTOOLS_BFLOAT16", "0")


@pytest.fixture(scope="module")
def net():
    return small_model()


def refuse_network(patch):
    """Every use of the network fails; returns what was asked for."""
    asked = []

    def refuse(*address, **_):
        asked.append(address)
        raise OSError("no network here")

    patch.setattr(socket, "getaddrinfo", refuse)
    patch.setattr(socket.socket, "connect", refuse)
    return asked


@pytest.fixture(scope="module")
def package(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("zoo") / "small.zip"
    with pytest.MonkeyPatch.context() as patch:
        asked = refuse_network(patch)
        export_bioimageio(net, path)
    assert asked == []
    assert files_under(path.parent) == {"small.zip"}
    return path


@pytest.fixture(scope="module")
def content(package):
    with zipfile.ZipFile(package) as file:
        return {name: file.read(name) for name in file.namelist()}


@pytest.fixture(scope="module")
def description(content):
    return yaml.safe_load(content["rdf.yaml"])


def test_bioimageio_core_runs_it_offline(package, monkeypatch, tmp_path):
    """Its own, official test, as `bioimageio test` runs it; it also looks at hashes and sizes."""
    from bioimageio.core import test_description

    refuse_network(monkeypatch)  # it asks whether the addresses are there, and does without
    monkeypatch.chdir(tmp_path)
    summary = test_description(str(package))
    assert summary.status == "passed", summary.format()
    ran = [detail.name for detail in summary.details]
    for weight_format in ("onnx", "pytorch_state_dict"):
        assert any("Reproduce test outputs" in name for name in ran), ran
        assert any(f"Run {weight_format} inference" in name for name in ran), ran
    assert all(not detail.errors for detail in summary.details)
    assert files_under(tmp_path) == set()
    del summary
    gc.collect()  # it leaves the package open


def test_what_the_description_says(description, net):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert description["format_version"].startswith("0.5.")
    assert description["license"] == citation["license"] == "MIT"
    names = [entry["name"] for entry in description["authors"]]
    assert names == [entry["name"] for entry in citation["authors"]] == [author()]
    assert {"nuclei", "c-elegans", "electron-microscopy"} <= set(description["tags"])
    cited = [entry.get("url") or entry["doi"] for entry in description["cite"]]
    assert citation["repository-code"] in cited
    assert citation["references"][0]["repository-code"] in cited
    assert set(description["weights"]) == {"onnx", "pytorch_state_dict"}
    (image,), (probability,) = description["inputs"], description["outputs"]
    for axis in image["axes"][2:]:
        assert axis["size"] == {"min": 64, "step": 32}
    steps = {step["id"]: step["kwargs"] for step in image["preprocessing"]}
    assert steps["scale_range"]["min_percentile"] == 1
    assert steps["scale_range"]["max_percentile"] == 99.8
    assert steps["clip"] == {"min": 0.0, "max": 1.0}
    assert [step["id"] for step in probability["postprocessing"]] == ["sigmoid", "ensure_dtype"]
    assert description["config"]["devotools"]["working_side"] == net.working_side


def test_it_gives_our_probability(package, net):
    """Two pictures at working resolution, of numbers that a camera gives, in one batch."""
    from bioimageio.core import predict

    grey = [picture_of(draw_discs([(30, 40 + shift)], 15, (64, 96))) for shift in (0, 20)]
    noise = np.random.default_rng(2).uniform(0, 0.2, (2, 64, 96))
    pictures = ((np.stack(grey) + noise) * 4000).astype(np.uint16)
    sample = predict(model=str(package), inputs={"image": pictures[:, None].astype(np.float32)})
    answers = np.asarray(sample.members["probability"].data)
    for picture, answer in zip(pictures, answers, strict=True):
        ours = predict_probability(net, picture, scale=1)
        np.testing.assert_allclose(answer[0], ours, rtol=0, atol=2e-4)


def test_the_state_dict_is_tensors_only(content, net):
    """torch.save's zip holds a pickle; this one names nothing but the parts of plain tensors."""
    with zipfile.ZipFile(io.BytesIO(content["weights.pt"])) as file:
        (pickled,) = (name for name in file.namelist() if name.endswith(".pkl"))
        operations = list(pickletools.genops(file.read(pickled)))
    named = {argument for code, argument, _ in operations if code.name == "GLOBAL"}
    assert not any(code.name in ("STACK_GLOBAL", "INST", "OBJ") for code, *_ in operations)
    assert named <= {
        "collections OrderedDict",
        "torch FloatStorage",
        "torch LongStorage",
        "torch._utils _rebuild_tensor_v2",
    }
    state = torch.load(io.BytesIO(content["weights.pt"]), weights_only=True)
    for name, value in net.state_dict().items():
        assert torch.equal(state[name], value), name


@torch.inference_mode()
def test_the_source_stands_alone(content, net):
    source = content["resnet18fpn.py"].decode()
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
    }
    assert imported == {"torch", "torchvision", "typing"}
    names: dict = {"__name__": "alone"}
    exec(compile(source, "resnet18fpn.py", "exec"), names)
    alone = names["ResNet18FPN"](in_channels=1, classes=1).eval()
    alone.load_state_dict(net.state_dict())
    picture = torch.rand(1, 1, 50, 70)
    assert torch.equal(alone(picture), net(picture))


def test_cover_and_page(content):
    cover = Image.open(io.BytesIO(content["cover.png"]))
    assert cover.size[0] == 2 * cover.size[1]
    assert len(content["cover.png"]) < 500_000
    page = content["README.md"].decode()
    assert "## Validation" in page
    assert "about 96 pixels, so that a nucleus is about 20 pixels wide" in page
    assert '"note": "a test"' in page  # what its file says of itself
    assert "{" not in page.partition("```json")[0]
    tensors = [np.load(io.BytesIO(content[f"test_{side}.npy"])) for side in ("input", "output")]
    assert [tensor.shape for tensor in tensors] == [(1, 1, 64, 96)] * 2


# --- refusals


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"licence": "free"}, r"the licence is 'free'; expected .* SPDX"),
        ({"authors": ["A/B"]}, r"authors are \['A/B'\]"),
        ({"authors": []}, r"authors are \[\]"),
    ],
)
def test_names_are_checked_before_the_work(tmp_path, monkeypatch, options, sentence):
    monkeypatch.setattr(bioimageio_export, "_write_parts", lambda *_: pytest.fail("worked"))
    with pytest.raises(InputError, match=sentence):
        export_bioimageio(ResNet18FPN(), tmp_path / "a.zip", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("part", "content_of", "sentence"),
    [
        ("rdf.yaml", lambda old: old.replace(b"step: 32", b"step: -1"), "refuses the package"),
        ("rdf.yaml", lambda _: b"rubbish", "refuses the package"),
        ("test_input.npy", lambda old: old[:-400] + bytes(400), r"refuses .*SHA256 mismatch"),
        ("both", lambda old: old[:-400] + bytes(400), r"by onnx it is 0\.\d+ off"),
    ],
)
def test_what_does_not_pass_is_not_written(
    tmp_path, monkeypatch, content, part, content_of, sentence
):
    """The check is the real one, on a package with one part spoilt, or one and its hash."""
    parts = dict(content)
    if part == "both":
        part = "test_output.npy"
        hashes = [
            hashlib.sha256(one).hexdigest().encode()
            for one in (parts[part], content_of(parts[part]))
        ]
        parts["rdf.yaml"] = parts["rdf.yaml"].replace(*hashes)
    parts[part] = content_of(parts[part])

    def spoilt(path, _):
        with zipfile.ZipFile(path, "w") as file:
            for name, one in parts.items():
                file.writestr(name, one)

    for name in ("_write_parts", "_model_descr"):
        monkeypatch.setattr(bioimageio_export, name, lambda *_: None)
    monkeypatch.setattr(bioimageio_export, "_write_package", spoilt)
    with pytest.raises(InputError, match=sentence):
        export_bioimageio(ResNet18FPN(), tmp_path / "a.zip")
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bioimageio.core", None)
    with pytest.raises(InputError, match=r"'bioimageio\.core'.*not installed.*\[bioimageio\]"):
        export_bioimageio(ResNet18FPN(), tmp_path / "a.zip")
    assert not list(tmp_path.iterdir())


def test_the_command(tmp_path, monkeypatch, capsys, net):
    """What it hands over; the work itself is tested above."""
    save_model(tmp_path / "mine.safetensors", net)
    handed = {}

    def export(model, path, **options):
        handed.update(options, side=model.working_side)
        path.write_bytes(bytes(2**20))

    monkeypatch.setattr(exchange, "export_bioimageio", export)
    code, said, complaints = run_command(
        monkeypatch, capsys, "export", "--model", tmp_path / "mine.safetensors",
        "--format", "bioimageio", "--out", tmp_path / "a.zip", "--author", "Ada", "--author", "Bo",
    )  # fmt: skip
    assert (code, complaints) == (0, "")
    assert "a.zip (1.0 MiB)" in said
    assert handed == {"authors": ["Ada", "Bo"], "licence": "MIT", "side": 96}


def test_the_drawing_in_the_package_has_nuclei_for_the_shipped_model():
    """The format refuses a test picture whose answer is nowhere above zero."""
    image, labels = draw_section(bioimageio_export.SECTION, bioimageio_export.SECTION_SIZE)
    assert labels.max() >= 3
    assert (predict_probability(load_model("nuclei"), image, scale=1) > 0.9).sum() > 500


def test_a_description_that_the_format_refuses_is_a_sentence(monkeypatch, net, tmp_path):
    def refuse(*_):
        raise ValueError("1 validation error: too small")

    monkeypatch.setattr(bioimageio_export, "_checked_descr", refuse)
    with pytest.raises(InputError, match="bioimageio refuses the description"):
        export_bioimageio(net, tmp_path / "a.zip")
    assert not list(tmp_path.iterdir())
