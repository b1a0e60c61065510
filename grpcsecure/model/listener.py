"""A listener: where it listens and how it speaks TLS.

Knows the config's words only; whether a file exists or an address is free is for
others to find out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from grpcsecure.model.modes import ClientCertificateMode

__all__ = [
    "Address",
    "Engine",
    "Listener",
    "TcpAddress",
    "TlsSettings",
    "TlsVersion",
    "UnixAddress",
    "parse_address",
]

#: Size of `sun_path` on Linux less its NUL; grpcio has the same limit.
MAX_UNIX_PATH = 107

_MAX_PORT = 65535


class Engine(Enum):
    """What terminates TLS: grpcio itself, or our bridge in front of it."""

    AUTO = "auto"
    GRPC = "grpc"
    BRIDGE = "bridge"


class TlsVersion(Enum):
    """The lowest TLS version a listener accepts."""

    TLS_1_2 = "TLSv1.2"
    TLS_1_3 = "TLSv1.3"


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host (name, IPv4, or IPv6 without brackets) and a port, 0 for any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_wildcard(self) -> bool:
        """Whether it takes connections on every interface."""
        try:
            return ip_address(self.host).is_unspecified
        except ValueError:
            return False

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """The path of a unix socket."""

    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it: always."""
        return True


Address = TcpAddress | UnixAddress


def parse_address(text: str, *, relative_to: Path) -> Address:
    """Return the address that `text` names: `host:port`, `[v6]:port`, `unix:/path`.

    A relative unix path starts at `relative_to`.

    Raises:
        ValueError: `text` is none of these; the message says what is wrong with it.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path or "\0" in path:
            raise ValueError("expected a path after `unix:`")
        return UnixAddress(relative_to / path)
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError("expected `host:port`, `[ipv6]:port` or `unix:/path`")
    if not (port.isascii() and port.isdecimal() and int(port) <= _MAX_PORT):
        raise ValueError(f"expected a port from 0 to {_MAX_PORT} after the last colon")
    return TcpAddress(_parse_host(host), int(port))


def _parse_host(host: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        inner = host[1:-1]
        if ip_address(inner.partition("%")[0]).version != 6:  # noqa: PLR2004
            raise ValueError("expected an IPv6 address between the brackets")
        return inner
    if ":" in host:
        raise ValueError("expected an IPv6 address in brackets, as in `[::1]:8443`")
    if any(character.isspace() or character in "/@[]" for character in host):
        raise ValueError("expected a host name or an IP address before the colon")
    return host


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """The `tls` block of a listener; paths are absolute, durations in seconds."""

    certificate: Path
    private_key: Path
    client_certificate: ClientCertificateMode
    client_ca: Path | None = None
    crl: tuple[Path, ...] = ()
    min_version: TlsVersion = TlsVersion.TLS_1_2
    engine: Engine = Engine.AUTO
    handshake_timeout: float = 10.0

    @property
    def bridge_keys(self) -> tuple[str, ...]:
        """The keys whose values only the bridge can serve."""
        return tuple(key for key, needs in _NEEDS_BRIDGE.items() if needs(self))

    @property
    def engine_in_use(self) -> Engine:
        """The engine that terminates TLS: `auto` takes grpcio's own where it can."""
        if self.engine is not Engine.AUTO:
            return self.engine
        return Engine.BRIDGE if self.bridge_keys else Engine.GRPC


#: What grpcio's own TLS cannot do, by the key that asks for it.
_NEEDS_BRIDGE: dict[str, Callable[[TlsSettings], bool]] = {
    "client_certificate": lambda tls: not tls.client_certificate.traits.in_grpcio,
    "crl": lambda tls: bool(tls.crl),
    "min_version": lambda tls: tls.min_version is TlsVersion.TLS_1_3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """An address with its TLS settings; `tls=None` is plaintext, said in so many words.

    `services` names the only services served here; None serves all of them. Connections
    end when they are `max_connection_age` seconds old, their calls as many seconds
    later as `max_connection_age_grace` says; None sets no limit.
    """

    name: str
    address: Address
    tls: TlsSettings | None
    services: tuple[str, ...] | None = None
    max_connection_age: float | None = None
    max_connection_age_grace: float | None = None

    @property
    def asks(self) -> bool:
        """Whether clients are asked for a certificate here."""
        return self.tls is not None and self.tls.client_certificate.asks

    @property
    def requires(self) -> bool:
        """Whether a client without a certificate is refused."""
        return self.tls is not None and self.tls.client_certificate.requires

    @property
    def can_verify(self) -> bool:
        """Whether a client's chain is checked, so that a peer can be verified."""
        tls = self.tls
        if tls is None or not tls.client_certificate.asks:
            return False
        return tls.client_certificate.verifies or tls.client_ca is not None

    def serves(self, service: str) -> bool:
        """Whether a service, if the server has it, is served here."""
        return self.services is None or service in self.services

    @property
    def is_bridged(self) -> bool:
        """Whether the bridge terminates its TLS."""
        return self.tls is not None and self.tls.engine_in_use is Engine.BRIDGE
