"""A simple, slow implementation of identities and rules.

The tests compare the compiled policy with it; the two share no code. It supports only
the values of `CERTIFICATE_VALUES`, `CRITERIA` and the like, from which the tests draw.
"""

from __future__ import annotations

import base64
import re

from grpcsecure.model.authorization import Effect, MatcherKind
from grpcsecure.model.peer import VerifiedPeer

__all__ = ["CERTIFICATE_VALUES", "CRITERIA", "PINS", "NaivePolicy"]

_AA, _BB = ("sha256:" + byte * 32 for byte in ("aa", "bb"))

#: The fingerprints for each value of a `certificates` criterion.
PINS = {"/aa": frozenset({_AA}), "/both": frozenset({_AA, _BB}), "/none": frozenset()}

#: Values for the certificates of the tests, by attribute.
CERTIFICATE_VALUES = {
    "uris": [
        "spiffe://td/ns/a",
        "spiffe://TD/ns/b",
        "spiffe://td/ns/../a",
        "spiffe://td",
        "https://Ci.example/run/1",
        "https://ci.example/run/%2E%2E/2",
        "urn:x:1",
    ],
    "dns": ["a.ci.example", "B.CI.Example.", "*.ci.example", "a.b.ci.example", "ci"],
    "emails": ["Ops@Corp.Example", "ops@corp.example"],
    "ips": ["10.0.0.7", "2001:db8::7", "::7"],
    "organizational_units": ["Ops", "Dev"],
    "common_name": ["a", "b"],
    "subject": ["CN=a,O=c", "CN=b+O=c", "O=c,CN=a", ""],
    "fingerprint": [_AA, _BB, ""],
    "public_key": [_AA, _BB],
}

#: Values for the criteria of the tests, by kind.
CRITERIA = {
    "spiffe": ["spiffe://td/ns/a", "spiffe://td/ns/*", "spiffe://TD/*", "spiffe://td"],
    "uri": ["https://CI.example/*", "https://ci.example/run/1", "urn:x:*", "urn:x:1"],
    "dns": ["a.ci.example", "*.ci.example", "*.b.CI.example.", "ci"],
    "email": ["Ops@corp.example", "ops@CORP.example"],
    "ip": ["10.0.0.7", "2001:DB8:0::7", "0::7"],
    "common_name": ["a", "b"],
    "organizational_unit": ["Ops", "Dev"],
    "subject": [r"cn=\61,2.5.4.10=c", "O=c+CN=b", "CN=a"],
    "fingerprint": [_AA, _BB.upper().replace("SHA", "sha")],
    "public_key": [_AA, _BB],
    "certificates": list(PINS),
}


def _url(text):
    """Return a URL with scheme and host in lower case."""
    scheme, _, rest = text.partition(":")
    if not rest.startswith("//"):
        return f"{scheme.lower()}:{rest}"
    host, slash, path = rest[2:].partition("/")
    return f"{scheme.lower()}://{host.lower()}{slash}{path}"


def _fits(text, pattern):
    if pattern.endswith("*"):
        return text.startswith(pattern[:-1])
    return text == pattern


def _spiffe(wanted, certificate, *, trusted):
    for uri in certificate.uris:
        if uri.startswith("spiffe:") and _fits(_url(uri), _url(wanted)):
            is_only = len(certificate.uris) == 1
            yield not trusted or (is_only and ".." not in uri)


def _uri(wanted, certificate, *, trusted):
    for uri in certificate.uris:
        if _fits(_url(uri), _url(wanted)):
            dotted = ".." in uri.lower().replace("%2e", ".")
            yield not (trusted and wanted.endswith("*") and dotted)


def _dns(wanted, certificate, *, trusted):
    wanted = wanted.lower().rstrip(".")
    labels = wanted.split(".")
    for name in certificate.dns:
        parts = name.lower().rstrip(".").split(".")
        if labels[0] == "*":
            same = len(parts) == len(labels) and parts[1:] == labels[1:]
        else:
            same = parts == labels
        if same:
            yield not (trusted and "*" in name)


