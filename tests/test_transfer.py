"""The stored curves of lesson 07: what the runs beside them say, and nothing else."""

import importlib.util
import json
import sys

import numpy as np
import pytest
from lesson_notebooks import ROOT

import devotools as dt

STORED = json.loads((ROOT / "devotools/data/transfer.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def transfer():
    """The benchmark as a module."""
    path = ROOT / "benchmarks" / "transfer.py"
    spec = importlib.util.spec_from_file_location("transfer", path)
    module = sys.modules["transfer"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_stored_means_are_those_of_the_stored_runs(transfer):
    assert STORED["summary"] == transfer.summary(STORED["runs"])
    for row in STORED["summary"]:
        assert row["mean"] == pytest.approx(np.mean(row["seeds"]), abs=1e-4)
        assert row["sd"] == pytest.approx(np.std(row["seeds"], ddof=1), abs=1e-4)


def test_every_start_has_the_same_runs(transfer):
    runs = {}
    for run in STORED["runs"]:
        runs.setdefault(run["start"], set()).add((run["labels"], run["seed"]))
    measured = {start.name for start in transfer.STARTS} - {"from ImageNet"}
    assert measured <= set(runs)
    assert len({frozenset(one) for one in runs.values()}) == 1
    assert len(STORED["runs"]) == len({tuple(run.items())[:3] for run in STORED["runs"]})


def test_command_that_is_stored_says_what_was_measured():
    imagenet = any(run["start"] == "from ImageNet" for run in STORED["runs"])
    assert ("--imagenet" in STORED["command"]) is imagenet
    assert f"--steps {STORED['settings']['steps']}" in STORED["command"]


def test_half_of_each_state_and_nothing_twice(transfer):
    series = dt.synthesize_series(nuclei=20, sections=4, seed=6, appearance=transfer.CLEAR)
    data = dt.NucleusCropDataset(series)
    chosen = transfer.half_of_each(data, 4, np.random.default_rng(0))
    assert np.bincount(data.classes[chosen]).tolist() == [2, 2]
    assert len(set(chosen.tolist())) == 4
