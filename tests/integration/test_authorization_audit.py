"""The audit: the fields of its events, their destination, and that calls never wait."""

from __future__ import annotations

import json
import logging
import re
import threading
from datetime import datetime, timedelta, timezone

import grpc
import pytest
from cryptography import x509
from support.bridge import eventually
from support.bridge_certs import authority, certificate
from support.guarded import KINDS, RUNTIMES, listeners, serve
from support.raw_http2 import raw_call
from support.services import PATIENCE

from grpcsecure.policy.rule_index import Call

UNARY = KINDS["unary"]
ANYONE = {"allow": ["anyone"], "methods": [UNARY]}
ALLOWING = {"it": ANYONE}
BILLING = {"deny": ["billing"], "methods": ["/helloworld.Greeter/*"]}


@pytest.fixture(scope="module", params=["threads", "asyncio"])
def world(request, tmp_path_factory):
    """A server on which each test enforces its own rules."""
    with serve(
        tmp_path_factory.mktemp("world"),
        authority("test CA"),
        request.param,
        on=listeners("grpc-mutual", "lenient-ca", "plain"),
    ) as world:
        yield world


@pytest.fixture
def file(tmp_path):
    """The path of the audit file."""
    return tmp_path / "audit.log"


def audited(rules=None, **audit):
    """Return an `authorization` block; keywords set `audit` and the `audit_*` keys."""
    block = {"audit": audit.pop("level", "denials")}
    block |= {f"audit_{key}": str(value) for key, value in audit.items()}
    return {**block, "rules": rules} if rules else block


def lines(file, count):
    """Wait until the audit file has at least `count` lines; return its lines."""
    eventually(lambda: file.exists() and file.read_text().count("\n") >= count)
    return file.read_text().splitlines()


def events(file, count):
    """Wait until the audit file has at least `count` events; return its events."""
    return [json.loads(line) for line in lines(file, count)]


def identities():
    """Return an identity for one of the test clients."""
    return {"billing": {"common_name": "billing"}}


class TestEvent:
    """The fields of an event."""

    def test_denial_by_a_rule(self, world, file):
        """The event has the caller, method, listener, time, rule and generation."""
        rules = {"not-billing": BILLING}
        snapshot = world.enforce(audited(rules, file=file), identities())
        before = datetime.now(timezone.utc) - timedelta(milliseconds=1)
        world.make_call("grpc-mutual", "billing", UNARY)
        [event] = events(file, 1)
        at = datetime.fromisoformat(event.pop("time"))
        assert before <= at <= datetime.now(timezone.utc)
        assert re.fullmatch(r"ipv4:127\.0\.0\.1:\d+", event.pop("address"))
        assert event == {
            "event": "call.denied",
            "listener": "grpc-mutual",
            "method": UNARY,
            "identities": ["billing"],
            "subject": "CN=billing,OU=Ops,O=Corp",
            "names": [
                "spiffe:spiffe://corp.example/billing",
                "dns:billing.corp.example",
                "email:billing@corp.example",
                "ip:10.1.2.3",
            ],
            "decision": "deny",
            "rule": "not-billing",
            "generation": snapshot.generation,
        }

    def test_denial_of_an_anonymous_caller(self, world, file):
        """The event of an anonymous caller has no subject, names or `unverified`."""
        world.enforce(audited(file=file))
        world.make_call("plain", "anonymous", "/no.Such/Method")
        [event] = events(file, 1)
        assert event["identities"] == []
        assert event["rule"] == "default"
        assert event["method"] == "/no.Such/Method"
        assert event.keys().isdisjoint({"subject", "names", "unverified"})

    def test_denial_of_an_unverified_caller(self, world, file):
        """The event gives the subject and the reason why it was not verified."""
        rules = {"not-billing": BILLING}
        world.enforce(audited(rules, file=file), identities())
        world.make_call("lenient-ca", "pretender", UNARY)
        [event] = events(file, 1)
        assert event["subject"] == "CN=billing,OU=Ops,O=Corp"
        assert event["unverified"] == "self-signed certificate"
        assert event["identities"] == []
        assert event["rule"] == "not-billing"

    def test_shadow_rule(self, world, file):
        """The event has the shadow rule's decision beside the one that was enforced."""
        rules = {"it": ANYONE, "shade": {**BILLING, "enforce": False}}
        world.enforce(audited(rules, file=file), identities())
        world.make_call("grpc-mutual", "billing", UNARY)
        [event] = events(file, 1)
        assert event["event"] == "call.allowed"
        assert (event["decision"], event["rule"]) == ("allow", "it")
        assert (event["shadow_decision"], event["shadow_rule"]) == ("deny", "shade")


