"""Unary calls per second of `grpcsecure serve` and of a plain grpcio script.

    python benchmarks/unary.py [--rounds N] [--seconds S]

Both servers run all the time and are loaded by turns, over TLS, from a separate
process; goal: a ratio of medians of at least 0.97.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from loads import load
from servers import RUNTIMES, describe_machine, make, started

#: Connections, and streams on each.
_SHAPES = ((10, 10), (1, 1))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        for runtime in RUNTIMES:
            for shape in _SHAPES:
                _measure(
                    Path(folder), runtime, shape, arguments.rounds, arguments.seconds
                )


def _measure(
    folder: Path, runtime: str, shape: tuple[int, int], rounds: int, seconds: float
) -> None:
    rates: dict[str, list[float]] = {}
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(started(command))
            for name, command in make(folder, runtime).items()
        }
        for turn in range(rounds):
            # The order alternates: the second one finds a warmer or busier machine.
            for name in sorted(servers, reverse=turn % 2 == 1):
                found = load(
                    servers[name].address, folder / "certs/ca.pem", shape, seconds
                )
                rates.setdefault(name, []).append(found.rate)
    medians = {name: statistics.median(found) for name, found in rates.items()}
    ratio = medians["grpcsecure"] / medians["by hand"]
    print(
        f"{runtime:8} {shape[0]:2} x {shape[1]:2} "
        + ", ".join(f"{name} {rate:6.0f}/s" for name, rate in medians.items())
        + f", ratio {ratio:.3f} (goal: 0.97)",
        flush=True,
    )


if __name__ == "__main__":
    main()
