"""What stands around the package: versions, environments, licences, the home, the make targets."""

import os
import re
import stat
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import devotools

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]

CONDA_NAMES = {"torch": "pytorch-cpu", "bioimageio-core": "bioimageio.core"}
ONLY_CONDA = {"python", "pip", "pydantic"}
UNREAD = {".git", ".venv", "build", "dist", "shared", "__pycache__"}
UNREAD |= {".pytest_cache", ".ruff_cache", ".ipynb_checkpoints"}
TEXT = {".py", ".md", ".toml", ".txt", ".yml", ".cff", ".cfg", ".ipynb", ".json", ".csv", ""}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def requirements(lines) -> dict[str, Requirement]:
    """Requirements by their canonical name; comments and empty lines are left out."""
    parsed = [
        Requirement(line.split("#")[0].strip()) for line in lines if line.split("#")[0].strip()
    ]
    return {canonicalize_name(requirement.name): requirement for requirement in parsed}


def conda_environment(name: str) -> dict[str, str]:
    """The version ranges in a conda environment by package."""
    content = yaml.safe_load(read(name))
    assert content["channels"] == ["conda-forge", "nodefaults"]
    specs = (re.fullmatch(r"([a-z0-9.-]+)(.*)", line) for line in content["dependencies"])
    return {spec[1]: spec[2] for spec in specs}


