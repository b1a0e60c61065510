"""Unary calls per second with 20 rules and mTLS, and without an authorization block.

    python benchmarks/unary_rules.py [--rounds N] [--seconds S]

Both servers run all the time and are loaded by turns; goal: a ratio of at least 0.93,
for both runtimes and engines.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from loads import load
from served import Served, make_certificates
from servers import RUNTIMES
from verdicts import Comparison, print_machine

_SHAPES = ((10, 10), (1, 1))

_IDENTITIES = """\
identities:
  client: {spiffe: "spiffe://grpcsecure.test/client"}
  ci: {dns: "*.ci.corp.example"}
  ops: {organizational_unit: Ops}
authorization:
  rules:
    no-chat-from-ci: {deny: [ci], methods: ["/helloworld.Greeter/Chat"]}
"""


#: Exact methods and whole services, the usual patterns; the services must exist.
_METHODS = (
    "/helloworld.Greeter/SayHello",
    "/helloworld.Greeter/SayHelloManyTimes",
    "/helloworld.Greeter/Chat",
    "/helloworld.Greeter/*",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/*",
)


def rules(count: int) -> str:
    """Return `count` rules, of which the last one allows the client's calls."""
    lines = [
        f'    r{n}: {{allow: [ops], methods: ["{_METHODS[n % len(_METHODS)]}"]}}\n'
        for n in range(count - 2)
    ]
    lines.append('    greet: {allow: [client], methods: ["/helloworld.Greeter/*"]}\n')
    return _IDENTITIES + "".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    print_machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certificates = make_certificates(folder / "certs")
        for engine in ("grpc", "bridge"):
            for runtime in RUNTIMES:
                options = {"engine": engine, "runtime": runtime}
                with (
                    Served(folder, certificates, **options) as without,
                    Served(folder, certificates, **options, rules=rules(20)) as with_,
                ):
                    for shape in _SHAPES:
                        comparison = Comparison(
                            f"{engine:6} {runtime:8} {shape[0]:2} x {shape[1]:2}",
                            "{:.0f}/s",
                            at_least=0.93,
                            names=("without", "20 rules"),
                        )
                        for turn in range(arguments.rounds):
                            pairs = [("without", without), ("20 rules", with_)]
                            # The order alternates: the second finds a warmer machine.
                            for label, server in pairs[:: -1 if turn % 2 else 1]:
                                found = load(
                                    server.address,
                                    certificates.ca,
                                    shape,
                                    arguments.seconds,
                                    client=certificates.of_client,
                                )
                                comparison.add(label, found.rate)
                        comparison.show()


if __name__ == "__main__":
    main()
