"""Clients that take every descriptor of a server's process do not stop its reloads."""

from __future__ import annotations

import resource
import signal
import socket
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from support.bridge import eventually
from support.process import serving
from support.reloading import (
    Site,
    authority,
    channel,
    client,
    greet,
    refusal,
    text_of,
)

#: Descriptors that a server may still open when clients begin to connect.
LEFT = 10


def open_descriptors(pid):
    """Return the number of descriptors that a process has open."""
    return len([*Path(f"/proc/{pid}/fd").iterdir()])


@contextmanager
def exhausted(served, address):
    """Take every descriptor that the process may open, by idle connections."""
    pid = served.process.pid
    limit = open_descriptors(pid) + LEFT
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limit))
    host, _, port = address.rpartition(":")
    with ExitStack() as stack:
        for _ in range(2 * LEFT):
            idle = socket.create_connection((host, int(port)))
            stack.enter_context(idle)
        eventually(lambda: open_descriptors(pid) == limit, what="the shortage")
        yield


@pytest.fixture(name="site")
def _site(tmp_path):
    """A site on engine `grpc` with a directory of registered certificates."""
    site = Site(tmp_path, "grpc", handshake_timeout="10m")
    (tmp_path / "pins").mkdir()
    site.config["identities"] = {
        "registered": [{"certificates": str(tmp_path / "pins")}]
    }
    # Events need descriptors of their own, and are not the point here.
    site.config["reload"] = {"interval": "1s"}
    site.allow(registered={"allow": ["registered"], "methods": ["*"]})
    site.write()
    return site


def test_revocation_is_applied_when_clients_hold_every_descriptor(site):
    """A certificate that is removed from the directory is refused; the other is not."""
    ada, bob = (client(f"dns:{name}.test", site.ca) for name in ("ada", "bob"))
    for name, own in (("ada", ada), ("bob", bob)):
        site.put(f"pins/{name}.pem", text_of(own))
    with serving(site.path) as served:
        address = served.addresses["public"]
        with (
            channel(site, address, ada) as of_ada,
            channel(site, address, bob) as of_bob,
        ):
            greet(of_ada)
            greet(of_bob)
            with exhausted(served, address):
                (site.folder / "pins" / "ada.pem").unlink()
                eventually(lambda: "reload.applied" in served.stderr)
                assert "registered certificates (+ 0, - 1)" in served.stderr
                assert refusal(of_ada)
                greet(of_bob)
                assert "reload.postponed" not in served.stderr
                assert "reload.rejected" not in served.stderr


def test_rotation_is_applied_when_clients_hold_every_descriptor(site):
    """A new client CA and a new server certificate are read, as is the config."""
    site.put("pins/ada.pem", text_of(client("dns:ada.test", site.ca)))
    with serving(site.path) as served, exhausted(served, served.addresses["public"]):
        site.rotate()
        site.put("ca.pem", text_of(authority("other clients")))
        site.config["authorization"]["default"] = "deny"
        site.write()
        eventually(lambda: "client CAs (+ CN=other clients" in served.stderr)
        eventually(lambda: "public: certificate CN=server" in served.stderr)
        assert "reload.rejected" not in served.stderr


@pytest.mark.parametrize("pattern", ["pins", "p*s/*.pem"])
def test_files_that_cannot_be_read_are_not_taken_for_missing(site, pattern):
    """Without any descriptor a reload is postponed, and follows by itself."""
    registered = {"certificates": str(site.folder / pattern)}
    site.config["identities"] = {"registered": [registered]}
    site.write()
    ada = client("dns:ada.test", site.ca)
    site.put("pins/ada.pem", text_of(ada))
    with serving(site.path) as served:
        address = served.addresses["public"]
        with channel(site, address, ada) as of_ada:
            greet(of_ada)
            pid = served.process.pid
            before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            # Not even the reserve can be used: numbers from 1 on are too high.
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (1, before[1]))
            site.put("pins/bob.pem", text_of(client("dns:bob.test", site.ca)))
            served.signal(signal.SIGHUP)
            eventually(lambda: "reload.postponed" in served.stderr)
            greet(of_ada)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
            eventually(lambda: "reload.applied" in served.stderr)
            assert "registered certificates (+ 1, - 0)" in served.stderr
            assert "reload.rejected" not in served.stderr
            assert served.stderr.count("reload.postponed") == 1
            greet(of_ada)
