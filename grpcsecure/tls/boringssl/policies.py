"""Certificate policies (RFC 5280, section 6.1; RFC 9618), as BoringSSL checks them.

BoringSSL always does; OpenSSL only if it is told to. It matters where a certificate of
the chain has policyConstraints: then each must have policies that lead to the anchor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.tls.boringssl.extension_facts import (
    CERTIFICATE_POLICIES,
    INHIBIT_ANY_POLICY,
    POLICY_CONSTRAINTS,
    POLICY_MAPPINGS,
)
from grpcsecure.tls.boringssl.strict_der import (
    INTEGER,
    OBJECT_IDENTIFIER,
    SEQUENCE,
    DerReader,
    parse_integer,
    parse_oid,
)
from grpcsecure.tls.der import DerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpcsecure.tls.boringssl.parsed_certificate import ParsedCertificate

__all__ = ["INVALID", "NOT_EXPLICIT", "why_policies_fail"]

#: Numbers of X509_V_ERR: invalid or inconsistent certificate policy extension, no
#: explicit policy.
INVALID, NOT_EXPLICIT = 42, 43

_ANY = bytes.fromhex("551d2000")
_EXPLICIT, _INHIBIT_MAPPING = 0x80, 0x81


def why_policies_fail(chain: Sequence[ParsedCertificate]) -> int | None:
    """Return the X509_V_ERR number of the first error of a path, or None."""
    if len(chain) < 2:  # noqa: PLR2004 - the anchor alone
        return None
    try:
        return _PolicyCheck(len(chain)).run(chain)
    except DerError:
        return INVALID


class _PolicyCheck:
    """The state of section 6.1.2: the valid policies, and three counters.

    The policies are kept as sets, without the graph above them: for gRPC any policy is
    acceptable, so that only the emptiness of the last set counts.
    """

    def __init__(self, length: int) -> None:
        self._has_any = True
        self._policies: frozenset[bytes] = frozenset()
        self._explicit = self._inhibit_any = self._mapping = length + 1

    def run(self, chain: Sequence[ParsedCertificate]) -> int | None:
        for index in range(len(chain) - 2, -1, -1):
            certificate, is_leaf = chain[index], not index
            is_skipped = certificate.is_self_issued and not is_leaf
            self._intersect(certificate, allows_any=self._inhibit_any > 0 or is_skipped)
            if not self._explicit and self._is_empty:
                return NOT_EXPLICIT
            if not is_leaf:
                self._map(certificate)
            if not is_skipped:
                self._explicit = max(self._explicit - 1, 0)
                self._mapping = max(self._mapping - 1, 0)
                self._inhibit_any = max(self._inhibit_any - 1, 0)
            self._constrain(certificate)
        return NOT_EXPLICIT if not self._explicit and self._is_empty else None

    @property
    def _is_empty(self) -> bool:
        return not self._has_any and not self._policies

    def _intersect(self, certificate: ParsedCertificate, *, allows_any: bool) -> None:
        value = certificate.find(CERTIFICATE_POLICIES)
        if value is None:
            self._has_any, self._policies = False, frozenset()
            return
        found = _parse_policies(value)
        had_any = self._has_any
        if _ANY not in found or not allows_any:
            self._policies &= found
            self._has_any = False
        if had_any:
            self._policies |= found - {_ANY}

    def _map(self, certificate: ParsedCertificate) -> None:
        value = certificate.find(POLICY_MAPPINGS)
        if value is None:
            return
        mappings = _parse_mappings(value)
        mapped = {issuer for issuer, _ in mappings}
        if not self._mapping:
            self._policies -= mapped
            return
        known = self._policies
        subjects = {
            subject for issuer, subject in mappings if self._has_any or issuer in known
        }
        self._policies = (known - mapped) | subjects

    def _constrain(self, certificate: ParsedCertificate) -> None:
        value = certificate.find(POLICY_CONSTRAINTS)
        if value is not None:
            explicit, mapping = _parse_constraints(value)
            self._explicit = min([self._explicit, *explicit])
            self._mapping = min([self._mapping, *mapping])
        value = certificate.find(INHIBIT_ANY_POLICY)
        if value is not None:
            reader = DerReader(value)
            skipped = _skipped(reader.expect(INTEGER))
            reader.end()
            self._inhibit_any = min(self._inhibit_any, skipped)


def _parse_policies(value: bytes) -> frozenset[bytes]:
    reader = DerReader(value)
    listed = [
        _parse_policy(*each) for each in DerReader(reader.expect(SEQUENCE)).each()
    ]
    reader.end()
    found = frozenset(listed)
    if not listed or len(found) < len(listed):
        raise DerError("policies that are empty, or occur twice")
    return found


def _parse_policy(tag: int, content: bytes, _whole: bytes) -> bytes:
    if tag != SEQUENCE:
        raise DerError("a policy that is not a sequence")
    reader = DerReader(content)
    oid = parse_oid(reader.expect(OBJECT_IDENTIFIER))
    reader.optional(SEQUENCE)
    reader.end()
    return oid


def _parse_mappings(value: bytes) -> list[tuple[bytes, bytes]]:
    reader = DerReader(value)
    content = reader.expect(SEQUENCE)
    reader.end()
    found: list[tuple[bytes, bytes]] = []
    for tag, pair, _ in DerReader(content).each():
        if tag != SEQUENCE:
            raise DerError("a mapping that is not a sequence")
        parts = DerReader(pair)
        issuer, subject = (parse_oid(parts.expect(OBJECT_IDENTIFIER)) for _ in "is")
        parts.end()
        found.append((issuer, subject))
    if not found or any(_ANY in pair for pair in found):
        raise DerError("mappings that are empty, or of anyPolicy")
    return found


def _parse_constraints(value: bytes) -> tuple[list[int], list[int]]:
    reader = DerReader(value)
    fields = DerReader(reader.expect(SEQUENCE))
    reader.end()
    explicit, mapping = (fields.optional(tag) for tag in (_EXPLICIT, _INHIBIT_MAPPING))
    fields.end()
    if explicit is None and mapping is None:
        raise DerError("policy constraints without any")
    return (
        [] if explicit is None else [_skipped(explicit)],
        [] if mapping is None else [_skipped(mapping)],
    )


def _skipped(value: bytes) -> int:
    number = parse_integer(value)
    if number < 0:
        raise DerError("a negative number of certificates")
    return number
