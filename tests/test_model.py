"""The network: sizes, shapes and padding, and files that must not be trusted."""

import hashlib
import json
import pickle
import struct
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from devotools import model as model_module
from devotools._validate import InputError
from devotools.model import ResNet18FPN, load_model, save_model


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return ResNet18FPN().eval()


@pytest.fixture(scope="module")
def saved(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    save_model(path, net, {"note": "a test"})
    return path


@torch.inference_mode()
def answer(net, *shape):
    return net(torch.rand(*shape, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (33, 65), (31, 32), (64, 64), (100, 40)])
def test_logits_have_the_size_of_the_picture(net, size):
    logits = answer(net, 2, 1, *size)
    assert logits.shape == (2, 1, *size)
    assert torch.isfinite(logits).all()


def test_channels_and_classes_are_what_was_asked_for():
    assert answer(ResNet18FPN(3, 2).eval(), 1, 3, 40, 50).shape == (1, 2, 40, 50)


@torch.inference_mode()
def test_padding_is_the_border_repeated_not_a_squash(net):
    picture = torch.rand(1, 1, 70, 90, generator=torch.Generator().manual_seed(2))
    by_hand = torch.nn.functional.pad(picture, (0, 6, 0, 26), mode="replicate")  # 96 x 96
    torch.testing.assert_close(net(picture), net(by_hand)[..., :70, :90])


@torch.inference_mode()
def test_an_answer_does_not_depend_on_what_lies_far_away(net):
    # In a network that squashes, cutting a piece off would change everything. The pyramid's
    # field of view is some hundred pixels, so only faint traces come from beyond it.
    wide = torch.rand(1, 1, 64, 1024, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(net(wide)[..., :256], net(wide[..., :800])[..., :256])


@torch.inference_mode()
def test_pictures_of_a_batch_do_not_touch_each_other(net):
    batch = torch.rand(3, 1, 40, 40, generator=torch.Generator().manual_seed(4))
    alone = torch.cat([net(one[None]) for one in batch])
    torch.testing.assert_close(net(batch), alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("side", [1, 32, 33])
def test_one_small_picture_can_be_learned_from(side):
    net = ResNet18FPN().train()
    net(torch.rand(1, 1, side, side)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"weights": "IMAGENET"}, r"weights is 'IMAGENET'; expected None .* or 'imagenet'"),
        ({"in_channels": 0}, "in_channels is 0; expected a whole number"),
        ({"classes": 1.0}, r"classes is 1\.0; expected a whole number"),
    ],
)
def test_bad_arguments_are_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        ResNet18FPN(**arguments)


# --- ImageNet weights, without a network


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def weights_class(monkeypatch, get_state_dict):
    monkeypatch.setattr(
        model_module.ResNet18_Weights, "get_state_dict", get_state_dict, raising=True
    )


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_stem_for_grey_adds_the_colour_filters_up(monkeypatch, hub, channels):
    state = {k: v.clone() for k, v in model_module.resnet18(weights=None).state_dict().items()}
    asked = {}

    def give(self, **options):
        asked.update(options)
        return state

    weights_class(monkeypatch, give)
    net = ResNet18FPN(in_channels=channels, weights="imagenet")
    assert asked["weights_only"] is True
    assert asked["check_hash"] is True
    stem, colour = net.encoder.conv1.weight, state["conv1.weight"]
    expected = colour if channels == 3 else colour.sum(1, keepdim=True) / channels
    torch.testing.assert_close(stem, expected.expand_as(stem))
    torch.testing.assert_close(net.encoder.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
    assert stem.requires_grad


@pytest.mark.parametrize(
    "failure", [URLError("no route"), TimeoutError("slow"), RuntimeError("invalid hash value")]
)
def test_without_a_network_the_sentence_names_the_ways_out(monkeypatch, hub, failure):
    def fail(self, **_):
        raise failure

    weights_class(monkeypatch, fail)
    with pytest.raises(InputError, match=r"cannot be had .* copy the file to .*load_model"):
        ResNet18FPN(weights="imagenet")


def test_a_cached_file_that_was_changed_is_not_opened(monkeypatch, hub):
    cached = hub / "resnet18-f37072fd.pth"
    cached.write_bytes(b"not the weights")
    weights_class(monkeypatch, lambda self, **_: pytest.fail("the file was opened"))
    with pytest.raises(InputError, match=r"does not have the SHA-256 .* Delete it"):
        ResNet18FPN(weights="imagenet")


# --- saving and loading


def test_what_is_saved_comes_back_exactly(net, tmp_path):
    net.working_side, net.working_nucleus = 96, 17.5
    save_model(tmp_path / "new" / "a.safetensors", net, {"iou": 0.5, "nested": {"ü": [1, None]}})
    net.working_side = net.working_nucleus = None
    loaded = load_model(tmp_path / "new" / "a.safetensors")
    assert not loaded.training
    assert (loaded.working_side, loaded.working_nucleus) == (96, 17.5)
    assert loaded.metadata == {"iou": 0.5, "nested": {"ü": [1, None]}}
    for name, value in net.state_dict().items():
        if "num_batches" not in name:
            torch.testing.assert_close(loaded.state_dict()[name], value, rtol=0, atol=0)
    assert torch.equal(answer(net, 1, 1, 40, 40), answer(loaded, 1, 1, 40, 40))


def test_half_precision_is_loaded_as_float32(net, tmp_path):
    half = ResNet18FPN(2, 3)
    save_model(tmp_path / "a.safetensors", half.half())
    loaded = load_model(str(tmp_path / "a.safetensors"), device="cpu")
    assert (loaded.in_channels, loaded.classes) == (2, 3)
    for name, value in loaded.named_parameters():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, half.get_parameter(name).float(), rtol=0, atol=0)


