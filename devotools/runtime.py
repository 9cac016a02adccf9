"""The machine that the lessons run on: seeds, devices, threads, and a report for bug reports."""

from __future__ import annotations

import functools
import importlib.metadata
import math
import os
import platform
import random
import sys
import time

import numpy as np
import torch

from devotools._validate import InputError, check_count

PACKAGES = (
    "devotools torch torchvision albumentations numpy scipy pandas scikit-image matplotlib "
    "opencv-python-headless tifffile imagecodecs pillow safetensors ipywidgets jupyterlab nbval "
    "jupytext pydantic"
).split()


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and PyTorch, so that the same cell gives the same numbers again.

    Two things this cannot reach: an albumentations pipeline, which takes its own seed
    (:func:`devotools.train_transform`), and other machines, whose arithmetic rounds differently.
    Raises :class:`InputError` for a seed that is no whole number from 0. Taught in lesson 03.

    >>> seed_everything(7)
    >>> first = torch.rand(2)
    >>> seed_everything(7)
    >>> bool((torch.rand(2) == first).all())
    True
    """
    seed = check_count(seed, "seed", least=0) % 2**64  # as much as torch holds
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def choose_device(name: str | None = None) -> torch.device:
    """The device that ``name`` asks for ("cpu", "cuda", "mps"), or the fastest there is.

    Raises :class:`InputError` when the device asked for is not on this machine.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name is None:
        return torch.device(next(kind for kind, there in present.items() if there))
    there = ", ".join(kind for kind, ok in present.items() if ok)
    refused = InputError(f"device is {str(name)!r}; this machine has {there}. Choose one of these.")
    try:
        device = torch.device(name)
    except RuntimeError as error:  # torch's word for a device that it never heard of
        raise refused from error
    few = torch.cuda.device_count() if device.type == "cuda" else 1
    if not present.get(device.type, False) or (device.index or 0) >= few:
        raise refused
    return device


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether 16-bit arithmetic (bfloat16) is faster than 32-bit on ``device``.

    True on GPUs of the Ampere generation and later, and on CPUs with AMX. Those with AVX512-BF16
    alone are asked, once a process: a Xeon was slower with it than in 32-bit, an EPYC twice as
    quick. Elsewhere bfloat16 is emulated, and slower. ``DEVOTOOLS_BFLOAT16`` in the environment
    decides instead: 0 says no for all, to get the numbers of a machine that has none, and 1 yes
    for a CPU that has one of the two, to get those of a machine that is quicker with it.
    """
    said = os.environ.get("DEVOTOOLS_BFLOAT16")
    if said == "0":
        return False
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.10 and later
        if capabilities.get("amx_bf16"):
            return True
        if capabilities.get("avx512_bf16"):
            return said == "1" or convolves_quicker_in_bfloat16()
    return False


@functools.cache
def convolves_quicker_in_bfloat16() -> bool:
    """Whether a convolution of this network takes four fifths of its time, or less, in bfloat16.

    Both precisions take turns on one thread, and the quickest of five turns counts. Measured is
    the time that this thread was given by the processor: so a busy machine answers as a quiet one,
    and each process as the one before, which goes on with its results. It takes about 20 ms.
    """
    clock = time.thread_time if os.name == "posix" else time.perf_counter  # elsewhere too coarse
    image, weight = torch.ones(1, 64, 64, 64), torch.ones(64, 64, 3, 3)
    fastest = {torch.float32: math.inf, torch.bfloat16: math.inf}
    operands = {
        precision: [x.to(precision, memory_format=torch.channels_last) for x in (image, weight)]
        for precision in fastest
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for _ in range(6):  # one more than five: the first prepares what the others use
                for precision, (picture, filters) in operands.items():
                    start = clock()
                    torch.nn.functional.conv2d(picture, filters, padding=1)
                    fastest[precision] = min(fastest[precision], clock() - start)
    finally:
        torch.set_num_threads(threads)
    return fastest[torch.bfloat16] < 0.8 * fastest[torch.float32]


def report() -> dict[str, str]:
    """What to paste into a bug report: versions, system, processor and device.

    Returns a dictionary of text, in the order in which it is to be shown. The command
    ``devotools doctor`` prints it.

    >>> "torch" in report()
    True
    """
    facts = {
        "python": sys.version.split()[0],
        "system": f"{platform.system()} {platform.release()} ({platform.machine()})",
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "device": _device_name(choose_device()),
        "fast bfloat16": "yes" if has_fast_bfloat16(choose_device()) else "no",
    }
    return facts | {name: _version(name) for name in PACKAGES}


def _device_name(device: torch.device) -> str:
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
