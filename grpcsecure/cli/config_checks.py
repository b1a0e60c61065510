"""The checks of `validate`: each config, with each requested profile.

Modules of one config must not take the place of modules of the next one: in a
repository with several services, each may have a `service.py` and a `service_pb2.py`.
So a config that searches its servicers elsewhere than the first one is checked in a
process of its own.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.checking.pipeline import Phase, load_config
from grpcsecure.errors import GrpcSecureError
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from typing import IO

    from grpcsecure.config.source import Source
    from grpcsecure.diagnostics.ignore import Draft
    from grpcsecure.model.peer import Certificate

__all__ = ["CheckOptions", "CheckedConfig", "ConfigChecks", "answer_request"]


class CheckOptions(NamedTuple):
    """What to check of every config: see the options of `validate`."""

    last: Phase
    files: bool = True
    all_profiles: bool = False
    print_config: bool = False
    previous: tuple[Certificate, ...] = ()


class CheckedConfig(NamedTuple):
    """The findings about a config, and its effective text if it was asked for."""

    draft: Draft
    effective: str | None = None


@dataclass(slots=True)
class ConfigChecks:
    """Runs the checks, in this process or in others; `several` configs may follow."""

    options: CheckOptions
    several: bool
    #: The search path of modules and the environment, before any module of a user.
    _path: tuple[str, ...] = field(default_factory=lambda: tuple(sys.path))
    _environ: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    #: Where the servicers were searched that this process may have imported.
    _searched: tuple[str, ...] | None = None

    def check(self, source: Source, profile: str | None) -> CheckedConfig:
        """Check one config with one profile.

        Raises:
            UsageError: no such profile.
            GrpcSecureError: a module of the config ended the process of its check.
        """
        if self.several and self.options.last is Phase.POLICY_TESTS:
            wanted = self._import_paths(source, profile)
            if wanted is not None and self._searched not in (None, wanted):
                return self._check_elsewhere(source, profile)
            self._searched = self._searched if wanted is None else wanted
        return _check(source, profile, self.options)

    def _import_paths(
        self, source: Source, profile: str | None
    ) -> tuple[str, ...] | None:
        """Return where a config searches its servicers; None if it has errors."""
        loaded = load_config(
            source,
            profile=profile,
            environ=os.environ,
            now=datetime.now(timezone.utc),
            last=Phase.CROSS_FIELD,
            files=self.options.files,
        )
        if loaded.document is None or loaded.failed is not None:
            return None
        return tuple(map(str, loaded.document.config.server.import_paths))

    def _check_elsewhere(self, source: Source, profile: str | None) -> CheckedConfig:
        """Check a config in a process of its own."""
        import pickle
        import subprocess

        reading, writing = os.pipe()
        # -I: neither the current directory nor PYTHONPATH comes before the path that
        # this process has. The config's folders are added last, as always.
        command = [sys.executable, "-I", "-B", "-c", _CODE, str(writing), *self._path]
        process = subprocess.Popen(  # noqa: S603 - this Python, with our own code
            command, stdin=subprocess.PIPE, pass_fds=(writing,), env=self._environ
        )
        os.close(writing)
        try:
            with os.fdopen(reading, "rb") as results:
                _send(process.stdin, (source, profile, self.options))
                result = pickle.load(results)  # noqa: S301 - from our own code
        except (EOFError, pickle.UnpicklingError):
            code = process.wait()
            raise GrpcSecureError(
                f"the process that checks {quote(source.name)} ended early (exit code"
                f" {code}): a module of its services ends it"
            ) from None
        finally:
            process.kill()
            process.wait()
        if isinstance(result, CheckedConfig):
            return result
        raise RuntimeError(result)


def _send(stream: IO[bytes] | None, request: object) -> None:
    import pickle

    assert stream is not None  # noqa: S101 - it is a pipe
    try:
        with stream:
            pickle.dump(request, stream)
    except BrokenPipeError:  # the process has ended; its result says so
        return


#: The program of the other process: takes over the search path, then the request.
_CODE = """\
import sys
sys.path[:] = sys.argv[2:]
from grpcsecure.cli.config_checks import answer_request
answer_request(int(sys.argv[1]))
"""


def answer_request(descriptor: int) -> None:
    """Check the config that standard input has, and write the result.

    The other process ends this one then, even if a module of the user has started a
    thread that never ends.
    """
    import pickle

    # Processes that a module of the user starts must not hold the pipe open.
    os.set_inheritable(descriptor, False)
    source, profile, options = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own code
    result: CheckedConfig | str
    try:
        result = _check(source, profile, options)
    except Exception as error:  # noqa: BLE001 - reported by the other process
        result = f"{type(error).__name__}: {error}"
    sys.stdout.flush()
    sys.stderr.flush()
    with os.fdopen(descriptor, "wb") as stream:
        pickle.dump(result, stream)


def _check(source: Source, profile: str | None, options: CheckOptions) -> CheckedConfig:
    now = datetime.now(timezone.utc)
    loaded = load_config(
        source,
        profile=profile,
        environ=os.environ,
        now=now,
        last=options.last,
        files=options.files,
    )
    document = loaded.document
    if options.previous and document is not None:
        from grpcsecure.checking.key_files.previous import check_previous

        found = check_previous(document, loaded.materials, options.previous, now)
        loaded = replace(loaded, findings=(*loaded.findings, *found))
    effective = None
    if options.print_config and document is not None:
        from grpcsecure.config.effective import render_effective

        effective = render_effective(document)
    draft = loaded.draft(
        complete=options.last is Phase.POLICY_TESTS and options.files,
        # A file without the word has no profiles that could be left unchecked.
        all_profiles=options.all_profiles or "profiles" not in source.text,
    )
    return CheckedConfig(draft=draft, effective=effective)
