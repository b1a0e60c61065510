"""Checks that the unix sockets of listeners can be created."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from grpcsecure.checking.writable import why_not_creatable
from grpcsecure.diagnostics.catalog import listener_kinds as kinds
from grpcsecure.model.listener import UnixAddress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from grpcsecure.config.document import Document
    from grpcsecure.diagnostics.findings import Finding

__all__ = ["check_socket_paths"]


def check_socket_paths(document: Document) -> Iterator[Finding]:
    """Find unix sockets whose directory is missing, or where something else is.

    An existing socket may be that of a server that runs, which `validate` does not
    disturb; starting a second one fails when it binds.
    """
    for listener in document.config.listeners:
        if not isinstance(listener.address, UnixAddress):
            continue
        path = listener.address.path
        reason = _why_unusable(path)
        if reason is not None:
            source = document.source_of("listeners", listener.name, "address")
            yield kinds.UNUSABLE_SOCKET_PATH(
                f"listener `{listener.name}` cannot listen on {listener.address}:"
                f" {reason}",
                span=document.place("listeners", listener.name, "address"),
                label=f"relative paths start at {source.directory}"
                if str(path) not in source.text
                else "no socket can be created there",
                help="create the directory"
                if reason.endswith("does not exist")
                else "choose another path",
            )


def _why_unusable(path: Path) -> str | None:
    try:
        mode = path.lstat().st_mode
    except (OSError, ValueError):
        return why_not_creatable(path)
    return None if stat.S_ISSOCK(mode) else "the path exists and is not a socket"
