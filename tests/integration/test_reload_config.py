"""Edits of a running server's config: some apply at once, others need a restart."""

from __future__ import annotations

import json
import re
import signal
from datetime import datetime, timezone

import grpc
import pytest
from support.bridge import eventually
from support.process import serving as serving_process
from support.reloading import (
    Site,
    channel,
    client,
    greet,
    refusal,
    serial_of,
    serving,
)
from support.servers import failure

from grpcsecure.checking.pipeline import load_config
from grpcsecure.config.source import read_source
from grpcsecure.server.reload.reloader import Reloader
from grpcsecure.server.snapshot import InForce, build_snapshot
from grpcsecure.watch.debounce import AttemptOutcome

DENIED = grpc.StatusCode.PERMISSION_DENIED
UNKNOWN = grpc.StatusCode.UNAUTHENTICATED

EVERYTHING = ["/helloworld.Greeter/*"]
HEALTH = ["/grpc.health.v1.Health/*"]


@pytest.fixture(name="site", params=["grpc", "bridge"])
def _site(request, tmp_path):
    """A site whose rules allow the client `ada.test`."""
    site = Site(tmp_path, request.param)
    site.config["identities"] = {"ada": {"dns": "ada.test"}}
    site.allow(greetings={"allow": ["ada"], "methods": EVERYTHING})
    site.write()
    return site


def test_rules(site):
    """Calls on an open connection are decided by the new rules."""
    own = client("dns:ada.test", site.ca)
    with serving(site) as running, channel(site, running.address, own) as greeter:
        greet(greeter)
        site.allow(greetings={"allow": ["ada"], "methods": HEALTH})
        site.write()
        assert running.applied()["changed"] == "authorization (~ greetings)"
        assert refusal(greeter) is DENIED
        site.allow(greetings={"allow": ["verified"], "methods": EVERYTHING})
        site.write()
        running.applied()
        assert refusal(greeter) is None
        del site.config["authorization"]
        site.write()
        line = running.applied()
        assert line["changed"].startswith("authorization (none any more")
        assert refusal(greeter) is None
        running.expect_nothing_more()


def test_warnings_are_in_the_log_line(site):
    """The line of a reload has new warnings once, such as for a missing deny rule."""
    with serving(site) as running:
        site.allow(greetings={"allow": ["anyone"], "methods": EVERYTHING})
        site.write()
        line = running.applied()
        assert line["levelname"] == "WARNING"
        assert re.fullmatch(
            r"GS403 .*`ada` \(.*\); GS408 .* to `anyone` \(.*:\d+:\d+\)",
            line["warnings"],
        )
        site.config["server"]["error_detail"] = "full"
        site.write()
        assert running.applied()["warnings"].startswith("GS409 ")
        site.config["server"]["error_detail"] = "none"
        site.write()
        line = running.applied()
        assert line["levelname"] == "INFO"
        assert "warnings" not in line


def test_warning_about_unchanged_content(site):
    """A key file that becomes readable for all users is reported as a warning."""
    with serving(site) as running:
        (site.path.parent / "server.key").chmod(0o644)
        running.server.reload()
        assert running.unchanged()["warnings"].startswith("GS227 ")


def test_config_without_rules_may_be_half_written(site):
    """A config that lost its rules would allow every call: the reload waits first."""
    site.allow(all={"allow": ["verified"], "methods": EVERYTHING})
    site.write()
    now = datetime.now(timezone.utc)
    source = read_source(str(site.path))
    servable = load_config(source, profile=None, environ={}, now=now).servable()
    in_force = InForce(
        build_snapshot(servable.config, servable.materials, pins={}, generation=1)
    )
    reloader = Reloader(
        servable,
        in_force,
        environ={},
        prepare=lambda _: in_force.snapshot.warm_up,
        on_applied=lambda: None,
    )
    del site.config["authorization"]
    site.write()
    assert reloader.attempt(last=False).outcome is AttemptOutcome.INCOMPLETE
    assert in_force.snapshot.policy is not None
    assert reloader.attempt(last=True).outcome is AttemptOutcome.SETTLED
    assert in_force.snapshot.policy is None


