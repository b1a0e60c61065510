"""The model of a listener: its address and its TLS settings.

Values as configured; whether files exist or addresses are free is checked elsewhere.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.model.transport import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from pathlib import Path

    from grpcsecure.model.modes import ClientCertificateMode

__all__ = [
    "HEALTH_SERVICE",
    "Address",
    "Engine",
    "KeyPair",
    "Listener",
    "SystemdAddress",
    "TcpAddress",
    "TlsSettings",
    "TlsVersion",
    "TrustDomains",
    "UnixAddress",
    "parse_address",
    "why_unvouched",
]

#: Size of `sun_path` on Linux without the final NUL; grpcio has the same limit.
MAX_UNIX_PATH = 107

_MAX_PORT = 65535

#: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
HEALTH_SERVICE = "grpc.health.v1.Health"


class Engine(Enum):
    """The component that terminates TLS: grpcio itself, or the bridge before it."""

    AUTO = "auto"
    GRPC = "grpc"
    BRIDGE = "bridge"


class TlsVersion(Enum):
    """The lowest TLS version a listener accepts."""

    TLS_1_2 = "TLSv1.2"
    TLS_1_3 = "TLSv1.3"


class TcpAddress(NamedTuple):
    """A host (name, IPv4, or IPv6 without brackets) and a port; 0 is any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_wildcard(self) -> bool:
        """Whether the address accepts connections on every interface."""
        try:
            return ip_address(self.host).is_unspecified
        except ValueError:
            return False

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the address."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


class UnixAddress(NamedTuple):
    """The path of a unix socket."""

    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the address: always true."""
        return True


@dataclass(frozen=True, slots=True)
class SystemdAddress:
    """The name of sockets that systemd opens: `FileDescriptorName=` of their unit."""

    name: str

    def __str__(self) -> str:
        return f"systemd:{self.name}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it: the config does not say, so no."""
        return False


Address = TcpAddress | UnixAddress | SystemdAddress


def why_unvouched(name: str, known: Container[str]) -> str:
    """Return why no certificate may name a trust domain, or not by another's CA.

    Args:
        name: the trust domain; empty if a SPIFFE id names none that is valid.
        known: the trust domains that have CAs of their own.
    """
    if not name:
        return "its SPIFFE id names no valid trust domain"
    if name not in known:
        return f"no client CA is given for trust domain {name}"
    return f"trust domain {name} is not vouched for by its CA"


