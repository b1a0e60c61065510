"""Checks of HTTP/2 settings: options that are set twice, pings that disconnect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import transport_kinds as kinds
from grpcsecure.diagnostics.findings import Label
from grpcsecure.model.transport import LISTENER_ARGUMENTS, SERVER_ARGUMENTS
from grpcsecure.model.units import render_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from grpcsecure.config.document import Document
    from grpcsecure.diagnostics.findings import Finding, Span

__all__ = ["check_keepalive", "check_options_twice"]

_KEEPALIVE = ("server", "keepalive")

#: gRPC's own shortest interval of a client's pings, in seconds: with a call running,
#: and without.
_OWN_INTERVAL, _OWN_INTERVAL_IDLE = 300.0, 7200.0


def check_options_twice(document: Document) -> Iterator[Finding]:
    """Find channel options that a key of the config sets as well."""
    for option, _ in document.config.server.channel_options:
        keys = [*_keys_that_set(document, option)]
        if keys:
            names = " and ".join(f"`{'.'.join(key)}`" for key in keys)
            yield kinds.OPTION_TWICE(
                f"{names} and the channel option `{option}` set the same",
                span=document.key("server", "channel_options", option),
                label="also has a key",
                secondary=[
                    Label(span=document.key(*key), text="the key") for key in keys
                ],
                help="remove the channel option",
            )


def _keys_that_set(document: Document, option: str) -> Iterator[tuple[str, ...]]:
    """Yield the paths of the keys in the config that set a channel option."""
    blocks: list[tuple[tuple[str, ...], Mapping[tuple[str, ...], tuple[str, ...]]]]
    blocks = [(("server",), SERVER_ARGUMENTS)]
    for listener in document.config.listeners:
        blocks.append((("listeners", listener.name), LISTENER_ARGUMENTS))
    for block, arguments in blocks:
        for key, options in arguments.items():
            if option in options and document.has(*block, *key):
                yield (*block, *key)


def check_keepalive(document: Document) -> Iterator[Finding]:
    """Find settings that let pings in, and leave gRPC's own limits for them in force.

    An explicit value is taken as meant.
    """
    given = _Given(document)
    if given.value("max_ping_strikes") == 0:
        return
    interval = given.value("min_client_interval")
    time = given.value("time")
    permitted = given.value("without_calls")
    if interval is not None:
        if permitted is None and interval < _OWN_INTERVAL_IDLE:
            yield kinds.TOO_MANY_PINGS(
                f"clients without calls are disconnected if they ping every"
                f" {render_duration(interval)}",
                span=given.place("min_client_interval"),
                label="only while a call runs; otherwise every 2h",
                help="add `without_calls: true`, or `without_calls: false` if the"
                " clients ping only while calls run",
            )
    elif permitted:
        yield kinds.TOO_MANY_PINGS(
            "clients are disconnected if they ping more often than every 5m",
            span=given.place("without_calls"),
            label="permits pings, but no more than that",
            help=_ADD_INTERVAL,
        )
    elif time is not None and time < _OWN_INTERVAL:
        yield kinds.TOO_MANY_PINGS(
            f"clients are disconnected if they ping as often as the server, every"
            f" {render_duration(time)}",
            span=given.place("time"),
            label="clients may ping every 5m",
            help=_ADD_INTERVAL,
        )


_ADD_INTERVAL = (
    "add `min_client_interval`, shorter than the keepalive time of the clients; `5m`"
    " if they have none"
)


class _Given:
    """The keepalive settings that the config gives, by a key or a channel option."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._options = dict(document.config.server.channel_options)

    def value(self, key: str) -> float | None:
        """Return a setting in seconds, or as it is if it is no duration; else None."""
        value = getattr(self._document.config.server.keepalive, key)
        if value is not None:
            return float(value)
        option, *_ = SERVER_ARGUMENTS["keepalive", key]
        value = self._options.get(option)
        if not isinstance(value, int):
            return None
        return value / 1000 if option.endswith("_ms") else float(value)

    def place(self, key: str) -> Span:
        """Return the place of a setting that is given."""
        if getattr(self._document.config.server.keepalive, key) is not None:
            return self._document.place(*_KEEPALIVE, key)
        option, *_ = SERVER_ARGUMENTS["keepalive", key]
        return self._document.place("server", "channel_options", option)
