"""The health of services, as servicers set it; one board for each server.

Knows names and whether they serve, no gRPC. Invariant: once a server retires or drains,
nothing that is set on its board makes a service SERVING again.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING
from weakref import WeakSet

from grpcsecure.diagnostics.suggest import did_you_mean
from grpcsecure.errors import StartupError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["HealthBoard", "ServiceHealth", "early", "health"]


class HealthBoard:
    """Which services of one server are serving; may be used from any thread.

    The names of the services are known once all servicers are; until then each name is
    accepted.

    Attributes:
        is_draining: whether every service is NOT_SERVING for good, and watches end.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: frozenset[str] | None = None
        self._set: dict[str, bool] = {}
        self._on_change: list[Callable[[], object]] = []
        self._has_retired = False
        self.is_draining = False
        _BOARDS.join(self)

    @property
    def names(self) -> frozenset[str] | None:
        """The services, "" for the server as a whole; None if not yet known."""
        return self._names

    def settle(self, services: Iterable[str]) -> None:
        """Set the names of the services.

        Raises:
            StartupError: the health of a service that does not exist was set before.
        """
        self._names = frozenset(("", *services))
        for service, serving in _BOARDS.take(self):
            self._set.setdefault(service, serving)
        unknown = [name for name in self._set if name not in self._names]
        unknown += _BOARDS.unknown()
        if unknown:
            raise StartupError(
                f"the health of `{unknown[0]}` was set, which no servicer provides"
                + _suggest(unknown[0], self._names)
            )

    def set(self, service: str, *, serving: bool) -> None:
        """Set whether a service is SERVING; without effect once it has retired.

        Raises:
            UsageError: there is no such service.
        """
        if not self.may_have(service):
            raise UsageError(
                f"no service `{service}`{_suggest(service, self._names or ())}"
            )
        with self._lock:
            self._set[service] = serving
        self._notify()

    def may_have(self, service: str) -> bool:
        """Whether there is such a service, or the services are not known yet."""
        return self._names is None or service in self._names

    def is_serving(self, service: str) -> bool | None:
        """Return whether a service is SERVING; None if there is no such service."""
        if self._names is None or service not in self._names:
            return None
        return not self._has_retired and self._set.get(service, True)

    def subscribe(self, on_change: Callable[[], object]) -> None:
        """Call `on_change` after each change, on the thread that made it."""
        self._on_change.append(on_change)

    def retire(self) -> None:
        """Make every service NOT_SERVING for good; watches go on."""
        self._has_retired = True
        self._notify()

    def drain(self) -> None:
        """Retire, and end the watches."""
        self._has_retired = True
        self.is_draining = True
        _BOARDS.leave(self)
        self._notify()

    def _notify(self) -> None:
        for notify in self._on_change:
            notify()

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Make `health` return handles of this board in code that the block calls."""
        token = _STARTING.set(self)
        try:
            yield
        finally:
            _STARTING.reset(token)


class _Boards:
    """The boards of all servers in the process, and what was set before there was one.

    A module may set the health of its service when it is imported, which is before its
    server exists. Each server that has the service begins with that.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._boards: WeakSet[HealthBoard] = WeakSet()
        self._early: dict[str, bool] = {}
        self._taken: set[str] = set()
        self._has_ended = False

    def join(self, board: HealthBoard) -> None:
        with self._lock:
            self._boards.add(board)

    def leave(self, board: HealthBoard) -> None:
        with self._lock:
            self._boards.discard(board)
            self._has_ended = True

    def take(self, board: HealthBoard) -> list[tuple[str, bool]]:
        """Return what was set early of the services of a board."""
        with self._lock:
            found = [one for one in self._early.items() if board.may_have(one[0])]
            self._taken.update(name for name, _ in found)
            return found

    def unknown(self) -> list[str]:
        """Return names that were set early, and that no server has."""
        with self._lock:
            boards = tuple(self._boards)
            return [
                name
                for name in self._early
                if name not in self._taken
                and not any(board.may_have(name) for board in boards)
            ]

    def set(self, service: str, *, serving: bool) -> None:
        is_early = _IS_EARLY.get()
        with self._lock:
            boards = () if is_early else tuple(self._boards)
            having = [board for board in boards if board.may_have(service)]
            if having:
                self._early.pop(service, None)
            elif not boards and (is_early or not self._has_ended):
                # Not what a server sets at its end: it is not meant for the next one.
                self._early[service] = serving
                self._taken.discard(service)
        if boards and not having:
            known = {name for board in boards for name in board.names or ()}
            raise UsageError(f"no service `{service}`{_suggest(service, known)}")
        for board in having:
            board.set(service, serving=serving)


_BOARDS = _Boards()

#: The board of the server that is creating its servicers.
_STARTING: ContextVar[HealthBoard | None] = ContextVar("starting", default=None)

#: Whether a module is being imported for a server that does not exist yet.
_IS_EARLY: ContextVar[bool] = ContextVar("is_early", default=False)


@contextmanager
def early() -> Iterator[None]:
    """Keep what the block sets for the servers that are made after it."""
    token = _IS_EARLY.set(True)
    try:
        yield
    finally:
        _IS_EARLY.reset(token)


class ServiceHealth:
    """The health of one service, as `grpc.health.v1` reports it.

    Attributes:
        service: the full name of the service; "" is the server as a whole.
    """

    def __init__(self, service: str, board: HealthBoard | None = None) -> None:
        self.service = service
        self._board = board

    def set(self, *, serving: bool) -> None:
        """Report SERVING or NOT_SERVING from now on, from any thread or coroutine.

        It returns at once. While the server drains every service is NOT_SERVING,
        whatever is set.

        Raises:
            UsageError: no servicer provides such a service.
        """
        (self._board or _BOARDS).set(self.service, serving=serving)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.service!r})"


def health(service: str = "") -> ServiceHealth:
    """Return the health of a service, to set it.

    In code that a server calls while it starts (constructors of servicers and start
    hooks), it is the health of that server; elsewhere, that of each server in the
    process that has the service, which is one under `grpcsecure serve`.

    Args:
        service: the full name of the service; the server as a whole by default.
    """
    return ServiceHealth(service, _STARTING.get())


def _suggest(service: str, known: Iterable[str]) -> str:
    names = sorted(name for name in known if name)
    meant = did_you_mean(service, names)
    if not meant:
        same = [one for one in names if one.rpartition(".")[2] == service]
        meant = f"did you mean `{same[0]}`?" if same else ""
    if meant:
        return f"; {meant}"
    return f"; known services: {', '.join(names)}" if names else ""
