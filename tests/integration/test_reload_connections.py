"""Connections that are open during a reload: which ones are closed, and when."""

from __future__ import annotations

import threading
import time
from math import inf

import grpc
import pytest
from grpc.experimental import session_cache
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.reloading import (
    PATIENCE,
    Site,
    authority,
    channel,
    client,
    greet,
    open_channel,
    refusal,
    serial_of,
    serving,
    text_of,
)
from support.servers import Conversation, failure

UNKNOWN = grpc.StatusCode.UNAUTHENTICATED
#: The handshake or the call is refused.
REFUSED = (grpc.StatusCode.UNAVAILABLE, UNKNOWN)
CUT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


@pytest.fixture(name="engine", params=["grpc", "bridge"])
def _engine(request):
    """The name of an engine."""
    return request.param


@pytest.mark.parametrize("runtime", ["threads", "asyncio"])
def test_stream_survives_new_certificates(engine, runtime, tmp_path):
    """Calls in flight and open connections are not affected by new certificates."""
    site = Site(tmp_path, engine, runtime=runtime)
    own = client("dns:ada.test", site.ca)
    gone = threading.Event()
    with (
        serving(site) as running,
        channel(site, running.address, own, gone=gone) as greeter,
    ):
        talk = Conversation(greeter)
        for word in ("one", "two", "three"):
            assert word in talk(word)
            new = site.rotate()
            running.applied()
            assert serial_of(site, running.address, own) == (
                new.certificate.serial_number
            )
            assert word in talk(word)
            greet(greeter)
        assert talk.end() == []
        assert not gone.is_set()


class CaRemoval:
    """The CA of the client's certificate is removed.

    Each class here is a way in which a certificate loses its validity, as functions of
    the site: `begin` sets up the client, `end` makes its certificate invalid, `undo`
    makes it valid again, `other` is a second client that `end_other` makes invalid.
    """

    reason = "unable to get local issuer certificate"

    @staticmethod
    def begin(site):
        """Set up the client and return it."""
        return client("dns:ada.test", site.ca)

    @staticmethod
    def end(site, own):
        """Make the client's certificate invalid."""
        site.put("ca.pem", text_of(authority("elsewhere")))

    @staticmethod
    def undo(site, own):
        """Make the client's certificate valid again, and another client's too."""
        site.second = authority("second")
        site.put("ca.pem", text_of(site.ca, site.second))

    @staticmethod
    def other(site):
        """Return the other client."""
        return client("dns:other.test", site.second)

    @staticmethod
    def end_other(site, own, other):
        """Make the other client's certificate invalid."""
        site.put("ca.pem", text_of(site.ca))


class Revocation:
    """The client's certificate is on a new CRL."""

    reason = "certificate revoked"

    @staticmethod
    def begin(site):
        """Set up the client and return it."""
        site.put("clients.crl", site.revoke())
        site.tls["crl"] = ["clients.crl"]
        site.write()
        return client("dns:ada.test", site.ca)

    @staticmethod
    def end(site, own):
        """Make the client's certificate invalid."""
        site.put("clients.crl", site.revoke(own))

    @staticmethod
    def undo(site, own):
        """Make the client's certificate valid again."""
        site.put("clients.crl", site.revoke())

    @staticmethod
    def other(site):
        """Return the other client."""
        return client("dns:other.test", site.ca)

    @staticmethod
    def end_other(site, own, other):
        """Make the other client's certificate invalid."""
        site.put("clients.crl", site.revoke(other))


class Unpinning:
    """The client's certificate is no longer registered by fingerprint."""

    reason = "the certificate is not registered any more"

    @staticmethod
    def begin(site):
        """Set up the client and return it."""
        own = client("dns:ada.test")
        site.tls["client_certificate"] = "require_but_dont_verify"
        del site.tls["client_ca"]
        site.pin(own)
        return own

    @staticmethod
    def end(site, own):
        """Make the client's certificate invalid."""
        site.pin(client("dns:ada.test"))

    @staticmethod
    def undo(site, own):
        """Make the client's certificate valid again, and another client's too."""
        site.second = client("dns:other.test")
        site.pin(own, site.second)

    @staticmethod
    def other(site):
        """Return the other client."""
        return site.second

    @staticmethod
    def end_other(site, own, other):
        """Make the other client's certificate invalid."""
        site.pin(own)


