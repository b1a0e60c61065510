"""Server credentials of grpcio's own TLS, swappable while the server runs.

Supports the two client certificate modes that Python's grpcio offers and refuses the
others. Invariant: the callback that gRPC runs before every handshake answers from
memory, without I/O. Only a swap takes a few milliseconds, to wait until other
handshakes have passed the code in which a swap would be dangerous (`SwapBarrier`).
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import grpc

from grpcsecure.errors import KeyMaterialError
from grpcsecure.tls.grpcio.ca_order import next_change, select_cas
from grpcsecure.tls.grpcio.swap_barrier import SwapBarrier
from grpcsecure.tls.pem import render_pem

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpcsecure.model.modes import ClientCertificateMode
    from grpcsecure.tls.material import Material

__all__ = ["NativeCredentials"]

#: Seconds after a failed wait until a swap is tried again.
_RETRY = 1.0


class NativeCredentials:
    """The TLS credentials of one listener.

    Attributes:
        credentials: for `add_secure_port`, to be used once: gRPC fails to bind a second
            port with the same object.

    Raises:
        ValueError: grpcio cannot serve the mode as documented.
        KeyMaterialError: the mode verifies, and the material has no client CA.
    """

    def __init__(self, material: Material, mode: ClientCertificateMode) -> None:
        if not mode.traits.in_grpcio:
            raise ValueError(f"grpcio cannot serve `{mode.value}`")
        self._mode = mode
        self._barrier = SwapBarrier()
        self._not_before = 0.0
        self._current = _Configuration(material, mode)
        self.credentials: grpc.ServerCredentials
        self.renew()

    def renew(self) -> None:
        """Create new `credentials`, for the next server of the listener."""
        self._served = self._current.fresh()
        self.credentials = grpc.dynamic_ssl_server_credentials(
            self._served,
            self._fetch,  # type: ignore[arg-type] # the stubs forget the None
            self._mode.requires,
        )

    @property
    def generation(self) -> int:
        """The generation of the material for handshakes from now on."""
        return self._current.generation

    def replace(self, material: Material) -> None:
        """Use `material` for the handshakes from now on.

        Raises:
            KeyMaterialError: the mode verifies, and the material has no client CA; the
                material in use stays.
        """
        self.prepare(material)()

    def prepare(self, material: Material) -> Callable[[], None]:
        """Return a function that makes later handshakes use `material`.

        Raises:
            KeyMaterialError: the mode verifies, and the material has no client CA.
        """
        prepared = _Configuration(material, self._mode)

        def commit() -> None:
            self._current = prepared

        return commit

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the new configuration, or None to keep the one that gRPC has.

        gRPC calls it before each handshake, holding the GIL and a mutex of the
        listener. If it always got a configuration, it would build a new context, and
        lose its sessions, at every handshake. None also postpones a swap to a later
        handshake while it would be dangerous.
        """
        new = None
        try:
            current = self._current.fresh()
            if current is not self._served and self._may_swap():
                new = self._served = current
        finally:
            self._barrier.enter()
        return new

    def _may_swap(self) -> bool:
        """Wait until a swap is safe; after a timeout, do not wait again for a while."""
        if time.monotonic() < self._not_before:
            return False
        may = self._barrier.wait()
        if not may:
            self._not_before = time.monotonic() + _RETRY
        return may


class _Configuration:
    """The configuration that gRPC gets for one generation.

    It is built again when a client CA has to give way to another one of its name.
    """

    __slots__ = ("_material", "_native", "_until", "_verifies", "generation")

    def __init__(self, material: Material, mode: ClientCertificateMode) -> None:
        # gRPC accepts an empty CA text, and then refuses every client.
        if mode.verifies and not material.client_ca:
            raise KeyMaterialError(f"`{mode.value}` needs a client CA")
        self.generation = material.generation
        self._material = material
        self._verifies = mode.verifies
        self._build(datetime.now(timezone.utc))

    def fresh(self) -> grpc.ServerCertificateConfiguration:
        """Return the configuration for a handshake that begins now."""
        now = datetime.now(timezone.utc)
        if now >= self._until:
            self._build(now)
        return self._native

    def _build(self, now: datetime) -> None:
        material, client_ca = self._material, None
        self._until = next_change(material.client_cas, now)
        if self._verifies:
            selected = select_cas(material.client_cas, now)
            client_ca = render_pem("CERTIFICATE", (ca.der for ca in selected))
        self._native: grpc.ServerCertificateConfiguration = (
            grpc.ssl_server_certificate_configuration(
                [(each.private_key, each.certificate_chain) for each in material.pairs],
                client_ca,
            )
        )
