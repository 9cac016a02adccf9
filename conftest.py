"""For every test, the notebooks' among them."""

import os

# The kernels that run notebooks inherit it, and any backend but their own draws nothing into them.
os.environ.pop("MPLBACKEND", None)


def pytest_configure(config):
    """Name nbval's file in full: nbval takes it relative to the folder that pytest is called in."""
    option = config.option
    option.nbval_sanitize_with = str(config.rootpath / option.nbval_sanitize_with)
