"""GS245 to GS247: names and role of server certificates."""

from __future__ import annotations

from grpcsecure.diagnostics.findings import Kind, Severity

__all__ = ["CA_AS_SERVER", "IMPOSSIBLE_SERVER_NAME", "ODD_SERVER_NAME"]


def _server(name: str) -> str:
    stem = f"certs/broken/server-{name}"
    return (
        f"listeners: {{public: {{tls: {{certificate: {stem}.pem,"
        f" private_key: {stem}.key}}}}}}"
    )


_GOOD = "listeners: {public: {tls: {certificate: certs/server.pem}}}"

ODD_SERVER_NAME = Kind(
    code="GS245",
    name="odd-server-name",
    severity=Severity.WARNING,
    what="A name of the server certificate is one that not all clients accept: an IP"
    " address written as a DNS name, a partial wildcard (`f*.example`), a dot at the"
    " end.",
    why="Clients that dial this name refuse the server. An IP address has to be an IP"
    " address in the subjectAltName, a wildcard the whole first label.",
    bad=_server("odd-names"),
    good=_GOOD,
)

IMPOSSIBLE_SERVER_NAME = Kind(
    code="GS246",
    name="impossible-server-name",
    severity=Severity.ERROR,
    what="No name of the server certificate is one that any client accepts: a URL, a"
    " name with a port, `*` alone.",
    why="Every client that compares names refuses the server. The common name does not"
    " count where there is a subjectAltName.",
    bad=_server("impossible-name"),
    good=_GOOD,
)

CA_AS_SERVER = Kind(
    code="GS247",
    name="ca-as-server",
    severity=Severity.WARNING,
    what="The server certificate is a CA certificate (`cA` is true).",
    why="Clients on rustls, such as tonic, refuse it: `CaUsedAsEndEntity`. Its key"
    " could also issue certificates. `openssl req -x509` makes such a certificate by"
    " default.",
    bad=_server("ca"),
    good=_GOOD,
)
