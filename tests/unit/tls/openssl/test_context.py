"""Tests of a listener's OpenSSL context, in handshakes in memory."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID
from OpenSSL import SSL
from support.bridge import material, settings
from support.bridge_certs import authority, certificate, new_key

from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.tls.openssl.context import ContextError, build_context
from grpcsecure.tls.openssl.settings import ContextMaterial, ContextSettings
from grpcsecure.tls.openssl.stream import Scratch, TlsStream
from grpcsecure.tls.openssl.verify_callback import HandshakeRecord


def connection_pair(context, *, record, credential=None, version=SSL.TLS1_3_VERSION):
    """Return a server's and a client's connection; the client has `credential`."""
    server = SSL.Connection(context, None)
    server.set_app_data(record)
    server.set_accept_state()
    options = SSL.Context(SSL.TLS_CLIENT_METHOD)
    options.set_max_proto_version(version)
    options.set_alpn_protos([b"h2"])
    if credential is not None:
        options.use_certificate(credential.certificate)
        options.use_privatekey(credential.key)
    client = SSL.Connection(options, None)
    client.set_connect_state()
    return server, client


def step(end, other):
    """Continue the handshake at one end, and pass its output to the other end."""
    with suppress(SSL.WantReadError):
        end.do_handshake()
    other.bio_write(end.bio_read(65536))


def sent_subjects(context):
    """Return the subjects of the certificates that a server sends."""
    server, client = connection_pair(context, record=HandshakeRecord())
    for end, other in ((client, server), (server, client), (client, server)):
        step(end, other)
    names = [each.to_cryptography().subject for each in client.get_peer_cert_chain()]
    return [name.rfc4514_string() for name in names]


@pytest.mark.parametrize("issuers", ["sent", "left out"])
def test_only_the_configured_chain_is_sent(issuers):
    """A listener sends the certificates of its file, but none of its client CAs."""
    root = authority("root")
    middle = authority("intermediate", issuer=root)
    server = certificate("server", issuer=middle)
    if issuers == "sent":
        server = replace(server, issuers=(middle.certificate,))
    context = build_context(
        ContextSettings.of(settings("require_and_verify")),
        ContextMaterial.of(material(server, client_ca=[root, middle])),
    )
    expected = ["CN=server", *(["CN=intermediate"] if issuers == "sent" else [])]
    assert sent_subjects(context) == expected


@pytest.fixture(scope="module")
def many_cas():
    """CAs whose subjects have 77 bytes each: 425 of them fit 32 KiB."""
    key = new_key("acceptable")
    return [authority(f"{number:064}", key=key) for number in range(430)]


@pytest.mark.parametrize("mode", ClientCertificateMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("count", [420, 430])
def test_acceptable_cas_are_sent_in_one_mode_and_only_if_they_fit(
    many_cas, mode, count
):
    """Only `require_and_verify` sends the list, and at most 32 KiB of names."""
    held = material(certificate("server"), client_ca=many_cas[:count])
    context = build_context(
        ContextSettings.of(settings(mode.value)), ContextMaterial.of(held)
    )
    server, client = connection_pair(context, record=HandshakeRecord())
    for end, other in ((client, server), (server, client), (client, server)):
        step(end, other)
    is_sent = mode is ClientCertificateMode.REQUIRE_AND_VERIFY and count == 420
    assert len(client.get_client_ca_list()) == (count if is_sent else 0)


@pytest.mark.parametrize("junk", [b"", b"junk"])
def test_revocation_list_that_does_not_load_is_an_error(junk):
    """A listener does not serve with fewer revocation lists than configured."""
    root = authority("root")
    held = material(certificate("server", issuer=root), client_ca=[root], crls=[junk])
    with pytest.raises(ContextError, match="CRL"):
        build_context(
            ContextSettings.of(settings("require_and_verify")), ContextMaterial.of(held)
        )


@pytest.mark.parametrize("mode", ["request_but_dont_verify", "require_and_verify"])
def test_exception_in_the_verify_callback_refuses_the_client(mode):
    """It ends the handshake, and `do_handshake` raises it."""
    root = authority("root")
    context = build_context(
        ContextSettings.of(settings(mode)),
        ContextMaterial.of(
            material(certificate("server", issuer=root), client_ca=[root])
        ),
    )
    # The callback fails because this record has no attributes.
    server, client = connection_pair(
        context, record=SimpleNamespace(), credential=certificate("client", issuer=root)
    )
    step(client, server)
    step(server, client)
    step(client, server)
    with pytest.raises(AttributeError, match="leaf_seen"):
        server.do_handshake()
    client.bio_write(server.bio_read(65536))
    with pytest.raises(SSL.Error):
        client.recv(1)


def forged(root, how):
    """Return a client's certificate for which OpenSSL queues errors of its own."""
    if how == "signed by another key":
        return certificate("client", issuer=root, signer=new_key("unrelated"))
    broken = x509.UnrecognizedExtension(ExtensionOID.EXTENDED_KEY_USAGE, b"not DER")
    return certificate("client", issuer=root, extra=(broken,))


@pytest.mark.parametrize("how", ["signed by another key", "broken extension"])
@pytest.mark.parametrize("piece", [1, 65536], ids=["byte by byte", "at once"])
@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_ignored_error_leaves_nothing_in_openssls_queue(how, piece, version):
    """An error that the mode ignores fails neither the handshake nor later reads."""
    root = authority("root")
    context = build_context(
        ContextSettings.of(settings("request_but_dont_verify")),
        ContextMaterial.of(
            material(certificate("server", issuer=root), client_ca=[root])
        ),
    )
    scratch = Scratch()
    streams = [TlsStream(context, scratch) for _ in range(2)]
    clients = [
        connection_pair(context, record=None, credential=each, version=version)[1]
        for each in (None, forged(root, how))
    ]
    for stream, client in zip(streams, clients, strict=True):
        while not handshake_step(stream, client, scratch, piece):
            pass
    assert streams[1].record.error is not None
    for stream, client in zip(streams, clients, strict=True):
        client.send(b"hello")
        # An incomplete record yields no bytes, but it is not an error.
        data = client.bio_read(65536)
        feed(stream, scratch, data[:-1])
        assert stream.decrypt() == 0
        feed(stream, scratch, data[-1:])
        assert bytes(scratch.plain_memory[: stream.decrypt()]) == b"hello"


def handshake_step(stream, client, scratch, piece):
    """Take one step of a handshake; return whether it is complete at the server."""
    done = False
    with suppress(SSL.WantReadError):
        client.do_handshake()
    with suppress(SSL.WantReadError):
        data = client.bio_read(65536)
        for start in range(0, len(data), piece):
            feed(stream, scratch, data[start : start + piece])
            done = stream.handshake()
    output = bytearray()
    stream.flush(SimpleNamespace(send=lambda data: output.extend(data) or len(data)))
    if output:
        client.bio_write(output)
    return done


def feed(stream, scratch, data):
    """Feed received bytes to a stream."""
    scratch.read_memory[: len(data)] = data
    stream.feed(len(data))
