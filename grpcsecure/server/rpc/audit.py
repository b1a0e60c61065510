"""The audit: one event per denial, or per decision, to the log or to a file.

A call only puts its event into a queue; a thread writes. If that thread falls behind,
events are dropped and counted rather than calls held up.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import stat
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import islice
from queue import SimpleQueue
from typing import TYPE_CHECKING

from grpcsecure.model.authorization import (
    AuditLevel,
    AuditSettings,
    Decision,
    Effect,
    LogFormat,
)
from grpcsecure.server.event_text import clip, escape, render_json, render_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from grpcsecure.model.peer import Certificate
    from grpcsecure.server.rpc.peer_cache import ResolvedPeer
    from grpcsecure.server.snapshot import Snapshot

__all__ = ["UNDECIDED", "UNKNOWN_CONNECTION", "UNVERIFIED", "Auditor"]

_LOGGER = logging.getLogger("grpcsecure.audit")

#: Events that may wait for the thread that writes them.
_MOST_WAITING = 10_000

#: Seconds for what waits to be written when the server has stopped.
_PATIENCE = 2.0

#: Seconds to wait for the reader of a pipe before an event goes to the log instead.
_PIPE_PATIENCE = 1.0

#: On a call whose certificate the listener's mode does not accept any more.
UNVERIFIED = Decision(effect=Effect.DENY, rule=None, is_known=False)

#: On a call by a connection that the bridge did not announce.
UNKNOWN_CONNECTION = Decision(effect=Effect.DENY, rule=None, is_known=False)

#: On a call whose decision raised.
UNDECIDED = Decision(effect=Effect.DENY, rule=None, is_known=False)

#: Alternative names of a certificate that an event has; it may have thousands.
_MOST_NAMES = 5

_NAMES = {Effect.DENY: "call.denied", Effect.ALLOW: "call.allowed"}


@dataclass(frozen=True, slots=True)
class _Event:
    """A decision with all that its event shows; the writer's thread renders it.

    Clients choose some of the text: no more of it is kept than is shown.
    """

    at: datetime
    settings: AuditSettings
    generation: int
    listener: str
    address: str
    method: str
    identities: frozenset[str]
    subject: str | None
    names: tuple[str, ...]
    unverified: str | None
    decision: Decision

    @property
    def name(self) -> str:
        return _NAMES[self.decision.effect]

    def fields(self) -> dict[str, object]:
        decision = self.decision
        fields: dict[str, object] = {
            "time": self.at.isoformat(timespec="milliseconds"),
            "listener": self.listener,
            "address": self.address,
            "method": escape(self.method),
            "identities": sorted(self.identities),
        }
        if self.subject is not None:
            fields["subject"] = escape(self.subject)
        if self.names:
            fields["names"] = [_escape_name(name) for name in self.names]
        if self.unverified is not None:
            fields["unverified"] = escape(self.unverified)
        fields["decision"] = decision.effect.value
        fields["rule"] = _rule(decision)
        fields["generation"] = self.generation
        if decision.shadow is not None:
            fields["shadow_decision"] = decision.shadow.effect.value
            fields["shadow_rule"] = _rule(decision.shadow)
        return fields


def _event(
    snapshot: Snapshot,
    resolved: ResolvedPeer,
    address: str,
    method: str,
    decision: Decision,
) -> _Event:
    principal, assessment = resolved.principal, resolved.assessment
    subject = unverified = None
    names: tuple[str, ...] = ()
    if assessment is not None:
        subject = clip(assessment.certificate.subject)
        names = tuple(_alternative_names(assessment.certificate))
        if assessment.reason is not None:
            unverified = clip(assessment.reason)
    return _Event(
        datetime.now(timezone.utc),
        _settings(snapshot),
        snapshot.generation,
        resolved.listener,
        address,
        clip(method),
        frozenset() if principal is None else principal.identities,
        subject,
        names,
        unverified,
        decision,
    )


def _alternative_names(certificate: Certificate) -> Iterator[str]:
    """Yield alternative names: many certificates have an empty subject."""
    for kind, value in islice(certificate.alternative_names(), _MOST_NAMES):
        yield clip(f"{kind}:{value}")


def _escape_name(name: str) -> str:
    """Escape a name, and the commas that separate names in text."""
    return escape(name).replace(",", r"\x2c")


def _rule(decision: Decision) -> str:
    if decision is UNVERIFIED:
        return "client_certificate"
    if decision is UNKNOWN_CONNECTION:
        return "connection"
    if decision is UNDECIDED:
        return "error"
    return "default" if decision.rule is None else decision.rule.name


def _settings(snapshot: Snapshot) -> AuditSettings:
    authorization = snapshot.config.authorization
    # Without rules there still is a mode, which may refuse.
    return AuditSettings() if authorization is None else authorization.audit


class Auditor:
    """Takes decisions from any thread; a thread of its own writes them."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[_Event | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._left_out = 0
        self._is_closed = False

    def wants(self, snapshot: Snapshot, decision: Decision) -> bool:
        """Whether a decision becomes an event; one that a shadow rule changes does."""
        level = _settings(snapshot).level
        if level is AuditLevel.DENIALS:
            return decision.effect is Effect.DENY or decision.shadow is not None
        return level is AuditLevel.ALL

    def record(
        self,
        snapshot: Snapshot,
        resolved: ResolvedPeer,
        address: str,
        method: str,
        decision: Decision,
    ) -> None:
        """Queue an event; returns at once."""
        if self._waiting.qsize() >= _MOST_WAITING:
            self._left_out += 1
            return
        self._waiting.put(_event(snapshot, resolved, address, method, decision))
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(
                    target=self._write_all, name="grpcsecure-audit", daemon=True
                )
                self._thread.start()

    def close(self) -> None:
        """Write what waits, for `_PATIENCE` at most, and end; harmless twice."""
        with self._lock:
            self._is_closed = True
        self._waiting.put(None)
        if self._thread is not None:
            self._thread.join(_PATIENCE)

    def _write_all(self) -> None:
        files = _Files()
        try:
            while (event := self._waiting.get()) is not None:
                left_out, self._left_out = self._left_out, 0
                if left_out:
                    _LOGGER.warning("audit.left_out", extra={"events": left_out})
                try:
                    self._write(event, files)
                except Exception:  # such as of a filter in the user's logging
                    with suppress(Exception):
                        _LOGGER.exception("audit.unwritten")
        finally:
            files.close()

    def _write(self, event: _Event, files: _Files) -> None:
        fields = event.fields()
        settings = event.settings
        if settings.file is not None:
            line = _render(event.name, fields, settings.format)
            if files.append(settings.file, line):
                return
        # The log also takes what the file cannot: a full disk loses no event.
        denied = event.decision.effect is Effect.DENY
        level = logging.WARNING if denied else logging.INFO
        _LOGGER.log(level, event.name, extra=fields)


