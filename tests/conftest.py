"""What every test stands on: no window, no network, no figure left open."""

import ipaddress
import socket
import sys

import matplotlib as mpl
import pytest
from looking import chromium

# Not through the environment: the kernels that run the notebooks would inherit it and draw nothing.
mpl.use("Agg")


def _is_local(address) -> bool:
    """Whether an address stays on this machine; a path (a Unix socket) does."""
    if not isinstance(address, tuple):
        return True
    host = address[0]
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Everything here runs without a network; whoever asks for one is told so."""
    connect = socket.socket.connect

    def only_local(self, address):
        if not _is_local(address):
            raise OSError(f"a test asked for the network: {address!r}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_local)


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
