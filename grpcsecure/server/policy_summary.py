"""Summaries for the banner, a line each: the rules, and the watched files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.checking.rules.methods import unreached
from grpcsecure.model.authorization import Effect
from grpcsecure.model.units import render_duration
from grpcsecure.policy.known_methods import KnownMethods
from grpcsecure.policy.scopes import find_scopes
from grpcsecure.server.services.inventory import full_methods, served_services

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grpcsecure.config.document import Document
    from grpcsecure.model.authorization import Authorization
    from grpcsecure.model.server_config import ReloadSettings
    from grpcsecure.server.services.loader import LoadedService

__all__ = ["summarize_policy", "summarize_watched"]

#: How many methods the line names.
_MOST_NAMED = 3


def summarize_policy(document: Document, services: Sequence[LoadedService]) -> str:
    """Return `default deny  3 rules  7 of 8 methods reachable, …`."""
    authorization = document.config.authorization
    assert authorization is not None  # noqa: S101 - the caller looked
    return "  ".join(_parts(document, authorization, services))


def _parts(
    document: Document, authorization: Authorization, services: Sequence[LoadedService]
) -> Iterator[str]:
    yield f"default {authorization.default.value}"
    count = len(authorization.rules)
    yield f"{count} rule{'s' * (count != 1)}"
    shadows = sum(not rule.enforce for rule in authorization.rules)
    if shadows:
        yield f"{shadows} of them not enforced"
    served = served_services(document.config, services)
    if authorization.default is Effect.DENY and served is not None:
        scopes, known = find_scopes(document.config), KnownMethods(full_methods(served))
        closed = [
            f"`{service.name}/{name}`"
            for service, names in unreached(scopes, served, known)
            for name in names
        ]
        total = sum(len(one.methods) for one in served if one.path is not None)
        text = f"{total - len(closed)} of {total} methods reachable"
        if closed:
            more = len(closed) - _MOST_NAMED
            named = ", ".join(closed[:_MOST_NAMED])
            text += f", {named}{f' and {more} more' * (more > 0)} denied to everyone"
        yield text


def summarize_watched(files: int, settings: ReloadSettings) -> str:
    """Return `7 files, events and every 30s`."""
    how = "events and " if settings.events else ""
    interval = render_duration(settings.interval)
    return f"{files} file{'s' * (files != 1)}, {how}every {interval}"
