"""The cost of one decision, and of identifying one peer.

    python benchmarks/decisions.py [--quick]

Each call on a connection with a known peer pays for one decision: creating the `Call`
and deciding it. Goal: at most 5 us, and the same within 20 % with 10 and with 10,000
rules; the sizes are measured by turns, so that noise of the machine affects all.
"""

from __future__ import annotations

import gc
import statistics
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from verdicts import options, print_machine

from grpcsecure.model.authorization import (
    Authorization,
    Criterion,
    Effect,
    Identity,
    Matcher,
    MatcherKind,
    MetadataCondition,
    Rule,
)
from grpcsecure.model.peer import Certificate, VerifiedPeer
from grpcsecure.policy.decision import Call, Policy, compile_policy

if TYPE_CHECKING:
    from collections.abc import Callable

_SIZES = (10, 1_000, 10_000)
_MOST_US = 5.0
_MOST_RATIO = 1.2

#: The kinds with a goal; others need one table per length of their patterns.
_WITH_GOAL = {"decide, exact", "decide, /Service/*"}

_NOW = datetime.now(timezone.utc)
_METADATA = (
    ("user-agent", "grpc-python/1.80.0 grpc-c/51.0.0 (linux; chttp2)"),
    ("x-env", "prod"),
    ("x-request-id", "4f1c"),
)


def _service(number: int) -> str:
    return f"/corp.team{number % 97}.v1.Service{number}"


#: By kind of rule: the pattern of rule number n, and a method that it matches.
_KINDS: dict[str, tuple[Callable[[int], str], Callable[[int], str]]] = {
    "exact": (lambda n: f"{_service(n)}/Charge", lambda n: f"{_service(n)}/Charge"),
    "/Service/*": (lambda n: f"{_service(n)}/*", lambda n: f"{_service(n)}/Charge"),
    "/Service/Get*": (lambda n: f"{_service(n)}/Get*", lambda n: f"{_service(n)}/GetX"),
    "prefix/*": (lambda n: f"{_service(n)}.*", lambda n: f"{_service(n)}.X/GetX"),
    "by identity": (lambda _: "*", lambda n: f"{_service(n)}/Charge"),
    "no match": (lambda n: f"{_service(n)}/*", lambda _: "/corp.Other/Charge"),
    "condition": (lambda n: f"{_service(n)}/*", lambda n: f"{_service(n)}/Charge"),
    "shadow": (lambda n: f"{_service(n)}/*", lambda n: f"{_service(n)}/Charge"),
}


def _identity(number: int) -> Identity:
    """Return an identity; the kinds of names and all-of matchers take turns."""
    spiffe = Criterion(MatcherKind.SPIFFE, f"spiffe://corp.example/sa/s{number}")
    dns = Criterion(MatcherKind.DNS, f"*.s{number}.corp.example")
    uri = Criterion(MatcherKind.URI, f"https://corp.example/{number}/*")
    unit = Criterion(MatcherKind.ORGANIZATIONAL_UNIT, "Ops")
    matchers = ((spiffe,), (dns,), (uri,), (unit, dns))
    return Identity(f"id{number}", (Matcher(matchers[number % len(matchers)]),))


def _peer(number: int) -> VerifiedPeer:
    return VerifiedPeer(
        listener="public",
        address="ipv4:10.0.0.7:1234",
        certificate=Certificate(
            der=b"",
            subject=f"CN=s{number},OU=Ops,O=Corp",
            issuer="CN=ca",
            serial_number=1,
            not_before=_NOW,
            not_after=_NOW,
            fingerprint="sha256:" + ":".join(["ab"] * 32),
            public_key="sha256:" + ":".join(["cd"] * 32),
            common_name=f"s{number}",
            organizational_units=("Ops",),
            dns=(f"a.s{number}.corp.example",),
            uris=(f"spiffe://corp.example/sa/s{number}",),
        ),
    )


def _rule(kind: str, number: int) -> Rule:
    pattern = _KINDS[kind][0](number)
    condition = (MetadataCondition("x-env", ("prod", "test")),)
    return Rule(
        name=f"rule{number}",
        effect=Effect.DENY if number % 10 == 1 else Effect.ALLOW,
        identities=(f"id{number}", "id0"),
        methods=(pattern,),
        metadata=condition if kind == "condition" else (),
        enforce=kind != "shadow" or number % 2 == 0,
    )


def _policy(kind: str, size: int) -> tuple[Policy, float]:
    rules = tuple(_rule(kind, number) for number in range(size))
    identities = tuple(_identity(number) for number in range(size))
    gc.collect()
    start = time.perf_counter()
    policy = compile_policy(Authorization(rules=rules), identities, pins={})
    return policy, time.perf_counter() - start


def _microseconds(action: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - start) / times * 1e6


def _decision(policy: Policy, method: str) -> Callable[[], object]:
    principal = policy.identify(_peer(0), in_force=True)
    return lambda: policy.decide(principal, Call(method, "public", _METADATA))


def _identification(policy: Policy, number: int) -> Callable[[], object]:
    peer = _peer(number)
    return lambda: policy.identify(peer, in_force=True)


def _compare(title: str, actions: list[Callable[[], object]], *, quick: bool) -> None:
    """Print the cost of each size, and the ratio of the last to the first."""
    times = 2_000 if quick else 10_000
    rounds = [
        [_microseconds(action, times) for action in actions]
        for _ in range(3 if quick else 9)
    ]
    medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
    ratio = statistics.median(row[-1] / row[0] for row in rounds)
    shown = "  ".join(
        f"{size:6} {median:6.2f} us"
        for size, median in zip(_SIZES, medians, strict=True)
    )
    print(f"{title:26} {shown}  ratio {ratio:4.2f}", end="")
    if title in _WITH_GOAL:
        is_met = max(medians) <= _MOST_US and ratio <= _MOST_RATIO
        goal = f"<= {_MOST_US:.0f} us, <= {_MOST_RATIO:.2f}"
        print(f"  goal {goal}  {'ok' if is_met else 'MISSED'}", end="")
    print()


def main() -> None:
    """Measure and print."""
    arguments = options(__doc__).parse_args()
    print_machine()
    for kind, (_, method) in _KINDS.items():
        policies = [_policy(kind, size)[0] for size in _SIZES]
        actions = [
            _decision(policy, method(size // 2))
            for policy, size in zip(policies, _SIZES, strict=True)
        ]
        _compare(f"decide, {kind}", actions, quick=arguments.quick)
    policies = [_policy("exact", size)[0] for size in _SIZES]
    actions = [
        _identification(policy, size // 2)
        for policy, size in zip(policies, _SIZES, strict=True)
    ]
    _compare("identify", actions, quick=arguments.quick)
    for kind in ("exact", "condition"):
        seconds = min(_policy(kind, _SIZES[-1])[1] for _ in range(3))
        print(f"compile {_SIZES[-1]} rules and identities, {kind}: {seconds:.3f} s")


if __name__ == "__main__":
    main()
