"""Write constraints.txt: the exact version of everything in this environment."""

from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADER = """\
# The exact versions that the tests ran with: pip install -c constraints.txt -e ".[test]"
# Made by `make constraints` from the environment in .venv. To move to newer versions: leave only
# `pydantic<2.13`, `soupsieve<3` and `sphinx<9.1` in this file, remove .venv, then
# `make constraints test`.
# CUDA's own packages are left out: torch names those that it needs; many machines have none.
"""
# What torch brings for a GPU differs between machines; pip and this package are no dependencies.
LEFT_OUT = ("nvidia-", "cuda-", "triton", "pip", "wheel", "devotools")
REASONS = {
    "pydantic": "below 2.13: bioimageio.core breaks from there on",
    "soupsieve": "below 3: from there on it wants Python 3.11.5, and Debian 12 has 3.11.2",
    "sphinx": "below 9.1: from there on it wants Python 3.12",
}


def is_left_out(name: str) -> bool:
    """Whether a distribution has no line: GPU parts, pip itself, this package."""
    return any(name == out or (out.endswith("-") and name.startswith(out)) for out in LEFT_OUT)


def constraint_lines() -> list[str]:
    """One `name==version` line for each distribution, sorted by name."""
    versions = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in distributions()}
    lines = []
    for name in sorted(versions):
        if is_left_out(name):
            continue
        reason = f"  # {REASONS[name]}" if name in REASONS else ""
        lines.append(f"{name}=={versions[name]}{reason}")
    return lines


if __name__ == "__main__":
    lines = constraint_lines()
    (ROOT / "constraints.txt").write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"constraints.txt: {len(lines)} versions")
