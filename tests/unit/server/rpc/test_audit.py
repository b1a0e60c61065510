"""Audit events are bounded in size, escaped, and written despite logging errors."""

from __future__ import annotations

import logging
import pickle
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.findings import PATIENT
from support.policies import certificate

from grpcsecure.model.server_config import ImportPath, ServerConfig, ServiceEntry
from grpcsecure.server.event_text import clip, escape, render_text
from grpcsecure.server.rpc.audit import UNVERIFIED, Auditor, _event
from grpcsecure.server.rpc.peer_cache import ResolvedPeer
from grpcsecure.server.snapshot import Snapshot
from grpcsecure.tls.assessment import PresentedCertificate, assess
from grpcsecure.tls.handshake_result import HandshakeResult

SNAPSHOT = Snapshot(
    generation=1,
    config=ServerConfig(
        services=(ServiceEntry(servicer=ImportPath("a", "B")),), listeners=()
    ),
    materials={},
    resolvers={},
    policy=None,
)


def resolved(**names):
    """Return a peer with a certificate of these names, which was not verified."""
    result = HandshakeResult(
        listener="public",
        chain=(bytes(100_000),),
        unverified_reason="p" * 100_000,
    )
    assessment = assess(
        result,
        PresentedCertificate(certificate(**names)),
        rechecks=None,
        now=datetime.now(timezone.utc),
    )
    return ResolvedPeer("public", assessment, None)


def test_event_keeps_only_the_shown_part_of_client_data():
    """The size of a queued event is bounded: ten thousand take some megabytes."""
    peer = resolved(subject="s" * 100_000, dns=("d" * 100_000,) * 9, der=bytes(100_000))
    event = _event(SNAPSHOT, peer, "ipv4:127.0.0.1:1", "/" * 100_000, UNVERIFIED)
    assert len(pickle.dumps(event)) < 10_000


def names_of(**names):
    """Return an event's names of a certificate, and the event's text."""
    fields = _event(SNAPSHOT, resolved(**names), "", "/a.B/C", UNVERIFIED).fields()
    return fields.get("names"), render_text("call.denied", fields)


def test_event_has_the_names_of_a_certificate_with_empty_subject():
    """Many certificates only have a SPIFFE id or a DNS name."""
    uri = "spiffe://corp.test/ns/prod/sa/web"
    names, text = names_of(uris=(uri,), dns=("web.test",))
    assert names == [f"spiffe:{uri}", "dns:web.test"]
    assert f"  names=spiffe:{uri},dns:web.test  " in text
    assert names_of()[0] is None


def test_event_has_few_names():
    """A certificate with thousands of names cannot fill the disk."""
    names, _ = names_of(dns=tuple(f"h{number}.test" for number in range(5000)))
    assert names == [f"dns:h{number}.test" for number in range(5)]


def test_names_cannot_forge_a_name():
    """A name cannot forge another name by a comma, nor a field, nor a line."""
    forged = "https://x.test/,dns:admin.test  decision=allow\n"
    names, text = names_of(uris=(forged,))
    assert names == [r"uri:https://x.test/\x2cdns:admin.test \x20decision=allow\n"]
    assert text.count("  decision=") == text.count("decision=deny") == 1


@pytest.mark.properties
@PATIENT
@given(text=st.text(st.sampled_from(" a\0\n\u2028é"), min_size=1000, max_size=1100))
def test_clipped_text_is_shown_like_the_whole(text):
    """`escape` shows a clipped text like the whole one, marked as cut off."""
    assert escape(clip(text)) == escape(text)


def test_event_that_cannot_be_written_does_not_end_the_audit(caplog):
    """If a logging filter raises for one event, the next event is still written."""
    logger = logging.getLogger("grpcsecure.audit")
    auditor = Auditor()

    def choke(record):
        if getattr(record, "method", None) == "/a.B/Choking":
            raise ValueError("no such record")
        return True

    logger.addFilter(choke)
    try:
        for method in ("/a.B/Choking", "/a.B/Written"):
            auditor.record(SNAPSHOT, resolved(), "unix:", method, UNVERIFIED)
        auditor.close()
    finally:
        logger.removeFilter(choke)
    assert [r.getMessage() for r in caplog.records] == [
        "audit.unwritten",
        "call.denied",
    ]
