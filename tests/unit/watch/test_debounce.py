"""Tests of `Debounce`: when it tries a reload, with a simulated clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_files import HINT, TRIGGER, FakeFiles, Try, Write
from support.findings import PATIENT

from grpcsecure.watch.debounce import POSTPONED_FOR, Debounce, DebounceStep

#: Tolerance for rounding when times are added up.
EPSILON = 1e-6


def at(seconds):
    """Return a time that compares equal within `EPSILON`."""
    return pytest.approx(seconds, abs=EPSILON)


def writes(*contents):
    """Return writes with events, given pairs of a time and contents."""
    return [(moment, Write(content)) for moment, content in contents]


def test_first_check_is_immediate():
    """A change between reading the files and watching them is not lost."""
    files = FakeFiles(interval=10)
    assert files.run([(0, Write("B", has_event=False))]) == [Try(at(0.2), "B")]


def test_change_is_tried_once_it_has_settled():
    """An event and new contents lead to one try, a settle time later."""
    assert FakeFiles().run(writes((1, "B"))) == [Try(at(1.2), "B")]


def test_hint_without_a_difference_causes_no_try():
    """Events are only hints: a reload is tried only if the contents differ."""
    files = FakeFiles()
    assert files.run([(moment / 10, HINT) for moment in range(100)]) == []


def test_many_events_cause_two_checks_per_settle_time():
    """Reading all files for each of a thousand events would allow a DoS attack."""
    files = FakeFiles()
    files.run([(moment / 1000, HINT) for moment in range(1000)], until=1.0)
    assert files.checks == 11


def test_file_written_in_pieces_is_tried_once():
    """The try waits until the writer has finished."""
    pieces = writes((1, "B"), (1.15, "C"), (1.3, "D"), (1.45, "E"))
    assert FakeFiles().run(pieces) == [Try(at(1.65), "E")]


def test_endless_changes_are_tried_after_a_second():
    """A second after the first change a reload is tried, and also after the last."""
    endless = writes(*((1 + 0.15 * n, f"B{n}") for n in range(16)))
    tries = FakeFiles().run(endless)
    assert [(each.at, each.content) for each in tries] == [
        (at(2.0), "B6"),
        (at(3.05), "B13"),
        (at(3.45), "B15"),
    ]


def test_change_that_is_undone_causes_no_try():
    """Contents that are again equal to those in force do not count as changed."""
    assert FakeFiles().run(writes((1, "B"), (1.1, "A"))) == []


def test_polling_finds_a_change_without_event():
    """Without events a settled change is tried within one interval."""
    files = FakeFiles(interval=10)
    assert files.run([(9.9, Write("B", has_event=False))]) == [Try(at(19.8), "B")]


def test_bad_contents_are_tried_once():
    """Rejected contents are not tried again; the next contents are tried."""
    files = FakeFiles(interval=1)
    assert files.run([(1, Write("BAD")), (9, HINT), (20, Write("GOOD"))]) == [
        Try(at(1.2), "BAD"),
        Try(at(20.2), "GOOD"),
    ]


def test_return_to_good_contents_is_tried():
    """An operator who reverts a mistake sees a successful reload."""
    assert FakeFiles().run(writes((1, "BAD"), (9, "A"))) == [
        Try(at(1.2), "BAD"),
        Try(at(9.2), "A"),
    ]


def test_trigger_causes_an_immediate_try_without_a_change():
    """SIGHUP reloads immediately."""
    assert FakeFiles().run([(5, TRIGGER), (7, Write("B")), (7.1, TRIGGER)]) == [
        Try(5, "A", is_triggered=True),
        Try(7.1, "B", is_triggered=True),
    ]


def test_incomplete_pair_is_tried_again_after_a_change():
    """A key and certificate that arrive one after the other are applied together."""
    assert FakeFiles().run(writes((1, "half"), (3, "WHOLE"))) == [
        Try(at(1.2), "half"),
        Try(at(3.2), "WHOLE"),
    ]


def test_incomplete_pair_is_polled_every_settle_time():
    """The second file is found without events, and before the interval is over."""
    events = [(1, Write("half")), (3, Write("WHOLE", has_event=False))]
    half, whole = FakeFiles().run(events)
    assert half == Try(at(1.2), "half")
    assert whole.content == "WHOLE"
    assert 3.2 <= whole.at <= 3.4 + EPSILON


def test_incomplete_pair_is_final_after_five_seconds():
    """Then the reload is tried a last time, with `is_last` set."""
    assert FakeFiles(interval=1).run(writes((1, "half"))) == [
        Try(at(1.2), "half"),
        Try(at(6.2), "half", is_last=True),
    ]


def test_wait_for_a_pair_is_not_prolonged_by_further_incomplete_pairs():
    """Five seconds count from the first incomplete pair."""
    tries = FakeFiles().run(writes((1, "half"), (3, "other"), (6.1, "third")))
    assert tries == [
        Try(at(1.2), "half"),
        Try(at(3.2), "other"),
        Try(at(6.2), "third", is_last=True),
    ]


def test_later_incomplete_pair_gets_the_full_wait_again():
    """The wait for one pair does not shorten the wait for the next."""
    tries = FakeFiles().run(writes((1, "half"), (30, "other")))
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
            st.sampled_from([HINT, TRIGGER]),
        ),
    ),
    max_size=30,
)


def timed(gaps):
    """Return actions with their times, given actions with the pauses before them."""
    moment, events = 0.0, []
    for gap, action in gaps:
        moment += gap
        events.append((moment, action))
    return events


@PATIENT
@given(EVENTS, st.sampled_from([0.5, 2.0, 10.0]))
def test_invariants_hold_for_any_events(gaps, interval):
    """No change is missed, none is tried twice, and no tries follow too closely."""
    files = FakeFiles(interval=interval)
    tries = files.run(timed(gaps))
    assert [each.content for each in [Try(0, "A"), *tries]][-1] == files.content
    for before, after in zip([Try(-9, "A"), *tries], tries, strict=False):
        if not after.is_triggered and not after.is_last:
            assert after.content != before.content
            assert after.at >= before.at + files.settle - EPSILON
    if tries and not tries[-1].content.isupper():
        assert tries[-1].is_last


@PATIENT
@given(EVENTS, st.sampled_from([0.5, 2.0, 10.0]))
def test_last_contents_are_tried_in_time(gaps, interval):
    """With an event, within 1.5 settle times of the change; else within an interval."""
    events = timed(gaps)
    files = FakeFiles(interval=interval)
    tries = [each for each in files.run(events) if not each.is_last]
    content, changed_at, has_event = "A", 0.0, True
    for moment, action in events:
        if isinstance(action, Write) and action.content != content:
            content, changed_at = action.content, moment
            has_event = action.has_event
    if tries and tries[-1].at >= changed_at and not tries[-1].is_triggered:
        late = 0.3 if has_event else interval
        first = next(each for each in tries if each.at >= changed_at)
        assert first.at <= changed_at + late + EPSILON


@PATIENT
@given(EVENTS)
def test_each_trigger_causes_a_try(gaps):
    """A requested reload is tried at that moment."""
    events = timed(gaps)
    moments = {each.at for each in FakeFiles().run(events) if each.is_triggered}
    assert moments == {moment for moment, action in events if action == TRIGGER}


@PATIENT
@given(EVENTS)
def test_incomplete_is_final_within_five_seconds(gaps):
    """From the first file of a pair to the final outcome it takes at most 5 seconds."""
    first = None
    for each in FakeFiles().run(timed(gaps)):
        if each.content.isupper() or each.is_last:
            assert first is None or each.at <= first + 5 + EPSILON
            first = None
        elif first is None:
            first = each.at


@pytest.mark.parametrize("happens", ["change", "trigger", "hint"])
def test_postponed_contents_are_checked_again(happens):
    """What could not be read now is not lost, and is not tried all the time."""
    debounce = Debounce("a", now=0.0, interval=60.0)
    assert debounce.advance(0.0, "a") is DebounceStep.NOTHING
    if happens == "trigger":
        debounce.trigger()
    else:
        debounce.hint(10.0)
    if happens == "change":
        assert debounce.advance(10.0, "b") is DebounceStep.NOTHING
        assert debounce.advance(10.2, "b") is DebounceStep.TRY
    debounce.postpone(10.2)
    assert debounce.due == at(10.2 + POSTPONED_FOR)
    expected = DebounceStep.NOTHING if happens == "hint" else DebounceStep.TRY
    assert debounce.advance(debounce.due, "b" if happens == "change" else "a") is (
        expected
    )
