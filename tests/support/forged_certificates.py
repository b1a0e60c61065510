"""Certificates written byte by byte: with any key, signature, extension and name.

`forge` signs what it is given. The keys are generated once per type and number.
"""

from __future__ import annotations

import base64
import datetime as dt
import zlib
from dataclasses import dataclass, replace
from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import (
    dsa,
    ec,
    ed448,
    ed25519,
    padding,
    rsa,
)

from grpcsecure.tls.boringssl.strict_der import encode
from grpcsecure.tls.der import read_all

NOW = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
DAY = dt.timedelta(days=1)

CURVES = {
    "P-192": ec.SECP192R1,
    "P-224": ec.SECP224R1,
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
    "secp256k1": ec.SECP256K1,
    "brainpoolP256r1": ec.BrainpoolP256R1,
    "brainpoolP384r1": ec.BrainpoolP384R1,
    "brainpoolP512r1": ec.BrainpoolP512R1,
}

try:  # cryptography 47
    from cryptography.hazmat.primitives.asymmetric import mldsa
except ImportError:
    ML_DSA = {}
else:
    ML_DSA = {
        f"ML-DSA-{number}": getattr(mldsa, f"MLDSA{number}PrivateKey")
        for number in (44, 65, 87)
    }


@cache
def new_key(kind: str, number: int = 0):
    """Return the private key of a type with this number, generated on first use."""
    del number
    if kind in CURVES:
        return ec.generate_private_key(CURVES[kind]())
    if kind in ML_DSA:
        return ML_DSA[kind].generate()
    if kind == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "Ed448":
        return ed448.Ed448PrivateKey.generate()
    if kind == "DSA":
        return dsa.generate_private_key(2048)
    return rsa.generate_private_key(65537, int(kind.rpartition(" ")[2]))


def seq(*parts: bytes) -> bytes:
    """Return a SEQUENCE."""
    return encode(0x30, b"".join(parts))


def oid(dotted: str) -> bytes:
    """Return an OBJECT IDENTIFIER."""
    first, second, *rest = map(int, dotted.split("."))
    out = b""
    for number in (first * 40 + second, *rest):
        part = [number & 0x7F]
        while number := number >> 7:
            part.append(0x80 | number & 0x7F)
        out += bytes(reversed(part))
    return encode(0x06, out)


def integer(number: int) -> bytes:
    """Return an INTEGER."""
    size = (number if number >= 0 else ~number).bit_length() // 8 + 1
    return encode(0x02, number.to_bytes(size, "big", signed=True))


def bits(data: bytes, unused: int = 0) -> bytes:
    """Return a BIT STRING."""
    return encode(0x03, bytes([unused]) + data)


def name(*attributes: tuple[str, int, bytes] | str) -> bytes:
    """Return a name of attributes (type, tag, value); a text is a common name."""
    return seq(
        *(
            encode(0x31, seq(oid(kind), encode(tag, value)))
            for kind, tag, value in (
                ("2.5.4.3", 0x0C, each.encode()) if isinstance(each, str) else each
                for each in attributes
            )
        )
    )


