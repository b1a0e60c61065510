"""Runs the checks of settings that few configs have; the others import none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.config.document import Document
    from grpcsecure.diagnostics.findings import Finding

__all__ = ["check_settings"]


def check_settings(document: Document) -> Iterator[Finding]:
    """Check the settings that the config has, of those that few configs have."""
    if document.config.server.channel_options:
        from grpcsecure.checking.listeners.channel_options import check_channel_options
        from grpcsecure.checking.listeners.http2_settings import check_options_twice

        yield from check_channel_options(document)
        yield from check_options_twice(document)
    if any(
        each.tls and (each.tls.ciphers or each.tls.groups)
        for each in document.config.listeners
    ):
        from grpcsecure.checking.listeners.tls_suites import check_suites

        yield from check_suites(document)
    if document.config.server.channel_options or document.has("server", "keepalive"):
        from grpcsecure.checking.listeners.http2_settings import check_keepalive

        yield from check_keepalive(document)
