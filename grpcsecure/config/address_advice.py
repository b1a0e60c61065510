"""Describes what is wrong with an address, and the address that is probably meant."""

from __future__ import annotations

import re
from ipaddress import ip_address

__all__ = ["describe_address"]

_ANY = "0.0.0.0"  # noqa: S104 - an example, not bound
_PORT = "8443"
_PORTS = {"http": "80", "https": "443", "grpc": "50051", "grpcs": "443"}

#: Label and help of a finding.
Advice = tuple[str, str]


def describe_address(text: str) -> Advice | None:
    """Return label and help for a value that is not an address, or None."""
    for find in (_without_host, _with_surplus, _unix_socket, _systemd, _ipv6, _by_port):
        found = find(text)
        if found is not None:
            return found
    return None


def _without_host(text: str) -> Advice | None:
    match = re.fullmatch(r"(\*|):?(\d+)", text)
    if match is None:
        return None
    label = "`*` is not a host" if match[1] else "the host is missing"
    port = match[2]
    advice = f"write `{_ANY}:{port}` for every interface"
    return label, f"{advice}, or `127.0.0.1:{port}` for this machine alone"


def _with_surplus(text: str) -> Advice | None:
    scheme, slashes, rest = text.partition("://")
    if slashes and scheme != "unix":
        host = rest.strip("/").partition("/")[0]
        return "an address has no scheme", f"write `{_with_port(host)}`"
    if "," in text or ";" in text:
        return "more than one address", "write a listener for each address"
    match = re.fullmatch(r"([^/\s]+:\d+)/.*", text)
    if match is not None:
        return "an address has no path", f"write `{match[1]}`"
    match = re.fullmatch(r"(\S+)\s+:?\s*(\d+)", text)
    if match is not None:
        return "a space in place of a `:`", f"write `{match[1].strip(':')}:{match[2]}`"
    return None


def _unix_socket(text: str) -> Advice | None:
    if text.startswith(("/", "./", "../")) or text.endswith(".sock"):
        return "a unix socket begins with `unix:`", f"write `unix:{text}`"
    return None


def _systemd(text: str) -> Advice | None:
    if text.startswith("systemd:"):
        label = "not a name that systemd gives a socket"
        return (
            label,
            "write `systemd:NAME`, the `FileDescriptorName=` of its socket unit",
        )
    return None


def _ipv6(text: str) -> Advice | None:
    if text.startswith("[") and text.endswith("]"):
        return "the port is missing", f'write `"{text}:{_PORT}"`'
    host, _, port = text.rpartition(":")
    if text.count(":") < 2 or "[" in text:  # noqa: PLR2004 - as an IPv6 address has
        return None
    if _is_ipv6(host) and port.isdigit():
        return "an IPv6 address needs brackets", f'write `"[{host}]:{port}"`'
    if _is_ipv6(text):
        return "an IPv6 address needs brackets", f'write `"[{text}]:{_PORT}"`'
    return "more than one `:`", "write `host:port`, or an IPv6 address in brackets"


def _is_ipv6(text: str) -> bool:
    try:
        return ip_address(text).version == 6  # noqa: PLR2004
    except ValueError:
        return False


def _by_port(text: str) -> Advice | None:
    host, colon, port = text.rpartition(":")
    if not colon and re.fullmatch(r"[A-Za-z0-9_.-]+", text):
        return "the port is missing", f"write `{text}:{_PORT}`"
    if colon and not port:
        return "the port is missing", f"write `{host}:{_PORT}`"
    if colon and port.isalpha():
        number = _PORTS.get(port.lower())
        advice = (
            f"write `{host}:{number}`" if number else "write the number of the port"
        )
        return "a port is a number", advice
    return None


def _with_port(host: str) -> str:
    return host if re.search(r":\d+$", host) else f"{host}:{_PORT}"
