"""Human-readable reasons of refused handshakes, and a rate limit for reporting them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from grpcsecure.tls.bridge.ipc.refusal import Refusal, RefusalKind
from grpcsecure.tls.openssl.verify_callback import error_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpcsecure.tls.openssl.verify_callback import HandshakeRecord

__all__ = ["RefusalLog", "explain_failure", "explain_first_bytes"]

#: Events per second of one kind on one listener; further events are only counted.
_BURST = 10
_WINDOW = 1.0

#: Prefixes of OpenSSL's reasons, their kinds, and clearer texts for some of them.
_REASONS: tuple[tuple[str, RefusalKind, str | None], ...] = (
    (
        "peer did not return a certificate",
        RefusalKind.NO_CERTIFICATE,
        "no client certificate",
    ),
    (
        "ASN1 lib",
        RefusalKind.BAD_CERTIFICATE,
        "a malformed certificate",
    ),
    ("bad signature", RefusalKind.BAD_CERTIFICATE, None),
    (
        "unsupported protocol",
        RefusalKind.PROTOCOL,
        "TLS version too old for this listener",
    ),
    (
        "no shared cipher",
        RefusalKind.PROTOCOL,
        "no cipher suite in common",
    ),
    ("excessive message size", RefusalKind.PROTOCOL, "a message that is too large"),
    (
        "tlsv1 alert unknown ca",
        RefusalKind.CLIENT,
        "the client does not trust the server's certificate (alert unknown_ca)",
    ),
    (
        "ssl/tls alert bad certificate",
        RefusalKind.CLIENT,
        "the client refused the server's certificate (alert bad_certificate)",
    ),
    (
        "ssl/tls alert certificate unknown",
        RefusalKind.CLIENT,
        "the client refused the server's certificate (alert certificate_unknown)",
    ),
)

_PLAINTEXT: tuple[tuple[bytes, str], ...] = (
    (b"PRI * HTTP/2", "plaintext HTTP/2 preface on a TLS port"),
    (b"GET ", "plaintext HTTP/1 request on a TLS port"),
    (b"POST ", "plaintext HTTP/1 request on a TLS port"),
    (b"HEAD ", "plaintext HTTP/1 request on a TLS port"),
    (b"CONNECT ", "plaintext HTTP/1 request on a TLS port"),
    (b"PROXY ", "PROXY protocol header on a TLS port"),
    (b"\r\n\r\n\0\r\nQUIT\n", "PROXY protocol header on a TLS port"),
    (b"SSH-", "SSH on a TLS port"),
)

_TLS_HANDSHAKE = 0x16


def explain_first_bytes(data: bytes) -> str | None:
    """Return the protocol of the first bytes, or None if they are a TLS record."""
    for prefix, protocol in _PLAINTEXT:
        if data.startswith(prefix):
            return protocol
    if data and data[0] != _TLS_HANDSHAKE:
        return "bytes that are not TLS"
    return None


def explain_failure(
    reason: str, record: HandshakeRecord
) -> tuple[RefusalKind, str, int | None]:
    """Return the kind, text and OpenSSL verify code for a failed handshake."""
    if record.unusable is not None:
        return RefusalKind.BAD_CERTIFICATE, record.unusable, record.error
    if record.error is not None and "certificate verify failed" in reason:
        text = error_text(record.error)
        if record.error_depth:
            text += f" (certificate {record.error_depth} of the chain)"
        return RefusalKind.BAD_CERTIFICATE, text, record.error
    for prefix, kind, explained in _REASONS:
        if reason.startswith(prefix):
            return kind, explained or reason, None
    if not reason:
        # The only TLS errors without a reason are alerts that OpenSSL does not know.
        return RefusalKind.CLIENT, "the client refused: an unknown alert", None
    if " alert " in f" {reason} ":
        return RefusalKind.CLIENT, f"the client refused: {reason}", None
    return RefusalKind.PROTOCOL, reason, None


class _Window:
    __slots__ = ("began", "count", "last", "left_out")

    def __init__(self, began: float) -> None:
        self.began = began
        self.count = 0
        self.left_out = 0
        self.last: Refusal | None = None


class RefusalLog:
    """Reports refusals, at most `_BURST` per second, listener and kind.

    Refusals above that are counted. The count is reported with the next refusal; if
    none follows, the last refusal is reported with it.
    """

    def __init__(self, report: Callable[[Refusal], None]) -> None:
        self._report = report
        self._windows: dict[tuple[str, RefusalKind], _Window] = {}

    def add(self, refusal: Refusal) -> None:
        """Report `refusal`, or count it."""
        now = time.monotonic()
        key = (refusal.listener, refusal.kind)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window(now)
        elif now - window.began >= _WINDOW:
            window.began, window.count = now, 0
        if window.count >= _BURST:
            window.left_out += 1
            window.last = refusal
            return
        window.count += 1
        self._report(replace(refusal, left_out=window.left_out))
        window.left_out, window.last = 0, None

    def flush(self) -> None:
        """Report refusals that were only counted and not followed by another."""
        now = time.monotonic()
        for window in self._windows.values():
            if window.last is not None and now - window.began >= _WINDOW:
                self._report(replace(window.last, left_out=window.left_out - 1))
                window.left_out, window.last = 0, None

    @property
    def is_behind(self) -> bool:
        """Whether there are refusals that were only counted and not reported yet."""
        return any(window.last is not None for window in self._windows.values())
