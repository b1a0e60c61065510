"""Check of a client's certificate as the handshakes of engine `grpc` make it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.tls.boringssl.general_names import IP
from grpcsecure.tls.boringssl.parsed_certificate import (
    DIGITAL_SIGNATURE,
    parse_certificate,
)
from grpcsecure.tls.boringssl.path import PathVerifier
from grpcsecure.tls.chain_verdict import CheckResult
from grpcsecure.tls.der import DerError, Element, decode_string
from grpcsecure.tls.verify_errors import BAD_EXTENSION, BAD_KEY_USAGE, VERIFY_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from grpcsecure.tls.boringssl.parsed_certificate import ParsedCertificate

__all__ = ["NativeCheck"]


_COMMON_NAME = bytes.fromhex("550403")
_IP_LENGTHS = frozenset({4, 16})


class NativeCheck:
    """Verifies clients as the handshakes of gRPC's own TLS do.

    Args:
        anchors: the client CAs (DER), in the order in which gRPC gets them.
    """

    __slots__ = ("_verifier",)

    def __init__(self, anchors: Iterable[bytes]) -> None:
        self._verifier = PathVerifier(anchors)

    def run(self, leaf: bytes, chain: Sequence[bytes], *, at: int) -> CheckResult:
        """Return the result of a handshake at the time `at` (seconds since 1970)."""
        error = self._verifier.why_refused(leaf, chain, at=at)
        unusable = _why_unusable(leaf)
        if unusable is not None:
            return CheckResult(False, unusable, error and error.code)
        if error is None:
            return CheckResult(True)
        reason = error.reason or VERIFY_ERRORS[error.code or 1]
        return CheckResult(False, reason, error.code)


def _why_unusable(leaf: bytes) -> str | None:
    """Return why BoringSSL or gRPC refuses a leaf whatever its path is, or None."""
    try:
        parsed = parse_certificate(leaf)
        if not parsed.may_use(DIGITAL_SIGNATURE):
            return BAD_KEY_USAGE
        _check_names(parsed)
    except DerError:
        return BAD_EXTENSION
    return None


def _check_names(parsed: ParsedCertificate) -> None:
    """Check the names that gRPC reads after the handshake.

    Raises:
        DerError: gRPC cannot read one, and refuses the client.
    """
    for attribute in parsed.subject.attributes:
        if attribute.kind == _COMMON_NAME:
            decode_string(Element(attribute.tag, attribute.value, b""))
            break
    if any(
        each.tag == IP and len(each.value) not in _IP_LENGTHS
        for each in parsed.facts.names or ()
    ):
        raise DerError("an IP address of another length")
