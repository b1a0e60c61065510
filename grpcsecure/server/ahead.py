"""Start-up on two cores: a child checks the config while this process imports gRPC.

Importing gRPC and the command line takes about as long as reading a config with its
certificates, and neither needs the other. The child is a fork that has not seen gRPC,
which must not be forked; it hands back what it loaded, and ends. Invariant: the result
is that of `load_config`, and where it does not come, `load_config` is called here.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING, Any

from grpcsecure.errors import GrpcSecureError

if TYPE_CHECKING:
    from datetime import datetime

    from grpcsecure.checking.pipeline import Loaded
    from grpcsecure.config.source import Source

__all__ = ["Ahead", "load_ahead", "load_files"]

#: Bytes of a config whose tree takes longer to hand over than to parse.
_LARGE = 64 * 1024


def load_ahead(name: str, profile: str | None) -> Ahead | None:
    """Begin to load the config `name` in a child; None where that gains nothing.

    For the command line: the process must be ours alone, and new.
    """
    return Ahead(name, profile) if _is_worthwhile(name) else None


def load_files(
    source: Source, *, profile: str | None, now: datetime, ahead: Ahead | None
) -> Loaded:
    """Return what `load_config` returns up to the files; gRPC is imported by then.

    Args:
        source: the config.
        profile: the profile to apply.
        now: the moment to judge certificates by.
        ahead: what was begun before; it counts if it is about this source and profile.

    Raises:
        UsageError: no such profile.
    """
    if ahead is not None:
        _import_server()
        outcome = ahead.outcome(source, profile)
        if isinstance(outcome, GrpcSecureError):
            raise outcome
        if outcome is not None:
            return outcome
    return _load(source, profile, now)


def _import_server() -> None:
    """Import what serving needs, whatever the config says: the child is at work."""
    import grpcsecure.config.document
    import grpcsecure.server.app
    import grpcsecure.server.lifecycle
    import grpcsecure.server.policy_summary
    import grpcsecure.server.runtime.threads
    import grpcsecure.server.services.health
    import grpcsecure.tls.material  # noqa: F401


def _is_worthwhile(name: str) -> bool:
    if sys.platform != "linux" or len(os.sched_getaffinity(0)) == 1:
        return False
    # A fork has one thread only, and nothing of gRPC works in it.
    threading = sys.modules.get("threading")
    if "grpc" in sys.modules or (threading and threading.active_count() > 1):
        return False
    try:
        found = os.stat(name)  # noqa: PTH116 - pathlib takes 3 ms
    except (OSError, ValueError):
        return False
    # What comes through a pipe can be read once only.
    return stat.S_ISREG(found.st_mode) and found.st_size < _LARGE


def _load(source: Source, profile: str | None, now: datetime) -> Loaded:
    # Imported here, so that the parent does not wait for what the child needs.
    from grpcsecure.checking.pipeline import Phase, load_config

    return load_config(
        source, profile=profile, environ=os.environ, now=now, last=Phase.FILES
    )


class Ahead:
    """A child that loads a config; it ends by itself, at the latest when discarded."""

    def __init__(self, name: str, profile: str | None) -> None:
        reader, writer = os.pipe()
        self._child: int | None = os.fork()
        if self._child == 0:
            os.close(reader)
            _answer(name, profile, writer)
        os.close(writer)
        self._reader = reader
        self._profile = profile

    def outcome(
        self, source: Source, profile: str | None
    ) -> Loaded | GrpcSecureError | None:
        """Return what the child loaded, or its error; None if it is of no use.

        Waits for the child. Of use is what it made of this very source and profile.
        """
        if self._child is None or profile != self._profile:
            return None
        with os.fdopen(self._reader, "rb", closefd=False) as pipe:
            answer = pipe.read()
        self.discard()
        import pickle

        try:
            # Written by our own code in our own child, to a pipe that nobody else has.
            loaded_source, outcome = pickle.loads(answer)  # noqa: S301
        except (pickle.UnpicklingError, EOFError):
            return None  # it ended before it was done
        return outcome if loaded_source == source else None

    def discard(self) -> None:
        """End the child and reap it; harmless twice."""
        if self._child is None:
            return
        from signal import SIGKILL

        os.close(self._reader)
        os.kill(self._child, SIGKILL)
        os.waitpid(self._child, 0)
        self._child = None


def _answer(name: str, profile: str | None, writer: int) -> None:
    """Write source and what was loaded, or the error, and end without ceremony."""
    try:
        import pickle

        with os.fdopen(writer, "wb") as pipe:
            pipe.write(pickle.dumps(_source_and_outcome(name, profile)))
    finally:
        # An unexpected error is not shown here: the parent meets it again, and does.
        os._exit(0)


def _source_and_outcome(name: str, profile: str | None) -> tuple[Any, Any]:
    from datetime import datetime, timezone

    from grpcsecure.config.source import Source, read_source

    source = read_source(name)
    if not isinstance(source, Source):
        return None, None
    try:
        return source, _load(source, profile, datetime.now(timezone.utc))
    except GrpcSecureError as error:
        return source, error
