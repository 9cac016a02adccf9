"""The app in a window of its own: Voila, on this machine only, behind a token."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from traitlets.config import Config

from devotools._validate import InputError, check_folder

PAGE = Path(__file__).parent / "app.ipynb"
FOLDER = "DEVOTOOLS_APP_FOLDER"  # how the server tells its kernels the folder
# What the page may load: nothing from another machine. Voila's own page asks for a font from a CDN.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' "
    "'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' ws: "
    "wss: blob: data:; frame-ancestors 'self'"
)
EXTENSIONS = [  # of the JupyterLab beside it; others slow the page down, or want another version
    "@voila-dashboards/widgets-manager8",
    "@jupyter-widgets/jupyterlab-manager",
    "anywidget",
]
FORGET_AFTER = 1800  # seconds until the kernel of a page that is gone is ended
PING = 30_000  # milliseconds between server and page
MESSAGE_LIMIT = 200 * 2**20  # bytes; Voila's own is about 10 MB, and drops the rest in silence


def serve_app(
    folder: str | Path | None = None,
    *,
    address: str = "127.0.0.1",
    port: int = 8866,
    token: bool = True,
    browser: bool = True,
    announce: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve the app until the program is interrupted; ``announce`` is told its address.

    Only this machine can reach it, and only with the token that is part of the address, unless
    ``address`` and ``token`` say otherwise. ``folder`` is the only place on this machine that the
    app opens. Everything that it writes lies in one temporary folder, which is removed at the end.
    A ``port`` that is taken is passed over for the next that is free. Raises
    :class:`~devotools._validate.InputError`.
    """
    if folder is not None:
        folder = check_folder(folder).resolve()
    port = _free_port(address, port)
    with tempfile.TemporaryDirectory(prefix="devotools_app_") as home:
        page, scratch = Path(home) / "page", Path(home) / "scratch"
        page.mkdir()
        scratch.mkdir()
        notebook = shutil.copy(PAGE, page / "devotools.ipynb")
        config = server_config(address, port, token=token, browser=browser, scratch=scratch)
        with _kernels_told(folder, scratch):
            server = _make_server(config, announce)
            server.initialize([str(notebook)])
            server.start()


def server_config(address: str, port: int, *, token: bool, browser: bool, scratch: Path) -> Config:
    """Voila's settings: who may come in, what is served, how large a message may be."""
    config = Config()
    config.Voila.ip = address
    config.Voila.port = port
    config.Voila.auto_token = token
    config.Voila.open_browser = browser
    config.Voila.log_level = "ERROR"
    config.KernelManager.transport_encryption = "auto"  # between server and kernel, where it can
    config.Voila.connection_dir_root = str(scratch)
    # A page says goodbye when it is closed, but not when the browser or the network fails.
    config.MappingKernelManager.cull_idle_timeout = FORGET_AFTER
    config.MappingKernelManager.cull_connected = False
    config.Voila.tornado_settings = {
        "websocket_max_message_size": MESSAGE_LIMIT,
        "ws_ping_interval": PING,
        "ws_ping_timeout": PING,
        "headers": {"Content-Security-Policy": POLICY},
    }
    config.VoilaConfiguration.extension_allowlist = EXTENSIONS
    config.VoilaConfiguration.file_allowlist = []  # the page needs no file beside it
    config.VoilaConfiguration.show_tracebacks = False
    return config


def _make_server(config: Config, announce: Callable[[str], None]):
    from .voila_server import Server, TokenOnly  # here: importing devotools.ui must stay quick

    config.Voila.identity_provider_class = TokenOnly
    # No voila.json of the folder that one happens to stand in may open what is closed here.
    server = Server(config=config, config_file_paths=[])
    server.announce = announce
    return server


@contextmanager
def _kernels_told(folder: Path | None, scratch: Path) -> Iterator[None]:
    """Kernels inherit the environment: the folder that they may open, and where to write."""
    before = dict(os.environ)
    os.environ.pop(FOLDER, None)
    if folder is not None:
        os.environ[FOLDER] = str(folder)
    os.environ.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch)))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _free_port(address: str, port: int, tries: int = 50) -> int:
    try:
        with socket.socket() as trial:
            trial.bind((address, 0))  # any port: is the address one of this machine's?
    except OSError as error:
        raise InputError(
            f"address is {address!r} ({error.strerror or error}); expected an address (IPv4) or a "
            "name of this machine. Leave --address out, or give 0.0.0.0 for all that it has."
        ) from error
    for candidate in range(port, port + tries):
        with socket.socket() as trial:
            try:
                trial.bind((address, candidate))
            except OSError:
                continue
            return candidate
    raise InputError(
        f"no port from {port} to {port + tries - 1} is free at {address!r}; expected one. "
        "Choose another with --port."
    )


def served_app():
    """The app for a page that :func:`serve_app` serves: with the folder that it was started with.

    On Binder, where no such server runs, it has no folder: uploads and examples.
    """
    from .panel import App

    return App(os.environ.get(FOLDER))
