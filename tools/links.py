"""Where each lesson and the app can be opened: the one place that knows the addresses.

All follow from the repository's home in `pyproject.toml`.
"""

import base64
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BRANCH = "main"
APP = "devotools/ui/app/app.ipynb"  # the notebook that Voila shows as the app
FIRST_LESSON = "notebooks/01_explore_the_embryo.ipynb"
BADGES = ROOT / "docs" / "images" / "badges"

# What each badge says to those who do not see it.
WORDS = {
    "binder": "Run on Binder",
    "colab": "Open in Colab",
    "nbviewer": "Read on nbviewer",
    "app": "Open the app on Binder",
}


def repository() -> str:
    """The address of the repository."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]["urls"]["Repository"]


def home() -> str:
    """Owner and name of the repository."""
    return repository().removeprefix("https://github.com/")


def addresses(notebook: str) -> dict[str, str]:
    """Where a notebook, a path within the repository, can be opened."""
    return {
        "binder": f"https://mybinder.org/v2/gh/{home()}/{BRANCH}?urlpath=lab/tree/{notebook}",
        "colab": f"https://colab.research.google.com/github/{home()}/blob/{BRANCH}/{notebook}",
        "nbviewer": f"https://nbviewer.org/github/{home()}/blob/{BRANCH}/{notebook}",
    }


def app_address() -> str:
    """Where the app runs on Binder."""
    return f"https://mybinder.org/v2/gh/{home()}/{BRANCH}?urlpath=voila/render/{APP}"


def badge(name: str, address: str, folder: str) -> str:
    """A badge that is a link, in Markdown; `folder` is where its picture is found from there."""
    return f"[![{WORDS[name]}]({folder}{name}.png)]({address})"


def badges(notebook: str, folder: str) -> str:
    """The badges of a notebook in one line of Markdown."""
    return " ".join(badge(name, to, folder) for name, to in addresses(notebook).items())


def attachments() -> dict[str, dict[str, str]]:
    """The badges' pictures inside a notebook: they need no network, and no file beside it."""
    encoded = {
        f"{name}.png": base64.b64encode((BADGES / f"{name}.png").read_bytes()).decode()
        for name in addresses("")
    }
    return {name: {"image/png": text} for name, text in encoded.items()}


def pictures(names: list[str]) -> dict[str, dict[str, str]]:
    """Pictures of docs/images inside a notebook, by name."""
    folder = BADGES.parent
    encoded = {name: base64.b64encode((folder / name).read_bytes()).decode() for name in names}
    return {name: {"image/png": text} for name, text in encoded.items()}
