"""GS320 to GS324: settings of HTTP/2 and TLS that contradict each other."""

from __future__ import annotations

from grpcsecure.diagnostics.findings import Kind, Severity

__all__ = [
    "NO_SUITE",
    "NO_SUITE_OF_TLS12",
    "OPTION_TWICE",
    "TOO_MANY_PINGS",
    "UNSUPPORTED_GROUPS",
]

OPTION_TWICE = Kind(
    code="GS320",
    name="option-twice",
    severity=Severity.ERROR,
    what="A channel option and a key of the config set the same.",
    why="Only one of them can be in force, and a reader may take the other one for it.",
    bad="server: {max_receive_message_size: 16MiB,"
    " channel_options: {grpc.max_receive_message_length: 4194304}}",
    good="server: {max_receive_message_size: 16MiB}",
)

TOO_MANY_PINGS = Kind(
    code="GS321",
    name="too-many-pings",
    severity=Severity.WARNING,
    what="The keepalive settings do not say how often clients may ping. gRPC's own"
    " limit disconnects most clients that do.",
    why="A client that pings more often than it may gets GOAWAY with `too_many_pings`,"
    " and its calls fail. gRPC's own limits are one ping in five minutes, and without a"
    " call one in two hours; most clients with keepalive ping at least once a minute.",
    bad="server: {keepalive: {time: 30s}}",
    good="server: {keepalive: {time: 30s, min_client_interval: 20s,"
    " without_calls: true}}",
)

NO_SUITE = Kind(
    code="GS322",
    name="no-suite",
    severity=Severity.ERROR,
    what="No client can agree with a listener on a cipher suite and a group.",
    why="The listed suites and groups contradict the lowest version of TLS, the key of"
    " the certificate, or each other: every handshake would fail.",
    bad="listeners: {public: {tls: {min_version: TLSv1.3,"
    " ciphers: [ECDHE-ECDSA-AES256-GCM-SHA384]}}}",
    good="listeners: {public: {tls: {min_version: TLSv1.3,"
    " ciphers: [TLS_AES_256_GCM_SHA384]}}}",
)

NO_SUITE_OF_TLS12 = Kind(
    code="GS323",
    name="no-suite-of-tls12",
    severity=Severity.WARNING,
    what="None of the listed suites of TLS 1.2 fits the key of the certificate.",
    why="Clients without TLS 1.3 cannot connect, though it has suites for them: an RSA"
    " key needs suites with RSA, an EC key those with ECDSA.",
    bad="listeners: {public: {tls: {ciphers:"
    " [TLS_AES_256_GCM_SHA384, ECDHE-RSA-AES256-GCM-SHA384]}}}",
    good="listeners: {public: {tls: {ciphers:"
    " [TLS_AES_256_GCM_SHA384, ECDHE-ECDSA-AES256-GCM-SHA384]}}}",
)

UNSUPPORTED_GROUPS = Kind(
    code="GS324",
    name="unsupported-groups",
    severity=Severity.ERROR,
    what="The installed OpenSSL does not have one of the `groups`, or the installed"
    " cryptography cannot set them.",
    why="The listener would accept other groups than the config says. cryptography 47"
    " was the first that can set groups, and X25519MLKEM768 came with OpenSSL 3.5.",
)
