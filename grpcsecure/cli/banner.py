"""The banner of `serve`: facts about the server, `!` lines, and the ready line last."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from grpcsecure import __version__
from grpcsecure.diagnostics.render.text import describe_development, visible

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from grpcsecure.model.listener import Listener, TlsSettings
    from grpcsecure.server.app import Server
    from grpcsecure.tls.material import Material

__all__ = ["banner_fields", "is_warning", "render_banner"]

_INDENT = " " * 10


def banner_fields(server: Server, *, elapsed: float) -> dict[str, object]:
    """Return the facts of the banner, for JSON logs and the ready file.

    `elapsed` is in seconds; `ready_ms` is in milliseconds.
    """
    return {
        "version": __version__,
        "pid": os.getpid(),
        "config": server.report.subject,
        "profile": server.report.profile,
        "services": _services(server),
        "generation": server.generation,
        "policy": server.policy_summary,
        "addresses": server.addresses,
        "warnings": [f"{f.code} {f.message}" for f in server.report.findings],
        "development": server.report.is_development,
        "ready_ms": round(elapsed * 1000),
    }


def _services(server: Server) -> dict[str, int]:
    """Count the methods of each service, the built-in ones included."""
    from grpcsecure.server.services.inventory import built_in_services

    counts: dict[str, int] = {}
    for service in server.services:
        for method in service.methods or ():
            counts[method.service] = counts.get(method.service, 0) + 1
    for own in built_in_services(server.config.server):
        if own.path is not None:
            counts[own.name] = len(own.methods)
    return counts


def render_banner(
    server: Server, fields: dict[str, object], *, now: datetime
) -> Iterator[str]:
    """Yield the lines of the banner; the last one is the ready line.

    Names in certificates are untrusted text, so control characters are escaped.
    """
    yield from map(visible, _lines(server, fields, now))


def is_warning(line: str) -> bool:
    """Whether a line of the banner is a `!` line, which is shown even if quiet."""
    return line.startswith("!")


def _lines(server: Server, fields: dict[str, object], now: datetime) -> Iterator[str]:
    profile = f" (profile {server.report.profile})" if server.report.profile else ""
    yield (
        f"grpcsecure {fields['version']}  pid {fields['pid']}"
        f"  python {sys.version.split()[0]}  grpcio {server.grpc_version}"
    )
    yield f"config    {server.report.subject}{profile}  generation {server.generation}"
    counts = [
        f"{name} ({count} method{'s' * (count != 1)})"
        for name, count in _services(server).items()
    ]
    yield f"services  {', '.join(counts)}"
    for listener in server.config.listeners:
        yield from _listener(server, listener, now)
    yield f"policy    {server.policy_summary}"
    yield f"reload    {server.watched}"
    for finding in server.report.findings:
        yield f"!         {finding.code} {finding.message}"
    if server.report.is_development:
        yield f"!         {describe_development(server.report)}"
    addresses = ", ".join(server.addresses.values())
    elapsed = fields["ready_ms"]
    yield (
        f"ready     {addresses}  in {elapsed} ms"
        "   (Ctrl+C drains, twice cuts; SIGHUP reloads)"
    )


def _listener(server: Server, listener: Listener, now: datetime) -> Iterator[str]:
    head = f"listener  {listener.name}  {server.addresses[listener.name]}"
    if listener.tls is None:
        yield f"{head}  plaintext"
    else:
        tls = listener.tls
        yield (
            f"{head}  {tls.client_certificate.value}"
            f"  engine {tls.engine_in_use.value}  {_versions(tls)}"
        )
        yield from _suites(tls)
        yield from _material(listener.tls, server.materials[listener.name], now)
    yield from _limits(server, listener)
    if listener.services is not None:
        yield f"{_INDENT}only {', '.join(listener.services)}"


def _versions(tls: TlsSettings) -> str:
    oldest = tls.versions[-1].value.removeprefix("TLSv")
    has_newer = tls.versions[0].value == "TLSv1.3"
    return f"TLS {oldest}{'+' if has_newer else ' only'}"


def _suites(tls: TlsSettings) -> Iterator[str]:
    for key, names in (("ciphers", tls.ciphers), ("groups", tls.groups)):
        if names:
            yield f"{_INDENT}{key} {', '.join(names)}"


def _limits(server: Server, listener: Listener) -> Iterator[str]:
    """Yield the numbers of connections and calls, if any is limited."""
    limits = listener.limits
    calls = limits.max_calls or server.config.server.max_concurrent_rpcs
    numbers = [
        f"{number} {unit}"
        for number, unit in (
            (limits.max_connections, "connections"),
            (calls, "calls"),
            (limits.max_calls_per_connection, "calls of a connection"),
        )
        if number is not None
    ]
    if numbers:
        yield f"{_INDENT}at most {', '.join(numbers)}"


def _material(tls: TlsSettings, material: Material, now: datetime) -> Iterator[str]:
    for number, leaf in enumerate(material.leaves):
        names = [f"dns {name}" for name in leaf.dns] + [
            f"ip {address}" for address in leaf.ips
        ]
        days = (leaf.not_after - now).days
        expiry = f"expires in {days} day{'s' * (days != 1)} ({leaf.not_after:%Y-%m-%d})"
        is_default = bool(material.further) and not number
        mark = ["default"] if is_default else []
        yield f"{_INDENT}{'  '.join([leaf.subject, *names, *mark, expiry])}"
    if tls.client_certificate.asks and material.client_cas:
        signers = ", ".join(ca.subject for ca in material.client_cas)
        count = len(material.client_cas)
        yield f"{_INDENT}clients signed by {signers} ({count} CA{'s' * (count != 1)})"
        yield from _revocation(material)


def _revocation(material: Material) -> Iterator[str]:
    """Yield the number of revocation lists, and when the first one expires.

    From then on its clients are refused, unless a new list has been loaded.
    """
    lists = material.revocation_lists
    due = [crl.next_update for crl in lists if crl.next_update is not None]
    if lists:
        until = f", the next due by {min(due):%Y-%m-%d %H:%M} UTC" if due else ""
        count = f"{len(lists)} revocation list{'s' * (len(lists) != 1)}"
        yield f"{_INDENT}checked against {count}{until}"
