"""GS2xx: files and key material."""

from __future__ import annotations

from grpcsecure.diagnostics.findings import Kind, Severity

__all__ = [
    "BROKEN_BLOCK",
    "CANNOT_SIGN",
    "CA_NOT_IN_FORCE",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_NOT_YET_VALID",
    "CHAIN_DISORDERED",
    "CHAIN_INCOMPLETE",
    "CLIENTS_LEFT_BEHIND",
    "EMPTY_FILE",
    "ENCRYPTED_KEY",
    "EXPIRES_SOON",
    "KEY_MISMATCH",
    "KEY_READABLE",
    "LEAF_NOT_FIRST",
    "MISSING_FILE",
    "NOT_A_CA",
    "NO_CA",
    "NO_CA_IN_FORCE",
    "NO_SERVER_AUTH",
    "NO_SERVER_NAMES",
    "RARE_KEY",
    "SELF_SIGNED",
    "UNREADABLE_FILE",
    "UNSUPPORTED_KEY",
    "WEAK_CA",
    "WEAK_KEY",
    "WEAK_SIGNATURE",
    "WRONG_CONTENT",
]


def _tls(certificate: str, private_key: str = "") -> str:
    pair = f"certificate: {certificate}"
    if private_key:
        pair += f", private_key: {private_key}"
    return f"listeners: {{public: {{tls: {{{pair}}}}}}}"


def _server(name: str) -> str:
    stem = f"certs/broken/server-{name}"
    return _tls(f"{stem}.pem", f"{stem}.key")


def _client_ca(path: str) -> str:
    return (
        "listeners: {public: {tls:"
        f" {{client_certificate: require_and_verify, client_ca: {path}}}}}}}"
    )


_GOOD = _tls("certs/server.pem", "certs/server.key")
_GOOD_CA = _client_ca("certs/ca.pem")

MISSING_FILE = Kind(
    code="GS201",
    name="missing-file",
    severity=Severity.ERROR,
    what="A file that the config names does not exist.",
    why="The listener cannot serve TLS without it. A relative path starts at the"
    " directory of the config file, not at the current directory.",
    bad=_tls("certs/sever.pem"),
    good=_GOOD,
)

UNREADABLE_FILE = Kind(
    code="GS202",
    name="unreadable-file",
    severity=Severity.ERROR,
    what="A file exists but cannot be read: no permission, a directory, too large.",
    why="The listener cannot serve TLS without it. To check permissions, `validate`"
    " must run as the user of the server.",
    bad=_tls("certs"),
    good=_GOOD,
)

KEY_MISMATCH = Kind(
    code="GS203",
    name="key-mismatch",
    severity=Severity.ERROR,
    what="The private key does not match the certificate.",
    why="No handshake could succeed. gRPC itself would only report that it failed to"
    " bind.",
    bad=_tls("certs/server.pem", "certs/client.key"),
    good=_GOOD,
)

WRONG_CONTENT = Kind(
    code="GS204",
    name="wrong-content",
    severity=Severity.ERROR,
    what="A file has another content than its key in the config requires: a private key"
    " instead of certificates, a signing request, DER instead of PEM.",
    why="The listener cannot serve TLS with it.",
    bad=_tls("certs/server.key", "certs/server.pem"),
    good=_GOOD,
)

EMPTY_FILE = Kind(
    code="GS205",
    name="empty-file",
    severity=Severity.ERROR,
    what="A file for certificates or a key is empty.",
    why="The program that writes the file has failed or not finished.",
    bad=_tls("certs/broken/empty.pem"),
    good=_GOOD,
)

BROKEN_BLOCK = Kind(
    code="GS206",
    name="broken-block",
    severity=Severity.ERROR,
    what="A PEM block in a file is damaged.",
    why="gRPC silently stops reading a CA file at the first broken block: the CAs after"
    " it would not be trusted, and their clients would be refused.",
    bad=_client_ca("certs/broken/ca-broken.pem"),
    good=_GOOD_CA,
)

ENCRYPTED_KEY = Kind(
    code="GS207",
    name="encrypted-key",
    severity=Severity.ERROR,
    what="The private key is encrypted with a passphrase.",
    why="A server that starts unattended cannot ask for the passphrase, and gRPC does"
    " not accept one.",
    bad=_server("encrypted"),
    good=_GOOD,
)

