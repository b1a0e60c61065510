"""Checks for TLS settings of a listener that contradict each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import listener_kinds as kinds
from grpcsecure.diagnostics.findings import Label
from grpcsecure.model.listener import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.config.document import Document
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.listener import Listener, TlsSettings

__all__ = ["check_tls_settings"]


def check_tls_settings(document: Document) -> Iterator[Finding]:
    """Find modes without the files they need, and settings the engine cannot serve."""
    for listener in document.config.listeners:
        if listener.tls is not None:
            yield from _check_client_ca(document, listener, listener.tls)
            yield from _check_crl(document, listener, listener.tls)
            yield from _check_engine(document, listener, listener.tls)


def _check_client_ca(
    document: Document, listener: Listener, tls: TlsSettings
) -> Iterator[Finding]:
    path = ("listeners", listener.name, "tls")
    mode = tls.client_certificate
    if mode.verifies and tls.client_ca is None:
        yield kinds.MISSING_CLIENT_CA(
            f"listener `{listener.name}` verifies client certificates without a"
            " `client_ca`",
            span=document.place(*path, "client_certificate"),
            label="needs the CAs that sign them",
            help="add `client_ca` with the PEM file of the CAs that sign the clients",
        )
    if not mode.asks and tls.client_ca is not None:
        crl = [Label(span=document.key(*path, "crl"), text="also never used")]
        yield kinds.UNUSED_CLIENT_CA(
            f"`client_ca` of listener `{listener.name}` is never used",
            span=document.key(*path, "client_ca"),
            label="no client is checked against it",
            secondary=[
                Label(
                    span=document.place(*path, "client_certificate"),
                    text="requests no certificate",
                ),
                *(crl if tls.crl else ()),
            ],
            help="use `require_and_verify`, or remove `client_ca`",
        )


def _check_crl(
    document: Document, listener: Listener, tls: TlsSettings
) -> Iterator[Finding]:
    """Find lists that are never used; with a `client_ca`, that has the finding."""
    path = ("listeners", listener.name, "tls")
    mode = tls.client_certificate
    if not tls.crl or tls.client_ca is not None or mode.verifies:
        return
    place = document.place(*path, "client_certificate")
    if mode.asks:
        yield kinds.CRL_WITHOUT_CA(
            f"listener `{listener.name}` has a `crl` without a `client_ca`",
            span=document.key(*path, "crl"),
            label="without a trusted CA, no certificate is verified or revoked",
            secondary=[Label(span=place, text="does not verify by itself")],
            help="add `client_ca` with the PEM file of the CAs that sign the clients",
        )
    else:
        yield kinds.UNUSED_CRL(
            f"`crl` of listener `{listener.name}` is never used",
            span=document.key(*path, "crl"),
            label="no client is checked against it",
            secondary=[Label(span=place, text="requests no certificate")],
            help="use `require_and_verify` with a `client_ca`, or remove `crl`",
        )


#: Why the engine `grpc` cannot serve a setting, by its key.
_BEYOND_GRPC = {
    "client_certificate": "Python's grpcio cannot serve this mode",
    "crl": "grpcio's servers do not support revocation lists",
    "min_version": "grpcio's servers accept TLS 1.2 as well",
    "ciphers": "grpcio's servers have their own cipher suites",
    "groups": "grpcio's servers have their own key exchange groups",
}


def _check_engine(
    document: Document, listener: Listener, tls: TlsSettings
) -> Iterator[Finding]:
    if tls.engine is not Engine.GRPC:
        return
    path = ("listeners", listener.name, "tls")
    for key in tls.bridge_keys:
        yield kinds.ENGINE_CANNOT(
            f"engine `grpc` cannot serve `{key}` of listener `{listener.name}`",
            span=document.place(*path, key),
            label=_BEYOND_GRPC[key],
            secondary=[
                Label(
                    span=document.place(*path, "engine"),
                    text="terminates TLS with grpcio itself",
                )
            ],
            help="use `engine: auto`, which selects the bridge for it",
        )
