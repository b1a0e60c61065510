"""Parses names of the command line to the names of certificates."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from cryptography import x509

__all__ = ["ClientName", "parse_client", "parse_server"]

#: RFC 5280, upper bound of a common name. The RFC means characters, but `cryptography`
#: accepts that many bytes of UTF-8.
_MAX_COMMON_NAME = 64
_MAX_DNS_NAME = 253
_MAX_DNS_LABEL = 63

#: The kinds in `KIND:VALUE`; they are keys of `identities` in a config.
CLIENT_KINDS = (
    "spiffe",
    "uri",
    "dns",
    "email",
    "ip",
    "common_name",
    "organizational_unit",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientName:
    """The name of a client certificate, as `kind:value` and as certificate fields."""

    spelling: str
    subject: str
    units: tuple[str, ...] = ()
    names: tuple[x509.GeneralName, ...] = ()


def parse_server(text: str) -> x509.GeneralName:
    """Return the SAN for a host name, a wildcard name or an IP address.

    Raises:
        ValueError: it is something else; the message has the reason.
    """
    try:
        return x509.IPAddress(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        return _dns(text)


def parse_client(text: str) -> ClientName:
    """Parse the `KIND:VALUE` of a client, such as `dns:billing.example`.

    Raises:
        ValueError: it has another form; the message has the reason.
    """
    kind, colon, value = text.partition(":")
    if not colon or kind not in CLIENT_KINDS:
        raise ValueError(f"expected KIND:VALUE, KIND one of {', '.join(CLIENT_KINDS)}")
    if not value or not value.isprintable():
        raise ValueError("expected printable text after the colon")
    if kind == "common_name":
        return ClientName(spelling=text, subject=_bounded(value))
    if kind == "organizational_unit":
        unit = _bounded(value)
        return ClientName(spelling=text, subject="client", units=(unit,))
    subject = value if _fits(value) else "client"
    return ClientName(spelling=text, subject=subject, names=(_NAME[kind](value),))


def _bounded(value: str) -> str:
    if not _fits(value):
        raise ValueError(f"expected at most {_MAX_COMMON_NAME} bytes of UTF-8")
    return value


def _fits(value: str) -> bool:
    return len(value.encode()) <= _MAX_COMMON_NAME


def _dns(text: str) -> x509.DNSName:
    labels = text.removeprefix("*.").split(".")
    if len(text) > _MAX_DNS_NAME or not all(map(_is_label, labels)):
        raise ValueError("expected a DNS name or an IP address")
    return x509.DNSName(text.lower())


def _is_label(label: str) -> bool:
    return (
        0 < len(label) <= _MAX_DNS_LABEL
        and label.isascii()
        and label.replace("-", "").replace("_", "").isalnum()
        and not label.startswith("-")
        and not label.endswith("-")
    )


def _uri(text: str) -> x509.UniformResourceIdentifier:
    parts = urlsplit(text)
    if not text.isascii() or " " in text or not parts.scheme or not parts.netloc:
        raise ValueError("expected a URI such as `https://ci.example/runner/7`")
    return x509.UniformResourceIdentifier(text)


def _spiffe(text: str) -> x509.UniformResourceIdentifier:
    # Users often omit the scheme; as in `identities`, it is required.
    uri = _uri(text)
    if not text.startswith("spiffe://"):
        raise ValueError("expected a SPIFFE id such as `spiffe://corp.example/billing`")
    return uri


def _email(text: str) -> x509.RFC822Name:
    local, at, domain = text.rpartition("@")
    if not (at and local and domain and text.isascii()) or " " in text:
        raise ValueError("expected an email address in ASCII")
    return x509.RFC822Name(text)


def _ip(text: str) -> x509.IPAddress:
    return x509.IPAddress(ipaddress.ip_address(text.strip("[]")))


_NAME = {"spiffe": _spiffe, "uri": _uri, "dns": _dns, "email": _email, "ip": _ip}
