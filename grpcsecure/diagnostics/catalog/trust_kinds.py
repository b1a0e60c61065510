"""GS235 and up: blocks that a file does not need, and client CAs."""

from __future__ import annotations

from grpcsecure.diagnostics.findings import Kind, Severity

__all__ = [
    "CA_NOT_FOR_CLIENTS",
    "CRL_IN_CLIENT_CA",
    "IGNORED_BLOCK",
    "IP_CONSTRAINT",
    "MANY_CAS",
    "UNSUPPORTED_CLIENT_KEY",
    "UNUSABLE_CA",
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

UNUSABLE_CA = Kind(
    code="GS241",
    name="unusable-ca",
    severity=Severity.WARNING,
    production=True,
    applies_on_reload=True,
    what="A client CA can verify no client on the engine of a listener. On both"
    " engines, if its keyUsage lacks keyCertSign. On engine `grpc`, if the type of its"
    " key is not supported. On the bridge, if its key is too short, its"
    " extendedKeyUsage lacks clientAuth, or a critical extension of it is unknown.",
    why="TLS libraries load such a CA without a word, and refuse each of its clients."
    " BoringSSL (engine `grpc`) supports fewer types of keys than OpenSSL (the bridge),"
    " and OpenSSL applies more of the CA's own extensions.",
    bad=_client_ca("certs/broken/ca-server-eku.pem", ", engine: bridge"),
    good=_client_ca("certs/ca.pem", ", engine: bridge"),
)

IP_CONSTRAINT = Kind(
    code="GS242",
    name="ip-constraint",
    severity=Severity.WARNING,
    what="A client CA has a name constraint on IP addresses, on engine `grpc`.",
    why="BoringSSL does not support such constraints: it refuses every client of that"
    " CA with an IP address in its subjectAltName, inside the constraint or not.",
    bad=_client_ca("certs/broken/ca-ip-constraint.pem"),
    good=_client_ca("certs/broken/ca-ip-constraint.pem", ", engine: bridge"),
)

UNSUPPORTED_CLIENT_KEY = Kind(
    code="GS243",
    name="unsupported-client-key",
    severity=Severity.WARNING,
    production=True,
    applies_on_reload=True,
    what="A registered certificate, or a client's own certificate in `client_ca`, has a"
    " key that the engine of the listener does not accept.",
    why="A server lists the algorithms that it accepts when it requests a certificate."
    " gRPC's own TLS lists no Ed25519, Ed448, RSA-PSS or ML-DSA, and P-521 in TLS 1.2"
    " only. A client with such a key presents no certificate: it is refused, or"
    " anonymous.",
    bad=_client_ca("certs/broken/pinned-p521.pem"),
    good=_client_ca("certs/broken/pinned-p521.pem", ", engine: bridge"),
)

CA_NOT_FOR_CLIENTS = Kind(
    code="GS244",
    name="ca-not-for-clients",
    severity=Severity.WARNING,
    what="On engine `grpc`, a client CA has an extendedKeyUsage without clientAuth, or"
    " an unknown critical extension.",
    why="BoringSSL does not look at a trust anchor's own extensions and lets its"
    " clients in; OpenSSL, and so the bridge, refuses them. That CA is likely one for"
    " servers, and a setting that needs the bridge would shut its clients out.",
    bad=_client_ca("certs/broken/ca-server-eku.pem"),
    good=_GOOD_CA,
)
