"""The server of the app: who may come in, where it writes, what it tells, how it ends."""

import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import nbformat
import pytest
from helpers import files_under, run_command

from devotools import InputError
from devotools.ui import serve_app
from devotools.ui.app import server


@pytest.fixture
def started(monkeypatch):
    """What Voila was asked for, in place of Voila."""
    found = SimpleNamespace(environment=None)

    def make(config, announce):
        found.config = config
        found.scratch = config.Voila.connection_dir_root

        def start():
            found.environment = dict(os.environ)
            found.page = nbformat.read(found.arguments[0], as_version=4)
            found.scratch_was_there = os.path.isdir(found.scratch)
            announce("http://127.0.0.1:1/?token=abc")

        return SimpleNamespace(
            initialize=lambda arguments: setattr(found, "arguments", arguments), start=start
        )

    monkeypatch.setattr(server, "_make_server", make)
    names = (server.FOLDER, "TMPDIR", "TEMP", "TMP")
    before = [os.environ.get(name) for name in names]
    yield found
    assert [os.environ.get(name) for name in names] == before


def test_only_this_machine_and_only_with_a_token(started):
    serve_app(browser=False)
    assert started.config.Voila.ip == "127.0.0.1"
    assert started.config.Voila.auto_token is True
    assert started.config.VoilaConfiguration.file_allowlist == []
    limit = started.config.Voila.tornado_settings["websocket_max_message_size"]
    assert limit >= 200 * 10**6
    policy = started.config.Voila.tornado_settings["headers"]["Content-Security-Policy"]
    assert "http" not in policy
    serve_app(address="127.0.0.2", token=False, browser=False)
    assert started.config.Voila.ip == "127.0.0.2"
    assert started.config.Voila.auto_token is False


def test_kernels_are_told_the_folder_and_write_where_all_is_removed(started, tmp_path):
    serve_app(tmp_path, browser=False)
    assert started.environment[server.FOLDER] == str(tmp_path.resolve())
    assert started.environment["TMPDIR"] == started.scratch
    assert started.scratch_was_there
    assert not os.path.exists(started.scratch)
    serve_app(browser=False)
    assert server.FOLDER not in started.environment


def test_page_is_one_cell_that_shows_the_app(started):
    serve_app(browser=False)
    (cell,) = started.page.cells
    assert "served_app()" in cell.source


def test_taken_port_is_passed_over_and_none_left_is_said(started, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert server._free_port("127.0.0.1", port) > port
        with pytest.raises(InputError, match="Choose another with --port"):
            server._free_port("127.0.0.1", port, tries=1)


@pytest.mark.parametrize("address", ["::1", "203.0.113.7", "no such name"])
def test_an_address_of_another_machine_is_no_taken_port(address):
    with pytest.raises(InputError, match=f"address is '{address}' .*expected an address"):
        server._free_port(address, 8866)


def test_folder_that_is_none_is_refused(started, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        serve_app(tmp_path / "nowhere")


def test_command_says_where_the_app_is(started, tmp_path, monkeypatch, capsys):
    code, said, _ = run_command(monkeypatch, capsys, "app", tmp_path, "--no-browser")
    assert code == 0
    assert "http://127.0.0.1:1/?token=abc" in said
    assert "Ctrl C" in said
    assert started.config.Voila.open_browser is False
    code, _, complaint = run_command(monkeypatch, capsys, "app", tmp_path / "nowhere")
    assert code == 2
    assert "does not exist" in complaint


def test_served_app_has_the_folder_of_its_server(monkeypatch, tmp_path):
    monkeypatch.setenv(server.FOLDER, str(tmp_path))
    app = server.served_app()
    assert app.session.folder == str(tmp_path)
    app.session.close()
    monkeypatch.delenv(server.FOLDER)
    app = server.served_app()
    assert app.session.folder is None
    app.session.close()


INTERRUPTED = """
import signal, time
from tornado.ioloop import IOLoop
from devotools.ui import serve_app

def work():
    try:
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.1)
    except BaseException:
        pass  # as some callbacks between server and kernel do

serve_app(browser=False, announce=lambda url: IOLoop.current().add_callback(work))
"""


def test_ctrl_c_ends_the_server_whatever_it_is_busy_with(tmp_path):
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", INTERRUPTED], env=environment, timeout=120, check=True)
    assert files_under(tmp_path) == set()


OVERTAKEN = """
import socket
from tornado.ioloop import IOLoop
from devotools.ui import serve_app
from devotools.ui.app import server

taken = socket.create_server(("127.0.0.1", 0))  # by another app, after this one had found it free
server._free_port = lambda address, port: taken.getsockname()[1]

def tell(url):
    print(taken.getsockname()[1], url)
    IOLoop.current().stop()

serve_app(browser=False, announce=tell)
"""


def test_address_that_is_told_is_the_one_it_listens_at(tmp_path):
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", OVERTAKEN]
    ended = subprocess.run(
        command, env=environment, timeout=120, check=True, capture_output=True, text=True
    )
    taken, url = ended.stdout.split()
    assert url.startswith("http://127.0.0.1:")
    assert f":{taken}/" not in url
