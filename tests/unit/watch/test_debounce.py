"""When a reload is tried, against a clock that is passed in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_files import HINT, POKE, FakeFiles, Try, Write
from support.findings import PATIENT

#: What adding up times may cost.
EPSILON = 1e-6


def at(seconds):
    """Return a time that adding up floats may have come to."""
    return pytest.approx(seconds, abs=EPSILON)


def heard(*writes):
    """Return pairs of a time and contents as events."""
    return [(moment, Write(content)) for moment, content in writes]


def test_first_look_is_at_once():
    """What changed between reading the files and watching them is not lost."""
    files = FakeFiles(interval=10)
    assert files.live([(0, Write("B", is_heard=False))]) == [Try(at(0.2), "B")]


def test_change_is_tried_once_it_has_settled():
    """An event and new contents lead to one try, a settle time later."""
    assert FakeFiles().live(heard((1, "B"))) == [Try(at(1.2), "B")]


def test_hint_without_a_difference_is_nothing():
    """Events are hints only: the contents are the truth."""
    files = FakeFiles()
    assert files.live([(moment / 10, HINT) for moment in range(100)]) == []


def test_storm_of_events_costs_two_looks_per_settle_time():
    """Reading all files for each of a thousand events would be an attack on us."""
    files = FakeFiles()
    files.live([(moment / 1000, HINT) for moment in range(1000)], until=1.0)
    assert files.looks == 11


def test_pieces_are_waited_for():
    """Whoever writes in pieces is let finish: one try, of the whole."""
    pieces = heard((1, "B"), (1.15, "C"), (1.3, "D"), (1.45, "E"))
    assert FakeFiles().live(pieces) == [Try(at(1.65), "E")]


def test_changes_without_end_are_not_waited_for():
    """A second after the first change what there is is tried, and the last one too."""
    endless = heard(*((1 + 0.15 * n, f"B{n}") for n in range(16)))
    tries = FakeFiles().live(endless)
    assert [(each.at, each.content) for each in tries] == [
        (at(2.0), "B6"),
        (at(3.05), "B13"),
        (at(3.45), "B15"),
    ]


def test_change_that_is_undone_is_nothing():
    """What holds again what is in force has not changed."""
    assert FakeFiles().live(heard((1, "B"), (1.1, "A"))) == []


def test_poll_finds_what_no_event_told():
    """Without events a change is tried within one interval, settled as well."""
    files = FakeFiles(interval=10)
    assert files.live([(9.9, Write("B", is_heard=False))]) == [Try(at(19.8), "B")]


def test_bad_contents_are_tried_once():
    """Rejected once is rejected; the next contents have a try of their own."""
    files = FakeFiles(interval=1)
    assert files.live([(1, Write("BAD")), (9, HINT), (20, Write("GOOD"))]) == [
        Try(at(1.2), "BAD"),
        Try(at(20.2), "GOOD"),
    ]


def test_going_back_to_what_was_good_is_tried():
    """Whoever takes a mistake back sees that it is taken back."""
    assert FakeFiles().live(heard((1, "BAD"), (9, "A"))) == [
        Try(at(1.2), "BAD"),
        Try(at(9.2), "A"),
    ]


def test_poke_is_a_try_at_once_changed_or_not():
    """SIGHUP means now."""
    assert FakeFiles().live([(5, POKE), (7, Write("B")), (7.1, POKE)]) == [
        Try(5, "A", is_poked=True),
        Try(7.1, "B", is_poked=True),
    ]


def test_other_half_of_a_pair_is_waited_for():
    """An incomplete pair is tried again when something comes."""
    assert FakeFiles().live(heard((1, "half"), (3, "WHOLE"))) == [
        Try(at(1.2), "half"),
        Try(at(3.2), "WHOLE"),
    ]


def test_other_half_is_seen_without_events_too():
    """While a pair is incomplete, no interval is waited for."""
    events = [(1, Write("half")), (3, Write("WHOLE", is_heard=False))]
    half, whole = FakeFiles().live(events)
    assert half == Try(at(1.2), "half")
    assert whole.content == "WHOLE"
    assert 3.2 <= whole.at <= 3.4 + EPSILON


def test_incomplete_pair_is_final_after_five_seconds():
    """Nobody waits for ever: the last try says that it is the last, and it is."""
    assert FakeFiles(interval=1).live(heard((1, "half"))) == [
        Try(at(1.2), "half"),
        Try(at(6.2), "half", is_last=True),
    ]


def test_wait_for_a_pair_is_not_prolonged_by_other_halves():
    """Five seconds count from the first incomplete pair."""
    tries = FakeFiles().live(heard((1, "half"), (3, "other"), (6.1, "third")))
    assert tries == [
        Try(at(1.2), "half"),
        Try(at(3.2), "other"),
        Try(at(6.2), "third", is_last=True),
    ]


def test_each_incomplete_pair_has_a_wait_of_its_own():
    """What was final for one pair is not for the next."""
    tries = FakeFiles().live(heard((1, "half"), (30, "other")))
    assert [(each.at, each.is_last) for each in tries] == [
        (at(1.2), False),
        (at(6.2), True),
        (at(30.2), False),
        (at(35.2), True),
    ]


EVENTS = st.lists(
    st.tuples(
        st.floats(0, 1.5, width=16),
        st.one_of(
            st.builds(Write, st.sampled_from(["A", "B", "C", "half"]), st.booleans()),
            st.sampled_from([HINT, POKE]),
        ),
    ),
    max_size=30,
)


def timed(gaps):
    """Return what happens at its time instead of after a pause."""
    moment, events = 0.0, []
    for gap, what in gaps:
        moment += gap
        events.append((moment, what))
    return events


@PATIENT
@given(EVENTS, st.sampled_from([0.5, 2.0, 10.0]))
def test_whatever_happens_the_invariants_hold(gaps, interval):
    """Nothing is missed, nothing tried for nothing, and nothing too often."""
    files = FakeFiles(interval=interval)
    tries = files.live(timed(gaps))
    assert [each.content for each in [Try(0, "A"), *tries]][-1] == files.content
    for before, after in zip([Try(-9, "A"), *tries], tries, strict=False):
        if not after.is_poked and not after.is_last:
            assert after.content != before.content
            assert after.at >= before.at + files.settle - EPSILON
    if tries and not tries[-1].content.isupper():
        assert tries[-1].is_last


@PATIENT
@given(EVENTS, st.sampled_from([0.5, 2.0, 10.0]))
def test_last_contents_are_tried_in_time(gaps, interval):
    """Half a settle time later than at best when heard, in an interval when not."""
    events = timed(gaps)
    files = FakeFiles(interval=interval)
    tries = [each for each in files.live(events) if not each.is_last]
    content, changed_at, is_heard = "A", 0.0, True
    for moment, what in events:
        if isinstance(what, Write) and what.content != content:
            content, changed_at, is_heard = what.content, moment, what.is_heard
    if tries and tries[-1].at >= changed_at and not tries[-1].is_poked:
        late = 0.3 if is_heard else interval
        first = next(each for each in tries if each.at >= changed_at)
        assert first.at <= changed_at + late + EPSILON


@PATIENT
@given(EVENTS)
def test_each_poke_is_answered(gaps):
    """Whoever asks for a reload gets one, at that moment."""
    events = timed(gaps)
    moments = {each.at for each in FakeFiles().live(events) if each.is_poked}
    assert moments == {moment for moment, what in events if what == POKE}


@PATIENT
@given(EVENTS)
def test_incomplete_is_final_within_five_seconds(gaps):
    """From the first half of a pair to the verdict it takes five seconds at most."""
    first = None
    for each in FakeFiles().live(timed(gaps)):
        if each.content.isupper() or each.is_last:
            assert first is None or each.at <= first + 5 + EPSILON
            first = None
        elif first is None:
            first = each.at
