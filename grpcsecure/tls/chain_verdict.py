"""The result of verifying a chain, and the verdict of client CAs and CRLs on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

__all__ = ["ChainCheck", "ChainVerdict", "CheckResult"]


class CheckResult(NamedTuple):
    """The result of one check; `reason` is None if the check was incomplete."""

    verified: bool
    reason: str | None = None
    code: int | None = None


class ChainCheck(Protocol):
    """Verifies clients as the handshakes of an engine do."""

    def run(self, leaf: bytes, chain: Sequence[bytes], *, at: int) -> CheckResult:
        """Return the result for a leaf and its chain (DER), `at` seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainVerdict:
    """The verdict on a chain, by the client CAs and CRLs of one generation.

    `reason` is None if the chain is verified, otherwise OpenSSL's text for why not;
    `code` is the X509_V_ERR number where there is one. The verdict is the same at every
    moment from `since` until just before `until`. `is_unvouched` is whether the chain
    is good, but not by the CAs of the trust domain that its SPIFFE id names.
    """

    reason: str | None
    code: int | None = None
    is_unvouched: bool = False
    since: datetime
    until: datetime