class TestLevel:
    """Which decisions become events."""

    @pytest.mark.parametrize("level", ["denials", "all"])
    @pytest.mark.parametrize("where", ["file", "log"])
    def test_levels(self, world, file, caplog, level, where):
        """Level `denials` records denials, `all` every call, in file and log alike."""
        caplog.set_level(logging.INFO, "grpcsecure.audit")
        place = {"file": file} if where == "file" else {}
        world.enforce(audited(ALLOWING, level=level, **place))
        world.make_call("plain", "anonymous", UNARY)
        world.make_call("plain", "anonymous", KINDS["both streams"])

        def recorded():
            if where == "file":
                return [event["event"] for event in events(file, 1)]
            return [record.getMessage() for record in caplog.records]

        expected = {"denials": ["call.denied"], "all": ["call.allowed", "call.denied"]}
        eventually(lambda: recorded() == expected[level])
        if where == "file":
            assert caplog.records == []

    def test_off(self, world, file, caplog):
        """Level `off` records nothing; a later level takes effect at once."""
        caplog.set_level(logging.INFO, "grpcsecure.audit")
        world.enforce(audited(level="off", file=file))
        world.make_call("plain", "anonymous", KINDS["both streams"])
        world.enforce(audited(file=file))
        world.make_call("plain", "anonymous", KINDS["response stream"])
        [event] = events(file, 1)
        assert event["method"] == KINDS["response stream"]
        assert caplog.records == []

    def test_levels_of_the_log(self, world, caplog):
        """A denial is logged at WARNING, an allowed call at INFO."""
        caplog.set_level(logging.INFO, "grpcsecure.audit")
        world.enforce(audited(ALLOWING, level="all"))
        world.make_call("plain", "anonymous", UNARY)
        world.make_call("plain", "anonymous", KINDS["both streams"])
        eventually(lambda: len(caplog.records) == 2)
        assert [record.levelno for record in caplog.records] == [
            logging.INFO,
            logging.WARNING,
        ]


class TestFile:
    """The audit in a separate file (`audit_file`)."""

    def test_is_appended_to_and_private(self, world, file):
        """An existing file is appended to; a new file has mode 0600."""
        world.enforce(audited(file=file))
        world.make_call("plain", "anonymous", UNARY)
        assert len(lines(file, 1)) == 1
        assert file.stat().st_mode & 0o777 == 0o600
        other = file.with_name("other.log")
        other.write_text("was there\n")
        world.enforce(audited(file=other))
        world.make_call("plain", "anonymous", UNARY)
        assert lines(other, 2)[0] == "was there"

    def test_is_created_again_after_it_was_moved_away(self, world, file):
        """Log rotation by renaming loses no event and needs no signal to the server."""
        world.enforce(audited(file=file))
        world.make_call("plain", "anonymous", UNARY)
        assert len(lines(file, 1)) == 1
        moved = file.rename(file.with_suffix(".1"))
        world.make_call("plain", "anonymous", KINDS["both streams"])
        [event] = events(file, 1)
        assert event["method"] == KINDS["both streams"]
        assert len(lines(moved, 1)) == 1

    def test_as_text(self, world, file):
        """Text format writes one line per event, with two spaces between fields."""
        world.enforce(audited(file=file, format="text"))
        world.make_call("grpc-mutual", "stranger", UNARY)
        [line] = lines(file, 1)
        name, *fields = line.split("  ")
        assert name == "call.denied"
        event = dict(field.split("=", 1) for field in fields)
        assert event["subject"] == "CN=stranger"
        assert event["identities"] == "-"
        assert event["rule"] == "default"

    def test_full_disk_is_logged_once(self, world, caplog, file):
        """Calls go on; their events go to the log, and one log line has the reason."""
        world.enforce(audited(file="/dev/full"))
        for _ in range(3):
            answer = world.make_call("plain", "anonymous", UNARY)
            assert answer.code is grpc.StatusCode.UNAUTHENTICATED
        world.enforce(audited(file=file))
        world.make_call("plain", "anonymous", UNARY)
        assert len(lines(file, 1)) == 1
        failed, *events = caplog.records
        assert (failed.getMessage(), failed.file, failed.reason) == (
            "audit.failed",
            "/dev/full",
            "no space left on device",
        )
        assert [r.getMessage() for r in events] == ["call.denied"] * 3

    def test_link_is_not_followed(self, world, caplog, file):
        """A user who may write to the folder cannot redirect the audit by a link."""
        target = file.with_name("target")
        world.enforce(audited(file=file))
        file.symlink_to(target)
        world.make_call("plain", "anonymous", UNARY)
        eventually(lambda: len(caplog.records) == 2)
        names = [r.getMessage() for r in caplog.records]
        assert names == ["audit.failed", "call.denied"]
        assert not target.exists()


