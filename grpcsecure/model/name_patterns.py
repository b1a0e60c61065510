"""Names in certificates and their patterns in a config: parsing and normalization.

Each kind has a `parse_…` for patterns of the config, and a `fold_…` that normalizes a
name of a certificate to the same spelling. Matching is in `policy`. Invariant: for any
text, `parse_…` returns or raises ValueError, and `fold_…` returns.
"""

from __future__ import annotations

import base64
import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from grpcsecure.model.subject import Subject, parse_subject

__all__ = [
    "NamePattern",
    "Subject",
    "fold_dns",
    "fold_email",
    "fold_ip",
    "fold_sha256",
    "fold_spiffe",
    "fold_uri",
    "has_dot_segments",
    "is_dns_label",
    "is_printable",
    "is_spiffe_id",
    "parse_dns_pattern",
    "parse_email",
    "parse_ip",
    "parse_metadata_value",
    "parse_sha256",
    "parse_spiffe_pattern",
    "parse_subject",
    "parse_uri_pattern",
    "trust_domain_of",
]

#: Limits and characters of the SPIFFE-ID specification, sections 2.1 to 2.3.
_SPIFFE_PREFIX = "spiffe:"
_SPIFFE_SCHEME = f"{_SPIFFE_PREFIX}//"
_MAX_SPIFFE = 2048
_MAX_TRUST_DOMAIN = 255
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]+")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")

_MAX_DNS = 253
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
#: Characters that at least some URI parsers treat as the end of a path segment.
_SEGMENT_ENDS = re.compile(r"[/\\?#]")
_PRINTABLE = re.compile(r"[!-~]+")
_SHA256 = re.compile(r"sha256:([0-9a-f]{64})")

_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


class NamePattern(NamedTuple):
    """A normalized name, or the fixed part of a wildcard pattern.

    The text of a wildcard is the beginning before the `*`; for `*.corp.example`, it is
    `corp.example`, the part after the first label.
    """

    text: str
    is_wildcard: bool = False


def _lower(text: str) -> str:
    """Lower ASCII letters only: `str.lower` turns the Kelvin sign into a `k`."""
    return text.translate(_LOWER)


def parse_spiffe_pattern(text: str) -> NamePattern:
    """Parse a SPIFFE id, or with a trailing `*` the beginning of SPIFFE ids.

    Raises:
        ValueError: it is not a SPIFFE id, or the `*` is misplaced.
    """
    body, is_wildcard = _split_star(text)
    folded = fold_spiffe(body)
    if folded is None:
        raise ValueError(f"expected a SPIFFE id, {_SPIFFE_EXAMPLE}")
    if is_wildcard and "/" not in folded.removeprefix(_SPIFFE_SCHEME):
        raise ValueError("expected `/` between the trust domain and the `*`")
    # A beginning may end within a segment or at a `/`: append a letter to complete it.
    problem = _spiffe_problem(f"{folded}x" if is_wildcard else folded)
    if problem is not None:
        raise ValueError(f"expected {problem}")
    return NamePattern(folded, is_wildcard)


_SPIFFE_EXAMPLE = "as in `spiffe://corp.example/ns/prod/sa/billing`"


def fold_spiffe(text: str) -> str | None:
    """Return a `spiffe:` URI normalized for comparison, or None for another scheme.

    Nothing else is checked: see `is_spiffe_id`.
    """
    head = _lower(text[: len(_SPIFFE_SCHEME)])
    if head != _SPIFFE_SCHEME:
        return None
    trust_domain, slash, path = text[len(_SPIFFE_SCHEME) :].partition("/")
    return f"{_SPIFFE_SCHEME}{_lower(trust_domain)}{slash}{path}"


def trust_domain_of(uri: str) -> str | None:
    """Return the trust domain of a `spiffe:` URI, or None for another scheme.

    It is empty where the URI has none that the specification allows.
    """
    if _lower(uri[: len(_SPIFFE_PREFIX)]) != _SPIFFE_PREFIX:
        return None
    folded = fold_spiffe(uri)
    if folded is None:
        return ""
    name = folded.removeprefix(_SPIFFE_SCHEME).partition("/")[0]
    return name if _is_trust_domain(name) else ""


def is_spiffe_id(folded: str) -> bool:
    """Whether a result of `fold_spiffe` is a SPIFFE id by the specification."""
    return _spiffe_problem(folded) is None


def _spiffe_problem(folded: str) -> str | None:
    """Return what is expected instead for the error message, or None if it is valid."""
    if len(folded) > _MAX_SPIFFE:
        return f"at most {_MAX_SPIFFE} bytes in a SPIFFE id"
    trust_domain, slash, path = folded.removeprefix(_SPIFFE_SCHEME).partition("/")
    if not _is_trust_domain(trust_domain):
        return f"a trust domain of letters, digits, `.`, `-` and `_`, {_SPIFFE_EXAMPLE}"
    if not slash:
        return None
    for segment in path.split("/"):
        if segment in {"", ".", ".."}:
            return "no empty, `.` or `..` segment in a SPIFFE id, nor a `/` at its end"
        if not _SEGMENT.fullmatch(segment):
            return "letters, digits, `.`, `-` and `_` between the `/` of a SPIFFE id"
    return None


def _is_trust_domain(name: str) -> bool:
    return len(name) <= _MAX_TRUST_DOMAIN and _TRUST_DOMAIN.fullmatch(name) is not None


def _split_star(text: str) -> tuple[str, bool]:
    body = text.removesuffix("*")
    if "*" in body:
        raise ValueError("expected `*` only at the end")
    return body, body != text


