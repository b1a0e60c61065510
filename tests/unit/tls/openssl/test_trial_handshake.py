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


@pytest.fixture(name="held", scope="module")
def _held(root):
    """The material of a listener."""
    server = certificate("server", issuer=root)
    return ContextMaterial.of(material(server, client_ca=[root]))


@pytest.fixture(name="mode", params=list(Mode), ids=lambda mode: mode.value)
def _mode(request):
    """Each mode."""
    return request.param


def check(mode, held, trials=None):
    """Build a context as a listener does, and try it."""
    chosen = ContextSettings.of(settings(mode.value))
    trials = HandshakeTrials(Scratch()) if trials is None else trials
    trials.check(build_context(chosen, held), chosen, held)


def test_good_context_passes(mode, held):
    """For the first listener of a process, and for later ones."""
    trials = HandshakeTrials(Scratch())
    for _ in range(3):
        check(mode, held, trials)


def test_revocation_lists_do_not_disturb(root):
    """The client's certificate is refused for another reason then."""
    server = certificate("server", issuer=root)
    held = material(server, client_ca=[root], crls=[crl_with(root)])
    check(Mode.REQUIRE_AND_VERIFY, ContextMaterial.of(held))


@pytest.mark.parametrize("name", ["SSL_read", "SSL_write"])
def test_function_that_does_nothing_is_found(monkeypatch, held, mode, name):
    """The bytes that a client sends have to arrive, and the answers too."""
    monkeypatch.setattr(openssl, name, lambda *_: 0)
    with pytest.raises(ContextError, match=r"^a TLS handshake in memory failed: "):
        check(mode, held)


def test_function_with_other_arguments_is_found(monkeypatch, held, mode):
    """Whatever is raised is a reason, with its type."""
    monkeypatch.setattr(openssl, "SSL_do_handshake", lambda: 1)
    with pytest.raises(ContextError, match="memory failed: TypeError: "):
        check(mode, held)


@pytest.mark.parametrize("mode", ASKING, indirect=True)
def test_callback_that_is_not_called_is_found(monkeypatch, held, mode):
    """OpenSSL alone lets in every certificate, or none."""
    monkeypatch.setattr(openssl, "use_verify_callback", lambda *_: None)
    with pytest.raises(ContextError, match="memory failed: "):
        check(mode, held)


@pytest.mark.parametrize("mode", ASKING, indirect=True)
def test_callback_that_raises_is_found(monkeypatch, held, mode):
    """Its exception is the reason."""

    def fail(*_, **__):
        raise LookupError("no such name")

    monkeypatch.setattr(verify_callback, "_examine", fail)
    with pytest.raises(ContextError, match="memory failed: LookupError: no such name"):
        check(mode, held)


@pytest.mark.parametrize("mode", VERIFYING, indirect=True)
def test_context_that_lets_everyone_in_is_found(monkeypatch, held, mode):
    """The mode verifies, and the context does not."""
    ask = verify_callback.ask_for_certificate

    def ask_for_any(context, flags, *, verifies, **options):
        del verifies
        ask(context, flags, verifies=False, **options)

    monkeypatch.setattr(contexts, "ask_for_certificate", ask_for_any)
    with pytest.raises(ContextError, match="of no client CA is not refused"):
        check(mode, held)


@pytest.mark.parametrize("mode", VERIFYING, indirect=True)
def test_context_that_refuses_everyone_is_found(monkeypatch, held, mode):
    """A certificate of a client CA has to be verified."""

    def refuse(record, *_, **__):
        record.leaf_seen, record.error = True, 1
        return 1

    monkeypatch.setattr(verify_callback, "_examine", refuse)
    with pytest.raises(ContextError, match="memory failed: certificate verify failed"):
        check(mode, held)


def test_missing_h2_is_found(monkeypatch, held, mode):
    """A client of gRPC needs it."""
    monkeypatch.setattr(
        SSL.Context, "set_alpn_select_callback", lambda _context, _callback: None
    )
    with pytest.raises(ContextError, match="memory failed: "):
        check(mode, held)


def test_handshake_that_does_not_end_is_found(monkeypatch, held, mode):
    """There are as many steps as a handshake needs, and no more."""
    monkeypatch.setattr(TlsStream, "handshake", lambda _: False)
    with pytest.raises(ContextError, match="memory failed: it does not come to an end"):
        check(mode, held)
