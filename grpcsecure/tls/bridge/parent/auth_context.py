"""The auth context of a bridged peer, with the names, order and bytes of grpcio's own.

Mirrors `ssl_security_connector` of gRPC core. As there, nothing in it shows whether the
certificate was verified; `HandshakeResult` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.tls.openssl.certificate_names import read_names
from grpcsecure.tls.pem import render_pem

if TYPE_CHECKING:
    from grpcsecure.tls.handshake_result import HandshakeResult

__all__ = [
    "auth_context",
    "complete",
    "peer_identities",
    "peer_identity_key",
    "properties_to_keep",
]

_LEAF = "x509_pem_cert"
_CHAIN = "x509_pem_cert_chain"
_ALTERNATIVE = "x509_subject_alternative_name"
_COMMON = "x509_common_name"

#: Limits of a SPIFFE id, as in `IsSpiffeId` of gRPC core.
_MAX_SPIFFE_ID = 2048
_MAX_TRUST_DOMAIN = 255

#: Up to this many bytes of certificates their PEM text is kept with the connection. The
#: client decides how many certificates follow the leaf; few send that many.
_MAX_KEPT = 16 * 1024


def auth_context(result: HandshakeResult) -> dict[str, list[bytes]]:
    """Return what `ServicerContext.auth_context()` returns with grpcio's own TLS.

    Raises:
        DerError: the certificate is malformed; the bridge refuses these.
    """
    return complete(properties_to_keep(result), result)


def properties_to_keep(result: HandshakeResult) -> dict[str, list[bytes]]:
    """Return the properties to keep with the connection, for `complete`.

    Long PEM texts are left out. The rest is kept because building it takes too long to
    be done at every call.

    Raises:
        DerError: as above.
    """
    properties: dict[str, list[bytes]] = {"transport_security_type": [b"ssl"]}
    if result.certificate is not None:
        _add_certificate(properties, result.certificate, result.chain)
    properties["security_level"] = [b"TSI_PRIVACY_AND_INTEGRITY"]
    properties["ssl_session_reused"] = [b"true" if result.resumed else b"false"]
    if result.server_name:
        properties["ssl_requested_server_name"] = [result.server_name.encode()]
    properties["ssl_tls_version"] = [result.tls_version.encode()]
    if result.group:
        properties["ssl_negotiated_key_exchange_group"] = [result.group.encode()]
    uris = properties.get("peer_uri", [])
    if len(uris) == 1 and _is_spiffe_id(uris[0]):
        properties["peer_spiffe_id"] = uris
    return properties


def complete(
    kept: dict[str, list[bytes]], result: HandshakeResult
) -> dict[str, list[bytes]]:
    """Return a copy of the kept properties, with the PEM texts that were left out."""
    properties = {name: [*values] for name, values in kept.items()}
    if not properties.get(_LEAF, True) and result.certificate is not None:
        _add_text(properties, result.certificate, result.chain)
    return properties


def _add_text(
    properties: dict[str, list[bytes]], leaf: bytes, chain: tuple[bytes, ...]
) -> None:
    properties[_LEAF] = [render_pem("CERTIFICATE", [leaf])]
    if chain:
        properties[_CHAIN] = [render_pem("CERTIFICATE", chain)]


def _add_certificate(
    properties: dict[str, list[bytes]], leaf: bytes, chain: tuple[bytes, ...]
) -> None:
    names = read_names(leaf)
    properties["x509_subject"] = [names.subject]
    properties[_COMMON] = [names.common_name]
    properties[_LEAF] = []  # its place in the order
    for kind, value in names.alternative:
        properties.setdefault(_ALTERNATIVE, []).append(value)
        if kind is not None:
            properties.setdefault(kind, []).append(value)
    if chain:
        properties[_CHAIN] = []
    if len(leaf) + sum(map(len, chain)) <= _MAX_KEPT:
        _add_text(properties, leaf, chain)


def _is_spiffe_id(uri: bytes) -> bool:
    parts = uri.split(b"/")
    return (
        uri.startswith(b"spiffe://")
        and len(uri) <= _MAX_SPIFFE_ID
        and len(parts) > 3  # noqa: PLR2004 - scheme, nothing, trust domain, path
        and parts[3] != b""
        and len(parts[2]) <= _MAX_TRUST_DOMAIN
    )


def peer_identity_key(properties: dict[str, list[bytes]]) -> str | None:
    """Return the name of the property that identifies the peer, or None."""
    if _ALTERNATIVE in properties:
        return _ALTERNATIVE
    return _COMMON if _COMMON in properties else None


def peer_identities(properties: dict[str, list[bytes]]) -> list[bytes] | None:
    """Return the values of that property, or None without a certificate."""
    key = peer_identity_key(properties)
    return None if key is None else properties[key]
