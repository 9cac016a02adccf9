"""Write the model card from what was measured: `make card`.

Scores `nuclei` on drawn test embryos, draws the two figures, and fills the card's figures from the
weights' own metadata and from the stored scores; `--text` measures nothing anew. `--real DIR` also
scores a folder of real micrographs; its pictures stay where they are, only the scores are stored.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import states_card

import devotools as dt

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "devotools" / "weights"
RESULTS = ROOT / "benchmarks" / "results"
DRAWN = "devotools synthesize --out drawn --embryos 50 --sections 4 --seed 2000003"
TEMPLATE = """\
# Model card: `nuclei`

Finds the nuclei in transmission electron micrographs of the *C. elegans* embryo (the appearance of
WormImage). Made by `python tools/make_card.py`; every figure below is measured by the command
beside it.

![Input, prediction and mask of drawn test embryos, one row each](columns.png)

## What it is

- **Architecture**: `ResNet18FPN`: torchvision's ResNet18 with a one-channel first layer, its
  feature pyramid of 64 channels, a head of two convolutions; {parameters:.1f} million weights,
  {mebibytes:.1f} MiB in half precision. Random start; no ImageNet.
- **Data**: {pool:,} drawn sections, each of another embryo (`devotools.synthetic`). **No real
  micrograph was used for training, or for choosing weights, threshold or scale.**
- **Command**: `{command}`
  at commit {commit}: {batch};
  {minutes:.0f} minutes on {device}, torch {torch}.{faint}{smooth}
{start}- **Working resolution**: the longest side of a picture becomes {side} pixels, at which
  a nucleus is about {nucleus:.0f} pixels wide; the one with the highest IoU + F1 on
  {validation_sections} drawn validation sections: {sides}.
- **Threshold**: {threshold}, not tuned.

## How good it is

| measured on | pictures | IoU | Dice | precision | recall | F1 |
|---|---|---|---|---|---|---|
{rows}

IoU and Dice are means over pictures; precision, recall and F1 pool all nuclei (IoU of at least
0.5 with the true one).

- *Drawn test embryos*: `{drawn}`, then `devotools evaluate --data drawn`. Never used in training.
{real_note}

## Under other conditions

{conditions}

## Where it fails

![The drawn test sections with the lowest scores: input, prediction, mask](failures.png)

The picture shows the drawn test sections with the lowest scores
(`python benchmarks/columns.py --worst`). Expect misses where the knife only grazed a nucleus,
where the frame cuts it, and in pale embryos whose nuclei hardly differ from the cytoplasm; expect
false nuclei where vacuoles or bright yolk lie together.

## Use

For counting and measuring nuclei in sections like those it was drawn after, with a look at the
overlays before the numbers are believed. Not for diagnosis; not, without a test on labelled
pictures of your own, for other animals, stains or microscopes. `devotools train --init nuclei`
goes on from it with your labels.

Weights and card: MIT, as the code.

{states}
"""
CONDITIONS = """\
Labelled sections, changed in one way at a time (`{command}`: two sections of each drawn test
embryo{real}). Where an embryo fills little of its frame,
nuclei are small, and the picture is looked at again, enlarged (`devotools.working_scale`).

| condition | {columns} |
|---|{rule}
{rows}

The first two lines say how much is chance: the network answers a little otherwise when a picture is
laid down another way. What it finds in a negative, dark for bright, is wrong; invert such pictures
first.
"""
CROPS = "{0:,} steps of 8 crops, at many magnifications"
WHOLE = "{0:,} steps of 4 whole sections, at about the working resolution, as they are met in use"
MUON = ",\n  with Muon for the convolutions and AdamW for the rest"
FAINT = """
  In {0:.0%} of the drawings nuclei may be fainter than `devotools synthesize` draws them
  (`FAINT` in `tools/make_weights.py` at that commit); those that validate and test are as ever."""
SMOOTH = """
  Soft Dice has a `smooth` of {smooth:g} pixels (see `devotools.losses`), so that nuclei made up in
  a section without any weigh more."""
START = """\
  {it} began with the weights that `{command}`
  made at commit {commit} in {minutes:.0f} minutes, on the drawings of that commit.
