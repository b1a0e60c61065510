"""The OpenSSL context of a listener, in handshakes in memory."""

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

from grpcsecure.tls.openssl.context import ContextError, build_context
from grpcsecure.tls.openssl.settings import ContextMaterial, ContextSettings
from grpcsecure.tls.openssl.stream import Scratch, TlsStream
from grpcsecure.tls.openssl.verify_callback import HandshakeRecord


def ends(context, *, record, shows=None, version=SSL.TLS1_3_VERSION):
    """Return a server's and a client's end; the client has `shows` for itself."""
    server = SSL.Connection(context, None)
    server.set_app_data(record)
    server.set_accept_state()
    options = SSL.Context(SSL.TLS_CLIENT_METHOD)
    options.set_max_proto_version(version)
    options.set_alpn_protos([b"h2"])
    if shows is not None:
        options.use_certificate(shows.certificate)
        options.use_privatekey(shows.key)
    client = SSL.Connection(options, None)
    client.set_connect_state()
    return server, client


def go_on(end, other):
    """Have one end take a step, and the other hear of it."""
    with suppress(SSL.WantReadError):
        end.do_handshake()
    other.bio_write(end.bio_read(65536))


def chain_that_clients_see(context):
    """Return the subjects of the certificates that a server sends."""
    server, client = ends(context, record=HandshakeRecord())
    for end, other in ((client, server), (server, client), (client, server)):
        go_on(end, other)
    names = [each.to_cryptography().subject for each in client.get_peer_cert_chain()]
    return [name.rfc4514_string() for name in names]


@pytest.mark.parametrize("issuers", ["sent", "left out"])
def test_only_the_configured_chain_is_sent(issuers):
    """A listener sends the certificates of its file, and no CA of its clients."""
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
    assert chain_that_clients_see(context) == expected


@pytest.mark.parametrize("junk", [b"", b"junk"])
def test_list_that_does_not_load_is_no_context(junk):
    """A listener is not served with fewer revocation lists than it has been given."""
    root = authority("root")
    held = material(certificate("server", issuer=root), client_ca=[root], crls=[junk])
    with pytest.raises(ContextError, match="CRL"):
        build_context(
            ContextSettings.of(settings("require_and_verify")), ContextMaterial.of(held)
        )


@pytest.mark.parametrize("mode", ["request_but_dont_verify", "require_and_verify"])
def test_mistake_while_a_certificate_is_judged_refuses_it(mode):
    """What goes wrong in the callback ends the handshake, and is told."""
    root = authority("root")
    context = build_context(
        ContextSettings.of(settings(mode)),
        ContextMaterial.of(
            material(certificate("server", issuer=root), client_ca=[root])
        ),
    )
    # A record that nothing can be noted in.
    server, client = ends(
        context, record=SimpleNamespace(), shows=certificate("client", issuer=root)
    )
    go_on(client, server)
    go_on(server, client)
    go_on(client, server)
    with pytest.raises(AttributeError, match="leaf_seen"):
        server.do_handshake()
    client.bio_write(server.bio_read(65536))
    with pytest.raises(SSL.Error):
        client.recv(1)


def forged(root, how):
    """Return a client's certificate that OpenSSL complains about in its own words."""
    if how == "signed by another key":
        return certificate("client", issuer=root, signer=new_key("nobody's"))
    broken = x509.UnrecognizedExtension(ExtensionOID.EXTENDED_KEY_USAGE, b"no DER")
    return certificate("client", issuer=root, extra=(broken,))


@pytest.mark.parametrize("how", ["signed by another key", "broken extension"])
@pytest.mark.parametrize("piece", [1, 65536], ids=["byte by byte", "at once"])
@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_forgiven_certificate_leaves_nothing_behind(how, piece, version):
    """What a mode forgives fails neither its handshake, nor anything that follows."""
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
        ends(context, record=None, shows=shows, version=version)[1]
        for shows in (None, forged(root, how))
    ]
    for stream, client in zip(streams, clients, strict=True):
        while not shake(stream, client, scratch, piece):
            pass
    assert streams[1].record.error is not None
    for stream, client in zip(streams, clients, strict=True):
        client.send(b"hello")
        # Half a record is nothing to be read, and no failure.
        data = client.bio_read(65536)
        feed(stream, scratch, data[:-1])
        assert stream.decrypt() == 0
        feed(stream, scratch, data[-1:])
        assert bytes(scratch.plain_memory[: stream.decrypt()]) == b"hello"


def shake(stream, client, scratch, piece):
    """Take one step of a handshake; return whether the server's end is done."""
    done = False
    with suppress(SSL.WantReadError):
        client.do_handshake()
    with suppress(SSL.WantReadError):
        data = client.bio_read(65536)
        for start in range(0, len(data), piece):
            feed(stream, scratch, data[start : start + piece])
            done = stream.handshake()
    said = stream._output()
    stream._drop(len(said))
    if said:
        client.bio_write(said)
    return done


def feed(stream, scratch, data):
    """Give a stream what came for it."""
    scratch.read_memory[: len(data)] = data
    stream.feed(len(data))
