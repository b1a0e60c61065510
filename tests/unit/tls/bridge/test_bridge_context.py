"""The OpenSSL context of a listener, in handshakes in memory."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from OpenSSL import SSL
from support.bridge import material, settings
from support.bridge_certs import authority, certificate

from grpcsecure.tls.bridge.context import ContextError, build_context
from grpcsecure.tls.bridge.material import BridgeMaterial, BridgeSettings
from grpcsecure.tls.bridge.verdict import HandshakeRecord


def chain_that_clients_see(context):
    """Return the subjects of the certificates that a server sends."""
    server = SSL.Connection(context, None)
    server.set_app_data(HandshakeRecord())
    server.set_accept_state()
    options = SSL.Context(SSL.TLS_CLIENT_METHOD)
    options.set_alpn_protos([b"h2"])
    client = SSL.Connection(options, None)
    client.set_connect_state()
    for end, other in ((client, server), (server, client), (client, server)):
        with suppress(SSL.WantReadError):
            end.do_handshake()
        other.bio_write(end.bio_read(65536))
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
        BridgeSettings.of(settings("require_and_verify")),
        BridgeMaterial.of(material(server, client_ca=[root, middle])),
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
            BridgeSettings.of(settings("require_and_verify")), BridgeMaterial.of(held)
        )
