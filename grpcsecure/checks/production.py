"""What is fine at a desk and wrong in production."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import listeners as kinds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.config.document import Document
    from grpcsecure.diagnostics.model import Finding

__all__ = ["check_production"]


def check_production(document: Document) -> Iterator[Finding]:
    """Find listeners and settings that let in more than production should."""
    config = document.config
    if config.server.reflection:
        yield kinds.REFLECTION_OPEN(
            "reflection is on, and no rule says who may use it",
            span=document.place("server", "reflection"),
            label="any client can list the services",
            help="turn it off, or keep it to a development profile",
        )
    for listener in config.listeners:
        path = ("listeners", listener.name)
        if listener.tls is None and not listener.address.is_local:
            yield kinds.PLAINTEXT_EXPOSED(
                f"listener `{listener.name}` serves plaintext beyond this machine",
                span=document.place(*path, "address"),
                label="not a loopback address",
                help="give it a `tls` block, or listen on 127.0.0.1 or a unix socket",
            )
        if listener.tls is not None and not listener.tls.client_certificate.verifies:
            mode = listener.tls.client_certificate.value
            yield kinds.MODE_NOT_VERIFYING(
                f"listener `{listener.name}` lets in clients that nobody verified",
                span=document.place(*path, "tls", "client_certificate"),
                label=f"`{mode}` verifies no client certificate",
                help="use `require_and_verify` with a `client_ca`",
            )
