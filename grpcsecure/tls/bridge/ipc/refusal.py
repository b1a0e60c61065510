"""A handshake that the bridge refused: the client and the reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["Refusal", "RefusalKind"]


class RefusalKind(Enum):
    """Coarse reason of a refusal, for counters and rate limits."""

    PLAINTEXT = "plaintext"
    NO_CERTIFICATE = "no_certificate"
    BAD_CERTIFICATE = "bad_certificate"
    NO_H2 = "no_h2"
    PROTOCOL = "protocol"
    #: The client ended the handshake, with or without an alert.
    CLIENT = "client"
    TIMEOUT = "timeout"
    #: The listener has as many connections as it may have.
    LIMIT = "limit"
    #: The handshake succeeded, but the server behind the bridge was not reachable.
    SERVER = "server"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One refused handshake.

    `subject` and `issuer` are those of the certificate that caused the refusal
    (RFC 2253, ASCII); `left_out` counts the refusals of this kind that were not
    reported since the previous one.
    """

    listener: str
    address: str
    kind: RefusalKind
    reason: str
    verify_code: int | None = None
    subject: str | None = None
    issuer: str | None = None
    left_out: int = 0
