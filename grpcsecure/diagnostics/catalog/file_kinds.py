"""GS2xx: files and key material."""

from __future__ import annotations

from grpcsecure.diagnostics.model import Kind, Severity

__all__ = [
    "BROKEN_BLOCK",
    "CANNOT_SIGN",
    "CA_NOT_IN_FORCE",
    "CA_WITHOUT_CRL",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_NOT_YET_VALID",
    "CHAIN_DISORDERED",
    "CHAIN_INCOMPLETE",
    "CLIENTS_LEFT_BEHIND",
    "CRL_NOT_IN_FORCE",
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
    "OVERSIZED_CRLS",
    "RARE_KEY",
    "SELF_SIGNED",
    "UNKNOWN_CRL_ISSUER",
    "UNREADABLE_FILE",
    "UNSUPPORTED_CRL",
    "UNSUPPORTED_KEY",
    "UNTRUSTED_CRL",
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


def _crl(*names: str, client_ca: str = "certs/ca.pem") -> str:
    files = ", ".join(f"certs/broken/{name}" for name in names)
    return (
        "listeners: {public: {tls: {client_certificate: require_and_verify,"
        f" client_ca: {client_ca}, crl: [{files}]}}}}}}"
    )


_GOOD = _tls("certs/server.pem", "certs/server.key")
_GOOD_CA = _client_ca("certs/ca.pem")
_GOOD_CRL = _crl("ca.crl")

MISSING_FILE = Kind(
    code="GS201",
    name="missing-file",
    severity=Severity.ERROR,
    what="A file that the config names is not there.",
    why="The listener cannot serve TLS without it. Relative paths start at the folder"
    " of the file that names them, not at the current directory.",
    bad=_tls("certs/sever.pem"),
    good=_GOOD,
)

UNREADABLE_FILE = Kind(
    code="GS202",
    name="unreadable-file",
    severity=Severity.ERROR,
    what="A file is there but cannot be read: no permission, a directory, too large.",
    why="The listener cannot serve TLS without it. `validate` must run as the user that"
    " will serve to tell about permissions.",
    bad=_tls("certs"),
    good=_GOOD,
)

KEY_MISMATCH = Kind(
    code="GS203",
    name="key-mismatch",
    severity=Severity.ERROR,
    what="The private key does not fit the certificate.",
    why="No handshake could succeed. gRPC itself would only say that it failed to"
    " bind.",
    bad=_tls("certs/server.pem", "certs/client.key"),
    good=_GOOD,
)

WRONG_CONTENT = Kind(
    code="GS204",
    name="wrong-content",
    severity=Severity.ERROR,
    what="A file holds something else than it is named for: a key where certificates"
    " belong, a signing request, DER instead of PEM.",
    why="The listener cannot serve TLS with it.",
    bad=_tls("certs/server.key", "certs/server.pem"),
    good=_GOOD,
)

EMPTY_FILE = Kind(
    code="GS205",
    name="empty-file",
    severity=Severity.ERROR,
    what="A file for certificates or a key is empty.",
    why="Something that was to write it failed, or has not finished.",
    bad=_tls("certs/broken/empty.pem"),
    good=_GOOD,
)

BROKEN_BLOCK = Kind(
    code="GS206",
    name="broken-block",
    severity=Severity.ERROR,
    what="A PEM block in a file is damaged.",
    why="gRPC stops reading a CA file at the first broken block, without a word: the"
    " CAs after it would not be trusted, and their clients refused.",
    bad=_client_ca("certs/broken/ca-broken.pem"),
    good=_GOOD_CA,
)

ENCRYPTED_KEY = Kind(
    code="GS207",
    name="encrypted-key",
    severity=Severity.ERROR,
    what="The private key is encrypted with a passphrase.",
    why="A server that starts by itself has nobody to ask for it, and gRPC takes no"
    " passphrase.",
    bad=_server("encrypted"),
    good=_GOOD,
)

LEAF_NOT_FIRST = Kind(
    code="GS208",
    name="leaf-not-first",
    severity=Severity.ERROR,
    what="The server's own certificate is in the file, but not as the first.",
    why="TLS takes the first certificate for the server's own (RFC 5246, 7.4.2), and"
    " the key does not fit that one.",
    bad=_server("leaf-last"),
    good=_server("chain"),
)

CHAIN_DISORDERED = Kind(
    code="GS209",
    name="chain-disordered",
    severity=Severity.WARNING,
    what="The certificates after the server's own are not in the order of signing, are"
    " there twice, or do not belong to its chain.",
    why="Most clients put them in order themselves; strict ones refuse the server.",
    bad=_server("disordered"),
    good=_server("chain"),
)

CHAIN_INCOMPLETE = Kind(
    code="GS210",
    name="chain-incomplete",
    severity=Severity.WARNING,
    what="An intermediate certificate is missing between the server's own and its"
    " root.",
    why="Clients know roots, not intermediates. Some have seen the intermediate before"
    " and connect, the others refuse: `unable to get local issuer certificate`.",
    bad=_server("incomplete"),
    good=_server("chain"),
)

CERTIFICATE_EXPIRED = Kind(
    code="GS211",
    name="certificate-expired",
    severity=Severity.ERROR,
    what="The server certificate, or one of its chain, has expired.",
    why="gRPC would start without a word, and every client refuse the server.",
    bad=_server("expired"),
    good=_GOOD,
)

CERTIFICATE_NOT_YET_VALID = Kind(
    code="GS212",
    name="certificate-not-yet-valid",
    severity=Severity.ERROR,
    what="The server certificate, or one of its chain, is not valid yet.",
    why="gRPC would start without a word, and every client refuse the server. A wrong"
    " clock looks the same.",
    bad=_server("not-yet-valid"),
    good=_GOOD,
)

EXPIRES_SOON = Kind(
    code="GS213",
    name="expires-soon",
    severity=Severity.WARNING,
    production=True,
    what="A certificate expires within 7 days.",
    why="Whatever was to renew it should have done so by now.",
    bad=_server("expiring"),
    good=_GOOD,
)

CA_NOT_IN_FORCE = Kind(
    code="GS214",
    name="ca-not-in-force",
    severity=Severity.WARNING,
    what="One of several client CAs is outside its dates.",
    why="Clients with certificates from that CA are refused.",
    bad=_client_ca("certs/broken/ca-one-expired.pem"),
    good=_GOOD_CA,
)

NO_CA_IN_FORCE = Kind(
    code="GS215",
    name="no-ca-in-force",
    severity=Severity.ERROR,
    what="Every client CA is outside its dates.",
    why="Dates are checked on CAs too: no client certificate would verify.",
    bad=_client_ca("certs/broken/ca-expired.pem"),
    good=_GOOD_CA,
)

NO_CA = Kind(
    code="GS216",
    name="no-ca",
    severity=Severity.ERROR,
    what="The file of client CAs has no CA in it.",
    why="A certificate that may not sign others verifies none of them. The exception is"
    " a self-signed one: it stands for itself, and may be listed here.",
    bad=_client_ca("certs/client.pem"),
    good=_GOOD_CA,
)

NOT_A_CA = Kind(
    code="GS217",
    name="not-a-ca",
    severity=Severity.WARNING,
    what="A certificate among the client CAs is no CA.",
    why="It verifies nobody but its own holder, whom its CA may verify already.",
    bad=_client_ca("certs/broken/ca-and-leaf.pem"),
    good=_GOOD_CA,
)

WEAK_CA = Kind(
    code="GS218",
    name="weak-ca",
    severity=Severity.WARNING,
    what="The key of a client CA is too short.",
    why="Whoever breaks it can make a certificate under any name. OpenSSL refuses such"
    " chains at its usual security level, BoringSSL does not.",
    bad=_client_ca("certs/broken/ca-weak.pem"),
    good=_GOOD_CA,
)

NO_SERVER_NAMES = Kind(
    code="GS219",
    name="no-server-names",
    severity=Severity.WARNING,
    what="The server certificate has no DNS name or IP address in its subjectAltName.",
    why="Clients compare the name they dialled with that extension. Python's fall back"
    " to the common name; Go, Java and Node refuse the server.",
    bad=_server("no-san"),
    good=_GOOD,
)

NO_SERVER_AUTH = Kind(
    code="GS220",
    name="no-server-auth",
    severity=Severity.WARNING,
    what="The server certificate is limited to other purposes than `serverAuth`.",
    why="Clients refuse it: `unsupported certificate purpose`.",
    bad=_server("client-eku"),
    good=_GOOD,
)

CANNOT_SIGN = Kind(
    code="GS221",
    name="cannot-sign",
    severity=Severity.ERROR,
    what="The keyUsage of the server certificate does not allow digital signatures.",
    why="Every handshake of TLS 1.3, and all that gRPC allows of TLS 1.2, is signed"
    " with the key. gRPC refuses to start, or its clients refuse the server.",
    bad=_server("no-signature"),
    good=_GOOD,
)

WEAK_KEY = Kind(
    code="GS222",
    name="weak-key",
    severity=Severity.ERROR,
    what="The key of the server certificate, or of one of its chain, is too short.",
    why="Keys of less than 112 bits of strength can be broken. OpenSSL clients refuse"
    " them at their usual security level: `key too weak`.",
    bad=_server("weak-key"),
    good=_GOOD,
)

WEAK_SIGNATURE = Kind(
    code="GS223",
    name="weak-signature",
    severity=Severity.ERROR,
    what="The server certificate, or one of its chain, is signed with MD5 or SHA-1.",
    why="Such signatures can be forged. OpenSSL clients refuse them at their usual"
    " security level: `CA signature digest algorithm too weak`.",
)

UNSUPPORTED_KEY = Kind(
    code="GS224",
    name="unsupported-key",
    severity=Severity.ERROR,
    what="gRPC cannot serve TLS with this kind of key.",
    why="Its TLS library knows RSA, and EC on P-256, P-384 and P-521; it would only say"
    " that it failed to bind.",
)

RARE_KEY = Kind(
    code="GS225",
    name="rare-key",
    severity=Severity.WARNING,
    what="Clients built on gRPC core (Python, C++, Ruby, …) do not know this kind of"
    " key.",
    why="They do not offer Ed25519 and P-521 signatures and are refused; Go and Java"
    " clients connect.",
    bad=_server("ed25519"),
    good=_GOOD,
)

SELF_SIGNED = Kind(
    code="GS226",
    name="self-signed",
    severity=Severity.WARNING,
    production=True,
    what="The server certificate is self-signed.",
    why="Each client has to be given this very certificate, and again when it changes.",
    bad=_server("self-signed"),
    good=_GOOD,
)

KEY_READABLE = Kind(
    code="GS227",
    name="key-readable",
    severity=Severity.WARNING,
    production=True,
    what="The private key can be read or changed by users other than its owner. A group"
    " may read one of root's, which is how a server that is not root gets it.",
    why="Whoever has the key can pretend to be this server.",
)

UNSUPPORTED_CRL = Kind(
    code="GS228",
    name="unsupported-crl",
    severity=Severity.ERROR,
    what="A revocation list is of a kind that cannot be used: a delta, an indirect one,"
    " one for some reasons only, or with an unknown critical extension.",
    why="It does not say by itself whether a certificate is revoked, and taken for a"
    " complete list it could let in one that is.",
    bad=_crl("ca-delta.crl"),
    good=_GOOD_CRL,
)

UNTRUSTED_CRL = Kind(
    code="GS229",
    name="untrusted-crl",
    severity=Severity.ERROR,
    what="A revocation list bears the name of a client CA that did not sign it, or may"
    " not sign such lists.",
    why="No certificate of that CA could be verified: `CRL signature failure`.",
    bad=_crl("ca-forged.crl"),
    good=_GOOD_CRL,
)

UNKNOWN_CRL_ISSUER = Kind(
    code="GS230",
    name="unknown-crl-issuer",
    severity=Severity.WARNING,
    what="A revocation list is of a CA that is not among the client CAs.",
    why="It is used only for clients that send the certificate of that CA themselves,"
    " as an intermediate one. A list of the wrong CA looks the same.",
    bad=_crl("ca.crl", "other-ca.crl"),
    good=_GOOD_CRL,
)

CRL_NOT_IN_FORCE = Kind(
    code="GS231",
    name="crl-not-in-force",
    severity=Severity.WARNING,
    what="A revocation list is out of date, or not valid yet.",
    why="Whoever was revoked since is not on it. So no certificate of that CA is"
    " verified until there is a current list: modes that verify refuse its clients,"
    " with `CRL has expired`.",
    bad=_crl("ca-expired.crl"),
    good=_GOOD_CRL,
)

CA_WITHOUT_CRL = Kind(
    code="GS232",
    name="ca-without-crl",
    severity=Severity.WARNING,
    what="The listener has revocation lists, but none of one of its client CAs.",
    why="Nobody can tell which certificates that CA has revoked. So none that it signed"
    " is verified, but for those that are client CAs themselves: modes that verify"
    " refuse its clients, with `unable to get certificate CRL`.",
    bad=_crl("ca.crl", client_ca="certs/broken/ca-two.pem"),
    good=_crl("ca.crl", "other-ca.crl", client_ca="certs/broken/ca-two.pem"),
)

OVERSIZED_CRLS = Kind(
    code="GS233",
    name="oversized-crls",
    severity=Severity.ERROR,
    what="The revocation lists of all listeners together are larger than 32 MiB.",
    why="The bridge, which looks into them at each handshake, takes no more.",
)

CLIENTS_LEFT_BEHIND = Kind(
    code="GS234",
    name="clients-left-behind",
    severity=Severity.WARNING,
    what="A client CA, or a certificate in use, that `--previous` names does not count"
    " any more.",
    why="Every client whose certificate that CA signed is refused from the moment the"
    " new file is in force. While clients move to a new CA, both belong in the file.",
)