class Unregistering:
    """The client's file is removed from the directory of registered certificates."""

    reason = Unpinning.reason

    @staticmethod
    def begin(site):
        """Set up the client and return it."""
        own = client("dns:ada.test")
        site.tls["client_certificate"] = "require_but_dont_verify"
        del site.tls["client_ca"]
        (site.folder / "pinned").mkdir()
        site.put("pinned/a.pem", text_of(own))
        site.put("pinned/b.pem", text_of(client("dns:other.test")))
        site.config["identities"] = {"ada": {"certificates": "pinned/*.pem"}}
        site.allow(ada={"allow": ["ada"], "methods": ["*"]})
        site.write()
        return own

    @staticmethod
    def end(site, own):
        """Make the client's certificate invalid."""
        (site.folder / "pinned" / "a.pem").unlink()

    @staticmethod
    def undo(site, own):
        """Make the client's certificate valid again, and another client's too."""
        site.second = client("dns:other.test")
        site.put("pinned/c.pem", text_of(own, site.second))

    @staticmethod
    def other(site):
        """Return the other client."""
        return site.second

    @staticmethod
    def end_other(site, own, other):
        """Make the other client's certificate invalid."""
        site.put("pinned/c.pem", text_of(own))


class Expiry:
    """The client's certificate expires."""

    reason = "certificate has expired"

    @staticmethod
    def begin(site):
        """Set up the client and return it."""
        return client("dns:ada.test", site.ca, seconds=6)  # longer than a start

    @staticmethod
    def end(site, own):
        """Wait until the client's certificate has expired."""
        threading.Event().wait(
            own.certificate.not_valid_after_utc.timestamp() - time.time() + 1
        )


LAPSES = [CaRemoval, Revocation, Unpinning, Unregistering, Expiry]


