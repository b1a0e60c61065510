"""The cost of `validate`: for an ordinary config, and for one of 10,000 lines.

    python benchmarks/validate.py [--quick] [--before PYTHON]

CPU time of all processes of `grpcsecure validate` for 50 lines, with rules and policy
tests; with `--before` compared with the grpcsecure that another interpreter has
installed, by turns. Goal: not above it. CPU and wall time for 10,000 lines: identities,
a rule for each, and policy tests. Goal: less than 1 s.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from servers import environment, make
from verdicts import Comparison, options, print_machine

_HEAD = """\
version: 1
services: [{servicer: 'plain_greeter:Greeter'}]
listeners:
  public:
    address: 127.0.0.1:0
    tls:
      certificate: certs/server.pem
      private_key: certs/server.key
      client_certificate: require_and_verify
      client_ca: certs/ca.pem
"""

_IDENTITY = "  service-{0}: {{spiffe: 'spiffe://corp.example/ns/prod/sa/{0}'}}\n"

_RULE = """\
    rule-{0}:
      allow: [service-{0}]
      methods: [/helloworld.Greeter/SayHello, /helloworld.Greeter/*]
"""

_TEST = """\
    - as: {{spiffe: 'spiffe://corp.example/ns/prod/sa/{0}'}}
      call: /helloworld.Greeter/SayHello
      expect: allow
"""

_GOAL = 1.0

#: `validate` writes nothing, compiled modules included: pip does, when it installs.
_COMPILE = """\
import compileall, pathlib, grpcsecure, plain_greeter
for module in (grpcsecure, plain_greeter):
    compileall.compile_dir(pathlib.Path(module.__file__).parent, quiet=2)
"""


class Used(NamedTuple):
    """Seconds of a run."""

    cpu: float
    wall: float


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--before", metavar="PYTHON", default=sys.executable)
    arguments = parser.parse_args()
    rounds = 3 if arguments.quick else 15
    print_machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, "threads")  # for its certificates
        _compare(folder, {"before": arguments.before, "now": sys.executable}, rounds)
        _measure_long(folder, rounds)


def _compare(folder: Path, pythons: dict[str, str], rounds: int) -> None:
    config = _write(folder, identities=5, tests=5)
    lines = len(config.read_text().splitlines())
    cpu = Comparison(
        f"validate, {lines} lines, CPU",
        "{:.0f} ms",
        scale=1e3,
        at_most=1.0,
        names=("before", "now"),
    )
    for python in pythons.values():
        subprocess.run(
            [python, "-c", _COMPILE], check=True, env=environment(), cwd=folder
        )
    for number in range(rounds + 1):
        for name, python in pythons.items():
            used = _validate(python, config)
            if number > 0:  # the first one fills the page cache
                cpu.add(name, used.cpu)
    cpu.show()


def _measure_long(folder: Path, rounds: int) -> None:
    config = _write(folder, identities=2_250, tests=330)
    lines = len(config.read_text().splitlines())
    runs = [_validate(sys.executable, config) for _ in range(rounds)]
    cpu, wall = (statistics.median(values) for values in zip(*runs, strict=True))
    print(
        f"validate, {lines:,} lines, medians: wall {wall:.2f} s, CPU {cpu:.2f} s"
        f" (goal: {_GOAL:.0f} s)"
    )


def _write(folder: Path, *, identities: int, tests: int) -> Path:
    parts = [
        _HEAD,
        "identities:\n",
        *(_IDENTITY.format(number) for number in range(identities)),
        "authorization:\n  rules:\n",
        *(_RULE.format(number) for number in range(identities)),
        "  tests:\n",
        *(_TEST.format(number) for number in range(tests)),
    ]
    config = folder / f"{identities}.yaml"
    config.write_text("".join(parts))
    return config


def _validate(python: str, config: Path) -> Used:
    command = [python, "-m", "grpcsecure", "validate", str(config)]
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, env=environment(), cwd=config.parent
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}")
    # Of the process and of the ones that it has waited for.
    return Used(used.ru_utime + used.ru_stime, time.perf_counter() - begun)


if __name__ == "__main__":
    main()