LEAF_NOT_FIRST = Kind(
    code="GS208",
    name="leaf-not-first",
    severity=Severity.ERROR,
    what="The server certificate is in the file, but it is not the first certificate.",
    why="TLS uses the first certificate as that of the server (RFC 5246, section"
    " 7.4.2), and the private key does not match that one.",
    bad=_server("leaf-last"),
    good=_server("chain"),
)

CHAIN_DISORDERED = Kind(
    code="GS209",
    name="chain-disordered",
    severity=Severity.WARNING,
    what="The certificates after the server certificate are not in the order of"
    " signing, are duplicates, or do not belong to its chain.",
    why="Most clients reorder the chain themselves; strict ones refuse the server.",
    bad=_server("disordered"),
    good=_server("chain"),
)

CHAIN_INCOMPLETE = Kind(
    code="GS210",
    name="chain-incomplete",
    severity=Severity.WARNING,
    what="An intermediate certificate is missing between the server certificate and its"
    " root.",
    why="Clients know roots, not intermediates. Clients that have cached the"
    " intermediate connect; the others refuse the server with `unable to get local"
    " issuer certificate`.",
    bad=_server("incomplete"),
    good=_server("chain"),
)

CERTIFICATE_EXPIRED = Kind(
    code="GS211",
    name="certificate-expired",
    severity=Severity.ERROR,
    what="The server certificate, or another one of its chain, has expired.",
    why="gRPC would start without a warning, and every client would refuse the server.",
    bad=_server("expired"),
    good=_GOOD,
)

CERTIFICATE_NOT_YET_VALID = Kind(
    code="GS212",
    name="certificate-not-yet-valid",
    severity=Severity.ERROR,
    what="The server certificate, or another one of its chain, is not valid yet.",
    why="gRPC would start without a warning, and every client would refuse the server."
    " A wrong clock of this machine looks the same.",
    bad=_server("not-yet-valid"),
    good=_GOOD,
)

EXPIRES_SOON = Kind(
    code="GS213",
    name="expires-soon",
    severity=Severity.WARNING,
    production=True,
    applies_on_reload=True,
    what="A certificate expires within 7 days.",
    why="The program that renews the certificate should have done so by now.",
    bad=_server("expiring"),
    good=_GOOD,
)

CA_NOT_IN_FORCE = Kind(
    code="GS214",
    name="ca-not-in-force",
    severity=Severity.WARNING,
    production=True,
    applies_on_reload=True,
    what="One of several client CAs has expired or is not valid yet.",
    why="Clients with certificates from that CA are refused.",
    bad=_client_ca("certs/broken/ca-one-expired.pem"),
    good=_GOOD_CA,
)

NO_CA_IN_FORCE = Kind(
    code="GS215",
    name="no-ca-in-force",
    severity=Severity.WARNING,
    production=True,
    applies_on_reload=True,
    what="Every client CA has expired or is not valid yet.",
    why="The validity period of a CA is checked, too: no client certificate would"
    " verify.",
    bad=_client_ca("certs/broken/ca-expired.pem"),
    good=_GOOD_CA,
)

NO_CA = Kind(
    code="GS216",
    name="no-ca",
    severity=Severity.ERROR,
    applies_on_reload=True,
    what="The `client_ca` file contains no CA certificate.",
    why="A certificate that is not a CA cannot verify client certificates. The"
    " exception is a self-signed client certificate, which is verified by itself and"
    " may be in this file.",
    bad=_client_ca("certs/client.pem"),
    good=_GOOD_CA,
)

NOT_A_CA = Kind(
    code="GS217",
    name="not-a-ca",
    severity=Severity.WARNING,
    what="A certificate among the client CAs is not a CA.",
    why="It verifies only the client that has this certificate, which may already be"
    " verified by its CA.",
    bad=_client_ca("certs/broken/ca-and-leaf.pem"),
    good=_GOOD_CA,
)

WEAK_CA = Kind(
    code="GS218",
    name="weak-ca",
    severity=Severity.WARNING,
    what="The key of a client CA is too short.",
    why="An attacker who breaks the key can issue certificates with any name. OpenSSL"
    " refuses such chains at its default security level, BoringSSL does not.",
    bad=_client_ca("certs/broken/ca-weak.pem"),
    good=_GOOD_CA,
)

