"""The bridge's life: new material, killed, started again, drained, given up."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from support.bridge import (
    PATIENCE,
    BridgedServer,
    bridged,
    call,
    channel,
    eventually,
    material,
    settings,
    tls_connect,
    tls_context,
    try_call,
)
from support.bridge_certs import (
    CLIENT_AUTH,
    DAY,
    NOW,
    authority,
    certificate,
    revocation_list,
)

from grpcsecure.tls.bridge.parent import restart_backoff
from grpcsecure.tls.bridge.parent.supervisor import BridgeError
from grpcsecure.tls.openssl.trial_handshake import HandshakeTrials


def test_new_material_counts_for_the_next_handshake(host, pair, ca, client):
    """After a swap new connections see it, and open ones go on."""
    other_ca = authority("other CA")
    renewed = certificate(
        "localhost", issuer=ca, names=[x509.DNSName("localhost")], key="renewed"
    )
    other = certificate("other", issuer=other_ca, extended=CLIENT_AUTH)
    with bridged(pair, ca, host=host) as server:
        assert try_call(server.target(), ca, other)
        with channel(server.target(), ca, client) as opened:
            call(opened)
            new = material(renewed, client_ca=[other_ca], generation=2)
            server.bridge.replace({"public": new})
            call(opened)
            assert try_call(server.target(), ca, client)
            assert try_call(server.target(), ca, other) is None
        assert [facts.generation for _, facts in server.seen] == [1, 1, 2]
        with tls_connect(server.port(), tls_context(ca)) as connection:
            assert connection.getpeercert(binary_form=True) == renewed.der


def test_bad_material_is_rejected_as_a_whole(host, pair, ca, client):
    """One listener's key that does not fit leaves all listeners as they were."""
    misfit = material(pair, client_ca=[ca], generation=2)
    misfit = replace(misfit, private_key=ca.key_pem)
    other_ca = authority("other CA")
    good = material(pair, client_ca=[other_ca], generation=2)
    first = settings("require_and_verify"), material(pair, client_ca=[ca])
    listeners = {"public": first, "second": first}
    with BridgedServer(listeners, host=host) as server:
        with pytest.raises(BridgeError, match=r"listener second: .*does not load"):
            server.bridge.replace({"public": good, "second": misfit})
        assert try_call(server.target(), ca, client) is None
        assert try_call(server.target("second"), ca, client) is None
        assert [facts.generation for _, facts in server.seen] == [1, 1]


def test_bridge_that_cannot_serve_says_why(host, pair, ca):
    """A bad key at the start is an error in words, without the key."""
    bad = replace(material(pair, client_ca=[ca]), private_key=ca.key_pem)
    server = BridgedServer({"public": (settings("dont_request"), bad)}, host=host)
    with pytest.raises(BridgeError, match="does not load") as failure:
        server.start()
    assert "PRIVATE" not in str(failure.value)
    server.close()


@pytest.fixture
def failing_trials(monkeypatch):
    """A switch, off at first: no handshake in memory is possible."""
    switch = {"on": False}
    trial = HandshakeTrials._check

    def check(trials, *arguments):
        if switch["on"]:
            raise LookupError("no such function")
        trial(trials, *arguments)

    monkeypatch.setattr(HandshakeTrials, "_check", check)
    return switch


def test_bridge_without_handshakes_does_not_start(pair, ca, failing_trials):
    """The error names the listener and the reason; no client is accepted."""
    failing_trials["on"] = True
    good = settings("require_and_verify"), material(pair, client_ca=[ca])
    server = BridgedServer({"public": good}, host="thread")
    reason = "listener public: a TLS handshake in memory failed: LookupError: no such"
    with pytest.raises(BridgeError, match=reason):
        server.start()
    server.close()


def test_material_without_handshakes_is_rejected(pair, ca, client, failing_trials):
    """The material in force stays, and the next one may be better."""
    with bridged(pair, ca, host="thread") as server:
        failing_trials["on"] = True
        new = material(pair, client_ca=[ca], generation=2)
        with pytest.raises(BridgeError, match="listener public: a TLS handshake in"):
            server.bridge.replace({"public": new})
        assert try_call(server.target(), ca, client) is None
        failing_trials["on"] = False
        server.bridge.replace({"public": new})
        assert try_call(server.target(), ca, client) is None
        assert [result.generation for _, result in server.seen] == [1, 2]


