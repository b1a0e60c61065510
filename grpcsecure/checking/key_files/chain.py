"""Checks of the server's certificate chain: order, completeness, surplus entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import file_kinds as kinds
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from grpcsecure.checking.key_files.file_uses import FileUse
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.peer import Certificate

__all__ = ["check_chain"]

#: No client verifies longer chains; the limit bounds the work for odd files.
_MAX_DEPTH = 10

_ORDER = "put the server certificate first, then the one that signed it, and so on"


def check_chain(
    use: FileUse, chain: Sequence[Certificate], *, known: Iterable[Certificate]
) -> Iterator[Finding]:
    """Find gaps and disorder after the server certificate.

    A missing signer is not reported if it may be a root, since roots are not sent. It
    is reported if the signer is known to be an intermediate.

    Args:
        use: the file.
        chain: its certificates, in file order.
        known: all certificates of the config, which may include the intermediate.
    """
    from grpcsecure.tls.purpose import is_ca

    path, missing = _follow(chain)
    unused = [entry for entry in chain if entry not in path]
    # A second server certificate does not show that a signer was expected in the file.
    has_others = any(is_ca(entry) for entry in unused)
    if missing and (has_others or _is_signed_by_intermediate(path[-1], known)):
        yield use.report(
            kinds.CHAIN_INCOMPLETE,
            f"{use.shown} lacks the certificate of {quote(path[-1].issuer)}",
            label=f"which signed {quote(path[-1].subject)}",
            help="append that certificate, which the CA provides with the others",
        )
    elif unused:
        yield use.report(
            kinds.CHAIN_DISORDERED,
            f"{use.shown} has {quote(unused[0].subject)}, which signed none of the"
            " others",
            label=f"{len(unused)} of {len(chain)} certificates are not in the chain",
            help="remove certificates that do not belong to the chain",
        )
    elif (twice := _first_repeated(chain)) is not None:
        yield use.report(
            kinds.CHAIN_DISORDERED,
            f"{use.shown} has {quote(twice.subject)} twice",
            label="the second copy has no effect",
            help="remove the second copy",
        )
    elif path != list(chain):
        yield use.report(
            kinds.CHAIN_DISORDERED,
            f"the certificates in {use.shown} are not in order",
            label=f"{quote(path[1].subject)} belongs after the first",
            help=_ORDER,
        )


def _first_repeated(chain: Sequence[Certificate]) -> Certificate | None:
    return next(
        (entry for index, entry in enumerate(chain) if entry in chain[:index]), None
    )


def _follow(chain: Sequence[Certificate]) -> tuple[list[Certificate], bool]:
    """Return the chain from the first certificate on, each signed by the next one.

    Returns:
        The chain, and whether its last signer is missing from the file.
    """
    from grpcsecure.tls.purpose import has_issued, is_self_signed

    path = [chain[0]]
    while len(path) <= _MAX_DEPTH and not is_self_signed(path[-1]):
        signer = next(
            (
                entry
                for entry in chain
                if entry.subject == path[-1].issuer
                and entry not in path
                and has_issued(entry, path[-1])
            ),
            None,
        )
        if signer is None:
            return path, True
        path.append(signer)
    return path, False


def _is_signed_by_intermediate(
    certificate: Certificate, known: Iterable[Certificate]
) -> bool:
    from grpcsecure.tls.purpose import has_issued, is_from_public_ca

    named = [entry for entry in known if entry.subject == certificate.issuer]
    if not named:
        return is_from_public_ca(certificate)
    if any(entry.issuer == entry.subject for entry in named):
        return False  # a root, and roots need not be sent
    return any(has_issued(entry, certificate) for entry in named)
