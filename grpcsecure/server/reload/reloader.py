"""One attempt at a reload: read all anew, check it as at start-up, swap it whole.

Invariants: a snapshot is applied as a whole or not at all; every attempt says so in
exactly one line; and what is rejected leaves everything as it was.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from grpcsecure.checking.pipeline import Phase, load_config, load_rest
from grpcsecure.checking.watch_set import watch_set
from grpcsecure.config.source import STDIN, read_source
from grpcsecure.diagnostics.catalog import tool_kinds as kinds
from grpcsecure.diagnostics.ignore import make_report
from grpcsecure.diagnostics.model import Finding
from grpcsecure.server.reload.changes import describe_changes
from grpcsecure.server.reload.expiry import has_little_left, render_rest
from grpcsecure.server.reload.restart_required import keys_that_need_a_restart
from grpcsecure.server.runtime.ports import SwapError
from grpcsecure.server.snapshot import build_snapshot
from grpcsecure.watch.debounce import AttemptOutcome
from grpcsecure.watch.digest import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from grpcsecure.checking.pipeline import Loaded
    from grpcsecure.model.peer import Certificate
    from grpcsecure.server.snapshot import InForce, Snapshot
    from grpcsecure.tls.material import Material
    from grpcsecure.watch.digest import Digest

__all__ = ["Reloader"]

_LOGGER = logging.getLogger("grpcsecure.reload")


class Reloader:
    """Tries reloads of what one server was started with, on one thread.

    Args:
        loaded: what it was started with.
        in_force: holds the snapshot that is replaced.
        environ: where `${VAR}` is looked up.
        prepare: has the engines prepare material, and returns what puts it in force;
            raises `SwapError` if they do not take it.

    Attributes:
        on_applied: is called after each swap.
        watch: is told the digest of the files to watch from then on.
    """

    def __init__(
        self,
        loaded: Loaded,
        in_force: InForce,
        *,
        environ: Mapping[str, str],
        prepare: Callable[[Mapping[str, Material]], Callable[[], None]],
    ) -> None:
        self._loaded = loaded
        self._in_force = in_force
        self._environ = environ
        self._prepare = prepare
        self.on_applied: Callable[[], None] = _do_nothing
        self.watch: Callable[[Digest], None] = _watch_nothing
        #: What was rejected last and has not been mended, with what was said of it.
        self._rejected: dict[str, object] | None = None

    def attempt(self, *, last: bool) -> AttemptOutcome:
        """Try once; see `Watcher`.

        Args:
            last: whether what is incomplete is not waited for any longer.
        """
        now = datetime.now(timezone.utc)
        try:
            return self._attempt(now, last=last)
        except Exception as error:
            # A mistake of ours, or a config that breaks what has no check: it is no
            # reason to be silent, and what is in force stays.
            _LOGGER.debug("reload.failed", exc_info=True)
            return self._log_rejected([f"{type(error).__name__}: {error}"], now)

    def _attempt(self, now: datetime, *, last: bool) -> AttemptOutcome:
        name = self._loaded.source.name
        source = self._loaded.source if name == STDIN else read_source(name)
        if isinstance(source, Finding):
            return self._reject([source], now, last=last, may_be_incomplete=True)
        loaded = load_config(
            source,
            profile=self._loaded.profile,
            environ=self._environ,
            now=now,
            last=Phase.CROSS_FIELD,
        )
        if loaded.document is None or loaded.failed is not None:
            return self._reject(_errors(loaded), now, last=last)
        if self._loses_rules(loaded) and not last:
            return AttemptOutcome.INCOMPLETE
        needs = self._needs_restart(loaded)
        if needs:
            return self._reject(needs, now, last=last)
        return self._read_files(loaded, now, last=last)

    def _read_files(
        self, loaded: Loaded, now: datetime, *, last: bool
    ) -> AttemptOutcome:
        document = loaded.document
        assert document is not None  # noqa: S101 - the caller looked
        # If it is rejected, both are watched: what is named now, and what would do if
        # the config went back. Their digest is of before they are read, like any.
        new, old = document.config, self._in_force.snapshot.config
        name = loaded.source.name
        either = digest(watch_set(name, old).joined(watch_set(name, new)))
        loaded = load_rest(loaded, now=now)
        seen = loaded.seen
        assert seen is not None  # noqa: S101 - its files have been read
        if loaded.failed is None:
            self.watch(seen)
            return self._swap(loaded, now)
        self.watch(either)
        files = loaded.failed is Phase.FILES
        return self._reject(_errors(loaded), now, last=last, may_be_incomplete=files)

    def _loses_rules(self, loaded: Loaded) -> bool:
        """Whether a config has no rules any more, and so allows every call.

        One that is being written in pieces looks like that too, up to its rules.
        """
        document = loaded.document
        assert document is not None  # noqa: S101 - the caller looked
        had_rules = self._in_force.snapshot.config.authorization is not None
        return had_rules and document.config.authorization is None

    def _needs_restart(self, loaded: Loaded) -> list[Finding]:
        document = loaded.document
        assert document is not None  # noqa: S101 - the caller looked
        before = self._in_force.snapshot.config
        return [
            kinds.NEEDS_RESTART(
                f"`{'.'.join(key)}` cannot change while the server runs",
                span=document.place(*key),
                label="differs from what is in force",
                help="restart the server to apply it, or take it back",
            )
            for key in keys_that_need_a_restart(before, document.config)
        ]

    def _swap(self, loaded: Loaded, now: datetime) -> AttemptOutcome:
        document = loaded.document
        assert document is not None  # noqa: S101 - nothing failed
        old = self._in_force.snapshot
        generation = old.generation + 1
        new = build_snapshot(
            document.config,
            {
                name: replace(material, generation=generation)
                for name, material in loaded.materials.items()
            },
            pins=loaded.fingerprints,
            generation=generation,
        )
        changes = describe_changes(old, new)
        warnings = _new_warnings(self._loaded, loaded)
        self._rejected = None
        if not changes:
            self._loaded = loaded
            _log_attempt("reload.unchanged", {"generation": old.generation}, warnings)
            return AttemptOutcome.SETTLED
        try:
            commit = self._prepare(new.materials)
        except SwapError as error:
            return self._log_rejected([str(error)], now)
        new.warm_up()
        # From here on nothing may fail. The rules come first: a client that a new CA
        # lets in must not be judged by the old ones.
        self._in_force.snapshot = new
        commit()
        self._loaded = loaded
        fields: dict[str, object] = {
            "generation": f"{old.generation} -> {generation}",
            "changed": "; ".join(changes),
        }
        _log_attempt("reload.applied", fields, warnings)
        self.on_applied()
        return AttemptOutcome.SETTLED

    def _reject(
        self,
        findings: Sequence[Finding],
        now: datetime,
        *,
        last: bool,
        may_be_incomplete: bool = False,
    ) -> AttemptOutcome:
        if may_be_incomplete and not last:
            return AttemptOutcome.INCOMPLETE
        return self._log_rejected([_concise(finding) for finding in findings], now)

    def _log_rejected(self, findings: list[str], now: datetime) -> AttemptOutcome:
        self._rejected = {
            "generation": f"{self._in_force.snapshot.generation} kept",
            "findings": "; ".join(findings),
        }
        self._log_rejection(now, reminds=False)
        return AttemptOutcome.SETTLED

    def _log_rejection(self, now: datetime, *, reminds: bool) -> None:
        fields = dict(self._rejected or {})
        leaf = _first_to_expire(self._in_force.snapshot)
        if leaf is not None:
            fields["certificate_in_force"] = f"{leaf.subject}, {_rest(leaf, now)}"
        event = "reload.still_rejected" if reminds else "reload.rejected"
        _LOGGER.error(event, extra=fields)

    def remind(self, now: datetime) -> None:
        """Say again what was rejected, as a certificate in force is about to expire."""
        leaf = _first_to_expire(self._in_force.snapshot)
        if (
            self._rejected is not None
            and leaf is not None
            and has_little_left(leaf, now)
        ):
            self._log_rejection(now, reminds=True)


def _do_nothing() -> None:
    """For whoever need not know of a swap."""


def _watch_nothing(_seen: Digest) -> None:
    """For whoever asks for attempts without a watcher."""


def _log_attempt(
    event: str, fields: dict[str, object], warnings: Sequence[Finding]
) -> None:
    """Log what came of an attempt, in one line with the warnings about it."""
    level = logging.INFO
    if warnings:
        level = logging.WARNING
        fields["warnings"] = "; ".join(_concise(finding) for finding in warnings)
    _LOGGER.log(level, event, extra=fields)


def _new_warnings(before: Loaded, after: Loaded) -> list[Finding]:
    """Return what `serve` would warn of at a start, and has not said before."""
    known = {(one.code, one.message) for one in make_report(before.draft()).findings}
    return [
        finding
        for finding in make_report(after.draft()).findings
        if (finding.code, finding.message) not in known
    ]


def _errors(loaded: Loaded) -> list[Finding]:
    return [finding for finding in loaded.findings if finding.is_error]


def _concise(finding: Finding) -> str:
    span = finding.span
    place = "" if span is None else f" ({span.file}:{span.line}:{span.column})"
    return f"{finding.code} {finding.message}{place}"


def _first_to_expire(snapshot: Snapshot) -> Certificate | None:
    leaves = (material.chain[0] for material in snapshot.materials.values())
    return min(leaves, key=lambda leaf: leaf.not_after, default=None)


def _rest(leaf: Certificate, now: datetime) -> str:
    rest = render_rest(leaf, now)
    return rest if rest.startswith("expired") else f"lives {rest}"
