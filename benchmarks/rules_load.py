"""The time to load a config with 10,000 rules, in all phases of `validate`.

    python benchmarks/rules_load.py [--quick]

Wall time of `grpcsecure validate` in a separate process, for as many identities as
rules, with two patterns per rule. Goal: at most 2 s for 10,000 rules, including the
start of the interpreter.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from servers import environment, make
from verdicts import options, print_machine

_GOAL = 2.0

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


def main() -> None:
    """Measure and print."""
    quick = options(__doc__).parse_args().quick
    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), "threads")  # for its certificates
        for count in (10, 10_000):
            config = Path(folder) / f"{count}.yaml"
            config.write_text(_config(count))
            seconds = [_time(config) for _ in range(2 if quick else 7)]
            median = statistics.median(seconds)
            print(
                f"validate, {count:6,} rules  median {median:.2f} s,"
                f" most {max(seconds):.2f} s (goal: {_GOAL:.0f} s)"
            )


def _config(count: int) -> str:
    identities = "".join(_IDENTITY.format(number) for number in range(count))
    rules = "".join(_RULE.format(number) for number in range(count))
    return f"{_HEAD}identities:\n{identities}authorization:\n  rules:\n{rules}"


def _time(config: Path) -> float:
    command = [sys.executable, "-m", "grpcsecure", "validate", str(config)]
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment())
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