class TestInvalidCertificate:
    """A certificate becomes invalid while its connection is open."""

    @pytest.mark.parametrize("lapse", LAPSES)
    def test_bridge_closes_after_the_last_call(self, lapse, tmp_path):
        """New calls are refused at once; the connection closes after its last call."""
        site = Site(tmp_path, "bridge")
        own = lapse.begin(site)
        gone = threading.Event()
        with (
            serving(site) as running,
            channel(site, running.address, own, gone=gone) as greeter,
        ):
            talk = Conversation(greeter)
            assert "one" in talk("one")
            lapse.end(site, own)
            if lapse is not Expiry:
                running.applied()
            assert refusal(greeter) is UNKNOWN
            assert "two" in talk("two")
            assert not gone.is_set()
            assert talk.end() == []
            line = running.log.wait("connection.closed")
            assert line["listener"] == "public"
            assert line["subject"] == "CN=ada.test"
            assert lapse.reason in line["reason"].lower()
            assert line["address"].startswith("ipv4:127.0.0.1:")
            assert "calls_cut" not in line
            assert gone.wait(PATIENCE)
            assert len(running.log.all("connection.closed")) == 1

    @pytest.mark.parametrize("lapse", [CaRemoval, Unpinning])
    def test_bridge_cuts_after_the_grace(self, lapse, tmp_path):
        """A call that runs longer than `shutdown_grace` is cut; the log counts it."""
        site = Site(tmp_path, "bridge")
        site.config["server"]["shutdown_grace"] = "1s"
        site.write()
        own = lapse.begin(site)
        with serving(site) as running, channel(site, running.address, own) as greeter:
            talk = Conversation(greeter)
            assert "one" in talk("one")
            lapse.end(site, own)
            applied = running.applied()
            line = running.log.wait("connection.closed")
            assert line["calls_cut"] == 1
            assert line["at"] - applied["at"] > 0.9
            assert failure(lambda: talk("two"))[0] in CUT

    def test_idle_connection_is_closed_soon(self, tmp_path):
        """A connection without running calls is closed before the grace is over."""
        site = Site(tmp_path, "bridge")
        site.config["server"]["shutdown_grace"] = "1h"
        site.write()
        own = client("dns:ada.test", site.ca)
        gone = threading.Event()
        with (
            serving(site) as running,
            channel(site, running.address, own, gone=gone) as greeter,
        ):
            greet(greeter)
            site.put("ca.pem", text_of(authority("other")))
            running.applied()
            running.log.wait("connection.closed")
            assert gone.wait(PATIENCE)
            assert refusal(greeter) is grpc.StatusCode.UNAVAILABLE

    @pytest.mark.parametrize("lapse", [CaRemoval, Expiry])
    def test_grpc_refuses_new_calls(self, lapse, tmp_path):
        """With engine grpc the connection stays open, and new calls are refused."""
        site = Site(tmp_path, "grpc")
        own = lapse.begin(site)
        gone = threading.Event()
        with (
            serving(site) as running,
            channel(site, running.address, own, gone=gone) as greeter,
        ):
            talk = Conversation(greeter)
            assert "one" in talk("one")
            lapse.end(site, own)
            if lapse is CaRemoval:
                running.applied()
            assert refusal(greeter) is UNKNOWN
            assert "two" in talk("two")
            assert refusal(greeter) is UNKNOWN
            assert talk.end() == []
            assert not gone.is_set()

    @pytest.mark.parametrize("lapse", LAPSES[:-1])
    @pytest.mark.parametrize("has_rules", [True, False])
    def test_certificate_valid_again_in_time_stays(self, lapse, has_rules, tmp_path):
        """A connection stays if its CA, CRL or pin is restored before its calls end.

        Another connection whose certificate stays invalid is closed by the same sweep.
        """
        site = Site(tmp_path, "bridge")
        own = lapse.begin(site)
        if has_rules and "authorization" not in site.config:
            site.allow(all={"allow": ["verified"], "methods": ["*"]})
            site.write()
        gone = threading.Event()
        with (
            serving(site) as running,
            channel(site, running.address, own, gone=gone) as greeter,
        ):
            talk = Conversation(greeter)
            assert "one" in talk("one")
            lapse.end(site, own)
            running.applied()
            assert refusal(greeter) is UNKNOWN
            lapse.undo(site, own)
            running.applied()
            assert refusal(greeter) is None
            assert talk.end() == []
            # That the other connection is closed shows that a sweep has taken place.
            other = lapse.other(site)
            with channel(site, running.address, other) as others:
                greet(others)
                lapse.end_other(site, own, other)
                running.applied()
                line = running.log.wait("connection.closed")
                assert line["subject"] == "CN=other.test"
            greet(greeter)
            assert not gone.is_set()
            assert len(running.log.all("connection.closed")) == 1

    def test_removed_rules_close_no_connection(self, tmp_path):
        """Without rules no registration is needed: every valid connection stays."""
        site = Site(tmp_path, "bridge")
        site.allow(all={"allow": ["verified"], "methods": ["*"]})
        site.write()
        own, other = client("dns:ada.test", site.ca), authority("other")
        site.put("ca.pem", text_of(site.ca, other))
        gone = threading.Event()
        with (
            serving(site) as running,
            channel(site, running.address, own, gone=gone) as greeter,
            channel(site, running.address, client("dns:other.test", other)) as others,
        ):
            greet(greeter)
            greet(others)
            del site.config["authorization"]
            site.write()
            running.applied()
            greet(greeter)
            site.put("ca.pem", text_of(site.ca))
            running.applied()
            line = running.log.wait("connection.closed")
            assert line["subject"] == "CN=other.test"
            assert not gone.is_set()
            assert len(running.log.all("connection.closed")) == 1

    def test_pin_does_not_replace_verification(self, tmp_path):
        """A verifying mode refuses a registered certificate whose CA was removed."""
        site = Site(tmp_path, "bridge")
        own = client("dns:ada.test", site.ca)
        site.pin(own)
        with serving(site) as running, channel(site, running.address, own) as greeter:
            greet(greeter)
            site.put("ca.pem", text_of(authority("other")))
            running.applied()
            line = running.log.wait("connection.closed")
            assert CaRemoval.reason in line["reason"]
            assert refusal(greeter) is grpc.StatusCode.UNAVAILABLE


