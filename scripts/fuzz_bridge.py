"""Attacks a running bridge at random, and checks that other clients are not affected.

python scripts/fuzz_bridge.py [--seconds 300] [--seed N]

Runs a grpcio server behind a bridge in a separate process, as `serve` does; clients
that attack it with damaged handshakes and connections (`tests/support/fuzz.py`); and
one client that makes calls all the time. Exits with 1 if the bridge died, reported an
internal error, let a connection hang, failed a call, or has more descriptors,
registered names or memory afterwards.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import secrets
import statistics
import sys
import threading
import time
from array import array
from collections import Counter, deque
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any, NamedTuple

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]
os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # otherwise it logs each attack

import grpc  # noqa: E402 - after its settings and the import paths
from cryptography import x509  # noqa: E402
from processes import Usage, usage  # noqa: E402
from support.bridge import (  # noqa: E402
    BridgedServer,
    call,
    channel,
    listen,
    material,
    settings,
)
from support.bridge_certs import CLIENT_AUTH, authority, certificate  # noqa: E402
from support.fuzz import ATTACKS, EXPECTED, Target  # noqa: E402

from grpcsecure.tls.bridge.ipc.refusal import Refusal, RefusalKind  # noqa: E402

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier

    from support.bridge_certs import Pair

#: Attacking processes, and threads in each; most of the time most threads wait.
_PROCESSES, _THREADS = 2, 6

#: The share of the time in which the server allocates memory that it then keeps.
_WARM_UP = 0.2

#: Seconds after the attacks for connections to end and memory to be returned.
_SETTLING = 20.0

#: Bytes by which the memory may have grown. In the server process, grpcio's allocator
#: keeps the memory of the busiest moment, which is random; a leak is larger after five
#: minutes.
_ALLOWED = {"server": 32 << 20, "bridge": 2 << 20}


class Outcome(NamedTuple):
    """The attacks of one process by type, and the faults it found."""

    counts: Counter[str]
    faults: list[str]


def attack(target: Target, seed: str, seconds: float, outcome: Outcome) -> None:
    """Attack until the time is over."""
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        number += 1
        one = random.Random(f"{seed}/{number}")  # noqa: S311 - repeatable by its seed
        name = one.choice([*ATTACKS])
        try:
            ATTACKS[name](target, one)
        except EXPECTED:
            pass
        except Exception as error:  # noqa: BLE001 - a fault of the bridge or the attack
            outcome.faults.append(f"{name} ({seed}/{number}): {error!r}")
        outcome.counts[name] += 1


def attack_in_turns(
    target: Target,
    seed: str,
    turns: tuple[float, ...],
    start: Barrier,
    done: Queue[Outcome],
) -> None:
    """Attack with all threads of this process whenever `start` lets it."""
    for turn, seconds in enumerate(turns):
        start.wait()
        outcome = Outcome(Counter(), [])
        threads = [
            threading.Thread(
                target=attack, args=(target, f"{seed}/{turn}/{n}", seconds, outcome)
            )
            for n in range(_THREADS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        done.put(outcome)


class Control:
    """A correct client, which makes calls and sometimes a new connection."""

    def __init__(self, target: str, ca: Pair, client: Pair) -> None:
        self.latencies = array("d")
        self.faults: list[str] = []
        self._dial = lambda: channel(target, ca, client)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with self._dial() as lasting:
            while not self._stop.wait(0.005):
                self._call(lasting)
                if len(self.latencies) % 50 == 0:
                    with self._dial() as new:
                        self._call(new)

    def _call(self, opened: grpc.Channel) -> None:
        began = time.perf_counter()
        try:
            call(opened)
        except grpc.RpcError as error:
            self.faults.append(f"a call of the correct client failed: {error!r}")
        self.latencies.append(time.perf_counter() - began)

    def stop(self) -> None:
        """Stop the client."""
        self._stop.set()
        self._thread.join()


def start_attackers(
    target: Target, seed: str, turns: tuple[float, ...]
) -> tuple[Barrier, Queue[Outcome]]:
    """Fork the attackers, before gRPC has threads; return a barrier and a queue.

    The barrier starts each of the `turns`, the queue gets the outcomes.
    """
    context = multiprocessing.get_context("fork")
    start = context.Barrier(_PROCESSES + 1)
    done = context.Queue()
    processes = [
        context.Process(
            target=attack_in_turns,
            args=(target, f"{seed}/{number}", turns, start, done),
            daemon=True,
        )
        for number in range(_PROCESSES)
    ]
    for process in processes:
        process.start()
    return start, done


def usages(server: BridgedServer) -> dict[str, Usage]:
    """Return the resources that the server process and the bridge use now."""
    pids = {"server": os.getpid(), "bridge": server.bridge.pid}
    return {name: usage([pid]) for name, pid in pids.items() if pid is not None}


def settle(
    server: BridgedServer, start: dict[str, Usage] | None = None
) -> dict[str, Usage]:
    """Return the resources in use after the connections have ended.

    With a `start`, waits until there are no more than at the start, or a timeout.
    """
    end = time.monotonic() + _SETTLING
    while True:
        now = usages(server)
        is_back = not len(server.bridge.peers) and not (start and grown(now, start))
        if is_back or time.monotonic() > end:
            return now
        time.sleep(0.25)


def grown(now: dict[str, Usage], start: dict[str, Usage]) -> list[str]:
    """Return the resources of which more are used than at the start."""
    return [
        f"{process}, {name}: {before} -> {after}"
        for process in start.keys() & now.keys()
        for name, after, before in zip(
            Usage._fields, now[process], start[process], strict=True
        )
        if after > before + (_ALLOWED[process] if name == "memory" else 0)
    ]


def refusals(server: BridgedServer) -> tuple[Counter[str], list[str]]:
    """Count the bridge's refusals by kind and reason; return its internal errors."""
    counts: Counter[str] = Counter()
    faults = []
    while True:
        try:
            refusal: Refusal = server.observer.refusals.get_nowait()
        except Empty:
            return counts, faults
        counts[f"{refusal.kind.value}: {refusal.reason}"] += 1 + refusal.left_out
        if refusal.kind is RefusalKind.INTERNAL:
            faults.append(f"internal error of the bridge: {refusal.reason}")


