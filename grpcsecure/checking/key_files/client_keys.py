"""Checks for registered clients whose key the engine of a listener does not accept.

A server's request lists the algorithms that it accepts. A client with a key of another
type presents no certificate, and is refused or anonymous.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import trust_kinds as kinds
from grpcsecure.model.listener import Engine, TlsVersion
from grpcsecure.quoting import quote
from grpcsecure.tls.ca_support import ClientCa

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from grpcsecure.checking.key_files.file_uses import FileUse
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.peer import Certificate

__all__ = ["check_client_keys", "check_pinned_clients"]


def check_pinned_clients(use: FileUse, cas: Iterable[ClientCa]) -> Iterator[Finding]:
    """Find clients in a `client_ca` file that one of the file's listeners refuses."""
    clients = [ca.certificate for ca in cas if not ca.is_authority]
    for name in use.engines:
        yield from check_client_keys(use, use.shown, clients, [Engine(name)])


def check_client_keys(
    use: FileUse,
    shown: str,
    certificates: Iterable[Certificate],
    engines: Sequence[Engine],
    *,
    any_length: bool = True,
) -> Iterator[Finding]:
    """Find certificates with keys that none of the engines accepts in TLS 1.3.

    Both engines have TLS 1.3, and clients use it if they can.

    Args:
        use: the file, or a pattern that matches it.
        shown: the name of the file.
        certificates: those of clients.
        engines: the engines of the listeners that may request them.
        any_length: whether one of these listeners accepts short keys.
    """
    for certificate in certificates:
        accepted = {
            version for engine in engines for version in _accepting(engine, certificate)
        }
        if not engines:
            return
        if TlsVersion.TLS_1_3 in accepted:
            if not any_length and ClientCa(certificate).is_too_short:
                too_short = ": it is too short"
                yield _not_accepted(use, shown, certificate, engines, too_short)
            continue
        suffix = " in TLS 1.3" if accepted else ""
        yield _not_accepted(use, shown, certificate, engines, suffix)


def _accepting(engine: Engine, certificate: Certificate) -> set[TlsVersion]:
    """Return the TLS versions in which an engine accepts a client's key."""
    from grpcsecure.tls.engine_model import KeyOffer, client_key_support

    offers = client_key_support(engine, certificate.der)
    return {version for version in offers if offers[version] is KeyOffer.ACCEPTED}


def _not_accepted(
    use: FileUse,
    shown: str,
    certificate: Certificate,
    engines: Sequence[Engine],
    reason: str,
) -> Finding:
    from grpcsecure.tls.purpose import describe_key

    key = describe_key(certificate)
    names = " and ".join(f"`{engine.value}`" for engine in dict.fromkeys(engines))
    by_bridge = TlsVersion.TLS_1_3 in _accepting(Engine.BRIDGE, certificate)
    takes_it = by_bridge and Engine.BRIDGE not in engines
    return use.report(
        kinds.UNSUPPORTED_CLIENT_KEY,
        f"the client {quote(certificate.subject)} in {shown} does not get in on engine"
        f" {names}, which does not accept its {key} key{reason}",
        label=f"its key is {key}",
        help="use `engine: bridge`, which accepts it"
        if takes_it
        else "give the client a certificate with an EC P-256 key",
    )
