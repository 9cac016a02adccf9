"""How fast, beside the architecture of 2020 and beside what the machine can do at all.

    python benchmarks/speed.py

One process, the same pictures and threads for all; in each round every contender has its turn, so
that what else the machine does hits all alike. A ratio is that of one round; told are the median
over the rounds, and the lowest and highest. Peers are `segmentation_models_pytorch`'s FPN (the
model of 2020) and Unet, both with ResNet18, in plain single precision as a user would run them.
Writes benchmarks/results/speed.json, .md and .png.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import segmentation_models_pytorch as smp
import torch
from machine import processor
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import devotools as dt
from devotools.inference import fold_batch_norm, for_prediction
from devotools.losses import segmentation_loss
from devotools.runtime import has_fast_bfloat16
from devotools.train import autocast

RESULTS = Path(__file__).resolve().parent / "results"
CPU = torch.device("cpu")
SHIPPED = " (shipped)"  # how the table marks what users get
SIZE, BATCH = 256, 8
TEST_FROM = 4_100_000_000  # drawn sections that no training has seen
PEERS = {
    "smp FPN (2020)": lambda: smp.FPN("resnet18", encoder_weights=None, in_channels=1),
    "smp Unet": lambda: smp.Unet("resnet18", encoder_weights=None, in_channels=1),
}


def timed(work: Callable[[], object], repeats: int) -> float:
    """Milliseconds of one call, the median of a few."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - started))
    return float(np.median(times))


def alternate(
    contenders: dict[str, Callable[[], object]], rounds: int, repeats: int
) -> dict[str, list[float]]:
    """Milliseconds of each contender in each round, after one call that does not count."""
    for work in contenders.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, work in contenders.items():
            times[name].append(timed(work, repeats))
    return times


def compared(times: dict[str, list[float]], ours: str) -> dict[str, dict[str, float]]:
    """Median time of each, and how many times longer than ours it takes: median, low, high."""
    mine = np.array(times[ours])
    rows = {}
    for name, values in times.items():
        ratio = np.array(values) / mine
        rows[name] = {
            "ms": round(float(np.median(values)), 2),
            "ratio": round(float(np.median(ratio)), 2),
            "low": round(float(ratio.min()), 2),
            "high": round(float(ratio.max()), 2),
        }
    return rows


# --- the three tasks -----------------------------------------------------------------------------


def plain(peer: nn.Module, pictures: list[np.ndarray]) -> list[np.ndarray]:
    """What a user writes: a batch, the network, the probabilities."""
    with torch.no_grad():
        batch = torch.from_numpy(np.stack(pictures))[:, None]
        return list(torch.sigmoid(peer(batch))[:, 0].numpy())


def one_by_one(model, peers, pictures) -> dict[str, Callable[[], object]]:
    """One picture at a time."""
    first = pictures[0]
    work = {"devotools": lambda: dt.predict_probability(model, first, scale=1)}
    work |= {name: lambda peer=peer: plain(peer.eval(), [first]) for name, peer in peers.items()}
    return work | {"devotools, scale auto": lambda: dt.predict_probability(model, first)}


def in_batches(model, peers, pictures) -> dict[str, Callable[[], object]]:
    """Eight pictures together."""
    work = {
        "devotools": lambda: list(
            dt.predict_probabilities(model, pictures, scale=1, batch_size=BATCH)
        )
    }
    work |= {name: lambda peer=peer: plain(peer.eval(), pictures) for name, peer in peers.items()}
    auto = "devotools, scale auto"
    return work | {auto: lambda: list(dt.predict_probabilities(model, pictures))}


def training_steps(peers, images: Tensor, masks: Tensor) -> dict[str, Callable[[], object]]:
    """One step of training on eight crops: ours as `fit` does it, peers as in 2020."""
    model = dt.ResNet18FPN().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def ours() -> None:
        with autocast(CPU, None):
            logits = model(images.to(memory_format=torch.channels_last))
        loss = segmentation_loss(logits.float(), masks)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def theirs(peer: nn.Module, adam: torch.optim.Optimizer) -> None:
        loss = smp.losses.DiceLoss("binary")(peer(images), masks)
        adam.zero_grad()
        loss.backward()
        adam.step()

    work = {"devotools": ours}
    for name, peer in peers.items():
        peer.train()
        adam = torch.optim.Adam(peer.parameters(), lr=1.5e-4)
        work[name] = lambda peer=peer, adam=adam: theirs(peer, adam)
    return work


