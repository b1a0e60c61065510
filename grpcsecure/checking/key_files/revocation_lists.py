"""Checks of revocation lists: whether they are usable and current, one for each CA.

A client certificate is only verified if a current list of its CA exists. So a missing
or expired list locks out every client of its CA, which is hard to see from outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.checking.key_files.validity import spell_span
from grpcsecure.diagnostics.catalog import revocation_kinds as kinds
from grpcsecure.diagnostics.findings import Label
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from grpcsecure.checking.key_files.file_uses import FileUse, RevocationUse
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.peer import Certificate
    from grpcsecure.tls.crl import RevocationList

    Lists = Mapping[Path, Sequence[RevocationList]]

__all__ = ["check_crl_dates", "check_crl_kind", "check_crl_size", "check_revocation"]

#: All lists of all listeners are sent to the bridge in one frame of limited size.
_MAX_MIB = 32

_SHUT_OUT = "no client of that CA gets in"


def check_crl_kind(use: FileUse, lists: Iterable[RevocationList]) -> Iterator[Finding]:
    """Find lists of an unsupported kind, which do not show all revoked certificates."""
    for crl in lists:
        if crl.limitation is not None:
            yield use.report(
                kinds.UNSUPPORTED_CRL,
                f"the revocation list of {quote(crl.issuer)} in {use.shown} cannot be"
                " used",
                label=crl.limitation,
                help="name a complete list of that CA",
            )


def check_crl_size(
    revocations: Iterable[RevocationUse], lists: Lists
) -> Iterator[Finding]:
    """Find lists beyond the limit of the bridge; each listener has its own copies."""
    total = 0
    for revocation in revocations:
        size = sum(len(crl.der) for crl in _all_of(revocation, lists))
        total += size * revocation.listeners
        if total > _MAX_MIB << 20:
            yield kinds.OVERSIZED_CRLS(
                f"the revocation lists of all listeners have {total >> 20} MiB",
                span=revocation.keys[0],
                label=f"more than {_MAX_MIB} MiB up to here",
                help="have the CA publish its list in parts, or drop expired"
                " certificates from it",
            )
            return


def check_crl_dates(
    uses: Iterable[FileUse],
    revocations: Sequence[RevocationUse],
    lists: Lists,
    now: datetime,
) -> Iterator[Finding]:
    """Find lists that have expired or are not valid yet, without a current one.

    An old list beside a current one of the same CA does no harm: the current one is
    used.
    """
    needed = {
        (use.path, crl.issuer)
        for revocation in revocations
        for use in revocation.crls
        for crl in lists.get(use.path, ())
        if crl.issuer not in _issuers_in_force(revocation, lists, now)
    }
    for use in uses:
        for crl in lists.get(use.path, ()):
            if (use.path, crl.issuer) in needed:
                yield _not_current(use, crl, now)


def _all_of(revocation: RevocationUse, lists: Lists) -> list[RevocationList]:
    return [crl for use in revocation.crls for crl in lists.get(use.path, ())]


def _issuers_in_force(
    revocation: RevocationUse, lists: Lists, now: datetime
) -> set[str]:
    return {
        crl.issuer
        for crl in _all_of(revocation, lists)
        if crl.why_not_in_force(now) is None
    }


def _not_current(use: FileUse, crl: RevocationList, now: datetime) -> Finding:
    name = f"the revocation list of {quote(crl.issuer)} in {use.shown}"
    if now < crl.this_update:
        return use.report(
            kinds.CRL_NOT_IN_FORCE,
            f"{name} is not valid before {crl.this_update:%Y-%m-%d %H:%M} UTC;"
            f" {_SHUT_OUT}{use.on_engines}",
            label=f"valid in {spell_span(crl.this_update - now)}",
            help="wait, or check the clock of this machine and of the CA",
        )
    assert crl.next_update is not None  # noqa: S101 - it would be in force
    return use.report(
        kinds.CRL_NOT_IN_FORCE,
        f"{name} expired on {crl.next_update:%Y-%m-%d %H:%M} UTC;"
        f" {_SHUT_OUT}{use.on_engines}",
        label=f"expired {spell_span(now - crl.next_update)} ago",
        help="fetch the current list of that CA; find out why it was not updated",
    )


def check_revocation(
    revocation: RevocationUse, cas: Mapping[Certificate, FileUse], lists: Lists
) -> Iterator[Finding]:
    """Find lists that no client CA issued, and CAs without a list.

    Args:
        revocation: the files of client CAs and those of their lists.
        cas: the client CAs, each with its file.
        lists: the lists of each file.
    """
    untrusted: list[RevocationList] = []
    for use in revocation.crls:
        unknown = []
        for crl in lists[use.path]:
            named = [ca for ca in cas if ca.subject == crl.issuer]
            if not named:
                unknown.append(crl)
            elif not any(_has_signed(ca, crl) for ca in named):
                untrusted.append(crl)
                yield _untrusted(use, cas[named[0]], named, crl)
        if unknown:
            yield _unknown(use, revocation.client_cas, unknown)
    present = _all_of(revocation, lists)
    # CAs with an untrusted list have been reported already.
    names = {crl.issuer for crl in untrusted}
    without = [ca for ca in cas if ca.subject not in names and _lacks_one(ca, present)]
    if without:
        yield _report_without(revocation, cas[without[0]], without)


def _has_signed(ca: Certificate, crl: RevocationList) -> bool:
    """Whether a CA signed a list, and is allowed to sign lists."""
    from grpcsecure.tls.crl import is_signed_by
    from grpcsecure.tls.purpose import allows_crl_signing

    return is_signed_by(crl, ca) and allows_crl_signing(ca)


def _lacks_one(ca: Certificate, lists: Iterable[RevocationList]) -> bool:
    from grpcsecure.tls.purpose import is_ca

    named = [crl for crl in lists if crl.issuer == ca.subject]
    return is_ca(ca) and not any(_has_signed(ca, crl) for crl in named)


def _untrusted(
    use: FileUse, client_ca: FileUse, named: list[Certificate], crl: RevocationList
) -> Finding:
    from grpcsecure.tls.crl import is_signed_by

    name = f"the revocation list in {use.shown}"
    place = Label(span=client_ca.places[0], text=f"trusts {quote(crl.issuer)}")
    if any(is_signed_by(crl, ca) for ca in named):
        return use.report(
            kinds.UNTRUSTED_CRL,
            f"{quote(crl.issuer)} may not sign {name}; {_SHUT_OUT}{use.on_engines}",
            label="the keyUsage of its issuer lacks cRLSign",
            secondary=[place],
            help="have the CA issued again with cRLSign",
        )
    return use.report(
        kinds.UNTRUSTED_CRL,
        f"{quote(crl.issuer)} did not sign {name}; {_SHUT_OUT}{use.on_engines}",
        label="has its name, but a signature by another key",
        secondary=[place],
        help="fetch the list from that CA again",
    )


def _unknown(
    use: FileUse, client_cas: tuple[FileUse, ...], unknown: list[RevocationList]
) -> Finding:
    more = f", and {len(unknown) - 1} more" if len(unknown) > 1 else ""
    return use.report(
        kinds.UNKNOWN_CRL_ISSUER,
        f"the issuer of the revocation list in {use.shown} is not a client CA{more}",
        label=f"issued by {quote(unknown[0].issuer)}",
        secondary=[
            Label(span=client_ca.places[0], text="does not contain that CA")
            for client_ca in client_cas
        ],
        notes=["it is only used for clients that send the certificate of that CA"],
        help="remove it, or add that CA to `client_ca`",
    )


def _report_without(
    revocation: RevocationUse, client_ca: FileUse, cas: list[Certificate]
) -> Finding:
    more = f", and {len(cas) - 1} more" if len(cas) > 1 else ""
    trusted = Label(span=client_ca.places[0], text="trusts that CA")
    others = [Label(span=key, text="also missing here") for key in revocation.keys[1:]]
    return kinds.CA_WITHOUT_CRL(
        f"there is no revocation list of the client CA {quote(cas[0].subject)}{more};"
        f" {_SHUT_OUT}{client_ca.on_engines}",
        span=revocation.keys[0],
        label="certificates of that CA cannot be verified",
        secondary=[trusted, *others],
        help="add a list of that CA, even an empty one, or remove it from `client_ca`",
    )
