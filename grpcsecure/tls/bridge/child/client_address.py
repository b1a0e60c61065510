"""Formats a client's socket address as gRPC does for `context.peer()`.

https://github.com/grpc/grpc/blob/master/doc/naming.md has the schemes; an IPv6
address is percent-encoded with its brackets, as in C-core.
"""

from __future__ import annotations

import os
import socket
from ipaddress import IPv6Address
from urllib.parse import quote

__all__ = ["render_address"]

#: Characters that C-core does not escape in the path of a URI (RFC 3986, pchar and
#: `/`).
_SAFE = "/:@!$&'()*+,;=-._~"


def render_address(family: int, address: object) -> str:
    """Return `ipv4:127.0.0.1:1234`, `ipv6:%5B::1%5D:1234`, `unix:/path` or `unix:`."""
    if isinstance(address, tuple):
        host, port = str(address[0]), address[1]
        if family == socket.AF_INET:
            return f"ipv4:{host}:{port}"
        # A dual-stack listener sees IPv4 clients as ::ffff:a.b.c.d; C-core reports
        # them as IPv4.
        mapped = IPv6Address(host).ipv4_mapped
        if mapped is not None:
            return f"ipv4:{mapped}:{port}"
        return "ipv6:" + quote(f"[{host}]:{port}", safe=_SAFE)
    if isinstance(address, bytes) and address[:1] == b"\0":
        return "unix-abstract:" + quote(address[1:], safe=_SAFE)
    path = address if isinstance(address, (str, bytes)) else ""
    # A path may contain bytes that are not text.
    return "unix:" + quote(os.fsencode(path), safe=_SAFE)
