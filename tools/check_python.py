"""Say in one sentence what a virtual environment cannot be made without (on any Python 3)."""

import importlib.util
import sys

OLDEST = (3, 11)


def problem():
    """The sentence that names what is missing and the remedy, or None."""
    if sys.version_info < OLDEST:
        return (
            "devotools needs Python {}.{} or newer, and {} is Python {}.{}. Install a newer one, "
            "then name it: make setup PYTHON=python3.12".format(
                *OLDEST, sys.executable, *sys.version_info[:2]
            )
        )
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            return (
                "This Python has no {} module, so it cannot make a virtual environment. "
                "On Debian or Ubuntu: apt-get install python{}.{}-venv".format(
                    module, *sys.version_info[:2]
                )
            )
    return None


if __name__ == "__main__":
    sys.exit(problem())
