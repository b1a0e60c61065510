"""What crosses to the bridge to open a listener: settings, and material as PEM.

A plain copy of the parts of `TlsSettings` and `Material` that OpenSSL needs, so that
the bridge's process parses nothing it does not use.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grpcsecure.model.listener import TlsSettings, TlsVersion
    from grpcsecure.model.modes import ClientCertificateMode
    from grpcsecure.tls.material import Material

__all__ = ["ContextMaterial", "ContextSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextSettings:
    """What stays the same for a listener's life; the timeout is in seconds."""

    mode: ClientCertificateMode
    min_version: TlsVersion
    handshake_timeout: float

    @classmethod
    def of(cls, tls: TlsSettings) -> ContextSettings:
        """Take them from a listener's `tls` block."""
        return cls(
            mode=tls.client_certificate,
            min_version=tls.min_version,
            handshake_timeout=tls.handshake_timeout,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextMaterial:
    """Key material of one moment: PEM, the CRLs DER; never shown."""

    generation: int
    certificate_chain: bytes = field(repr=False)
    private_key: bytes = field(repr=False)
    client_ca: bytes | None = field(default=None, repr=False)
    crls: tuple[bytes, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, material: Material) -> ContextMaterial:
        """Take it from a snapshot."""
        return cls(
            generation=material.generation,
            certificate_chain=material.certificate_chain,
            private_key=material.private_key,
            client_ca=material.client_ca,
            crls=material.crls,
        )
