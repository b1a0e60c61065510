"""Identities that no client can have on the listeners where a rule names them.

Needs of an identity, and what a listener makes of a client's certificate:

    need          met by a listener that
    nothing       is there
    no cert       does not require a certificate
    certificate   asks for one
    verified      asks for one, and verifies or has a `client_ca`
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import policy_kinds as kinds
from grpcsecure.diagnostics.model import Label
from grpcsecure.frozen import frozen
from grpcsecure.model.authorization import BuiltIn, Effect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from grpcsecure.config.document import Document
    from grpcsecure.diagnostics.model import Finding
    from grpcsecure.model.authorization import Identity
    from grpcsecure.model.listener import Listener
    from grpcsecure.policy.scopes import Scope

__all__ = ["can_have", "check_identity_use"]


def can_have(
    name: str, effect: Effect, listener: Listener, identities: Iterable[Identity]
) -> bool:
    """Whether some client of a listener can have an identity, for a rule of `effect`.

    Args:
        name: of the identity, or a built-in one.
        effect: deny rules go by what is claimed.
        listener: where it would be.
        identities: of the config.
    """
    need, _ = _needs(identities, effect)[name]
    return need is _Need.NOTHING or _WORDS[need].is_met(listener)


class _Need(Enum):
    """What a client needs to have an identity."""

    NOTHING = "nothing"
    NO_CERTIFICATE = "no certificate"
    CERTIFICATE = "a certificate"
    VERIFIED = "a verified certificate"


@frozen
class _Words:
    """How a need that is not met is put."""

    is_met: Callable[[Listener], bool]
    problem: str
    help: str


_WORDS = {
    _Need.NO_CERTIFICATE: _Words(
        is_met=lambda listener: not listener.requires,
        problem="matches on clients that its listeners refuse",
        help="use `request_and_verify`, which lets clients without a certificate in",
    ),
    _Need.CERTIFICATE: _Words(
        is_met=lambda listener: listener.asks,
        problem="matches on an identity that is never presented",
        help="use a mode that asks for a certificate, such as `require_and_verify`",
    ),
    _Need.VERIFIED: _Words(
        is_met=lambda listener: listener.can_verify,
        problem="matches on an identity that is never verified",
        help="use `require_and_verify`, add a `client_ca`, or register the"
        " certificates with `fingerprint`",
    ),
}

_BUILT_IN = {
    BuiltIn.ANYONE.value: (_Need.NOTHING, ""),
    BuiltIn.ANONYMOUS.value: (
        _Need.NO_CERTIFICATE,
        "is for clients without a certificate",
    ),
    BuiltIn.PRESENTED.value: (_Need.CERTIFICATE, "is for clients with a certificate"),
    BuiltIn.VERIFIED.value: (_Need.VERIFIED, "is for clients that were verified"),
}


def check_identity_use(
    document: Document, scopes: Iterable[Scope]
) -> Iterator[Finding]:
    """Find names in rules that can never match where the rule applies."""
    needs = {effect: _needs(document.config.identities, effect) for effect in Effect}
    for scope in scopes:
        rule = scope.rule
        if not scope.serving:
            continue  # has a finding of its own
        for index, name in enumerate(rule.identities):
            need, label = needs[rule.effect].get(name, (_Need.NOTHING, ""))
            if need is _Need.NOTHING or any(map(_WORDS[need].is_met, scope.serving)):
                continue
            path = ("authorization", "rules", rule.name, rule.effect.value, index)
            yield kinds.UNVERIFIED_IDENTITY(
                f"rule `{rule.name}` {_WORDS[need].problem}",
                span=document.place(*path),
                label=f"`{name}` {label}",
                secondary=[_describe(document, one, need) for one in scope.serving],
                help=_WORDS[need].help,
            )


def _needs(
    identities: Iterable[Identity], effect: Effect
) -> dict[str, tuple[_Need, str]]:
    return _BUILT_IN | {one.name: _need(one, effect) for one in identities}


def _need(identity: Identity, effect: Effect) -> tuple[_Need, str]:
    """Return what the least demanding of the matchers needs, and what they go by.

    A deny rule goes by what a certificate says, whoever signed it.
    """
    names = [
        [one.kind.value for one in matcher.criteria if not one.kind.is_pin]
        for matcher in identity.matchers
    ]
    every = dict.fromkeys(
        one.kind.value for matcher in identity.matchers for one in matcher.criteria
    )
    if effect is Effect.DENY or not all(names):
        return _Need.CERTIFICATE, f"matches by {' and '.join(every)}"
    some = dict.fromkeys(kind for matcher in names for kind in matcher)
    return _Need.VERIFIED, f"matches by {' and '.join(some)}"


def _describe(document: Document, listener: Listener, need: _Need) -> Label:
    path = ("listeners", listener.name)
    if listener.tls is None:
        return Label(
            span=document.place(*path, "plaintext"),
            text="no client has a certificate here",
        )
    if need is _Need.NO_CERTIFICATE:
        text = "refuses clients without a certificate"
    elif not listener.asks:
        text = "asks for no certificate"
    else:
        text = "asks for a certificate but does not check who signed it"
    return Label(span=document.place(*path, "tls", "client_certificate"), text=text)
