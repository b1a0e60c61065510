"""Unusual revocation lists, which `certs dev --broken` does not make."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from grpcsecure.devcerts import Validity

DAY = timedelta(days=1)
NOW = datetime.now(timezone.utc).replace(microsecond=0)
CURRENT = Validity(NOW - DAY, NOW + 30 * DAY)

#: An object identifier without any meaning.
UNKNOWN = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")

_SEQUENCE, _BIT_STRING, _UTC_TIME = 0x30, 0x03, 0x17


def crl_with(issuer, *extensions, validity=CURRENT):
    """Return the DER of a list of `issuer` with (extension, critical) pairs."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(validity.not_before)
        .next_update(validity.not_after)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)


def scope(**limits):
    """Return the extension that limits a list to some certificates of its issuer."""
    every = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**{**every, **limits})


def large_crl(issuer, size):
    """Return the DER of a list with about `size` bytes."""
    padding = x509.UnrecognizedExtension(UNKNOWN, bytes(size))
    return crl_with(issuer, (padding, False))


def endless_crl(issuer):
    """Return the DER of a list without nextUpdate, signed by `issuer`."""
    loaded = x509.load_der_x509_crl(crl_with(issuer))
    body = loaded.tbs_certlist_bytes
    start = body.index(_time(loaded.next_update_utc))
    content = body[_header_size(body) : start] + body[start + 15 :]
    body = _element(_SEQUENCE, content)
    signature = issuer.key.sign(body, ec.ECDSA(hashes.SHA256()))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")  # ecdsa-with-SHA256
    return _element(
        _SEQUENCE, body + algorithm + _element(_BIT_STRING, b"\0" + signature)
    )


def _time(moment):
    return _element(_UTC_TIME, f"{moment:%y%m%d%H%M%SZ}".encode())


def _header_size(element):
    return 2 + (element[1] & 0x7F if element[1] & 0x80 else 0)


def _element(tag, content):
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content
