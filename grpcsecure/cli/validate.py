"""`grpcsecure validate`: check configs, in CI and before a restart."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from grpcsecure.checking.pipeline import Phase
from grpcsecure.cli.config_checks import CheckOptions, ConfigChecks
from grpcsecure.cli.options import config_or_default, profile_option
from grpcsecure.config.source import read_source
from grpcsecure.diagnostics.findings import Finding, Report
from grpcsecure.diagnostics.ignore import Draft, Ignores, make_reports
from grpcsecure.diagnostics.render import FORMATS, render
from grpcsecure.errors import ExitCode, KeyMaterialError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grpcsecure.cli.console import Console
    from grpcsecure.config.source import Source
    from grpcsecure.model.peer import Certificate

__all__ = ["validate"]

#: The formats that code hosts read: their paths start at the top of the repository.
_WITH_REPOSITORY_PATHS = ("github", "sarif")


@click.command(
    epilog="""\b
Phases: YAML, schema, cross-field, files, services, policy tests. The check ends after
the first phase with errors.
User code is imported (unless --no-services), but never called. Nothing is bound or
written: it is safe beside a running server.

\b
Examples:
  grpcsecure validate payments.yaml
  grpcsecure validate --all-profiles --strict configs/*.yaml
  grpcsecure validate --no-files --format github payments.yaml
  grpcsecure validate --print-config --profile dev payments.yaml

\b
Exit codes: 0 no errors, 1 errors, 2 usage or unreadable config.""",
)
@click.argument("configs", nargs=-1, metavar="[CONFIG]...")
@profile_option
@click.option(
    "--all-profiles", is_flag=True, help="Check without a profile and with each one."
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default="full",
    show_default=True,
    help="How findings are printed.",
)
@click.option(
    "--strict",
    is_flag=True,
    help="Count warnings as errors; but a profile that says `production: false` itself"
    " may have those that production turns into errors.",
)
@click.option(
    "--ignore",
    multiple=True,
    metavar="CODE",
    help="Leave out warnings of this code; may be repeated.",
)
@click.option(
    "--syntax-only",
    is_flag=True,
    help="Check only the config file, not the files and services that it names.",
)
@click.option(
    "--no-files",
    is_flag=True,
    help="Read no certificates, keys, CRLs or values of `${file:PATH}`; check all else,"
    " rules and policy tests included.",
)
@click.option("--no-services", is_flag=True, help="Do not import the servicers.")
@click.option(
    "--previous",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    metavar="FILE",
    help="Warn about client CAs in FILE (PEM), and certificates in use, that are no"
    " longer accepted; may be repeated.",
)
@click.option(
    "--print-config",
    is_flag=True,
    help="Print the effective config with its defaults, without secrets.",
)
@click.pass_obj
def validate(  # noqa: PLR0913 - the options of the command
    console: Console,
    *,
    configs: tuple[str, ...],
    profile: str | None,
    all_profiles: bool,
    format_: str,
    strict: bool,
    ignore: tuple[str, ...],
    syntax_only: bool,
    no_files: bool,
    no_services: bool,
    previous: tuple[Path, ...],
    print_config: bool,
) -> ExitCode:
    """Check each CONFIG (`-` is stdin) and report its errors and warnings."""
    if profile is not None and all_profiles:
        if not _is_from_environment("profile"):
            raise UsageError("--profile and --all-profiles exclude each other")
        profile = None
    if print_config and format_ != "full":
        raise UsageError(f"--print-config and --format {format_} exclude each other")
    for option, is_given in (("--syntax-only", syntax_only), ("--no-files", no_files)):
        if previous and is_given:
            raise UsageError(f"--previous and {option} exclude each other")
    sys.dont_write_bytecode = True  # write nothing, not even for imported modules
    ignores = Ignores(ignore)
    names = configs or (config_or_default(None),)
    options = CheckOptions(
        last=_last_phase(syntax_only=syntax_only, no_services=no_services),
        files=not (no_files or syntax_only),
        all_profiles=all_profiles,
        print_config=print_config,
        previous=tuple(one for path in previous for one in _read_previous(path)),
    )
    run = _ValidateRun(ConfigChecks(options, several=len(names) > 1), profile)
    for name in names:
        run.check(name)
    reports = make_reports(run.drafts, ignores=ignores, strict=strict)
    if print_config:
        _print_config(console, run.effective, reports)
    else:
        if format_ in _WITH_REPOSITORY_PATHS:
            from grpcsecure.cli.repository_paths import relative_to_repository

            reports = tuple(relative_to_repository(one, os.environ) for one in reports)
        console.result(render(format_, reports, color=console.color_stdout))
    return ExitCode.CANNOT if run.is_unreadable else _exit_code(reports)


def _is_from_environment(option: str) -> bool:
    source = click.get_current_context().get_parameter_source(option)
    return source is ParameterSource.ENVIRONMENT


def _last_phase(*, syntax_only: bool, no_services: bool) -> Phase:
    if syntax_only:
        return Phase.CROSS_FIELD
    return Phase.FILES if no_services else Phase.POLICY_TESTS


def _read_previous(path: Path) -> tuple[Certificate, ...]:
    from grpcsecure.checking.key_files.previous import read_previous

    try:
        return read_previous(path)
    except KeyMaterialError as error:
        raise UsageError(f"--previous: {error}") from None


@dataclass
class _ValidateRun:
    """The checks of one command, and their results."""

    checks: ConfigChecks
    profile: str | None
    drafts: list[Draft] = field(default_factory=list)
    #: The effective configs, with --print-config.
    effective: list[str] = field(default_factory=list)
    #: Whether one of the configs could not be read as text.
    is_unreadable: bool = False

    def check(self, name: str) -> None:
        """Check one config, once for each requested profile."""
        source = read_source(name)
        if isinstance(source, Finding):
            self.is_unreadable = True
            report = Report(subject=name, findings=(source,))
            self.drafts.append(Draft(report=report, complete=False))
            return
        for profile in self._profiles(source):
            checked = self.checks.check(source, profile)
            self.drafts.append(checked.draft)
            if checked.effective is not None:
                self.effective.append(checked.effective)

    def _profiles(self, source: Source) -> Iterator[str | None]:
        yield self.profile
        if self.checks.options.all_profiles:
            from grpcsecure.config.load import read_profile_names

            yield from read_profile_names(source)


def _print_config(
    console: Console, configs: Sequence[str], reports: Sequence[Report]
) -> None:
    """Print the configs to stdout, and their findings to stderr."""
    if configs:
        console.result("---\n".join(configs))
    if any(report.findings for report in reports):
        console.error(render("full", reports, color=console.color_stderr))


def _exit_code(reports: Sequence[Report]) -> ExitCode:
    findings = [finding for report in reports for finding in report.findings]
    return (
        ExitCode.BAD if any(finding.is_error for finding in findings) else ExitCode.OK
    )
