"""The client CAs that each engine can verify clients with.

BoringSSL (engine `grpc`) supports fewer types of keys than OpenSSL (the bridge) and no
name constraints on IP addresses. OpenSSL applies a client CA's own extensions and the
strength of its key, BoringSSL does not. Measured on grpcio 1.85.3 and OpenSSL 4.0.3;
`tests/integration/test_ca_support.py` compares both with handshakes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.errors import CertificateError
from grpcsecure.model.listener import Engine
from grpcsecure.tls.certificate import load_x509
from grpcsecure.tls.der import DerError, dotted, read_all, read_certificate
from grpcsecure.tls.extensions import (
    KeyUse,
    allows,
    extension,
    has_purpose,
    is_authority,
)
from grpcsecure.tls.key_kinds import KeyKind, kind_of_key

if TYPE_CHECKING:
    from grpcsecure.model.peer import Certificate
    from grpcsecure.tls.der import CertificateFields, Element

__all__ = ["CaProblem", "ClientCa"]

#: Keys that BoringSSL supports, as both its rules and this list have it: most CAs need
#: no more, and do not have to wait for the rules to be imported.
_USUAL_CURVES = frozenset({"P-256", "P-384", "P-521"})
_USUAL_BITS = range(2048, 8193)
_USUAL_EXPONENT = bytes.fromhex("0203010001")

#: Both engines accept these critical extensions: basicConstraints and keyUsage.
_USUAL_CRITICAL = frozenset({bytes.fromhex("551d13"), bytes.fromhex("551d0f")})
_V3 = 3

#: OpenSSL's security level 2 needs 112 bits of strength.
_MIN_RSA_BITS = 2048
_WEAK_KEYS = frozenset({"P-192"})

#: Object identifiers in DER.
_CLIENT_AUTH = bytes.fromhex("2b06010505070302")
_NAME_CONSTRAINTS = bytes.fromhex("551d1e")

_IP_ADDRESS = 0x87

#: Extensions that OpenSSL processes, and which may be critical: keyUsage,
#: subjectAltName, basicConstraints, nameConstraints, cRLDistributionPoints,
#: certificatePolicies, policyMappings, policyConstraints, extKeyUsage,
#: inhibitAnyPolicy, Netscape's certificate type, OCSP no-check, address blocks and
#: numbers of autonomous systems (RFC 3779), proxyCertInfo.
_OPENSSL_EXTENSIONS = frozenset(
    bytes.fromhex(identifier)
    for identifier in (
        *("551d0f", "551d11", "551d13", "551d1e", "551d1f", "551d20", "551d21"),
        *("551d24", "551d25", "551d36", "6086480186f8420101", "2b0601050507300105"),
        *("2b06010505070107", "2b06010505070108", "2b0601050507010e"),
    )
)


class CaProblem(NamedTuple):
    """Why a CA can verify no client, and what a CA needs instead."""

    reason: str
    remedy: str


class ClientCa:
    """A certificate in a `client_ca` file, with what the engines make of it.

    Its extensions are parsed once: files may have thousands of certificates.

    Raises:
        CertificateError: the certificate cannot be read.
    """

    __slots__ = ("_fields", "_kind", "certificate")

    def __init__(self, certificate: Certificate) -> None:
        self.certificate = certificate
        try:
            self._fields = read_certificate(certificate.der)
        except DerError as error:
            raise CertificateError(f"the certificate cannot be read: {error}") from None
        self._kind = _kind_of_key(self._fields)

    @property
    def is_authority(self) -> bool:
        """Whether it says that it is a CA; certificates of version 1 cannot."""
        return bool(is_authority(self._fields))

    @property
    def is_root(self) -> bool:
        """Whether it is a CA that names itself as its issuer."""
        own = self.certificate.issuer == self.certificate.subject
        return own and (self.is_authority or self._fields.version == 1)

    @property
    def is_too_short(self) -> bool:
        """Whether its key is too short for OpenSSL, which the bridge verifies with."""
        bits = self._kind.bits
        is_short = bits is not None and bits < _MIN_RSA_BITS
        return is_short or self._kind.name in _WEAK_KEYS

    @property
    def has_ip_constraint(self) -> bool:
        """Whether it has a name constraint on IP addresses (RFC 5280, 4.2.1.10)."""
        constraints = extension(self._fields, _NAME_CONSTRAINTS)
        if constraints is None:
            return False
        # There are two lists of subtrees, each of which begins with its name.
        return any(
            base.tag == _IP_ADDRESS
            for subtrees in _parts(constraints)
            for subtree in _parts(subtrees)
            for base in _parts(subtree)
        )

    def why_no_client(self, engine: Engine) -> CaProblem | None:
        """Return why an engine can verify no client by it as a CA, or None if it can.

        Its dates do not count.
        """
        if not allows(self._fields, KeyUse.KEY_CERT_SIGN):
            return CaProblem("its keyUsage lacks keyCertSign", "keyCertSign")
        found: CaProblem | None = None
        if engine is Engine.BRIDGE:
            found = self._why_not_by_openssl()
        elif not self._has_key_for_boringssl():
            reason = f"it does not support {self._kind} keys"
            found = CaProblem(reason, "an EC P-256 key")
        if found is not None or self._is_usual:
            return found
        return self._ask(engine)

    @property
    def _is_usual(self) -> bool:
        """Whether it has nothing that an engine could object to, beyond the above."""
        is_plain = self._fields.critical <= _USUAL_CRITICAL
        return is_plain and self._fields.version == _V3 and self._is_strict

    @property
    def _is_strict(self) -> bool:
        try:
            return bool(load_x509(self.certificate.der).extensions)
        except (CertificateError, ValueError):
            return False

    def _ask(self, engine: Engine) -> CaProblem | None:
        """Ask the engine's own check, at a time at which the CA is valid."""
        from grpcsecure.tls.client_authorities import why_not_verifiable

        start, end = self.certificate.not_before, self.certificate.not_after
        middle = start + (end - start) / 2
        reason = why_not_verifiable(engine, self.certificate.der, middle)
        return None if reason is None else CaProblem(reason, "other extensions")

    def why_not_loadable(self, engine: Engine) -> str | None:
        """Return why an engine cannot load it, or None if it can."""
        der = self.certificate.der
        try:
            # It loads fewer than the engines' libraries, which take longer to import.
            load_x509(der)
        except CertificateError:
            if engine is Engine.GRPC:
                return _why_not_by_boringssl(der)
            from grpcsecure.tls.openssl.certificate_loading import can_load

            return None if can_load(der) else "OpenSSL does not read its encoding"
        return None

    def _has_key_for_boringssl(self) -> bool:
        if self._kind.name in _USUAL_CURVES:
            return True
        is_usual = self._fields.public_key.endswith(_USUAL_EXPONENT)
        if self._kind.name == "RSA" and self._kind.bits in _USUAL_BITS and is_usual:
            return True
        from grpcsecure.tls.boringssl.parsed_certificate import parse_certificate
        from grpcsecure.tls.boringssl.signatures import has_usable_key

        try:
            return has_usable_key(parse_certificate(self.certificate.der))
        except DerError:
            return False

    def _why_not_by_openssl(self) -> CaProblem | None:
        if self.is_too_short:
            return CaProblem(f"its {self._kind} key is too short", "an EC P-256 key")
        if not has_purpose(self._fields, _CLIENT_AUTH):
            reason = "its extendedKeyUsage lacks clientAuth"
            return CaProblem(reason, "clientAuth, or without extendedKeyUsage")
        unknown = sorted(self._fields.critical - _OPENSSL_EXTENSIONS)
        if unknown:
            reason = f"its critical extension {_spell(unknown[0])} is unknown"
            return CaProblem(reason, "that extension not critical")
        return None


def _why_not_by_boringssl(der: bytes) -> str | None:
    from grpcsecure.tls.boringssl.parsed_certificate import parse_certificate

    try:
        parse_certificate(der)
    except DerError as error:
        return str(error)
    return None


def _parts(element: Element) -> tuple[Element, ...]:
    try:
        return tuple(read_all(element.value))
    except DerError:
        return ()


def _kind_of_key(fields: CertificateFields) -> KeyKind:
    try:
        return kind_of_key(fields.public_key)
    except DerError:
        return KeyKind("unknown")


def _spell(identifier: bytes) -> str:
    try:
        return dotted(identifier)
    except DerError:
        return "without identifier"