def test_killed_bridge_is_started_again(pair, ca, client, tmp_path):
    """Clients that come meanwhile wait: the listening socket never closes."""
    with bridged(pair, ca) as server:
        assert try_call(server.target(), ca, client) is None
        first = server.bridge.pid
        with channel(server.target(), ca, client) as opened:
            call(opened)
            os.kill(first, signal.SIGSTOP)
            late = socket.create_connection(("127.0.0.1", server.port()))
            os.kill(first, signal.SIGKILL)
            assert server.observer.event() == "died"
            assert server.observer.event() == "restarted"
            assert server.bridge.pid != first
        late.settimeout(PATIENCE)
        context = tls_context(ca, client, folder=tmp_path)
        with context.wrap_socket(late, server_hostname="localhost") as connection:
            assert connection.selected_alpn_protocol() == "h2"


def test_dead_bridge_leaves_no_peers(pair, ca, client):
    """When the bridge is gone so is every name, before anybody can take it."""
    with bridged(pair, ca) as server, channel(server.target(), ca, client) as opened:
        call(opened)
        [(name, _)] = server.bridge.peers.connections()
        os.kill(server.bridge.pid, signal.SIGKILL)
        assert server.observer.event() == "died"
        assert server.bridge.peers.lookup(name) is None


def test_restarted_bridge_has_the_newest_material(pair, ca, client):
    """What was swapped in before the bridge died is what the next one serves."""
    other_ca = authority("other CA")
    with bridged(pair, ca) as server:
        new = material(pair, client_ca=[other_ca], generation=2)
        server.bridge.replace({"public": new})
        os.kill(server.bridge.pid, signal.SIGKILL)
        assert server.observer.event() == "died"
        assert server.observer.event() == "restarted"
        assert try_call(server.target(), ca, client)


def test_bridge_that_keeps_dying_is_given_up(pair, ca, monkeypatch):
    """After the last attempt the launcher is told, instead of serving half."""
    monkeypatch.setattr(restart_backoff, "_BACKOFF", (0.0, 0.01))
    with bridged(pair, ca) as server:
        for _ in range(2):
            os.kill(server.bridge.pid, signal.SIGKILL)
            assert server.observer.event() == "died"
            assert server.observer.event() == "restarted"
        os.kill(server.bridge.pid, signal.SIGKILL)
        assert server.observer.event() == "gave_up"


def test_signals_of_the_terminal_do_not_end_the_bridge(pair, ca, client):
    """Ctrl-C and a service manager's SIGTERM reach the group; the launcher decides."""
    with bridged(pair, ca) as server:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(server.bridge.pid, number)
        assert try_call(server.target(), ca, client) is None
        assert server.observer.events.empty()


LAUNCHER = """
    import sys
    sys.path.insert(0, sys.argv[1])
    from support.bridge import *
    from support.bridge_certs import *
    ca = authority("ca")
    pair = certificate("localhost", issuer=ca, names=[x509.DNSName("localhost")])
    server = bridged(pair).start()
    print(server.bridge.pid, server.directory.path, flush=True)
    sys.stdin.read()
"""


def _is_alive(pid):
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        )
    except FileNotFoundError:
        return False


def test_bridge_ends_with_its_launcher(tmp_path):
    """A launcher that is killed outright takes its bridge and its files along."""
    tests = str(Path(__file__).parents[1])
    launcher = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(LAUNCHER), tests],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
    )
    pid, directory = launcher.stdout.readline().decode().split()
    launcher.kill()
    launcher.wait()
    launcher.stdin.close()
    launcher.stdout.close()
    eventually(lambda: not _is_alive(int(pid)), what="the end of the bridge")
    eventually(lambda: not Path(directory).exists(), what="the directory's removal")


