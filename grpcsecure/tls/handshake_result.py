"""The result of one TLS handshake: the client's certificate, and was it verified.

The first of four types that say who a peer is:

    HandshakeResult   what the handshake left (this module, both engines)
    PeerAssessment    what holds of its certificate now (`tls.assessment`)
    Principal         which identities it has (`policy.identity_index`)
    Peer              what servicers see (`model.peer`)

A plain value. The bridge makes it in its own process and sends it to the server.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["NOT_CHECKED", "HandshakeResult"]

#: The reason that a certificate is not verified on a listener without client CAs.
NOT_CHECKED = "not checked: the listener has no client CA"


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeResult:
    """The result of one handshake, seen from the server.

    `certificate` is the client's leaf and `chain` the further certificates that it sent
    (DER). `verified` is true only where the engine itself verified the chain in this
    handshake; otherwise `unverified_reason` is the human-readable reason, and
    `unverified_code` OpenSSL's X509_V_ERR number where there is one. Both are None
    without a certificate.

    The other attributes are known for bridged connections only; grpcio answers these
    questions itself where it terminates TLS.
    """

    listener: str
    certificate: bytes | None = field(default=None, repr=False)
    chain: tuple[bytes, ...] = field(default=(), repr=False)
    verified: bool = False
    unverified_reason: str | None = None
    unverified_code: int | None = None
    #: The client's address as gRPC spells it: `ipv4:127.0.0.1:51234`.
    address: str = ""
    #: The generation of the material that the handshake used.
    generation: int = 0
    #: `TLSv1.2` or `TLSv1.3`.
    tls_version: str = ""
    #: The name that the client asked for by SNI (RFC 6066), if it did.
    server_name: str | None = None
    resumed: bool = False
    #: The key exchange group, as grpcio spells it.
    group: str | None = None