# --- what was tried, and the limit ---------------------------------------------------------------


def variants(model: dt.ResNet18FPN, batch: Tensor) -> dict[str, Callable[[], object]]:
    """The network alone, one change at a time."""
    lying = batch.to(memory_format=torch.channels_last)
    last, half = torch.channels_last, torch.bfloat16
    fast = has_fast_bfloat16(CPU)
    whole, halved = ("", SHIPPED) if fast else (SHIPPED, "")
    folded = (fold_batch_norm(model).to(memory_format=last), lying)
    work: dict[str, tuple[nn.Module, Tensor]] = {
        "as it is, float32": (fold_free(model), batch),
        "channels-last": (fold_free(model).to(memory_format=last), lying),
        f"channels-last, folded{whole}": folded,
    }
    if processor_extras():  # tried also where it is not shipped
        small = (fold_free(model).to(half, memory_format=last), lying.to(half))
        work["channels-last, bfloat16"] = small
        small = (fold_batch_norm(model).to(half, memory_format=last), lying.to(half))
        work[f"channels-last, folded, bfloat16{halved}"] = small
    shipped = small if fast else folded
    frozen = _frozen(*shipped)
    if frozen is not None:
        work["what is shipped, traced and frozen"] = (frozen, shipped[1])
    compiled = _compiled(*folded)
    if compiled is not None:
        work["channels-last, folded, torch.compile"] = (compiled, lying)

    def call(network: nn.Module, pictures: Tensor) -> Callable[[], object]:
        def work() -> None:
            with torch.inference_mode():
                network(pictures)

        return work

    return {name: call(*pair) for name, pair in work.items()}


