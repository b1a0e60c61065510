"""Reload attempts: read everything again, check it as at start-up, swap it whole.

Invariants: a snapshot is applied as a whole or not at all; an attempt logs exactly one
line, unless it waits for the rest of a change or for descriptors; a rejected one
changes nothing.
"""

from __future__ import annotations

import errno
import logging
import os
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Protocol

from grpcsecure.checking.pipeline import Phase, load_config, load_rest
from grpcsecure.checking.watch_set import take_digest, watch_set
from grpcsecure.config.source import STDIN, read_source
from grpcsecure.descriptor_reserve import RESERVE, is_shortage
from grpcsecure.diagnostics.catalog import include_kinds
from grpcsecure.diagnostics.catalog import tool_kinds as kinds
from grpcsecure.diagnostics.findings import Finding
from grpcsecure.diagnostics.ignore import make_report
from grpcsecure.server.reload.changes import describe_changes
from grpcsecure.server.reload.expiry import has_little_left, render_rest
from grpcsecure.server.reload.live_keys import keys_that_need_a_restart
from grpcsecure.server.runtime.ports import SwapError
from grpcsecure.server.snapshot import build_snapshot
from grpcsecure.watch.debounce import AttemptOutcome
from grpcsecure.watch.watcher import AttemptResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from grpcsecure.checking.pipeline import Loaded, ServableConfig
    from grpcsecure.config.document import Document
    from grpcsecure.model.peer import Certificate
    from grpcsecure.model.server_config import ServerConfig
    from grpcsecure.server.snapshot import InForce, Snapshot
    from grpcsecure.tls.material import Material
    from grpcsecure.watch.digest import Digest

__all__ = ["ReloadObserver", "Reloader"]

_LOGGER = logging.getLogger("grpcsecure.reload")

#: Findings about files that the text of a config refers to.
_MAY_BE_MISSING = (
    include_kinds.UNREADABLE_INCLUDE,
    include_kinds.UNREADABLE_FILE_VALUE,
)


class ReloadObserver(Protocol):
    """Learns when reloads begin and end."""

    def reloading(self) -> None:
        """Take note that an attempt begins."""

    def reloaded(self, status: str) -> None:
        """Take note that it has ended, applied or not; `status` says which."""


@contextmanager
def _all_readable() -> Iterator[None]:
    """Refuse what was read in the block if a descriptor was missing.

    A file that cannot be opened now is neither missing nor changed.

    Raises:
        OSError: a descriptor was missing.
    """
    before = RESERVE.shortages
    yield
    if RESERVE.shortages != before:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


