"""The reason that a refused caller gets with `error_detail: full`."""

from __future__ import annotations

import pytest
from support.policies import certificate

from grpcsecure.model.authorization import Decision, Effect
from grpcsecure.server.rpc.authorizer import explain_denial
from grpcsecure.server.rpc.peer_cache import ResolvedPeer
from grpcsecure.tls.assessment import PeerAssessment

NOT_ALLOWED = Decision(effect=Effect.DENY, rule=None, is_known=True)

SPIFFE = "spiffe://corp.test/ns/prod/sa/web"


@pytest.mark.parametrize(
    ("names", "known_as"),
    [
        ({"subject": "CN=web"}, "CN=web"),
        ({"subject": "O=SPIRE,C=US", "uris": (SPIFFE,)}, SPIFFE),
        ({"dns": ("web.test", "www.web.test")}, "dns:web.test"),
        ({"emails": ("a\n@web.test",)}, r"email:a\n@web.test"),
        ({}, "a certificate without names"),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value) or "none",
)
def test_caller_without_an_identity_is_known_by_its_certificate(names, known_as):
    """The text has the SPIFFE id, the subject, or else the first alternative name."""
    shown = certificate(**names)
    assessment = PeerAssessment(
        certificate=shown,
        chain=(),
        reason=None,
        code=None,
        has_lapsed=False,
        is_unvouched=False,
        in_force=True,
        since=shown.not_before,
        until=shown.not_after,
    )
    reason = explain_denial(ResolvedPeer("public", assessment, None), NOT_ALLOWED)
    assert reason == f"no rule allows it (known as {known_as})"
