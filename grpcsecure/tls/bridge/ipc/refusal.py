"""A handshake that the bridge refused: which client, and for which reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["Refusal", "RefusalKind"]


class RefusalKind(Enum):
    """Why a handshake came to nothing, coarsely: for counting and for rate limits."""

    PLAINTEXT = "plaintext"
    NO_CERTIFICATE = "no_certificate"
    BAD_CERTIFICATE = "bad_certificate"
    NO_H2 = "no_h2"
    PROTOCOL = "protocol"
    #: The client gave up, with an alert or without a word.
    CLIENT = "client"
    TIMEOUT = "timeout"
    #: The handshake was fine, the server behind the bridge was not there.
    SERVER = "server"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One handshake that was refused, as one event.

    `subject` and `issuer` are those of the certificate that was at fault (RFC 2253,
    pure ASCII); `left_out` counts refusals of this kind that were not reported since
    the one before.
    """

    listener: str
    address: str
    kind: RefusalKind
    reason: str
    verify_code: int | None = None
    subject: str | None = None
    issuer: str | None = None
    left_out: int = 0
