"""File system events of directories, from watchdog.

The only module that imports watchdog, and itself imported late. Watches are never
recursive, and never for reading: a reload that reads files must not cause the next one.
Invariant: files are also polled, so no failure of events hides a change.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from watchdog import events
from watchdog.observers import Observer

from grpcsecure.descriptor_reserve import RESERVE, is_shortage
from grpcsecure.watch.mounts import eventless

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import ObservedWatch

    from grpcsecure.watch.directories import Interest

    #: Directories by device and inode.
    _Found = dict[tuple[int, int], tuple[Path, Interest]]

__all__ = ["DirectoryEvents"]

#: A name appears, disappears or is replaced.
_OF_NAMES: tuple[type[FileSystemEvent], ...] = (
    events.DirCreatedEvent,
    events.DirDeletedEvent,
    events.DirMovedEvent,
    events.FileCreatedEvent,
    events.FileDeletedEvent,
    events.FileMovedEvent,
)

#: A file was written to, its mode changed (a separate event since watchdog 7), or it
#: was closed after writing. Opening, and closing after reading, are left out.
_OF_CONTENTS: tuple[type[FileSystemEvent], ...] = (
    events.FileModifiedEvent,
    getattr(events, "FileAttribEvent", events.FileModifiedEvent),
    events.FileClosedEvent,
)

#: Descriptors that watchdog opens for one directory, and one that it may have lost.
_PER_WATCH = 4


class DirectoryEvents:
    """Calls `hint`, on a watchdog thread, when a directory's `Interest` is touched.

    Raises:
        OSError: the limit of inotify instances, or of descriptors, is reached.
    """

    def __init__(self, hint: Callable[[], None]) -> None:
        # It logs only that events were lost, which polling makes up for.
        logger = logging.getLogger("watchdog")
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL)
        self._hint = hint
        self._watched: dict[tuple[int, int], _Watched] = {}
        self._unreadable: str | None = None
        self._eventless: dict[int, str | None] = {}
        self._observer = Observer()
        self._observer.start()

    def __len__(self) -> int:
        return len(self._watched)

    def watch(self, wanted: Mapping[Path, Interest]) -> bool:
        """Watch these directories and no others; return whether the set changed.

        If it changed, the caller must determine its directories again: events from
        before the change were missed.

        Raises:
            OSError: the limit of inotify watches is reached.
        """
        found = self._readable(_by_identity(wanted))
        gone = [
            identity
            for identity, watched in self._watched.items()
            if watched.handler.is_dead or not watched.serves(found.get(identity))
        ]
        for identity in gone:
            self._observer.unschedule(self._watched.pop(identity).handle)
        changed = bool(gone)
        for identity, (path, interest) in found.items():
            watched = self._watched.get(identity)
            if watched is None:
                changed = self._add(identity, path, interest) or changed
            elif watched.handler.names != interest.names:
                watched.handler.names = interest.names
                changed = True
        return changed

    def polling_reason(self) -> str | None:
        """Return which directory sends no events and why; None if all send them."""
        for (device, _), watched in self._watched.items():
            if device not in self._eventless:
                self._eventless[device] = eventless(device)
            kind = self._eventless[device]
            if kind is not None and watched.contents:
                return f"{watched.path}: {kind} sends no events"
        return self._unreadable

    def stop(self) -> None:
        """End watchdog's threads."""
        self._observer.stop()
        self._observer.join()

    def _readable(self, found: _Found) -> _Found:
        """Drop directories that inotify refuses (EACCES); watchdog hides that error."""
        readable: _Found = {}
        self._unreadable = None
        for identity, (path, interest) in found.items():
            if os.access(path, os.R_OK):
                readable[identity] = path, interest
            elif interest.contents:
                self._unreadable = f"{path}: permission denied"
        return readable

    def _add(self, identity: tuple[int, int], path: Path, interest: Interest) -> bool:
        handler = _Handler(str(path), interest.names, self._hint)
        try:
            handle = self._schedule(handler, path, interest)
        except (FileNotFoundError, NotADirectoryError):
            return False  # deleted meanwhile: its parent sends an event
        self._watched[identity] = _Watched(
            path=path, contents=interest.contents, handler=handler, handle=handle
        )
        return True

    def _schedule(
        self, handler: _Handler, path: Path, interest: Interest
    ) -> ObservedWatch:
        of_contents = _OF_CONTENTS if interest.contents else ()
        schedule = partial(
            self._observer.schedule,
            handler,
            str(path),
            event_filter=[*_OF_NAMES, *of_contents],
        )
        try:
            return schedule()
        except OSError as error:
            # inotify reports its own limit of instances by the same number.
            if not is_shortage(error):
                raise
        with RESERVE.lent(_PER_WATCH):
            return schedule()


def _by_identity(wanted: Mapping[Path, Interest]) -> _Found:
    """Key directories by device and inode, as inotify does.

    So a directory that was replaced counts as another one, and one that is mounted
    twice counts once: inotify has one watch for it.
    """
    found: _Found = {}
    for path, interest in wanted.items():
        try:
            status = path.stat()
        except OSError:
            continue
        identity = (status.st_dev, status.st_ino)
        if identity in found:
            first, other = found[identity]
            found[identity] = first, other.joined(interest)
        else:
            found[identity] = path, interest
    return found


class _Handler(events.FileSystemEventHandler):
    """Filters the events of one directory by name."""

    def __init__(
        self, directory: str, names: frozenset[str] | None, hint: Callable[[], None]
    ) -> None:
        self.directory = directory
        self.names = names
        self.is_dead = False
        self._hint = hint

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Call the hint if the event concerns one of the names, or the directory.

        The type of the event is ignored: replacing a file is a move with one program
        and a write with another.
        """
        for path in (event.src_path, event.dest_path):
            name = os.fsdecode(path)
            if name == self.directory:
                # Of the directory itself only the deletion passes the filter; no
                # events follow it.
                self.is_dead = True
                self._hint()
            elif name and (self.names is None or os.path.basename(name) in self.names):
                self._hint()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Watched:
    path: Path
    contents: bool
    handler: _Handler
    handle: ObservedWatch

    def serves(self, wanted: tuple[Path, Interest] | None) -> bool:
        """Whether this watch fits what is wanted; the names may differ."""
        if wanted is None:
            return False
        path, interest = wanted
        return path == self.path and interest.contents == self.contents
