"""The summary of rules on the screen of `serve`."""

from __future__ import annotations

import sys

from support.policy_checks import load
from support.process import ROOT

from grpcsecure.checking.pipeline import Phase
from grpcsecure.server.policy_summary import summarize_policy

CONFIG = f"""\
version: 1
services: [{{servicer: 'helloworld.greeter:Greeter'}}]
server: {{import_paths: ['{ROOT / "examples"}'], health: false, reflection: true}}
listeners:
  plain: {{address: '127.0.0.1:0', plaintext: true}}
authorization:
  rules: {{greet: {{allow: [anyone], methods: ['/helloworld.Greeter/*']}}}}
"""


def test_methods_that_no_rule_allows_are_told_apart(monkeypatch):
    """A method that two services have is named with its service."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    loaded = load(CONFIG, last=Phase.SERVICES)
    assert summarize_policy(loaded.document, loaded.services) == (
        "default deny  1 rule  4 of 6 methods reachable,"
        " `grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo`,"
        " `grpc.reflection.v1.ServerReflection/ServerReflectionInfo`"
        " denied to everyone"
    )
