"""Check of a client's certificate outside of a connection, as a handshake makes it.

OpenSSL's result depends on a callback that only handshakes run: it ignores that a
client CA has no CRL. So this check begins a handshake in memory: a TLS 1.2 client gets
a `ServerHello` and a `Certificate` message, and the handshake ends once OpenSSL has
checked the certificate. TLS 1.2 sends these messages unencrypted, so no key is
generated or used. Invariant: an incomplete check never counts as "verified". If
this pyOpenSSL lacks names that the check needs, no certificate is verified, and `serve`
does not start.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from OpenSSL import SSL

from grpcsecure.tls.chain_verdict import CheckResult
from grpcsecure.tls.openssl import _bindings as openssl
from grpcsecure.tls.openssl.context import build_check_context
from grpcsecure.tls.openssl.verify_callback import HandshakeRecord, error_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grpcsecure.tls.openssl.settings import ContextMaterial

__all__ = ["CertificateCheck", "why_unchecked"]

#: Record and message types of RFC 5246 (sections 6.2.1 and 7.4), and TLS 1.2.
_HANDSHAKE = b"\x16\x03\x03"
_SERVER_HELLO = b"\x02"
_CERTIFICATE = b"\x0b"
_MAX_RECORD = 16 * 1024

#: Version, random, no session, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, no compression,
#: and the only extension that OpenSSL requires: renegotiation_info (RFC 5746).
_HELLO_BODY = b"\x03\x03" + bytes(32) + b"\0\xc0\x2b\0" + b"\0\x05\xff\x01\0\x01\0"


class CertificateCheck:
    """Checks certificates as the handshakes of a listener with `material` would.

    Args:
        material: with the client CAs and CRLs.
        any_strength: whether to skip the check of the strength of keys and signatures.

    Raises:
        ContextError: the material is unusable; the text is human-readable.
    """

    __slots__ = ("_context",)

    def __init__(self, material: ContextMaterial, *, any_strength: bool = True) -> None:
        self._context: SSL.Context | None = None
        if why_unchecked() is None:
            self._context = build_check_context(material, any_strength=any_strength)

    def run(self, leaf: bytes, chain: Iterable[bytes], *, at: int) -> CheckResult:
        """Return the result of a handshake at the time `at` (seconds since 1970).

        Several threads may call it at the same time: they share a context that is
        never changed.
        """
        if self._context is None:
            return CheckResult(False, why_unchecked())
        record = HandshakeRecord()
        connection = SSL.Connection(self._context, None)
        connection.set_app_data(record)
        connection.set_connect_state()
        parameters = openssl.SSL_get0_param(openssl.ssl_of(connection))
        openssl.X509_VERIFY_PARAM_set_time(parameters, at)
        # OpenSSL either waits for the rest of the handshake or has aborted it: only
        # the record of the callbacks counts. OverflowError: the chain is longer than a
        # message can be.
        with suppress(SSL.Error, OverflowError):
            flight = _flight((leaf, *chain))
            with suppress(SSL.WantReadError):
                connection.do_handshake()
            connection.bio_write(flight)
            connection.do_handshake()
        return _outcome(record)


def why_unchecked() -> str | None:
    """Return why no certificate can be checked, None if they can."""
    if openssl.is_complete():
        return None
    return "cannot be checked with this pyOpenSSL"


def _outcome(record: HandshakeRecord) -> CheckResult:
    if record.is_verified:
        return CheckResult(verified=True)
    if record.unusable is not None:
        return CheckResult(False, record.unusable, record.error)
    if record.error is not None:
        return CheckResult(False, error_text(record.error), record.error)
    return CheckResult(verified=False)


def _flight(certificates: Iterable[bytes]) -> bytes:
    listed = _sized(b"".join(map(_sized, certificates)))
    messages = _SERVER_HELLO + _sized(_HELLO_BODY) + _CERTIFICATE + _sized(listed)
    return b"".join(
        _HANDSHAKE + len(part).to_bytes(2, "big") + part
        for part in (
            messages[start : start + _MAX_RECORD]
            for start in range(0, len(messages), _MAX_RECORD)
        )
    )


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(3, "big") + data
