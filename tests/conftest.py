"""What every test stands on: no window, no figure left open; `../conftest.py`: no network."""

import sys

import matplotlib as mpl
import pytest
from looking import chromium

# Not through the environment: the kernels that run the notebooks would inherit it and draw nothing.
mpl.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    """Close the figures that a test has drawn."""
    yield
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")


@pytest.fixture(scope="session")
def browser():
    """One Chromium for all tests: Playwright can be started only once in a process."""
    with chromium() as one:
        yield one
