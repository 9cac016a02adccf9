"""How Sphinx builds the pages: `make docs`. The pages lie where GitHub shows them, too."""

import posixpath
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import links  # noqa: E402, it lies in tools/

import devotools  # noqa: E402

project = "devotools"
author = "the devotools contributors"
copyright = "2026, the devotools contributors"  # Sphinx's own name for it
release = devotools.__version__

# The repository is the source folder, so that a link between pages is the same here and on GitHub.
root_doc = "docs/index"
include_patterns = [
    "docs/**.md",
    "README.md",
    "CONTRIBUTING.md",
    "CODE_OF_CONDUCT.md",
    "CHANGELOG.md",
    "teaching/*.md",
    "benchmarks/README.md",
    "devotools/weights/README.md",
]
exclude_patterns = [".venv", ".git", ".*", "build", "dist", "notebooks", "shared"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = False
python_use_unqualified_type_names = True
nitpicky = False

html_theme = "furo"
html_title = "devotools"
html_baseurl = ""
# Furo's grey for less important text, made darker: 4.5 to 1 on every ground.
html_theme_options = {
    "light_css_variables": {
        "color-foreground-muted": "#595959",
        "color-brand-primary": "#005a8c",
        "color-brand-content": "#005a8c",
        "color-brand-visited": "#7a3e68",
        "color-api-name": "#00518a",
        "color-api-pre-name": "#00518a",
        "color-api-keyword": "#595959",
    },
    "dark_css_variables": {
        "color-foreground-muted": "#b0b0b0",
        "color-brand-primary": "#56b4e9",
        "color-brand-content": "#56b4e9",
        "color-brand-visited": "#dda3c3",
        "color-api-name": "#8ecbf0",
        "color-api-pre-name": "#8ecbf0",
        "color-api-keyword": "#b0b0b0",
    },
}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")
SHOWN = (".md", ".png", ".svg")


def lead_out(app, page: str, source: list[str]) -> None:
    """Let links to what is no page lead to nbviewer (notebooks) or to the repository."""

    def lead(found: re.Match) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), found[1]))
        if path.endswith(".ipynb"):
            return links.addresses(path)["nbviewer"] + (found[2] or "")
        if path.endswith(SHOWN):
            return found[0]
        return f"{links.repository()}/blob/{links.BRANCH}/{path}" + (found[2] or "")

    source[0] = LINK.sub(lead, source[0])


def setup(app) -> None:
    """Register what stands above."""
    app.connect("source-read", lead_out)
