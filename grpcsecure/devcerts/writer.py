"""Makes the files of `certs dev` and writes them to disk.

Invariant: an existing file is never changed without `force`, and a failure leaves
neither an incomplete file nor an incomplete set of files behind.
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
    """A file to write: its path below the directory, and its bytes."""

    name: str
    data: bytes = field(repr=False)

    @property
    def mode(self) -> int:
        """The permissions: only the owner may read keys."""
        return _KEY_MODE if self.name.endswith(".key") else _CERTIFICATE_MODE


def make_files(
    *,
    servers: Iterable[x509.GeneralName],
    clients: Iterable[ClientName],
    now: datetime,
    days: float,
    broken: bool = False,
) -> list[DevFile]:
    """Return the files of a CA, a server and clients, valid for `days` from `now`.

    They are `ca`, `server`, `client`, `client-2`, …, each with `.pem` and `.key`. The
    broken specimens are in a directory `broken`.
    """
    # Each CA has a unique name: a client that still trusts an earlier one then reports
    # "unknown CA", and not a wrong signature.
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

    All files are written under temporary names before the first one is renamed, so a
    full disk changes nothing. Replaced files are kept under other names until all new
    ones are in place.

    Raises:
        FileExistsError: the file `filename` exists already, and `force` is false.
        OSError: the file `filename` cannot be written; nothing has changed.
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
    """Report errors with the name of the target, not that of the temporary file."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error


def _beside(target: Path, purpose: str) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.{purpose}")


def _place(sources: list[Path], targets: list[Path], *, force: bool) -> None:
    """Rename the files to their targets; if one fails, undo all of them."""
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
    """Move an existing file aside, so that it can be restored."""
    old = _beside(target, "old")
    _reserve(old)
    try:
        _refuse_directory(target)  # again: a new directory would be moved like a file
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
        raise FileExistsError(None, "it already exists", str(target))


def _stage(path: Path, file: DevFile, staged: list[Path]) -> None:
    """Write a file that no other process can have opened before.

    It is added to `staged` as soon as it exists, so that the caller removes it.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, _KEY_MODE)
    staged.append(path)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(file.data)
        os.fchmod(stream.fileno(), file.mode)


def _reserve(path: Path) -> None:
    """Create an empty file to reserve the name, unless it exists by now.

    Not done with a hard link, which some mounted directories do not support.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC))
