"""The layers of the package: imports go downwards only, and importing does nothing else."""

import ast
import os
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "devotools"

# The table of the design. A module may import from lower layers, and from its own where no cycle
# comes of it.
LAYERS = {
    0: ["_files", "_listing", "_validate", "runtime"],
    1: ["images", "augment", "model", "losses", "metrics", "measure", "synthetic"],
    2: ["datasets", "inference", "working_scale", "predict", "train", "plots", "evaluation"],
    3: ["recipe", "exercises", "exchange", "classification", "pipeline"],
    4: ["ui", "cli"],
    5: ["__init__", "__main__"],
}
LAYER_OF = {module: layer for layer, modules in LAYERS.items() for module in modules}
WINGS = ["synthetic", "classification", "exchange", "exercises", "pipeline", "ui"]
MAY_PRINT = ["cli"]

PLAN = ROOT / "docs" / "architecture.md"  # the same table, for readers

FILES = sorted(PACKAGE.rglob("*.py"))
IDS = [path.relative_to(PACKAGE).as_posix() for path in FILES]
each_file = pytest.mark.parametrize("path", FILES, ids=IDS)


def module_name(path: Path) -> str:
    """`devotools.synthetic.anatomy`, or `devotools.synthetic` for its `__init__`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def top_module(name: str) -> str:
    """The name in the table: `synthetic` for `devotools.synthetic.anatomy`, or `__init__`."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def layer_of(name: str) -> int:
    """The layer of a module; a module in none fails the test that asks."""
    module = top_module(name)
    if module not in LAYER_OF:
        pytest.fail(f"devotools/{module} is in no layer: add it to LAYERS in {Path(__file__).name}")
    return LAYER_OF[module]


MODULES = {module_name(path): path for path in FILES}


def imports_of(path: Path, modules=MODULES) -> set[str]:
    """The modules of the package that a file imports, at the top and inside functions alike."""
    found = set()
    name = module_name(path)
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in modules else base)
    return {name for name in found if name.split(".")[0] == "devotools"}


def test_the_plan_for_readers_has_the_same_layers():
    rows = re.findall(r"^\| (\d) \| (.+?) \|", PLAN.read_text(encoding="utf-8"), re.MULTILINE)
    told = {int(layer): set(re.findall(r"`(\w+)/?`", modules)) for layer, modules in rows}
    assert told == {layer: set(modules) for layer, modules in LAYERS.items()}


@each_file
def test_module_stands_in_the_table(path):
    layer_of(module_name(path))


@each_file
def test_imports_go_downwards(path):
    here = layer_of(module_name(path))
    for name in imports_of(path):
        assert layer_of(name) <= here, (
            f"{path.relative_to(ROOT)} (layer {here}) imports {name} (layer {layer_of(name)}): "
            "move what it needs into a lower layer"
        )


@each_file
def test_wings_are_entered_by_their_door(path):
    here = top_module(module_name(path))
    for name in imports_of(path):
        wing = top_module(name)
        if wing in WINGS and wing != here:
            assert name == f"devotools.{wing}", (
                f"{path.relative_to(ROOT)} imports {name}: devotools.{wing} is the wing's one door"
            )


def test_no_cycles():
    graph = {name: imports_of(path) & set(MODULES) - {name} for name, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("modules import each other in a circle: " + " -> ".join(error.args[1]))


def test_import_reader_sees_every_form(tmp_path, monkeypatch):
    """The reader above is what holds the layers, so it is tested too."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "devotools" / "wing" / "inner.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import numpy\nimport devotools.images\nfrom devotools import plots, synthesize_series\n"
        "from . import sibling\nfrom ..model import load_model\n"
        "def late():\n    from devotools.train import fit\n"
    )
    modules = {"devotools.plots", "devotools.wing.sibling"}
    assert imports_of(path, modules) == {
        "devotools",
        "devotools.images",
        "devotools.model",
        "devotools.plots",
        "devotools.train",
        "devotools.wing.sibling",
    }


@each_file
def test_house_rules(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    broken = []
    for node in ast.walk(tree):
        where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            broken.append(f"{where} star import: name what is imported")
        if isinstance(node, ast.Assert):
            broken.append(
                f"{where} assert: raise an error that names value, expectation and remedy"
            )
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            broken.append(f"{where} bare except: name the errors")
        is_print = isinstance(node, ast.Call) and getattr(node.func, "id", None) == "print"
        if is_print and top_module(module_name(path)) not in MAY_PRINT:
            broken.append(f"{where} print: return it, or log it")
    assert not broken, "\n".join(broken)


def run_python(code: str) -> str:
    """What a fresh Python prints in which warnings are errors, as is any use of the network."""
    guard = (
        "import sys\n"
        "def watch(event, arguments):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo'):\n"
        "        raise SystemExit(f'asked for the network: {arguments[1:]}')\n"
        "sys.addaudithook(watch)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("EAGER_IMPORT", "MPLBACKEND")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", guard + code],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_importing_the_package_is_light_and_silent():
    heavy = [
        "torch",
        "torchvision",
        "albumentations",
        "cv2",
        "matplotlib.pyplot",
        "skimage",
        "pandas",
    ]
    wings = [f"devotools.{wing}" for wing in WINGS if wing != "synthetic"]
    code = f"import devotools\nprint([m for m in {heavy + wings} if m in sys.modules])"
    assert run_python(code) == "[]\n"


def test_importing_every_module_is_silent_and_needs_no_network():
    doors = sorted(
        f"devotools.{module}"
        for module in {top_module(name) for name in MODULES} - {"__init__", "__main__"}
    )
    code = f"import importlib\nfor name in {doors}: importlib.import_module(name)"
    assert run_python(code) == ""


def test_every_public_name_is_there():
    code = (
        "import devotools\n"
        "print([name for name in devotools.__all__ if not hasattr(devotools, name)])\n"
        "print(set(devotools.__all__) <= set(dir(devotools)))"
    )
    assert run_python(code) == "[]\nTrue\n"
