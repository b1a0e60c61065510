"""The files of `certs dev`: what is in them, and how they get onto the disk.

Invariant: a file that is there is never changed unless asked for, and a failure leaves
neither half a file nor half of the set behind.
"""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from errno import EISDIR
from typing import TYPE_CHECKING

from grpcsecure.devcerts.credentials import (
    SERVER_AUTH,
    Profile,
    Validity,
    issue,
    make_authority,
)
from grpcsecure.devcerts.revocation import make_revocations
from grpcsecure.devcerts.specimens import Specimens

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from cryptography import x509

    from grpcsecure.devcerts.credentials import Credential
    from grpcsecure.devcerts.subject_names import ClientName

__all__ = ["DevFile", "make_files", "write_files"]

_KEY_MODE = 0o600
_CERTIFICATE_MODE = 0o644


@dataclass(frozen=True, slots=True)
class DevFile:
    """A file to write: its path below the folder, and its bytes."""

    name: str
    data: bytes = field(repr=False)

    @property
    def mode(self) -> int:
        """Permissions: keys are for their owner only."""
        return _KEY_MODE if self.name.endswith(".key") else _CERTIFICATE_MODE


def make_files(
    *,
    servers: Iterable[x509.GeneralName],
    clients: Iterable[ClientName],
    now: datetime,
    days: float,
    broken: bool = False,
) -> list[DevFile]:
    """Make a CA, a server and clients that are valid for `days` from `now`.

    `ca`, `server`, `client`, `client-2`, …, each with `.pem` and `.key`; the broken
    specimens go into a folder `broken`.
    """
    # A name of its own: a client that still trusts an earlier one is told "unknown
    # CA", and not that a signature is wrong.
    name = f"grpcsecure development CA {secrets.token_hex(3)}"
    authority = make_authority(name, now=now, days=days)
    names = tuple(servers)
    validity = Validity.of(days, now=now)
    server = Profile(
        subject="server", validity=validity, names=names, purposes=(SERVER_AUTH,)
    )
    files = [
        *_pair("ca", authority),
        *_pair("server", issue(server, issuer=authority)),
    ]
    for number, client in enumerate(clients, 1):
        profile = Profile(
            subject=client.subject,
            validity=validity,
            units=client.units,
            names=client.names,
        )
        name = "client" if number == 1 else f"client-{number}"
        files += _pair(name, issue(profile, issuer=authority))
    if broken:
        files += _broken(Specimens(authority, names=names, now=now, days=days))
        for name, data in make_revocations(authority, now=now, days=days):
            files.append(DevFile(f"broken/{name}", data))
    return files


def _pair(name: str, credential: Credential) -> Iterator[DevFile]:
    yield DevFile(f"{name}.pem", credential.certificate_pem)
    yield DevFile(f"{name}.key", credential.key_pem)


def _broken(specimens: Specimens) -> Iterator[DevFile]:
    for name, credential in specimens.clients():
        yield from _pair(f"broken/client-{name}", credential)
    for name, credential in specimens.servers():
        yield from _pair(f"broken/server-{name}", credential)
    for name, data in specimens.files():
        yield DevFile(f"broken/{name}", data)


def write_files(directory: Path, files: Iterable[DevFile], *, force: bool) -> None:
    """Write all of `files` below `directory`, or none of them.

    Every byte is written under a temporary name before the first file gets its own:
    a full disk leaves things as they were. What is replaced is kept beside it until
    all of them are in their places.

    Raises:
        FileExistsError: a file is there already, and not `force`; `filename` says
            which.
        OSError: it cannot be written; nothing has changed. `filename` says which.
    """
    files = list(files)
    targets = [directory / file.name for file in files]
    staged: list[Path] = []
    try:
        for target in targets:
            _refuse_directory(target)
            if not force:
                _refuse_existing(target)
        for file, target in zip(files, targets, strict=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            with _about(target):
                _stage(_beside(target, "new"), file, staged)
        _place(staged, targets, force=force)
    finally:
        for path in staged:
            with suppress(OSError):
                path.unlink()


@contextmanager
def _about(target: Path) -> Iterator[None]:
    """Name the file that cannot be written, not the one that stands in for it."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error


def _beside(target: Path, purpose: str) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.{purpose}")


def _place(sources: list[Path], targets: list[Path], *, force: bool) -> None:
    """Give the files their names; if one cannot have it, take back the others'."""
    replaced: list[Path] = []
    with ExitStack() as undo:
        for source, target in zip(sources, targets, strict=True):
            with _about(target):
                if force:
                    _set_aside(target, undo, replaced)
                else:
                    _reserve(target)
                    undo.callback(target.unlink)
                source.replace(target)
        undo.pop_all()
    for path in replaced:
        with suppress(OSError):
            path.unlink()


def _set_aside(target: Path, undo: ExitStack, replaced: list[Path]) -> None:
    """Take a file out of the way, if there is one, so that it can be put back."""
    old = _beside(target, "old")
    _reserve(old)
    try:
        _refuse_directory(target)  # once more: it would be moved like a file
        target.replace(old)
    except OSError as error:
        old.unlink()
        if not isinstance(error, FileNotFoundError):
            raise
        undo.callback(target.unlink, missing_ok=True)
    else:
        undo.callback(old.replace, target)
        replaced.append(old)


def _refuse_directory(target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR), str(target))


def _refuse_existing(target: Path) -> None:
    if os.path.lexists(target):
        raise FileExistsError(None, "it is there already", str(target))


def _stage(path: Path, file: DevFile, staged: list[Path]) -> None:
    """Write a file that nobody but us can have had open before.

    It is in `staged` from the moment that it is ours to remove.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, _KEY_MODE)
    staged.append(path)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(file.data)
        os.fchmod(stream.fileno(), file.mode)


def _reserve(path: Path) -> None:
    """Take the name, unless somebody has in the meantime.

    Not with a hard link, which some mounted folders do not have.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC))
