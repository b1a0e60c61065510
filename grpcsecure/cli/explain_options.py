"""The options of `explain` about one call, checked and turned into a `Question`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from grpcsecure.config.other_tools import find_key
from grpcsecure.diagnostics.nearby import find_nearby
from grpcsecure.diagnostics.suggest import did_you_mean
from grpcsecure.errors import UsageError
from grpcsecure.model.authorization import Matcher, MatcherKind
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from grpcsecure.explain.calls import Question
    from grpcsecure.explain.loaded_config import LoadedConfig
    from grpcsecure.explain.query_subject import QuerySubject
    from grpcsecure.model.authorization import Criterion

__all__ = ["CallOptions"]

#: The kinds of names in a synthetic certificate; files are for --cert.
_KINDS = {
    kind.value: kind for kind in MatcherKind if kind is not MatcherKind.CERTIFICATES
}

#: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, Custom-Metadata
_METADATA_KEY = re.compile(r"[0-9a-z_.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """The values of the options about one call, unchecked."""

    method: str | None = None
    names: tuple[str, ...] = ()
    cert: str | None = None
    anonymous: bool = False
    listener: str | None = None
    metadata: tuple[str, ...] = ()

    @property
    def needs_files(self) -> bool:
        """Whether the answer depends on certificates that the config names.

        A certificate is verified by the CAs of a listener, and a fingerprint may be
        that of a registered certificate.
        """
        pin = f"{MatcherKind.FINGERPRINT.value}:"
        return self.cert is not None or any(one.startswith(pin) for one in self.names)

    def refuse(self, other: str) -> None:
        """Refuse to combine any of the options with `other`.

        Raises:
            UsageError: one of them is given.
        """
        for option, value in (
            ("--method", self.method),
            *self._callers(),
            ("--listener", self.listener),
            ("--metadata", self.metadata),
        ):
            if value:
                raise UsageError(f"{option} and {other} exclude each other")

    def check(self) -> None:
        """Check that a method and exactly one caller are given.

        Raises:
            UsageError: they are not; the message says which is missing or too much.
        """
        if not self.method:
            raise UsageError("name the call: --method /package.Service/Method")
        given = [option for option, value in self._callers() if value]
        if len(given) > 1:
            raise UsageError(f"{given[0]} and {given[1]} exclude each other")
        if not given:
            raise UsageError(
                "name the caller: --as KIND:VALUE, --cert PEM or --anonymous"
            )

    def _callers(self) -> tuple[tuple[str, object], ...]:
        return (
            ("--as", self.names),
            ("--cert", self.cert),
            ("--anonymous", self.anonymous),
        )

    def question(self, loaded: LoadedConfig) -> Question:
        """Return the question; parse the values, look up listener and method.

        Raises:
            UsageError: the listener is unknown, no listener serves the method, or a
                value cannot be parsed.
        """
        from grpcsecure.explain.calls import Question, describe_unknown_method

        method = self.method or ""
        unknown = describe_unknown_method(loaded, method)
        if unknown is not None:
            # A typo: a server would deny the call, which is not what was asked.
            raise UsageError(unknown)
        return Question(
            subject=self._subject(loaded),
            method=method,
            listener=_find_listener(self.listener, loaded),
            metadata=tuple(_parse_metadata(self.metadata)),
        )

    def _subject(self, loaded: LoadedConfig) -> QuerySubject:
        from grpcsecure.explain.query_subject import QuerySubject

        if self.cert is not None:
            return _read_certificate(self.cert)
        if self.anonymous:
            return QuerySubject()
        for name in self.names:
            _refuse_identity(name, loaded)
        return QuerySubject(names=_parse_names(self.names))


def _find_listener(name: str | None, loaded: LoadedConfig) -> str | None:
    names = [one.name for one in loaded.config.listeners]
    if name is None or name in names:
        return name
    hint = did_you_mean(name, names) or f"there are {', '.join(map(quote, names))}"
    raise UsageError(f"no listener {quote(name)}, {hint}")


def _refuse_identity(name: str, loaded: LoadedConfig) -> None:
    """Refuse the name of an identity; `--as` takes a name in a certificate."""
    for identity in loaded.config.identities:
        if identity.name == name:
            first = identity.matchers[0].criteria[0]
            _refuse(
                name,
                "an identity; name what is in the certificate, such as"
                f" {first.kind.value}:{first.shown}",
            )


def _parse_names(texts: Iterable[str]) -> Matcher:
    criteria: dict[MatcherKind, Criterion] = {}
    for text in texts:
        criterion = _parse_name(text)
        if criterion.kind in criteria:
            _refuse(
                text,
                f"a second {criterion.kind.value}; use --cert for several of a kind",
            )
        criteria[criterion.kind] = criterion
    return Matcher(tuple(criteria.values()))


def _parse_name(text: str) -> Criterion:
    from grpcsecure.explain.query_subject import synthetic_name

    name, colon, value = text.partition(":")
    kind = _KINDS.get(name)
    if kind is None:
        _refuse(text, _no_such_kind(name))
    if not colon or not value:
        _refuse(text, "expected KIND:VALUE")
    try:
        return synthetic_name(kind, value)
    except ValueError as error:
        _refuse(text, str(error))


def _refuse(text: str, why: str) -> NoReturn:
    raise UsageError(f"--as {quote(text)}: {why}")


def _no_such_kind(name: str) -> str:
    if name == MatcherKind.CERTIFICATES.value:
        return "a file is for --cert"
    if name == "anonymous":
        return "did you mean `--anonymous`?"
    ours = find_key("Matcher", name, _KINDS)
    if ours in _KINDS:
        return f"did you mean `{ours}`?"
    hint = did_you_mean(name, _KINDS)
    return hint or f"expected KIND:VALUE, KIND one of {', '.join(_KINDS)}"


def _parse_metadata(texts: Iterable[str]) -> Iterator[tuple[str, str | bytes]]:
    from grpcsecure.model.name_patterns import parse_metadata_value

    for text in texts:
        key, equals, value = text.partition("=")
        key = key.lower()
        if not equals or not _METADATA_KEY.fullmatch(key):
            raise UsageError(f"--metadata {quote(text)}: expected KEY=VALUE")
        try:
            yield key, parse_metadata_value(key, value)
        except ValueError as error:
            raise UsageError(f"--metadata {quote(text)}: {error}") from None


def _read_certificate(name: str) -> QuerySubject:
    """Read a client's certificate, and the chain that the client would send.

    A private key in the same file is ignored.
    """
    from grpcsecure.explain.query_subject import QuerySubject
    from grpcsecure.tls.files import PemFile, read_files
    from grpcsecure.tls.pem import BrokenBlock

    path = Path(name)
    content = read_files([path])[path]
    if not isinstance(content, PemFile):
        meant = find_nearby(name) if content.is_missing else None
        hint = "" if meant is None else f"; did you mean {quote(meant)}?"
        raise UsageError(f"--cert {quote(name)}: {content.reason}{hint}")
    found = content.certificates()
    broken = next((one for one in found if isinstance(one, BrokenBlock)), None)
    if broken is not None:
        raise UsageError(f"--cert {quote(name)}: line {broken.line}: {broken.problem}")
    certificates = [one for one in found if not isinstance(one, BrokenBlock)]
    if not certificates:
        raise UsageError(f"--cert {quote(name)}: it contains no PEM certificate")
    leaf, *chain = certificates
    return QuerySubject(
        file=name, certificate=leaf, chain=tuple(one.der for one in chain)
    )
