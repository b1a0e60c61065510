"""Who may call what, as the config says it: identities, rules, tests and the audit.

Plain values; what they match and how a `Decision` is made is for `policy`. An identity
is a name for a set of peers, by what their certificates say.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
]


class MatcherKind(Enum):
    """What a criterion looks at, by its key in the config."""

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
        """Whether it names the certificate or key itself, which needs no CA.

        The other kinds are names: true only where the chain was verified.
        """
        return self in _PINS


_PINS = frozenset(
    {MatcherKind.FINGERPRINT, MatcherKind.PUBLIC_KEY, MatcherKind.CERTIFICATES}
)


@dataclass(frozen=True, slots=True)
class Criterion:
    """One key of a matcher; the value is as written, of `certificates` absolute."""

    kind: MatcherKind
    value: str


@dataclass(frozen=True, slots=True)
class Matcher:
    """Criteria that must all match; there is at least one."""

    criteria: tuple[Criterion, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """A name for the peers that any one of its matchers matches."""

    name: str
    matchers: tuple[Matcher, ...]


class BuiltIn(Enum):
    """The names that are always there."""

    #: Every peer.
    ANYONE = "anyone"
    #: Every verified peer.
    VERIFIED = "verified"
    #: Every peer that presented a certificate.
    PRESENTED = "presented"
    #: Every peer that presented none.
    ANONYMOUS = "anonymous"


class Effect(Enum):
    """What a rule, or the default, does with a call."""

    ALLOW = "allow"
    DENY = "deny"


#: What is shown instead of a value that may be a secret.
HIDDEN = "…"


@dataclass(frozen=True, slots=True)
class MetadataCondition:
    """A metadata key (lower case), and the values that count.

    The values of a `-bin` key are base64, as on the wire. Those in `hidden` came from
    variables: they may be secrets.
    """

    key: str
    values: tuple[str, ...]
    hidden: frozenset[str] = frozenset()

    @property
    def shown(self) -> tuple[str, ...]:
        """The values as people may see them."""
        return tuple(HIDDEN if one in self.hidden else one for one in self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A named line that allows or denies identities on methods.

    `listeners=None` is all of them; a rule with `enforce=False` decides nothing and
    reports what it would have done.
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
    """A call and what must come of it; `caller=None` is an anonymous one.

    `listener=None` is every listener that serves the method. The metadata keys in
    `hidden` have values that came from variables: they may be secrets.
    """

    caller: Matcher | None
    call: str
    expect: Effect
    listener: str | None = None
    metadata: tuple[tuple[str, str], ...] = ()
    hidden: frozenset[str] = frozenset()

    @property
    def shown_metadata(self) -> tuple[tuple[str, str], ...]:
        """The metadata as people may see it."""
        return tuple(
            (key, HIDDEN if key in self.hidden else value)
            for key, value in self.metadata
        )


class AuditLevel(Enum):
    """Which decisions become an audit event."""

    DENIALS = "denials"
    ALL = "all"
    OFF = "off"


class LogFormat(Enum):
    """How an event looks in a file."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings:
    """Where audit events go: to the log, or appended to `file` as `format`."""

    level: AuditLevel = AuditLevel.DENIALS
    file: Path | None = None
    format: LogFormat = LogFormat.JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """The `authorization` block; `rules` are in the order of the file."""

    default: Effect = Effect.DENY
    rules: tuple[Rule, ...] = ()
    tests: tuple[PolicyTest, ...] = ()
    audit: AuditSettings = AuditSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of a call.

    `rule=None` is the default's decision. `shadow` is the decision if the rules with
    `enforce: false` decided too; None if it is the same one.
    """

    effect: Effect
    rule: Rule | None
    #: Whether the peer proved to be somebody.
    is_known: bool
    shadow: Decision | None = None

    @property
    def is_allowed(self) -> bool:
        """Whether the call may go on."""
        return self.effect is Effect.ALLOW
