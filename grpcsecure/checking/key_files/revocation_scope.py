"""Checks of the scope of revocation lists: whether one can vouch for any client.

OpenSSL uses a list only for the certificates that it is for (RFC 5280, 5.2.5), and
refuses the others with `different CRL scope`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import revocation_kinds as kinds
from grpcsecure.quoting import holds_key_text, quote
from grpcsecure.tls.crl import CrlScope

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from grpcsecure.checking.key_files.file_uses import FileUse, RevocationUse
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.peer import Certificate
    from grpcsecure.tls.crl import RevocationList

    Found = Sequence[tuple[FileUse, RevocationList]]

__all__ = ["check_crl_removals", "check_crl_scope"]

_MAX_POINT = 200


def check_crl_scope(
    revocation: RevocationUse,
    cas: Iterable[Certificate],
    lists: Mapping[Path, Sequence[RevocationList]],
    now: datetime,
) -> Iterator[Finding]:
    """Find CAs whose lists in force are all for other certificates than clients'.

    Args:
        revocation: a `client_ca` file and the files of its lists.
        cas: the certificates in the `client_ca` file.
        lists: the lists of each file.
        now: the time for checks of validity periods, timezone-aware.
    """
    by_issuer: dict[str, list[tuple[FileUse, RevocationList]]] = {}
    for use in revocation.crls:
        for crl in lists[use.path]:
            if crl.why_not_in_force(now) is None:
                by_issuer.setdefault(crl.issuer, []).append((use, crl))
    cas = [*cas]
    roots = {ca.subject for ca in cas if ca.issuer == ca.subject}
    # A list for CAs only is right for a root whose intermediates sign the clients.
    has_intermediates = any(
        _is_for_clients(crl)
        for issuer, found in by_issuer.items()
        if issuer not in roots
        for _, crl in found
    )
    for found in by_issuer.values():
        yield from _check_issuer(found, signs_clients=not has_intermediates)
    anchors = {ca.subject for ca in cas}
    below = [found for issuer, found in by_issuer.items() if issuer not in anchors]
    above = [found for issuer, found in by_issuer.items() if issuer in anchors]
    if below and above and all(map(_is_for_clients_only, above)):
        yield _no_intermediates(*above[0][0])


def _is_for_clients(crl: RevocationList) -> bool:
    return crl.scope.has_clients


def _is_for_clients_only(found: Found) -> bool:
    return all(crl.scope is CrlScope.CLIENTS for _, crl in found)


def _check_issuer(found: Found, *, signs_clients: bool) -> Iterator[Finding]:
    for_clients = [(use, crl) for use, crl in found if _is_for_clients(crl)]
    if not for_clients:
        use, crl = found[0]
        is_attribute = all(one.scope is CrlScope.ATTRIBUTES for _, one in found)
        if is_attribute or signs_clients:
            yield _no_clients(use, crl)
    elif all(crl.points for _, crl in for_clients):
        yield _one_point(*for_clients[0])


def _no_clients(use: FileUse, crl: RevocationList) -> Finding:
    return use.report(
        kinds.CRL_SCOPE,
        f"the revocation list of {quote(crl.issuer)} in {use.shown} vouches for no"
        f" client{use.on_engines}",
        label=f"it is for {crl.scope.value}",
        help="add a list of that CA for the certificates of clients",
    )


def _no_intermediates(use: FileUse, crl: RevocationList) -> Finding:
    return use.report(
        kinds.CRL_SCOPE,
        f"the revocation list of {quote(crl.issuer)} in {use.shown} vouches for no"
        f" intermediate CA{use.on_engines}",
        label=f"it is for {crl.scope.value}",
        notes=["`crl` has lists of intermediate CAs, whose clients are refused"],
        help="add a list of that CA for CA certificates too",
    )


def _one_point(use: FileUse, crl: RevocationList) -> Finding:
    point = crl.points[0]
    return use.report(
        kinds.CRL_DISTRIBUTION_POINT,
        f"the revocation list of {quote(crl.issuer)} in {use.shown} is only for"
        f" certificates that name its distribution point {quote(point)}",
        label="all other clients are refused: different CRL scope",
        notes=[f"in openssl.cnf: `crlDistributionPoints = URI:{_spell(point)}`"],
        help="name that point in the client certificates; in a template of step-ca:"
        f' `"crlDistributionPoints": ["{_spell(point)}"]`',
    )


def _spell(point: str) -> str:
    """Return a distribution point as a line of a template needs it: not cut."""
    is_plain = point.isprintable() and "`" not in point and len(point) <= _MAX_POINT
    if is_plain and not holds_key_text(point):
        return point
    return quote(point).strip("`")


def check_crl_removals(
    use: FileUse, lists: Iterable[RevocationList]
) -> Iterator[Finding]:
    """Find complete lists with entries that take certificates off a list."""
    for crl in lists:
        if crl.removals and crl.limitation is None:
            entries = "1 entry" if crl.removals == 1 else f"{crl.removals} entries"
            yield use.report(
                kinds.CRL_REMOVALS,
                f"the revocation list of {quote(crl.issuer)} in {use.shown} has"
                f" {entries} with the reason removeFromCRL",
                label="these certificates count as not revoked",
                help="have the CA leave such entries out; they belong in delta lists",
            )
