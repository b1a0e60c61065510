"""A server with several certificates, and clients that ask for one by name (SNI)."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import NamedTuple

from cryptography import x509
from OpenSSL import SSL, crypto
from support.reloading import PATIENCE, Site, open_channel, validity

from grpcsecure.devcerts.credentials import SERVER_AUTH, Profile, issue
from grpcsecure.devcerts.subject_names import parse_server

__all__ = [
    "NAMES",
    "VERSIONS",
    "Handshake",
    "SeveralSite",
    "open_with_name",
    "server_with",
    "shake_hands",
]

#: The certificates of a `SeveralSite` by the name of their files, the default first.
NAMES = {
    "default": ("localhost", "127.0.0.1", "default.test"),
    "exact": ("api.shop.test", "shop.test", "Upper.Test"),
    "wild": ("*.shop.test", "10.0.0.7"),
}

VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}


def server_with(issuer, *names, key=None, **dates):
    """Make a server certificate with these names."""
    profile = Profile(
        subject=f"server {names[0]}" if names else "server",
        validity=validity(**dates),
        names=tuple(
            x509.DNSName(name) if name.startswith("*") else parse_server(name)
            for name in names
        ),
        purposes=(SERVER_AUTH,),
    )
    return issue(profile, issuer=issuer, key=key)


class SeveralSite(Site):
    """A site with the certificates of `NAMES`, in `pairs` by the names of their files.

    The order of the list in the config is that of `pairs`.
    """

    def __init__(self, folder, engine, **options):
        self.pairs = {}
        super().__init__(folder, engine, **options)
        del self.tls["certificate"], self.tls["private_key"]
        for stem, names in NAMES.items():
            self.put_pair(stem, server_with(self.root, *names))
        self.write()

    def put_pair(self, stem, pair):
        """Write a certificate and its key to files."""
        self.pairs[stem] = pair
        self.put(f"{stem}.pem", pair.certificate_pem.decode())
        self.put(f"{stem}.key", pair.key_pem.decode())

    def write(self):
        """Write the config, with the certificates in `pairs`."""
        if self.pairs:
            self.tls["certificates"] = [
                {"certificate": f"{stem}.pem", "private_key": f"{stem}.key"}
                for stem in self.pairs
            ]
        super().write()

    def stem_of(self, serial):
        """Return the name of the files with a certificate."""
        serials = {
            pair.certificate.serial_number: stem for stem, pair in self.pairs.items()
        }
        return serials[serial]


class Handshake(NamedTuple):
    """The server's certificate, and whether the server then speaks HTTP/2."""

    serial: int
    is_accepted: bool
    version: str


def shake_hands(address, name=None, own=None, *, version=None):
    """Make a handshake, asking for `name`, and wait for what the server sends next.

    Args:
        address: of the listener.
        name: the name to send (text or bytes), or None for none.
        own: the client's certificate and key, or None.
        version: the one TLS version to offer; all of them by default.
    """
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_alpn_protos([b"h2"])
    if version is not None:
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
    if own is not None:
        context.use_certificate(own.certificate)
        context.use_privatekey(own.key)
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as sock:
        sock.settimeout(None)  # pyOpenSSL needs a blocking socket
        client = SSL.Connection(context, sock)
        if name is not None:
            client.set_tlsext_host_name(
                name if isinstance(name, bytes) else name.encode()
            )
        client.set_connect_state()
        data = b""
        with suppress(SSL.Error):
            client.do_handshake()
            data = client.recv(1)
        shown = client.get_peer_certificate()
        assert shown is not None, "no handshake"
        # OpenSSL's own encoding: `cryptography` need not know the name's type.
        der = crypto.dump_certificate(crypto.FILETYPE_ASN1, shown)
        return Handshake(
            x509.load_der_x509_certificate(der).serial_number,
            bool(data),
            client.get_protocol_version_name(),
        )


def open_with_name(site, address, name, own=None):
    """Return a channel of grpcio whose client dials `name`."""
    return open_channel(site, address, own, ("grpc.ssl_target_name_override", name))