"""
AGAIN = """\
  Those began with random weights. To make `nuclei` again, check out {commit}, where that name is
  still the model before, and give the command. `make weights` begins with random weights and does
  it in one training of less than an hour, to higher scores on drawings and slightly lower ones on
  real micrographs ([measured](../../benchmarks/README.md#one-command-less-than-an-hour)).
"""
REAL_NOTE = """\
- *Real micrographs*: WormImage sections with the hand-drawn masks of the 2020 project,
  `devotools evaluate --data DIR`. These pictures cannot be redistributed, so nobody can repeat
  this row from the repository alone. The masks are rough, and one lacks two nuclei that are there.
  The looks of the drawings were set by eye beside these very pictures (not their masks), so this
  is no independent test.
"""


def run(command: str, folder: str) -> None:
    """Run a command of devotools in ``folder``, as a reader would type it."""
    words = [sys.executable, "-m", "devotools", *command.split()[1:]]
    subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def measure(real: Path | None) -> None:
    """Score the model, and store the scores under benchmarks/results."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        run(DRAWN, scratch)
        run(f"devotools evaluate --data drawn --json {RESULTS / 'drawn_test.json'}", scratch)
    if real is not None:
        run(f"devotools evaluate --data {real.resolve()} --json {RESULTS / 'real.json'}", ".")
    other = [sys.executable, str(ROOT / "benchmarks" / "conditions.py")]
    subprocess.run(other, check=True)
    if real is not None:
        out = RESULTS / "conditions_real.json"
        subprocess.run([*other, "--data", str(real), "--out", str(out)], check=True)
    subprocess.run([sys.executable, str(ROOT / "benchmarks" / "states.py")], check=True)
    for name, options in (("columns", []), ("failures", ["--worst"])):
        script = [sys.executable, str(ROOT / "benchmarks" / "columns.py"), *options]
        subprocess.run([*script, "--out", str(WEIGHTS / f"{name}.png")], check=True)


def row(name: str, path: Path) -> str:
    """One line of the table of scores."""
    scores = json.loads(path.read_text(encoding="utf-8"))
    figures = (f"{scores[key]:.3f}" for key in ("iou", "dice", "precision", "recall", "f1"))
    return f"| {name} | {scores['images']} | " + " | ".join(figures) + " |"


def conditions() -> str:
    """The scores under other conditions as a table, of drawn sections and of real ones."""
    columns, tables = [], []
    for name, stem in (("drawn", "conditions"), ("real", "conditions_real")):
        path = RESULTS / f"{stem}.json"
        if path.exists():
            columns += [f"{name}: IoU", f"{name}: F1"]
            tables.append(json.loads(path.read_text(encoding="utf-8")))
    rows = []
    for same in zip(*(table["rows"] for table in tables), strict=True):
        scores = [f"{one[key]:.3f}" for one in same for key in ("iou", "f1")]
        rows.append(" | ".join(["| " + same[0]["condition"], *scores]) + " |")
    return CONDITIONS.format(
        command=tables[0]["command"],
        real="; with `--data DIR` the real ones" if len(tables) > 1 else "",
        columns=" | ".join(columns),
        rule="---|" * len(columns),
        rows="\n".join(rows),
    ).rstrip()


def origins(card: dict) -> str:
    """What the weights began with, and those with, back to random ones."""
    lines, start = [], card.get("start")
    while start:
        lines.append(START.format(it="These" if lines else "It", **start))
        start = start.get("start")
    return "".join([*lines, AGAIN.format(**card)]) if lines else ""


def learned_from(settings: dict) -> str:
    """What the steps of the training held, in words."""
    steps = settings["steps"]
    crops = settings.get("crops", 0 if settings.get("whole") else steps)
    parts = [CROPS.format(crops)] * (crops > 0) + [WHOLE.format(steps - crops)] * (crops < steps)
    return ",\n  then ".join(parts) + MUON * bool(settings.get("muon"))


def card_text() -> str:
    """The template, filled from the weights' metadata and the stored scores."""
    model = dt.load_model("nuclei")
    card, real = model.metadata, RESULTS / "real.json"
    settings = card["settings"]
    rows = [row("drawn test embryos", RESULTS / "drawn_test.json")]
    if real.exists():
        rows.append(row("real micrographs", real))
    return TEMPLATE.format(
        parameters=sum(weights.numel() for weights in model.parameters()) / 1e6,
        mebibytes=(WEIGHTS / "nuclei.safetensors").stat().st_size / 2**20,
        side=model.working_side,
        nucleus=model.working_nucleus,
        sides=", ".join(
            f"{side} ({iou:.3f} + {f1:.3f})" for side, (iou, f1) in card["working_sides"].items()
        ),
        validation_sections=card["validation"]["sections"],
        threshold=dt.THRESHOLD,
        rows="\n".join(rows),
        drawn=DRAWN,
        batch=learned_from(settings),
        faint=FAINT.format(settings["faint"]) if settings.get("faint") else "",
        smooth=SMOOTH.format(**settings) if settings.get("smooth", 1) != 1 else "",
        start=origins(card),
        conditions=conditions(),
        states=states_card.section().rstrip(),
        real_note=REAL_NOTE.rstrip() if real.exists() else "",
        **{key: card[key] for key in ("command", "commit", "minutes", "device", "torch")},
        pool=settings["pool"],
    )


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, help="folder of real micrographs with masks")
    parser.add_argument("--text", action="store_true", help="from what is stored, measure nothing")
    arguments = parser.parse_args()
    if not arguments.text:
        measure(arguments.real)
    (WEIGHTS / "README.md").write_text(card_text(), encoding="utf-8")
    print(f"wrote {(WEIGHTS / 'README.md').relative_to(ROOT)}")


if __name__ == "__main__":
    main()
