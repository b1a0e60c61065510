"""Start-up on two cores: a child checks the config while this process imports gRPC.

Importing gRPC takes about as long as reading a config with its certificates, and
neither needs the other. The child is a fork that has not seen gRPC, which must not be
forked; it hands back what it loaded, and ends. Invariant: the result is that of
`load_config`, and where it does not come, `load_config` is called here.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
from typing import TYPE_CHECKING

from grpcsecure.errors import GrpcSecureError

if TYPE_CHECKING:
    from datetime import datetime

    from grpcsecure.config.source import Source
    from grpcsecure.server.loading import Loaded

__all__ = ["load_files_ahead"]

#: Characters of a config whose tree takes longer to hand over than to parse.
_LARGE = 64 * 1024


def load_files_ahead(source: Source, *, profile: str | None, now: datetime) -> Loaded:
    """Return what `load_config` returns up to the files; gRPC is imported by then.

    For the command line: the process must be ours alone.

    Raises:
        UsageError: no such profile.
    """
    if _is_worthwhile(source):
        outcome = _load_in_child(source, profile, now)
        if isinstance(outcome, GrpcSecureError):
            raise outcome
        if outcome is not None:
            return outcome
    return _load(source, profile, now)


def _is_worthwhile(source: Source) -> bool:
    return (
        sys.platform == "linux"
        and len(os.sched_getaffinity(0)) > 1
        and len(source.text) < _LARGE
        # A fork has one thread only, and nothing of gRPC works in it.
        and threading.active_count() == 1
        and "grpc" not in sys.modules
    )


def _load(source: Source, profile: str | None, now: datetime) -> Loaded:
    # Imported here, so that the parent does not wait for what the child needs.
    from grpcsecure.server.loading import Phase, load_config

    return load_config(
        source, profile=profile, environ=os.environ, now=now, last=Phase.FILES
    )


def _load_in_child(
    source: Source, profile: str | None, now: datetime
) -> Loaded | GrpcSecureError | None:
    """Return what a child loaded, or its error; None if it did not end well."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(source, profile, now, writer)
    os.close(writer)
    _import_server()
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    try:
        # Written by our own code in our own child, to a pipe that nobody else has.
        outcome: Loaded | GrpcSecureError = pickle.loads(answer)  # noqa: S301
    except (pickle.UnpicklingError, EOFError):
        return None  # it ended before it was done
    return outcome


def _import_server() -> None:
    """Import what serving needs, whatever the config says."""
    import grpcsecure.server.app  # noqa: F401


def _answer(source: Source, profile: str | None, now: datetime, writer: int) -> None:
    """Write what was loaded, or the error, and end the process without ceremony."""
    try:
        outcome: Loaded | GrpcSecureError
        try:
            outcome = _load(source, profile, now)
        except GrpcSecureError as error:
            outcome = error
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(pickle.dumps(outcome))
    finally:
        # An unexpected error is not shown here: the parent meets it again, and does.
        os._exit(0)
