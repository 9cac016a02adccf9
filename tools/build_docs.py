"""Build the documentation into build/docs, warnings as errors: `make docs`."""

import argparse
import shutil
import sys
from pathlib import Path

from lesson_notebooks import ROOT
from sphinx.cmd.build import build_main

OUT = ROOT / "build" / "docs"
# The pages lie below docs/, as in the repository; whoever opens the top is sent there.
DOOR = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url=docs/index.html">
<title>devotools</title>
<p><a href="docs/index.html">The pages of devotools</a></p>
</html>
"""


def build(out: Path) -> int:
    """Build all pages afresh; Sphinx's exit status."""
    shutil.rmtree(out, ignore_errors=True)
    settings = ["--fail-on-warning", "--keep-going", "--quiet", "--conf-dir", str(ROOT / "docs")]
    state = ["--doctree-dir", str(out.with_name(out.name + "-state")), "--fresh-env"]
    status = build_main([*settings, *state, str(ROOT), str(out)])
    if status == 0:
        (out / "index.html").write_text(DOOR, encoding="utf-8")
    return status


def main(arguments: list[str] | None = None) -> int:
    """Build, and say where; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the pages")
    options = parser.parse_args(arguments)
    status = build(options.out)
    if status == 0:
        print(f"Look at {options.out / 'index.html'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
