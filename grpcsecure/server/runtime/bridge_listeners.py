"""Listening sockets of the bridged listeners, and the bridge process behind them.

The parent process owns the listening sockets, so that clients wait in the kernel's
queue instead of failing while a bridge that died is restarted.
"""

from __future__ import annotations

import logging
import os
import socket
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from grpcsecure.errors import BindError, StartupError
from grpcsecure.model.listener import SystemdAddress, TcpAddress, UnixAddress
from grpcsecure.server.rpc.bridged_caller import BridgedConnection
from grpcsecure.server.runtime.bind import bind, refuse_live_socket
from grpcsecure.server.runtime.inherited_sockets import (
    describe_socket,
    inherited_sockets,
)
from grpcsecure.server.runtime.listening_addresses import (
    describe_error,
    open_all,
    resolve,
)
from grpcsecure.tls.bridge.parent.supervisor import Bridge, BridgeError, BridgeListener
from grpcsecure.tls.bridge.parent.upstream_directory import UpstreamDirectory

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from grpcsecure.model.listener import Listener
    from grpcsecure.server.rpc.bridged_caller import BridgedView
    from grpcsecure.tls.bridge.ipc.refusal import Refusal
    from grpcsecure.tls.material import Material

__all__ = ["BridgeListeners"]

_LOGGER = logging.getLogger("grpcsecure.bridge")

#: Connections that may wait for the bridge; the system's own limit is usually lower.
_BACKLOG = 4096

#: Seconds for the bridge to close its connections once the server has drained.
_CLOSE_TIMEOUT = 2.0


