"""Open the lessons that install.py has installed: `python start.py`.

The server sees this whole folder, so that links from lessons to pages work, and `devotools` is a
command in its terminals.
"""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FIRST = HERE / "notebooks" / "01_explore_the_embryo.ipynb"


def main(arguments: list[str]) -> int:
    """Start JupyterLab; the exit status."""
    programs = HERE / ".venv" / ("Scripts" if os.name == "nt" else "bin")
    if not programs.is_dir():
        print("error: nothing is installed here yet; run install.py first.", file=sys.stderr)
        return 2
    path = os.pathsep.join([str(programs), os.environ.get("PATH", "")])
    command = [str(programs / "python"), "-m", "jupyterlab", f"--ServerApp.root_dir={HERE}"]
    try:
        return subprocess.call([*command, str(FIRST), *arguments], env=os.environ | {"PATH": path})
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