def test_the_shipped_model_loads():
    net = load_model("nuclei")
    assert net.working_side > 0
    assert answer(net, 1, 1, 40, 40).shape == (1, 1, 40, 40)


def test_metadata_that_json_cannot_hold_is_refused(net, tmp_path):
    loop = {}
    loop["self"] = loop
    for metadata in ({"a": np.float32(1)}, {"a": tmp_path}, loop):
        with pytest.raises(InputError, match=r"metadata cannot be stored .* expected what JSON"):
            save_model(tmp_path / "a.safetensors", net, metadata)
    assert not list(tmp_path.iterdir())


def test_a_failed_save_leaves_nothing(net, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="cannot be written"):
        save_model(tmp_path / "file" / "a.safetensors", net)

    def full_disk(path, data):
        with open(path, "wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(InputError, match="No space left on device"):
        save_model(tmp_path / "a.safetensors", net)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


class Bomb:
    """A pickle of it touches a file when it is opened."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_is_never_opened(tmp_path, protocol):
    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "ran"), protocol=protocol))
    with pytest.raises(InputError, match=r"model\.safetensors' .* expected"):
        load_model(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_torch_checkpoint_is_never_opened(tmp_path, net, zipped):
    path = tmp_path / "model.pt"
    content = {"bomb": Bomb(tmp_path / "ran"), "w": torch.zeros(3)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=r"is a pickle .* expected safetensors.*save_model"):
        load_model(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("length", [0x4B50, 0x10280, 0x0580])
def test_a_model_is_not_taken_for_a_pickle_by_its_length(saved, tmp_path, length):
    # The first bytes of safetensors are the length of its header, which may spell PK or \x80\x02.
    whole = saved.read_bytes()
    old = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + old])
    if length < old:
        length += 0x10000
    padded = json.dumps(header, separators=(",", ":")).encode().ljust(length)
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", length) + padded + whole[8 + old :])
    assert load_model(path).metadata == {"note": "a test"}


@pytest.mark.parametrize("size", [0, 1, 8, 9, 500, 100_000])
def test_a_truncated_file_is_refused(saved, tmp_path, size):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(saved.read_bytes()[:size])
    with pytest.raises(InputError, match=rf"cannot be read .*{size} bytes.* truncated"):
        load_model(path)


def test_missing_and_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"'nucleii' does not exist; expected .* nuclei"):
        load_model("nucleii")
    with pytest.raises(InputError, match="is a folder"):
        load_model(tmp_path)


def card(**changes):
    good = {
        "format": "devotools-1",
        "architecture": "ResNet18FPN",
        "in_channels": 1,
        "classes": 1,
        "working_side": None,
        "working_nucleus": None,
        "metadata": {},
    }
    return json.dumps(good | changes)


@pytest.mark.parametrize(
    "description",
    [
        None,
        "",
        "{",
        "[]",
        "3",
        '"text"',
        "null",
        "[" * 100_000,
        card(format="devotools-9"),
        card(architecture="UNet"),
        card(in_channels=10**9),
        card(in_channels=0),
        card(in_channels="1"),
        card(in_channels=1.0),
        card(in_channels=True),
        card(classes=[1]),
        card(classes=None),
        card(working_side="384"),
        card(working_side=-1),
        card(working_side=float("inf")),
        card(working_side=float("nan")),
        card(working_nucleus=10**400),
        card(metadata=[]),
        card(metadata=None),
        card()[:-1] + ', "working_side": ' + "9" * 5000 + "}",
    ],
)
def test_hostile_descriptions_are_refused(tmp_path, description):
    path = tmp_path / "a.safetensors"
    metadata = None if description is None else {"devotools": description}
    save_file({"head.0.weight": torch.zeros(2)}, path, metadata)
    with pytest.raises(InputError, match=r"(is not a ResNet18FPN|in_channels is True)"):
        load_model(path)


def test_other_weights_are_refused(saved, tmp_path):
    tensors = load_file(saved)
    path = tmp_path / "a.safetensors"
    metadata = {"devotools": card()}
    first = next(iter(tensors))
    for changed in (
        {k: v for k, v in tensors.items() if k != first},
        tensors | {"more.weight": torch.zeros(1)},
        tensors | {"head.3.weight": torch.zeros(5, 64, 1, 1)},
        {},
    ):
        save_file(changed, path, metadata)
        with pytest.raises(
            InputError, match=r"is not a ResNet18FPN of devotools: .*devotools train"
        ):
            load_model(path)
    save_file(tensors, path)
    with pytest.raises(InputError, match="no description"):
        load_model(path)
    save_file(tensors, path, metadata)
    assert load_model(path).working_side is None


def test_a_device_that_is_not_there_is_refused(saved):
    with pytest.raises(InputError, match="device is 'tpu'"):
        load_model(saved, device="tpu")


# --- what a file says of itself is compared before anything is read


def rewritten(saved, path, change):
    """A copy of a model file whose header is another."""
    content = saved.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    change(header)
    packed = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(packed)) + packed + content[8 + size :])
    return path


def swap_shape(header):
    entry = header["encoder.conv1.weight"]
    entry["shape"] = entry["shape"][::-1]  # as many numbers, in another order


def other_type(header):
    entry = header["encoder.conv1.weight"]
    entry["dtype"] = "I32"  # as many bytes


def more_channels(header):
    description = json.loads(header["__metadata__"]["devotools"])
    header["__metadata__"]["devotools"] = json.dumps(description | {"in_channels": 3})


def beyond_the_end(header):
    header["encoder.conv1.weight"]["data_offsets"][1] = 2**40


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (swap_shape, r"layer 'encoder\.conv1\.weight' has shape \(7, 7, 1, 64\), not \(64, 1"),
        (other_type, r"layer 'encoder\.conv1\.weight' holds I32, not one of F16, BF16, F32, F64"),
        (more_channels, r"has shape \(64, 1, 7, 7\), not \(64, 3, 7, 7\)"),
        (beyond_the_end, "cannot be read"),
    ],
)
def test_a_file_that_lies_is_refused_before_it_is_read(
    saved, tmp_path, monkeypatch, change, sentence
):
    path = rewritten(saved, tmp_path / "a.safetensors", change)
    monkeypatch.setattr(
        ResNet18FPN, "load_state_dict", lambda *_, **__: pytest.fail("weights were taken")
    )
    with pytest.raises(InputError, match=sentence):
        load_model(path)


def test_a_file_that_is_too_large_is_not_opened(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    monkeypatch.setattr(model_module, "safe_open", lambda *_, **__: pytest.fail("was opened"))
    with open(path, "wb") as file:  # a hole, not a gigabyte on the disk
        file.write(struct.pack("<Q", 100) + b"{")
        file.truncate(2**30)
    with pytest.raises(InputError, match=r"has 1,073,741,824 bytes.*expected 268,435,456"):
        load_model(path)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", 2**25) + b"{")
        file.truncate(2**26)
    with pytest.raises(InputError, match="33,554,432 of them names and notes"):
        load_model(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(saved, tmp_path, value):
    tensors = load_file(saved)
    tensors["pyramid.inner_blocks.0.0.weight"][3, 5] = value
    save_file(tensors, tmp_path / "a.safetensors", {"devotools": card()})
    with pytest.raises(InputError, match=r"NaN or infinity in 1 layers, first 'pyramid\.inner"):
        load_model(tmp_path / "a.safetensors")


# --- the SHA-256 that is known beforehand


def test_the_shipped_weights_have_their_sum():
    path = model_module._find("nuclei")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert model_module.published_sum(path) == digest
    assert f"{digest}  nuclei.safetensors\n" in (path.parent / "SHA256SUMS").read_text()


@pytest.mark.parametrize(
    ("sums", "sentence"),
    [
        ("0" * 64 + "  nuclei.safetensors\n", "expected 0000000000000000... as SHA256SUMS says"),
        ("0" * 64 + "  other.safetensors\n", "expected no... as SHA256SUMS says"),
        (None, "cannot be read .*SHA256SUMS.* install devotools again"),
    ],
)
def test_changed_weights_are_not_opened(saved, tmp_path, monkeypatch, sums, sentence):
    path = tmp_path / "nuclei.safetensors"
    path.write_bytes(saved.read_bytes())
    if sums is not None:
        (tmp_path / "SHA256SUMS").write_text(sums)
    monkeypatch.setattr(model_module, "_find", lambda _: path)
    monkeypatch.setattr(model_module, "safe_open", lambda *_, **__: pytest.fail("was opened"))
    with pytest.raises(InputError, match=sentence):
        load_model("nuclei")
    with pytest.raises(pytest.fail.Exception, match="was opened"):
        load_model(path)  # a file by its path has no such sum