def _email(wanted, certificate, **_):
    local, domain = wanted.split("@")
    for email in certificate.emails:
        found_local, found_domain = email.split("@")
        yield (found_local, found_domain.lower()) == (local, domain.lower())


_IPS = {"2001:DB8:0::7": "2001:db8::7", "0::7": "::7"}
_SUBJECTS = {r"cn=\61,2.5.4.10=c": "CN=a,O=c", "O=c+CN=b": "CN=b+O=c"}


def _common_name(wanted, certificate, *, trusted):
    yield certificate.common_name == wanted
    # For deny rules, any other common name of the subject counts too.
    yield not trusted and f"CN={wanted}" in re.split("[,+]", certificate.subject)


def _digest(text):
    return text.lower().replace(":", "")


_MATCHES = {
    "spiffe": _spiffe,
    "uri": _uri,
    "dns": _dns,
    "email": _email,
    "ip": lambda w, c, **_: [_IPS.get(w, w) in c.ips],
    "common_name": _common_name,
    "organizational_unit": lambda w, c, **_: [w in c.organizational_units],
    "subject": lambda w, c, **_: [_SUBJECTS.get(w, w) == c.subject],
    "fingerprint": lambda w, c, **_: [_digest(w) == _digest(c.fingerprint)],
    "public_key": lambda w, c, **_: [_digest(w) == _digest(c.public_key)],
    "certificates": lambda w, c, **_: [c.fingerprint in PINS[w]],
}

_PIN_KINDS = {MatcherKind.FINGERPRINT, MatcherKind.PUBLIC_KEY, MatcherKind.CERTIFICATES}


class NaivePolicy:
    """A policy that evaluates every rule, and every identity of it, for each call."""

    def __init__(self, authorization, identities):
        self._authorization = authorization
        self._identities = {identity.name: identity for identity in identities}

    def decide(self, peer, call, *, in_force):
        """Return effect and rule, and also both as if all rules were enforced."""
        decided = self._decide(peer, call, in_force, everything=False)
        return decided, self._decide(peer, call, in_force, everything=True)

    def _decide(self, peer, call, in_force, *, everything):
        for effect in (Effect.DENY, Effect.ALLOW):
            for rule in self._authorization.rules:
                if (
                    rule.effect is effect
                    and (rule.enforce or everything)
                    and (call.exists or effect is Effect.DENY)
                    and any(_path_fits(call.method, p) for p in rule.methods)
                    and (rule.listeners is None or call.listener in rule.listeners)
                    and any(
                        self.has(peer, n, trusted=effect is Effect.ALLOW, now=in_force)
                        for n in rule.identities
                    )
                    and all(_carries(call, c, effect) for c in rule.metadata)
                ):
                    return effect, rule
        return self._authorization.default, None

    def has(self, peer, name, *, trusted, now):
        """Return whether a peer is granted an identity (trusted), or claims it."""
        if name == "anyone":
            return True
        if peer.certificate is None:
            return name == "anonymous"
        if name in {"presented", "anonymous"}:
            return name == "presented"
        if name == "verified":
            return isinstance(peer, VerifiedPeer)
        return any(
            all(_matches(peer, c, trusted=trusted, now=now) for c in matcher.criteria)
            for matcher in self._identities[name].matchers
        )


def _matches(peer, criterion, *, trusted, now):
    if trusted:
        if criterion.kind in _PIN_KINDS:
            if not now:
                return False
        elif not isinstance(peer, VerifiedPeer):
            return False
    matches = _MATCHES[criterion.kind.value]
    return any(matches(criterion.value, peer.certificate, trusted=trusted))


def _path_fits(path, pattern):
    wanted = re.compile(re.escape(pattern).replace(r"\*", ".*"), re.DOTALL)
    return wanted.fullmatch(path) is not None


def _carries(call, condition, effect):
    values = condition.values
    if condition.key.endswith("-bin"):
        values = [base64.b64decode(value) for value in values]
    sent = [value for key, value in call.metadata if key == condition.key]
    if effect is Effect.ALLOW:
        return bool(sent) and all(value in values for value in sent)
    return any(value in values for value in sent)
