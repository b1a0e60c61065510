"""Data that a client sends before the end of its handshake (0-RTT) is refused."""

from __future__ import annotations

import subprocess
from shutil import which

import pytest
from support.bridge import PATIENCE, eventually
from support.tls_session import forge_early_data

from grpcsecure.tls.bridge.ipc.refusal import RefusalKind

needs_openssl = pytest.mark.skipif(which("openssl") is None, reason="needs openssl")


def s_client(port, *options):
    """Start `openssl s_client`, which ends when the server closes the connection."""
    return subprocess.Popen(
        [
            *("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-alpn", "h2"),
            *("-tls1_3", "-ign_eof", *map(str, options)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def resume_with_early_data(raw, folder, data, *, valid):
    """Resume a session, and send `data` before the server has answered."""
    port, session, early = raw.server.port(), folder / "session", folder / "early"
    with s_client(port, "-sess_out", session), raw.accept() as upstream:
        upstream.sendall(b"tickets are sent before this")
    session.write_text(forge_early_data(session.read_text(), valid=valid))
    early.write_bytes(data)
    return s_client(port, "-sess_in", session, "-early_data", early)


@needs_openssl
@pytest.mark.parametrize("ticket", ["valid", "spoiled"])
def test_early_data_is_discarded(raw, tmp_path, ticket):
    """0-RTT data never reaches the server: a replay must not become a second call."""
    valid = ticket == "valid"
    client = resume_with_early_data(raw, tmp_path, b"early" * 3000, valid=valid)
    with raw.accept() as upstream:
        client.stdin.write(b"later")
        client.stdin.flush()
        assert upstream.recv(100) == b"later"
    output, _ = client.communicate(timeout=PATIENCE)
    assert b"Early data was rejected" in output
    assert (b"Reused, TLSv1.3" in output) is valid


@needs_openssl
@pytest.mark.parametrize("ticket", ["valid", "spoiled"])
def test_early_data_without_end_is_refused(raw, tmp_path, ticket):
    """The server discards about one record of it, and then refuses the client."""
    valid = ticket == "valid"
    client = resume_with_early_data(raw, tmp_path, b"early" * 200_000, valid=valid)
    output, _ = client.communicate(timeout=PATIENCE)
    assert b"alert unexpected message" in output
    refusal = raw.server.observer.refusal(kind=RefusalKind.PROTOCOL)
    assert refusal.reason == "too much early data"
    eventually(lambda: len(raw.server.bridge.peers) == 1)
