"""Settings and key material that are sent to the bridge to open a listener.

They are plain copies of the parts of `TlsSettings` and `Material` that OpenSSL needs,
so that the bridge process parses nothing that it does not use.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from grpcsecure.tls.name_selection import compile_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grpcsecure.model.listener import TlsSettings, TlsVersion
    from grpcsecure.model.modes import ClientCertificateMode
    from grpcsecure.tls.material import Material

__all__ = ["ContextMaterial", "ContextSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextSettings:
    """The TLS settings of a listener, which never change; the timeout is in seconds.

    Without `ciphers` or `groups`, those of gRPC core are in use.
    """

    mode: ClientCertificateMode
    min_version: TlsVersion
    handshake_timeout: float
    ciphers: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    @classmethod
    def of(cls, tls: TlsSettings) -> ContextSettings:
        """Return the settings of a listener's `tls` block."""
        return cls(
            mode=tls.client_certificate,
            min_version=tls.min_version,
            handshake_timeout=tls.handshake_timeout,
            ciphers=tls.ciphers,
            groups=tls.groups,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextMaterial:
    """Key material of one generation: PEM, but CRLs in DER; never shown in a repr."""

    generation: int
    certificate_chain: bytes = field(repr=False)
    private_key: bytes = field(repr=False)
    client_ca: bytes | None = field(default=None, repr=False)
    crls: tuple[bytes, ...] = field(default=(), repr=False)
    #: Further server certificates, each with its key.
    further: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)
    #: The number of the certificate for each name; see `name_selection.choose`.
    names: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, material: Material) -> ContextMaterial:
        """Return the part of a snapshot that OpenSSL needs."""
        further = tuple((p.certificate_chain, p.private_key) for p in material.further)
        return cls(
            generation=material.generation,
            certificate_chain=material.certificate_chain,
            private_key=material.private_key,
            client_ca=material.client_ca,
            crls=material.crls,
            further=further,
            names=compile_names(material.leaves) if further else {},
        )
