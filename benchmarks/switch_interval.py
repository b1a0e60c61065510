"""The effect of a handler that burns CPU time on other calls, by switch interval.

    python benchmarks/switch_interval.py [--quick]

While one call computes without a pause in a thread of the server, another client calls
a cheap method. For both engines, with Python's own switch interval (5 ms) and with the
default of `server.switch_interval` (500 us): the latency of the cheap method, and the
progress of the burning one.
"""

from __future__ import annotations

import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from calls import burning, connect, latencies
from served import Certificates, Served, make_certificates
from verdicts import Comparison, options, p99, print_machine

_INTERVALS = ("5ms", "500us")
_ENGINES = ("grpc", "bridge")


class _Lines:
    """The comparison of the engines at one switch interval."""

    def __init__(self, interval: str) -> None:
        self.median = Comparison(
            f"{interval:>5}: median", "{:.2f} ms", scale=1e3, at_most=1.2
        )
        self.worst = Comparison(f"{interval:>5}: p99", "{:.2f} ms", scale=1e3)
        self.steps = Comparison(f"{interval:>5}: burnt meanwhile", "{:.0f} steps/ms")

    def measure(
        self, server: Served, certificates: Certificates, seconds: float
    ) -> None:
        """Measure one server for `seconds`."""
        with (
            connect(server.address, certificates) as other,
            connect(server.address, certificates) as greeter,
            burning(other, seconds) as burnt,
        ):
            taken = latencies(greeter, seconds - 0.5)
            steps = burnt()
        self.median.add(server.engine, statistics.median(taken))
        self.worst.add(server.engine, p99(taken))
        self.steps.add(server.engine, steps / seconds / 1e3)

    def show(self) -> None:
        """Print the comparisons."""
        for line in (self.median, self.worst, self.steps):
            line.show()


def _show_gain(lines: dict[str, _Lines]) -> None:
    before, after = (lines[interval] for interval in _INTERVALS)
    for engine in _ENGINES:
        gains = (
            before.median.of(engine) / after.median.of(engine),
            before.worst.of(engine) / after.worst.of(engine),
            after.steps.of(engine) / before.steps.of(engine),
        )
        print(
            "{}: the median falls {:.1f} fold, p99 {:.1f} fold;"
            " {:.0%} of the burning gets done".format(engine, *gains)
        )


def main() -> None:
    """Measure four servers by turns."""
    chosen = options(__doc__).parse_args()
    rounds, seconds = (1, 2.0) if chosen.quick else (7, 5.0)
    print_machine()
    lines = {interval: _Lines(interval) for interval in _INTERVALS}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        certificates = make_certificates(folder / "certs")
        servers = {
            (interval, engine): stack.enter_context(
                Served(
                    folder,
                    certificates,
                    engine=engine,
                    servicer="burning_greeter:BurningGreeter",
                    switch_interval=interval,
                )
            )
            for interval in _INTERVALS
            for engine in _ENGINES
        }
        for _ in range(rounds):
            for (interval, _), server in servers.items():
                lines[interval].measure(server, certificates, seconds)
    for each in lines.values():
        each.show()
    _show_gain(lines)


if __name__ == "__main__":
    main()
