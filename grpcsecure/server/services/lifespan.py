"""Start and close hooks of servicers: context managers, and functions of the config.

Hooks start in the order of the config and close in reverse. Invariant: whatever has
started is closed, once, and no hook that closes can keep the process from ending.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError, wait
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from grpcsecure.errors import StartupError
from grpcsecure.server.services.recorder import is_coroutine
from grpcsecure.server.services.user_code import CreationError, user_traceback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from grpcsecure.model.server_config import ServiceEntry

__all__ = ["Lifespan", "is_async_only"]

_LOGGER = logging.getLogger("grpcsecure.server")

#: Seconds that each closing hook has, also if the grace of the shutdown is over.
_LEAST = 2.0


def is_async_only(cls: type) -> bool:
    """Whether `async with` takes objects of a class, and `with` does not."""
    return _is_manager(cls, "__aenter__", "__aexit__") and not _is_manager(
        cls, "__enter__", "__exit__"
    )


def _is_manager(cls: type, *names: str) -> bool:
    return all(hasattr(cls, name) for name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hook:
    """A function to call; `arguments` of its servicer appear in no message."""

    name: str
    call: Callable[[], Any]
    is_async: bool
    arguments: Mapping[str, object]

    def in_thread(self) -> Future[None]:
        """Call it in a thread of its own, which the process does not wait for."""
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()  # so that it cannot be cancelled
        context = copy_context()

        def run() -> None:
            try:
                context.run(self.call)
            except BaseException as error:  # noqa: BLE001 - passed on to the waiting thread
                done.set_exception(error)
            else:
                done.set_result(None)

        try:
            threading.Thread(target=run, name="grpcsecure-hook", daemon=True).start()
        except RuntimeError as error:  # no threads left
            done.set_exception(error)
        return done

    def start(self) -> None:
        """Call a plain hook that starts.

        Raises:
            CreationError: it raised; `__cause__` is that exception.
        """
        try:
            self.call()
        except (Exception, SystemExit) as error:
            raise self._error(error) from error

    async def start_on_loop(self) -> None:
        """Call a hook that starts: a coroutine on the loop, another one in a thread.

        Raises:
            CreationError: it raised; `__cause__` is that exception.
        """
        try:
            if self.is_async:
                await self.call()
            else:
                await asyncio.wrap_future(self.in_thread())
        except (Exception, SystemExit) as error:
            raise self._error(error) from error

    def _error(self, error: BaseException) -> CreationError:
        message = f"`{self.name}` raised {type(error).__name__}"
        return CreationError(message, self.arguments)

    async def close_on_loop(self) -> BaseException | None:
        """Call a hook that closes, and return what it raised."""
        try:
            if self.is_async:
                await self.call()
            else:
                await asyncio.wrap_future(self.in_thread())
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - SystemExit would end the loop
            return error
        return None

    def report(self, error: BaseException | None, *, has_ended: bool) -> None:
        """Log a hook that did not close."""
        if not has_ended:
            _LOGGER.error(
                "service.close_failed",
                extra={"hook": self.name, "reason": "still runs when its time is over"},
            )
        elif error is not None:
            _LOGGER.error(
                "service.close_failed",
                extra={
                    "hook": self.name,
                    "reason": f"raised {type(error).__name__}",
                    "traceback": user_traceback(error, self.arguments),
                },
            )


class Lifespan:
    """The hooks of all servicers of a server, and which of them have to be closed."""

    def __init__(self, *, on_asyncio: bool) -> None:
        self._on_asyncio = on_asyncio
        self._steps: list[tuple[_Hook | None, _Hook | None]] = []
        self._entered: set[int] = set()
        self._to_close: list[_Hook] = []
        self._hurried: Future[None] = Future()

    def add(
        self, entry: ServiceEntry, servicer: object, *, start: Any, close: Any
    ) -> None:
        """Add the hooks of a servicer, in the order in which they start.

        Args:
            entry: the entry of the config.
            servicer: the servicer that it has made.
            start: the function that `start` of the entry names, or None.
            close: the function that `close` names, or None.

        Raises:
            StartupError: a hook is a coroutine, and the runtime is threads.
        """
        if id(servicer) not in self._entered:  # one instance may have several entries
            self._entered.add(id(servicer))
            self._add_manager(entry, servicer)
        functions = [
            None
            if function is None
            else self._hook(entry, str(path), *_bound(function, servicer))
            for path, function in (
                (entry.start, start),
                (entry.close, close),
            )
        ]
        if any(functions):
            self._steps.append((functions[0], functions[1]))

    def _add_manager(self, entry: ServiceEntry, servicer: object) -> None:
        cls: Any = type(servicer)
        if self._on_asyncio and _is_manager(cls, "__aenter__", "__aexit__"):
            names = ("__aenter__", "__aexit__")
        elif _is_manager(cls, "__enter__", "__exit__"):
            names = ("__enter__", "__exit__")
        elif is_async_only(cls):
            names = ("__aenter__", "__aexit__")
        else:
            return
        enter, leave = (getattr(cls, name) for name in names)
        is_async = names[0] == "__aenter__"
        path = entry.servicer
        self._steps.append(
            (
                self._hook(
                    entry, f"{path}.{names[0]}", lambda: enter(servicer), is_async
                ),
                self._hook(
                    entry,
                    f"{path}.{names[1]}",
                    lambda: leave(servicer, None, None, None),
                    is_async,
                ),
            )
        )

    def _hook(
        self,
        entry: ServiceEntry,
        name: str,
        call: Callable[[], Any],
        is_async: bool,  # noqa: FBT001 - as `_bound` returns it
    ) -> _Hook:
        if is_async and not self._on_asyncio:
            raise StartupError(f"`{name}` is a coroutine, which threads cannot call")
        return _Hook(name=name, call=call, is_async=is_async, arguments=entry.arguments)

    def _starting(self) -> Iterator[_Hook]:
        """Yield each hook to start; the next step marks it as one to close."""
        for start, close in self._steps:
            if start is not None:
                yield start
            if close is not None:
                self._to_close.append(close)

    def start(self) -> None:
        """Run the hooks that start, in this thread.

        Raises:
            CreationError: one raised.
        """
        for hook in self._starting():
            hook.start()

    async def start_on_loop(self) -> None:
        """Run the hooks that start, on the event loop.

        Raises:
            CreationError: one raised.
        """
        for hook in self._starting():
            await hook.start_on_loop()

    def hurry(self) -> None:
        """Leave the hooks that still have to close their least time each."""
        with suppress(InvalidStateError):  # it hurries already
            self._hurried.set_result(None)

    def close(self, seconds: float) -> None:
        """Run the hooks that close, of those that have started.

        Args:
            seconds: the time for all of them; each has two seconds at least.
        """
        deadline = monotonic() + seconds
        while self._to_close:
            hook = self._to_close.pop()
            done = hook.in_thread()
            wait([done, self._hurried], self._left(deadline), FIRST_COMPLETED)
            if not done.done() and self._hurried.done():
                wait([done], min(_LEAST, self._left(deadline)))
            has_ended = done.done()
            hook.report(done.exception() if has_ended else None, has_ended=has_ended)

    async def close_on_loop(self, seconds: float) -> None:
        """Run the hooks that close, as `close` does."""
        deadline = monotonic() + seconds
        while self._to_close:
            hook = self._to_close.pop()
            done = asyncio.ensure_future(hook.close_on_loop())
            hurried = asyncio.wrap_future(self._hurried)
            waiting: list[asyncio.Future[Any]] = [done, hurried]
            await asyncio.wait(
                waiting,
                timeout=self._left(deadline),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not done.done() and self._hurried.done():
                await asyncio.wait([done], timeout=min(_LEAST, self._left(deadline)))
            has_ended = done.done()
            done.cancel()
            hook.report(done.result() if has_ended else None, has_ended=has_ended)

    def _left(self, deadline: float) -> float:
        if self._hurried.done():
            return _LEAST
        return max(_LEAST, deadline - monotonic())


def _bound(function: Any, servicer: object) -> tuple[Callable[[], Any], bool]:
    """Return the call of a hook function, and whether it is a coroutine."""
    from grpcsecure.server.services.arguments import takes_nothing

    is_async = is_coroutine(function)
    if takes_nothing(function):
        return function, is_async
    return lambda: function(servicer), is_async
