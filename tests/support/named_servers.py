"""Servers with odd names in their certificates, for clients of several languages."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone

import grpc
from cryptography import x509

from grpcsecure.devcerts.credentials import (
    SERVER_AUTH,
    Profile,
    Validity,
    issue,
    make_authority,
)
from grpcsecure.tls.certificate import parse_certificate, parse_pem_certificates
from grpcsecure.tls.odd_names import find_odd_names

__all__ = ["DIALLED", "named_servers", "refused_by"]

#: A name in a certificate, and the name that a client dials.
DIALLED = {
    "foo.svc.example": "foo.svc.example",
    "*.svc.example": "foo.svc.example",
    "127.0.0.1": "127.0.0.1",
    "f*.svc.example": "foo.svc.example",
    "*oo.svc.example": "foo.svc.example",
    "foo.*.svc.example": "foo.a.svc.example",
    "foo.svc.example.": "foo.svc.example",
    "*": "foo.svc.example",
    ".svc.example": "foo.svc.example",
    "foo.svc.example:443": "foo.svc.example",
    "https://foo.svc.example": "foo.svc.example",
    "xn--*.svc.example": "xn--foo.svc.example",
}


@contextmanager
def named_servers(folder):
    """Serve on one port for each name; yield the ports and the certificates.

    The file `ca.pem` in the folder has the CA.
    """
    now = datetime.now(timezone.utc)
    ca = make_authority("names", now=now, days=1)
    (folder / "ca.pem").write_bytes(ca.certificate_pem)
    profile = Profile(
        subject="server", validity=Validity.of(1, now=now), purposes=(SERVER_AUTH,)
    )
    ports, certificates = {}, {}
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        for name in DIALLED:
            own = issue(replace(profile, names=(x509.DNSName(name),)), issuer=ca)
            pair = (own.key_pem, own.certificate_pem)
            credentials = grpc.ssl_server_credentials([pair])
            ports[name] = server.add_secure_port("127.0.0.1:0", credentials)
            (der,) = parse_pem_certificates(own.certificate_pem)
            certificates[name] = parse_certificate(der)
        server.start()
        try:
            yield ports, certificates
        finally:
            server.stop(0).wait()


def refused_by(certificate, client):
    """Whether the finding says that such a client refuses the certificate's name."""
    odd = next(find_odd_names(certificate), None)
    return odd is not None and (not odd.refused_by or client in odd.refused_by)