def show(title: str, counts: Counter[str]) -> None:
    """Print counts, the most frequent first."""
    print(f"{title}: {sum(counts.values())}")
    for name, count in counts.most_common(40):
        print(f"  {count:7}  {name}")


def make_listeners() -> tuple[dict[str, Any], Pair, Pair, tuple[Pair | None, ...]]:
    """Return listeners, their CA, a good client, and certificates for the attackers."""
    ca = authority("fuzz CA")
    names: list[x509.GeneralName] = [x509.DNSName("localhost")]
    server = certificate("localhost", issuer=ca, names=names)
    client = certificate("client", issuer=ca, extended=CLIENT_AUTH)
    trusted = material(server, client_ca=[ca])
    listeners = {
        "control": (settings("require_and_verify"), trusted),
        "open": (settings("dont_request", timeout=1.0), material(server)),
        "mutual": (settings("require_and_verify", timeout=1.0), trusted),
        "any": (settings("require_but_dont_verify", timeout=1.0), trusted),
    }
    return listeners, ca, client, (None, client, certificate("stranger"))


def fuzz(seconds: float, seed: str) -> list[str]:
    """Run the attacks, print statistics, and return the faults."""
    listeners, ca, client, pairs = make_listeners()
    sockets = {name: listen() for name in listeners}
    ports = [sockets[name].getsockname()[1] for name in listeners if name != "control"]
    turns = (seconds * _WARM_UP, seconds * (1 - _WARM_UP))
    start, done = start_attackers(Target(tuple(ports), pairs), seed, turns)
    faults: list[str] = []
    threading.excepthook = lambda end: faults.append(
        f"a thread died: {end.exc_value!r}"
    )
    attacks: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    latencies = array("d")
    before: dict[str, Usage] | None = None
    with BridgedServer(listeners, sockets=sockets) as server:
        server.seen = deque(maxlen=1)  # by default it stores every call
        pid = server.bridge.pid
        print(f"bridge: process {pid}", flush=True)
        for _ in turns:
            control = Control(server.target("control"), ca, client)
            start.wait()
            for _ in range(_PROCESSES):
                outcome = done.get()
                attacks += outcome.counts
                faults += outcome.faults
            control.stop()
            latencies += control.latencies
            after = settle(server, before)
            counts, mistakes = refusals(server)
            refused += counts
            faults += [*control.faults, *mistakes]
            if before is None:
                before = after
        faults += [f"more than before: {name}" for name in grown(after, before)]
        if server.bridge.pid != pid or not server.observer.events.empty():
            faults.append(f"the bridge died: {[*server.observer.events.queue]}")
    show("attacks", attacks)
    show("refused", refused)
    for process, start_usage in before.items():
        print(f"{process}: {start_usage}\n{' ' * len(process)}  {after[process]}")
    ordered = sorted(latencies)
    print(
        f"calls of the correct client: {len(ordered)}, median"
        f" {statistics.median(ordered) * 1e3:.1f} ms, 99 %"
        f" {ordered[int(len(ordered) * 0.99)] * 1e3:.1f} ms, longest"
        f" {ordered[-1] * 1e3:.0f} ms"
    )
    return faults


def main() -> None:
    """Fuzz, and print the faults."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", default=secrets.token_hex(4))
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.seconds:g} seconds", flush=True)
    faults = fuzz(options.seconds, options.seed)
    for fault, count in Counter(faults).most_common(40):
        print(f"FAULT ({count}): {fault}")
    print(f"seed {options.seed}: {len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
