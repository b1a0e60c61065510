"""The time of a start, compared with a grpcio script with the same services and TLS.

    python benchmarks/start.py [--runs N]

Start to ready is the wall time from the start of the process to its ready line,
measured by turns; goal: at most 2.5 times that of the script. CPU time of
`validate --syntax-only` for a config of 50 lines; goal: at most 0.4 s.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from servers import RUNTIMES, describe_machine, environment, make, started

_LISTENER = """\
  l{number}:
    address: 127.0.0.1:{port}
    plaintext: true
    services: [helloworld.Greeter]
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=21)
    runs = parser.parse_args().runs
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        for runtime in RUNTIMES:
            _measure_start(Path(folder), runtime, runs)
        _measure_validate(Path(folder), runs)


def _measure_start(folder: Path, runtime: str, runs: int) -> None:
    commands = make(folder, runtime)
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for run in range(runs + 1):
        for name, command in commands.items():
            with started(command) as server:
                if run > 0:  # the first one compiles and fills the page cache
                    seconds[name].append(server.seconds)
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    for name, found in seconds.items():
        print(
            f"start to ready  {runtime:8} {name:10}"
            f" median {medians[name] * 1e3:4.0f} ms, least {min(found) * 1e3:4.0f} ms"
        )
    ratio = medians["grpcsecure"] / medians["by hand"]
    print(f"start to ready  {runtime:8} ratio of medians {ratio:.2f} (goal: 2.5)")


def _measure_validate(folder: Path, runs: int) -> None:
    config = folder / "fifty.yaml"
    head = "version: 1\nservices:\n  - servicer: plain_greeter:Greeter\nlisteners:\n"
    listeners = (_LISTENER.format(number=n, port=8000 + n) for n in range(11))
    config.write_text(head + "".join(listeners) + "production: false\n# fifty\n")
    lines = len(config.read_text().splitlines())
    command = [sys.executable, "-m", "grpcsecure", "validate", "--syntax-only"]
    seconds = sorted(_cpu_of([*command, str(config)]) for _ in range(runs))
    median = statistics.median(seconds)
    print(f"validate --syntax-only  {lines} lines  CPU {median:.3f} s (goal: 0.4 s)")


def _cpu_of(command: list[str]) -> float:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment())
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}")
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