def processor_extras() -> list[str]:
    """The processor's instructions for bfloat16."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return [name for name in ("avx512_bf16", "amx_bf16") if capabilities.get(name)]


def fold_free(model: dt.ResNet18FPN) -> nn.Module:
    """A copy in eval mode."""
    import copy

    return copy.deepcopy(model).eval()


def _frozen(network: nn.Module, batch: Tensor) -> nn.Module | None:
    try:
        with torch.inference_mode():
            traced = torch.jit.freeze(torch.jit.trace(network, batch, check_trace=False))
            traced(batch)
        return traced
    except (RuntimeError, TypeError) as error:
        print("traced and frozen: not here,", str(error).splitlines()[0])
        return None


def _compiled(network: nn.Module, batch: Tensor) -> nn.Module | None:
    try:
        compiled = torch.compile(network)
        with torch.inference_mode():
            compiled(batch)
        return compiled
    except Exception as error:  # noqa: BLE001 - a compiler may fail in any way; that is the result
        print("torch.compile: not here,", str(error).splitlines()[0][:100])
        return None


def ceiling(dtype: torch.dtype, rounds: int, side: int = 2048) -> float:
    """GFLOP/s of a large matrix product: what the machine can do."""
    a, b = torch.rand(side, side).to(dtype), torch.rand(side, side).to(dtype)
    best = min(timed(lambda: a @ b, 3) for _ in range(rounds))
    return 2 * side**3 / best / 1e6


def limit(model: dt.ResNet18FPN, batch: Tensor, rounds: int) -> dict[str, object]:
    """Which share of the ceiling the network reaches, and what takes the rest."""
    network = for_prediction(model)
    dtype = next(network.parameters()).dtype
    pictures = batch.to(dtype, memory_format=torch.channels_last)
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            network(pictures)
        best = min(timed(lambda: network(pictures), 5) for _ in range(rounds))
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            for _ in range(5):
                network(pictures)
    top = ceiling(dtype, rounds)
    reached = counter.get_total_flops() / best / 1e6
    events = sorted(profile.key_averages(), key=lambda e: -e.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    return {
        "dtype": str(dtype).removeprefix("torch."),
        "gflop_a_picture": round(counter.get_total_flops() / len(batch) / 1e9, 2),
        "ceiling_gflops": round(top),
        "network_gflops": round(reached),
        "share": round(reached / top, 3),
        "where_the_time_goes": {
            event.key.removeprefix("aten::"): round(event.self_cpu_time_total / total, 3)
            for event in events[:8]
        },
    }


def labels_changed(model: dt.ResNet18FPN, count: int) -> dict[str, object]:
    """What folding and 16 bits change on drawn test sections, against plain float32."""
    images, truths = zip(*(dt.draw_section(TEST_FROM + i) for i in range(count)), strict=True)
    rows, masks = {}, {}
    for name, fast in (("plain float32", False), ("as shipped", True)):
        network = model if fast else Plain(model)
        found = [dt.label_nuclei(p) for p in dt.predict_probabilities(network, images)]
        pairs = list(zip(truths, found, strict=True))
        rows[name] = {
            "iou": round(float(np.mean([dt.iou_score(t > 0, f > 0) for t, f in pairs])), 4),
            "nuclei": int(sum(f.max() for f in found)),
        }
        masks[name] = np.stack([f > 0 for f in found])
    changed = masks["plain float32"] != masks["as shipped"]
    rows["pixels_changed_per_million"] = round(1e6 * float(changed.mean()), 1)
    return {"sections": count, **rows}


class Plain(nn.Module):
    """The same network, of a type that is not made quicker."""

    def __init__(self, model: dt.ResNet18FPN):
        super().__init__()
        self.model = model
        self.in_channels, self.classes = 1, 1
        self.working_side, self.working_nucleus = model.working_side, model.working_nucleus

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image)


def waiting(rounds: int) -> dict[str, float]:
    """Share of training time that the network waits for its data, as the lessons load them."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        dt.synthesize_dataset(folder, embryos=4, sections=4, size=SIZE, seed=0)
        data = dt.NucleusDataset(dt.read_dataset(folder), dt.train_transform(SIZE, seed=0))
        loader = dt.make_loader(data, BATCH, shuffle=True)
        step = training_steps({}, *next(iter(loader)))["devotools"]
        step()
        loading, learning = 0.0, 0.0
        for _ in range(rounds):
            started = time.perf_counter()
            for _ in loader:
                loading += time.perf_counter() - started
                started = time.perf_counter()
                step()
                learning += time.perf_counter() - started
                started = time.perf_counter()
    return {"share": round(loading / (loading + learning), 3)}


# --- the table and the chart -------------------------------------------------------------------


def markdown(result: dict) -> str:
    """The result as a table."""
    about = result["machine"]
    lines = [
        "# Speed",
        "",
        f"`{result['command']}` on {about['cpu']} with "
        f"{', '.join(about['instructions']) or 'no instructions for bfloat16'}, "
        f"{about['threads']} threads, bfloat16 "
        f"{'used' if about['bfloat16'] else 'not used'}; torch {about['torch']}, "
        f"segmentation_models_pytorch {about['smp']}; {result['rounds']} rounds.",
        "",
        "A ratio is the time of the other by ours in the same round: median (lowest to highest).",
    ]
    for task, rows in result["tasks"].items():
        lines += ["", f"## {task}", "", "| | ms a picture | ratio to devotools |", "|---|---|---|"]
        lines += [
            f"| {name} | {r['ms']:.1f} | {r['ratio']:.2f} ({r['low']:.2f} to {r['high']:.2f}) |"
            for name, r in rows.items()
        ]
    lines += ["", "## What was tried", "", "The network alone, eight pictures.", ""]
    lines += ["| | ms a picture | ratio to what is shipped |", "|---|---|---|"]
    lines += [
        f"| {name} | {r['ms'] / BATCH:.2f} | {r['ratio']:.2f} |"
        for name, r in result["tried"].items()
    ]
    limit = result["limit"]
    spent = ", ".join(f"{k} {100 * v:.0f} %" for k, v in limit["where_the_time_goes"].items())
    changed, wait = result["labels"], result["waiting"]
    lines += [
        "",
        "## The limit",
        "",
        f"A {limit['dtype']} matrix product reaches {limit['ceiling_gflops']} GFLOP/s here, the "
        f"network {limit['network_gflops']} ({100 * limit['share']:.0f} %), at "
        f"{limit['gflop_a_picture']} GFLOP a picture. Time by operation: {spent}.",
        "",
        "## What it changes",
        "",
        f"On {changed['sections']} drawn test sections: IoU {changed['as shipped']['iou']:.4f} "
        f"as shipped, {changed['plain float32']['iou']:.4f} in plain float32; "
        f"{changed['as shipped']['nuclei']} and {changed['plain float32']['nuclei']} nuclei; "
        f"{changed['pixels_changed_per_million']} of a million pixels differ.",
        "",
        f"While training, the network waits {100 * wait['share']:.0f} % of the time for its data "
        "(one process, as in the lessons).",
        "",
    ]
    return "\n".join(lines)


