"""Keep a Python process, such as a notebook's kernel, on this machine: it asks for no network.

Python imports this module when it starts, where its folder is in PYTHONPATH; `conftest.py` puts
it there for whatever the tests start.
"""

import sys
from ipaddress import ip_address


def is_local(address) -> bool:
    """Whether an address stays on this machine; a path (a Unix socket) does."""
    if not isinstance(address, tuple):
        return True
    host = str(address[0]).lower()
    try:
        return host in ("localhost", "", "0.0.0.0", "::") or ip_address(host).is_loopback
    except ValueError:
        return False


def only_local(event, arguments):
    """Refuse to connect to another machine."""
    if event == "socket.connect" and not is_local(arguments[1]):
        raise OSError(f"a test asked for the network: {arguments[1]!r}")


sys.addaudithook(only_local)