def test_session_of_a_removed_ca_is_not_resumed(engine, tmp_path):
    """A saved TLS session does not help a client whose CA was removed."""
    site = Site(tmp_path, engine)
    own = client("dns:ada.test", site.ca)
    cached = ("grpc.ssl_session_cache", session_cache.ssl_session_cache_lru(1))
    with serving(site) as running:
        for _ in range(2):
            with open_channel(site, running.address, own, cached) as connection:
                greet(GreeterStub(connection))
        site.put("ca.pem", text_of(authority("other")))
        running.applied()
        with open_channel(site, running.address, own, cached) as connection:
            assert refusal(GreeterStub(connection)) in REFUSED


def test_postponed_swap_allows_no_call(tmp_path):
    """If a swap is postponed, handshakes still trust the old CA; calls are denied."""
    site = Site(tmp_path, "grpc")
    own, other = client("dns:ada.test", site.ca), authority("other")
    with serving(site) as running:
        [native] = running.server._background.ports._native["public"]._credentials
        native._not_before = inf
        site.put("ca.pem", text_of(other))
        running.applied()
        with channel(site, running.address, own) as greeter:
            assert refusal(greeter) is UNKNOWN
        native._not_before = 0.0
        with channel(site, running.address, own) as greeter:
            assert refusal(greeter) is grpc.StatusCode.UNAVAILABLE
        with channel(site, running.address, client("dns:ada.test", other)) as greeter:
            greet(greeter)


def test_claimed_connection_is_left_alone(tmp_path):
    """A connection whose certificate was never verified cannot lose its validity.

    A verified one on the same listener is closed by the same sweep.
    """
    site = Site(tmp_path, "bridge")
    site.tls["client_certificate"] = "request_but_dont_verify"
    site.write()
    gone = threading.Event()
    with (
        serving(site) as running,
        channel(site, running.address, client("dns:self.test"), gone=gone) as claimed,
        channel(site, running.address, client("dns:ada.test", site.ca)) as verified,
    ):
        assert "claimed" in greet(claimed)
        assert "(verified" in greet(verified)
        site.put("ca.pem", text_of(authority("other")))
        running.applied()
        line = running.log.wait("connection.closed")
        assert line["subject"] == "CN=ada.test"
        assert "claimed" in greet(claimed)
        assert not gone.is_set()
        assert len(running.log.all("connection.closed")) == 1


class TestAge:
    """The limits `max_connection_age` and `max_connection_age_grace`."""

    def test_old_connection_ends_and_the_next_one_follows(self, engine, tmp_path):
        """An idle client only has to connect again, which grpcio does by itself."""
        site = Site(tmp_path, engine)
        site.config["listeners"]["public"]["max_connection_age"] = "1s"
        site.write()
        own = client("dns:ada.test", site.ca)
        gone = threading.Event()
        with serving(site) as running:
            began = time.monotonic()
            with channel(site, running.address, own, gone=gone) as greeter:
                greet(greeter)
                assert gone.wait(PATIENCE)
                assert 0.8 < time.monotonic() - began < PATIENCE
                greet(greeter)

    def test_running_call_gets_the_grace(self, engine, tmp_path):
        """A stream is cut when both age and grace are over, not before."""
        site = Site(tmp_path, engine)
        site.config["listeners"]["public"].update(
            max_connection_age="1s", max_connection_age_grace="1s"
        )
        site.write()
        own = client("dns:ada.test", site.ca)
        with serving(site) as running, channel(site, running.address, own) as greeter:
            began = time.monotonic()
            talk = Conversation(greeter)
            assert "still here" in talk("still here")
            code, _ = failure(talk.wait_for_end)
            assert code in CUT
            assert 1.7 < time.monotonic() - began < PATIENCE