def test_drain_lets_calls_finish_and_takes_no_more(host, pair, ca, client):
    """After a drain open connections go on, and the bridge ends when they have."""
    with bridged(pair, ca, host=host) as server:
        with channel(server.target(), ca, client) as opened:
            future = opened.unary_unary("/test.Echo/Wait").future(
                b"x", timeout=PATIENCE
            )
            assert server.waiting.wait(PATIENCE)
            server.bridge.drain()
            server.sockets["public"].close()
            stopped = server.server.stop(PATIENCE)
            server.release.set()
            assert future.result() == b"x"
            assert stopped.wait(PATIENCE)
        server.bridge.stop(timeout=PATIENCE)
        assert len(server.bridge.peers) == 0
        assert server.bridge._drained


def test_server_that_ends_a_connection_says_so_in_tls(host, pair, ca, client, tmp_path):
    """The client sees close_notify and not a torn connection."""
    with bridged(pair, ca, host=host) as server:
        context = tls_context(ca, client, folder=tmp_path)
        with tls_connect(server.port(), context) as connection:
            connection.sendall(
                b"this is not HTTP/2, so the server hangs up\r\n\r\n" * 9
            )
            while connection.recv(4096):
                pass  # an SSLEOFError would end the test here


def test_order_to_close_ends_exactly_these_connections(host, pair, ca, client):
    """Of two connections the one named is closed, the other one goes on."""
    with (
        bridged(pair, ca, host=host) as server,
        channel(server.target(), ca, client) as first,
    ):
        call(first)
        [(name, _)] = server.bridge.peers.connections()
        with channel(server.target(), ca, client) as second:
            call(second)
            server.bridge.close([name])
            eventually(lambda: server.bridge.peers.lookup(name) is None)
            call(second)
            assert len(server.bridge.peers) == 1


def test_revoked_client_is_refused_or_claimed(host, pair, ca, client):
    """A revoked certificate is refused where the mode verifies, else not verified."""
    trusted = material(pair, client_ca=[ca], crls=[revocation_list(ca, client)])
    listeners = {
        mode: (settings(mode), trusted)
        for mode in ("require_and_verify", "request_but_dont_verify")
    }
    with BridgedServer(listeners, host=host) as server:
        assert try_call(server.target("require_and_verify"), ca, client)
        assert server.observer.refusal(reason="certificate revoked", verify_code=23)
        assert try_call(server.target("request_but_dont_verify"), ca, client) is None
        [(_, facts)] = server.seen
        assert (facts.verified, facts.unverified_reason) == (
            False,
            "certificate revoked",
        )


@pytest.mark.parametrize("what", ["expired", "foreign"])
def test_unknowable_revocation_counts_as_not_verified(pair, ca, client, what):
    """With CRLs that say nothing about a certificate, it is not verified."""
    crl = (
        revocation_list(ca, next_update=NOW - DAY)
        if what == "expired"
        else revocation_list(authority("another CA"))
    )
    with bridged(pair, ca, crls=[crl], host="thread") as server:
        assert try_call(server.target(), ca, client)
        assert "CRL" in server.observer.refusal().reason


def test_unrevoked_client_is_served_under_a_crl(pair, ca, client):
    """A CRL that does not name a certificate verifies it."""
    with bridged(pair, ca, crls=[revocation_list(ca)], host="thread") as server:
        assert try_call(server.target(), ca, client) is None
        assert server.seen[0][1].verified


def test_keys_are_nowhere_to_be_seen(pair, ca):
    """Neither the bridge's arguments and environment nor any repr has the key."""
    with bridged(pair, ca) as server:
        process = Path(f"/proc/{server.bridge.pid}")
        exposed = process.joinpath("cmdline").read_bytes()
        exposed += process.joinpath("environ").read_bytes()
        assert b"PRIVATE" not in exposed
        first = server.bridge._listeners["public"]
        shown = repr(first) + repr(server.bridge._materials)
        assert "PRIVATE" not in shown


def test_bridge_process_loads_no_grpc(pair, ca):
    """Whatever a user's code or gRPC's threads do, they do it elsewhere."""
    with bridged(pair, ca) as server:
        maps = Path(f"/proc/{server.bridge.pid}/maps").read_text()
        assert "cygrpc" not in maps
        assert "_rust" in maps  # cryptography's OpenSSL: it is the right process
