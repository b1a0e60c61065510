"""Restarts the server of a listener in the asyncio runtime after a crash.

A client that made a server crash can do it again, so each pause before a restart would
be an outage that the client can cause. Therefore a crashed server is replaced at once,
and however often it crashes. Only if no new server can be started, attempts are delayed
and end after a few.
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

#: Seconds before each attempt to start a new server; after the last one it has failed.
_PAUSES = (0.0, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0)

#: Seconds to wait for the calls of the crashed server before a new one is started.
_CUT_PATIENCE = 0.2


class RestartingServer:
    """The server of one listener, replaced when it crashes, from `begin` to `end`.

    Args:
        listener: the listener's name.
        server: the first server.
        renew: starts a new server at the same address.
        give_up: called with a human-readable reason if no new server can be started.

    Attributes:
        servers: the serving one, after crashed ones whose calls have not ended.
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
        """Start to watch the server, which has been started."""
        self._kept = asyncio.ensure_future(self._keep())

    async def end(self) -> None:
        """Start no further server; existing ones remain. May be called twice."""
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
            # Until it has stopped it may have calls, which a drain must wait for.
            stopped.add_done_callback(partial(self._forget, server))

    def _forget(self, server: ResilientAioServer, _stopped: object) -> None:
        self.servers.remove(server)

    async def _until(
        self, event: asyncio.Future[Any], timeout: float | None = None
    ) -> bool:
        """Wait for `event` or for `end`; return whether to go on."""
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
            except Exception as error:  # noqa: BLE001 - logged after the last attempt
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
