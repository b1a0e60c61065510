"""Unary calls through the bridge and through grpcio's own TLS, measured in one run.

    python benchmarks/bridge_unary.py [--quick] [--runtime asyncio] [--cores one]

Both servers run all the time and are loaded by turns, with both cores available and
with all processes, including the load, pinned to one core. Goals: at least 0.85 of the
calls per second with many streams (0.80 on one core), and at 1 x 1 at most 120 us added
to the median latency.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from pathlib import Path

from loads import Load, load
from served import Certificates, Served, make_certificates
from servers import RUNTIMES
from verdicts import Comparison, options, print_machine

_SHAPES = ((1, 1), (10, 10), (100, 1))

#: The least ratio of calls per second, by the available cores.
_GOALS = {"free": 0.85, "one": 0.80}
_MOST_ADDED = 120e-6


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--runtime", choices=RUNTIMES)
    parser.add_argument("--cores", choices=_GOALS)
    arguments = parser.parse_args()
    rounds, seconds = (
        (1, 0.5) if arguments.quick else (arguments.rounds, arguments.seconds)
    )
    print_machine()
    everything = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory() as name:
        certificates = make_certificates(Path(name) / "certs")
        for cores in [arguments.cores] if arguments.cores else _GOALS:
            os.sched_setaffinity(0, {min(everything)} if cores == "one" else everything)
            for runtime in [arguments.runtime] if arguments.runtime else RUNTIMES:
                _measure(Path(name), certificates, runtime, cores, rounds, seconds)


def _measure(  # noqa: PLR0913, PLR0917 - what is measured, and how long
    folder: Path,
    certificates: Certificates,
    runtime: str,
    cores: str,
    rounds: int,
    seconds: float,
) -> None:
    with (
        Served(folder, certificates, engine="grpc", runtime=runtime) as native,
        Served(folder, certificates, engine="bridge", runtime=runtime) as bridged,
    ):
        servers = [native, bridged]
        for shape in _SHAPES:
            title = f"{runtime:8} {cores:4} {shape[0]:3} x {shape[1]:<2} "
            goal = None if shape == (1, 1) else _GOALS[cores]
            rates = Comparison(f"{title} calls per second", "{:.0f}/s", at_least=goal)
            costs = Comparison(f"{title} CPU per call", "{:.0f} us", scale=1e6)
            found: dict[str, list[Load]] = {"grpc": [], "bridge": []}
            for turn in range(rounds):
                # The order alternates: the second one finds a warmer or busier machine.
                for server in servers[:: -1 if turn % 2 else 1]:
                    before = server.cpu_seconds()
                    answered = load(
                        server.address,
                        certificates.ca,
                        shape,
                        seconds,
                        client=certificates.of_client,
                    )
                    cost = server.cpu_seconds() - before
                    rates.add(server.engine, answered.rate)
                    # Includes warm-up and handshakes, which are the same for both.
                    costs.add(server.engine, cost / answered.calls)
                    found[server.engine].append(answered)
            rates.show()
            costs.show()
            if shape == (1, 1):
                _show_added(title, found)


def _show_added(title: str, found: dict[str, list[Load]]) -> None:
    added = statistics.median(
        bridge.latency - native.latency
        for bridge, native in zip(found["bridge"], found["grpc"], strict=True)
    )
    met = "ok" if added <= _MOST_ADDED else "MISSED"
    print(
        f"{title} added to the median: {added * 1e6:.0f} us"
        f"  goal <= {_MOST_ADDED * 1e6:.0f}  {met}",
        flush=True,
    )


if __name__ == "__main__":
    main()