NO_SERVER_NAMES = Kind(
    code="GS219",
    name="no-server-names",
    severity=Severity.WARNING,
    what="The server certificate has no DNS name or IP address in its subjectAltName.",
    why="Clients compare the name that they dialled with that extension. Python clients"
    " fall back to the common name; Go, Java and Node clients refuse the server.",
    bad=_server("no-san"),
    good=_GOOD,
)

NO_SERVER_AUTH = Kind(
    code="GS220",
    name="no-server-auth",
    severity=Severity.WARNING,
    what="The extendedKeyUsage of the server certificate does not include"
    " `serverAuth`.",
    why="Clients refuse it: `unsupported certificate purpose`.",
    bad=_server("client-eku"),
    good=_GOOD,
)

CANNOT_SIGN = Kind(
    code="GS221",
    name="cannot-sign",
    severity=Severity.ERROR,
    what="The keyUsage of the server certificate does not allow digital signatures.",
    why="Every handshake of TLS 1.3, and of the TLS 1.2 cipher suites that gRPC"
    " allows, is signed with the key. gRPC refuses to start, or its clients refuse"
    " the server.",
    bad=_server("no-signature"),
    good=_GOOD,
)

WEAK_KEY = Kind(
    code="GS222",
    name="weak-key",
    severity=Severity.ERROR,
    what="The key of the server certificate, or of another one of its chain, is too"
    " short.",
    why="Keys with less than 112 bits of security can be broken. OpenSSL clients refuse"
    " them at their default security level: `key too weak`.",
    bad=_server("weak-key"),
    good=_GOOD,
)

WEAK_SIGNATURE = Kind(
    code="GS223",
    name="weak-signature",
    severity=Severity.ERROR,
    what="The server certificate, or another one of its chain, is signed with MD5 or"
    " SHA-1.",
    why="Such signatures can be forged. OpenSSL clients refuse them at their default"
    " security level: `CA signature digest algorithm too weak`.",
)

UNSUPPORTED_KEY = Kind(
    code="GS224",
    name="unsupported-key",
    severity=Severity.ERROR,
    what="The engine cannot serve TLS with this kind of key.",
    why="Both serve with RSA, Ed25519, EC on P-256, P-384 and P-521. The bridge also"
    " serves with Ed448, RSA-PSS, brainpool curves and, if its OpenSSL is 3.5 or newer,"
    " ML-DSA; grpcio with ML-DSA from 1.85 on. gRPC itself would only report that it"
    " failed to bind.",
    bad=_server("ed448"),
    good="listeners: {public: {tls: {certificate: certs/broken/server-ed448.pem,"
    " private_key: certs/broken/server-ed448.key, engine: bridge}}}",
)

RARE_KEY = Kind(
    code="GS225",
    name="rare-key",
    severity=Severity.WARNING,
    what="Clients built on gRPC core (Python, C++, Ruby, …) do not support this kind of"
    " key.",
    why="These clients only offer RSA, P-256 and P-384 signatures, so their handshakes"
    " fail. Go and Java clients connect to Ed25519 and P-521, Java clients to Ed448 and"
    " RSA-PSS, and OpenSSL to all of them; ML-DSA needs OpenSSL 3.5 or newer.",
    bad=_server("ed25519"),
    good=_GOOD,
)

SELF_SIGNED = Kind(
    code="GS226",
    name="self-signed",
    severity=Severity.WARNING,
    production=True,
    what="The server certificate is self-signed.",
    why="Each client must be configured with this very certificate, and again whenever"
    " it changes.",
    bad=_server("self-signed"),
    good=_GOOD,
)

KEY_READABLE = Kind(
    code="GS227",
    name="key-readable",
    severity=Severity.WARNING,
    production=True,
    what="The private key can be read or changed by users other than its owner. If root"
    " owns the file, or Kubernetes mounted it, its group may read it, for servers that"
    " do not run as root.",
    why="Anyone who has the key can impersonate this server.",
)

CLIENTS_LEFT_BEHIND = Kind(
    code="GS234",
    name="clients-left-behind",
    severity=Severity.WARNING,
    what="A client CA or a client certificate in the `--previous` file is no longer"
    " accepted by any listener.",
    why="Every client with a certificate of that CA is refused as soon as the new file"
    " is in use. While clients move to a new CA, the file must contain both CAs. A CA"
    " that was renewed with the same name and key verifies its clients, except those"
    " whose authorityKeyIdentifier names the serial number of the old certificate.",
)
