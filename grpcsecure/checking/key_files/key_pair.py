"""Checks of private keys: whether they load, are secret, and match the certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import file_kinds as kinds
from grpcsecure.diagnostics.findings import Label
from grpcsecure.errors import KeyMaterialError
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from grpcsecure.checking.key_files.file_uses import FileUse
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.peer import Certificate
    from grpcsecure.tls.files import PemFile
    from grpcsecure.tls.pem import PemBlock

__all__ = ["check_key", "check_pair"]

#: Mode bits that give access to other users than the owner. If root owns the file, its
#: group may read it, as in PostgreSQL: this is how a server that does not run as root
#: gets a key from a Kubernetes Secret with `fsGroup`, or a system key. A pod
#: certificate belongs to `runAsUser`, and `fsGroup`, a group of this pod, may read it.
_OTHERS = 0o066
_OTHERS_THAN_GROUP = 0o026
_ROOT = 0


def check_key(use: FileUse, content: PemFile, block: PemBlock) -> Iterator[Finding]:
    """Find keys that cannot be loaded, and keys that other users can read."""
    from grpcsecure.tls.keys import load_public_half

    if block.is_encrypted:
        yield use.report(
            kinds.ENCRYPTED_KEY,
            f"{use.shown} is encrypted",
            label="needs a passphrase",
            help="store it decrypted, with mode 0600: `openssl pkey -in KEY -out NEW`",
        )
    else:
        try:
            load_public_half(block)
        except KeyMaterialError as error:
            yield use.report(
                kinds.BROKEN_BLOCK,
                f"{use.shown} has a broken block at its line {block.line}: {error}",
                label=f"broken at line {block.line} of the file",
                help="copy the key again from its source",
            )
    group_may_read = content.owner == _ROOT or _is_mounted_by_kubelet(use.path)
    others = _OTHERS_THAN_GROUP if group_may_read else _OTHERS
    if content.permissions & others:
        yield use.report(
            kinds.KEY_READABLE,
            f"{use.shown} is accessible to other users: its mode is"
            f" {content.permissions:04o}",
            label="a private key",
            help="make the server's user its owner, and run `chmod 600` on it",
        )


def _is_mounted_by_kubelet(path: Path) -> bool:
    """Whether the path leads through a link `..data`, as in Kubernetes' volumes."""
    folders = path.resolve().parents
    return any(
        folder.name.startswith("..") and folder.with_name("..data").resolve() == folder
        for folder in folders
    )


def check_pair(
    certificate: FileUse,
    private_key: FileUse,
    *,
    chain: Sequence[Certificate],
    block: PemBlock,
) -> Iterator[Finding]:
    """Find a key that does not match the first certificate."""
    from grpcsecure.tls.keys import load_public_half

    half = load_public_half(block)
    if half.fits(chain[0]):
        return
    for number, other in enumerate(chain[1:], 2):
        if half.fits(other):
            yield certificate.report(
                kinds.LEAF_NOT_FIRST,
                f"the certificate of {private_key.shown} is number {number} in"
                f" {certificate.shown}, not the first",
                label=f"{quote(chain[0].subject)} comes first",
                secondary=[Label(span=private_key.places[0], text="its key")],
                help="put the server certificate first, then the one that signed it,"
                " and so on",
            )
            return
    yield private_key.report(
        kinds.KEY_MISMATCH,
        f"{private_key.shown} does not match {certificate.shown}",
        label="the key of another certificate",
        secondary=[
            Label(
                span=certificate.places[0],
                text=f"the certificate of {quote(chain[0].subject)}",
            )
        ],
        help="name the private key of this certificate",
    )
