"""The model of authorization: identities, rules, policy tests, audit settings.

Plain values; matching and decisions are in `policy`. An identity is a name for a set of
peers, defined by the content of their certificates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = [
    "HIDDEN",
    "AuditLevel",
    "AuditSettings",
    "Authorization",
    "BuiltIn",
    "Criterion",
    "Decision",
    "Effect",
    "Identity",
    "LogFormat",
    "Matcher",
    "MatcherKind",
    "MetadataCondition",
    "PolicyTest",
    "Rule",
    "shown_trust_domain",
]


class MatcherKind(Enum):
    """The part of a certificate that a criterion matches, named by its config key."""

    SPIFFE = "spiffe"
    URI = "uri"
    DNS = "dns"
    EMAIL = "email"
    IP = "ip"
    COMMON_NAME = "common_name"
    ORGANIZATIONAL_UNIT = "organizational_unit"
    SUBJECT = "subject"
    FINGERPRINT = "fingerprint"
    PUBLIC_KEY = "public_key"
    CERTIFICATES = "certificates"

    @property
    def is_pin(self) -> bool:
        """Whether the criterion pins the certificate or key itself, without a CA.

        The other kinds are names, which count only if the chain was verified.
        """
        return self in _PINS


_PINS = frozenset(
    {MatcherKind.FINGERPRINT, MatcherKind.PUBLIC_KEY, MatcherKind.CERTIFICATES}
)

#: Shown in place of a value that may be a secret.
HIDDEN = "…"

_URIS = frozenset({MatcherKind.SPIFFE, MatcherKind.URI})


@dataclass(frozen=True, slots=True)
class Criterion:
    """One key of a matcher; the value is as written (`certificates`: absolute path).

    A hidden value came from a file, and is never displayed. If it is unknown, that file
    was not read, and `value` stands for any value: no peer has it.
    """

    kind: MatcherKind
    value: str
    is_hidden: bool = field(default=False, compare=False)
    is_unknown: bool = field(default=False, compare=False)

    @property
    def shown(self) -> str:
        """The value for display."""
        return HIDDEN if self.is_hidden else self.value


class Matcher(NamedTuple):
    """One or more criteria that must all match."""

    criteria: tuple[Criterion, ...]

    @property
    def trust_domains(self) -> frozenset[str]:
        """The SPIFFE trust domains that it names, in `spiffe` or as `uri`."""
        from grpcsecure.model.name_patterns import trust_domain_of

        uris = (
            one.value
            for one in self.criteria
            if one.kind in _URIS and not one.is_unknown
        )
        found = map(trust_domain_of, uris)
        return frozenset(name for name in found if name is not None)

    @property
    def is_hidden(self) -> bool:
        """Whether one of its values is never displayed."""
        return any(one.is_hidden for one in self.criteria)


class Identity(NamedTuple):
    """A name for all peers that at least one of its matchers matches."""

    name: str
    matchers: tuple[Matcher, ...]


def shown_trust_domain(name: str, identities: Iterable[Identity]) -> str:
    """Return a trust domain of identities for display: hidden if a file names it."""
    is_hidden = any(
        matcher.is_hidden and name in matcher.trust_domains
        for identity in identities
        for matcher in identity.matchers
    )
    return HIDDEN if is_hidden else name


class BuiltIn(Enum):
    """The built-in identities, which every config has."""

    #: Every peer.
    ANYONE = "anyone"
    #: Every verified peer.
    VERIFIED = "verified"
    #: Every peer that presented a certificate.
    PRESENTED = "presented"
    #: Every peer that presented no certificate.
    ANONYMOUS = "anonymous"


class Effect(Enum):
    """The effect of a rule, or of the default, on a call."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class MetadataCondition:
    """A metadata key (lower case) and the values that match.

    The values of a `-bin` key are base64, as on the wire. The values in `hidden` came
    from variables or files: they may be secrets. If it is unknown, the file of one of
    them was not read.
    """

    key: str
    values: tuple[str, ...]
    hidden: frozenset[str] = frozenset()
    is_unknown: bool = field(default=False, compare=False)

    @property
    def shown(self) -> tuple[str, ...]:
        """The values for display, with secrets hidden."""
        return tuple(HIDDEN if one in self.hidden else one for one in self.values)


class Rule(NamedTuple):
    """A named rule that allows or denies calls of methods by identities.

    `listeners=None` means all listeners. A rule with `enforce=False` decides nothing;
    its decision is only reported.
    """

    name: str
    effect: Effect
    identities: tuple[str, ...]
    methods: tuple[str, ...]
    listeners: tuple[str, ...] | None = None
    metadata: tuple[MetadataCondition, ...] = ()
    enforce: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTest:
    """A call and its expected decision; `caller=None` is an anonymous caller.

    `listener=None` means every listener that serves the method. The metadata keys in
    `hidden` have values that came from variables or files: they may be secrets. If it
    is unknown, the file of one of them was not read.
    """

    caller: Matcher | None
    call: str
    expect: Effect
    listener: str | None = None
    metadata: tuple[tuple[str, str], ...] = ()
    hidden: frozenset[str] = frozenset()
    is_unknown: bool = field(default=False, compare=False)

    @property
    def shown_metadata(self) -> tuple[tuple[str, str], ...]:
        """The metadata for display, with secrets hidden."""
        return tuple(
            (key, HIDDEN if key in self.hidden else value)
            for key, value in self.metadata
        )


class AuditLevel(Enum):
    """The decisions that become audit events."""

    DENIALS = "denials"
    ALL = "all"
    OFF = "off"


class LogFormat(Enum):
    """The format of events, in the log or in a file."""

    TEXT = "text"
    JSON = "json"


class AuditSettings(NamedTuple):
    """The destination of audit events: the log, or `file`, in the format `format`."""

    level: AuditLevel = AuditLevel.DENIALS
    file: Path | None = None
    format: LogFormat = LogFormat.JSON


class Authorization(NamedTuple):
    """The `authorization` block; `rules` are in the order of the file."""

    default: Effect = Effect.DENY
    rules: tuple[Rule, ...] = ()
    tests: tuple[PolicyTest, ...] = ()
    audit: AuditSettings = AuditSettings()


class Decision(NamedTuple):
    """The decision on a call.

    `rule=None` means that the default decided. `shadow` is the decision that would
    result if rules with `enforce: false` were enforced, or None if it is the same.
    """

    effect: Effect
    rule: Rule | None
    #: Whether the peer was verified or granted an identity (`Principal.is_known`).
    is_known: bool
    shadow: Decision | None = None

    @property
    def is_allowed(self) -> bool:
        """Whether the call is allowed."""
        return self.effect is Effect.ALLOW
