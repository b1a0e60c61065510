"""Certificates for development: a throw-away CA, servers, clients, broken specimens.

Not for production: the key of the CA is stored beside the certificates that it signed.
Depends on `cryptography` only, so that tests of other projects can use it, too.
"""

from __future__ import annotations

from grpcsecure.devcerts.credentials import (
    Credential,
    Profile,
    Validity,
    issue,
    make_authority,
)
from grpcsecure.devcerts.revocation import make_crl
from grpcsecure.devcerts.subject_names import ClientName, parse_client, parse_server
from grpcsecure.devcerts.writer import DevFile, make_files, write_files

__all__ = [
    "ClientName",
    "Credential",
    "DevFile",
    "Profile",
    "Validity",
    "issue",
    "make_authority",
    "make_crl",
    "make_files",
    "parse_client",
    "parse_server",
    "write_files",
]
