"""Runs all checks of key files; each file is read once.

The checked content becomes the material of the server: no file is read a second time,
so none can change between check and use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.checking.key_files.chain import check_chain
from grpcsecure.checking.key_files.client_ca import check_client_ca
from grpcsecure.checking.key_files.content import (
    check_certificate_file,
    check_crl_file,
    check_key_file,
)
from grpcsecure.checking.key_files.file_uses import gather_uses
from grpcsecure.checking.key_files.ignored_blocks import (
    check_crl_in_client_ca,
    check_ignored_blocks,
)
from grpcsecure.checking.key_files.key_pair import check_key, check_pair
from grpcsecure.checking.key_files.revocation_lists import (
    check_crl_dates,
    check_crl_kind,
    check_crl_size,
    check_revocation,
)
from grpcsecure.checking.key_files.server_certificate import (
    check_server_certificate,
    check_strength,
)
from grpcsecure.checking.key_files.validity import check_ca_expiry, check_server_expiry
from grpcsecure.diagnostics.catalog import file_kinds as kinds
from grpcsecure.diagnostics.findings import Label
from grpcsecure.model.peer import Certificate
from grpcsecure.tls.files import PemFile, read_files
from grpcsecure.tls.material import build_material
from grpcsecure.tls.pem import BrokenBlock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from grpcsecure.checking.key_files.file_uses import FileUse, FileUses
    from grpcsecure.config.document import Document
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.tls.crl import RevocationList
    from grpcsecure.tls.files import FileContent
    from grpcsecure.tls.material import Material
    from grpcsecure.tls.pem import PemBlock

__all__ = ["check_files"]


def check_files(
    document: Document, now: datetime, *, generation: int = 1
) -> tuple[list[Finding], dict[str, Material]]:
    """Return the findings about the files, and the material of each TLS listener.

    If the files cannot be loaded, there is no material at all. A file that lets no
    client in can be loaded, even if that is an error at a start.

    Args:
        document: the config that names the files.
        now: the time for checks of validity periods, timezone-aware.
        generation: the generation number of the material.
    """
    uses = gather_uses(document)
    files = read_files(uses.paths)
    inspection = _Inspection(uses, files, now)
    findings = [
        *inspection.findings,
        *_check_names(document, inspection.chains),
        *_check_suites(document, inspection.chains),
    ]
    findings.sort(key=_place)
    if any(
        finding.is_error and not finding.kind.applies_on_reload for finding in findings
    ):
        return findings, {}
    materials = {
        listener.name: build_material(listener.tls, files, generation=generation)
        for listener in document.config.listeners
        if listener.tls is not None
    }
    return findings, materials


def _check_names(
    document: Document, chains: Mapping[Path, tuple[Certificate, ...]]
) -> Iterator[Finding]:
    tls = [listener.tls for listener in document.config.listeners]
    if any(each and (each.server_names or each.certificates) for each in tls):
        # Most listeners have one certificate.
        from grpcsecure.checking.key_files.name_choice import check_name_choice

        yield from check_name_choice(document, chains)


def _check_suites(
    document: Document, chains: Mapping[Path, tuple[Certificate, ...]]
) -> Iterator[Finding]:
    if any(each.tls and each.tls.ciphers for each in document.config.listeners):
        # Few listeners have suites of their own.
        from grpcsecure.checking.key_files.key_suites import check_key_suites

        yield from check_key_suites(document, chains)


def _place(finding: Finding) -> tuple[int, int]:
    assert finding.span is not None  # noqa: S101 - all findings about files have one
    return finding.span.line, finding.span.column


class _Inspection:
    """One pass over all files; an unusable file is reported once and then skipped."""

    def __init__(
        self, uses: FileUses, files: Mapping[Path, FileContent], now: datetime
    ) -> None:
        self.findings: list[Finding] = []
        self._files = files
        self._now = now
        self.chains: dict[Path, tuple[Certificate, ...]] = {}
        self._keys: dict[Path, PemBlock] = {}
        self._lists: dict[Path, tuple[RevocationList, ...]] = {}
        chains = [use for use in uses.certificates if self._read_certificates(use)]
        cas = [use for use in uses.client_cas if self._read_certificates(use)]
        for use in uses.private_keys:
            self._check_key(use)
        for pair in uses.pairs:
            self._check_exchange(*pair)
        misplaced = {
            certificate.path
            for certificate, private_key in uses.pairs
            if self._is_misplaced(certificate, private_key)
        }
        for use in chains:
            if use.path not in misplaced:
                self._check_chain(use)
        for use in cas:
            self._check_client_ca(use)
        for use in uses.crls:
            self._read_lists(use)
        self._check_revocations(uses)
        self.findings += check_crl_in_client_ca(uses, files)
        sound = {*self.chains, *self._keys, *self._lists}
        self.findings += check_ignored_blocks(uses, files, sound)

    def _read_certificates(self, use: FileUse) -> bool:
        """Read certificates from a file; return whether all of them are intact."""
        content = self._files[use.path]
        found = list(check_certificate_file(use, content))
        self.findings += found
        if isinstance(content, PemFile) and not found:
            entries = content.certificates()
            self.chains[use.path] = tuple(
                entry for entry in entries if isinstance(entry, Certificate)
            )
        return not found

    def _check_key(self, use: FileUse) -> None:
        content = self._files[use.path]
        found = list(check_key_file(use, content))
        block = content.key() if isinstance(content, PemFile) else None
        if isinstance(content, PemFile) and block is not None and not found:
            found = list(check_key(use, content, block))
            if not any(finding.is_error for finding in found):
                self._keys[use.path] = block
        self.findings += found

    def _check_exchange(self, certificate: FileUse, private_key: FileUse) -> None:
        """Report a certificate and a key in each other's place as one mistake."""
        first, second = self._files[certificate.path], self._files[private_key.path]
        if not (isinstance(first, PemFile) and isinstance(second, PemFile)):
            return
        if first.certificates() or second.key() is not None:
            return
        if first.key() is None or not second.certificates():
            return
        places = (certificate.places[0], private_key.places[0])
        self.findings = [one for one in self.findings if one.span not in places]
        self.findings.append(
            certificate.report(
                kinds.WRONG_CONTENT,
                f"the certificate {certificate.shown} contains the key, and the key"
                f" {private_key.shown} the certificate",
                label="a private key",
                secondary=[Label(span=places[1], text="a certificate")],
                help="exchange the two paths",
            )
        )

    def _is_misplaced(self, certificate: FileUse, private_key: FileUse) -> bool:
        """Check a pair; return whether its certificate is present but not the first."""
        chain = self.chains.get(certificate.path)
        block = self._keys.get(private_key.path)
        if chain is None or block is None:
            return False
        found = list(check_pair(certificate, private_key, chain=chain, block=block))
        self.findings += found
        return any(finding.kind is kinds.LEAF_NOT_FIRST for finding in found)

    def _check_chain(self, use: FileUse) -> None:
        chain = self.chains[use.path]
        known = [entry for entries in self.chains.values() for entry in entries]
        self.findings += [
            *check_server_certificate(use, chain[0]),
            *check_chain(use, chain, known=known),
            *check_strength(use, chain),
            *check_server_expiry(use, chain, self._now),
        ]

    def _check_client_ca(self, use: FileUse) -> None:
        # Not every config has client CAs.
        from grpcsecure.checking.key_files.client_keys import check_pinned_clients
        from grpcsecure.checking.key_files.usable_cas import check_ca_support
        from grpcsecure.tls.ca_support import ClientCa

        found = self.chains[use.path]
        cas = [ClientCa(certificate) for certificate in found]
        self.findings += [
            *check_client_ca(use, cas),
            *check_ca_support(use, cas),
            *check_pinned_clients(use, cas),
            *check_ca_expiry(use, found, self._now),
        ]

    def _read_lists(self, use: FileUse) -> None:
        content = self._files[use.path]
        found = list(check_crl_file(use, content))
        if isinstance(content, PemFile) and not found:
            from grpcsecure.checking.key_files.revocation_scope import (
                check_crl_removals,
            )

            entries = content.revocation_lists()
            lists = [entry for entry in entries if not isinstance(entry, BrokenBlock)]
            self._lists[use.path] = tuple(lists)
            found = [*check_crl_kind(use, lists), *check_crl_removals(use, lists)]
        self.findings += found

    def _check_revocations(self, uses: FileUses) -> None:
        if not uses.revocations:
            return
        from grpcsecure.checking.key_files.revocation_scope import check_crl_scope

        self.findings += check_crl_size(uses.revocations, self._lists)
        self.findings += check_crl_dates(
            uses.crls, uses.revocations, self._lists, self._now
        )
        for revocation in uses.revocations:
            are_intact = all(use.path in self.chains for use in revocation.client_cas)
            if are_intact and all(use.path in self._lists for use in revocation.crls):
                cas = {
                    ca: use
                    for use in revocation.client_cas
                    for ca in self.chains[use.path]
                }
                self.findings += check_revocation(revocation, cas, self._lists)
                self.findings += check_crl_scope(
                    revocation, cas, self._lists, self._now
                )