class BridgeListeners:
    """Public listening sockets, private upstream sockets, and the bridge between them.

    Args:
        on_failure: called once, with a human-readable reason, if the bridge keeps
            dying: from then on nothing is served through it.
    """

    def __init__(self, on_failure: Callable[[str], None]) -> None:
        self._on_failure = on_failure
        self._directory = UpstreamDirectory()
        self._listeners: list[BridgeListener] = []
        self.views: list[BridgedView] = []
        self._socket_files: list[str] = []
        self._bridge: Bridge[BridgedConnection] | None = None

    def bind(
        self,
        listener: Listener,
        material: Material,
        view: BridgedView,
        add_insecure_port: Callable[[str], int],
    ) -> str:
        """Bind both sides of `listener`; return the address that clients connect to.

        Raises:
            BindError: the address cannot be listened on; the message says why.
        """
        assert listener.tls is not None  # noqa: S101 - only TLS listeners are bridged
        upstream = self._directory.socket_path(len(self._listeners))
        _bind_upstream(listener, upstream, add_insecure_port)
        outer = self._open(listener)
        self._listeners.append(
            BridgeListener(
                listener.name,
                outer,
                upstream,
                listener.tls,
                material,
                listener.limits.max_connections,
            )
        )
        self.views.append(view)
        if isinstance(listener.address, SystemdAddress):
            return describe_socket(outer[0])
        if isinstance(listener.address, TcpAddress):
            return str(TcpAddress(listener.address.host, outer[0].getsockname()[1]))
        return str(listener.address)

    def rebind(
        self, listener: Listener, add_insecure_port: Callable[[str], int]
    ) -> None:
        """Bind the upstream side of `listener` again, for new bridged connections.

        Raises:
            BindError: it cannot be bound; the message says why.
        """
        upstream = next(
            e.upstream_path for e in self._listeners if e.name == listener.name
        )
        _bind_upstream(listener, upstream, add_insecure_port)

    def _open(self, listener: Listener) -> tuple[socket.socket, ...]:
        if isinstance(listener.address, SystemdAddress):
            return _open_inherited(listener, listener.address.name)
        try:
            if isinstance(listener.address, TcpAddress):
                return open_all(
                    resolve(listener.address), listener.address.port, backlog=_BACKLOG
                )
            refuse_live_socket(listener, listener.address)
            path = os.fspath(listener.address.path)
            opened = (_open_unix(path),)
            self._socket_files.append(path)
        except OSError as error:
            raise BindError(
                f"listener `{listener.name}` cannot listen on {listener.address}:"
                f" {describe_error(error, listener.address)}"
            ) from error
        return opened

    def start(self) -> None:
        """Start the bridge and wait until it serves.

        Raises:
            StartupError: the bridge did not start.
        """
        bridge = Bridge(self._listeners, self, make_peer=BridgedConnection)
        for view in self.views:
            view.registry = bridge.peers
        self._bridge = bridge
        try:
            bridge.start()
        except BridgeError as error:
            raise StartupError(f"the TLS bridge did not start: {error}") from None

    def prepare(self, materials: Mapping[str, Material]) -> Callable[[], None]:
        """Let the bridge prepare key material; return the function that applies it.

        Raises:
            BridgeError: the bridge rejects the material; the message says why.
        """
        assert self._bridge is not None  # noqa: S101 - it has been started
        names = [listener.name for listener in self._listeners]
        return self._bridge.prepare({name: materials[name] for name in names})

    def has_pulse(self) -> bool:
        """Whether the bridge is supervised: runs, or is about to be restarted."""
        return self._bridge is None or self._bridge.is_supervised

    def close_connections(self, names: Collection[str]) -> None:
        """Close connections by their names, with a TLS close_notify."""
        if self._bridge is not None:
            self._bridge.close(names)

    def drain(self) -> None:
        """Accept no more connections, and ask the clients of the open ones to leave."""
        # The bridge closes its copies last, after it has accepted those that wait.
        self._close_sockets()
        if self._bridge is not None:
            self._bridge.drain()

    def await_drained(self, deadline: float) -> None:
        """Wait until stopping the servers refuses no call, at most until `deadline`.

        Args:
            deadline: by the monotonic clock.
        """
        if self._bridge is not None:
            self._bridge.await_drained(deadline, lambda: not self.has_calls)

    def cancel_wait(self) -> None:
        """End `await_drained` in another thread."""
        if self._bridge is not None:
            self._bridge.cancel_wait()

    @property
    def has_calls(self) -> bool:
        """Whether any call runs through the bridge."""
        return any(view.is_busy() for view in self.views)

    def stop(self) -> None:
        """End the bridge and remove its socket files. May be called twice."""
        if self._bridge is not None:
            self._bridge.stop(_CLOSE_TIMEOUT)
        self._close_sockets()
        self._directory.close()

    def _close_sockets(self) -> None:
        # Remove the paths first: once the socket is closed, another server may take
        # over the path.
        for path in self._socket_files:
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108 - str in, str out
        self._socket_files.clear()
        # An open socket would keep clients waiting in the kernel's queue for nothing.
        for listener in self._listeners:
            for sock in listener.sockets:
                sock.close()

    # Callbacks of the bridge's supervisor, which calls them on its own thread.

    def refused(self, refusal: Refusal) -> None:
        """Log a refused handshake: the client's address, reason and certificate."""
        fields: dict[str, object] = {
            "listener": refusal.listener,
            "address": refusal.address,
            "reason": refusal.reason,
        }
        if refusal.subject is not None:
            fields |= {"subject": refusal.subject, "issuer": refusal.issuer}
        if refusal.left_out:
            fields["left_out"] = refusal.left_out
        _LOGGER.warning("handshake.refused", extra=fields)

    def died(self, reason: str, restart_in: float) -> None:
        """Log that the bridge died, which ends every connection through it."""
        _LOGGER.error(
            "bridge.died", extra={"reason": reason, "restart_in": f"{restart_in}s"}
        )

    def restarted(self) -> None:
        """Log that a new bridge serves."""
        _LOGGER.warning("bridge.restarted")

    def gave_up(self, reason: str) -> None:
        """Log that the bridge is not restarted any more, and report the failure.

        The server then ends, rather than serve only part of its listeners.
        """
        try:
            _LOGGER.critical("bridge.gave_up", extra={"reason": reason})
        finally:
            self._on_failure(f"the TLS bridge keeps dying: {reason}")


def _bind_upstream(
    listener: Listener, path: str, add_insecure_port: Callable[[str], int]
) -> None:
    inside = replace(listener, address=UnixAddress(Path(path)), tls=None)
    bind(inside, add_insecure_port)


def _open_inherited(listener: Listener, name: str) -> tuple[socket.socket, ...]:
    try:
        return inherited_sockets().open(name)
    except ValueError as error:
        raise BindError(
            f"listener `{listener.name}` cannot listen on {listener.address}: {error}"
        ) from None


def _open_unix(path: str) -> socket.socket:
    with suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - a dead socket: the caller checked
    opened = socket.socket(socket.AF_UNIX)
    try:
        opened.bind(path)
        opened.listen(_BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened
