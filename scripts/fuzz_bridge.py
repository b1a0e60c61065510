"""Attacks a running bridge at random, and says whether anybody else noticed.

python scripts/fuzz_bridge.py [--seconds 300] [--seed N]

A grpcio server behind the bridge, in a process of its own as `serve` has it; clients
that damage handshakes and connections in every way of `tests/support/fuzz.py`; and one
client that calls all the while. Ends with 1 if the bridge died, reported a mistake of
its own, let a connection hang, failed a call, or has more descriptors, registered
names or memory afterwards.
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
os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it logs what it is sent

import grpc  # noqa: E402 - after its settings, and the folders of the helpers
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

#: Processes that attack, and threads in each: most of them wait mostly.
_PROCESSES, _THREADS = 2, 6

#: How much of the time is for the server to allocate what it needs once in its life.
_WARM_UP = 0.2

#: Seconds for connections to end, and memory to be given back, when all is over.
_SETTLING = 20.0

#: Bytes of memory that may be kept. In the launcher grpcio's allocator keeps what its
#: busiest moment took, and how busy that is, is chance; a leak is more in five minutes.
_ALLOWED = {"launcher": 32 << 20, "bridge": 2 << 20}


class Outcome(NamedTuple):
    """What one attacking process has done: attacks by kind, and what went wrong."""

    counts: Counter[str]
    faults: list[str]


def attack(target: Target, seed: str, seconds: float, outcome: Outcome) -> None:
    """Attack until the time is over."""
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        number += 1
        one = random.Random(f"{seed}/{number}")  # noqa: S311 - to be repeated by its seed
        name = one.choice([*ATTACKS])
        try:
            ATTACKS[name](target, one)
        except EXPECTED:
            pass
        except Exception as error:  # noqa: BLE001 - a fault, in whom it may be
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
    """A client that does nothing wrong: calls, and now and then a new connection."""

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
            self.faults.append(f"a call of somebody else failed: {error!r}")
        self.latencies.append(time.perf_counter() - began)

    def stop(self) -> None:
        """End it."""
        self._stop.set()
        self._thread.join()


def start_attackers(
    target: Target, seed: str, turns: tuple[float, ...]
) -> tuple[Barrier, Queue[Outcome]]:
    """Fork them, before gRPC has any threads; return what starts them, and the end."""
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


def held(server: BridgedServer) -> dict[str, Usage]:
    """Return what each of the two processes holds now."""
    pids = {"launcher": os.getpid(), "bridge": server.bridge.pid}
    return {name: usage([pid]) for name, pid in pids.items() if pid is not None}


def settle(
    server: BridgedServer, start: dict[str, Usage] | None = None
) -> dict[str, Usage]:
    """Return what is held once all is over.

    With a `start`, waits until that is no more than then, or for long enough.
    """
    end = time.monotonic() + _SETTLING
    while True:
        now = held(server)
        is_back = not len(server.bridge.peers) and not (start and grown(now, start))
        if is_back or time.monotonic() > end:
            return now
        time.sleep(0.25)


def grown(now: dict[str, Usage], start: dict[str, Usage]) -> list[str]:
    """Name what there is more of than at the start."""
    return [
        f"{process}, {name}: {before} -> {after}"
        for process in start.keys() & now.keys()
        for name, after, before in zip(
            Usage._fields, now[process], start[process], strict=True
        )
        if after > before + (_ALLOWED[process] if name == "memory" else 0)
    ]


def refusals(server: BridgedServer) -> tuple[Counter[str], list[str]]:
    """Count what the bridge has refused by kind and reason; name its own mistakes."""
    counts: Counter[str] = Counter()
    faults = []
    while True:
        try:
            refusal: Refusal = server.observer.refusals.get_nowait()
        except Empty:
            return counts, faults
        counts[f"{refusal.kind.value}: {refusal.reason}"] += 1 + refusal.left_out
        if refusal.kind is RefusalKind.INTERNAL:
            faults.append(f"the bridge is at fault: {refusal.reason}")


def show(title: str, counts: Counter[str]) -> None:
    """Print what was counted, the most frequent first."""
    print(f"{title}: {sum(counts.values())}")
    for name, count in counts.most_common(40):
        print(f"  {count:7}  {name}")


def make_world() -> tuple[dict[str, Any], Pair, Pair, tuple[Pair | None, ...]]:
    """Return listeners, their CA, a good client and what hostile ones present."""
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
    """Run, print what was done, and return what went wrong."""
    listeners, ca, client, pairs = make_world()
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
        server.seen = deque(maxlen=1)  # it keeps every call for the tests
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
        f"calls of the other client: {len(ordered)}, median"
        f" {statistics.median(ordered) * 1e3:.1f} ms, 99 %"
        f" {ordered[int(len(ordered) * 0.99)] * 1e3:.1f} ms, longest"
        f" {ordered[-1] * 1e3:.0f} ms"
    )
    return faults


def main() -> None:
    """Fuzz, and say how it was."""
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
