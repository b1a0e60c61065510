"""Real handshakes in memory, to check a client with a listener's own context."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from support.bridge import settings

from grpcsecure.devcerts.credentials import pem_of
from grpcsecure.tls.material import Material
from grpcsecure.tls.openssl.context import build_context
from grpcsecure.tls.openssl.settings import ContextMaterial, ContextSettings
from grpcsecure.tls.openssl.verify_callback import HandshakeRecord, error_text

__all__ = ["CheckOutcome", "check_by_handshake", "ders_of", "material_of"]


class CheckOutcome(NamedTuple):
    """The result of checking a client's certificate; both None if it is verified."""

    reason: str | None
    code: int | None


def material_of(server, *, client_ca=(), crls=(), generation=1):
    """Return key material made from credentials and CRLs of `cryptography`."""
    return Material(
        generation=generation,
        certificate_chain=server.certificate_pem,
        private_key=server.key_pem,
        client_ca=pem_of(*client_ca) or None,
        crls=tuple(crl.public_bytes(Encoding.DER) for crl in crls),
        chain=(),
    )


def ders_of(client):
    """Return the leaf of a credential, and the certificates sent after it."""
    leaf, *chain = (
        each.public_bytes(Encoding.DER) for each in (client.certificate, *client.chain)
    )
    return leaf, tuple(chain)


def check_by_handshake(client, material, version=SSL.TLS1_3_VERSION):
    """Return a listener's result for a client, in `require_but_dont_verify`."""
    lenient = ContextSettings.of(settings("require_but_dont_verify"))
    context = build_context(lenient, ContextMaterial.of(material))
    server = SSL.Connection(context, None)
    record = HandshakeRecord()
    server.set_app_data(record)
    server.set_accept_state()
    options = SSL.Context(SSL.TLS_CLIENT_METHOD)
    options.set_min_proto_version(version)
    options.set_max_proto_version(version)
    options.set_alpn_protos([b"h2"])
    options.use_certificate(client.certificate)
    options.use_privatekey(client.key)
    for issuer in client.chain:
        options.add_extra_chain_cert(issuer)
    connection = SSL.Connection(options, None)
    connection.set_connect_state()
    for end, other in [(connection, server), (server, connection)] * 3:
        with suppress(SSL.Error):
            end.do_handshake()
        with suppress(SSL.WantReadError):
            other.bio_write(end.bio_read(65536))
    assert record.leaf_seen, "the server has not checked a certificate"
    if record.unusable is not None:
        return CheckOutcome(record.unusable, record.error)
    return CheckOutcome(record.error and error_text(record.error), record.error)
