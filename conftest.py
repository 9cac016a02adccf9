"""For every test, the notebooks' among them: no network, and kernels that draw."""

import os
import runpy
from pathlib import Path

# Neither here nor in what the tests start, the kernels of notebooks above all.
guard = Path(__file__).parent / "tests" / "no_network"
runpy.run_path(str(guard / "sitecustomize.py"))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(guard), os.getenv("PYTHONPATH"))))

# The kernels that run notebooks inherit it, and any backend but their own draws nothing into them.
os.environ.pop("MPLBACKEND", None)


collect_ignore = [str(guard)]  # no module of ours: some Pythons have a sitecustomize already


def pytest_configure(config):
    """Name nbval's file in full: nbval takes it relative to the folder that pytest is called in."""
    option = config.option
    option.nbval_sanitize_with = str(config.rootpath / option.nbval_sanitize_with)
