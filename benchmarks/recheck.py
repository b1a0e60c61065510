"""The cost of verifying a client certificate again at a call (see `Rechecker`).

    python benchmarks/recheck.py [--quick]

Each call pays for a known verdict, the first call of a client in each generation for a
first verdict; the context is created once in each generation. Medians.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import product
from time import perf_counter
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding
from verdicts import options, print_machine

from grpcsecure.devcerts import Profile, Validity, issue, make_authority, make_crl
from grpcsecure.devcerts.credentials import CA_USAGE, pem_of
from grpcsecure.model.listener import Engine
from grpcsecure.tls.material import Material
from grpcsecure.tls.recheck import Rechecker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DER = Encoding.DER
NOW = datetime.now(timezone.utc)
VALIDITY = Validity(NOW - timedelta(days=1), NOW + timedelta(days=30))
#: Calls per measurement of a known verdict, which is too short to be measured alone.
CALLS = 10_000

ENGINES = (Engine.GRPC, Engine.BRIDGE)


def materials() -> Iterator[tuple[str, Material, bytes, tuple[bytes, ...]]]:
    """Yield the cases: name, key material, a client's leaf and chain."""
    root = make_authority("root", now=NOW, days=30)
    profile = Profile(
        subject="middle", validity=VALIDITY, purposes=(), usage=CA_USAGE, is_ca=True
    )
    middle = issue(profile, issuer=root)
    client = Profile(subject="client", validity=VALIDITY)
    direct, below = issue(client, issuer=root), issue(client, issuer=middle)
    material = Material(
        generation=1,
        certificate_chain=direct.certificate_pem,
        private_key=direct.key_pem,
        client_ca=pem_of(root.certificate),
        chain=(),
    )
    leaf, lower, sent = (
        each.certificate.public_bytes(DER) for each in (direct, below, middle)
    )
    crls = tuple(
        make_crl(each, validity=VALIDITY).public_bytes(DER) for each in (root, middle)
    )
    yield "leaf of a root", material, leaf, ()
    yield "leaf of an intermediate", material, lower, (sent,)
    yield "the same, with CRLs", replace(material, crls=crls), lower, (sent,)


def median(measure: Callable[[], float], rounds: int) -> float:
    """Return the median of the measured seconds, in microseconds."""
    return statistics.median(measure() for _ in range(rounds)) * 1e6


def costs(
    engine: Engine,
    material: Material,
    leaf: bytes,
    chain: tuple[bytes, ...],
    rounds: int,
) -> tuple[float, float, float]:
    """Return the cost of context, first and known verdict, in microseconds."""

    def time_context() -> float:
        start = perf_counter()
        Rechecker(material, engine).prepare()
        return perf_counter() - start

    def time_first() -> float:
        rechecker = Rechecker(material, engine)
        rechecker.prepare()
        start = perf_counter()
        verdict = rechecker.verdict(leaf, chain, NOW)
        spent = perf_counter() - start
        if verdict.reason is not None:
            raise RuntimeError(f"the certificate is not valid: {verdict.reason}")
        return spent

    known = Rechecker(material, engine).verdict

    def time_known() -> float:
        known(leaf, chain, NOW)
        start = perf_counter()
        for _ in range(CALLS):
            known(leaf, chain, NOW)
        return (perf_counter() - start) / CALLS

    return tuple(
        median(measure, rounds) for measure in (time_context, time_first, time_known)
    )


def main() -> None:
    """Print a line for each kind of chain and engine."""
    rounds = 20 if options(__doc__).parse_args().quick else 300
    print_machine()
    for (name, material, leaf, chain), engine in product(materials(), ENGINES):
        if engine is Engine.GRPC and material.crls:
            continue
        context, first, known = costs(engine, material, leaf, chain, rounds)
        goal = f"goal < 1 µs  {'ok' if known < 1 else 'MISSED'}"
        print(
            f"{name:26} {engine.value:6} context {context:6.0f} µs"
            f"  first verdict {first:6.0f} µs  known verdict {known:5.2f} µs  {goal}"
        )


if __name__ == "__main__":
    main()
