"""A certificate for each row of the table of modes, made with `grpcsecure.devcerts`."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple

from cryptography.hazmat.primitives import serialization

from grpcsecure.devcerts import (
    Credential,
    Profile,
    Validity,
    issue,
    make_authority,
    parse_server,
)
from grpcsecure.devcerts.credentials import CA_USAGE, SERVER_AUTH, pem_of
from grpcsecure.devcerts.specimens import Specimens

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MatrixCertificates", "make_matrix_certificates", "mismatched_key_pem"]

_DAYS = 30


class MatrixCertificates(NamedTuple):
    """The certificates of the servers and clients of the table."""

    ca: Credential
    server: Credential
    #: For `client_ca`: CA, expired CA, intermediate without its root, pinned leaf.
    client_ca: bytes
    #: The client's credential for each row of the table.
    clients: dict[str, Credential | None]

    def write_server_files(self, folder: Path) -> None:
        """Write `server.pem`, `server.key` and `clients.pem`."""
        (folder / "server.pem").write_bytes(self.server.certificate_pem)
        (folder / "server.key").write_bytes(self.server.key_pem)
        (folder / "server.key").chmod(0o600)
        (folder / "clients.pem").write_bytes(self.client_ca)


def make_matrix_certificates() -> MatrixCertificates:
    """Make the certificates; the names of the clients are those of the rows."""
    now = datetime.now(timezone.utc)
    validity = Validity.of(_DAYS, now=now)
    ca = make_authority("matrix CA", now=now, days=_DAYS)
    client = Profile(subject="client", validity=validity)
    authority = replace(client, purposes=(), usage=CA_USAGE, is_ca=True)
    day = timedelta(days=1)
    old_ca = issue(replace(authority, validity=Validity(now - 9 * day, now - day)))
    absent_root = make_authority("absent root", now=now, days=_DAYS)
    middle = issue(replace(authority, subject="middle"), issuer=absent_root)
    pinned = issue(replace(client, subject="pinned"))
    names = tuple(map(parse_server, ("localhost", "127.0.0.1")))
    server = replace(client, subject="server", names=names, purposes=(SERVER_AUTH,))
    anchors = [each.certificate for each in (ca, old_ca, middle, pinned)]
    return MatrixCertificates(
        ca=ca,
        server=issue(server, issuer=ca),
        client_ca=pem_of(*anchors),
        clients={
            "none": None,
            "trusted": issue(client, issuer=ca),
            "pinned": pinned,
            "expired-ca": issue(client, issuer=old_ca),
            "partial-chain": issue(client, issuer=middle),
            **dict(Specimens(ca, names=(), now=now, days=_DAYS).clients()),
        },
    )


def mismatched_key_pem(credential: Credential) -> bytes:
    """Return the key, but with the public half of the certificate's key.

    OpenSSL accepts it: before it signs, it compares only the public half.
    """
    public = credential.certificate.public_key()
    own, claimed = (
        key.public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        for key in (credential.key.public_key(), public)
    )
    plain = credential.key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    text = base64.encodebytes(plain.replace(own, claimed)).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{text}-----END PRIVATE KEY-----\n".encode()
