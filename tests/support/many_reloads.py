"""A process that reloads many times: `many_reloads.py FOLDER RELOADS`.

Prints the resources of itself and its bridge as JSON: after warming up and at the end.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path

if __name__ == "__main__":
    _ROOT = Path(__file__).parent.parent.parent
    sys.path[:0] = [str(_ROOT / "tests"), str(_ROOT / "examples")]

from support.reloading import Site, channel, client, greet, serving
from support.watching import resources

#: The number of reloads after which caches are full and memory no longer grows.
WARM_UP = 200


def used(bridge: int) -> dict[str, int]:
    """Return the resources that this process and the bridge use now."""
    threads, descriptors, watches = resources()
    return {
        "threads": threads,
        "descriptors": descriptors,
        "watches": watches,
        "memory": memory("self"),
        "bridge descriptors": len([*Path(f"/proc/{bridge}/fd").iterdir()]),
        "bridge memory": memory(bridge),
    }


def memory(pid: int | str) -> int:
    """Return the bytes of a process's private memory."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no such line")


def run(folder: Path, reloads: int) -> list[dict[str, int]]:
    """Reload `reloads` times, with both engines and a client that calls on each."""
    site = Site(folder, "bridge")
    site.config["listeners"]["native"] = {
        "address": "127.0.0.1:0",
        "tls": {
            **site.tls,
            "engine": "grpc",
            "client_certificate": "require_and_verify",
        },
    }
    site.config["identities"] = {"ada": {"dns": "ada.test"}}
    site.allow(all={"allow": ["verified"], "methods": ["*"]})
    site.write()
    pairs = [site.pair, site.new_pair()]
    own = client("dns:ada.test", site.ca)
    names = [["ada"], ["ada", "verified"]]
    with ExitStack() as stack:
        running = stack.enter_context(serving(site))
        bridge = running.server._background.ports._front._bridge.pid
        greeters = [
            stack.enter_context(channel(site, address, own))
            for address in running.server.addresses.values()
        ]
        measured = []
        for number in range(reloads):
            if number == WARM_UP:
                measured.append(used(bridge))
            site.write_pair(pairs[number % 2])
            site.allow(all={"allow": names[number % 2], "methods": ["*"]})
            site.write()
            running.log.forget()
            running.server.reload()
            # A check between the writes of two files may have caused its own reload.
            while not is_in_force(running.server, pairs[number % 2], names[number % 2]):
                running.log.next_reload()
            for greeter in greeters:
                greet(greeter)
        measured.append(used(bridge))
        assert running.server.generation > reloads
    return measured


def is_in_force(server, pair, names: list[str]) -> bool:
    """Whether this certificate and these rules are in force."""
    snapshot = server._in_force.snapshot
    rules = snapshot.config.authorization
    leaf = snapshot.materials["native"].chain[0]
    return (
        leaf.serial_number == pair.certificate.serial_number
        and rules is not None
        and [*rules.rules[0].identities] == names
    )


if __name__ == "__main__":
    json.dump(run(Path(sys.argv[1]), int(sys.argv[2])), sys.stdout)
