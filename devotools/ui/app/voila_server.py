"""Voila, a little stricter: who has no token gets 403, and no form to try passwords in."""

from __future__ import annotations

import inspect
import signal
from collections.abc import Callable

from jupyter_server.auth import IdentityProvider, User
from tornado.ioloop import IOLoop
from tornado.web import HTTPError, RequestHandler
from voila.app import Voila
from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler


class TokenOnly(IdentityProvider):
    """Lets in who brings the token, in the address or in the cookie that it left."""

    async def get_user(self, handler: RequestHandler) -> User:
        """The one user there is; raises the error 403 for everybody else."""
        user = super().get_user(handler)
        user = await user if inspect.isawaitable(user) else user
        if user is None:
            raise HTTPError(403, "the token is missing: open the address that devotools app gave")
        return user


# A closing page asks by a beacon to end its kernel, and a beacon cannot bring the XSRF token. The
# kernel's id in the address, which nobody but the page knows, stands in for it; the token of the
# app is asked for as everywhere.
VoilaShutdownKernelHandler.check_xsrf_cookie = lambda self: None


class Server(Voila):
    """Voila that tells its address, with the token, as soon as it listens there."""

    announce: Callable[[str], None] = staticmethod(lambda url: None)

    def listen(self) -> None:
        """Serve until the end; the loop begins by telling the address."""
        self.ioloop = IOLoop.current()
        signal.signal(signal.SIGINT, self._interrupted)
        self.ioloop.add_callback(self._tell_address)
        super().listen()

    def _tell_address(self) -> None:
        """By now the port is ours: another app may have taken the one that was asked for."""
        token = self.identity_provider.token
        self.announce(self.connection_url + (f"?token={token}" if token else ""))

    def _interrupted(self, number: int, frame: object) -> None:
        """End between two answers; Ctrl C once more ends in the middle of one.

        Python's own KeyboardInterrupt is raised inside whatever happens to run, and some of that
        swallows it: the server would go on, and its kernels with it.
        """
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.ioloop.add_callback_from_signal(self.ioloop.stop)
