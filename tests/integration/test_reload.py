"""Files that change while a server runs: each change is one reload and one log line."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from support.bridge import eventually
from support.mounted_files import Volume
from support.process import serving as serving_process
from support.reloading import (
    Site,
    authority,
    channel,
    client,
    greet,
    refusal,
    serial_of,
    serving,
    text_of,
)

from grpcsecure.server.reload import reloader
from grpcsecure.tls.bridge.parent import control_client
from grpcsecure.watch import debounce

#: A PEM block that cannot be parsed.
BROKEN = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


#: The methods that rules allow where they do not allow greetings.
HEALTH = ["/grpc.health.v1.Health/*"]


@pytest.fixture(name="engine", params=["grpc", "bridge"])
def _engine(request):
    """The name of an engine."""
    return request.param


#: Seconds for which a reload waits for the other file of a pair. LONG: longer than the
#: test, so that a reload that is applied was not the last attempt. SHORT: a rejection
#: comes soon; that it comes after 5 s is tested by `test_pair_that_never_fits`.
LONG, SHORT = 3600.0, 0.5


@pytest.fixture(name="wait_for_pairs")
def _wait_for_pairs(monkeypatch):
    """A function that sets the seconds for which reloads wait from now on."""

    def set_seconds(seconds):
        monkeypatch.setattr(debounce, "INCOMPLETE_FOR", seconds)

    return set_seconds


def pause(seconds):
    """Simulate a writer that pauses between two files."""
    threading.Event().wait(seconds)


def serial(pair):
    """Return the serial number of a certificate."""
    return pair.certificate.serial_number


def test_renamed_pair(engine, tmp_path):
    """The next handshake uses the new certificate; one log line reports the reload."""
    site = Site(tmp_path, engine)
    own = client("dns:ada.test", site.ca)
    with serving(site) as running, channel(site, running.address, own) as greeter:
        greet(greeter)
        assert serial_of(site, running.address, own) == serial(site.pair)
        new = site.rotate()
        line = running.applied()  # because of an event: the interval is an hour
        assert serial_of(site, running.address, own) == serial(new)
        assert line["generation"] == "1 -> 2"
        assert running.server.generation == 2
        assert line["changed"].startswith("public: certificate CN=server (serial ")
        greet(greeter)
        running.expect_nothing_more()


class TestSwaps:
    """Each way in which files can be replaced leads to exactly one reload."""

    def test_kubernetes_secret(self, tmp_path):
        """Updates of a mounted Secret, which swap the `..data` link, are reloaded."""
        site = Site(tmp_path, "grpc")

        def contents(pair):
            return {
                "tls.crt": pair.certificate_pem.decode(),
                "tls.key": pair.key_pem.decode(),
            }

        volume = Volume(tmp_path / "tls", contents(site.pair))
        site.tls.update(certificate="tls/tls.crt", private_key="tls/tls.key")
        site.write()
        own = client("dns:ada.test", site.ca)
        with serving(site) as running:
            for _ in range(3):
                pair = site.new_pair()
                volume.swap(contents(pair))
                running.applied()
                assert serial_of(site, running.address, own) == serial(pair)
            running.expect_nothing_more()

    def test_kubernetes_config_map(self, tmp_path):
        """Updates of a config that is in a mounted ConfigMap are reloaded."""
        site = Site(tmp_path, "grpc")
        for key in ("certificate", "private_key", "client_ca"):
            site.tls[key] = str(tmp_path / site.tls[key])
        site.allow(health={"allow": ["verified"], "methods": HEALTH})
        site.write()
        closed = site.path.read_text()
        volume = Volume(tmp_path / "config", {"server.yaml": closed})
        site.path = volume.folder / "server.yaml"
        site.allow(all={"allow": ["verified"], "methods": ["*"]})
        own = client("dns:ada.test", site.ca)
        with serving(site) as running, channel(site, running.address, own) as greeter:
            for _ in range(2):
                assert refusal(greeter) is not None
                # Write the config to a plain file, and copy its text to the volume.
                site.path = tmp_path / "server.yaml"
                site.write()
                volume.swap({"server.yaml": site.path.read_text()})
                assert running.applied()["changed"] == "authorization (- health, + all)"
                assert refusal(greeter) is None
                volume.swap({"server.yaml": closed})
                running.applied()
            running.expect_nothing_more()

    def test_written_in_pieces(self, wait_for_pairs, tmp_path):
        """A file that is written slowly is not read before it is complete."""
        wait_for_pairs(LONG)
        site = Site(tmp_path, "grpc")
        own = client("dns:ada.test", site.ca)
        with serving(site) as running:
            new = site.new_pair()
            for name, text in (
                ("server.pem", new.certificate_pem.decode()),
                ("server.key", new.key_pem.decode()),
            ):
                with (tmp_path / name).open("w") as stream:
                    for start in range(0, len(text), len(text) // 3):
                        stream.write(text[start : start + len(text) // 3])
                        stream.flush()
                        pause(0.3)
            running.applied()
            assert serial_of(site, running.address, own) == serial(new)
            running.expect_nothing_more()

    def test_second_half_follows(self, wait_for_pairs, tmp_path):
        """A reload waits for the second file of a pair and applies once both match."""
        wait_for_pairs(LONG)
        site = Site(tmp_path, "grpc")
        with serving(site) as running:
            new = site.new_pair()
            site.put("server.pem", new.certificate_pem.decode())
            pause(0.7)
            site.put("server.key", new.key_pem.decode())
            running.applied()
            running.expect_nothing_more()

    def test_pair_that_never_fits(self, engine, tmp_path):
        """A mismatched pair is rejected once, after 5 s.

        The log line has the remaining life of the certificate in force. The same bytes
        written again are not another change; a matching pair is applied at once.
        """
        site = Site(tmp_path, engine)
        own = client("dns:ada.test", site.ca)
        with serving(site) as running:
            in_force = site.pair
            began = time.monotonic()
            other = site.new_pair()
            site.put("server.pem", other.certificate_pem.decode())
            line = running.rejected()
            assert line["at"] - began > 4.5  # not much longer: test_debounce.py
            assert line["generation"] == "1 kept"
            assert "server.pem" in line["findings"]
            assert line["certificate_in_force"].startswith("CN=server, lives 23 hours")
            assert serial_of(site, running.address, own) == serial(in_force)
            site.put("server.pem", other.certificate_pem.decode())
            pause(0.5)
            new = site.rotate()
            running.applied()
            assert serial_of(site, running.address, own) == serial(new)
            running.expect_nothing_more()

    def test_bad_then_good(self, wait_for_pairs, tmp_path):
        """A broken file that is replaced soon by a good one is not reported."""
        wait_for_pairs(LONG)
        site = Site(tmp_path, "grpc")
        own = client("dns:ada.test", site.ca)
        with serving(site) as running:
            site.put("server.pem", BROKEN)
            pause(0.5)
            new = site.rotate()
            running.applied()
            assert serial_of(site, running.address, own) == serial(new)
            running.expect_nothing_more()

    @pytest.mark.parametrize(
        ("name", "finding"), [("server.key", "GS201"), ("server.yaml", "GS001")]
    )
    def test_missing_file_comes_back(self, wait_for_pairs, name, finding, tmp_path):
        """A short absence of a file is ignored, a longer one rejected; calls go on."""
        wait_for_pairs(LONG)
        site = Site(tmp_path, "grpc")
        own = client("dns:ada.test", site.ca)
        with serving(site) as running, channel(site, running.address, own) as greeter:
            path = site.folder / name
            away = path.rename(tmp_path / "away")
            pause(1)  # enough for an attempt, on a busy machine too
            away.rename(path)
            running.unchanged()
            wait_for_pairs(SHORT)
            path.rename(away)
            assert running.rejected()["findings"].startswith(finding)
            wait_for_pairs(LONG)
            greet(greeter)
            away.rename(path)
            running.unchanged()
            new = site.rotate()
            running.applied()
            assert serial_of(site, running.address, own) == serial(new)

    def test_config_names_other_files(self, tmp_path):
        """After a reload the files that the new config names are watched, no others."""
        site = Site(tmp_path, "grpc")
        own = client("dns:ada.test", site.ca)
        with serving(site) as running:
            pair = site.new_pair()
            (tmp_path / "other").mkdir()
            site.put("other/a.pem", pair.certificate_pem.decode())
            site.put("other/a.key", pair.key_pem.decode())
            site.tls.update(certificate="other/a.pem", private_key="other/a.key")
            site.write()
            running.applied()
            assert serial_of(site, running.address, own) == serial(pair)
            site.put("server.pem", BROKEN)
            pair = site.new_pair()
            site.put("other/a.pem", pair.certificate_pem.decode())
            site.put("other/a.key", pair.key_pem.decode())
            running.applied()
            assert serial_of(site, running.address, own) == serial(pair)

    def test_files_of_a_rejected_config_are_watched(self, wait_for_pairs, tmp_path):
        """Files that a rejected config names are watched beside those in force."""
        wait_for_pairs(SHORT)
        site = Site(tmp_path, "grpc")
        own = client("dns:ada.test", site.ca)
        with serving(site) as running:
            site.tls.update(certificate="new.pem", private_key="new.key")
            site.write()
            assert "new.pem" in running.rejected()["findings"]
            wait_for_pairs(LONG)
            pair = site.new_pair()
            site.put("new.pem", pair.certificate_pem.decode())
            site.put("new.key", pair.key_pem.decode())
            running.applied()
            assert serial_of(site, running.address, own) == serial(pair)

    @pytest.mark.parametrize("pattern", ["pinned", "pinned/*.pem"])
    def test_directory_of_registered_certificates(
        self, wait_for_pairs, pattern, tmp_path
    ):
        """Adding or removing a file registers or unregisters its certificate."""
        wait_for_pairs(SHORT)
        site = Site(tmp_path, "bridge")
        site.tls["client_certificate"] = "require_but_dont_verify"
        del site.tls["client_ca"]
        (tmp_path / "pinned").mkdir()
        first, second = client("dns:ada.test"), client("dns:bob.test")
        site.put("pinned/first.pem", text_of(first))
        site.config["identities"] = {"known": {"certificates": pattern}}
        site.allow(known={"allow": ["known"], "methods": ["*"]})
        site.write()
        with (
            serving(site) as running,
            channel(site, running.address, first) as firsts,
            channel(site, running.address, second) as seconds,
        ):
            assert refusal(firsts) is None
            assert refusal(seconds) is not None
            site.put("pinned/second.pem", text_of(second))
            changed = running.applied()["changed"]
            assert changed == "registered certificates (+ 1, - 0)"
            assert refusal(seconds) is None
            (tmp_path / "pinned" / "first.pem").unlink()
            running.applied()
            assert refusal(firsts) is not None
            assert refusal(seconds) is None
            site.put("pinned/third.pem", BROKEN)
            running.rejected()
            assert refusal(seconds) is None
            (tmp_path / "pinned" / "third.pem").unlink()
            running.unchanged()
            running.expect_nothing_more()


class TestWithoutEvents:
    """Reloads without file system events, which are only a hint."""

    def test_change_is_found_within_one_interval(self, engine, tmp_path):
        """Polling finds a change within one interval plus the settle time."""
        site = Site(tmp_path, engine)
        site.config["reload"] = {"interval": "1s", "events": False}
        site.write()
        own = client("dns:ada.test", site.ca)
        with serving(site) as running:
            latencies = []
            for _ in range(3):
                began = time.monotonic()
                new = site.rotate()
                latencies.append(running.applied()["at"] - began)
                assert serial_of(site, running.address, own) == serial(new)
        assert min(latencies) < 2.5  # a busy machine may delay any one of them

    def test_sighup_reloads_now(self, engine, tmp_path):
        """SIGHUP starts a reload attempt at once, whether files changed or not."""
        site = Site(tmp_path, engine)
        site.config["reload"] = {"interval": "1h", "events": False}
        site.write()
        own = client("dns:ada.test", site.ca)
        with serving_process(site.path) as server:
            address = server.addresses["public"]
            assert serial_of(site, address, own) == serial(site.pair)
            server.signal(signal.SIGHUP)
            eventually(
                lambda: "reload.unchanged  generation=1" in server.stderr,
                what="the line of the first signal",
            )
            new = site.rotate()
            assert serial_of(site, address, own) != serial(new)
            server.signal(signal.SIGHUP)
            eventually(
                lambda: "reload.applied  generation=1 -> 2" in server.stderr,
                what="the line of the second signal",
            )
            assert serial_of(site, address, own) == serial(new)
            server.signal()
            assert server.wait() == 0
            assert server.stderr.count("reload.") == 2


class TestRejected:
    """A rejected reload leaves everything as it was."""

    def test_whole_snapshot_stays(self, wait_for_pairs, engine, tmp_path):
        """With a bad CA file, neither a good new rule nor certificate is applied."""
        wait_for_pairs(SHORT)
        site = Site(tmp_path, engine)
        site.allow(all={"allow": ["verified"], "methods": ["*"]})
        site.write()
        own = client("dns:ada.test", site.ca)
        with serving(site) as running, channel(site, running.address, own) as greeter:
            greet(greeter)
            before, pair = running.server._in_force.snapshot, site.pair
            site.put("ca.pem", BROKEN)  # first, so that no attempt can be applied
            site.rotate()
            site.allow(health={"allow": ["verified"], "methods": HEALTH})
            site.write()
            assert "ca.pem" in running.rejected()["findings"]
            assert running.server._in_force.snapshot is before
            assert serial_of(site, running.address, own) == serial(pair)
            greet(greeter)

    def test_engine_that_does_not_answer(self, monkeypatch, tmp_path):
        """If the bridge does not apply a reload, grpc listeners do not either."""
        site = Site(tmp_path, "bridge")
        site.config["listeners"]["other"] = {
            "address": "127.0.0.1:0",
            "tls": {**site.tls, "engine": "grpc", "client_certificate": "dont_request"},
        }
        del site.config["listeners"]["other"]["tls"]["client_ca"]
        site.write()
        own = client("dns:ada.test", site.ca)
        with serving(site) as running:
            other = running.server.addresses["other"]
            before = site.pair
            bridge = running.server._background.ports._front._bridge
            eventually(lambda: bridge.pid is not None)
            os.kill(bridge.pid, signal.SIGSTOP)
            try:
                with monkeypatch.context() as patched:
                    patched.setattr(control_client, "_ANSWER_TIMEOUT", 0.5)
                    new = site.rotate()
                    assert "does not answer" in running.rejected()["findings"]
                assert serial_of(site, other) == serial(before)
            finally:
                os.kill(bridge.pid, signal.SIGCONT)
            assert serial_of(site, running.address, own) == serial(before)
            assert running.server.generation == 1
            running.server.reload()
            running.applied()
            assert serial_of(site, other) == serial(new)
            assert serial_of(site, running.address, own) == serial(new)

    def test_restarted_bridge_has_the_certificates_in_force(
        self, wait_for_pairs, tmp_path
    ):
        """A restarted bridge has the certificate applied last, never a rejected one."""
        site = Site(tmp_path, "bridge")
        own = client("dns:ada.test", site.ca)
        with serving(site) as running:
            bridge = running.server._background.ports._front._bridge
            new = site.rotate()
            running.applied()
            os.kill(bridge.pid, signal.SIGKILL)
            running.log.wait("bridge.restarted")
            assert serial_of(site, running.address, own) == serial(new)
            wait_for_pairs(SHORT)
            site.put("server.key", site.new_pair().key_pem.decode())
            running.rejected()
            os.kill(bridge.pid, signal.SIGKILL)
            running.log.wait("bridge.restarted", count=2)
            assert serial_of(site, running.address, own) == serial(new)

    def test_unexpected_error_is_rejected(self, monkeypatch, tmp_path):
        """An unexpected exception rejects the attempt and is logged; the next works."""
        site = Site(tmp_path, "grpc")

        def fail(*_arguments, **_options):
            raise ValueError("unexpected")

        with serving(site) as running:
            with monkeypatch.context() as patched:
                patched.setattr(reloader, "build_snapshot", fail)
                site.rotate()
                line = running.rejected()
                assert line["findings"] == "ValueError: unexpected"
            site.rotate()
            running.applied()

    def test_change_while_it_is_read_is_not_lost(
        self, wait_for_pairs, monkeypatch, tmp_path
    ):
        """A change between reading and rejecting a file leads to another attempt."""
        wait_for_pairs(LONG)
        site = Site(tmp_path, "grpc")
        load = reloader.load_rest
        good = text_of(site.ca, authority("further"))

        def load_and_change(loaded, *, now):
            result = load(loaded, now=now)
            if result.failed is not None and only_once.acquire(blocking=False):
                site.put("ca.pem", good)
            return result

        only_once = threading.Semaphore(1)
        monkeypatch.setattr(reloader, "load_rest", load_and_change)
        with serving(site) as running:
            site.put("ca.pem", BROKEN)
            line = running.applied()
            assert line["changed"] == "public: client CAs (+ CN=further)"

    def test_rejection_is_repeated_when_little_is_left(self, tmp_path):
        """An old rejection is logged again before the certificate in force expires.

        That is when a third of its life is left, here in a moment.
        """
        site = Site(tmp_path, "grpc")
        # Of a life of 36 s, 16 s are left: the last third begins in 4 s.
        site.rotate(since=20, seconds=16)
        with serving(site) as running:
            site.put(site.path.name, "version: 1\n")
            line = running.rejected()
            again = running.log.next_reload()
            assert again["event"] == "reload.still_rejected"
            assert again["findings"] == line["findings"]
            assert again["certificate_in_force"].startswith("CN=server, ")
            assert running.log.all("certificate.expiring")[-1]["subject"] == "CN=server"