class Reloader:
    """Attempts reloads of one server's config, always on one thread.

    Args:
        servable: the config that the server was started with.
        in_force: holds the snapshot that a reload replaces.
        environ: where `${VAR}` is looked up.
        prepare: lets the TLS engines prepare key material, and returns the function
            that puts it in force; raises `SwapError` if an engine rejects it.
        on_applied: called after each swap.
        observer: is notified of each attempt that does not wait for a later one.
    """

    def __init__(  # noqa: PLR0913 - its parts, most of them named
        self,
        servable: ServableConfig,
        in_force: InForce,
        *,
        environ: Mapping[str, str],
        prepare: Callable[[Mapping[str, Material]], Callable[[], None]],
        on_applied: Callable[[], None],
        observer: ReloadObserver | None = None,
    ) -> None:
        self._servable = servable
        self._in_force = in_force
        self._environ = environ
        self._prepare = prepare
        self._on_applied = on_applied
        self._observer = observer
        #: The outcome of the last attempt.
        self._status = ""
        #: Log fields of the last rejection; None once a later attempt succeeded.
        self._rejected: dict[str, object] | None = None

    def attempt(self, *, last: bool) -> AttemptResult:
        """Attempt one reload; see `Watcher`.

        Args:
            last: whether to reject an incomplete change instead of waiting for the
                rest of it.
        """
        if self._observer is None:
            return self._try(last=last)
        self._observer.reloading()
        result = self._try(last=last)
        if result.outcome is AttemptOutcome.SETTLED:
            self._observer.reloaded(self._status)
        return result

    def _try(self, *, last: bool) -> AttemptResult:
        now = datetime.now(timezone.utc)
        try:
            # Besides files, an attempt opens modules that are imported late.
            return RESERVE.call(partial(self._attempt, now, last=last))
        except Exception as error:
            if is_shortage(error):
                return AttemptResult(AttemptOutcome.POSTPONED)
            # A bug in grpcsecure, or a config that fails in a way no check foresees.
            # The attempt still logs its line, and the snapshot in force stays.
            _LOGGER.debug("reload.failed", exc_info=True)
            self._log_rejected([f"{type(error).__name__}: {error}"], now)
            return AttemptResult(AttemptOutcome.SETTLED)

    def _attempt(self, now: datetime, *, last: bool) -> AttemptResult:
        known = self._servable.source
        with _all_readable():
            source = known if known.name == STDIN else read_source(known.name)
        if isinstance(source, Finding):
            return self._reject([source], now, last=last, may_be_incomplete=True)
        with _all_readable():  # included files, and values of files
            loaded = load_config(
                source,
                profile=self._servable.loaded.profile,
                environ=self._environ,
                now=now,
                last=Phase.CROSS_FIELD,
            )
        document = loaded.document
        if document is None or loaded.failed is not None:
            return self._reject_text(loaded, now, last=last)
        if self._loses_rules(document.config) and not last:
            return AttemptResult(AttemptOutcome.INCOMPLETE)
        needs = self._needs_restart(document)
        if needs:
            return self._watching_both(loaded, self._reject(needs, now, last=last))
        return self._read_files(loaded, document.config, now, last=last)

    def _read_files(
        self, loaded: Loaded, new: ServerConfig, now: datetime, *, last: bool
    ) -> AttemptResult:
        with _all_readable():
            either = self._digest_of_both(loaded, new)
            loaded = load_rest(loaded, now=now)
        servable = loaded.servable()
        if servable is not None:
            self._swap(servable, now)
            return AttemptResult(AttemptOutcome.SETTLED, servable.seen)
        files = loaded.failed is Phase.FILES
        result = self._reject(_errors(loaded), now, last=last, may_be_incomplete=files)
        return result._replace(watch=either)

    def _reject_text(
        self, loaded: Loaded, now: datetime, *, last: bool
    ) -> AttemptResult:
        """Reject a config with errors in its text, or in files that it refers to."""
        errors = _errors(loaded)
        # A file that is not there yet may be the rest of the change.
        is_missing = any(one.kind in _MAY_BE_MISSING for one in errors)
        result = self._reject(errors, now, last=last, may_be_incomplete=is_missing)
        return self._watching_both(loaded, result)

    def _watching_both(self, loaded: Loaded, result: AttemptResult) -> AttemptResult:
        """Return a rejection that watches the files that a new text refers to."""
        if not loaded.referenced:
            return result
        return result._replace(watch=self._digest_of_both(loaded, None))

    def _digest_of_both(self, loaded: Loaded, new: ServerConfig | None) -> Digest:
        """Return the digest of the files of the config in force and of a new one.

        If the reload is rejected, both are watched: those of the old config in case the
        user reverts to it. As always, the digest is taken before files are read.
        """
        name, old = loaded.source.name, self._in_force.snapshot.config
        before = watch_set(name, old, self._servable.loaded.referenced)
        after = watch_set(name, new, loaded.referenced)
        return take_digest(before.joined(after), loaded.source, loaded.referenced)

    def _loses_rules(self, new: ServerConfig) -> bool:
        """Whether a config no longer has rules, and so allows every call.

        A config file that is still being written looks the same until its rules are
        there.
        """
        had_rules = self._in_force.snapshot.config.authorization is not None
        return had_rules and new.authorization is None

    def _needs_restart(self, document: Document) -> list[Finding]:
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

    def _swap(self, servable: ServableConfig, now: datetime) -> None:
        old = self._in_force.snapshot
        generation = old.generation + 1
        new = build_snapshot(
            servable.config,
            {
                name: replace(material, generation=generation)
                for name, material in servable.materials.items()
            },
            pins=servable.fingerprints,
            generation=generation,
        )
        changes = describe_changes(old, new)
        warnings = _new_warnings(self._servable.loaded, servable.loaded)
        self._rejected = None
        if not changes:
            self._servable = servable
            self._status = f"serving, generation {old.generation}, reload unchanged"
            _log_attempt("reload.unchanged", {"generation": old.generation}, warnings)
            return
        try:
            commit = self._prepare(new.materials)
        except SwapError as error:
            self._log_rejected([str(error)], now)
            return
        new.warm_up()
        # From here on nothing may fail. The rules come first: a client that only the
        # new CA verifies must not be judged by the old rules.
        self._in_force.snapshot = new
        commit()
        self._servable = servable
        self._status = f"serving, generation {generation}, reload applied"
        fields: dict[str, object] = {
            "generation": f"{old.generation} -> {generation}",
            "changed": "; ".join(changes),
        }
        if _trusts(new) != _trusts(old):
            # Not only the new ones: another CA may have the name of the one before.
            shut_out = _shut_out(servable.loaded)
            warnings += [one for one in shut_out if one not in warnings]
        _log_attempt("reload.applied", fields, warnings)
        self._on_applied()

    def _reject(
        self,
        findings: Sequence[Finding],
        now: datetime,
        *,
        last: bool,
        may_be_incomplete: bool = False,
    ) -> AttemptResult:
        if may_be_incomplete and not last:
            return AttemptResult(AttemptOutcome.INCOMPLETE)
        self._log_rejected([_concise(finding) for finding in findings], now)
        return AttemptResult(AttemptOutcome.SETTLED)

    def _log_rejected(self, findings: list[str], now: datetime) -> None:
        self._rejected = {
            "generation": f"{self._in_force.snapshot.generation} kept",
            "findings": "; ".join(findings),
        }
        kept = self._in_force.snapshot.generation
        self._status = f"serving, generation {kept}, reload rejected: {findings[0]}"
        self._log_rejection(now, reminds=False)

    def _log_rejection(self, now: datetime, *, reminds: bool) -> None:
        fields = dict(self._rejected or {})
        leaf = _first_to_expire(self._in_force.snapshot)
        if leaf is not None:
            fields["certificate_in_force"] = f"{leaf.subject}, {_rest(leaf, now)}"
        event = "reload.still_rejected" if reminds else "reload.rejected"
        _LOGGER.error(event, extra=fields)

    def remind(self, now: datetime) -> None:
        """Log the last rejection again if a certificate in force will soon expire."""
        leaf = _first_to_expire(self._in_force.snapshot)
        if (
            self._rejected is not None
            and leaf is not None
            and has_little_left(leaf, now)
        ):
            self._log_rejection(now, reminds=True)