def project_files():
    """Every text file that belongs to the repository."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [n for n in folders if n not in UNREAD and not n.endswith(".egg-info")]
        for name in names:
            path = Path(folder) / name
            if path.suffix in TEXT and not path.is_symlink():
                yield path


RUNTIME = requirements(PROJECT["dependencies"])
EXTRAS = {name: requirements(lines) for name, lines in PROJECT["optional-dependencies"].items()}


# Versions


def test_version_is_the_same_everywhere():
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {
        "attr": "devotools.__version__"
    }
    assert yaml.safe_load(read("CITATION.cff"))["version"] == devotools.__version__
    released, _, development = devotools.__version__.partition(".dev")
    assert development or f"## [{released}]" in read("CHANGELOG.md")
    assert "## [Unreleased]" in read("CHANGELOG.md")


def test_constraints_hold_every_dependency_within_its_range():
    pinned = requirements(read("constraints.txt").splitlines())
    wanted_by = [RUNTIME, *EXTRAS.values()]
    for name, wanted in (item for group in wanted_by for item in group.items()):
        (pin,) = pinned[name].specifier
        assert pin.operator == "=="
        assert pin.version in wanted.specifier, (
            f"{name}: {pin.version} is outside {wanted.specifier}"
        )


def test_constraints_are_exact_and_fit_every_machine():
    pinned = requirements(read("constraints.txt").splitlines())
    for name, requirement in pinned.items():
        assert re.fullmatch(r"==[\w.!]+", str(requirement.specifier)), f"{name} is not exact"
        assert not name.startswith(("nvidia-", "cuda-", "triton")), f"{name} is for GPUs only"
    (pydantic,) = pinned["pydantic"].specifier
    assert tuple(map(int, pydantic.version.split(".")[:2])) < (2, 13)


def test_constraints_fit_the_oldest_python():
    """Debian 12 has 3.11.2: what wants a later patch of 3.11 cannot be installed there."""
    pinned = requirements(read("constraints.txt").splitlines())
    assert PROJECT["requires-python"] == ">=3.11"
    for found in distributions():
        name, wanted = (
            canonicalize_name(found.metadata["Name"]),
            found.metadata.get("Requires-Python"),
        )
        if wanted and name in pinned and found.version in pinned[name].specifier:
            assert "3.11.0" in SpecifierSet(wanted), f"{name} {found.version} wants Python {wanted}"


def test_ranges_have_an_upper_end_where_a_next_release_may_break():
    for name in ("torch", "torchvision", "numpy", "pandas", "jupyterlab", "ipywidgets"):
        assert "<" in str(RUNTIME[name].specifier)
    assert str(RUNTIME["albumentations"].specifier) == "==2.0.8"
    assert str(EXTRAS["test"]["pytest"].specifier) == "<10,>=9"


# Environments


def test_conda_environment_agrees_with_pyproject():
    conda = conda_environment("environment.yml")
    wanted = {**RUNTIME, **EXTRAS["test"]}
    for name, requirement in wanted.items():
        spec = Requirement(f"x{conda[CONDA_NAMES.get(name, name)]}").specifier
        assert spec == requirement.specifier, name
    known = {CONDA_NAMES.get(name, name) for name in wanted}
    assert set(conda) - known == ONLY_CONDA
    assert conda["pydantic"] == "<2.13"


def test_binder_agrees_with_the_conda_environment():
    conda, binder = (
        conda_environment("environment.yml"),
        conda_environment("binder/environment.yml"),
    )
    assert binder == {name: conda[name] for name in binder}
    runtime = {CONDA_NAMES.get(name, name) for name in RUNTIME}
    assert set(binder) == runtime | ONLY_CONDA


def test_cv2_comes_from_one_side_only():
    for name in ("environment.yml", "binder/environment.yml"):
        content = yaml.safe_load(read(name))
        assert all(isinstance(line, str) for line in content["dependencies"]), "no pip section"
        assert not any("opencv" in line for line in content["dependencies"])
    assert "pip install --no-deps -e ." in read("environment.yml")


def test_binder_scripts():
    assert "pip install --no-deps -e ." in read("binder/postBuild")
    start = read("binder/start")
    assert "export OMP_NUM_THREADS=1" in start
    assert start.rstrip().endswith('exec "$@"')


@pytest.fixture(scope="module")
def dockerfile():
    """What Binder will build, as repo2docker renders it; no Docker is asked."""
    if os.name == "nt":
        pytest.skip("repo2docker asks for the number of the user, which Windows has not")
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_binder_builds_this_environment_and_this_package(dockerfile):
    assert re.search(r'env update -p \S+ --file "binder/environment.yml"', dockerfile)
    assert "py-2d3-2e12" in dockerfile, "Python 3.12, as binder/environment.yml says"
    assert re.search(r"^RUN ./binder/postBuild$", dockerfile, flags=re.MULTILINE)
    assert "requirements.txt" not in dockerfile
    assert "opencv" not in dockerfile


def test_binder_starts_with_our_script(dockerfile):
    assert re.search(r'^ENV R2D_ENTRYPOINT="\S+/binder/start"$', dockerfile, flags=re.MULTILINE)


def test_binder_start_caps_threads_and_runs_what_it_is_given():
    """The script itself, with a command of ours in place of Jupyter."""
    shown = "echo $OMP_NUM_THREADS $MKL_NUM_THREADS $OPENBLAS_NUM_THREADS $NUMEXPR_NUM_THREADS"
    command = ["bash", str(ROOT / "binder" / "start"), "bash", "-c", f"{shown} $0", "last"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "1 1 1 1 last\n"


def test_what_binder_opens_is_in_the_repository():
    """Lessons, and the notebook of the app, wherever a badge points."""
    text = read("README.md")
    for kind, path in re.findall(r"urlpath=(lab/tree|voila/render)/([^)&\s]+)", text):
        assert (ROOT / path).exists(), f"{kind}: no {path}"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no executable bit")
@pytest.mark.parametrize("name", ["binder/postBuild", "binder/start", ".ci/run"])
def test_scripts_can_be_run(name):
    assert (ROOT / name).stat().st_mode & stat.S_IXUSR
    assert read(name).startswith("#!")
    subprocess.run(["bash", "-n", ROOT / name], check=True)


def test_ci_runs_both_test_targets_and_hides_nothing():
    script = read(".ci/run")
    assert "set -euo pipefail" in script
    assert re.search(r"^make test$", script, flags=re.MULTILINE)
    assert re.search(r"^make test-browser$", script, flags=re.MULTILINE)
    assert not re.search(r"\|\|\s*(true|:)|set \+e", script)


# The make targets


def test_make_targets_of_the_contract_are_listed():
    listed = set(re.findall(r"^([a-z-]+):.*## ", read("Makefile"), flags=re.MULTILINE))
    contract = {"setup", "run", "test", "test-browser", "lab", "notebooks", "weights"}
    assert contract | {"lint", "clean", "help"} <= listed
    phony = set(re.search(r"^\.PHONY: (.*)$", read("Makefile"), flags=re.MULTILINE)[1].split())
    assert listed == phony


def test_make_setup_needs_nothing_beyond_python():
    """What runs before the installation imports the standard library only."""
    imports = set(
        re.findall(r"^(?:import|from) (\w+)", read("tools/check_python.py"), re.MULTILINE)
    )
    assert imports == {"importlib", "sys"}


def test_too_old_python_is_told_what_to_do(monkeypatch):
    import check_python

    assert check_python.problem() is None
    monkeypatch.setattr(check_python.sys, "version_info", (3, 9, 2))
    assert "needs Python 3.11 or newer" in check_python.problem()
    assert "make setup PYTHON=" in check_python.problem()


def test_missing_venv_names_the_remedy(monkeypatch):
    import check_python

    monkeypatch.setattr(check_python.importlib.util, "find_spec", lambda name: None)
    assert re.search(r"apt-get install python3\.\d+-venv", check_python.problem())


# The home and the licences


def test_every_link_to_the_home_follows_the_one_field():
    home = PROJECT["urls"]["Repository"]
    owner_and_name = home.removeprefix("https://github.com/")
    link = re.compile(
        r"(?:github\.com|githubusercontent\.com|mybinder\.org/(?:v2|badge)/gh|nbviewer\.org/github"
        r"|colab\.research\.google\.com/github|shields\.io/github/[\w/-]*?)/([\w-]+/devotools)\b"
    )
    found = {}
    for path in project_files():
        for match in link.findall(path.read_text(encoding="utf-8")):
            found.setdefault(match, set()).add(path.name)
    assert set(found) == {owner_and_name}, found
    assert {"README.md", "CITATION.cff", "CONTRIBUTING.md"} <= found[owner_and_name]


def test_licences():
    text = read("LICENSE")
    assert "MIT License" in text
    assert "Copyright (c) 2026 the devotools contributors" in text
    assert "https://creativecommons.org/licenses/by/4.0/" in text
    readme = read("README.md")
    assert "MIT" in readme
    assert "CC BY 4.0" in readme


def test_citation():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert citation["repository-code"] == PROJECT["urls"]["Repository"]
    (reference,) = citation["references"]
    assert reference["repository-code"] == "https://github.com/devoworm/GSoC-2020"


def test_nothing_names_a_registry_or_a_folder_of_one_machine():
    registries = [r"py" r"pi\.org", r"python" r"hosted", r"ana" r"conda\.(?:org|com)"]
    folders = [r"/wor" r"k/", r"/roo" r"t/"]
    unwanted = re.compile(
        "|".join([*registries, *(rf"(?<![\w.}}*]){folder}" for folder in folders)])
    )
    found = []
    for path in project_files():
        text = re.sub(r'"image/\w+": "[^"]*"', "", path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(ROOT)}: {m[0]}" for m in unwanted.finditer(text)]
    assert not found, "\n".join(found)
