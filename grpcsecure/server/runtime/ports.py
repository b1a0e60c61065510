"""The listening side of a server: grpcio's own ports and those of the bridge.

Invariant: a listener's TLS is terminated by the engine that its config names; there is
no other way to bind it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from grpcsecure.descriptor_reserve import RESERVE
from grpcsecure.errors import KeyMaterialError, StartupError
from grpcsecure.model.listener import TcpAddress
from grpcsecure.server.runtime.bind import bind
from grpcsecure.tls.bridge.parent.observer import BridgeError
from grpcsecure.tls.grpcio.server_credentials import NativeCredentials

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from grpcsecure.model.listener import Listener
    from grpcsecure.model.modes import ClientCertificateMode
    from grpcsecure.server.rpc.bridged_caller import BridgedView
    from grpcsecure.server.runtime.assembly import Assembly
    from grpcsecure.server.runtime.bridge_listeners import BridgeListeners
    from grpcsecure.tls.material import Material

__all__ = ["Ports", "SwapError"]


class SwapError(Exception):
    """A TLS engine rejects the key material of a reload; the message says why."""


class Ports:
    """The listening side of a server: bind each listener, then open, drain, close.

    Raises:
        StartupError: the directory of the bridge's sockets cannot be created.
    """

    def __init__(self, assembly: Assembly) -> None:
        self._materials = assembly.in_force.snapshot.materials
        self._bound: dict[str, Listener] = {}
        self._native: dict[str, _NativeListener] = {}
        self._front: BridgeListeners | None = None
        self._has_reserve = False
        if any(listener.is_bridged for listener in assembly.config.listeners):
            self._front = _make_front(assembly.on_failure)

    def bind(self, server: Any, listener: Listener, view: Any) -> str:
        """Bind `listener` and return its real address, port 0 resolved.

        Raises:
            BindError: the address cannot be listened on; the message says why.
        """
        if not self._has_reserve:
            # From the first client on: they could leave no descriptor for a reload.
            self._has_reserve = True
            RESERVE.open()
        if self._front is not None and listener.is_bridged:
            material = self._materials[listener.name]
            return self._front.bind(listener, material, view, server.add_insecure_port)
        if listener.tls is not None:
            material = self._materials[listener.name]
            native = _NativeListener(material, listener.tls.client_certificate)
            self._native[listener.name] = native
        port = self._bind(server, listener)
        address = listener.address
        if isinstance(address, TcpAddress):
            address = TcpAddress(address.host, port)
        self._bound[listener.name] = replace(listener, address=address)
        return str(address)

    def _bind(self, server: Any, listener: Listener) -> int:
        native = self._native.get(listener.name)
        if native is None:
            return bind(listener, server.add_insecure_port)
        return bind(listener, native.binder(server))

    def rebind(self, server: Any, listener: Listener) -> None:
        """Bind a new server in place of the one of `listener`, which has ended.

        Later reloads and new connections through the bridge reach the new server.

        Raises:
            BindError: the address cannot be listened on; the message says why.
        """
        if self._front is not None and listener.is_bridged:
            self._front.rebind(listener, server.add_insecure_port)
            return
        self._bind(server, self._bound[listener.name])

    def prepare(self, materials: Mapping[str, Material]) -> Callable[[], None]:
        """Let both engines prepare new key material; return the function to apply it.

        Raises:
            SwapError: an engine rejects the material; the message says why.
        """
        try:
            commits = [
                native.prepare(materials[name]) for name, native in self._native.items()
            ]
            if self._front is not None:
                commits.append(self._front.prepare(materials))
        except (KeyMaterialError, BridgeError) as error:
            raise SwapError(str(error)) from error

        def commit() -> None:
            for each in commits:
                each()

        return commit

    @property
    def views(self) -> list[BridgedView]:
        """The views of the bridged listeners."""
        return [] if self._front is None else self._front.views

    def close_connections(self, names: Collection[str]) -> None:
        """Close connections through the bridge by their names, with a close_notify."""
        if self._front is not None:
            self._front.close_connections(names)

    def has_pulse(self) -> bool:
        """Whether the bridge, if there is one, is still supervised."""
        return self._front is None or self._front.has_pulse()

    def open(self) -> None:
        """Start the bridge, once the servers have started.

        Raises:
            StartupError: the bridge did not start.
        """
        if self._front is not None:
            self._front.start()

    def drain(self) -> None:
        """Begin the bridge's drain; the servers drain connections of their own."""
        if self._front is not None:
            self._front.drain()

    def await_drained(self, deadline: float) -> None:
        """Wait until stopping a server behind the bridge refuses no call.

        Args:
            deadline: the longest wait, by the monotonic clock.
        """
        if self._front is not None:
            self._front.await_drained(deadline)

    def cancel_wait(self) -> None:
        """End `await_drained` in another thread."""
        if self._front is not None:
            self._front.cancel_wait()

    @property
    def has_bridged_calls(self) -> bool:
        """Whether any call runs through the bridge."""
        return self._front is not None and self._front.has_calls

    def close(self) -> None:
        """End the bridge. May be called twice."""
        if self._has_reserve:
            self._has_reserve = False
            RESERVE.close()
        if self._front is not None:
            self._front.stop()


class _NativeListener:
    """The credentials of one listener: gRPC needs separate ones for each address."""

    def __init__(self, material: Material, mode: ClientCertificateMode) -> None:
        self._material = material
        self._mode = mode
        self._credentials: list[NativeCredentials] = []

    def binder(self, server: Any) -> Callable[[str], int]:
        """Return a function that binds an address of a new server."""
        free = iter([*self._credentials])

        def add_port(target: str) -> int:
            native = next(free, None)
            if native is None:
                native = NativeCredentials(self._material, self._mode)
                self._credentials.append(native)
            else:
                native.renew()
            port: int = server.add_secure_port(target, native.credentials)
            return port

        return add_port

    def prepare(self, material: Material) -> Callable[[], None]:
        """Return a function that makes later handshakes use `material`.

        Raises:
            KeyMaterialError: the mode verifies, and the material has no client CA.
        """
        commits = [native.prepare(material) for native in self._credentials]

        def commit() -> None:
            self._material = material
            for each in commits:
                each()

        return commit


def _make_front(on_failure: Callable[[str], None]) -> BridgeListeners:
    from grpcsecure.server.runtime.bridge_listeners import BridgeListeners

    try:
        return BridgeListeners(on_failure)
    except OSError as error:
        raise StartupError(f"no place for the TLS bridge's sockets: {error}") from None