def parse_uri_pattern(text: str) -> NamePattern:
    """Parse a URI, or with a trailing `*` the beginning of URIs.

    Raises:
        ValueError: it is not a URI, or the `*` is misplaced.
    """
    body, is_wildcard = _split_star(text)
    scheme = _SCHEME.match(body)
    if scheme is None or not _PRINTABLE.fullmatch(body):
        raise ValueError("expected a URI, as in `https://ci.corp.example/runner/*`")
    if scheme.end() == len(body):
        # `https:*` would match every host.
        raise ValueError(f"expected something after `{scheme[0]}`")
    if not is_wildcard:
        return NamePattern(fold_uri(body))
    if body.startswith("/", scheme.end()) and not _has_whole_authority(body):
        raise ValueError("expected `/` between the host and the `*`")
    if has_dot_segments(f"{body}x"):
        raise ValueError("expected no `.` or `..` segment in a URI with a `*`")
    return NamePattern(fold_uri(body), is_wildcard=True)


def _has_whole_authority(body: str) -> bool:
    """Whether the text after `scheme:/` has a complete authority and begins a path."""
    _, _, rest = body.partition(":")
    if not rest.startswith("//"):
        # `file:/` could continue as `file://host`, which is a different URI.
        return len(rest) > 1
    end = _SEGMENT_ENDS.search(rest, 2)
    return end is not None and end[0] == "/"


def fold_uri(text: str) -> str:
    """Return a URI with scheme and host in lower case, the rest unchanged."""
    scheme = _SCHEME.match(text)
    if scheme is None:
        return text
    start = scheme.end()
    if not text.startswith("//", start):
        return _lower(text[:start]) + text[start:]
    found = _SEGMENT_ENDS.search(text, start + 2)
    end = found.start() if found is not None else len(text)
    userinfo, at, host = text[start:end].rpartition("@")
    return f"{_lower(text[:start])}{userinfo}{at}{_lower(host)}{text[end:]}"


def has_dot_segments(uri: str) -> bool:
    r"""Whether some program could read `.` or `..` in a URI as path segments.

    Fails closed: they also count in the query, between `\`, and percent-encoded.
    """
    rest = _lower(uri).partition(":")[2]
    decoded = rest.replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\")
    return not {".", ".."}.isdisjoint(_SEGMENT_ENDS.split(decoded))


def is_printable(text: str) -> bool:
    """Whether a text has only visible ASCII characters, like a URI."""
    return _PRINTABLE.fullmatch(text) is not None


def parse_dns_pattern(text: str) -> NamePattern:
    """Parse a DNS name, or with a leading `*.` the part after the first label.

    Raises:
        ValueError: it is not a DNS name, or a `*` is not the left-most label.
    """
    folded = fold_dns(text)
    name = folded.removeprefix("*.")
    if "*" in name:
        raise ValueError("expected `*` only as the first label, as in `*.corp.example`")
    if len(folded) > _MAX_DNS or not all(map(is_dns_label, name.split("."))):
        raise ValueError(
            "expected a DNS name of letters, digits, `-` and `_`, as in"
            " `billing.corp.example`, or `xn--…` for other letters"
        )
    return NamePattern(name, is_wildcard=name != folded)


def fold_dns(text: str) -> str:
    """Return a DNS name in lower case, without a final dot (the root)."""
    return _lower(text).removesuffix(".")


def is_dns_label(text: str) -> bool:
    """Whether a text can be a label of a DNS name."""
    return _LABEL.fullmatch(text) is not None


def parse_email(text: str) -> str:
    """Parse an email address and normalize it for comparison.

    Raises:
        ValueError: it is not an email address.
    """
    local, at, domain = text.rpartition("@")
    if not (at and local and domain) or not _PRINTABLE.fullmatch(domain):
        raise ValueError("expected an email address, as in `ops@corp.example`")
    return fold_email(text)


def fold_email(text: str) -> str:
    """Return an email address with its domain in lower case."""
    local, at, domain = text.rpartition("@")
    return f"{local}{at}{_lower(domain)}"


def parse_ip(text: str) -> IPv4Address | IPv6Address:
    """Parse an IP address.

    Raises:
        ValueError: it is not an IP address, or has a zone.
    """
    address = fold_ip(text)
    if address is None:
        raise ValueError("expected an IP address, as in `10.0.0.7` or `2001:db8::7`")
    return address


def fold_ip(text: str) -> IPv4Address | IPv6Address | None:
    """Return a text as an IP address, or None if it is not one."""
    if "%" in text:
        return None  # a zone is only meaningful on one machine
    try:
        return ip_address(text)
    except ValueError:
        return None


def parse_sha256(text: str) -> str:
    """Return the 64 hex digits of `sha256:…`, in lower case and without colons.

    Raises:
        ValueError: it is not a SHA-256 in hex, or the colons are not between the bytes.
    """
    digits = fold_sha256(text)
    pairs = text[len("sha256:") :].split(":")
    if digits is None or (len(pairs) > 1 and any(len(pair) != 2 for pair in pairs)):  # noqa: PLR2004 - hex digits of a byte
        raise ValueError("expected `sha256:` and 32 bytes in hexadecimal")
    return digits


def fold_sha256(text: str) -> str | None:
    """Return the 64 hex digits of `sha256:…` with any colons, or None if malformed."""
    head, colon, rest = text.partition(":")
    found = _SHA256.fullmatch(f"{head}{colon}{_lower(rest).replace(':', '')}")
    return found[1] if found is not None else None


def parse_metadata_value(key: str, text: str) -> str | bytes:
    """Return a metadata value as gRPC delivers it: bytes for a `-bin` key, else text.

    Raises:
        ValueError: the key ends in `-bin` and the text is not base64.
    """
    if not key.endswith("-bin"):
        return text
    bare = text.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:
        raise ValueError("expected base64 for a key that ends in `-bin`") from None
