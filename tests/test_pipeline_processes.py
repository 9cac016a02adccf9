"""Runs as people start them: killed with kill -9, and spread over the workers of a Dask cluster."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import torch
from helpers import files_under

from devotools import ResNet18Classifier, ResNet18FPN, save_classifier, save_model
from devotools.images import write_image
from devotools.pipeline import connect
from devotools.synthetic import draw_section

COUNT = 40
STABLE = ("labels", "overlays", "nuclei.csv")


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """Pictures, a small model, and the results of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("material")
    for number in range(COUNT):
        image, _ = draw_section(3_900_000 + number, size=96)
        write_image(folder / "pictures" / f"{number:02d}.png", image)
    (folder / "pictures" / "broken.png").write_bytes(b"no picture")
    torch.manual_seed(0)
    model = ResNet18FPN()
    model.working_side, model.working_nucleus = 96, 12.0
    save_model(folder / "model.safetensors", model)
    classifier = ResNet18Classifier()
    classifier.limit = 0.6
    save_classifier(folder / "states.safetensors", classifier)
    finished = start(folder, folder / "whole")
    assert finished.wait(300) == 1, finished.stderr.read()  # 1: the broken picture
    finished.stderr.close()
    return folder


def start(folder, out, *options):
    """Start ``devotools segment`` as a process group of its own."""
    command = [sys.executable, "-m", "devotools", "segment", folder / "pictures", "--out", out]
    command += ["--model", folder / "model.safetensors", "--classify", *options]
    command += ["--classifier", folder / "states.safetensors"]
    return subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def wait_for_lines(out, count, process, seconds=240):
    """Wait until so many pictures are done."""
    journal, end = out / "progress.jsonl", time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        if journal.exists() and journal.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.01)
    pytest.fail(f"no {count} pictures were done; exit code {process.poll()}")


def contents(out):
    """Every file that must not depend on how a run went."""
    return {n: (out / n).read_bytes() for n in files_under(out) if n.startswith(STABLE)}


needs_process_groups = pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups")


@needs_process_groups
def test_killed_and_run_again_is_an_undisturbed_run(material, tmp_path):
    out = tmp_path / "out"
    for lines in (2, 19):
        process = start(material, out)
        wait_for_lines(out, lines, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()
    last = start(material, out)
    assert last.wait(300) == 1
    last.stderr.close()
    assert contents(out) == contents(material / "whole")
    assert not [name for name in files_under(out) if "/." in f"/{name}"]


@needs_process_groups
def test_ctrl_c_with_workers_is_quiet_and_loses_nothing(material, tmp_path):
    """A terminal sends it to the command and to each of its workers."""
    out = tmp_path / "out"
    process = start(material, out, "--workers", "2")
    wait_for_lines(out, 2, process)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=120)[1].decode()
    assert process.returncode == 130
    assert "Traceback" not in said
    last = start(material, out)
    assert last.wait(300) == 1
    last.stderr.close()
    assert contents(out) == contents(material / "whole")


@contextmanager
def background(*command):
    """A process of Dask, stopped at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", *map(str, command)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_worker_that_dies_costs_only_its_pictures(material, tmp_path):
    address = tmp_path / "scheduler.json"
    serve = ("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0")
    work = ("distributed.cli.dask_worker", "--scheduler-file", address, "--nthreads", "1")
    work += ("--no-nanny", "--host", "127.0.0.1", "--no-dashboard")
    work += ("--local-directory", tmp_path)
    with background(*serve, "--no-dashboard", "--scheduler-file", address):
        end = time.monotonic() + 60
        while not address.exists() and time.monotonic() < end:
            time.sleep(0.05)
        import json

        where = json.loads(address.read_text())["address"]
        with background(*work) as first, background(*work):
            process = start(material, tmp_path / "out", "--scheduler", where)
            wait_for_lines(tmp_path / "out", 1, process)
            first.kill()
            assert process.wait(300) == 1, process.stderr.read()
            process.stderr.close()
    assert contents(tmp_path / "out") == contents(material / "whole")


def test_a_cluster_of_its_own_gives_the_same(material, tmp_path):
    process = start(material, tmp_path / "out", "--workers", "2")
    assert process.wait(300) == 1, process.stderr.read()
    process.stderr.close()
    assert contents(tmp_path / "out") == contents(material / "whole")


def test_a_worker_keeps_no_record_of_its_calls_and_the_allocator_of_any_process(monkeypatch):
    def a_while():
        time.sleep(1.5)  # Dask reports from the first second on, a hundred looks in each

    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    with connect(workers=1) as client:
        client.submit(a_while).result()
        assert client.profile()["count"] == 0
        assert list(client.run(os.getenv, "MALLOC_TRIM_THRESHOLD_").values()) == [None]


def test_a_scheduler_that_does_not_answer(material, tmp_path):
    process = start(material, tmp_path / "out", "--scheduler", "nonsense://127.0.0.1:1")
    said = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(60) == 2
    assert "no Dask scheduler answers at 'nonsense://127.0.0.1:1'" in said
    assert not (tmp_path / "out").exists()
