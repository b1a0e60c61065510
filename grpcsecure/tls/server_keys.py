"""The kinds of keys of server certificates: which engine serves them, and for whom.

Measured with handshakes: servers of grpcio 1.66.2, 1.84.2 and 1.85.3 (BoringSSL) and of
OpenSSL 4.0.3, each with clients of grpcio, OpenSSL 3.0 and 4.0, Go 1.26 and Java 17, in
TLS 1.2 and 1.3. `docs/modes.md` has the table; a test tries each row on both engines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.model.listener import Engine
from grpcsecure.tls.purpose import describe_key

if TYPE_CHECKING:
    from grpcsecure.model.peer import Certificate

__all__ = ["SERVER_KEYS", "ServerKey", "find_server_key", "installed_version"]

_Version = tuple[int, ...]

#: Served by every version that is allowed.
_ANY: _Version = (0,)

_USUAL = "OpenSSL, Go and Java"
_OPENSSL_OR_JAVA = "OpenSSL and Java"


class ServerKey(NamedTuple):
    """A kind of key of server certificates.

    Attributes:
        names: as `describe_key` writes them, without the size.
        grpcio: the first release of grpcio that serves with it, None if none does.
        openssl: the first release of OpenSSL with which the bridge does.
        clients: the clients that can connect, if those of grpcio cannot.
    """

    names: tuple[str, ...]
    grpcio: _Version | None = _ANY
    openssl: _Version | None = _ANY
    clients: str | None = None

    def since(self, engine: Engine) -> _Version | None:
        """Return the first release of the engine's library that serves with it."""
        return self.grpcio if engine is Engine.GRPC else self.openssl

    def is_served_by(self, engine: Engine) -> bool:
        """Whether an engine serves with it, with the libraries that are installed."""
        since = self.since(engine)
        return since is not None and (
            since == _ANY or installed_version(engine) >= since
        )


SERVER_KEYS = (
    ServerKey(names=("RSA", "EC secp256r1", "EC secp384r1")),
    ServerKey(names=("EC secp521r1", "Ed25519"), clients=_USUAL),
    ServerKey(names=("Ed448", "RSA-PSS"), grpcio=None, clients=_OPENSSL_OR_JAVA),
    ServerKey(
        names=("ML-DSA-44", "ML-DSA-65", "ML-DSA-87"),
        grpcio=(1, 85),
        openssl=(3, 5),
        clients="OpenSSL 3.5 or newer, in TLS 1.3",
    ),
    ServerKey(
        names=("EC brainpoolP256r1", "EC brainpoolP384r1", "EC brainpoolP512r1"),
        grpcio=None,
        openssl=(3, 2),
        clients="OpenSSL 3.2 or newer, in TLS 1.3",
    ),
)


def find_server_key(certificate: Certificate) -> ServerKey | None:
    """Return the kind of the certificate's key, None if no engine serves with it."""
    name = describe_key(certificate)
    if name.startswith("RSA"):
        name = name.partition(" ")[0]
    return next((key for key in SERVER_KEYS if name in key.names), None)


def installed_version(engine: Engine) -> _Version:
    """Return the release, `(major, minor)`, of the library that an engine uses."""
    if engine is Engine.GRPC:
        from importlib.metadata import version

        major, minor, *_ = version("grpcio").split(".")
        return int(major), int(minor)
    from cryptography.hazmat.backends.openssl import backend

    number = backend.openssl_version_number()
    return number >> 28, number >> 20 & 0xFF
