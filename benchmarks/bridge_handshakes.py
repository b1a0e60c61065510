"""Handshakes of the bridge and of grpcio's own TLS, measured in one run.

    python benchmarks/bridge_handshakes.py [--quick] [--runtime asyncio]

Measures full TLS 1.3 handshakes per second, in which both sides verify the other's
certificate; and the latency of calls on an open connection during a flood of them.
"""

from __future__ import annotations

import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from calls import connect, latencies
from served import Certificates, Served, make_certificates
from tls_clients import Flood
from verdicts import Comparison, options, p99, print_machine

#: Enough to keep every core busy; more would only wait in the queue.
_CLIENTS = 8
_CROWD = 50


def measure_rate(
    servers: list[Served], certificates: Certificates, rounds: int, seconds: float
) -> None:
    """Print handshakes per second.

    Also with clients that do not verify the server's certificate, and so leave more CPU
    time to the server.
    """
    rate = Comparison("full mTLS handshakes", "{:.0f}/s", at_least=0.65)
    cpu = Comparison("  CPU time of the server, each", "{:.0f} us", scale=1e6)
    trusting = Comparison("  of clients that trust any server", "{:.0f}/s")
    for _ in range(rounds):
        for server in servers:
            with Flood(server.port, certificates, _CLIENTS) as flood:
                flood.rate(0.5)
                before = server.cpu_seconds()
                per_second = flood.rate(seconds)
                spent = server.cpu_seconds() - before
            rate.add(server.engine, per_second)
            cpu.add(server.engine, spent / (per_second * seconds))
            with Flood(server.port, certificates, _CLIENTS, trusting=True) as flood:
                flood.rate(0.5)
                trusting.add(server.engine, flood.rate(seconds))
    for line in (rate, cpu, trusting):
        line.show()


def measure_calls(
    servers: list[Served], certificates: Certificates, rounds: int, seconds: float
) -> None:
    """Print latencies of unary calls while other clients do handshakes."""
    crowd = f"call while {_CROWD} clients do handshakes"
    quiet = Comparison("call without other clients: p99", "{:.2f} ms", scale=1e3)
    middle = Comparison(f"{crowd}: median", "{:.2f} ms", scale=1e3)
    worst = Comparison(f"{crowd}: p99", "{:.2f} ms", scale=1e3, at_most=2.0)
    rate = Comparison("  handshakes meanwhile", "{:.0f}/s")
    for _ in range(rounds):
        for server in servers:
            with connect(server.address, certificates) as greeter:
                quiet.add(server.engine, p99(latencies(greeter, seconds / 2)))
                with Flood(server.port, certificates, _CROWD) as flood:
                    flood.rate(0.5)
                    begin = flood.reading()
                    taken = latencies(greeter, seconds)
                    rate.add(server.engine, flood.rate_since(begin))
            middle.add(server.engine, statistics.median(taken))
            worst.add(server.engine, p99(taken))
    for line in (quiet, middle, worst, rate):
        line.show()


def main() -> None:
    """Run both parts for one runtime."""
    parser = options(__doc__)
    parser.add_argument("--runtime", choices=("threads", "asyncio"), default="threads")
    chosen = parser.parse_args()
    rounds, seconds = (1, 1.0) if chosen.quick else (7, 4.0)
    print_machine()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        certificates = make_certificates(folder / "certs")
        servers = [
            stack.enter_context(
                Served(folder, certificates, engine=engine, runtime=chosen.runtime)
            )
            for engine in ("grpc", "bridge")
        ]
        measure_rate(servers, certificates, rounds, seconds)
        measure_calls(servers, certificates, rounds, seconds)


if __name__ == "__main__":
    main()
