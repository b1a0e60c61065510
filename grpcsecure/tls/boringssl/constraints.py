"""Name constraints of CAs (RFC 5280, section 4.2.1.10), as BoringSSL applies them.

It has no constraints on IP addresses: a name that such a constraint is about is
refused, inside it or outside. It reads a DNS constraint with a leading dot as "only
names below", refuses a wildcard that could stand for an excluded name, and refuses
names under a constraint of their type that it cannot read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from grpcsecure.tls.boringssl.general_names import (
    DIRECTORY,
    DNS,
    EMAIL,
    URI,
    GeneralName,
)
from grpcsecure.tls.boringssl.names import IA5_STRING, decode_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.tls.boringssl.general_names import NameConstraints, Subtree
    from grpcsecure.tls.boringssl.parsed_certificate import ParsedCertificate

__all__ = [
    "EXCLUDED",
    "PERMITTED",
    "TOO_MANY",
    "UNREADABLE",
    "UNREADABLE_CONSTRAINT",
    "UNSUPPORTED",
    "WITH_DISTANCE",
    "has_host_name_as_common_name",
    "why_violated",
]

#: Numbers of X509_V_ERR: permitted subtree violation, excluded subtree violation, name
#: constraints minimum and maximum not supported, unsupported name constraint type,
#: unsupported or invalid name constraint syntax, unsupported or invalid name syntax,
#: unspecified.
PERMITTED, EXCLUDED, WITH_DISTANCE, UNSUPPORTED = 47, 48, 49, 51
UNREADABLE_CONSTRAINT, UNREADABLE = 52, 53
TOO_MANY = 1

#: The most pairs of a name and a constraint that are compared.
_MOST_PAIRS = 1 << 20

_COMMON_NAME = bytes.fromhex("550403")
_EMAIL_ADDRESS = bytes.fromhex("2a864886f70d010901")

_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_LOCAL_PART = _LETTERS | frozenset(b"!#$%&'*+-/=?^_`{|}~.")
_DOMAIN = _LETTERS | frozenset(b"-.")
_LABEL = _LETTERS | frozenset(b"-_:")

#: Scheme, host and port of a URI (RFC 3986, section 3), without user information.
_URI = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#:]*)(?::[0-9]*)?(?:[/?#]|\Z)")
_HOST_LABEL = re.compile(rb"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
#: The last label of an address, as browsers read them.
_NUMBER = re.compile(rb"[0-9]+|0[xX][0-9A-Fa-f]*")


class _UnusableError(Exception):
    """A name or constraint that cannot be compared; its argument is the number."""


def why_violated(
    certificate: ParsedCertificate, constraints: NameConstraints
) -> int | None:
    """Return the X509_V_ERR number of the first violation, or None."""
    names = certificate.facts.names or ()
    attributes = certificate.subject.attributes
    pairs = (len(attributes) + len(names)) * (
        len(constraints.permitted) + len(constraints.excluded)
    )
    if pairs > _MOST_PAIRS:
        return TOO_MANY
    try:
        for name, ignores_case in _names_of(certificate):
            error = _why_refused(name, constraints, ignores_case=ignores_case)
            if error is not None:
                return error
    except _UnusableError as error:
        return int(error.args[0])
    return None


def _names_of(certificate: ParsedCertificate) -> Iterator[tuple[GeneralName, bool]]:
    """Yield the names, and whether an excluded mailbox ignores upper and lower case."""
    subject = certificate.subject
    if subject.attributes:
        yield GeneralName(DIRECTORY, b"", subject), False
    for attribute in subject.attributes:
        if attribute.kind == _EMAIL_ADDRESS:
            if attribute.tag != IA5_STRING:
                raise _UnusableError(UNREADABLE)
            yield GeneralName(EMAIL, attribute.value), True
    for name in certificate.facts.names or ():
        yield name, False


def _why_refused(
    name: GeneralName, constraints: NameConstraints, *, ignores_case: bool
) -> int | None:
    permitted = [*_about(name, constraints.permitted)]
    if permitted and not _matches_any(name, permitted):
        return PERMITTED
    for subtree in _about(name, constraints.excluded):
        if _matches(name, subtree.base, excluding=True, ignores_case=ignores_case):
            return EXCLUDED
    return None


def _about(name: GeneralName, subtrees: tuple[Subtree, ...]) -> Iterator[Subtree]:
    for subtree in subtrees:
        if subtree.base.tag == name.tag:
            if subtree.has_distance:
                raise _UnusableError(WITH_DISTANCE)
            yield subtree


def _matches_any(name: GeneralName, subtrees: list[Subtree]) -> bool:
    return any(
        _matches(name, each.base, excluding=False, ignores_case=False)
        for each in subtrees
    )


def _matches(
    name: GeneralName, base: GeneralName, *, excluding: bool, ignores_case: bool
) -> bool:
    if base.directory is not None and name.directory is not None:
        return name.directory.canonical.startswith(base.directory.canonical)
    if base.tag == DNS:
        return _matches_dns(name.value, base.value, excluding=excluding)
    if base.tag == EMAIL:
        return _matches_email(name.value, base.value, ignores_case=ignores_case)
    if base.tag == URI:
        return _matches_uri(name.value, base.value)
    raise _UnusableError(UNSUPPORTED)


def _matches_dns(name: bytes, base: bytes, *, excluding: bool) -> bool:
    if not base:
        return True
    name, base = name.lower().removesuffix(b"."), base.lower().removesuffix(b".")
    if excluding and name.startswith(b"*."):
        _, dot, parent = base.partition(b".")
        if dot and name[2:] == parent:
            return True
    if base.startswith(b"."):
        return name.endswith(base)
    if len(name) > len(base) and name[-len(base) - 1 :][:1] != b".":
        return False
    return name[-len(base) :] == base if base else not name


def _matches_email(name: bytes, base: bytes, *, ignores_case: bool) -> bool:
    local, domain = _mailbox(name)
    base_local, at, base_domain = base.rpartition(b"@")
    if (at and not _is_made_of(base_local, _LOCAL_PART)) or not _is_made_of(
        base_domain, _DOMAIN
    ):
        raise _UnusableError(UNREADABLE)
    domain, base_domain = domain.lower(), base_domain.lower()
    if at:
        if ignores_case:
            local, base_local = local.lower(), base_local.lower()
        return (local, domain) == (base_local, base_domain)
    if base_domain.startswith(b"."):
        return domain.endswith(base_domain)
    return domain == base_domain


def _mailbox(name: bytes) -> tuple[bytes, bytes]:
    local, at, domain = name.partition(b"@")
    is_valid = at and _is_made_of(local, _LOCAL_PART) and _is_made_of(domain, _DOMAIN)
    if not is_valid:
        raise _UnusableError(UNREADABLE)
    return local, domain


def _is_made_of(text: bytes, allowed: frozenset[int]) -> bool:
    return bool(text) and allowed.issuperset(text)


def _matches_uri(name: bytes, base: bytes) -> bool:
    host = _host_of(name)
    base = base.lower().removesuffix(b".")
    if not _is_host(base.removeprefix(b".")):
        raise _UnusableError(UNREADABLE_CONSTRAINT)
    return host.endswith(base) if base.startswith(b".") else host == base


def _host_of(uri: bytes) -> bytes:
    """Return the host of a URI, which must be a name and not an address."""
    parts = _URI.match(uri)
    host = parts[1].lower().removesuffix(b".") if parts else b""
    if not _is_host(host):
        raise _UnusableError(UNREADABLE)
    return host


def _is_host(name: bytes) -> bool:
    """Whether it is a host name (RFC 1123), and not an address in any notation."""
    labels = name.split(b".")
    return all(map(_HOST_LABEL.fullmatch, labels)) and not _NUMBER.fullmatch(labels[-1])


def has_host_name_as_common_name(certificate: ParsedCertificate) -> bool:
    """Whether a common name looks like a host name, in a certificate without SANs.

    BoringSSL refuses such a leaf under any constraint: constraints do not apply to
    common names, which clients of old would compare with the host.
    """
    if certificate.facts.names is not None:
        return False
    texts = (
        decode_text(attribute)
        for attribute in certificate.subject.attributes
        if attribute.kind == _COMMON_NAME
    )
    return any(text is not None and _looks_like_host(text.encode()) for text in texts)


def _looks_like_host(text: bytes) -> bool:
    name = text.removesuffix(b".").removeprefix(b"*.")
    return bool(name) and all(map(_looks_like_label, name.split(b".")))


def _looks_like_label(label: bytes) -> bool:
    return bool(label) and not label.startswith(b"-") and _LABEL.issuperset(label)
