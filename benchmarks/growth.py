"""Time and memory as the work grows: larger pictures, more pictures, more workers.

    python benchmarks/growth.py

Each measurement is a process of its own, so that its peak memory is its own. Pictures of 256 to
8,192 pixels a side go through `predict_probability(scale=1)`; folders of 10 to 10,000 drawn
sections through `devotools segment`, on one process and with `--workers 2`; a mosaic of 20,000 x
20,000 pixels through `devotools segment --nucleus-size`. Writes benchmarks/results/growth.json and
.png.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import psutil
import tifffile
from machine import processor

RESULTS = Path(__file__).resolve().parent / "results"
MIB = 2**20
ONE_PICTURE = """
import sys, time, numpy as np, psutil, resource
import devotools as dt
model = dt.load_model("nuclei")
tile, _ = dt.draw_section(4_200_000_000)
dt.predict_probability(model, tile, scale=1)
side = int(sys.argv[1])
image = np.tile(tile, (side // 256, side // 256))
before = psutil.Process().memory_info().rss
started = time.perf_counter()
dt.predict_probability(model, image, scale=1)
seconds = time.perf_counter() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(seconds, max(0, peak - before) / 2**20)
"""
START = """
import time; started = time.perf_counter()
import devotools; imported = time.perf_counter() - started
devotools.load_model("nuclei"); print(imported, time.perf_counter() - started)
"""


def one_picture(side: int) -> dict[str, float]:
    """Seconds, and memory above what was there before (MiB)."""
    command = [sys.executable, "-c", ONE_PICTURE, str(side)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return {"side": side, "seconds": round(float(said[0]), 3), "mib": round(float(said[1]))}


def watched(command: list[str]) -> dict[str, float]:
    """Run a command; seconds, peak memory of it and all its children together (MiB), CPU share."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak, busy = 0, {}
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.2):
            total = 0
            try:
                root = psutil.Process(process.pid)
                for one in [root, *root.children(recursive=True)]:
                    try:
                        memory = one.memory_full_info()
                        total += getattr(memory, "pss", memory.uss)
                        busy[one.pid] = sum(one.cpu_times()[:2])
                    except psutil.Error:
                        continue
            except psutil.Error:
                return
            peak = max(peak, total)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    done.set()
    watcher.join()
    seconds = time.perf_counter() - started
    if code != 0:
        raise RuntimeError(f"{command} ended with {code}")
    return {
        "seconds": round(seconds, 2),
        "mib": round(peak / MIB),
        "cores_busy": round(sum(busy.values()) / seconds, 2),
    }


def draw_folder(folder: Path, count: int, different: int = 200) -> None:
    """So many sections: a few hundred drawn ones again and again, which cost the same."""
    import devotools as dt

    folder.mkdir()
    for number in range(count):
        path = folder / f"{number:05d}.png"
        first = folder / f"{number % different:05d}.png"
        if number < different:
            dt.write_image(path, dt.draw_section(4_300_000_000 + number)[0])
        else:
            os.link(first, path)


def segment(folder: Path, out: Path, *options: str) -> dict[str, float]:
    """`devotools segment` of a folder."""
    words = [sys.executable, "-m", "devotools", "segment", str(folder), "--out", str(out)]
    return watched([*words, *options])


def mosaic(path: Path, side: int) -> None:
    """Write one large picture: drawn sections side by side, in tiles."""
    import devotools as dt

    tiles = [np.uint8(dt.draw_section(4_400_000_000 + i)[0] * 255) for i in range(40)]
    across = -(-side // 256)
    chosen = np.random.default_rng(0).integers(len(tiles), size=across * across)
    tifffile.imwrite(
        path,
        (tiles[i] for i in chosen),
        shape=(across * 256, across * 256),
        dtype=np.uint8,
        tile=(256, 256),
        compression="zlib",
    )


def chart(result: dict, path: Path) -> None:
    """Four small charts on logarithmic axes."""
    fig, axes = plt.subplots(2, 2, figsize=(9, 6), layout="constrained")
    sides = result["sides"]
    pixels = [row["side"] ** 2 / 1e6 for row in sides]
    axes[0, 0].loglog(pixels, [row["seconds"] for row in sides], "-o", color="#0072B2")
    axes[0, 0].set_ylabel("seconds")
    axes[1, 0].semilogx(pixels, [row["mib"] for row in sides], "-o", color="#0072B2")
    axes[1, 0].set_ylabel("MiB above the start")
    axes[1, 0].set_xlabel("million pixels of one picture")
    for workers, colour, style in ((1, "#0072B2", "-o"), (2, "#D55E00", "--s")):
        rows = [row for row in result["images"] if row["workers"] == workers]
        counts = [row["images"] for row in rows]
        label = "one process" if workers == 1 else "--workers 2"
        seconds = [row["seconds"] for row in rows]
        axes[0, 1].loglog(counts, seconds, style, color=colour, label=label)
        memory = [row["mib"] for row in rows]
        axes[1, 1].semilogx(counts, memory, style, color=colour, label=label)
    axes[0, 1].legend()
    axes[0, 1].set_ylabel("seconds")
    axes[1, 1].set_ylabel("MiB, all processes")
    axes[1, 1].set_xlabel("pictures of 256 x 256")
    for ax in axes[1]:
        ax.set_ylim(bottom=0)
    fig.savefig(path, dpi=110)


def main() -> None:
    """Measure, write after each step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="*", default=[256, 512, 1024, 2048, 4096, 8192])
    parser.add_argument("--images", type=int, nargs="*", default=[10, 100, 1000, 10_000])
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--mosaic", type=int, default=20_000, help="pixels a side; 0: none")
    parser.add_argument("--out", type=Path, default=RESULTS / "growth.json")
    parser.add_argument("--resume", action="store_true", help="keep what --out holds, do the rest")
    arguments = parser.parse_args()
    command = [sys.executable, "-c", START]
    begun = subprocess.run(command, capture_output=True, text=True, check=True)
    imported, loaded = map(float, begun.stdout.split())  # the package loads torch when it is needed
    result = {
        "command": " ".join(["python benchmarks/growth.py", *sys.argv[1:]]),
        "cpu": processor(),
        "cores": os.cpu_count(),
        "import_seconds": round(imported, 2),
        "import_and_load_model_seconds": round(loaded, 2),
        "sides": [],
        "images": [],
    }

    if arguments.resume and arguments.out.is_file():
        result |= json.loads(arguments.out.read_text(encoding="utf-8"))
    done = {row["side"] for row in result["sides"]}
    done |= {(row["images"], row["workers"]) for row in result["images"]}

    def save(name: str, row: dict) -> None:
        result[name].append(row) if isinstance(result.get(name), list) else result.update(
            {name: row}
        )
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(name, row, flush=True)

    for side in arguments.sides:
        if side not in done:
            save("sides", one_picture(side))
    with tempfile.TemporaryDirectory() as scratch:
        for count in arguments.images:
            missing = [workers for workers in arguments.workers if (count, workers) not in done]
            if missing:
                draw_folder(Path(scratch) / str(count), count)
            for workers in missing:
                out = Path(scratch) / f"out-{count}-{workers}"
                options = ["--workers", str(workers)] if workers > 1 else []
                row = segment(Path(scratch) / str(count), out, *options)
                save("images", {"images": count, "workers": workers, **row})
        if arguments.mosaic and "mosaic" not in result:
            (Path(scratch) / "mosaic").mkdir()
            mosaic(Path(scratch) / "mosaic" / "m.tif", arguments.mosaic)
            row = segment(
                Path(scratch) / "mosaic", Path(scratch) / "out-mosaic", "--nucleus-size", "34"
            )
            save("mosaic", {"side": arguments.mosaic, **row})
    if result["sides"] and result["images"]:
        chart(result, arguments.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
