"""Checks for PEM blocks that are not used: a second key, or a misplaced CRL.

TLS libraries read past such blocks without a word, so that a revocation list in a
`client_ca` file seems to be in force.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.checking.key_files.content import describe_block
from grpcsecure.diagnostics.catalog import trust_kinds as kinds
from grpcsecure.tls.files import PemFile
from grpcsecure.tls.pem import (
    CERTIFICATE_LABELS,
    CRL_LABEL,
    ENCRYPTED_KEY_LABEL,
    KEY_LABELS,
    PARAMETER_LABELS,
    PemBlock,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from grpcsecure.checking.key_files.file_uses import FileUse, FileUses
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.tls.files import FileContent

__all__ = ["check_crl_in_client_ca", "check_ignored_blocks"]

_KEYS = KEY_LABELS | {ENCRYPTED_KEY_LABEL}

#: Certificates beside a key or a revocation list are usual, and harmless: programs
#: write all parts into one file.
_HARMLESS = CERTIFICATE_LABELS | PARAMETER_LABELS


def check_crl_in_client_ca(
    uses: FileUses, files: Mapping[Path, FileContent]
) -> Iterator[Finding]:
    """Find revocation lists in a `client_ca` file that the listener would not use."""
    for use in uses.only_cas:
        content = files[use.path]
        lists = content.lists() if isinstance(content, PemFile) else ()
        if lists:
            yield use.report(
                kinds.CRL_IN_CLIENT_CA,
                f"{use.shown} contains a revocation list at its line {lists[0].line}",
                label="only its certificates would be used",
                help=f"name the file in `crl` too (`crl: [{use.shown.strip('`')}]`), or"
                " remove the list from it",
            )


def check_ignored_blocks(
    uses: FileUses, files: Mapping[Path, FileContent], sound: Collection[Path]
) -> Iterator[Finding]:
    """Find blocks that no use of their file reads.

    Args:
        uses: all files by role.
        files: their contents.
        sound: the files without other findings about their blocks.
    """
    keys = {use.path for use in uses.private_keys}
    lists = {use.path for use in (*uses.crls, *uses.client_cas)}
    first: dict[Path, FileUse] = {}
    for use in (*uses.certificates, *uses.private_keys, *uses.client_cas, *uses.crls):
        first.setdefault(use.path, use)
    for path, use in first.items():
        content = files[path]
        if isinstance(content, PemFile) and path in sound:
            read = {content.key()} if path in keys else set()
            if path in lists:
                read.update(content.lists())
            ignored = [
                block
                for block in content.blocks
                if isinstance(block, PemBlock)
                and block not in read
                and block.label not in _HARMLESS
            ]
            if ignored:
                yield _ignored(use, ignored)


def _ignored(use: FileUse, blocks: list[PemBlock]) -> Finding:
    block = blocks[0]
    more = f", and {len(blocks) - 1} more" if len(blocks) > 1 else ""
    return use.report(
        kinds.IGNORED_BLOCK,
        f"{use.shown} has {describe_block(block)} at its line {block.line} that is not"
        f" used{more}",
        label=f"line {block.line} of the file is ignored",
        help=_help(block),
    )


def _help(block: PemBlock) -> str:
    if block.label == CRL_LABEL:
        return "name the file in `crl` of the listener, or remove the list from it"
    if block.label in _KEYS:
        return "remove the key from the file"
    return "remove the block, or convert it to a `CERTIFICATE` block"
