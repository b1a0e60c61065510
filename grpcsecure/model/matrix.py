"""The outcomes for each kind of client in each client-certificate mode, as data.

Measured on gRPC core; TLS 1.2 and 1.3 agree. The tests check both engines against these
tables, and docs/modes-matrix.md is generated from them; no code decides by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpcsecure.model.modes import ClientCertificateMode

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CLIENTS", "UNFIT_CLIENTS", "ClientKind", "UnfitClient"]

_SERVED = "A"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientKind:
    """A row of the table: a kind of client, and its outcome in each mode."""

    name: str
    #: Description of the certificate that the client presents.
    presents: str
    #: A letter for each mode in the order of `ClientCertificateMode`: A if its calls
    #: succeed, R if its handshake is refused.
    outcomes: str
    #: Why the client is refused, or not verified if it is served: OpenSSL's error text;
    #: None if the certificate verifies.
    reason: str | None = None
    #: Depth of the faulty certificate in the chain: 0 is the client certificate.
    depth: int = 0
    #: The alert that the bridge sends to a refused client, by its name in RFC 8446,
    #: section 6, and the one in TLS 1.2 if it differs (RFC 5246, section 7.2).
    alert: str | None = None
    alert_tls12: str | None = None
    #: Whether `certs dev --broken` writes such a certificate, under this name.
    is_specimen: bool = True

    def is_served_by(self, mode: ClientCertificateMode) -> bool:
        """Whether calls of such a client succeed on a listener with `mode`."""
        return dict(self.by_mode())[mode]

    def by_mode(self) -> Iterator[tuple[ClientCertificateMode, bool]]:
        """Yield each mode, and whether calls succeed in it."""
        for mode, letter in zip(ClientCertificateMode, self.outcomes, strict=True):
            yield mode, letter == _SERVED


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfitClient:
    """A kind of client that cannot make calls in any mode, with any certificate."""

    name: str
    #: Description of the client's behaviour.
    does: str
    #: The reason in the log of the bridge, and the alert that it sends to the client;
    #: None if the handshake completes and the connection is closed after it.
    reason: str
    alert: str | None


CLIENTS = (
    ClientKind(
        name="none",
        presents="no certificate",
        outcomes="AAARR",
        reason="no client certificate",
        alert="certificate_required",
        alert_tls12="handshake_failure",
        is_specimen=False,
    ),
    ClientKind(
        name="trusted",
        presents="trusted CA, EKU clientAuth",
        outcomes="AAAAA",
        is_specimen=False,
    ),
    ClientKind(
        name="no-eku",
        presents="trusted CA, no EKU",
        outcomes="AAAAA",
    ),
    ClientKind(
        name="any-eku",
        presents="trusted CA, EKU anyExtendedKeyUsage only",
        outcomes="AARAR",
        reason="unsupported certificate purpose",
        alert="unsupported_certificate",
    ),
    ClientKind(
        name="server-eku",
        presents="trusted CA, EKU serverAuth only",
        outcomes="AARAR",
        reason="unsupported certificate purpose",
        alert="unsupported_certificate",
    ),
    ClientKind(
        name="expired",
        presents="trusted CA, expired",
        outcomes="AARAR",
        reason="certificate has expired",
        alert="certificate_expired",
    ),
    ClientKind(
        name="not-yet-valid",
        presents="trusted CA, not yet valid",
        outcomes="AARAR",
        reason="certificate is not yet valid",
        alert="bad_certificate",
    ),
    ClientKind(
        name="no-signature",
        presents="trusted CA, KeyUsage without digitalSignature",
        outcomes="ARRRR",
        reason="key usage bit incorrect",
        alert="unsupported_certificate",
    ),
    ClientKind(
        name="self-signed",
        presents="self-signed",
        outcomes="AARAR",
        reason="self-signed certificate",
        alert="unknown_ca",
    ),
    ClientKind(
        name="pinned",
        presents="self-signed, and itself in the CA file",
        outcomes="AAAAA",
        is_specimen=False,
    ),
    ClientKind(
        name="other-ca",
        presents="unknown CA",
        outcomes="AARAR",
        reason="unable to get local issuer certificate",
        alert="unknown_ca",
    ),
    ClientKind(
        name="expired-ca",
        presents="CA in the CA file, expired",
        outcomes="AARAR",
        reason="certificate has expired",
        depth=1,
        alert="certificate_expired",
        is_specimen=False,
    ),
    ClientKind(
        name="intermediate",
        presents="leaf of an intermediate, chain sent",
        outcomes="AAAAA",
    ),
    ClientKind(
        name="no-chain",
        presents="leaf of an intermediate, chain not sent",
        outcomes="AARAR",
        reason="unable to get local issuer certificate",
        alert="unknown_ca",
    ),
    ClientKind(
        name="partial-chain",
        presents="leaf of an intermediate that is in the CA file without its root",
        outcomes="AAAAA",
        is_specimen=False,
    ),
    ClientKind(
        name="issuer-no-ca",
        presents="leaf issued by a certificate that is not a CA",
        outcomes="AARAR",
        reason="invalid CA certificate",
        depth=1,
        alert="unknown_ca",
    ),
    ClientKind(
        name="wrong-key",
        presents="a certificate, but signs the handshake with another key",
        outcomes="ARRRR",
        reason="bad signature",
        alert="decrypt_error",
    ),
)

UNFIT_CLIENTS = (
    UnfitClient(
        name="no-alpn",
        does="offers no protocol (ALPN)",
        reason="no ALPN h2: the client offered no ALPN",
        alert=None,
    ),
    UnfitClient(
        name="http1-only",
        does="offers `http/1.1` only",
        reason="no ALPN h2: the client offered http/1.1",
        alert="no_application_protocol",
    ),
    UnfitClient(
        name="tls11",
        does="speaks TLS 1.1 at most",
        reason="TLS version too old for this listener",
        alert="protocol_version",
    ),
)
