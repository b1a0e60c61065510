"""Certificates, CAs and rules rotate under load, and every call has the right outcome.

Eight clients make one call after the other, half of them on lasting connections, half
on a new one for each call. Of each half, two are always allowed; one moves to the new
CA only after its own was removed; one is a guest, which the rules allow and deny in
turns.
"""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest
from support.callers import ExpectedOutcomes, start_callers
from support.effort import repeats
from support.reloading import (
    SETTLE,
    Site,
    authority,
    client,
    serial_of,
    serving,
    text_of,
)

from grpcsecure.watch import debounce

#: Rotations of everything; in each round one or two reloads are rejected.
ROUNDS = repeats(3, 10)

_STEADY, _GUEST = "dns:steady.test", "dns:guest.test"
_GREETER = ["/helloworld.Greeter/*"]


class Rotation:
    """One run: the site, its clients, and when each client is allowed."""

    def __init__(self, site):
        self.site = site
        self.ca = site.ca
        # The guest's CA stays: only the rules change for it.
        self.guests = authority("guests")
        self.guest = client(_GUEST, self.guests)
        self.steady = client(_STEADY, self.ca)
        self.expected = {
            self.guest: ExpectedOutcomes(),
            self.steady: ExpectedOutcomes(),
        }
        self.write_cas(self.ca)
        self.write_rules(lets_guests_in=True)

    def begin(self, running, stack):
        """Start all clients."""
        self.running = running
        for expected in self.expected.values():
            expected.allow_from(time.monotonic())
        roles = {
            "first": self.steady,
            "second": self.steady,
            "straggler": self.steady,
            "guest": self.guest,
        }
        self.callers = start_callers(self.site, running.address, roles, stack)

    def write_cas(self, *cas):
        """Write the CA file: these CAs and the one of the guests."""
        self.site.put("ca.pem", text_of(*cas, self.guests))

    def write_rules(self, *, lets_guests_in):
        """Write the config, with or without the guests in its rule."""
        names = ["steady", "guest"] if lets_guests_in else ["steady"]
        self.site.config["identities"] = {
            "steady": {"dns": "steady.test"},
            "guest": {"dns": "guest.test"},
        }
        self.site.allow(greetings={"allow": names, "methods": _GREETER})
        self.site.write()

    def wait(self, role, since, own, *, refused):
        """Wait until each client of a role made a call that began after `since`."""
        for caller in self.callers[role]:
            caller.wait(since, own, refused=refused)

    # The rotations, and reloads that are rejected.

    def rotate_pair(self):
        """Rotate the server's pair; the next handshake has the new certificate."""
        new = self.site.rotate()
        self.running.applied()
        serial = serial_of(self.site, self.running.address, self.steady)
        assert serial == new.certificate.serial_number

    def rotate_ca(self):
        """Rotate the client CA: trust old and new, move the clients, trust the new."""
        old, old_steady = self.ca, self.steady
        self.ca = authority("clients")
        self.steady = client(_STEADY, self.ca)
        self.expected[self.steady] = ExpectedOutcomes()
        self.write_cas(old, self.ca)
        at = self.running.applied()["at"]
        self.expected[self.steady].allow_from(at)
        for role in ("first", "second"):
            for caller in self.callers[role]:
                caller.use_credential(self.steady)
            self.wait(role, at, self.steady, refused=False)
        self.expected[old_steady].begin_change()
        self.write_cas(self.ca)
        at = self.running.applied()["at"]
        self.expected[old_steady].deny_from(at)
        self.wait("straggler", at + SETTLE, old_steady, refused=True)
        for caller in self.callers["straggler"]:
            caller.use_credential(self.steady)

    def rotate_rules(self, number):
        """Change the rule: guests are allowed in odd rounds and denied in even ones."""
        lets_in = number % 2 == 1
        expected = self.expected[self.guest]
        expected.begin_change()
        self.write_rules(lets_guests_in=lets_in)
        at = self.running.applied()["at"]
        if lets_in:
            expected.allow_from(at)
        else:
            expected.deny_from(at)
            at += SETTLE
        self.wait("guest", at, self.guest, refused=not lets_in)

    def break_something(self, kind):
        """Break one file, which is rejected and changes nothing; then restore it."""
        good = self.site.path.read_text()
        generation = self.running.server.generation
        if kind == 0:
            pair = self.site.pair
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(debounce, "INCOMPLETE_FOR", 0.5)
                self.site.put("server.key", self.site.new_pair().key_pem.decode())
                self.running.rejected()
            self.site.write_pair(pair)
        else:
            bad = [
                good[: len(good) // 2],
                good.replace('"steady"', '"unknown"', 1),
                good.replace('"runtime"', '"runtimes"'),
                good.replace("127.0.0.1:0", "127.0.0.1:1"),
            ][kind - 1]
            self.site.put(self.site.path.name, bad)
            self.running.rejected()
            self.site.put(self.site.path.name, good)
        self.running.unchanged()
        assert self.running.server.generation == generation

    def verdicts(self):
        """Yield every call with its caller and expected outcome; None allows either."""
        for callers in self.callers.values():
            for caller in callers:
                for call in caller.calls:
                    yield caller, call, self.expected[call.credential].of(call)


@pytest.mark.parametrize("engine", ["grpc", "bridge"])
@pytest.mark.parametrize("runtime", ["threads", "asyncio"])
def test_rotation_under_load(engine, runtime, tmp_path):
    """Calls have the right outcome while pairs, CAs and rules change or are bad."""
    rotation = Rotation(Site(tmp_path, engine, runtime=runtime))
    with serving(rotation.site) as running, ExitStack() as stack:
        rotation.begin(running, stack)
        kinds = range(5)
        for number in range(ROUNDS):
            rotation.rotate_pair()
            rotation.rotate_ca()
            rotation.rotate_pair()
            rotation.rotate_rules(number)
            rotation.rotate_pair()
            for kind in kinds[number::ROUNDS]:
                rotation.break_something(kind)
        running.expect_nothing_more()
        stack.close()
    verdicts = [*rotation.verdicts()]
    wrong = [
        (caller.keeps_connection, call, wanted)
        for caller, call, wanted in verdicts
        if wanted is not None and wanted is not (call.refused is None)
    ]
    assert wrong == []
    for keeps_connection in (True, False):
        assert_all_was_tried(rotation, keeps_connection, verdicts)


def assert_all_was_tried(rotation, keeps_connection, verdicts):
    """Assert that clients made many calls and that each removal was noticed."""
    calls = [
        (call, wanted)
        for caller, call, wanted in verdicts
        if caller.keeps_connection is keeps_connection
    ]
    assert sum(wanted is True for _, wanted in calls) > 100
    had_to_fail = [call.began for call, wanted in calls if wanted is False]
    removals = [
        span
        for expected in rotation.expected.values()
        for span in expected.denied_spans()
    ]
    assert len(removals) == ROUNDS + (ROUNDS + 1) // 2
    for start, end in removals:
        assert any(start <= began < end for began in had_to_fail)
