"""Key material of one moment: an immutable snapshot that is swapped whole.

Holds what was read and checked; how it is read is `tls/pem.py`, whether it is any
good is for `checks`. Invariant: no repr, log or message ever shows the private key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grpcsecure.model.peer import Certificate

__all__ = ["Material"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What one listener needs for TLS.

    `certificate_chain`, `private_key` and `client_ca` are PEM as gRPC and OpenSSL
    take them, `crls` are DER; `chain` and `client_cas` are the same certificates
    parsed, the chain leaf first. `generation` counts up with each reload.
    """

    generation: int
    certificate_chain: bytes = field(repr=False)
    private_key: bytes = field(repr=False)
    client_ca: bytes | None = field(default=None, repr=False)
    crls: tuple[bytes, ...] = field(default=(), repr=False)
    chain: tuple[Certificate, ...]
    client_cas: tuple[Certificate, ...] = ()
