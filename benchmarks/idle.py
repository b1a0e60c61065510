"""The cost of idle connections, and the resources left after closed connections.

    python benchmarks/idle.py [--quick]

For both engines: the memory of thousands of idle connections, per connection and after
they have closed; then four times as many are opened and closed, and the resources
before and after are compared: descriptors, names in the registry, memory, files.
"""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from served import Served, make_certificates
from tls_clients import Held
from verdicts import options, print_machine

if TYPE_CHECKING:
    from processes import Usage

_ENGINES = ("grpc", "bridge")

#: Connections before the first measurement, so that memory that a server allocates once
#: (threads, caches) does not count as growth.
_WARM_UP = 200

#: Seconds that a server may take to free the resources of closed connections.
_PATIENCE = 10.0

#: Seconds to wait: once a second the bridge frees buffers that idle connections do not
#: need.
_HOUSEKEEPING = 2.5

_TOLERANCE = 1.1


def raise_descriptor_limit(connections: int) -> None:
    """Raise the descriptor limit of this process and its children as needed.

    Raises:
        SystemExit: the system does not allow it.
    """
    # The server has two per bridged connection: the connection itself, and one that
    # reserves its name.
    needed = 2 * connections + 1000
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise SystemExit(
            f"{needed} descriptors are needed, {hard} allowed (ulimit -Hn)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def settle(server: Served, start: Usage) -> Usage:
    """Wait until usage is back at the start's, or until the timeout; return it."""
    end = time.monotonic() + _PATIENCE
    while True:
        now = server.usage()
        same = now.descriptors <= start.descriptors and now.registered == 0
        if same and now.memory <= start.memory * _TOLERANCE:
            return now
        if time.monotonic() > end:
            return now
        time.sleep(0.25)


def measure_idle(server: Served, held: Held, connections: int) -> None:
    """Print the cost of idle connections, and what is left after they are closed.

    Twice: memory that is left only after the first time is reused by later connections,
    so it is not a leak.
    """
    held.churn(_WARM_UP)
    fresh = start = settle(server, server.usage())
    for turn in ("first", "second"):
        held.open(connections)
        time.sleep(_HOUSEKEEPING)
        full = server.usage()
        held.close()
        after = settle(server, start)
        if turn == "first":
            each = (full.memory - start.memory) / connections
            extra = (full.descriptors - start.descriptors) / connections
            print(
                f"{server.engine:6}  {connections} idle connections:"
                f" {each / 1024:.1f} KiB and {extra:.0f} descriptors each"
            )
        print(
            f"{server.engine:6}  opened, closed, the {turn} time: memory {_mib(start)}"
            f" -> {_mib(full)} -> {_mib(after)}, {_ratio(after, start)} of before,"
            f" {(after.memory - fresh.memory) / (full.memory - fresh.memory):.0%}"
            f" of what they took is left{_goal(server, after, start)}"
        )
        start = after


def measure_churn(server: Served, held: Held, connections: int) -> None:
    """Print what is left after many connections were opened and closed."""
    start = server.usage()
    began = time.monotonic()
    held.churn(connections)
    seconds = time.monotonic() - began
    after = settle(server, start)
    print(
        f"{server.engine:6}  {connections} opened and closed in {seconds:.0f} s:"
        f" memory {_mib(start)} -> {_mib(after)}"
        f" ({_ratio(after, start)}), descriptors {start.descriptors} ->"
        f" {after.descriptors}, registry {start.registered} -> {after.registered},"
        f" files {start.files} -> {after.files}{_goal(server, after, start)}"
    )


def _mib(usage: Usage) -> str:
    return f"{usage.memory / 2**20:.1f} MiB"


def _ratio(after: Usage, start: Usage) -> str:
    return f"{after.memory / start.memory:.2f}"


def _goal(server: Served, after: Usage, start: Usage) -> str:
    """Return whether the bridge meets its goal; grpcio's engine has none."""
    if server.engine != "bridge":
        return ""
    grown = [
        name
        for name, now, before in zip(after._fields, after, start, strict=True)
        if now > before * (_TOLERANCE if name == "memory" else 1)
    ]
    verdict = f"MISSED: {', '.join(grown)}" if grown else "ok"
    return f"  goal <= {_TOLERANCE:.2f} in memory, none left of the rest  {verdict}"


def main() -> None:
    """Measure one engine after the other, each with a new server."""
    chosen = options(__doc__).parse_args()
    idle, churned = (500, 1000) if chosen.quick else (5_000, 20_000)
    raise_descriptor_limit(idle)
    print_machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certificates = make_certificates(folder / "certs")
        for engine in _ENGINES:
            with (
                Served(folder, certificates, engine=engine) as server,
                Held(server.port, certificates) as held,
            ):
                measure_idle(server, held, idle)
                measure_churn(server, held, churned)


if __name__ == "__main__":
    main()