def _render(name: str, fields: Mapping[str, object], form: LogFormat) -> str:
    if form is LogFormat.JSON:
        return render_json({"event": name, **fields})
    return render_text(name, fields)


class _Files:
    """The audit file, opened anew after a rotation has moved it away.

    Invariant: a line begins at the beginning of a line, also after one that was written
    in part because the disk was full, by this process or by an earlier one.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._descriptor = -1
        self._has_failed = False
        #: Whether the last line has no end.
        self._is_torn = False

    def append(self, path: Path, line: str) -> bool:
        """Write a line, or return False.

        A failure is logged once, until a line is written again.
        """
        try:
            self._open(path)
            self._write(f"{line}\n".encode(errors="backslashreplace"))
        except OSError as error:
            if not self._has_failed:
                reason = _describe(error)
                _LOGGER.error(  # noqa: TRY400 - a full disk is not a bug
                    "audit.failed", extra={"file": str(path), "reason": reason}
                )
            self._has_failed = True
            if not isinstance(error, BlockingIOError):  # its reader would see an end
                self.close()
            return False
        self._has_failed = False
        return True

    def _open(self, path: Path) -> None:
        if path == self._path and _is_same_file(self._descriptor, path):
            return
        self.close()
        # Without O_NONBLOCK, opening a pipe waits for its reader, perhaps for ever.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK
        flags |= os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o600)
        self._path = path
        self._is_torn = _is_torn(path, self._descriptor)

    def _write(self, text: bytes) -> None:
        """Write a line as a whole, or as little of it as possible."""
        if self._is_torn:
            text = b"\n" + text
        written = 0
        try:
            while written < len(text):  # a disk that fills up takes a part
                written += self._write_part(text[written:])
        except OSError:
            if written and not self._take_back(written):
                self._is_torn = text[written - 1] != ord("\n")
            raise
        self._is_torn = False

    def _write_part(self, text: bytes) -> int:
        try:
            return os.write(self._descriptor, text)
        except BlockingIOError:  # a pipe that is full
            poll = select.poll()
            poll.register(self._descriptor, select.POLLOUT)
            # After a failure, events do not wait one after the other.
            if not poll.poll(0 if self._has_failed else _PIPE_PATIENCE * 1000):
                raise
            return os.write(self._descriptor, text)

    def _take_back(self, count: int) -> bool:
        """Remove the last `count` bytes, if they are still the last of the file."""
        try:
            end = os.lseek(self._descriptor, 0, os.SEEK_CUR)
            if os.fstat(self._descriptor).st_size != end:
                return False  # another process has written since
            os.ftruncate(self._descriptor, end - count)
        except OSError:  # a pipe
            return False
        return True

    def close(self) -> None:
        """Close the file; harmless without one."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1
        self._path = None


def _describe(error: OSError) -> str:
    if error.errno == errno.ENXIO:
        return "no process reads the pipe"
    if error.errno == errno.EAGAIN:
        return "the process that reads the pipe is too slow"
    return (error.strerror or str(error)).lower()


def _is_torn(path: Path, opened: int) -> bool:
    """Whether a regular file ends within a line; False if it may not be read."""
    status = os.fstat(opened)
    if not (stat.S_ISREG(status.st_mode) and status.st_size):
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return os.pread(descriptor, 1, status.st_size - 1) != b"\n"
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        at_path, opened = path.stat(), os.fstat(descriptor)
    except OSError:
        return False
    return (at_path.st_dev, at_path.st_ino) == (opened.st_dev, opened.st_ino)
