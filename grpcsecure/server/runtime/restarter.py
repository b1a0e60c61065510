"""One listener of the asyncio runtime: its server, and the next one if that crashes.

A client that made a server crash can do it again. So a crash is never waited out, and
never given up over: each pause would be an outage of the client's choice. Given up is a
listener that cannot be served again at all.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from grpcsecure.errors import GrpcSecureError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from grpcsecure.server.grpcio.aio_server import ResilientAioServer

__all__ = ["RestartingServer"]

_LOGGER = logging.getLogger("grpcsecure.server")

#: Waits before each attempt to serve again; then it is given up.
_PAUSES = (0.0, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0)

#: Seconds until a new server is begun while calls of the old one do not end.
_CUT_PATIENCE = 0.2


class RestartingServer:
    """Keeps one listener served, from `begin` to `end`.

    Args:
        listener: its name.
        server: the first one.
        renew: starts another one at the same address.
        give_up: told in words if that does not work.

    Attributes:
        servers: the one that serves, and crashed ones whose calls have not ended.
    """

    def __init__(
        self,
        listener: str,
        server: ResilientAioServer,
        renew: Callable[[], Awaitable[ResilientAioServer]],
        give_up: Callable[[str], None],
    ) -> None:
        self.servers = [server]
        self._listener = listener
        self._renew = renew
        self._give_up = give_up
        self._ending = asyncio.Event()
        self._kept: asyncio.Future[None] | None = None

    def begin(self) -> None:
        """Watch the server, which has started."""
        self._kept = asyncio.ensure_future(self._keep())

    async def end(self) -> None:
        """Start no further server; those there are remain. Harmless twice."""
        self._ending.set()
        if self._kept is not None:
            await asyncio.wait([self._kept])

    async def _keep(self) -> None:
        while True:
            server = self.servers[-1]
            if not await self._until(server.crash):
                return
            _LOGGER.error(
                "server.crashed",
                extra={
                    "listener": self._listener,
                    "reason": _describe(server.crash.result()),
                },
            )
            stopped = asyncio.ensure_future(server.stop(None))
            await self._until(stopped, _CUT_PATIENCE)
            if not await self._serve_again():
                return
            # Until then it may have calls, which a drain waits for.
            stopped.add_done_callback(partial(self._forget, server))

    def _forget(self, server: ResilientAioServer, _stopped: object) -> None:
        self.servers.remove(server)

    async def _until(
        self, event: asyncio.Future[Any], timeout: float | None = None
    ) -> bool:
        """Wait for `event`, or until the end; return whether to go on."""
        end = asyncio.ensure_future(self._ending.wait())
        await asyncio.wait(
            [event, end], timeout=timeout, return_when=asyncio.FIRST_COMPLETED
        )
        end.cancel()
        return not self._ending.is_set()

    async def _serve_again(self) -> bool:
        reason = ""
        never = asyncio.get_running_loop().create_future()
        for pause in _PAUSES:
            if not await self._until(never, pause):
                return False
            try:
                self.servers.append(await self._renew())
            except Exception as error:  # noqa: BLE001 - what it is, the end will tell
                reason = _describe(error)
                continue
            _LOGGER.warning("server.restarted", extra={"listener": self._listener})
            return True
        _LOGGER.critical(
            "server.gave_up", extra={"listener": self._listener, "reason": reason}
        )
        self._give_up(f"listener `{self._listener}` cannot be served again: {reason}")
        return False


def _describe(error: BaseException) -> str:
    if isinstance(error, GrpcSecureError):
        return str(error)
    return f"{type(error).__name__}: {error}"
