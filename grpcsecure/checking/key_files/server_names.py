"""Checks of a server certificate's names and role, as clients see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import server_name_kinds as kinds
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.checking.key_files.file_uses import FileUse
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.peer import Certificate

__all__ = ["check_server_names"]


def check_server_names(use: FileUse, certificate: Certificate) -> Iterator[Finding]:
    """Find names that clients refuse, and a CA certificate in place of a server's."""
    from grpcsecure.tls.odd_names import find_odd_names, has_usable_name
    from grpcsecure.tls.purpose import is_authority_certificate

    if not has_usable_name(certificate):
        yield use.report(
            kinds.IMPOSSIBLE_SERVER_NAME,
            f"no client accepts a name of the certificate in {use.shown}",
            label=f"{quote(certificate.dns[0])} is no host name",
            help="have it issued again with the names that clients dial",
        )
    else:
        seen: set[str] = set()
        for odd in find_odd_names(certificate):
            if odd.oddity not in seen:
                seen.add(odd.oddity)
                yield use.report(
                    kinds.ODD_SERVER_NAME,
                    f"{quote(odd.name)} in {use.shown} is {odd.oddity}",
                    label=f"{_refusers(odd.refused_by)} refuse the server by this name",
                    help=_remedy(odd.oddity),
                )
    if is_authority_certificate(certificate):
        yield use.report(
            kinds.CA_AS_SERVER,
            f"the certificate in {use.shown} is a CA certificate",
            label="clients on rustls refuse the server",
            help="have it issued again with `basicConstraints=CA:FALSE`",
        )


def _refusers(names: str) -> str:
    return f"clients on {names}" if names else "all clients"


def _remedy(oddity: str) -> str:
    if "IP address" in oddity:
        return "have it issued again with an IP address (`IP:…`) instead of `DNS:…`"
    return "have it issued again with the names that clients dial"
