"""Checks for clients that the previous files accepted and the new ones refuse.

Replacing a CA in one step locks out every client with a certificate of the old CA.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import file_kinds as kinds
from grpcsecure.diagnostics.catalog import tool_kinds
from grpcsecure.errors import KeyMaterialError
from grpcsecure.model.peer import Certificate
from grpcsecure.quoting import quote
from grpcsecure.tls.files import PemFile, read_files
from grpcsecure.tls.purpose import is_ca

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from grpcsecure.config.document import Document
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.listener import Engine
    from grpcsecure.tls.material import Material

__all__ = ["check_previous", "read_previous"]

_RENEWED = "was renewed with another serial number"


def read_previous(path: Path) -> tuple[Certificate, ...]:
    """Return the certificates in `path`: previous client CAs, or client certificates.

    Raises:
        KeyMaterialError: it cannot be read, or contains no certificate; the text is for
            users.
    """
    content = read_files([path])[path]
    if not isinstance(content, PemFile):
        raise KeyMaterialError(f"cannot read {quote(str(path))}: {content.reason}")
    entries = content.certificates()
    found = tuple(entry for entry in entries if isinstance(entry, Certificate))
    if not found or len(found) < len(entries):
        raise KeyMaterialError(
            f"{quote(str(path))} is not a PEM file of intact certificates"
        )
    return found


def check_previous(
    document: Document,
    materials: Mapping[str, Material],
    previous: Sequence[Certificate],
    now: datetime,
) -> Iterator[Finding]:
    """Find certificates of `previous` that no listener accepts any more."""
    verifying = [name for name, material in materials.items() if material.client_cas]
    engines = {one.name: one.engine_in_use for one in document.config.listeners}
    for certificate in previous:
        unchecked = _why_unchecked(certificate) if verifying else None
        if unchecked is not None:
            yield tool_kinds.UNCHECKED_CERTIFICATE(
                f"the certificate {quote(certificate.subject)} was not compared",
                span=document.place("listeners", verifying[0], "tls", "client_ca"),
                label=unchecked,
                help="install a release of pyOpenSSL that grpcsecure has been tried"
                " with",
            )
            continue
        reasons = {
            name: _why_left_behind(certificate, materials[name], engines[name], now)
            for name in verifying
        }
        if not reasons or None in reasons.values():
            continue
        name, reason = next(iter(reasons.items()))
        kind = "CA" if is_ca(certificate) else "certificate"
        of_all = f"the {kind} {quote(certificate.subject)}"
        if _RENEWED in reasons.values():
            reason = _RENEWED
            of_all = f"clients that name the serial number of {of_all}"
        yield kinds.CLIENTS_LEFT_BEHIND(
            f"no listener accepts {of_all} any more",
            span=document.place("listeners", name, "tls", "client_ca"),
            label=f"{reason}",
            help="keep the old CA beside the new one until all clients have moved",
        )


def _why_unchecked(certificate: Certificate) -> str | None:
    if is_ca(certificate):
        return None  # compared by its name and key
    from grpcsecure.tls.openssl.chain_check import why_unchecked

    return why_unchecked()


def _why_left_behind(
    certificate: Certificate, material: Material, engine: Engine, now: datetime
) -> str | None:
    """Return why a certificate is not verified or a CA not trusted, or None."""
    if is_ca(certificate):
        # A reissued CA (same name and key, other dates) still verifies its clients, but
        # for those whose authorityKeyIdentifier names the serial number of the old one.
        own = (certificate.subject, certificate.public_key)
        serials = {
            ca.serial_number
            for ca in material.client_cas
            if (ca.subject, ca.public_key) == own
        }
        if not serials:
            return "is not in this file"
        return None if certificate.serial_number in serials else _RENEWED
    from grpcsecure.tls.recheck import Rechecker

    return Rechecker(material, engine).verdict(certificate.der, (), now).reason
