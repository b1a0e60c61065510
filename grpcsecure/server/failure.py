"""Calls the callback of the program that embeds a server when a listener is lost."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["report_failure"]


def report_failure(on_failure: Callable[[str], None] | None, reason: str) -> None:
    """Call `on_failure` on a new thread.

    This function runs on the thread of the bridge's supervisor or on the event loop.
    `Server.stop` waits for both, so `on_failure` could not call it there.
    """
    if on_failure is None:
        return
    thread = threading.Thread(
        target=on_failure, args=(reason,), name="grpcsecure-failure", daemon=True
    )
    try:
        thread.start()
    except RuntimeError:  # no threads left, which may be the failure itself
        on_failure(reason)
