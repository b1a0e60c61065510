"""Certificates for tests: a CA, servers, clients, and broken ones.

Made with `grpcsecure.devcerts`, so that the tests use the same certificates as users of
`certs dev`. Generated in every test run, because certificates expire.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from grpcsecure.devcerts import make_files, parse_client, parse_server, write_files

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "CLIENT",
    "SERVER_NAMES",
    "key_text",
    "make_certificates",
    "make_specimens",
]

SERVER_NAMES = ("localhost", "127.0.0.1", "::1")

#: The identity in `client.pem`.
CLIENT = "spiffe:spiffe://grpcsecure.test/client"


def make_certificates(
    folder: Path,
    *,
    servers: tuple[str, ...] = SERVER_NAMES,
    clients: tuple[str, ...] = (CLIENT,),
    now: datetime | None = None,
    days: float = 30,
    broken: bool = False,
) -> Path:
    """Write the files of `certs dev`: `ca`, `server` and `client`, `.pem` and `.key`.

    Further clients are `client-2`, `client-3`, ….
    """
    files = make_files(
        servers=[parse_server(name) for name in servers],
        clients=[parse_client(name) for name in clients],
        now=datetime.now(timezone.utc) if now is None else now,
        days=days,
        broken=broken,
    )
    write_files(folder, files, force=False)
    return folder


def make_specimens(folder: Path) -> Path:
    """Write good certificates into `folder`, and broken ones into `broken` below it."""
    return make_certificates(folder, broken=True)


def key_text(folder: Path) -> set[str]:
    """Return the base64 lines of every private key below `folder`."""
    return {
        line
        for path in folder.rglob("*.key")
        for line in path.read_text().splitlines()
        if line and not line.startswith("-----")
    }