def test_identities(site):
    """Identities of a client on an open connection are determined anew."""
    own = client("dns:ada.test", site.ca)
    with serving(site) as running, channel(site, running.address, own) as greeter:
        greet(greeter)
        site.config["identities"]["ada"] = {"dns": "lovelace.test"}
        site.write()
        assert running.applied()["changed"] == "identities (~ ada)"
        assert refusal(greeter) is DENIED


def test_error_detail(site):
    """A changed `error_detail` applies at once, on open connections too."""
    own = client("dns:bob.test", site.ca)
    with serving(site) as running, channel(site, running.address, own) as greeter:
        assert failure(lambda: greet(greeter)) == (DENIED, "not authorized")
        site.config["server"]["error_detail"] = "full"
        site.write()
        assert running.applied()["changed"] == "error_detail full"
        assert failure(lambda: greet(greeter)) == (
            DENIED,
            "not authorized: no rule allows it (known as CN=bob.test)",
        )


def test_audit(site, tmp_path):
    """Audit events use the level and file of the current config and its generation."""
    own = client("dns:ada.test", site.ca)
    with serving(site) as running, channel(site, running.address, own) as greeter:
        greet(greeter)
        site.config["authorization"]["audit"] = "all"
        site.write()
        running.applied()
        greet(greeter)
        event = running.log.wait("call.allowed")
        assert (event["generation"], event["rule"]) == (2, "greetings")
        site.config["authorization"]["audit_file"] = "audit.log"
        site.write()
        running.applied()
        greet(greeter)
        running.server.stop()
        (line,) = (tmp_path / "audit.log").read_text().splitlines()
        assert json.loads(line)["generation"] == 3


def test_policy_tests(site):
    """Policy tests of the config run at each reload; a failing one rejects it."""
    own = client("dns:ada.test", site.ca)
    with serving(site) as running, channel(site, running.address, own) as greeter:
        greet(greeter)
        call = "/helloworld.Greeter/SayHello"
        test = {"as": {"dns": "ada.test"}, "call": call, "expect": "allow"}
        site.config["authorization"]["tests"] = [test]
        site.write()
        assert running.applied()["changed"] == "authorization (tests)"
        site.config["identities"]["ada"] = {"dns": "lovelace.test"}
        site.write()
        findings = running.rejected()["findings"]
        assert findings.startswith("GS414 a test fails: `/helloworld.Greeter/SayHello`")
        greet(greeter)
        site.config["authorization"]["tests"] = [{**test, "expect": "deny"}]
        site.write()
        running.applied()
        assert refusal(greeter) is DENIED


def test_profile(site):
    """The profile that the server was started with is applied to the new config too."""
    own = client("dns:bob.test", site.ca)
    site.config["profiles"] = {
        "open": {
            "authorization": {
                "rules": {"greetings": {"allow": ["verified"]}},
            }
        }
    }
    site.write()
    with (
        serving(site, profile="open") as running,
        channel(site, running.address, own) as greeter,
    ):
        greet(greeter)
        site.config["server"]["error_detail"] = "full"
        site.write()
        assert running.applied()["changed"] == "error_detail full"
        greet(greeter)
        site.config["profiles"]["open"] = {"server": {"error_detail": "none"}}
        site.write()
        running.applied()
        assert failure(lambda: greet(greeter)) == (DENIED, "not authorized")


def test_config_from_standard_input(tmp_path):
    """A config from stdin cannot change, but the files that it names are reloaded."""
    site = Site(tmp_path, "grpc")
    own = client("dns:ada.test", site.ca)
    text = site.path.read_text()
    site.path.unlink()
    with serving_process("-", stdin=text, cwd=tmp_path) as server:
        # A signal before files are watched must not be lost.
        server.signal(signal.SIGHUP)
        eventually(lambda: "reload.unchanged  generation=1" in server.stderr)
        new = site.rotate()
        eventually(lambda: "reload.applied  generation=1 -> 2" in server.stderr)
        found = serial_of(site, server.addresses["public"], own)
        assert found == new.certificate.serial_number