def parse_address(text: str, *, relative_to: Path) -> Address:
    """Parse an address: `host:port`, `[v6]:port`, `unix:/path` or `systemd:NAME`.

    A relative unix path starts at `relative_to`.

    Raises:
        ValueError: `text` has another form; the message describes the expected one.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path or "\0" in path:
            raise ValueError("expected a path after `unix:`")
        return UnixAddress(relative_to / path)
    if text.startswith("systemd:"):
        name = text.removeprefix("systemd:")
        if not re.fullmatch(r"[!-9;-~]{1,255}", name):
            raise ValueError("expected the name of a socket after `systemd:`")
        return SystemdAddress(name)
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError("expected `host:port`, `[ipv6]:port` or `unix:/path`")
    if not (port.isascii() and port.isdecimal() and int(port) <= _MAX_PORT):
        raise ValueError(f"expected a port from 0 to {_MAX_PORT} after the last colon")
    return TcpAddress(_parse_host(host), int(port))


def _parse_host(host: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        return _parse_ipv6(host[1:-1])
    if ":" in host:
        raise ValueError("expected an IPv6 address in brackets, as in `[::1]:8443`")
    if any(character.isspace() or character in "/@[]" for character in host):
        raise ValueError("expected a host name or an IP address before the colon")
    return _parse_ipv4(host)


def _parse_ipv6(host: str) -> str:
    """Return an IPv6 address; for one that stands for an IPv4 address, that one.

    gRPC listens on the IPv4 address for both. An interface (`::1%lo`) only means
    something in a link-local address; otherwise the kernel ignores it, and the resolver
    refuses it.
    """
    address, _, _ = host.partition("%")
    try:
        ip = IPv6Address(address)
    except ValueError:
        raise ValueError("expected an IPv6 address between the brackets") from None
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return host if ip.is_link_local else address


def _parse_ipv4(host: str) -> str:
    """Return the usual spelling of an IPv4 address (`127.1`); of a name, the name.

    The resolver takes the other spellings (inet_aton(3)), and gRPC does not.

    Raises:
        ValueError: it looks like an IPv4 address, and is none.
    """
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, ValueError):
        if re.fullmatch(r"[0-9.]+", host):
            raise ValueError("expected four numbers from 0 to 255 in an address") from (
                None
            )
        return host


class TrustDomains(NamedTuple):
    """The files with the CAs of SPIFFE trust domains: pairs of name and path."""

    files: tuple[tuple[str, Path], ...]

    @property
    def names(self) -> frozenset[str]:
        """The names of the trust domains."""
        return frozenset(name for name, _ in self.files)


class KeyPair(NamedTuple):
    """The files of a server certificate and of its private key."""

    certificate: Path
    private_key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """The `tls` block of a listener; paths are absolute, durations in seconds.

    `certificate` and `private_key` are also the first pair of `certificates`, which is
    empty if the block has none.
    """

    certificate: Path
    private_key: Path
    certificates: tuple[KeyPair, ...] = ()
    server_names: tuple[str, ...] = ()
    client_certificate: ClientCertificateMode
    client_ca: Path | TrustDomains | None = None
    crl: tuple[Path, ...] = ()
    min_version: TlsVersion = TlsVersion.TLS_1_2
    engine: Engine = Engine.AUTO
    handshake_timeout: float = 10.0
    ciphers: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    @property
    def key_pairs(self) -> tuple[KeyPair, ...]:
        """The server certificates with their keys; the first is the default."""
        return self.certificates or (KeyPair(self.certificate, self.private_key),)

    @property
    def client_ca_files(self) -> tuple[tuple[str | None, Path], ...]:
        """The files with client CAs, each with its trust domain; None is any."""
        if self.client_ca is None:
            return ()
        if isinstance(self.client_ca, TrustDomains):
            return self.client_ca.files
        return ((None, self.client_ca),)

    @property
    def trust_domains(self) -> frozenset[str] | None:
        """The trust domains with CAs of their own; None if any CA vouches for any."""
        if isinstance(self.client_ca, TrustDomains):
            return self.client_ca.names
        return None

    @property
    def versions(self) -> tuple[TlsVersion, ...]:
        """The accepted versions, the newest first: those that have a suite."""
        accepted: tuple[TlsVersion, ...] = (TlsVersion.TLS_1_3, TlsVersion.TLS_1_2)
        if self.ciphers:
            from grpcsecure.model.cipher_suites import split_suites

            tls12, tls13 = split_suites(self.ciphers)
            suites = {TlsVersion.TLS_1_2: tls12, TlsVersion.TLS_1_3: tls13}
            accepted = tuple(version for version in accepted if suites[version])
        if self.min_version is TlsVersion.TLS_1_2:
            return accepted
        return tuple(v for v in accepted if v is TlsVersion.TLS_1_3)

    @property
    def bridge_keys(self) -> tuple[str, ...]:
        """The keys with values that only the bridge supports."""
        return tuple(key for key, needs in _NEEDS_BRIDGE.items() if needs(self))

    @property
    def engine_in_use(self) -> Engine:
        """The engine that terminates TLS: `auto` prefers grpcio's own if possible."""
        if self.engine is not Engine.AUTO:
            return self.engine
        return Engine.BRIDGE if self.bridge_keys else Engine.GRPC


#: Settings that grpcio's own TLS does not support, by config key.
_NEEDS_BRIDGE: dict[str, Callable[[TlsSettings], bool]] = {
    "client_certificate": lambda tls: not tls.client_certificate.traits.in_grpcio,
    "crl": lambda tls: bool(tls.crl),
    "min_version": lambda tls: tls.min_version is TlsVersion.TLS_1_3,
    "ciphers": lambda tls: bool(tls.ciphers),
    "groups": lambda tls: bool(tls.groups),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """An address with its TLS settings; `tls=None` means `plaintext: true`.

    `services` limits the services that are served here; None means all of them. A
    connection ends after `max_connection_age` seconds, and its remaining calls are
    aborted after `max_connection_age_grace` further seconds; None sets no limit.
    """

    name: str
    address: Address
    tls: TlsSettings | None
    services: tuple[str, ...] | None = None
    max_connection_age: float | None = None
    max_connection_age_grace: float | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def asks(self) -> bool:
        """Whether the listener requests client certificates."""
        return self.tls is not None and self.tls.client_certificate.asks

    @property
    def requires(self) -> bool:
        """Whether a client without a certificate is refused."""
        return self.tls is not None and self.tls.client_certificate.requires

    @property
    def can_verify(self) -> bool:
        """Whether the listener checks client chains, so that a peer can be verified."""
        tls = self.tls
        if tls is None or not tls.client_certificate.asks:
            return False
        return tls.client_certificate.verifies or tls.client_ca is not None

    @property
    def is_for_health(self) -> bool:
        """Whether the listener serves health and nothing else."""
        return self.services is not None and set(self.services) == {HEALTH_SERVICE}

    def serves(self, service: str) -> bool:
        """Whether this listener serves a service that the server has."""
        return self.services is None or service in self.services

    @property
    def engine_in_use(self) -> Engine:
        """The engine that terminates TLS; grpcio itself in plaintext."""
        return Engine.GRPC if self.tls is None else self.tls.engine_in_use

    @property
    def is_bridged(self) -> bool:
        """Whether the bridge terminates TLS for this listener."""
        return self.engine_in_use is Engine.BRIDGE
