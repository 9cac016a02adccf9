"""Files from the browser, chosen or dropped, written to the disk piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

HERE = Path(__file__).parent


class Upload(anywidget.AnyWidget):
    """A place to drop files on, and a button to choose them.

    ``place(name)`` says where a file is to be written; ``on_file(path, name)`` is called for each
    that has arrived, ``on_refused(name, size)`` for each of more than ``limit`` bytes, of which
    nothing is sent, ``on_failed(name, error)`` where one cannot be read or written, and
    ``on_all()`` after the last. A file arrives in pieces of a megabyte, so the limit of the
    server's messages does not matter.
    """

    _esm = HERE / "upload.js"
    _css = HERE / "controls.css"

    description = traitlets.Unicode("Drop pictures here, or").tag(sync=True)
    button = traitlets.Unicode("Choose files").tag(sync=True)
    accept = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        place: Callable[[str], Path],
        *,
        on_file: Callable[[Path, str], None],
        on_refused: Callable[[str, int], None],
        on_failed: Callable[[str, OSError], None],
        on_all: Callable[[], None],
        limit: int,
        **traits: Any,
    ):
        super().__init__(**traits)
        self.limit = limit
        self._place, self._on_file = place, on_file
        self._on_refused, self._on_failed, self._on_all = on_refused, on_failed, on_all
        self._path = self._name = None
        self.on_msg(self._receive)

    def _receive(self, _widget: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        kind, answer = content.get("type"), {"type": "answer"}
        if kind == "all":
            self._on_all()
            return
        try:
            if kind == "begin":
                answer["go"] = self._begin(content["name"], content["size"])
            elif kind == "piece":
                self._write(buffers[0])
            elif kind == "end":
                path, self._path = self._path, None
                if path is not None:
                    self._on_file(path, self._name)
            elif kind == "broken" and self._path is not None:  # a folder, locked, or gone
                self._path.unlink(missing_ok=True)
                self._path = None
                self._on_failed(self._name, OSError(f"the browser says: {content['why']}"))
        finally:
            self.send(answer)  # whatever happened: without it the page takes no further file

    def _begin(self, name: str, size: int) -> bool:
        if size > self.limit:
            self._on_refused(name, size)
            return False
        self._name = name
        try:
            self._path = self._place(name)
            self._path.write_bytes(b"")
        except OSError as error:  # no room, or a name that is too long
            self._path = None
            self._on_failed(name, error)
            return False
        return True

    def _write(self, piece: Any) -> None:
        if self._path is None:
            return
        try:
            with open(self._path, "ab") as file:
                file.write(piece)
        except OSError as error:  # no room: what is left of this file is passed over
            self._path = None
            self._on_failed(self._name, error)
