"""Certificates that TLS stacks serve and `cryptography` does not parse.

Each is an ordinary certificate whose bytes are changed before its CA signs it: a
character that a PrintableString does not allow, Latin-1 in a T61String, an encoded
default.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from support.bridge_certs import CLIENT_AUTH, Pair, certificate

from grpcsecure.tls.der import read_all

__all__ = ["KINDS", "SUBJECT", "Resigned", "resigned", "resigned_client"]

#: The subject's common name and organizational unit before the change.
SUBJECT = x509.Name(
    [
        x509.NameAttribute(x509.NameOID.COMMON_NAME, "device-7"),
        x509.NameAttribute(x509.NameOID.ORGANIZATIONAL_UNIT_NAME, "Muller"),
    ]
)

#: Bytes of the subject, and those of the same length to replace them with.
STRINGS = {
    "underscore in a PrintableString": (b"\x0c\x08device-7", b"\x13\x08device_7"),
    "Latin-1 in a T61String": (b"\x0c\x06Muller", b"\x14\x06M\xfcller"),
}

#: Extensions, by object identifier, with a default that DER leaves out: `critical` of
#: the alternative names, and `cA` in the basic constraints (RFC 5280, 4.2.1.9).
DEFAULTS = {"default criticality": "551d11", "default in constraints": "551d13"}

KINDS = (*STRINGS, *DEFAULTS)


@dataclass(frozen=True)
class Resigned:
    """A certificate whose bytes were changed, with its key."""

    der: bytes
    pair: Pair

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as PEM."""
        body = base64.encodebytes(self.der)
        return b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"

    @property
    def key_pem(self) -> bytes:
        """The key as PKCS #8."""
        return self.pair.key_pem


def resigned_client(issuer: Pair, kind: str) -> Resigned:
    """Return a client certificate with `dns: device.test`, changed and signed again."""
    pair = certificate(
        SUBJECT,
        issuer=issuer,
        extended=CLIENT_AUTH,
        names=[x509.DNSName("device.test")],
    )
    return resigned(pair, issuer, kind)


def resigned(pair: Pair, issuer: Pair, kind: str) -> Resigned:
    """Return a certificate of the subject `SUBJECT`, changed and signed again."""
    tbs = pair.certificate.tbs_certificate_bytes
    if kind in STRINGS:
        before, after = STRINGS[kind]
        assert before in tbs
        tbs = tbs.replace(before, after)
    else:
        tbs = _with_default(tbs, bytes.fromhex(DEFAULTS[kind]))
    signature = issuer.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    [outer] = read_all(pair.der)
    _, algorithm, _ = read_all(outer.value)
    der = _element(0x30, tbs + algorithm.whole + _element(0x03, b"\0" + signature))
    return Resigned(der=der, pair=pair)


def _with_default(tbs: bytes, changed: bytes) -> bytes:
    """Return the certificate's body with a default in one of its extensions."""
    [outer] = read_all(tbs)
    *head, extensions = read_all(outer.value)
    [listed] = read_all(extensions.value)
    body = b""
    for extension in read_all(listed.value):
        kind, *_, value = read_all(extension.value)
        if kind.value != changed:
            body += extension.whole
        elif changed == bytes.fromhex(DEFAULTS["default criticality"]):
            body += _element(0x30, kind.whole + _element(0x01, b"\0") + value.whole)
        else:
            constraints = _element(0x30, _element(0x01, b"\0"))
            body += _element(0x30, kind.whole + _element(0x04, constraints))
    wrapped = _element(0xA3, _element(0x30, body))
    return _element(0x30, b"".join(part.whole for part in head) + wrapped)


def _element(tag: int, value: bytes) -> bytes:
    size = len(value)
    if size < 0x80:
        return bytes([tag, size]) + value
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + value
