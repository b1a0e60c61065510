"""`grpcsecure explain`: the reason for a decision, and the table of allowed calls."""

from __future__ import annotations

import os
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import click

from grpcsecure.cli.explain_options import CallOptions
from grpcsecure.cli.options import config_or_default, profile_option
from grpcsecure.diagnostics.findings import Finding, Report
from grpcsecure.errors import ConfigError, ExitCode, UnreadableConfigError, UsageError
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from grpcsecure.cli.console import Console
    from grpcsecure.explain.loaded_config import LoadedConfig

__all__ = ["explain"]

FORMATS = ("text", "json", "markdown", "html")


@click.command(
    epilog="""\b
One of --as, --cert and --anonymous names the caller. KIND is spiffe, uri, dns, email,
ip, common_name, organizational_unit, subject, fingerprint or public_key. Several --as
are names in one certificate, which counts as verified if the listener verifies.
--cert and --as fingerprint:… read the certificates of CONFIG; nothing else does.

\b
Examples:
  grpcsecure explain payments.yaml --method /shop.Cart/Add --cert alice.pem
  grpcsecure explain payments.yaml --method /shop.Cart/Add --as dns:ci.corp.test
  grpcsecure explain payments.yaml --method /shop.Cart/Add --anonymous --listener edge
  grpcsecure explain payments.yaml --list --format html > review.html
  grpcsecure explain GS402

\b
Exit codes: 0 allowed on every listener in question, 1 denied, 2 could not do the job:
usage, a config with errors. --list and findings: 0, or 2.""",
)
@click.argument("config", required=False, metavar="[CONFIG | GSnnn]")
@profile_option
@click.option("--method", metavar="M", help="The call: /package.Service/Method.")
@click.option(
    "--as",
    "names",
    multiple=True,
    metavar="KIND:VALUE",
    help="The caller has a certificate with this name; may be repeated.",
)
@click.option("--cert", metavar="PEM", help="The caller has this certificate.")
@click.option("--anonymous", is_flag=True, help="The caller has no certificate.")
@click.option(
    "--listener",
    metavar="L",
    help="The listener of the call; by default every one that serves M.",
)
@click.option(
    "--metadata",
    multiple=True,
    metavar="KEY=VALUE",
    help="Metadata of the call; may be repeated. The value of a -bin key is base64.",
)
@click.option("--list", "list_", is_flag=True, help="Show who may call what.")
@click.option(
    "--no-services",
    is_flag=True,
    help="Do not import the servicers: assume that every method exists.",
)
@click.option(
    "--no-files",
    is_flag=True,
    help="Refuse a question that needs certificates of the config.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="The output format; markdown and html only with --list.",
)
@click.pass_obj
def explain(  # noqa: PLR0913 - the options of the command
    console: Console,
    *,
    config: str | None,
    profile: str | None,
    method: str | None,
    names: tuple[str, ...],
    cert: str | None,
    anonymous: bool,
    listener: str | None,
    metadata: tuple[str, ...],
    list_: bool,
    no_services: bool,
    no_files: bool,
    format_: str,
) -> ExitCode:
    """Show why CONFIG allows or denies a call, or who may call what."""
    options = CallOptions(
        method=method,
        names=names,
        cert=cert,
        anonymous=anonymous,
        listener=listener,
        metadata=metadata,
    )
    _check_format(format_, list_=list_)
    if list_:
        options.refuse("--list")
    elif options == CallOptions():
        return _explain_finding(console, config, format_)
    else:
        options.check()
    if no_files and options.needs_files:
        needing = "--as fingerprint" if options.cert is None else "--cert"
        raise UsageError(f"{needing} and --no-files exclude each other")
    now = datetime.now(timezone.utc)
    try:
        loaded = _load(
            config_or_default(config),
            profile,
            now,
            services=not no_services,
            files=options.needs_files,
        )
    except ConfigError as error:
        from grpcsecure.diagnostics.render import render

        # Findings are not the result of this command, so they go to stderr.
        console.error(render("full", [error.report], color=console.color_stderr))
        return ExitCode.CANNOT
    if list_:
        return _explain_table(console, loaded, format_)
    return _explain_call(console, loaded, options, format_, now)


def _check_format(format_: str, *, list_: bool) -> None:
    if format_ in ("markdown", "html") and not list_:
        raise UsageError(f"--format {format_} is for --list; use text or json here")


def _load(
    name: str, profile: str | None, now: datetime, *, services: bool, files: bool
) -> LoadedConfig:
    """Load the config.

    Raises:
        ConfigError: it has errors, or cannot be read.
        UsageError: no such profile.
    """
    from grpcsecure.config.source import read_source
    from grpcsecure.explain.loaded_config import load_for_explain

    source = read_source(name)
    if isinstance(source, Finding):
        raise UnreadableConfigError(Report(subject=name, findings=(source,)))
    sys.dont_write_bytecode = True  # write nothing, not even for imported modules
    return load_for_explain(
        source,
        profile=profile,
        environ=os.environ,
        now=now,
        with_services=services,
        with_files=files,
    )


def _explain_call(
    console: Console,
    loaded: LoadedConfig,
    options: CallOptions,
    format_: str,
    now: datetime,
) -> ExitCode:
    from grpcsecure.explain.calls import explain_call

    explanation = explain_call(loaded, options.question(loaded), now=now)
    if format_ == "json":
        from grpcsecure.explain.render.explain_json import render_call_json

        console.result(render_call_json(explanation))
    else:
        from grpcsecure.explain.render.call_text import render_call_text

        console.result(render_call_text(explanation, color=console.color_stdout))
    return ExitCode.OK if explanation.is_allowed else ExitCode.BAD


def _explain_table(console: Console, loaded: LoadedConfig, format_: str) -> ExitCode:
    from grpcsecure.explain.render import render_table
    from grpcsecure.explain.table import build_table

    table = build_table(loaded)
    console.result(render_table(format_, table, color=console.color_stdout))
    return ExitCode.OK


def _explain_finding(console: Console, name: str | None, format_: str) -> ExitCode:
    from grpcsecure.diagnostics.lookup import find_kind, nearest_finding
    from grpcsecure.explain.finding import render_finding_text

    kind = None if name is None else find_kind(name)
    is_file = name is not None and os.path.exists(name)  # noqa: PTH110 - Path raises for a long name
    if name is None or name == "-" or (kind is None and is_file):
        raise UsageError(
            "nothing to explain: add --method M, or --list, or name a finding"
            " such as GS402"
        )
    if kind is None:
        similar = nearest_finding(name)
        hint = f", did you mean `{similar}`?" if similar is not None else ""
        raise UsageError(f"no finding and no file is called {quote(name)}{hint}")
    if format_ == "json":
        from grpcsecure.explain.render.explain_json import render_finding_json

        console.result(render_finding_json(kind))
    else:
        console.result(render_finding_text(kind, color=console.color_stdout))
    return ExitCode.OK