#: Hostile texts that a client may put into the common name of its certificate.
SUBJECTS = {
    "new line": "eve\ncall.allowed  rule=it",
    "carriage return": "eve\rcall.allowed",
    "further field": "eve  rule=it  decision=allow",
    "many spaces": "eve      x",
    "escape": "eve\x1b[2J",
    "NUL": "eve\0",
    "separators": "eve\u2028\u2029\x85\x0b\x0c\x1c",
    "right to left": "eve\u202e",
    "quotes": 'eve","rule":"it',
    "backslash": "eve\\",
    "not ASCII": "évé \U0001f600",
}


@pytest.mark.parametrize("form", ["json", "text"])
class TestHostileText:
    """Text that clients choose cannot forge an audit line or a field of one."""

    @pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)
    def test_subject(self, world, file, form, subject):
        """A hostile subject of a certificate is escaped."""
        world.enforce(audited(file=file, format=form))
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
        world.make_call("lenient-ca", certificate(name, key="eve"), UNARY)
        world.make_call("plain", "anonymous", UNARY)
        self.assert_sound(file, form)

    @pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)
    def test_method(self, world, file, form, subject):
        """A hostile method path is escaped."""
        world.enforce(audited(file=file, format=form))
        raw_call(world.server.addresses["plain"], b"/eve" + subject.encode())
        world.make_call("plain", "anonymous", UNARY)
        self.assert_sound(file, form)

    def test_long_method(self, world, file, form):
        """A very long method path is cut off."""
        world.enforce(audited(file=file, format=form))
        raw_call(world.server.addresses["plain"], b"/eve" + b"\x1b" * 50_000)
        world.make_call("plain", "anonymous", UNARY)
        self.assert_sound(file, form)
        assert file.stat().st_size < 20_000

    @staticmethod
    def assert_sound(file, form):
        """Assert that there are two events, each on one line with distinct fields."""
        lines(file, 2)
        text = file.read_bytes().decode()
        assert len(text.splitlines()) == text.count("\n") == 2
        assert all(c.isprintable() for c in text.replace("\n", ""))
        made = text.splitlines()
        if form == "json":
            first = json.loads(made[0])
        else:
            name, *fields = made[0].split("  ")
            assert name == "call.denied"
            keys = [field.partition("=")[0] for field in fields]
            assert len(keys) == len(set(keys))
            first = dict(field.split("=", 1) for field in fields)
        assert first["decision"] == "deny"
        assert first["rule"] == "default"
        shown = first.get("subject", first["method"])
        assert "eve" in shown or "évé" in shown


class BlockedHandler(logging.Handler):
    """A destination of the log that is stuck until `free` is set."""

    def __init__(self):
        super().__init__()
        self.entered = threading.Event()
        self.free = threading.Event()
        self.seen = []

    def emit(self, record):
        """Wait, then keep the record."""
        self.entered.set()
        assert self.free.wait(PATIENCE)
        self.seen.append(record)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_calls_do_not_wait_for_the_audit(runtime, tmp_path, monkeypatch):
    """Calls are answered while the log is stuck; lost events are counted."""
    log = logging.getLogger("grpcsecure.audit")
    stuck = BlockedHandler()
    monkeypatch.setattr(log, "handlers", [stuck])
    monkeypatch.setattr(log, "propagate", False)
    with serve(
        tmp_path,
        authority("test CA"),
        runtime,
        on=listeners("plain"),
        authorization=audited(),
    ) as world:
        with world.channel("plain") as channel:
            call = channel.unary_unary(UNARY)
            for _ in range(10):
                with pytest.raises(grpc.RpcError, match="not authenticated"):
                    call(b"", timeout=PATIENCE)
            assert stuck.entered.wait(PATIENCE)
            auditor = world.server._auditor
            snapshot = world.server._in_force.snapshot
            resolved = snapshot.resolvers["plain"].resolve(None)
            decision = snapshot.policy.decide(resolved.principal, Call(UNARY, "plain"))
            while auditor._waiting.qsize() < 10_000:
                auditor.record(snapshot, resolved, "", UNARY, decision)
            for _ in range(7):
                with pytest.raises(grpc.RpcError, match="not authenticated"):
                    call(b"", timeout=PATIENCE)
        stuck.free.set()
        eventually(auditor._waiting.empty)
    [record] = [r for r in stuck.seen if r.getMessage() == "audit.left_out"]
    assert record.events == 7
