"""What a system lacks, in the reader's words: descriptors, threads, memory, a folder.

The libraries report these as exceptions of many types, in the middle of other work.
"""

from __future__ import annotations

import _thread
import errno
import os
import resource

__all__ = ["describe_shortage", "find_shortage"]

#: Descriptors and threads that a server needs until it is ready, with the bridge.
_DESCRIPTORS = 32
_THREADS = 12


def describe_shortage(error: BaseException) -> str | None:
    """Return what the system lacks if that is the cause of `error`, or None."""
    text = str(error).lower()
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EMFILE, errno.ENFILE) or "too many open files" in text:
        return _describe_few_descriptors()
    if "can't start new thread" in text or number == errno.EAGAIN:
        return (
            "no further thread or process can be started: raise the limit"
            " (`ulimit -u`, `TasksMax=` in a unit, the pids limit of a container)"
        )
    if "write+execute memory" in text:
        return (
            "memory that is writable and executable is forbidden here, and cffi, which"
            " pyOpenSSL uses, needs it: remove `MemoryDenyWriteExecute=` from the unit"
        )
    if isinstance(error, MemoryError) or number == errno.ENOMEM:
        return "out of memory: raise the limit (`ulimit -v`, `MemoryMax=` in a unit)"
    if isinstance(error, FileNotFoundError) and _is_folder_gone():
        return "the working directory has been deleted: change to another one"
    return None


def find_shortage() -> str | None:
    """Return what the system lacks to serve, or None.

    gRPC core aborts the process if it gets no descriptor for itself, and waits for ever
    if it gets no thread.
    """
    return _find_few_descriptors() or _find_few_threads()


def _find_few_descriptors() -> str | None:
    opened: list[int] = []
    try:
        opened.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(_DESCRIPTORS))
    except OSError as error:
        return describe_shortage(error)
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return None


def _find_few_threads() -> str | None:
    gate = _thread.allocate_lock()

    def wait() -> None:
        with gate:
            pass

    with gate:
        try:
            for _ in range(_THREADS):
                # `threading.Thread` waits for each to begin, which takes ten times as
                # long.
                _thread.start_new_thread(wait, ())
        except RuntimeError as error:
            return describe_shortage(error)
    return None


def _describe_few_descriptors() -> str:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return (
        f"too many open files: the limit is {limit}; raise it (`ulimit -n`,"
        " `LimitNOFILE=` in a unit)"
    )


def _is_folder_gone() -> bool:
    try:
        os.getcwd()  # noqa: PTH109 - light
    except OSError:
        return True
    return False