def _log_attempt(
    event: str, fields: dict[str, object], warnings: Sequence[Finding]
) -> None:
    """Log the outcome of an attempt and its warnings in one line."""
    level = logging.INFO
    if warnings:
        level = logging.WARNING
        fields["warnings"] = "; ".join(_concise(finding) for finding in warnings)
    _LOGGER.log(level, event, extra=fields)


def _new_warnings(before: Loaded, after: Loaded) -> list[Finding]:
    """Return the warnings of `after` that `before` did not have."""
    known = {(one.code, one.message) for one in make_report(before.draft()).findings}
    return [
        finding
        for finding in make_report(after.draft()).findings
        if (finding.code, finding.message) not in known
    ]


def _trusts(snapshot: Snapshot) -> tuple[object, ...]:
    """Return the client CAs, revocation lists and registered certificates."""
    lists = {
        name: (material.client_ca, material.crls)
        for name, material in snapshot.materials.items()
    }
    return lists, snapshot.pins


def _shut_out(loaded: Loaded) -> list[Finding]:
    """Return the warnings that clients do not get in."""
    findings = make_report(loaded.draft()).findings
    return [finding for finding in findings if finding.kind.applies_on_reload]


def _errors(loaded: Loaded) -> list[Finding]:
    return [finding for finding in loaded.findings if finding.is_error]


def _concise(finding: Finding) -> str:
    span = finding.span
    place = "" if span is None else f" ({span.file}:{span.line}:{span.column})"
    return f"{finding.code} {finding.message}{place}"


def _first_to_expire(snapshot: Snapshot) -> Certificate | None:
    leaves = (leaf for each in snapshot.materials.values() for leaf in each.leaves)
    return min(leaves, key=lambda leaf: leaf.not_after, default=None)


def _rest(leaf: Certificate, now: datetime) -> str:
    rest = render_rest(leaf, now)
    return rest if rest.startswith("expired") else f"lives {rest}"
