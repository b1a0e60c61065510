"""TLS handshakes in memory, to check a listener's context before it is used.

They show that the certificate and key work, and that the callbacks run and decide as
the mode requires, with the installed OpenSSL. The client's certificate is generated for
this check: a context that verifies must refuse it. That such a context accepts a
certificate of its client CA does not depend on the listener, so it is checked once,
with a context that trusts this certificate.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto

from grpcsecure.tls.certificate import parse_pem_certificates
from grpcsecure.tls.openssl.context import ContextError, build_context
from grpcsecure.tls.openssl.stream import StreamError, TlsStream, reason_of, take_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grpcsecure.tls.openssl.settings import ContextMaterial, ContextSettings
    from grpcsecure.tls.openssl.stream import Scratch
    from grpcsecure.tls.openssl.verify_callback import HandshakeRecord

__all__ = ["HandshakeTrials"]

#: The most flights of one end in a handshake; three are needed.
_MAX_FLIGHTS = 8
_MAX_FLIGHT = 128 * 1024

#: The longest name that OpenSSL's client sends.
_MAX_NAME = 255

#: Sent through the connection in both directions.
_GREETING = b"grpcsecure"


class _TrialError(Exception):
    """A handshake did not have the expected result; the text is the reason."""


class HandshakeTrials:
    """Makes the handshakes for all listeners of a process.

    Args:
        scratch: memory that is overwritten at each call.
    """

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._has_verified = False

    @cached_property
    def _client(self) -> _Client:
        return _make_client()

    def check(
        self,
        contexts: Sequence[SSL.Context],
        settings: ContextSettings,
        material: ContextMaterial,
    ) -> None:
        """Check with handshakes that the contexts of a listener work.

        Each certificate has a handshake, in which the client asks for its name.

        Args:
            contexts: the contexts, built from the next two arguments.
            settings: the settings of the listener.
            material: the key material of the listener.

        Raises:
            ContextError: a context does not work; the text is the reason, without
                any of the material.
        """
        try:
            for number, context in enumerate(contexts):
                name = _name_of(number, material.names)
                # A certificate that no name selects is tried by itself.
                first = context if name is None else contexts[0]
                certificate = _certificate(material, number)
                self._check(_NamedContext(first, name, certificate), settings, material)
        except ContextError:
            raise
        except _TrialError as error:
            reason = str(error)
        except (SSL.Error, StreamError) as error:
            reason = reason_of(error)
        except Exception as error:  # noqa: BLE001 - OpenSSL's functions may have changed
            reason = f"{type(error).__name__}: {error}"
        else:
            return
        finally:
            take_error()
        raise ContextError(f"a TLS handshake in memory failed: {reason}")

    def _check(
        self,
        server: _NamedContext,
        settings: ContextSettings,
        material: ContextMaterial,
    ) -> None:
        if not settings.mode.verifies:
            self._begin(server).complete(asks=settings.mode.asks)
            return
        self._begin(server).expect_refusal()
        if self._has_verified:
            return
        trusts_client = replace(material, client_ca=self._client.pem, crls=())
        context = build_context(settings, trusts_client)
        trial = self._begin(_NamedContext(context, None, _certificate(material, 0)))
        trial.complete(asks=True)
        if not trial.record.is_verified:
            raise _TrialError("a certificate of a client CA is not verified")
        self._has_verified = True

    def _begin(self, server: _NamedContext) -> _Trial:
        return _Trial(server, self._client, self._scratch)


class _NamedContext(NamedTuple):
    """A context, the name to ask it for, and the certificate (DER) to expect then."""

    context: SSL.Context
    name: str | None
    certificate: bytes


def _name_of(number: int, names: Mapping[str, int]) -> str | None:
    """Return a name that selects a certificate, and that a client can send."""
    return next(
        (
            name
            for name, selected in names.items()
            if selected == number
            and len(name) <= _MAX_NAME
            and re.fullmatch(r"[!-~]+", name)
        ),
        None,
    )


def _certificate(material: ContextMaterial, number: int) -> bytes:
    chains = (material.certificate_chain, *(chain for chain, _ in material.further))
    return parse_pem_certificates(chains[number])[0]


class _Client(NamedTuple):
    context: SSL.Context
    certificate: bytes
    pem: bytes


def _make_client() -> _Client:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "trial")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        # Longer than the process will run.
        .not_valid_after(now + timedelta(days=36500))
        .sign(key, hashes.SHA256())
    )
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    # It accepts every server certificate: the check of the config covers that.
    context.set_verify(SSL.VERIFY_NONE)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    context.set_alpn_protos([b"h2"])
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.use_certificate(certificate)
    context.use_privatekey(key)
    return _Client(
        context,
        certificate.public_bytes(Encoding.DER),
        certificate.public_bytes(Encoding.PEM),
    )


class _Trial:
    """One connection between a server's context and the client."""

    def __init__(
        self, server: _NamedContext, client: _Client, scratch: Scratch
    ) -> None:
        self._scratch = scratch
        self._certificate = client.certificate
        self._expected = server.certificate
        self._server = TlsStream(server.context, scratch)
        self._client = SSL.Connection(client.context, None)
        if server.name is not None:
            self._client.set_tlsext_host_name(server.name.encode())
        self._client.set_connect_state()
        self._client_is_done = False
        self._server_is_done = False

    @property
    def record(self) -> HandshakeRecord:
        return self._server.record

    def complete(self, *, asks: bool) -> None:
        """Complete the handshake, and send some bytes in both directions."""
        self._handshake()
        self._check_end()
        if not self._server.speaks_h2():
            raise _TrialError("ALPN does not negotiate h2")
        leaf, _ = self._server.take_certificates()
        if leaf != (self._certificate if asks else None):
            raise _TrialError("the client certificate is not the one that was sent")
        if asks and not self.record.leaf_seen:
            raise _TrialError("the verify callback is not called")
        self._echo()

    def expect_refusal(self) -> None:
        """Check that the handshake fails because of the client certificate."""
        try:
            self._handshake()
        except SSL.Error:
            if not self._client_is_done or self.record.error is None:
                raise
            self._check_server()
            return
        self._check_end()
        raise _TrialError("a certificate of an unknown CA is not refused")

    def _check_end(self) -> None:
        if not (self._client_is_done and self._server_is_done):
            raise _TrialError("it does not end")
        self._check_server()

    def _check_server(self) -> None:
        # As an object of pyOpenSSL: `cryptography` does not parse every certificate.
        shown = self._client.get_peer_certificate()
        if shown is None:
            raise _TrialError("the server presents no certificate")
        if crypto.dump_certificate(crypto.FILETYPE_ASN1, shown) != self._expected:
            raise _TrialError("the server presents another certificate")

    def _handshake(self) -> None:
        for _ in range(_MAX_FLIGHTS):
            with suppress(SSL.WantReadError):
                self._client.do_handshake()
                self._client_is_done = True
            self._feed()
            self._server_is_done = self._server.handshake()
            self._server.flush(self)
            if self._client_is_done and self._server_is_done:
                return

    def _feed(self) -> None:
        """Pass the client's output to the server."""
        with suppress(SSL.WantReadError):
            data = self._client.bio_read(_MAX_FLIGHT)
            self._scratch.read_memory[: len(data)] = data
            self._server.feed(len(data))

    def send(self, data: bytes) -> int:
        """Pass the server's output to the client; it replaces a socket's `send`."""
        return self._client.bio_write(bytes(data))

    def _echo(self) -> None:
        self._client.send(_GREETING)
        self._feed()
        count = self._server.decrypt()
        received = bytes(self._scratch.plain_memory[:count])
        self._scratch.write_memory[:count] = received
        self._server.encrypt(count)
        self._server.flush(self)
        if received != _GREETING or self._client.recv(len(_GREETING)) != _GREETING:
            raise _TrialError("the received bytes differ from the sent ones")