def chart(result: dict, path: Path) -> None:
    """Bars of the ratios, the spread as a line."""
    tasks = list(result["tasks"])
    fig, axes = plt.subplots(1, len(tasks), figsize=(10, 3.2), layout="constrained", sharey=True)
    for ax, task in zip(axes, tasks, strict=True):
        rows = {n: r for n, r in result["tasks"][task].items() if n in ("devotools", *PEERS)}
        names, bars = list(rows), list(rows.values())
        heights = [r["ratio"] for r in bars]
        spread = [[r["ratio"] - r["low"] for r in bars], [r["high"] - r["ratio"] for r in bars]]
        colours = ["#0072B2", "#E69F00", "#CC79A7"]
        ax.bar(range(len(names)), heights, yerr=spread, color=colours, capsize=4)
        for at, bar in enumerate(bars):
            ax.text(at, bar["high"] + 0.15, f"{bar['ms']:.0f} ms", ha="center")
        ax.set_xticks(range(len(names)), names, rotation=15)
        ax.set_title(task)
    axes[0].set(ylabel="time, as a multiple of ours", ylim=(0, 1.1 * axes[0].get_ylim()[1]))
    fig.savefig(path, dpi=110)


def main() -> None:
    """Measure everything, write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--sections", type=int, default=100, help="drawn sections for the labels")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=RESULTS / "speed.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    dt.seed_everything(0)
    model = dt.load_model("nuclei")
    peers = {name: build() for name, build in PEERS.items()}
    drawn = [dt.draw_section(TEST_FROM + i) for i in range(BATCH)]
    pictures = [image for image, _ in drawn]
    images = torch.from_numpy(np.stack(pictures))[:, None]
    masks = torch.from_numpy(np.stack([labels > 0 for _, labels in drawn]))[:, None].float()
    rounds = arguments.rounds
    tasks = {
        "one picture at a time": (one_by_one(model, peers, pictures), 5, 1),
        "in batches of eight": (in_batches(model, peers, pictures), 2, BATCH),
        "a training step": (training_steps(peers, images, masks), 1, BATCH),
    }
    measured = {}
    for task, (work, repeats, share) in tasks.items():
        times = alternate(work, rounds, repeats)
        times = {name: [value / share for value in values] for name, values in times.items()}
        measured[task] = compared(times, "devotools")
        print(task, measured[task], flush=True)
    tried = alternate(variants(model, images), rounds, 2)
    shipped = next(name for name in tried if name.endswith(SHIPPED))
    result = {
        "command": " ".join(["python benchmarks/speed.py", *sys.argv[1:]]),
        "machine": {
            "cpu": processor(),
            "threads": arguments.threads,
            "bfloat16": has_fast_bfloat16(CPU),
            "instructions": processor_extras(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "smp": smp.__version__,
        },
        "rounds": rounds,
        "tasks": measured,
        "tried": compared(tried, shipped),
        "limit": limit(model, images, rounds),
        "labels": labels_changed(model, arguments.sections),
        "waiting": waiting(2),
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    arguments.out.with_suffix(".md").write_text(markdown(result), encoding="utf-8")
    chart(result, arguments.out.with_suffix(".png"))
    print(arguments.out.with_suffix(".md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
