"""GS248 to GS253: several certificates of a listener, and the names of a server."""

from __future__ import annotations

from grpcsecure.diagnostics.findings import Kind, Severity

__all__ = [
    "CERTIFICATE_CONFLICT",
    "NAME_IN_TWO_CERTIFICATES",
    "NAME_NOT_SENT",
    "NEVER_PRESENTED",
    "SHADOWED_NAME",
    "UNCOVERED_NAME",
]

_FIRST = "certs/server"
_EXACT = "certs/broken/server-exact"
_WILDCARD = "certs/broken/server-wildcard"


def _pair(stem: str) -> str:
    return f"        - {{certificate: {stem}.pem, private_key: {stem}.key}}\n"


def _several(*stems: str, more: str = "") -> str:
    pairs = "".join(map(_pair, stems))
    return (
        "listeners:\n  shop:\n    address: 127.0.0.1:8444\n    tls:\n"
        f"      client_certificate: dont_request\n      certificates:\n{pairs}{more}"
    ).rstrip("\n")


def _names(*names: str) -> str:
    return f"      server_names: [{', '.join(names)}]"


CERTIFICATE_CONFLICT = Kind(
    code="GS248",
    name="certificate-conflict",
    severity=Severity.ERROR,
    what="A listener has `certificates`, and also `certificate` or `private_key`.",
    why="It would be a guess which one is for clients that send no name. Where there"
    " are `certificates`, that is the first.",
    bad=_several(_FIRST, more="      certificate: certs/server.pem"),
    good=_several(_FIRST),
)

UNCOVERED_NAME = Kind(
    code="GS249",
    name="uncovered-name",
    severity=Severity.ERROR,
    what="A name in `server_names` is in no certificate of the listener.",
    why="Clients that dial the name get a certificate without it, and refuse the"
    " server. A reload with such a certificate is rejected.",
    bad="listeners: {public: {tls: {server_names: [shop.example]}}}",
    good="listeners: {public: {tls: {server_names: [localhost]}}}",
)

NAME_IN_TWO_CERTIFICATES = Kind(
    code="GS250",
    name="name-in-two-certificates",
    severity=Severity.WARNING,
    what="A name is in two certificates of a listener.",
    why="Clients that ask for it get the first of the two, whatever its type of key.",
    bad=_several(_FIRST, _EXACT, "certs/broken/server-same-name"),
    good=_several(_FIRST, _EXACT),
)

NEVER_PRESENTED = Kind(
    code="GS251",
    name="never-presented",
    severity=Severity.WARNING,
    what="No client gets a certificate: it is not the first of its listener, and each"
    " of its names is in an earlier one, or it has none.",
    why="It is renewed and watched for nothing, and clients that need it are refused.",
    bad=_several(_FIRST, "certs/broken/server-chain"),
    good=_several(_FIRST, _EXACT),
)

SHADOWED_NAME = Kind(
    code="GS252",
    name="shadowed-name",
    severity=Severity.ERROR,
    what="Engine `grpc` presents another certificate for a name than the bridge would.",
    why="The certificate with the name itself is the one to present. gRPC core takes"
    " the first that matches, also by a wildcard, and knows no wildcard with two"
    " labels, such as `*.internal`.",
    bad=_several(_FIRST, _WILDCARD, _EXACT),
    good=_several(_FIRST, _EXACT, _WILDCARD),
)

NAME_NOT_SENT = Kind(
    code="GS253",
    name="name-not-sent",
    severity=Severity.WARNING,
    what="An IP address or a name without a dot in `server_names` is in a certificate,"
    " but not in the first one of the listener.",
    why="Most clients send no name (SNI) when they dial an address, and Java none"
    " without a dot, such as `billing` or `localhost`. They get the first"
    " certificate, and refuse it.",
    bad=_several(_FIRST, _EXACT, more=_names("billing")),
    good=_several(_EXACT, _FIRST, more=_names("billing")),
)
