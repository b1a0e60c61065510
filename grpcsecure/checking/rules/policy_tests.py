"""Runs the policy tests of a config, with the code that decides real calls.

A test runs on its listener, or on each listener that serves its method, and for each
certificate that its caller names. It fails if any decision differs from the expected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.checking.rules.methods import service_of
from grpcsecure.config import wording
from grpcsecure.diagnostics.catalog import policy_kinds as kinds
from grpcsecure.diagnostics.catalog import tool_kinds
from grpcsecure.diagnostics.findings import Case, Label
from grpcsecure.model.authorization import HIDDEN, MatcherKind
from grpcsecure.model.name_patterns import parse_metadata_value
from grpcsecure.policy.decision import Call, compile_policy
from grpcsecure.policy.known_methods import KnownMethods
from grpcsecure.policy.synthetic_peers import (
    UNVERIFIABLE,
    is_concrete,
    peer_with,
    synthetic_peer,
)
from grpcsecure.policy.traces import (
    describe_caller,
    describe_decision,
    describe_trace,
)
from grpcsecure.quoting import quote
from grpcsecure.server.services.inventory import full_methods

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from grpcsecure.config.document import Document
    from grpcsecure.config.tree import Path
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.authorization import Criterion, Matcher, PolicyTest
    from grpcsecure.model.listener import Listener
    from grpcsecure.model.peer import Peer
    from grpcsecure.model.server_config import ServerConfig
    from grpcsecure.policy.decision import Decision, Policy
    from grpcsecure.server.services.inventory import ServedService
    from grpcsecure.tls.material import Material
    from grpcsecure.tls.pins import Pins
    from grpcsecure.tls.recheck import Rechecker

__all__ = ["TestBench", "check_callers", "run_policy_tests", "tests_that_need_files"]


def check_callers(document: Document) -> Iterator[Finding]:
    """Find callers of tests that do not describe exactly one certificate."""
    authorization = document.config.authorization
    for index, test in enumerate(authorization.tests if authorization else ()):
        path = ("authorization", "tests", index, "as")
        criteria = test.caller.criteria if test.caller is not None else ()
        for one in criteria:
            if test.caller is not None and not is_concrete(test.caller, one.kind):
                node = wording.node_at(document.tree, (*path, one.kind.value))
                value = wording.shown(node)
                yield kinds.VAGUE_CALLER(
                    "the caller of a test is a pattern"
                    + (f": {value}" if value else ""),
                    span=document.place(*path, one.kind.value),
                    label=wording.remark(node, "matches many certificates"),
                    help="write one name that the pattern matches",
                )
            elif one.kind is MatcherKind.CERTIFICATES and len(criteria) > 1:
                yield kinds.VAGUE_CALLER(
                    "the caller of a test has both `certificates` and names",
                    span=document.key(*path, one.kind.value),
                    label="the file determines all names",
                    help="remove `certificates`, or the other keys",
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class TestBench:
    """The environment in which the tests of a config run.

    `services=None` means that the methods are not known: every method is assumed to
    exist. `left_out` are the indices of tests that are not run.
    """

    __test__ = False  # not a test class of pytest

    pins: Pins
    materials: Mapping[str, Material]
    services: tuple[ServedService, ...] | None
    now: datetime
    left_out: frozenset[int] = frozenset()


def tests_that_need_files(config: ServerConfig) -> frozenset[int]:
    """Return the indices of the tests whose result depends on files of the config.

    The caller is the certificate in a file, or has a fingerprint, which may be that of
    a registered certificate; or values of `${file:PATH}`, which were not read, may
    decide.
    """
    if config.authorization is None:
        return frozenset()
    criteria = [
        criterion
        for identity in config.identities
        for matcher in identity.matchers
        for criterion in matcher.criteria
    ]
    has_unknown_names = any(one.is_unknown for one in criteria)
    has_unknown_rules = any(
        one.is_unknown for rule in config.authorization.rules for one in rule.metadata
    )
    in_files = {MatcherKind.CERTIFICATES}
    if any(one.kind is MatcherKind.CERTIFICATES for one in criteria):
        in_files.add(MatcherKind.FINGERPRINT)

    def needs_files(test: PolicyTest) -> bool:
        if test.is_unknown or has_unknown_rules:
            return True
        return test.caller is not None and (
            has_unknown_names
            or any(one.kind in in_files for one in test.caller.criteria)
        )

    tests = enumerate(config.authorization.tests)
    return frozenset(index for index, test in tests if needs_files(test))


def run_policy_tests(
    document: Document, bench: TestBench
) -> tuple[list[Finding], tuple[Case, ...]]:
    """Run the tests; return the findings for failed ones, and a case for each."""
    authorization = document.config.authorization
    if authorization is None or not authorization.tests:
        return [], ()
    policy = compile_policy(
        authorization, document.config.identities, pins=bench.pins.fingerprints
    )
    runner = _Runner(document, bench, policy)
    findings: list[Finding] = []
    cases: dict[Case, None] = {}
    for index, test in enumerate(authorization.tests):
        if index in bench.left_out:
            continue
        place = document.place("authorization", "tests", index, "expect")
        code = kinds.FAILED_POLICY_TEST.code
        case = Case(name=_title(document, index, test), span=place, code=code)
        if case in cases:
            continue  # the same test, repeated by a YAML alias
        cases[case] = None
        finding = runner.run(index, test)
        if finding is not None:
            findings.append(finding)
    return findings, tuple(cases)


def _title(document: Document, index: int, test: PolicyTest) -> str:
    """Return a one-line summary of a test as its name."""
    caller = "anonymous"
    if test.caller is not None:
        path = ("authorization", "tests", index, "as")
        caller = " ".join(
            f"{one.kind.value}:{_shown(document, one, path)}"
            for one in test.caller.criteria
        )
    where = f" on {test.listener}" if test.listener is not None else ""
    sent = "".join(f" {key}={value}" for key, value in test.shown_metadata)
    return f"{test.expect.value} {test.call}{where}{sent} as {caller}"


def _shown(document: Document, one: Criterion, path: Path) -> str:
    node = wording.node_at(document.tree, (*path, one.kind.value))
    return HIDDEN if wording.is_from_variable(node) else one.value


class _TestRun(NamedTuple):
    """One decision of a test; `shown` is the caller's file, if there are several."""

    listener: Listener
    peer: Peer
    call: Call
    in_force: bool
    shown: str = ""


