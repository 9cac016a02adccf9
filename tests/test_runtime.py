"""Seeds, devices and the report for bugs."""

import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from devotools._validate import InputError
from devotools.runtime import (
    choose_device,
    convolves_quicker_in_bfloat16,
    has_fast_bfloat16,
    report,
    seed_everything,
)


def draw():
    return random.random(), float(np.random.random()), float(torch.rand(1))


def test_the_seed_reaches_python_numpy_and_torch():
    seed_everything(3)
    first = draw()
    seed_everything(3)
    assert draw() == first
    seed_everything(4)
    assert all(a != b for a, b in zip(draw(), first, strict=True))


def test_a_seed_beyond_numpys_range_is_taken():
    seed_everything(2**40 + 5)
    first = draw()
    seed_everything(2**40 + 5)
    assert draw() == first


def test_the_device_is_the_fastest_unless_named(monkeypatch):
    assert choose_device("cpu") == choose_device(torch.device("cpu")) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device().type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device().type == choose_device("cuda:0").type == "cuda"
    with pytest.raises(InputError, match="device is 'cuda:1'"):
        choose_device("cuda:1")


@pytest.mark.parametrize("name", ["", "tpu", "cpu:x", "meta", "CPU ", "vulkan", "cuda:-1"])
def test_other_devices_are_refused(name):
    with pytest.raises(InputError, match=rf"device is '{name}'; this machine has .*cpu.* Choose"):
        choose_device(name)


def test_the_report_is_text():
    facts = report()
    assert all(isinstance(value, str) and value for value in facts.values())
    assert facts["torch"] == torch.__version__.partition("+")[0] or facts["torch"]
    assert {"python", "system", "cores", "device", "devotools", "numpy"} <= facts.keys()
    assert isinstance(has_fast_bfloat16(torch.device("cpu")), bool)


@pytest.mark.parametrize(
    ("has", "quicker", "expected"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, None, True),
        ({"avx512_bf16": True}, True, True),
        ({"avx512_bf16": True}, False, False),
        ({"avx512_f": True}, None, False),
    ],
)
def test_bfloat16_is_used_where_it_is_quicker(has, quicker, expected, monkeypatch):
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: has, raising=False)
    monkeypatch.delenv("DEVOTOOLS_BFLOAT16", raising=False)

    def asked():
        assert quicker is not None, "no need to ask"
        return quicker

    monkeypatch.setattr("devotools.runtime.convolves_quicker_in_bfloat16", asked)
    assert has_fast_bfloat16(torch.device("cpu")) is expected


@pytest.mark.parametrize(
    ("said", "has", "expected"),
    [
        ("0", {"amx_bf16": True}, False),
        ("1", {"avx512_bf16": True}, True),
        ("1", {"avx512_f": True}, False),
    ],
)
def test_the_environment_may_decide_on_bfloat16(said, has, expected, monkeypatch):
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: has, raising=False)
    monkeypatch.setattr("devotools.runtime.convolves_quicker_in_bfloat16", lambda: not expected)
    monkeypatch.setenv("DEVOTOOLS_BFLOAT16", said)
    assert has_fast_bfloat16(torch.device("cpu")) is expected


def test_asking_the_machine_leaves_its_threads_as_they_were():
    before = torch.get_num_threads()
    convolves_quicker_in_bfloat16.__wrapped__()
    assert torch.get_num_threads() == before


def test_a_busy_machine_answers_as_a_quiet_one():
    """Others are at work on every core; what counts is the time that this thread was given."""
    quiet = convolves_quicker_in_bfloat16.__wrapped__()
    others = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(2 * (os.cpu_count() or 1))
    ]
    try:
        assert [convolves_quicker_in_bfloat16.__wrapped__() for _ in range(3)] == [quiet] * 3
    finally:
        for other in others:
            other.kill()
            other.wait()


def test_the_machine_gives_one_answer_a_process():
    answer = convolves_quicker_in_bfloat16()
    assert isinstance(answer, bool)
    assert convolves_quicker_in_bfloat16() is answer
