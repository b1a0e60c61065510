"""Several contexts of one listener, of which the client's name selects one."""

from __future__ import annotations

import gc
from contextlib import suppress
from dataclasses import replace

import pytest
from OpenSSL import SSL
from support.bridge import settings as tls_settings
from support.memory_handshakes import material_of
from support.reloading import authority, client
from support.several_certificates import VERSIONS, server_with

from grpcsecure.model.modes import ClientCertificateMode as Mode
from grpcsecure.tls.certificate import parse_certificate, parse_pem_certificates
from grpcsecure.tls.material import ServerPair
from grpcsecure.tls.openssl import context as contexts
from grpcsecure.tls.openssl import verify_callback
from grpcsecure.tls.openssl.context import ContextError, build_contexts
from grpcsecure.tls.openssl.settings import ContextMaterial, ContextSettings
from grpcsecure.tls.openssl.stream import Scratch, TlsStream
from grpcsecure.tls.openssl.trial_handshake import HandshakeTrials

NAMES = ("first.test", "second.test", "third.test")


def settings(mode):
    """Return the settings of a listener in a mode."""
    return ContextSettings.of(tls_settings(mode.value))


@pytest.fixture(scope="module", name="root")
def _root():
    """A CA of servers and clients."""
    return authority("root")


@pytest.fixture(scope="module", name="several")
def _several(root):
    """The material of a listener with a certificate for each of `NAMES`."""
    first, *further = (server_with(root, name) for name in NAMES)
    material = replace(
        material_of(first, client_ca=[root.certificate]), chain=_chain(first)
    )
    pairs = tuple(
        ServerPair(
            certificate_chain=each.certificate_pem,
            private_key=each.key_pem,
            chain=_chain(each),
        )
        for each in further
    )
    return ContextMaterial.of(replace(material, further=pairs))


def _chain(pair):
    return tuple(map(parse_certificate, parse_pem_certificates(pair.certificate_pem)))


class Pair:
    """A stream of the server and a client, which asks for a name."""

    def __init__(self, context, name, own=None, *, version=SSL.TLS1_3_VERSION):
        self._scratch = Scratch()
        self.server = TlsStream(context, self._scratch)
        options = SSL.Context(SSL.TLS_CLIENT_METHOD)
        options.set_max_proto_version(version)
        options.set_alpn_protos([b"h2"])
        if own is not None:
            options.use_certificate(own.certificate)
            options.use_privatekey(own.key)
        self.client = SSL.Connection(options, None)
        self.client.set_tlsext_host_name(name.encode())
        self.client.set_connect_state()

    def step(self):
        """Let both ends go on once."""
        with suppress(SSL.WantReadError):
            self.client.do_handshake()
        with suppress(SSL.WantReadError):
            data = self.client.bio_read(65536)
            self._scratch.read_memory[: len(data)] = data
            self.server.feed(len(data))
        is_done = self.server.handshake()
        self.server.flush(self)
        return is_done

    def complete(self):
        """Complete the handshake."""
        for _ in range(4):
            if self.step():
                return

    def send(self, data):
        """Pass the server's output to the client."""
        return self.client.bio_write(bytes(data))


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
@pytest.mark.parametrize("name", NAMES)
class TestWhileItIsReplaced:
    """A handshake ends with the contexts with which it began."""

    def test_client_is_verified(self, several, root, name, version):
        """Also if nothing else refers to them any more."""
        chosen = settings(Mode.REQUIRE_AND_VERIFY)
        own = client("dns:ada.test", root)
        first, *_ = build_contexts(chosen, several)
        pair = Pair(first, name, own, version=version)
        pair.step()
        del first, _
        gc.collect()
        pair.complete()
        assert pair.server.record.is_verified
        assert pair.server.server_name() == name

    def test_client_of_another_ca_is_refused(self, several, name, version):
        """The callback of the first context is still the one that is called."""
        chosen = settings(Mode.REQUIRE_AND_VERIFY)
        other = client("dns:ada.test", authority("other"))
        first, *_ = build_contexts(chosen, several)
        pair = Pair(first, name, other, version=version)
        del first, _
        gc.collect()
        with pytest.raises(SSL.Error):
            pair.complete()
        assert pair.server.record.leaf_seen
        assert not pair.server.record.is_verified


def test_exception_of_the_verify_callback_is_that_of_its_handshake(
    several, root, monkeypatch
):
    """It does not wait for the next handshake, whatever the client's name."""

    def fail(*_, **__):
        raise LookupError("no such name")

    first, *_ = build_contexts(settings(Mode.REQUIRE_AND_VERIFY), several)
    own = client("dns:ada.test", root)
    for name in NAMES:
        with monkeypatch.context() as patch:
            patch.setattr(verify_callback, "_examine", fail)
            with pytest.raises(LookupError, match="no such name"):
                Pair(first, name, own).complete()
        pair = Pair(first, name, own)
        pair.complete()
        assert pair.server.record.is_verified


def test_contexts_are_freed_with_the_last_reference(several):
    """Old contexts, with their CAs and CRLs, do not wait for the collector."""
    gc.collect()
    gc.disable()
    try:
        before = _count_contexts()
        made = build_contexts(settings(Mode.REQUIRE_AND_VERIFY), several)
        assert _count_contexts() == before + len(NAMES)
        del made
        assert _count_contexts() == before
    finally:
        gc.enable()


def _count_contexts():
    return sum(isinstance(each, SSL.Context) for each in gc.get_objects())


class TestTrials:
    """Each certificate is tried in memory before it is used."""

    @pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.value)
    def test_good_contexts_pass(self, several, mode):
        """In every mode."""
        chosen = settings(mode)
        trials = HandshakeTrials(Scratch())
        trials.check(build_contexts(chosen, several), chosen, several)

    @pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.value)
    def test_wrong_choice_is_found(self, several, mode, monkeypatch):
        """A name that does not select its certificate."""
        chosen = settings(mode)
        monkeypatch.setattr(contexts, "choose", lambda *_: 0)
        made = build_contexts(chosen, several)
        with pytest.raises(ContextError, match="presents another certificate"):
            HandshakeTrials(Scratch()).check(made, chosen, several)

    def test_key_of_another_certificate_is_refused(self, several):
        """Before any handshake."""
        chain, _ = several.further[1]
        wrong = (several.further[0], (chain, several.private_key))
        with pytest.raises(ContextError, match="certificate or private key"):
            build_contexts(settings(Mode.DONT_REQUEST), replace(several, further=wrong))

    def test_certificate_without_a_usable_name_is_tried_by_itself(self, several):
        """No client can ask for it; its key still has to work."""
        chosen = settings(Mode.DONT_REQUEST)
        nameless = replace(several, names={"first.test": 0, "\x00": 1, "x" * 300: 2})
        made = build_contexts(chosen, nameless)
        HandshakeTrials(Scratch()).check(made, chosen, nameless)
