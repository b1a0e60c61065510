"""The lifecycle of the bridge: new key material, crashes, restarts and drains."""

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


def test_new_material_is_used_by_the_next_handshake(host, pair, ca, client):
    """After a swap new connections use the new material; open ones stay open."""
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
        assert [result.generation for _, result in server.seen] == [1, 1, 2]
        with tls_connect(server.port(), tls_context(ca)) as connection:
            assert connection.getpeercert(binary_form=True) == renewed.der


def test_bad_material_is_rejected_as_a_whole(host, pair, ca, client):
    """A wrong key for one listener leaves all listeners with the old material."""
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
        assert [result.generation for _, result in server.seen] == [1, 1]


def test_bridge_that_cannot_serve_says_why(host, pair, ca):
    """A bad key at the start is a human-readable error, without the key's text."""
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
    """Clients that connect meanwhile wait: the listening socket stays open."""
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
    """When the bridge has died all names are unregistered before they become free."""
    with bridged(pair, ca) as server, channel(server.target(), ca, client) as opened:
        call(opened)
        [(name, _)] = server.bridge.peers.connections()
        os.kill(server.bridge.pid, signal.SIGKILL)
        assert server.observer.event() == "died"
        assert server.bridge.peers.lookup(name) is None


def test_restarted_bridge_has_the_newest_material(pair, ca, client):
    """A new bridge begins with the material of the last swap before the crash."""
    other_ca = authority("other CA")
    with bridged(pair, ca) as server:
        new = material(pair, client_ca=[other_ca], generation=2)
        server.bridge.replace({"public": new})
        os.kill(server.bridge.pid, signal.SIGKILL)
        assert server.observer.event() == "died"
        assert server.observer.event() == "restarted"
        assert try_call(server.target(), ca, client)


def test_bridge_that_keeps_dying_is_not_restarted_forever(pair, ca, monkeypatch):
    """After the last restart the observer is notified that there are no more."""
    monkeypatch.setattr(restart_backoff, "_BACKOFF", (0.0, 0.01))
    with bridged(pair, ca) as server:
        for _ in range(2):
            os.kill(server.bridge.pid, signal.SIGKILL)
            assert server.observer.event() == "died"
            assert server.observer.event() == "restarted"
        os.kill(server.bridge.pid, signal.SIGKILL)
        assert server.observer.event() == "gave_up"


def test_signals_of_the_terminal_do_not_end_the_bridge(pair, ca, client):
    """Ctrl-C and SIGTERM reach the whole process group; the server process decides."""
    with bridged(pair, ca) as server:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(server.bridge.pid, number)
        assert try_call(server.target(), ca, client) is None
        assert server.observer.events.empty()


SERVER = """
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


def test_bridge_ends_with_the_server_process(tmp_path):
    """If the server process is killed, the bridge ends and removes the sockets."""
    tests = str(Path(__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SERVER), tests],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
    )
    pid, directory = process.stdout.readline().decode().split()
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    eventually(lambda: not _is_alive(int(pid)), what="the end of the bridge")
    eventually(lambda: not Path(directory).exists(), what="the directory's removal")


def test_drain_lets_calls_finish(host, pair, ca, client):
    """After a drain open connections go on; the bridge ends when they have ended."""
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
        assert server.bridge._drain.is_over


def test_server_that_closes_ends_tls_cleanly(host, pair, ca, client, tmp_path):
    """The client gets a close_notify before the end of the connection."""
    with bridged(pair, ca, host=host) as server:
        context = tls_context(ca, client, folder=tmp_path)
        with tls_connect(server.port(), context) as connection:
            connection.sendall(
                b"this is not HTTP/2, so the server disconnects\r\n\r\n" * 9
            )
            while connection.recv(4096):
                pass  # without close_notify this raises SSLEOFError


def test_order_to_close_ends_exactly_these_connections(host, pair, ca, client):
    """Of two connections only the one in the order is closed."""
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
    """A revoked certificate is refused if the mode verifies, and else not verified."""
    trusted = material(pair, client_ca=[ca], crls=[revocation_list(ca, client)])
    listeners = {
        mode: (settings(mode), trusted)
        for mode in ("require_and_verify", "request_but_dont_verify")
    }
    with BridgedServer(listeners, host=host) as server:
        assert try_call(server.target("require_and_verify"), ca, client)
        assert server.observer.refusal(reason="certificate revoked", verify_code=23)
        assert try_call(server.target("request_but_dont_verify"), ca, client) is None
        [(_, result)] = server.seen
        assert (result.verified, result.unverified_reason) == (
            False,
            "certificate revoked",
        )


@pytest.mark.parametrize("what", ["expired", "foreign"])
def test_unknown_revocation_status_counts_as_not_verified(pair, ca, client, what):
    """If no valid CRL covers a certificate, it is not verified."""
    crl = (
        revocation_list(ca, next_update=NOW - DAY)
        if what == "expired"
        else revocation_list(authority("another CA"))
    )
    with bridged(pair, ca, crls=[crl], host="thread") as server:
        assert try_call(server.target(), ca, client)
        assert "CRL" in server.observer.refusal().reason


def test_unrevoked_client_is_served_under_a_crl(pair, ca, client):
    """A certificate that is not on its CA's CRL is verified."""
    with bridged(pair, ca, crls=[revocation_list(ca)], host="thread") as server:
        assert try_call(server.target(), ca, client) is None
        assert server.seen[0][1].verified


def test_keys_are_not_exposed(pair, ca):
    """The bridge's arguments and environment and all reprs are without the key."""
    with bridged(pair, ca) as server:
        process = Path(f"/proc/{server.bridge.pid}")
        exposed = process.joinpath("cmdline").read_bytes()
        exposed += process.joinpath("environ").read_bytes()
        assert b"PRIVATE" not in exposed
        first = server.bridge._listeners["public"]
        shown = repr(first) + repr(server.bridge._materials)
        assert "PRIVATE" not in shown


def test_bridge_process_loads_no_grpc(pair, ca):
    """The user's code and gRPC's threads run in another process."""
    with bridged(pair, ca) as server:
        maps = Path(f"/proc/{server.bridge.pid}/maps").read_text()
        assert "cygrpc" not in maps
        assert "_rust" in maps  # cryptography's OpenSSL: it is the right process
