"""Log lines on stderr: one event per line, as text or as JSON."""

from __future__ import annotations

import logging
from datetime import datetime, timezone

from grpcsecure.server.event_text import render_json, render_text

__all__ = ["FORMATS", "LEVELS", "configure_logging"]

FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")

#: The attributes of every log record; all others come from `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
}


def configure_logging(*, format: str, level: str) -> None:  # noqa: A002 - the option's name
    """Send the log records of the process to stderr.

    That includes the warnings and errors of other libraries.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonFormatter() if format == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("grpcsecure").setLevel(level.upper())


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
