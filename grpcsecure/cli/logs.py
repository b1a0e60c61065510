"""Log lines on stderr: one event per line, as text or as JSON.

The events of grpcsecure have a handler of their own. All other records are those of the
user: they go where the user's code sends them, as if Python ran it alone, and to stderr
as well formed lines if it sends them nowhere.
"""

from __future__ import annotations

import logging
import sys
from datetime import datetime, timezone

from grpcsecure.model.authorization import LogFormat
from grpcsecure.model.server_config import LogLevel
from grpcsecure.server.event_text import render_json, render_text

__all__ = ["FORMATS", "LEVELS", "Logs"]

FORMATS = tuple(one.value for one in LogFormat)
LEVELS = tuple(one.value for one in LogLevel)

#: The attributes of every log record; all others come from `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
}

_PACKAGE = "grpcsecure"


class Logs:
    """The logging of a process that serves.

    A user's module may configure logging when it is imported, and a servicer when it is
    created or started. `logging.basicConfig` does nothing if the root logger has a
    handler, so until the server is ready grpcsecure's is only Python's last resort.
    """

    def __init__(self) -> None:
        self._events = logging.StreamHandler()
        self._others = _LastResort()
        self._level = LogLevel.INFO

    def configure(self, *, format: LogFormat, level: LogLevel) -> None:  # noqa: A002 - the option's name
        """Send the events to stderr; may be called again with other settings."""
        formatter = _JsonFormatter() if format is LogFormat.JSON else _TextFormatter()
        for handler in (self._events, self._others):
            handler.setFormatter(formatter)
        self._level = level
        package = logging.getLogger(_PACKAGE)
        package.propagate = False
        if self._events not in package.handlers:
            package.addHandler(self._events)
        package.setLevel(level.value.upper())
        logging.lastResort = self._others

    def restore(self) -> None:
        """Undo what logging configured by the user's code has taken from the events.

        `dictConfig` and `fileConfig` disable the loggers that exist, by default, and
        remove the handlers of those that they name. Handlers that the user's code gives
        to `grpcsecure` take the place of the one here.
        """
        for name, logger in list(logging.root.manager.loggerDict.items()):
            if isinstance(logger, logging.Logger) and _is_of_package(name):
                logger.disabled = False
        package = logging.getLogger(_PACKAGE)
        package.setLevel(self._level.value.upper())
        if package.propagate:  # set by the user: the events go to the root's handlers
            package.removeHandler(self._events)
        elif not package.handlers:
            package.addHandler(self._events)

    def take_rest(self) -> None:
        """From now on, log what the user's code sends nowhere, whoever logs it.

        `logging.warning` would otherwise give the root logger a handler of Python's.
        """
        self.restore()
        root = logging.getLogger()
        if root.level == logging.WARNING:
            for handler in root.handlers[:]:
                if _is_implicit(handler):
                    root.removeHandler(handler)
        if self._others not in root.handlers:
            root.addHandler(self._others)


def _is_of_package(name: str) -> bool:
    return name == _PACKAGE or name.startswith(f"{_PACKAGE}.")


def _is_implicit(handler: logging.Handler) -> bool:
    """Whether it may be the one that Python adds for `logging.warning`."""
    probe = logging.makeLogRecord({"name": "a", "levelname": "B", "msg": "c"})
    return (
        type(handler) is logging.StreamHandler
        and handler.stream is sys.stderr
        and handler.format(probe) == "B:a:c"  # logging.BASIC_FORMAT
    )


class _LastResort(logging.StreamHandler):  # type: ignore[type-arg] # not generic in Python 3.10
    """Logs the records that have no handler of the user's, as Python's own does."""

    def emit(self, record: logging.LogRecord) -> None:
        if not self._is_handled(record):
            super().emit(record)

    def _is_handled(self, record: logging.LogRecord) -> bool:
        logger: logging.Logger | None = logging.getLogger(record.name)
        while logger is not None:
            for handler in logger.handlers:
                # Libraries add a `NullHandler`, which sends a record nowhere.
                if handler is not self and not isinstance(handler, logging.NullHandler):
                    return True
            logger = logger.parent if logger.propagate else None
        return False


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _time(record: logging.LogRecord) -> datetime:
    """Return the time of a record in UTC, so that lines of several machines compare."""
    return datetime.fromtimestamp(record.created, timezone.utc)


class _TextFormatter(logging.Formatter):
    """Formats a record as `time event  key=value …`, with the level of warnings."""

    def format(self, record: logging.LogRecord) -> str:
        line = record.getMessage()
        if record.levelno >= logging.WARNING:
            line = f"{record.levelname.lower()}: {line}"
        time = _time(record).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields = _fields(record)
        traceback = fields.pop("traceback", None)
        text = f"{time} {render_text(line, fields)}"
        if traceback is not None:  # without values that no line may show
            text += f"\n{traceback}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


class _JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return render_json(line)
