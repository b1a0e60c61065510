"""The user's own logging under `serve`: respected, and no event of grpcsecure lost."""

from __future__ import annotations

import json
import logging
import textwrap

import grpc
import pytest
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.bridge import eventually
from support.process import run, serving, write_config
from support.servers import greeting_of

import grpcsecure
from grpcsecure.cli.logs import FORMATS, LEVELS

#: A module that logs when it is imported, created and called; the setup comes first.
MODULE = """
import logging
import logging.config

from support.services import GreeterServicer, reply

{setup}
LOGGER = logging.getLogger("shop.orders")
LOGGER.warning("imported")

class Greeter(GreeterServicer):
    def __init__(self):
        LOGGER.warning("created")

    def SayHello(self, request, context):
        LOGGER.info("called quietly")
        LOGGER.warning("called")
        logging.warning("by the root logger")
        return reply("hi")
"""

#: What a module may do at import, the line that "called" then is, and where.
SETUPS = {
    "nothing": ("", "Z warning: called", "stderr"),
    "basicConfig": (
        "logging.basicConfig(format='MINE %(message)s')",
        "MINE called",
        "stderr",
    ),
    "basicConfig to a file": (
        "logging.basicConfig(filename='mine.log', format='MINE %(message)s')",
        "MINE called",
        "mine.log",
    ),
    "a record before anything is configured": (
        "logging.warning('early')",
        "Z warning: called",
        "stderr",
    ),
    "a handler of the root logger": (
        """
        handler = logging.FileHandler("mine.log")
        logging.getLogger().addHandler(handler)
        """,
        "called",
        "mine.log",
    ),
    "a handler of the own logger": (
        """
        handler = logging.FileHandler("mine.log")
        logging.getLogger("shop").addHandler(handler)
        """,
        "called",
        "mine.log",
    ),
    "dictConfig that disables all loggers": (
        """
        mine = {"class": "logging.FileHandler", "filename": "mine.log"}
        logging.config.dictConfig({
            "version": 1,
            "formatters": {"mine": {"format": "MINE %(message)s"}},
            "handlers": {"file": {**mine, "formatter": "mine"}},
            "root": {"handlers": ["file"], "level": "WARNING"},
        })
        """,
        "MINE called",
        "mine.log",
    ),
}


@pytest.fixture(name="config")
def _config(tmp_path):
    """A function that writes the module with a setup, and its config."""

    def write(setup, **block):
        (tmp_path / "shop.py").write_text(MODULE.format(setup=textwrap.dedent(setup)))
        path = write_config(tmp_path / "server.json", "shop:Greeter")
        config = json.loads(path.read_text())
        path.write_text(json.dumps({**config, **block}))
        return path

    return write


def call(server):
    """Call a running server."""
    with grpc.insecure_channel(server.addresses["public"]) as channel:
        greeting_of(GreeterStub(channel))


@pytest.mark.parametrize("name", SETUPS)
def test_users_logging_is_respected(config, tmp_path, name):
    """Records go where the user sends them, once; so do events, to stderr."""
    setup, line, target = SETUPS[name]
    with serving(config(setup), cwd=tmp_path) as server:
        call(server)
        server.signal()
        assert server.wait() == 0
        files = {
            "stderr": server.stderr,
            "mine.log": (tmp_path / "mine.log").read_text()
            if (tmp_path / "mine.log").exists()
            else "",
        }
    lines = [each for text in files.values() for each in text.splitlines()]
    for event in ("imported", "created", "called", "by the root logger"):
        assert len([each for each in lines if each.endswith(event)]) == 1, lines
    (found,) = [each for each in files[target].splitlines() if each.endswith("called")]
    assert found.endswith(line)
    assert not any("quietly" in each for each in lines)
    events = [each for each in lines if "server.draining" in each]
    assert len(events) == 1
    assert "Z server.draining  reason=SIGTERM" in files["stderr"]


def test_user_takes_the_events(config, tmp_path):
    """Handlers that the user gives to `grpcsecure` take the place of stderr."""
    setup = """
        logging.config.dictConfig({
            "version": 1,
            "handlers": {"file": {"class": "logging.FileHandler",
                                  "filename": "events.log"}},
            "loggers": {"grpcsecure": {"handlers": ["file"]}},
        })
        """
    with serving(config(setup), cwd=tmp_path) as server:
        server.signal()
        assert server.wait() == 0
        assert "server.draining" not in server.stderr
    assert (tmp_path / "events.log").read_text().splitlines() == ["server.draining"]


def test_user_sends_the_events_to_the_root(config, tmp_path):
    """With `propagate` set, events go to the user's handlers, and not to stderr too."""
    setup = """
        logging.basicConfig(format="ALL %(message)s")
        logging.getLogger("grpcsecure").propagate = True
        """
    with serving(config(setup), cwd=tmp_path) as server:
        server.signal()
        assert server.wait() == 0
        assert server.stderr.count("server.draining") == 1
        assert "ALL server.draining" in server.stderr


def test_levels_of_loggers(config, tmp_path):
    """`logging.levels` shows what the user's logger hides, and changes live."""
    setup = "logging.getLogger('shop').setLevel('ERROR')"
    path = config(setup, logging={"levels": {"shop": "info"}})
    with serving(path, cwd=tmp_path) as server:
        call(server)
        assert "Z called quietly" in server.stderr
        path.write_text(
            path.read_text().replace('{"shop": "info"}', '{"root": "error"}')
        )
        eventually(lambda: "reload.applied" in server.stderr)
        assert "changed=log levels (root error, - shop)" in server.stderr
        call(server)
        server.signal()
        assert server.wait() == 0
        assert server.stderr.count("called quietly") == 1
        assert server.stderr.count("by the root logger") == 1


def test_format_and_level_of_the_config(config, tmp_path):
    """They are the defaults of `--log-format` and `--log-level`."""
    path = config("", logging={"format": "json", "level": "error"})
    for arguments, expected in (
        ([], []),
        (["--log-level", "info"], ["server.started", "server.draining"]),
    ):
        with serving(path, *arguments, cwd=tmp_path) as server:
            server.signal()
            assert server.wait() == 0
            lines = server.stderr.splitlines()
        # gRPC core may write lines of its own.
        records = [json.loads(line) for line in lines if line.startswith("{")]
        events = [one["event"] for one in records if one["logger"] != "shop.orders"]
        assert events == expected
    with serving(path, "--log-format", "text", cwd=tmp_path) as server:
        server.signal()
        assert server.wait() == 0
        assert "Z warning: created" in server.stderr


def test_embedded_server_sets_levels_only(config, tmp_path, monkeypatch):
    """A program that embeds the server keeps its handlers; it gets the levels."""
    monkeypatch.chdir(tmp_path)
    path = config("", logging={"format": "json", "levels": {"shop.embedded": "debug"}})
    before = logging.getLogger().handlers[:], logging.lastResort
    with grpcsecure.load(path):
        assert logging.getLogger("shop.embedded").level == logging.DEBUG
        assert (logging.getLogger().handlers, logging.lastResort) == before
        assert logging.getLogger("grpcsecure").handlers == []


def test_schema_has_the_levels_and_formats():
    """The schema and the command line offer the same ones."""
    schema = json.loads(run("schema").stdout)["$defs"]["logging"]["properties"]
    assert tuple(schema["format"]["enum"]) == FORMATS
    assert tuple(schema["level"]["enum"]) == LEVELS
    assert tuple(schema["levels"]["additionalProperties"]["enum"]) == LEVELS
