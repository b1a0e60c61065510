"""What the bridge learns in handshakes: who came in, and who was turned away.

Plain values, made in the bridge's process and read in the launcher's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from grpcsecure.tls.memo import Memo

__all__ = ["NOT_CHECKED", "HandshakeResult"]

#: Why nobody is verified on a listener without client CAs.
NOT_CHECKED = "not checked: the listener has no client CA"


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeResult:
    """What one handshake proved about the client of one connection.

    `address` is gRPC's spelling of the client's real address, `certificate` the leaf
    and `chain` the further certificates that were sent (DER). `verified` is true only
    where OpenSSL's own verdict was recorded in this very handshake; otherwise
    `unverified_reason` says why not in words and `unverified_code` by OpenSSL's
    X509_V_ERR number, where there is one. Both are None without a certificate.
    """

    listener: str
    address: str
    #: The generation of the material that the handshake used.
    generation: int
    certificate: bytes | None = field(default=None, repr=False)
    chain: tuple[bytes, ...] = field(default=(), repr=False)
    verified: bool = False
    unverified_reason: str | None = None
    unverified_code: int | None = None
    #: `TLSv1.2` or `TLSv1.3`.
    tls_version: str
    #: What the client asked for by SNI (RFC 6066), if it did.
    server_name: str | None = None
    resumed: bool = False
    #: The key exchange group in BoringSSL's spelling, as grpcio reports it.
    group: str | None = None
    #: For the server: what it read in the certificate.
    memo: Memo = field(default_factory=Memo, repr=False)
