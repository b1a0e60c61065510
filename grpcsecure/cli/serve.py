"""`grpcsecure serve`: load, check, bind, serve until a signal."""

from __future__ import annotations

import gc
import json
import logging
import os
import time
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.decorators import pass_meta_key

from grpcsecure.cli.banner import banner_fields, is_warning, render_banner
from grpcsecure.cli.commands import SESSION
from grpcsecure.cli.logs import FORMATS, LEVELS, Logs
from grpcsecure.cli.options import config_or_default, profile_option
from grpcsecure.cli.shortages import find_shortage
from grpcsecure.diagnostics.findings import Finding, Report
from grpcsecure.errors import (
    BindError,
    ConfigError,
    ExitCode,
    StartupError,
    UnreadableConfigError,
    UsageError,
)
from grpcsecure.model.authorization import LogFormat
from grpcsecure.model.server_config import LoggingSettings, LogLevel
from grpcsecure.model.units import render_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.cli.commands import Session
    from grpcsecure.cli.console import Console
    from grpcsecure.server.app import Server

__all__ = ["serve"]

_LOGGER = logging.getLogger("grpcsecure.server")


@click.command(
    epilog="""\b
Examples:
  grpcsecure serve payments.yaml
  grpcsecure serve payments.yaml --profile dev
  grpcsecure serve - < payments.yaml

\b
SIGTERM and SIGINT drain: health reports NOT_SERVING, after `server.drain_delay` new
calls are refused, running ones get `server.shutdown_grace`. A second signal cuts them.

\b
Exit codes: 0 drained, 1 findings, 2 usage, unreadable config, or a listener that
could no longer be served, 3 start-up failed (bind, service), 4 calls were cut.""",
)
@click.argument("config", required=False)
@profile_option
@click.option(
    "--log-format",
    type=click.Choice(FORMATS),
    help="The format of log lines; by default that of the config, or text.",
)
@click.option(
    "--log-level",
    type=click.Choice(LEVELS),
    help="The lowest level that is logged; by default that of the config, or info.",
)
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="Write the addresses to this file (JSON) once the server is ready.",
)
@click.option(
    "--client-command",
    metavar="TEXT",
    help="Show this command when ready; {NAME} is the address of listener NAME.",
)
@pass_meta_key(SESSION)
@click.pass_obj
def serve(  # noqa: PLR0913 - the options of the command
    console: Console,
    session: Session,
    *,
    config: str | None,
    profile: str | None,
    log_format: str | None,
    log_level: str | None,
    ready_file: Path | None,
    client_command: str | None,
) -> ExitCode:
    """Serve the services of CONFIG over its listeners."""
    started = time.perf_counter()
    if ready_file == Path():  # such as from an unset shell variable
        raise UsageError("--ready-file: the path is empty")
    has_sockets = "LISTEN_PID" in os.environ
    if has_sockets:  # before user code is imported, which may start processes
        from grpcsecure.server.runtime.inherited_sockets import inherited_sockets

        inherited_sockets()
    shortage = find_shortage()
    if shortage is not None:
        raise StartupError(shortage)
    logs = _ServeLogs(log_format, log_level)
    obstacle = None if ready_file is None else _why_not_writable(ready_file)
    if obstacle is not None:  # found before anything listens
        console.error(f"error: cannot write the ready file `{ready_file}`: {obstacle}")
        return ExitCode.STARTUP
    try:
        server = _load(config_or_default(config), profile, logs)
    except ConfigError as error:
        from grpcsecure.diagnostics.render import render

        console.result(render("full", [error.report], color=console.color_stdout))
        return error.exit_code
    run = _ServeRun(console, server, started, ready_file, client_command)
    run.has_sockets = has_sockets
    try:
        return run.until_it_ends(logs)
    except StartupError as error:
        _show_startup_error(console, error)
        return error.exit_code
    finally:
        session.has_cut = run.has_cut


def _load(name: str, profile: str | None, logs: _ServeLogs) -> Server:
    """Load and check the config, and return its server.

    Raises:
        ConfigError: the config has errors, or cannot be read.
        UsageError: no such profile.
    """
    now = datetime.now(timezone.utc)
    with _kept_from_collection():
        from grpcsecure.checking.pipeline import Phase, load_config, load_services
        from grpcsecure.config.source import read_source
        from grpcsecure.server.app import make_server

        source = read_source(name)
        if isinstance(source, Finding):
            raise UnreadableConfigError(Report(subject=name, findings=(source,)))
        loaded = load_config(
            source, profile=profile, environ=os.environ, now=now, last=Phase.FILES
        )
    if loaded.document is not None:
        logs.use(loaded.document.config.logging)
    try:
        return make_server(load_services(loaded, now=now), environ=os.environ)
    finally:
        logs.restore()  # the user's modules have been imported


