"""Build one archive that installs devotools where there is no network: `make offline`.

In it: a wheel of the package (with its drawn data and trained weights), a wheel of everything that
it needs in the versions of `constraints.txt`, the student notebooks, pages, `install.py` and
`start.py`. It fits machines like the one it is made on: same system, same Python. pip's own
settings are honoured, so an index with smaller builds of PyTorch may be named in
`PIP_EXTRA_INDEX_URL`. `--for-teachers` adds the solved notebooks and `teaching/`.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from lesson_notebooks import ROOT
from offline.install import this_machine

PACKAGE = ("devotools", "pyproject.toml", "README.md", "LICENSE")  # what a wheel is made of
PAGES = ("README.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md")
PAGES += ("LICENSE", "CITATION.cff", "constraints.txt")
STUDENTS = ("notebooks/*.ipynb", "notebooks/sanitize.cfg", "docs/**/*.md", "docs/**/*.png")
TEACHERS = ("notebooks/solutions/*.ipynb", "notebooks/*.md", "notebooks/docs/*.md", "teaching/*.md")
START_HERE = """\
# devotools without a network

For Python {python} on {platform}. Unpack, then in this folder, once:

    python install.py

That makes a folder .venv (several gigabytes) and asks no network. Then, each time:

    python start.py

That opens the first lesson. (Where there is no `python`, write `python3`.) README.md tells the
rest, from "On your own pictures" on; some of its links lead to files of the repository alone.
"""


def version() -> str:
    """The version of the package, read as text."""
    text = (ROOT / "devotools" / "__init__.py").read_text(encoding="utf-8")
    return text.split('__version__ = "')[1].split('"')[0]


def files_for(teachers: bool) -> list[Path]:
    """The files of the repository that go into the archive as they are."""
    patterns = [*PAGES, *STUDENTS, *(TEACHERS if teachers else ())]
    return sorted({path for pattern in patterns for path in ROOT.glob(pattern)})


def collect_wheels(folder: Path, constraints: Path = ROOT / "constraints.txt") -> None:
    """Fill a folder with wheels: the package's own, and one of each that it needs."""
    with tempfile.TemporaryDirectory() as temporary:
        # A copy, since building leaves files behind, and finds those of an earlier time.
        source = Path(temporary, "devotools")
        source.mkdir()
        for name in PACKAGE:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, source / name)
        command = [sys.executable, "-m", "pip", "wheel", "--disable-pip-version-check", "--quiet"]
        options = ["--constraint", str(constraints), "--wheel-dir", str(folder), str(source)]
        subprocess.run([*command, *options], check=True)


def pack(archive: Path, top: str, wheels: Path, *, teachers: bool) -> None:
    """Write the archive; it gets its name only when it is whole."""
    made_for = this_machine()
    unfinished = archive.with_suffix(".part")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as bundle:
        for wheel in sorted(wheels.glob("*.whl")):  # packed already
            bundle.write(wheel, f"{top}/wheels/{wheel.name}", zipfile.ZIP_STORED)
        for path in files_for(teachers):
            bundle.write(path, f"{top}/{path.relative_to(ROOT).as_posix()}")
        for script in ("install.py", "start.py"):
            bundle.write(ROOT / "tools" / "offline" / script, f"{top}/{script}")
        bundle.writestr(f"{top}/made-for.json", json.dumps(made_for))
        bundle.writestr(f"{top}/START-HERE.md", START_HERE.format(**made_for))
    unfinished.replace(archive)


def main(arguments: list[str] | None = None) -> int:
    """Build the archive and say how large it is; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder for the archive")
    parser.add_argument(
        "--for-teachers", action="store_true", help="add solved notebooks and teaching/"
    )
    options = parser.parse_args(arguments)
    here = this_machine()
    top = f"devotools-{version()}-offline-{here['platform']}-py{here['python'].replace('.', '')}"
    top += "-teachers" if options.for_teachers else ""  # beside the students', not in its place
    archive = options.out / f"{top}.zip"
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.out) as temporary:
        print("Collecting wheels (PyTorch is large) ...", flush=True)
        try:
            collect_wheels(Path(temporary))
        except subprocess.CalledProcessError:
            print("error: pip could not collect the wheels; see its words above", file=sys.stderr)
            return 1
        count = len(list(Path(temporary).glob("*.whl")))
        pack(archive, top, Path(temporary), teachers=options.for_teachers)
    print(f"{archive}: {archive.stat().st_size / 1e9:.2f} GB, {count} wheels")
    return 0


if __name__ == "__main__":
    sys.exit(main())
