"""Install devotools from this folder, with no network: `python install.py`.

Makes `.venv` beside this file and installs into it from `wheels/` alone. Needs Python with its
module venv, and nothing else; it must be the version, and the kind of machine, for which the
archive was made.
"""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent


def this_machine() -> dict[str, str]:
    """What has to agree: the version of Python, and the kind of machine."""
    return {
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "platform": sysconfig.get_platform(),
    }


def problem(made_for: dict[str, str], here: dict[str, str]) -> str | None:
    """Why an archive made for one machine cannot be installed on another; None where it can."""
    for what, word in (("python", "Python"), ("platform", "machine")):
        if made_for[what] != here[what]:
            return (
                f"this archive is for {word} {made_for[what]}, and here is {here[what]}. "
                f"Run install.py with the right one, or make the archive on a machine like this."
            )
    return None


def python_of(environment: Path) -> Path:
    """The Python inside an environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def main() -> int:
    """Make the environment; the exit status."""
    made_for = json.loads((HERE / "made-for.json").read_text(encoding="utf-8"))
    refused = problem(made_for, this_machine())
    if refused:
        print(f"error: {refused}", file=sys.stderr)
        return 2
    if find_spec("ensurepip") is None:  # Debian and Ubuntu keep it in a package of its own
        package = f"python{made_for['python']}-venv"
        print(
            f"error: this Python cannot make environments; expected its module ensurepip. Install "
            f"the package {package} while there is a network, or carry it along.",
            file=sys.stderr,
        )
        return 2
    if not list((HERE / "wheels").glob("devotools-*.whl")):  # .venv, if there is one, stays
        print(
            f"error: {HERE / 'wheels'} has no devotools; expected the packages of the archive. "
            "Unpack it again.",
            file=sys.stderr,
        )
        return 2
    environment = HERE / ".venv"
    print(f"Making {environment} (some minutes) ...", flush=True)
    venv.create(environment, with_pip=True, clear=True)
    python = str(python_of(environment))
    # --isolated: no setting of this machine may send pip to a network all the same.
    install = [python, "-m", "pip", "install", "--isolated", "--no-index", "--quiet"]
    wheels = ["--disable-pip-version-check", "--find-links", str(HERE / "wheels"), "devotools"]
    done = subprocess.run([*install, *wheels], check=False)
    if done.returncode:
        print("error: pip could not install; its words stand above.", file=sys.stderr)
        return 1
    print("Ready. Open the lessons, now and later, with:\n\n    python start.py\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
