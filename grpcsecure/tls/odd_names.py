"""Names of server certificates that some clients, or all of them, do not accept.

Measured with clients of grpcio 1.85, Go 1.26, Java 17, rustls 0.23 and Node 20, each of
which dialled the name that the certificate is meant for.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.model.peer import Certificate

__all__ = ["OddName", "find_odd_names", "has_usable_name"]

#: The labels of a host name; underscores are not allowed, and all but Java accept them.
_LABEL = re.compile(r"[A-Za-z0-9_*-]+")


class OddName(NamedTuple):
    """A DNS name, its oddity, and the clients that refuse it; "" means all of them."""

    name: str
    oddity: str
    refused_by: str


def find_odd_names(certificate: Certificate) -> Iterator[OddName]:
    """Yield the DNS names of a server certificate that not every client accepts."""
    for name in certificate.dns:
        odd = _describe(name, certificate.ips)
        if odd is not None:
            yield odd


def has_usable_name(certificate: Certificate) -> bool:
    """Whether there is a name that some client accepts, or no name at all."""
    if certificate.ips or certificate.uris or not certificate.dns:
        return True
    odd = [*find_odd_names(certificate)]
    return len(odd) < len(certificate.dns) or any(each.refused_by for each in odd)


def _describe(name: str, ips: tuple[str, ...]) -> OddName | None:
    ip = _ip(name)
    if ip is not None:
        # Old clients want it as a DNS name: fine if it is there as an address, too.
        oddity = "an IP address written as a DNS name"
        return None if ip in ips else OddName(name, oddity, "Go, Java, Node and rustls")
    first, *rest = labels = name.removesuffix(".").split(".")
    if name.removesuffix(".") == "*" or not all(map(_LABEL.fullmatch, labels)):
        return OddName(name, "no host name", "")
    if any("*" in label and label.startswith("xn--") for label in labels):
        return OddName(name, "a wildcard within an encoded name", "")
    if any("*" in label for label in rest) or ("*" in first and first != "*"):
        oddity = "a wildcard that is not the whole first label"
        return OddName(name, oddity, "grpcio, Go and rustls")
    if name.endswith("."):
        return OddName(name, "a host name with a dot at its end", "Go, Java and rustls")
    return None


def _ip(name: str) -> str | None:
    try:
        return str(ip_address(name))
    except ValueError:
        return None