@contextmanager
def _kept_from_collection() -> Iterator[None]:
    """Exempt from garbage collection what is loaded inside.

    The libraries and the config stay as long as the process runs. The user's own
    modules are imported later, and are collected as in any other process.
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


class _ServeLogs(Logs):
    """The logging of `serve`: its options count more than the config."""

    def __init__(self, format: str | None, level: str | None) -> None:  # noqa: A002 - the option's name
        super().__init__()
        self._format_option = format
        self._level_option = level
        self.is_json = False
        self.use(LoggingSettings())

    def use(self, settings: LoggingSettings) -> None:
        """Configure logging by the options and the `logging` block."""
        format_ = LogFormat(self._format_option or settings.format.value)
        self.is_json = format_ is LogFormat.JSON
        self.configure(
            format=format_, level=LogLevel(self._level_option or settings.level.value)
        )


class _ServeRun:
    """One run of the server, with its messages, log lines and ready file."""

    def __init__(
        self,
        console: Console,
        server: Server,
        started: float,
        ready_file: Path | None,
        client_command: str | None,
    ) -> None:
        self._console = console
        self._server = server
        self._started = started
        self._ready_file = ready_file
        self._client_command = client_command
        self._logs: _ServeLogs
        self._has_written = False
        #: Whether systemd has passed sockets.
        self.has_sockets = False
        #: Whether calls were cut.
        self.has_cut = False

    def until_it_ends(self, logs: _ServeLogs) -> ExitCode:
        """Serve until a signal, or until a listener can no longer be served.

        Returns OK, CUT if calls were cut, or CANNOT if a listener failed.
        """
        from grpcsecure.server.lifecycle import run

        self._logs = logs
        try:
            return run(
                self._server,
                on_ready=self._ready,
                on_drain=self._drain,
                on_cut=self._cut,
            )
        finally:
            # If this server never started, the file may be that of another server.
            if self._ready_file is not None and self._has_written:
                self._ready_file.unlink(missing_ok=True)

    def _ready(self) -> None:
        elapsed = time.perf_counter() - self._started
        fields = banner_fields(self._server, elapsed=elapsed)
        self._logs.take_rest()
        if self._logs.is_json:
            _LOGGER.info("server.started", extra=fields)
        else:
            now = datetime.now(timezone.utc)
            for line in render_banner(self._server, fields, now=now):
                if is_warning(line):
                    self._console.error(line)  # shown even if quiet
                else:
                    self._console.narrate(line)
            if self._client_command is not None:
                self._console.narrate(f"try       {self._command()}")
        if self._ready_file is not None:
            text = json.dumps(fields, indent=2, default=str) + "\n"
            _write_whole(self._ready_file, text)
            self._has_written = True
        if self.has_sockets:
            _report_unused_sockets()

    def _command(self) -> str:
        """Fill in the addresses; keep all other braces (JSON, shell) as they are."""
        command = self._client_command or ""
        for name, address in self._server.addresses.items():
            command = command.replace(f"{{{name}}}", address)
        return command

    def _drain(self, reason: str) -> None:
        _LOGGER.info(
            "server.draining",
            extra={
                "reason": reason,
                "grace": render_duration(self._server.config.server.shutdown_grace),
                "delay": render_duration(self._server.config.server.drain_delay),
            },
        )

    def _cut(self, reason: str) -> None:
        self.has_cut = True
        _LOGGER.warning("server.cutting", extra={"reason": reason})


def _report_unused_sockets() -> None:
    from grpcsecure.server.runtime.inherited_sockets import inherited_sockets

    unused = inherited_sockets().unused
    if unused:
        _LOGGER.warning("sockets.unused", extra={"names": ", ".join(unused)})


def _why_not_writable(path: Path) -> str | None:
    from grpcsecure.checking.writable import why_not_creatable

    return "it is a directory" if path.is_dir() else why_not_creatable(path)


def _write_whole(path: Path, text: str) -> None:
    """Write `path` atomically, so that readers never see an incomplete file.

    Raises:
        StartupError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StartupError(f"cannot write the ready file `{path}`: {reason}") from None


def _show_startup_error(console: Console, error: StartupError) -> None:
    console.error(f"error: {error}")
    # The cause of a BindError is an exception of grpcio; otherwise of the user's code.
    if error.__cause__ is not None and not isinstance(error, BindError):
        from grpcsecure.server.services.user_code import CreationError, user_traceback

        arguments = error.arguments if isinstance(error, CreationError) else None
        console.error(user_traceback(error.__cause__, arguments))