NULL = b"\x05\0"
_RSA_HASHES = {"SHA1": 5, "SHA224": 14, "SHA256": 11, "SHA384": 12, "SHA512": 13}
_EC_HASHES = {"SHA1": "1", "SHA224": "3.1", "SHA256": "3.2", "SHA384": "3.3"}
_EC_HASHES["SHA512"] = "3.4"
_SHA3 = {"SHA3_256": 8, "SHA3_384": 9, "SHA3_512": 10}
_HASH_OIDS = {"SHA1": "1.3.14.3.2.26", "SHA224": "2.16.840.1.101.3.4.2.4"}
_HASH_OIDS |= {
    f"SHA{bits}": f"2.16.840.1.101.3.4.2.{number}"
    for number, bits in enumerate((256, 384, 512), 1)
}


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """A signature: its hash, whether it is RSA-PSS, and with which salt."""

    digest: str = "SHA256"
    salt: int | None = None
    #: The hash of the mask; the same by default.
    mask: str | None = None
    #: Whether RSA and ECDSA have the parameters of the other.
    swapped: bool = False

    def algorithm(self, key) -> bytes:
        """Return the AlgorithmIdentifier for a key."""
        if isinstance(key, rsa.RSAPrivateKey):
            return self._rsa()
        if isinstance(key, ec.EllipticCurvePrivateKey):
            parameters = NULL if self.swapped else b""
            if self.digest in _SHA3:
                number = _SHA3[self.digest] + 2
                return seq(oid(f"2.16.840.1.101.3.4.3.{number}"), parameters)
            return seq(oid(f"1.2.840.10045.4.{_EC_HASHES[self.digest]}"), parameters)
        if isinstance(key, dsa.DSAPrivateKey):
            return seq(oid("2.16.840.1.101.3.4.3.2"))
        return seq(algorithm_of(key.public_key()))

    def _rsa(self) -> bytes:
        if self.salt is not None:
            return seq(oid("1.2.840.113549.1.1.10"), self._pss())
        parameters = b"" if self.swapped else NULL
        if self.digest in _SHA3:
            number = _SHA3[self.digest] + 6
            return seq(oid(f"2.16.840.1.101.3.4.3.{number}"), parameters)
        number = _RSA_HASHES[self.digest]
        return seq(oid(f"1.2.840.113549.1.1.{number}"), parameters)

    def _pss(self) -> bytes:
        hashed = seq(oid(_HASH_OIDS[self.digest]), NULL)
        mask = seq(oid(_HASH_OIDS[self.mask or self.digest]), NULL)
        return seq(
            encode(0xA0, hashed),
            encode(0xA1, seq(oid("1.2.840.113549.1.1.8"), mask)),
            encode(0xA2, integer(self.salt)),
        )

    def sign(self, key, data: bytes) -> bytes:
        """Return the signature of a key."""
        digest = getattr(hashes, self.digest)()
        if isinstance(key, rsa.RSAPrivateKey):
            if self.salt is None:
                return key.sign(data, padding.PKCS1v15(), digest)
            mask = padding.MGF1(getattr(hashes, self.mask or self.digest)())
            return key.sign(data, padding.PSS(mask, self.salt), digest)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(data, ec.ECDSA(digest))
        if isinstance(key, dsa.DSAPrivateKey):
            return key.sign(data, digest)
        return key.sign(data)


SHA256 = Scheme()


def public_info(key) -> bytes:
    """Return the SubjectPublicKeyInfo of a private key."""
    return key.public_key().public_bytes(
        ser.Encoding.DER, ser.PublicFormat.SubjectPublicKeyInfo
    )


def algorithm_of(public) -> bytes:
    """Return the object identifier of a public key's type."""
    info = public.public_bytes(ser.Encoding.DER, ser.PublicFormat.SubjectPublicKeyInfo)
    outer = next(read_all(info))
    algorithm = next(read_all(outer.value))
    return next(read_all(algorithm.value)).whole


_RSASSA_PSS = "1.2.840.113549.1.1.10"


def pss_info(key) -> bytes:
    """Return the SubjectPublicKeyInfo of an RSA key as one of type RSA-PSS."""
    outer = next(read_all(public_info(key)))
    _, public = read_all(outer.value)
    return seq(seq(oid(_RSASSA_PSS)), public.whole)


def pss_key_pem(key) -> bytes:
    """Return an RSA key as PEM, as one of type RSA-PSS."""
    der = key.private_bytes(
        ser.Encoding.DER, ser.PrivateFormat.TraditionalOpenSSL, ser.NoEncryption()
    )
    body = seq(integer(0), seq(oid(_RSASSA_PSS)), encode(4, der))
    text = base64.encodebytes(body).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{text}-----END PRIVATE KEY-----\n".encode()


def key_pem(key) -> bytes:
    """Return a private key as PEM."""
    return key.private_bytes(
        ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption()
    )


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """The parts of a certificate; extensions are encoded."""

    subject: bytes
    issuer: bytes
    key: object
    signer: object
    extensions: tuple[bytes, ...] = ()
    scheme: Scheme = SHA256
    version: int = 3
    serial: bytes = integer(4711)
    not_before: bytes = b""
    not_after: bytes = b""
    #: The SubjectPublicKeyInfo, instead of the key's.
    info: bytes = b""
    #: The algorithm inside, instead of the one outside.
    inner: bytes = b""
    #: The signature, instead of a right one.
    signature: bytes = b""

    def der(self) -> bytes:
        """Return the certificate."""
        algorithm = self.scheme.algorithm(self.signer)
        version = encode(0xA0, integer(self.version - 1)) if self.version > 1 else b""
        signed = seq(
            version,
            self.serial,
            self.inner or algorithm,
            self.issuer,
            seq(self.not_before or date(-1), self.not_after or date(30)),
            self.subject,
            self.info or public_info(self.key),
            encode(0xA3, seq(*self.extensions)) if self.extensions else b"",
        )
        signature = self.signature or self.scheme.sign(self.signer, signed)
        return seq(signed, algorithm, bits(signature))

    def but(self, **changes) -> Certificate:
        """Return the same with changes."""
        return replace(self, **changes)


