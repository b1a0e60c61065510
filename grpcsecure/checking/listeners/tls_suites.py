"""Checks of cipher suites and groups that no client can meet, or OpenSSL cannot use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import transport_kinds as kinds
from grpcsecure.diagnostics.findings import Label
from grpcsecure.model.cipher_suites import TLS12_GROUPS, split_suites
from grpcsecure.model.listener import TlsVersion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.config.document import Document
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.listener import Listener, TlsSettings

__all__ = ["check_suites"]


def check_suites(document: Document) -> Iterator[Finding]:
    """Find lists of suites and groups with which no client can connect."""
    for listener in document.config.listeners:
        if listener.tls is not None and listener.is_bridged:
            yield from _check_version(document, listener, listener.tls)
            yield from _check_groups(document, listener, listener.tls)


def _check_version(
    document: Document, listener: Listener, tls: TlsSettings
) -> Iterator[Finding]:
    path = ("listeners", listener.name, "tls")
    tls12, tls13 = split_suites(tls.ciphers)
    if tls12 and not tls13 and tls.min_version is TlsVersion.TLS_1_3:
        yield kinds.NO_SUITE(
            f"no client can connect to listener `{listener.name}`: its `ciphers` have"
            " no suite of TLS 1.3",
            span=document.key(*path, "ciphers"),
            label="suites of TLS 1.2 alone",
            secondary=[
                Label(
                    span=document.place(*path, "min_version"),
                    text="does not accept TLS 1.2",
                )
            ],
            help="add `TLS_AES_256_GCM_SHA384` and `TLS_AES_128_GCM_SHA256`",
        )


def _check_groups(
    document: Document, listener: Listener, tls: TlsSettings
) -> Iterator[Finding]:
    if not tls.groups:
        return
    path = ("listeners", listener.name, "tls")
    tls12, tls13 = split_suites(tls.ciphers)
    if tls12 and not tls13 and not {*tls.groups} & {*TLS12_GROUPS}:
        yield kinds.NO_SUITE(
            f"no client can connect to listener `{listener.name}`: its `groups` have"
            " none of TLS 1.2",
            span=document.key(*path, "groups"),
            label="TLS 1.3 alone has it",
            secondary=[
                Label(
                    span=document.key(*path, "ciphers"),
                    text="suites of TLS 1.2 alone",
                )
            ],
            help="add `P-256`, or a suite of TLS 1.3",
        )
    yield from _check_installed(document, listener, tls)


def _check_installed(
    document: Document, listener: Listener, tls: TlsSettings
) -> Iterator[Finding]:
    from importlib.metadata import version

    from grpcsecure.tls.openssl import _bindings as openssl
    from grpcsecure.tls.openssl.context import can_use_groups

    if can_use_groups(tls.groups):
        return
    yield kinds.UNSUPPORTED_GROUPS(
        f"the installed OpenSSL cannot be given the `groups` of listener"
        f" `{listener.name}`",
        span=document.key("listeners", listener.name, "tls", "groups"),
        label=f"cryptography {version('cryptography')} is installed",
        help="install cryptography 47 or newer, or remove `groups`"
        if not openssl.can_set_groups()
        else "remove `X25519MLKEM768`, which OpenSSL has since 3.5",
    )
