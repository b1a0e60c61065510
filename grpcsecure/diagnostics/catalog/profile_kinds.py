"""GS136 and GS137: names in profiles that the file does not have."""

from __future__ import annotations

from grpcsecure.diagnostics.findings import Kind, Severity

__all__ = ["SIMILAR_NEW_NAME", "UNKNOWN_PATCHED_NAME"]

UNKNOWN_PATCHED_NAME = Kind(
    code="GS136",
    name="unknown-patched-name",
    severity=Severity.ERROR,
    what="A profile, or a file over its includes, changes or removes a listener, an"
    " identity or a rule that is not there.",
    why="The name is misspelled: the one that is meant stays as it is, and what is"
    " taken away is still there.",
    bad="listeners: {pubic: {address: '127.0.0.1:8444'}}",
    good="listeners: {public: {address: '127.0.0.1:8444'}}",
)

SIMILAR_NEW_NAME = Kind(
    code="GS137",
    name="similar-new-name",
    severity=Severity.WARNING,
    what="A profile adds a listener, an identity or a rule with nearly the name of"
    " another one.",
    why="If the name is misspelled, the profile adds one instead of changing one.",
    bad="listeners: {pubic: {address: '127.0.0.1:8444', plaintext: true}}",
    good="listeners: {probes: {address: '127.0.0.1:8444', plaintext: true}}",
)