def plaintext():
    """Return the config of a plaintext listener, to be added."""
    return {"address": "127.0.0.1:0", "plaintext": True}


#: Edits that need a restart: the path of the key, its new value, and the name that the
#: finding gives.
RESTARTS = [
    (("services",), [{"servicer": "helloworld.greeter_aio:Greeter"}], "services"),
    (("server", "threads"), 3, "server.threads"),
    (("server", "shutdown_grace"), "1s", "server.shutdown_grace"),
    (("server", "runtime"), "auto", "server.runtime"),
    (("reload", "interval"), "2h", "reload.interval"),
    (("listeners", "more"), plaintext(), "listeners.more"),
    (
        ("listeners", "public", "address"),
        "127.0.0.1:1",
        "listeners.public.address",
    ),
    (
        ("listeners", "public", "max_connection_age"),
        "1h",
        "listeners.public.max_connection_age",
    ),
    (
        ("listeners", "public", "tls", "client_certificate"),
        "request_but_dont_verify",
        "listeners.public.tls.client_certificate",
    ),
    (
        ("listeners", "public", "tls", "handshake_timeout"),
        "1s",
        "listeners.public.tls.handshake_timeout",
    ),
]


def test_keys_that_need_a_restart_are_named(tmp_path):
    """The finding names the key and its line; other edits are not applied either.

    Undoing the edit is enough to make reloads work again.
    """
    site = Site(tmp_path, "bridge")
    site.allow(greetings={"allow": ["verified"], "methods": EVERYTHING})
    site.write()
    own = client("dns:ada.test", site.ca)
    good = json.dumps(site.config)
    with serving(site) as running, channel(site, running.address, own) as greeter:
        for keys, value, name in RESTARTS:
            block = site.config
            for key in keys[:-1]:
                block = block[key]
            block[keys[-1]] = value
            site.allow(greetings={"deny": ["verified"], "methods": EVERYTHING})
            site.write()
            findings = running.rejected()["findings"]
            assert f"`{name}` cannot change while the server runs" in findings
            assert f"({site.place(*keys)}:" in findings
            greet(greeter)
            site.config = json.loads(good)
            site.write()
            running.unchanged()


def test_removed_keys_and_listeners_need_a_restart(tmp_path):
    """A removed key is reported at its nearest parent that is still in the file."""
    site = Site(tmp_path, "grpc")
    site.config["listeners"]["more"] = plaintext()
    site.config["server"]["threads"] = 3
    site.write()
    with serving(site) as running:
        del site.config["listeners"]["more"]
        site.write()
        findings = running.rejected()["findings"]
        assert "`listeners.more` cannot change" in findings
        site.config["listeners"]["more"] = plaintext()
        del site.config["server"]["threads"]
        site.write()
        findings = running.rejected()["findings"]
        assert "`server.threads` cannot change" in findings
        assert f"({site.path}:" in findings


def test_edit_that_needs_another_engine(tmp_path):
    """An edit that needs another engine is rejected; the finding names the key.

    The engine of `engine: auto` is chosen at the start. A listener that uses the bridge
    already applies the same edit.
    """
    site = Site(tmp_path, "grpc")
    site.tls["engine"] = "auto"
    site.write()
    with serving(site) as running:
        site.put("clients.crl", site.revoke())
        site.tls["crl"] = ["clients.crl"]
        site.write()
        findings = running.rejected()["findings"]
        assert "`listeners.public.tls.crl` cannot change" in findings


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("version: 1\nversion: 1\n", "GS103"),
        ("{", "GS101"),
        ("", "GS"),
        ("version: 1\nservices: []\nlisteners: {}\n", "GS1"),
    ],
)
def test_mistakes_in_the_file(text, code, tmp_path):
    """The log line has the findings of `validate`, with their places, on one line."""
    site = Site(tmp_path, "grpc")
    with serving(site) as running:
        site.put(site.path.name, text)
        line = running.rejected()
        assert line["findings"].startswith(code)
        assert "\n" not in line["findings"]
        assert line["generation"] == "1 kept"
        site.write()
        running.unchanged()
