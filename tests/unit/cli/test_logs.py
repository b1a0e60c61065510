"""Log lines, as text and as JSON."""

from __future__ import annotations

import json
import logging
import re

import pytest

from grpcsecure.cli.logs import Logs
from grpcsecure.model.authorization import LogFormat
from grpcsecure.model.server_config import LogLevel

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")


def timeless(lines):
    """Return text lines without the time that each begins with."""
    assert all(TIME.match(line) for line in lines)
    return [TIME.sub("", line) for line in lines]


@pytest.fixture(name="logged")
def _logged(capsys):
    """Configure logging as `serve` does; return a function that reads the lines."""
    root, package = logging.getLogger(), logging.getLogger("grpcsecure")
    before = root.level, package.level, logging.lastResort
    handlers = []

    def start(**options):
        # Handlers of pytest's would be taken for the user's.
        handlers.extend(root.handlers)
        root.handlers.clear()
        logs = Logs()
        options = {"format": "text", "level": "info", **options}
        logs.configure(
            format=LogFormat(options["format"]), level=LogLevel(options["level"])
        )
        logs.take_rest()

        def lines():
            return capsys.readouterr().err.splitlines()

        return lines

    yield start
    root.handlers[:] = handlers
    package.handlers.clear()
    package.propagate = True
    root.setLevel(before[0])
    package.setLevel(before[1])
    logging.lastResort = before[2]


LOGGER = logging.getLogger("grpcsecure.server")


def test_text_is_event_and_fields(logged):
    """Each event is one line with its time; the level is shown from warnings on."""
    lines = logged()
    LOGGER.info("server.draining", extra={"reason": "SIGTERM", "grace": "30s"})
    LOGGER.warning("server.cutting", extra={"reason": "second signal"})
    assert timeless(lines()) == [
        "server.draining  reason=SIGTERM  grace=30s",
        "warning: server.cutting  reason=second signal",
    ]


def test_json_is_one_object_a_line(logged):
    """Each line has time, level, logger and event; a traceback is a field."""
    lines = logged(format="json")
    LOGGER.info("server.started", extra={"addresses": {"public": "127.0.0.1:1"}})
    try:
        int("on purpose\n")
    except ValueError:
        LOGGER.exception("failed")
    started, failed = map(json.loads, lines())
    assert started.pop("time").endswith("+00:00")
    assert started == {
        "level": "info",
        "logger": "grpcsecure.server",
        "event": "server.started",
        "addresses": {"public": "127.0.0.1:1"},
    }
    assert failed["level"] == "error"
    assert failed["traceback"].startswith("Traceback (most recent")


@pytest.mark.parametrize(
    "character",
    ["\x00", "\n", "\x7f", "\x85", "\x9b", "\u200e", "\u202e", "\u2069", "\U000e0001"],
    ids=ascii,
)
def test_json_escapes_control_characters_only(logged, character):
    """No value rearranges the text of a line; names in any script stay readable."""
    lines = logged(format="json")
    subject = f"CN=Zoë 日本 🙂{character}x"
    LOGGER.info("handshake.refused", extra={"subject": subject})
    (line,) = lines()
    assert line.isprintable()
    assert "Zoë 日本 🙂" in line
    assert json.loads(line)["subject"] == subject


def test_level_applies_to_grpcsecure_only(logged):
    """--log-level is for grpcsecure's events; other libraries log from warnings on."""
    lines = logged(level="error")
    LOGGER.warning("dropped")
    logging.getLogger("some.library").info("dropped")
    logging.getLogger("some.library").warning("logged")
    assert timeless(lines()) == ["warning: logged"]


def test_one_event_is_one_line(logged):
    """A value cannot forge another event or another field."""
    lines = logged()
    LOGGER.info("handshake.refused", extra={"subject": "CN=x\nserver.started  y=1"})
    assert timeless(lines()) == [
        r"handshake.refused  subject=CN=x\nserver.started \x20y=1"
    ]


def test_traceback_follows_its_event(logged):
    """In text format, a traceback is shown below its event as Python shows it."""
    lines = logged()
    try:
        int("x")
    except ValueError:
        LOGGER.exception("failed", extra={"method": "/a.B/C"})
    written = lines()
    assert timeless(written[:1]) == ["error: failed  method=/a.B/C"]
    assert written[1] == "Traceback (most recent call last):"
    assert written[-1].startswith("ValueError: ")


def test_time_is_that_of_the_record_in_utc(logged):
    """A line has the moment of its event, not that of its writing."""
    lines = logged()
    parts = {"msg": "failed", "levelno": logging.INFO, "created": 1790000000.25}
    record = logging.makeLogRecord(parts)
    logging.getLogger().handle(record)
    assert lines() == ["2026-09-21T14:13:20.250Z failed"]


def test_record_with_a_handler_of_the_users_is_left_to_it(logged, tmp_path):
    """Records of a logger with a handler are not logged twice; NullHandler is none."""
    lines = logged()
    library = logging.getLogger("a.library.that.is.silent")
    library.addHandler(logging.NullHandler())
    own = logging.getLogger("a.logger.with.a.file")
    own.addHandler(logging.FileHandler(tmp_path / "own.log"))
    library.warning("of the library")
    own.warning("own")
    own.getChild("below").warning("below")
    assert timeless(lines()) == ["warning: of the library"]
    assert (tmp_path / "own.log").read_text() == "own\nbelow\n"


def test_traceback_as_a_field_follows_its_event(logged):
    """A traceback without secrets is a field; in text format it is shown below."""
    lines = logged()
    LOGGER.error("failed", extra={"traceback": "Traceback:\nValueError: …"})
    written = lines()
    assert timeless(written[:1]) == ["error: failed"]
    assert written[1:] == ["Traceback:", "ValueError: …"]
