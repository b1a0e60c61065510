"""GS235 and up: blocks that a file does not need, and client CAs."""

from __future__ import annotations

from grpcsecure.diagnostics.findings import Kind, Severity

__all__ = [
    "CRL_IN_CLIENT_CA",
    "IGNORED_BLOCK",
    "MANY_CAS",
]


def _client_ca(path: str, more: str = "") -> str:
    return (
        "listeners: {public: {tls: {client_certificate: require_and_verify,"
        f" client_ca: {path}{more}}}}}}}"
    )


_GOOD_CA = _client_ca("certs/ca.pem")
_WITH_CRL = "certs/broken/ca-with-crl.pem"
_TWO_KEYS = "certs/broken/server-two-keys"

IGNORED_BLOCK = Kind(
    code="GS235",
    name="ignored-block",
    severity=Severity.WARNING,
    what="A file has a PEM block that is not used: a second private key, a revocation"
    " list beside a certificate, a certificate with OpenSSL's trust settings.",
    why="Of a `private_key` file only the first key is used, of `certificate` and"
    " `client_ca` files only the certificates. Its owner may rely on it.",
    bad=f"listeners: {{public: {{tls: {{certificate: {_TWO_KEYS}.pem,"
    f" private_key: {_TWO_KEYS}.key}}}}}}",
    good="listeners: {public: {tls: {certificate: certs/server.pem,"
    " private_key: certs/server.key}}}",
)

CRL_IN_CLIENT_CA = Kind(
    code="GS236",
    name="crl-in-client-ca",
    severity=Severity.ERROR,
    what="A `client_ca` file contains a revocation list, and the listener's `crl` does"
    " not name that file.",
    why="TLS libraries ignore the list there without a word: revoked clients would be"
    " let in. Name the file in `crl` too, and the list in it is used.",
    bad=_client_ca(_WITH_CRL),
    good=_client_ca(_WITH_CRL, f", crl: [{_WITH_CRL}]"),
)

MANY_CAS = Kind(
    code="GS240",
    name="many-cas",
    severity=Severity.WARNING,
    what="A `client_ca` file has more than 30 self-signed CAs.",
    why="That is likely a bundle of public CAs, made for clients. Each of them can"
    " issue a certificate with any name, which then counts as verified.",
    bad=_client_ca("certs/broken/ca-many.pem"),
    good=_GOOD_CA,
)
