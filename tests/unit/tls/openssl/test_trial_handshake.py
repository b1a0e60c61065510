"""Tests of the handshakes in memory that a context has to pass before it is used."""

from __future__ import annotations

import pytest
from OpenSSL import SSL
from support.bridge import material, settings
from support.bridge_certs import authority, certificate
from support.crl_specimens import crl_with

from grpcsecure.model.modes import ClientCertificateMode as Mode
from grpcsecure.tls.openssl import _bindings as openssl
from grpcsecure.tls.openssl import context as contexts
from grpcsecure.tls.openssl import verify_callback
from grpcsecure.tls.openssl.context import ContextError, build_context
from grpcsecure.tls.openssl.settings import ContextMaterial, ContextSettings
from grpcsecure.tls.openssl.stream import Scratch, TlsStream
from grpcsecure.tls.openssl.trial_handshake import HandshakeTrials

ASKING = [mode for mode in Mode if mode.asks]
VERIFYING = [mode for mode in Mode if mode.verifies]


@pytest.fixture(name="root", scope="module")
def _root():
    """A CA of server and clients."""
    return authority("root")


@pytest.fixture(name="listener_material", scope="module")
def _listener_material(root):
    """The material of a listener."""
    server = certificate("server", issuer=root)
    return ContextMaterial.of(material(server, client_ca=[root]))


@pytest.fixture(name="mode", params=list(Mode), ids=lambda mode: mode.value)
def _mode(request):
    """Each mode."""
    return request.param


def check(mode, listener_material, trials=None):
    """Build a listener's context, and check it."""
    chosen = ContextSettings.of(settings(mode.value))
    trials = HandshakeTrials(Scratch()) if trials is None else trials
    context = build_context(chosen, listener_material)
    trials.check([context], chosen, listener_material)


def test_good_context_passes(mode, listener_material):
    """A good context passes for the first listener of a process, and for later ones."""
    trials = HandshakeTrials(Scratch())
    for _ in range(3):
        check(mode, listener_material, trials)


def test_context_with_revocation_lists_passes(root):
    """With CRLs, the client's certificate is refused for another reason."""
    server = certificate("server", issuer=root)
    listener_material = material(server, client_ca=[root], crls=[crl_with(root)])
    check(Mode.REQUIRE_AND_VERIFY, ContextMaterial.of(listener_material))


@pytest.mark.parametrize("name", ["SSL_read", "SSL_write"])
def test_function_that_does_nothing_is_found(
    monkeypatch, listener_material, mode, name
):
    """The bytes that the client sends must arrive, and so must the answer."""
    monkeypatch.setattr(openssl, name, lambda *_: 0)
    with pytest.raises(ContextError, match=r"^a TLS handshake in memory failed: "):
        check(mode, listener_material)


def test_function_with_other_arguments_is_found(monkeypatch, listener_material, mode):
    """Any exception becomes the reason, with its type."""
    monkeypatch.setattr(openssl, "SSL_do_handshake", lambda: 1)
    with pytest.raises(ContextError, match="memory failed: TypeError: "):
        check(mode, listener_material)


@pytest.mark.parametrize("mode", ASKING, indirect=True)
def test_callback_that_is_not_called_is_found(monkeypatch, listener_material, mode):
    """Without the callback, OpenSSL accepts every certificate or none."""
    monkeypatch.setattr(openssl, "use_verify_callback", lambda *_: None)
    with pytest.raises(ContextError, match="memory failed: "):
        check(mode, listener_material)


@pytest.mark.parametrize("mode", ASKING, indirect=True)
def test_callback_that_raises_is_found(monkeypatch, listener_material, mode):
    """An exception in the callback becomes the reason."""

    def fail(*_, **__):
        raise LookupError("no such name")

    monkeypatch.setattr(verify_callback, "_examine", fail)
    with pytest.raises(ContextError, match="memory failed: LookupError: no such name"):
        check(mode, listener_material)


@pytest.mark.parametrize("mode", VERIFYING, indirect=True)
def test_context_that_accepts_every_client_is_found(
    monkeypatch, listener_material, mode
):
    """If the mode verifies, the context must refuse an unknown certificate."""
    ask = verify_callback.ask_for_certificate

    def ask_for_any(context, flags, *, verifies, **options):
        del verifies
        ask(context, flags, verifies=False, **options)

    monkeypatch.setattr(contexts, "ask_for_certificate", ask_for_any)
    with pytest.raises(ContextError, match="of an unknown CA is not refused"):
        check(mode, listener_material)


@pytest.mark.parametrize("mode", VERIFYING, indirect=True)
def test_context_that_refuses_every_client_is_found(
    monkeypatch, listener_material, mode
):
    """If the mode verifies, the context must accept a certificate of a client CA."""

    def refuse(record, *_, **__):
        record.leaf_seen, record.error = True, 1
        return 1

    monkeypatch.setattr(verify_callback, "_examine", refuse)
    with pytest.raises(ContextError, match="memory failed: certificate verify failed"):
        check(mode, listener_material)


def test_missing_h2_is_found(monkeypatch, listener_material, mode):
    """A context without ALPN is refused, because gRPC clients need h2."""
    monkeypatch.setattr(
        SSL.Context, "set_alpn_select_callback", lambda _context, _callback: None
    )
    with pytest.raises(ContextError, match="memory failed: "):
        check(mode, listener_material)


def test_handshake_that_does_not_end_is_found(monkeypatch, listener_material, mode):
    """A handshake that needs more steps than usual is an error."""
    monkeypatch.setattr(TlsStream, "handshake", lambda _: False)
    with pytest.raises(ContextError, match="memory failed: it does not end"):
        check(mode, listener_material)
