"""The five client-certificate modes of gRPC and their traits, as one table.

TLS layer, checks, policy and docs all read the traits from here, so that they always
agree. The rows are those of `grpc_ssl_client_certificate_request_type`:
https://grpc.github.io/grpc/core/grpc__security__constants_8h.html
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

__all__ = ["ClientCertificateMode", "ModeTraits"]


class ClientCertificateMode(Enum):
    """The client-certificate mode of a listener."""

    DONT_REQUEST = "dont_request"
    REQUEST_BUT_DONT_VERIFY = "request_but_dont_verify"
    REQUEST_AND_VERIFY = "request_and_verify"
    REQUIRE_BUT_DONT_VERIFY = "require_but_dont_verify"
    REQUIRE_AND_VERIFY = "require_and_verify"

    @property
    def traits(self) -> ModeTraits:
        """The row of this mode in the table."""
        return _TRAITS[self]

    @property
    def asks(self) -> bool:
        """Whether the handshake requests a client certificate."""
        return self.traits.asks

    @property
    def requires(self) -> bool:
        """Whether a client without a certificate is refused."""
        return self.traits.requires

    @property
    def verifies(self) -> bool:
        """Whether a certificate that does not verify is refused."""
        return self.traits.verifies

    @classmethod
    def parse(cls, text: str) -> ClientCertificateMode:
        """Return the mode with the name `text`, in config spelling or as gRPC constant.

        Raises:
            ValueError: no mode has this name.
        """
        for mode, traits in _TRAITS.items():
            if text in (mode.value, traits.grpc_constant):
                return mode
        raise ValueError(f"no client-certificate mode: {text!r}")


class ModeTraits(NamedTuple):
    """One row of the table of modes."""

    grpc_constant: str
    asks: bool
    requires: bool
    verifies: bool
    #: The same mode as Go's `tls.ClientAuthType` and nginx's `ssl_verify_client`.
    go_name: str
    nginx_name: str
    #: Whether grpcio's own server credentials offer the mode.
    in_grpcio: bool


_TRAITS = {
    ClientCertificateMode.DONT_REQUEST: ModeTraits(
        grpc_constant="GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE",
        asks=False,
        requires=False,
        verifies=False,
        go_name="NoClientCert",
        nginx_name="off",
        in_grpcio=True,
    ),
    ClientCertificateMode.REQUEST_BUT_DONT_VERIFY: ModeTraits(
        grpc_constant="GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_BUT_DONT_VERIFY",
        asks=True,
        requires=False,
        verifies=False,
        go_name="RequestClientCert",
        nginx_name="optional_no_ca",
        in_grpcio=False,
    ),
    ClientCertificateMode.REQUEST_AND_VERIFY: ModeTraits(
        grpc_constant="GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY",
        asks=True,
        requires=False,
        verifies=True,
        go_name="VerifyClientCertIfGiven",
        nginx_name="optional",
        in_grpcio=False,
    ),
    ClientCertificateMode.REQUIRE_BUT_DONT_VERIFY: ModeTraits(
        grpc_constant="GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_BUT_DONT_VERIFY",
        asks=True,
        requires=True,
        verifies=False,
        go_name="RequireAnyClientCert",
        nginx_name="",
        in_grpcio=False,
    ),
    ClientCertificateMode.REQUIRE_AND_VERIFY: ModeTraits(
        grpc_constant="GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY",
        asks=True,
        requires=True,
        verifies=True,
        go_name="RequireAndVerifyClientCert",
        nginx_name="on",
        in_grpcio=True,
    ),
}
