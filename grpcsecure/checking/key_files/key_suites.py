"""Checks of `ciphers` against the keys of the server certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.checking.key_files.file_uses import key_pair_places
from grpcsecure.diagnostics.catalog import transport_kinds as kinds
from grpcsecure.diagnostics.findings import Label
from grpcsecure.model.cipher_suites import TLS12_SUITES, split_suites
from grpcsecure.model.listener import TlsVersion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from grpcsecure.config.document import Document
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.listener import Listener, TlsSettings
    from grpcsecure.model.peer import Certificate

__all__ = ["check_key_suites"]


def check_key_suites(
    document: Document, chains: Mapping[Path, tuple[Certificate, ...]]
) -> Iterator[Finding]:
    """Find suites of TLS 1.2 that the key of a certificate cannot be used with."""
    for listener in document.config.listeners:
        tls = listener.tls
        if tls is None or not tls.ciphers or tls.min_version is TlsVersion.TLS_1_3:
            continue
        for place, pair in key_pair_places(listener.name, tls):
            chain = chains.get(pair.certificate)
            if chain is not None:
                yield from _check(document, listener, tls, place, chain[0])


def _check(
    document: Document,
    listener: Listener,
    tls: TlsSettings,
    place: tuple[str | int, ...],
    leaf: Certificate,
) -> Iterator[Finding]:
    from grpcsecure.tls.purpose import describe_key

    tls12, tls13 = split_suites(tls.ciphers)
    key = describe_key(leaf)
    fits = _suites_for(key)
    if not tls12 or fits is None or any(TLS12_SUITES[name] == fits for name in tls12):
        return
    missing = f"ECDHE-{fits}-AES256-GCM-SHA384"
    label = [
        Label(
            span=document.place(*place, "certificate"),
            text=f"its key is {key}",
        )
    ]
    span = document.key("listeners", listener.name, "tls", "ciphers")
    if tls13:
        yield kinds.NO_SUITE_OF_TLS12(
            f"no client with TLS 1.2 can connect to listener `{listener.name}`: no"
            " suite of it fits the certificate",
            span=span,
            label=f"needs a suite with {fits}",
            secondary=label,
            help=f"add `{missing}`, or remove the suites of TLS 1.2",
        )
    else:
        yield kinds.NO_SUITE(
            f"no client can connect to listener `{listener.name}`: none of its"
            " `ciphers` fits the certificate",
            span=span,
            label=f"needs a suite with {fits}",
            secondary=label,
            help=f"add `{missing}`",
        )


def _suites_for(key: str) -> str | None:
    """Return the suites of TLS 1.2 for a key; None for one of TLS 1.3 alone."""
    if key.startswith("RSA"):
        return "RSA"
    if key.startswith(("EC sec", "Ed")):
        return "ECDSA"
    return None