class _Runner:
    def __init__(self, document: Document, bench: TestBench, policy: Policy) -> None:
        self._document = document
        self._bench = bench
        self._policy = policy
        services = bench.services
        if services is not None:  # services that are turned off cannot be called
            services = tuple(one for one in services if one.path is not None)
        self._known = None if services is None else KnownMethods(full_methods(services))
        self._rechecks: dict[str, Rechecker] = {}
        #: Why a certificate of the test could not be checked, if one could not.
        self._why_unchecked: str | None = None

    def run(self, index: int, test: PolicyTest) -> Finding | None:
        """Return the finding for the first decision that differs, if one does."""
        self._why_unchecked = None
        attempts = list(self._attempts(test))
        for attempt in attempts:
            principal = self._policy.identify(attempt.peer, in_force=attempt.in_force)
            decision = self._policy.decide(principal, attempt.call)
            if decision.effect is not test.expect:
                trace = self._policy.trace(principal, attempt.call)
                notes = [describe_caller(principal), *describe_trace(trace)]
                return self._report(index, test, attempt, decision, notes)
        if self._why_unchecked is not None:
            return self._report_unchecked(index, self._why_unchecked)
        return None if attempts else self._report_none(index, test)

    def _attempts(self, test: PolicyTest) -> Iterator[_TestRun]:
        metadata = tuple(
            (key, parse_metadata_value(key, value)) for key, value in test.metadata
        )
        for listener in self._listeners(test):
            call = Call(
                method=test.call,
                listener=listener.name,
                metadata=metadata,
                exists=self._exists(test.call, listener),
            )
            for peer, in_force, shown in self._peers(test.caller, listener):
                yield _TestRun(
                    listener=listener,
                    peer=peer,
                    call=call,
                    in_force=in_force,
                    shown=shown,
                )

    def _listeners(self, test: PolicyTest) -> Iterable[Listener]:
        for listener in self._document.config.listeners:
            if test.listener is None:
                if listener.serves(service_of(test.call)):
                    yield listener
            elif test.listener == listener.name:
                yield listener

    def _exists(self, method: str, listener: Listener) -> bool:
        is_known = self._known is None or method in self._known
        return is_known and listener.serves(service_of(method))

    def _peers(
        self, caller: Matcher | None, listener: Listener
    ) -> Iterator[tuple[Peer, bool, str]]:
        pattern = _pattern(caller)
        if pattern is None:
            yield synthetic_peer(caller, listener), True, ""
            return
        if listener.can_verify and listener.is_bridged:
            from grpcsecure.tls.openssl.chain_check import why_unchecked

            self._why_unchecked = why_unchecked()
            if self._why_unchecked is not None:
                return
        now = self._bench.now
        for path, certificate in self._bench.pins.certificates(pattern):
            in_force = certificate.why_not_in_force(now) is None
            reason: str | None = UNVERIFIABLE
            if listener.can_verify:
                rechecker = self._rechecker(listener)
                reason = rechecker.verdict(certificate.der, (), now).reason
            peer = peer_with(certificate, listener, reason=reason)
            yield peer, in_force, quote(path.name)

    def _rechecker(self, listener: Listener) -> Rechecker:
        from grpcsecure.tls.recheck import Rechecker

        if listener.name not in self._rechecks:
            material = self._bench.materials[listener.name]
            self._rechecks[listener.name] = Rechecker(material, listener.engine_in_use)
        return self._rechecks[listener.name]

    def _report(
        self,
        index: int,
        test: PolicyTest,
        attempt: _TestRun,
        decision: Decision,
        notes: list[str],
    ) -> Finding:
        shown = f" for {attempt.shown}" if attempt.shown else ""
        return kinds.FAILED_POLICY_TEST(
            f"a test fails: {quote(test.call)} is {describe_decision(decision)}{shown}"
            f" on `{attempt.listener.name}`",
            span=self._document.place("authorization", "tests", index, "expect"),
            label=f"expected: {test.expect.value}",
            secondary=[self._deciding(decision)],
            notes=notes,
            help="correct the rules, or the expectation of the test",
        )

    def _deciding(self, decision: Decision) -> Label:
        if decision.rule is None:
            place = self._document.key("authorization", "default")
            return Label(span=place, text="decides: no rule matches")
        place = self._document.key("authorization", "rules", decision.rule.name)
        return Label(span=place, text="decides")

    def _report_unchecked(self, index: int, reason: str) -> Finding:
        return tool_kinds.UNCHECKED_CERTIFICATE(
            "a test was not run: its certificates cannot be checked",
            span=self._document.place("authorization", "tests", index, "as"),
            label=reason,
            help="install a release of pyOpenSSL that grpcsecure has been tried with",
        )

    def _report_none(self, index: int, test: PolicyTest) -> Finding | None:
        if _pattern(test.caller) is not None and any(
            True for _ in self._listeners(test)
        ):
            return None  # no certificate is registered, which is reported elsewhere
        return kinds.FAILED_POLICY_TEST(
            f"a test fails: no listener serves {quote(test.call)}",
            span=self._document.place("authorization", "tests", index, "expect"),
            label=f"expected: {test.expect.value}",
            help="add the service to a listener, or name one with `listener`",
        )


def _pattern(caller: Matcher | None) -> str | None:
    """Return the value of `certificates` in a caller, or None."""
    criteria = caller.criteria if caller is not None else ()
    return next(
        (one.value for one in criteria if one.kind is MatcherKind.CERTIFICATES), None
    )
