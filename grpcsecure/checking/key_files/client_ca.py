"""Checks of `client_ca` files: whether they contain CAs, and nothing else.

Any certificate in the file is a trust anchor, also an intermediate, or a pinned
self-signed certificate (`X509_V_FLAG_PARTIAL_CHAIN`, as in gRPC). A leaf that a CA
signed would only verify the client that has it, so it is reported as a mistake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import file_kinds as kinds
from grpcsecure.diagnostics.catalog import trust_kinds
from grpcsecure.model.listener import Engine
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grpcsecure.checking.key_files.file_uses import FileUse
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.tls.ca_support import ClientCa

__all__ = ["check_client_ca"]

#: Organizations rarely have as many; bundles of public CAs have 120 to 150.
_MANY_ROOTS = 30


def check_client_ca(use: FileUse, cas: Sequence[ClientCa]) -> Iterator[Finding]:
    """Find files without a CA, certificates that are not CAs, and weak CAs."""
    from grpcsecure.tls.purpose import is_self_signed

    others = (ca.certificate for ca in cas if not ca.is_authority)
    leaves = [certificate for certificate in others if not is_self_signed(certificate)]
    if len(leaves) == len(cas):
        yield use.report(
            kinds.NO_CA,
            f"{use.shown} contains no CA, so only the clients with the very"
            f" certificates in it get in{use.on_engines}",
            label=f"{quote(leaves[0].subject)} may not sign other certificates",
            help=f"name the file of the CA that signed it: {quote(leaves[0].issuer)}",
        )
    elif leaves:
        more = f", and {len(leaves) - 1} more" if len(leaves) > 1 else ""
        yield use.report(
            kinds.NOT_A_CA,
            f"{quote(leaves[0].subject)} in {use.shown} is not a CA{more}",
            label="may not sign other certificates",
            help="remove it from the file",
        )
    yield from _check_strength(use, cas)
    yield from _check_number(use, cas)


def _check_number(use: FileUse, cas: Sequence[ClientCa]) -> Iterator[Finding]:
    # The names are enough: verifying a thousand signatures would take a while.
    roots = {ca.certificate.fingerprint for ca in cas if ca.is_root}
    if len(roots) > _MANY_ROOTS:
        yield use.report(
            trust_kinds.MANY_CAS,
            f"{use.shown} trusts {len(roots)} self-signed CAs",
            label=f"more than {_MANY_ROOTS}: likely a bundle of public CAs",
            help="name a file with only the CAs that sign your clients' certificates",
        )


def _check_strength(use: FileUse, cas: Sequence[ClientCa]) -> Iterator[Finding]:
    from grpcsecure.tls.purpose import describe_key, has_weak_key

    # On the bridge alone there is another finding for CAs: their clients are refused.
    is_bridge = use.engines == (Engine.BRIDGE.value,)
    weak = [
        ca.certificate
        for ca in cas
        if not (is_bridge and ca.is_authority) and has_weak_key(ca.certificate)
    ]
    if weak:
        more = f", and {len(weak) - 1} more" if len(weak) > 1 else ""
        yield use.report(
            kinds.WEAK_CA,
            f"the key of the CA {quote(weak[0].subject)} in {use.shown} is too"
            f" short{more}",
            label=describe_key(weak[0]),
            help="replace the CA by one with EC P-256, or RSA with 2048 bits or more",
        )
