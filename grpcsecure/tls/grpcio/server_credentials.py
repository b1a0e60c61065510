"""Material to grpcio's own server credentials, swappable while the server runs.

Serves the two modes that Python's grpcio reaches and refuses the others. Invariant:
what gRPC asks before every handshake is answered from memory, without I/O; only a swap
takes a few milliseconds, for all who shake hands to be where it does no harm.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import grpc

from grpcsecure.errors import KeyMaterialError
from grpcsecure.tls.grpcio.swap_barrier import SwapBarrier

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpcsecure.model.modes import ClientCertificateMode
    from grpcsecure.tls.material import Material

__all__ = ["NativeCredentials"]

#: Seconds until a swap is tried again that could not be made.
_RETRY = 1.0


class NativeCredentials:
    """The TLS credentials of one listener.

    Attributes:
        credentials: for `add_secure_port`, once: gRPC fails to bind a second port with
            the same object.

    Raises:
        ValueError: grpcio cannot serve the mode as it is meant.
        KeyMaterialError: the mode verifies, and the material has no client CA.
    """

    def __init__(self, material: Material, mode: ClientCertificateMode) -> None:
        if not mode.traits.in_grpcio:
            raise ValueError(f"grpcio cannot serve `{mode.value}`")
        self._mode = mode
        self._passage = SwapBarrier()
        self._not_before = 0.0
        self._current = _Configuration(material, mode)
        self.credentials: grpc.ServerCredentials
        self.renew()

    def renew(self) -> None:
        """Make new `credentials`, for the next server of the listener."""
        current = self._served = self._current
        self.credentials = grpc.dynamic_ssl_server_credentials(
            current.native,
            self._fetch,  # type: ignore[arg-type] # the stubs forget the None
            self._mode.requires,
        )

    @property
    def generation(self) -> int:
        """The generation that handshakes get from now on."""
        return self._current.generation

    def replace(self, material: Material) -> None:
        """Have the handshakes from now on use `material`.

        Raises:
            KeyMaterialError: the mode verifies, and the material has no client CA; the
                material in use stays.
        """
        self.prepare(material)()

    def prepare(self, material: Material) -> Callable[[], None]:
        """Return what has the handshakes from then on use `material`.

        Raises:
            KeyMaterialError: the mode verifies, and the material has no client CA.
        """
        prepared = _Configuration(material, self._mode)

        def commit() -> None:
            self._current = prepared

        return commit

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Answer gRPC, which asks under the GIL and a mutex of the listener.

        None keeps what gRPC has: a configuration handed back would make it build a
        new context, and forget its sessions, at every handshake. It is also the answer
        where a swap would do harm; then a later handshake makes it.
        """
        new = None
        try:
            if self._current is not self._served and self._may_swap():
                self._served = self._current
                new = self._served.native
        finally:
            self._passage.enter()
        return new

    def _may_swap(self) -> bool:
        """Wait until a swap does no harm; not at each handshake, if that takes long."""
        if time.monotonic() < self._not_before:
            return False
        may = self._passage.wait()
        if not may:
            self._not_before = time.monotonic() + _RETRY
        return may


class _Configuration:
    """What gRPC gets for one generation."""

    __slots__ = ("generation", "native")

    def __init__(self, material: Material, mode: ClientCertificateMode) -> None:
        # gRPC takes an empty CA text as well, and then refuses everybody.
        if mode.verifies and not material.client_ca:
            raise KeyMaterialError(f"`{mode.value}` needs a client CA")
        self.generation = material.generation
        self.native: grpc.ServerCertificateConfiguration = (
            grpc.ssl_server_certificate_configuration(
                [(material.private_key, material.certificate_chain)],
                material.client_ca if mode.verifies else None,
            )
        )
