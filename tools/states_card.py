"""The section "States" of the model card, from what `benchmarks/states.py` has stored."""

import json
from itertools import zip_longest
from pathlib import Path

import devotools as dt

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "devotools" / "weights"
RESULTS = ROOT / "benchmarks" / "results"
BY_EYE = RESULTS / "states_by_eye.txt"  # written by a person who looked
LEARNED = {
    "head": "Only that layer was trained.",
    "norms": "That layer and the batch norms were trained.",
    "all": "All weights were trained, from those on that `nuclei` had then.",
}
TEMPLATE = """\
## States

The file `states.safetensors` tells the state of each nucleus that was found, *interphase* or
*condensed*: [States of a nucleus](../../docs/states.md) says what the words mean. The figures are
measured by `python benchmarks/states.py` and stored in `benchmarks/results/states.json`.

![Four panels. Reliability: how often the classifier was right by how sure it was, before and after
calibration. The confusion matrix of all drawn test nuclei. Balanced accuracy by the diameter of a
nucleus, and by the share of its diameter at which it was cut](states.png)

- **Architecture**: `ResNet18Classifier`: the encoder of `nuclei`, the mean of its deepest
  features, one layer with two outputs. {learned} The file has {kibibytes:,.0f} KiB and holds
  all weights that were trained.
- **Data**: {training:,} nuclei of {embryos:,} drawn embryos ({condensed:,} of them condensed), in
  crops of {context:g} times their diameter. {validation:,} nuclei of other embryos chose the
  epoch, the temperature and the limit of *unsure*. **No real micrograph was used.**
- **Command**: `{command}` at commit {commit}, {minutes:.0f} minutes, torch {torch}.
- **Calibration**: temperature {temperature:.2f}; a state whose probability is below {limit:.2f}
  is called *unsure*.

### How well states are told

On {test_embryos} drawn test embryos, {test_sections:,} sections, used for nothing else. *Clear* is
a nucleus at least {clear_diameter} pixels wide (of 256), cut at {clear_share} of its diameter or
more, brighter than what lies round it by {clear_contrast} of the picture's range or more, and with
something dark in it ({clear_dark} of the range below its median, or more). These bounds were set on
validation embryos, and none looks at the truth.

| drawn test nuclei | number | accuracy | balanced accuracy | unsure | balanced, without unsure |
|---|---|---|---|---|---|
{rows}

By size, and by where the section cuts a nucleus (1 is through its middle):

| diameter (px) | number | balanced | unsure | | cut, of the diameter | number | balanced | unsure |
|---|---|---|---|---|---|---|---|---|
{bins}

| all test nuclei | said interphase | said condensed |
|---|---|---|
| true interphase | {c00} | {c01} |
| true condensed | {c10} | {c11} |

Expected calibration error (ten bins): {ece_before:.3f} before the temperature, {ece:.3f} after.
Mixed nuclei, with clumps among blobs ({mixed_number:,} of them), are neither state:
{mixed_condensed:.0%} are called condensed, {mixed_interphase:.0%} interphase and
{mixed_unsure:.0%} unsure.

{chosen}### On real micrographs, by eye

{by_eye}
"""
CHOSEN = """\
### What was chosen by validation

`python benchmarks/states.py --compare`: {compared_epochs} epochs on {compared:,} nuclei, balanced
accuracy on {compared_validation:,} validation nuclei.

| which weights learn | crop (diameters) | all | clear |
|---|---|---|---|
{choices}

"""


def section() -> str:
    """The section, from the classifier's metadata and the stored figures."""
    model, found = dt.load_classifier("states"), read("states")
    card, mixed, clear = model.metadata, found["mixed"], found["clear_means"]
    rows = {
        "clear": "clear",
        "all": "all",
        "found_by_nuclei": "those that `nuclei` finds (IoU of 0.5 with a true one)",
    }
    return TEMPLATE.format(
        learned=LEARNED[card["settings"]["parts"]],
        kibibytes=(WEIGHTS / "states.safetensors").stat().st_size / 2**10,
        training=sum(card["training"].values()),
        condensed=card["training"]["condensed"],
        embryos=card["settings"]["embryos"],
        validation=card["validation"]["nuclei"],
        context=model.context,
        temperature=model.temperature,
        limit=model.limit,
        **{key: card[key] for key in ("command", "commit", "minutes", "torch")},
        test_embryos=found["embryos"],
        test_sections=found["sections"],
        clear_diameter=clear["diameter_px"],
        **{f"clear_{key}": clear[key] for key in ("share", "contrast", "dark")},
        rows="\n".join(scored(name, found[key]) for key, name in rows.items()),
        bins=binned(found["by_diameter_px"], found["by_share"]),
        **{f"c{r}{c}": f"{found['confusion'][r][c]:,}" for r in (0, 1) for c in (0, 1)},
        ece_before=found["calibration_error_before"],
        ece=found["calibration_error"],
        mixed_number=mixed["nuclei"],
        **{f"mixed_{key}": mixed[key] for key in ("condensed", "interphase", "unsure")},
        chosen=chosen(),
        by_eye=BY_EYE.read_text(encoding="utf-8").strip(),
    )


def chosen() -> str:
    """What ``--compare`` found; nothing where it was not run."""
    if not (RESULTS / "states_choice.json").is_file():
        return ""
    choice = read("states_choice")
    return CHOSEN.format(
        compared_epochs=choice["epochs"],
        compared=choice["training_nuclei"],
        compared_validation=choice["variants"][0]["nuclei"],
        choices="\n".join(
            f"| {one['parts']} | {one['context']:g} | {one['balanced_accuracy']:.3f} | "
            f"{one['clear']['balanced_accuracy']:.3f} |"
            for one in choice["variants"]
        ),
    )


def read(name: str) -> dict:
    """Stored figures."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def scored(name: str, scores: dict) -> str:
    """One line of the table of scores."""
    keys = ("accuracy", "balanced_accuracy", "unsure", "balanced_accuracy_sure")
    return (
        f"| {name} | {scores['nuclei']:,} | " + " | ".join(f"{scores[k]:.3f}" for k in keys) + " |"
    )


def binned(sizes: list[dict], cuts: list[dict]) -> str:
    """Two small tables side by side."""
    pairs = zip_longest(sizes, cuts)
    return "\n".join(f"| {_cells(size)} | | {_cells(cut)} |" for size, cut in pairs)


def _cells(row: dict | None) -> str:
    if row is None:
        return " | | | "
    span = f"{row['from']:g} and more" if row["to"] is None else f"{row['from']:g} to {row['to']:g}"
    return f"{span} | {row['nuclei']:,} | {row['balanced_accuracy']:.3f} | {row['unsure']:.2f}"
