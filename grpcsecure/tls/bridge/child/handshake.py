"""A connection from `accept` until its TLS handshake is complete or refused.

Every step is deferred work with a time budget, so a flood of handshakes cannot keep the
reactor from serving open connections; a deadline ends handshakes that never finish.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from OpenSSL import SSL

from grpcsecure.tls.bridge.child.client_address import render_address
from grpcsecure.tls.bridge.child.reactor import IN, OUT
from grpcsecure.tls.bridge.child.refusal_log import explain_failure, explain_first_bytes
from grpcsecure.tls.bridge.child.states import ConnectionLife
from grpcsecure.tls.bridge.ipc.refusal import Refusal, RefusalKind
from grpcsecure.tls.handshake_result import NOT_CHECKED, HandshakeResult
from grpcsecure.tls.openssl.context import NoH2Error
from grpcsecure.tls.openssl.stream import StreamError, TlsStream, reason_of, take_error
from grpcsecure.tls.openssl.verify_callback import error_text

if TYPE_CHECKING:
    import socket

    from grpcsecure.tls.bridge.child.reactor import Reactor
    from grpcsecure.tls.bridge.child.served_listener import (
        ReadyMaterial,
        ServedListener,
    )
    from grpcsecure.tls.openssl.stream import Scratch

__all__ = ["Handshake", "HandshakeOwner"]

#: The largest read. There is one read per step, so that a client that sends its bytes
#: slowly cannot use up a turn.
_READ_SIZE = 16 * 1024


class HandshakeOwner(Protocol):
    """Callbacks of a handshake, implemented by the event loop."""

    def handshake_done(self, handshake: Handshake, result: HandshakeResult) -> None:
        """Connect the client to the server."""

    def handshake_refused(
        self, handshake: Handshake, refusal: Refusal, *, linger: bool
    ) -> None:
        """Close the refused connection; with `linger`, an alert waits to be sent."""


class Handshake:
    """The TLS handshake of one client."""

    __slots__ = (
        "_family",
        "_fd",
        "_is_queued",
        "_owner",
        "_peer_address",
        "_reactor",
        "_ready",
        "_saw_bytes",
        "_scratch",
        "client",
        "is_over",
        "life",
        "listener",
        "stream",
    )

    def __init__(  # noqa: PLR0913 - all by name, from one place
        self,
        *,
        client: socket.socket,
        peer_address: object,
        listener: ServedListener,
        ready: ReadyMaterial,
        reactor: Reactor,
        scratch: Scratch,
        owner: HandshakeOwner,
    ) -> None:
        self.client = client
        self.life = ConnectionLife(listener.connection_closed)
        self.listener = listener
        self.stream = TlsStream(ready.context, scratch)
        # Kept: a handshake ends with the key material with which it began.
        self._ready = ready
        self.is_over = False
        self._family = client.family
        self._peer_address = peer_address
        self._fd = client.fileno()
        self._reactor = reactor
        self._scratch = scratch
        self._owner = owner
        self._saw_bytes = False
        #: Whether a step is deferred.
        self._is_queued = False
        reactor.watch(self._fd, IN, self._on_ready)

    @property
    def address(self) -> str:
        """The client's address in grpcio's format."""
        return render_address(self._family, self._peer_address)

    def _on_ready(self, mask: int) -> None:
        del mask
        if self._is_queued:
            # Do not watch the socket until the step: it would be reported every time.
            self._reactor.change(self._fd, 0)
            return
        self._is_queued = True
        self._reactor.defer(self._step)

    def _step(self) -> None:
        self._is_queued = False
        if self.is_over:
            return
        try:
            self._advance()
        except BlockingIOError:
            self._wait()
        except OSError as error:
            self._refuse(RefusalKind.CLIENT, f"connection lost: {error.strerror}")
        except Exception as error:  # noqa: BLE001 - one connection's error must not end the others
            take_error()
            self._refuse(
                RefusalKind.INTERNAL, f"internal error: {type(error).__name__}: {error}"
            )

    def _wait(self) -> None:
        # Do not read before all output is sent.
        self._reactor.change(self._fd, OUT if self.stream.pending else IN)

    def _advance(self) -> None:
        if self.stream.pending and not self.stream.flush(self.client):
            self._wait()
            return
        data = self._scratch.read_memory
        count = self.client.recv_into(data, _READ_SIZE)
        if not count:
            self._refuse(RefusalKind.CLIENT, self._why_closed())
            return
        if not self._saw_bytes:
            self._saw_bytes = True
            protocol = explain_first_bytes(bytes(data[: min(count, 32)]))
            if protocol is not None:
                self._refuse(RefusalKind.PLAINTEXT, protocol)
                return
        self._feed(count)

    def _why_closed(self) -> str:
        if self._saw_bytes:
            return "the client closed the connection during the handshake"
        return "the client closed the connection before it sent a byte"

    def _feed(self, count: int) -> None:
        try:
            self.stream.feed(count)
            done = self.stream.handshake()
        except NoH2Error:
            take_error()
            offered = b", ".join(self.stream.record.offered[:8])
            names = offered[:100].decode("ascii", "backslashreplace")
            self._refuse(
                RefusalKind.NO_H2, f"no ALPN h2: the client offered {names}", alert=True
            )
            return
        except SSL.ZeroReturnError:  # close_notify
            self._refuse(RefusalKind.CLIENT, self._why_closed())
            return
        except (SSL.Error, StreamError) as error:
            take_error()
            self._refuse_failure(reason_of(error))
            return
        # Output that cannot be sent now is sent before anything else, here or in the
        # pipe.
        if not (done and self.stream.has_only_tickets()):
            self.stream.flush(self.client)
        if done:
            self._finish()
        else:
            self._wait()

    def _finish(self) -> None:
        if not self.stream.speaks_h2():
            self._close_without_h2()
            return
        result = self._result()
        mode = self.listener.settings.mode
        if (mode.requires and result.certificate is None) or (
            mode.verifies and result.certificate is not None and not result.verified
        ):
            # Backstop: OpenSSL should have refused these already.
            self._refuse(
                RefusalKind.INTERNAL, "the handshake's result contradicts the mode"
            )
            return
        self._end()
        self._owner.handshake_done(self, result)

    def _close_without_h2(self) -> None:
        """Close the connection of a client that negotiated no protocol, as gRPC does.

        A client without ALPN, such as a TLS scanner, completes the handshake (and is
        refused for its certificate first). Nothing that it sends is decrypted.
        """
        # Otherwise a backstop: the ALPN callback should have refused the client.
        offered_none = not self.stream.record.alpn_offered
        details = ": the client offered no ALPN" if offered_none else ""
        self.stream.queue_close_notify()
        self._refuse(RefusalKind.NO_H2, f"no ALPN h2{details}", alert=True)

    def _result(self) -> HandshakeResult:
        stream, record = self.stream, self.stream.record
        leaf, chain = stream.take_certificates()
        verified = leaf is not None and record.is_verified and self._ready.has_client_ca
        reason = code = None
        if leaf is not None and not verified:
            reason, code = self._why_not_verified()
        return HandshakeResult(
            listener=self.listener.name,
            address=self.address,
            generation=self._ready.generation,
            certificate=leaf,
            chain=chain,
            verified=verified,
            unverified_reason=reason,
            unverified_code=code,
            tls_version=stream.version(),
            server_name=stream.server_name(),
            resumed=stream.is_resumed(),
            group=stream.group(),
        )

    def _why_not_verified(self) -> tuple[str, int | None]:
        record = self.stream.record
        if not self._ready.has_client_ca:
            return NOT_CHECKED, None
        if record.error is None:
            return "not checked in this handshake", None
        return error_text(record.error), record.error

    def expire(self) -> None:
        """Refuse the client because the handshake took too long."""
        if not self.is_over:
            seconds = f"{self.listener.settings.handshake_timeout:g}s"
            progress = "not finished" if self._saw_bytes else "not begun"
            self._refuse(RefusalKind.TIMEOUT, f"handshake {progress} after {seconds}")

    def _refuse_failure(self, reason: str) -> None:
        kind, text, code = explain_failure(reason, self.stream.record)
        self._refuse(kind, text, code=code, alert=True)

    def _refuse(
        self,
        kind: RefusalKind,
        reason: str,
        *,
        code: int | None = None,
        alert: bool = False,
    ) -> None:
        self._end()
        names = self.stream.record.at_fault
        refusal = Refusal(
            listener=self.listener.name,
            address=self.address,
            kind=kind,
            reason=reason,
            verify_code=code,
            subject=_shortened(names.subject) if names else None,
            issuer=_shortened(names.issuer) if names else None,
        )
        self._owner.handshake_refused(self, refusal, linger=alert)

    def _end(self) -> None:
        self.is_over = True
        self._reactor.forget(self._fd)


def _shortened(name: bytes) -> str:
    text = name.decode("ascii", "replace")
    return text if len(text) <= 200 else text[:199] + "…"  # noqa: PLR2004 - a log line