def date(days: float) -> bytes:
    """Return a date relative to now."""
    moment = NOW + days * DAY
    if 1950 <= moment.year < 2050:
        return encode(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())
    return encode(0x18, moment.strftime("%Y%m%d%H%M%SZ").encode())


def extension(kind: str, value: bytes, *, critical: bool = False) -> bytes:
    """Return an extension."""
    return seq(oid(kind), encode(1, b"\xff") if critical else b"", encode(4, value))


def basic(*, ca: bool = True, length: int | None = None) -> bytes:
    """Return BasicConstraints."""
    parts = (encode(1, b"\xff") if ca else b"",)
    if length is not None:
        parts += (integer(length),)
    return extension("2.5.29.19", seq(*parts), critical=True)


def usage(byte: int) -> bytes:
    """Return KeyUsage with the bits of its first byte."""
    unused = (byte & -byte).bit_length() - 1 if byte else 0
    data = bytes([byte]) if byte else b""
    return extension("2.5.29.15", bits(data, unused), critical=True)


CA_USAGE, LEAF_USAGE = 0x06, 0x80
CLIENT, SERVER, ANY = "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.1", "2.5.29.37.0"


def purposes(*kinds: str, critical: bool = False) -> bytes:
    """Return ExtendedKeyUsage."""
    return extension("2.5.29.37", seq(*map(oid, kinds)), critical=critical)


def alternative(*names: bytes, critical: bool = False) -> bytes:
    """Return SubjectAltName."""
    return extension("2.5.29.17", seq(*names), critical=critical)


def dns(text: str | bytes) -> bytes:
    """Return a DNS name."""
    return encode(0x82, text.encode() if isinstance(text, str) else text)


def uri(text: str) -> bytes:
    """Return a URI."""
    return encode(0x86, text.encode())


def email(text: str) -> bytes:
    """Return an e-mail address."""
    return encode(0x81, text.encode())


def ip(packed: bytes) -> bytes:
    """Return an IP address, or a network with its mask."""
    return encode(0x87, packed)


def directory(value: bytes) -> bytes:
    """Return a directory name."""
    return encode(0xA4, value)


def constraints(
    permitted: tuple[bytes, ...] = (),
    excluded: tuple[bytes, ...] = (),
    *,
    extra: bytes = b"",
    critical: bool = True,
) -> bytes:
    """Return NameConstraints; `extra` follows each base."""
    parts = b""
    for tag, bases in ((0xA0, permitted), (0xA1, excluded)):
        if bases:
            parts += encode(tag, b"".join(seq(base, extra) for base in bases))
    return extension("2.5.29.30", seq(parts), critical=critical)


def subject_key(identifier: bytes) -> bytes:
    """Return SubjectKeyIdentifier."""
    return extension("2.5.29.14", encode(4, identifier))


def authority_key(
    identifier: bytes | None = None,
    issuer: bytes | None = None,
    serial: bytes | None = None,
) -> bytes:
    """Return AuthorityKeyIdentifier; the issuer is a name, the serial an INTEGER."""
    parts = b""
    if identifier is not None:
        parts += encode(0x80, identifier)
    if issuer is not None:
        parts += encode(0xA1, directory(issuer))
    if serial is not None:
        parts += encode(0x82, serial[2:])
    return extension("2.5.29.35", seq(parts))


def root(title: str = "root", **changes) -> Certificate:
    """Return a CA that signs itself."""
    key = changes.pop("key", None) or new_key("P-256", 1)
    own = name(title)
    made = Certificate(
        subject=own,
        issuer=own,
        key=key,
        signer=key,
        extensions=(basic(), usage(CA_USAGE)),
    )
    return made.but(**changes)


def issued(by: Certificate, title: str = "leaf", **changes) -> Certificate:
    """Return a leaf of an issuer."""
    key = changes.pop("key", None) or new_key("P-256", 2)
    made = Certificate(
        subject=name(title),
        issuer=by.subject,
        key=key,
        signer=by.key,
        # With the issuer's own serial number, OpenSSL takes it for the issuer itself.
        serial=integer(zlib.crc32(title.encode()) + 5000),
        extensions=(usage(LEAF_USAGE), purposes(CLIENT), alternative(dns("a.test"))),
    )
    return made.but(**changes)
