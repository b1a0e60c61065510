"""Configs and callers for tests of `explain`."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from support.process import ROOT

from grpcsecure.config.source import Source
from grpcsecure.explain.calls import Question, explain_call
from grpcsecure.explain.loaded_config import load_for_explain
from grpcsecure.explain.query_subject import QuerySubject
from grpcsecure.model.authorization import Criterion, Matcher, MatcherKind

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ANONYMOUS", "CONFIG", "HELLO", "ask", "caller", "load", "tls"]

#: A caller without a certificate.
ANONYMOUS = QuerySubject()

HELLO = "/helloworld.Greeter/SayHello"


def tls(mode, *, client_ca=True):
    """Return the `tls` block of a listener with the certificates of `certs dev`."""
    ca = ", client_ca: certs/ca.pem" if client_ca else ""
    return (
        "tls: {certificate: certs/server.pem, private_key: certs/server.key,"
        f" client_certificate: {mode}{ca}}}"
    )


#: The first part of a config: the example's service, and a listener that verifies every
#: client.
CONFIG = f"""\
version: 1
services: [{{servicer: 'helloworld.greeter:Greeter'}}]
server: {{import_paths: ['{ROOT / "examples"}']}}
listeners:
  public: {{address: '127.0.0.1:0', {tls("require_and_verify")}}}
"""


def load(folder: Path, text: str, *, with_services=True, profile=None, environ=None):
    """Load a config, as if it were in `folder` beside `certs`, for `explain`."""
    return load_for_explain(
        Source("shop.yaml", folder, text),
        profile=profile,
        environ=environ or {},
        now=datetime.now(timezone.utc),
        with_services=with_services,
    )


def caller(**names: str) -> QuerySubject:
    """Return a caller with these names in its certificate, by keys of `identities`."""
    criteria = (Criterion(MatcherKind(kind), value) for kind, value in names.items())
    return QuerySubject(names=Matcher(tuple(criteria)))


def ask(loaded, subject, method=HELLO, *, listener=None, metadata=(), now=None):
    """Return the explanation of a call, with a loaded config."""
    question = Question(
        subject=subject, method=method, listener=listener, metadata=metadata
    )
    return explain_call(
        loaded, question, now=datetime.now(timezone.utc) if now is None else now
    )
