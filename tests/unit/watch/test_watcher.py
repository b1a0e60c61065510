"""Watching real files: every kind of swap, with events and without."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from support import many_swaps
from support.mounted_files import rename_over
from support.process import run_program
from support.swaps import SCENARIOS
from support.watching import PATIENCE, Witness

from grpcsecure.watch import mounts
from grpcsecure.watch.debounce import AttemptOutcome
from grpcsecure.watch.digest import WatchSet, digest

#: Seconds that are promised with events. Polling has as many here, for a busy machine:
#: that it needs one interval at most is tested against a clock of our own.
IN_TIME = 1.0
INTERVAL = 0.4

WAYS = {
    "events": {"interval": 600, "events": True},
    "polling": {"interval": INTERVAL, "events": False},
}


@pytest.fixture(name="way", params=WAYS)
def _way(request):
    """With events and an interval that never ends, or with polling only."""
    return WAYS[request.param]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_every_swap_is_tried_once_and_in_time(scenario, way, tmp_path):
    """Each time, not the first time only; and what is read is what is there now."""
    steps = scenario(tmp_path)
    with Witness(next(steps), **way) as witness:
        witness.wait_until_armed()
        for expected in steps:
            changed = time.monotonic()
            seen = witness.next()
            assert seen.contents == {str(key): text for key, text in expected.items()}
            assert seen.at - changed < IN_TIME
        witness.expect_quiet()
        assert witness.fallbacks.empty()


@pytest.fixture(name="path")
def _path(tmp_path):
    """A file to watch."""
    path = tmp_path / "x.pem"
    path.write_text("0")
    return path


def test_change_between_reading_and_watching_is_found(path, way):
    """The digest is of what was read, so nothing is lost before the first look."""
    witness = Witness(WatchSet(files=(path,)), **way)
    path.write_text("1")
    with witness:
        assert witness.next(IN_TIME).contents == {str(path): "1"}


def test_pieces_with_pauses_are_one_change(path):
    """As long as pieces come faster than a settle time, the writer is let finish."""
    pause = threading.Event()
    with Witness(WatchSet(files=(path,)), **WAYS["events"]) as witness:
        witness.wait_until_armed()
        with path.open("w") as stream:
            for piece in "abcde":
                stream.write(piece)
                stream.flush()
                pause.wait(0.05)
        assert witness.next(IN_TIME).contents == {str(path): "abcde"}
        witness.expect_quiet()


def test_reading_and_noise_are_no_change(path, way):
    """Neither our own reading nor what neighbours do leads to a try."""
    with Witness(WatchSet(files=(path,)), **way) as witness:
        witness.wait_until_armed()
        for n in range(200):
            path.read_text()
            path.with_name(f"neighbour{n}").write_text("x")
            os.utime(path)
            path.write_text("0")
        witness.expect_quiet()


def test_storm_of_changes_is_tried_once_per_settle_time(path):
    """A thousand writes in a row cost a handful of reloads, the last of them right."""
    with Witness(WatchSet(files=(path,)), **WAYS["events"]) as witness:
        witness.wait_until_armed()
        for n in range(1000):
            rename_over(path, f"{n}")
        tries = [witness.next(2 * IN_TIME)]
        while tries[-1].contents != {str(path): "999"}:
            tries.append(witness.next(2 * IN_TIME))
        witness.expect_quiet()
    times = [each.at for each in tries]
    assert all(b - a >= 0.2 for a, b in pairwise(times))


def test_poke_tries_at_once(path, way):
    """SIGHUP, whose handler calls it, reloads without any change."""
    with Witness(WatchSet(files=(path,)), **way) as witness:
        witness.wait_until_armed()
        before = signal.signal(signal.SIGHUP, lambda *_: witness.watcher.trigger())
        try:
            began = time.monotonic()
            signal.raise_signal(signal.SIGHUP)
            assert witness.next(IN_TIME).at - began < IN_TIME
        finally:
            signal.signal(signal.SIGHUP, before)
        witness.expect_quiet()


def test_failing_attempt_does_not_end_the_watching(path, way, caplog):
    """An unexpected exception is logged once, and the next change has its own try."""

    def fail(seen):
        if seen.contents[str(path)] == "1":
            raise RuntimeError("a bug")
        return AttemptOutcome.SETTLED

    with Witness(WatchSet(files=(path,)), **way, answers=fail) as witness:
        path.write_text("1")
        witness.next(IN_TIME)
        witness.expect_quiet()
        path.write_text("2")
        assert witness.next(IN_TIME).contents == {str(path): "2"}
    (record,) = caplog.records
    assert "a bug" in caplog.text
    assert (record.name, record.message) == ("grpcsecure.reload", "reload.crashed")


def test_pair_that_comes_in_halves_is_tried_twice(tmp_path, way):
    """The second half is applied as soon as it is there."""
    crt, key = tmp_path / "x.crt", tmp_path / "x.key"
    crt.write_text("0")
    key.write_text("0")

    def fits(seen):
        is_pair = len(set(seen.contents.values())) == 1
        return AttemptOutcome.SETTLED if is_pair else AttemptOutcome.INCOMPLETE

    with Witness(WatchSet(files=(crt, key)), **way, answers=fits) as witness:
        key.write_text("1")
        assert witness.next(IN_TIME).contents[str(crt)] == "0"
        crt.write_text("1")
        assert witness.next(IN_TIME).contents == {str(crt): "1", str(key): "1"}
        witness.expect_quiet()


def test_pair_that_stays_incomplete_is_final(path):
    """The last try says that it is, five seconds later, and is the last."""
    with Witness(
        WatchSet(files=(path,)),
        **WAYS["polling"],
        answers=lambda _: AttemptOutcome.INCOMPLETE,
    ) as witness:
        path.write_text("1")
        first = witness.next(IN_TIME)
        last = witness.next(5 + IN_TIME)
        assert (first.is_last, last.is_last) == (False, True)
        assert last.at - first.at == pytest.approx(5, abs=0.5)
        witness.expect_quiet()


def test_other_files_are_watched_after_a_replacement(path, tmp_path, way):
    """A reload that names other files has them watched, and the old ones no more."""
    other = tmp_path / "elsewhere" / "y.pem"
    other.parent.mkdir()
    other.write_text("0")
    watch = WatchSet(files=(other,))

    def rename(seen):
        if list(seen.contents) == [str(path)]:
            witness.watch = watch
            witness.watcher.replace(digest(watch))
        return AttemptOutcome.SETTLED

    with Witness(WatchSet(files=(path,)), **way, answers=rename) as witness:
        path.write_text("1")
        witness.next(IN_TIME)
        witness.expect_quiet()
        other.write_text("1")
        assert witness.next(IN_TIME).contents == {str(other): "1"}
        path.write_text("2")
        witness.expect_quiet()


def test_replacement_that_changed_meanwhile_is_tried(path, tmp_path, way):
    """What changed after it was read, while it was not watched yet, is not lost."""
    other = tmp_path / "y.pem"
    other.write_text("0")
    watch = WatchSet(files=(other,))

    def rename(seen):
        if list(seen.contents) == [str(path)]:
            witness.watch = watch
            seen_now = digest(watch)
            other.write_text("1")
            witness.watcher.replace(seen_now)
        return AttemptOutcome.SETTLED

    with Witness(WatchSet(files=(path,)), **way, answers=rename) as witness:
        path.write_text("1")
        witness.next(IN_TIME)
        assert witness.next(IN_TIME).contents == {str(other): "1"}


def test_file_system_without_events_is_polled(tmp_path):
    """The kernel changes this file without one: it is found all the same."""
    comm = Path("/proc/self/comm")
    before = comm.read_bytes()
    rename = ctypes.CDLL(None).prctl
    with Witness(WatchSet(files=(comm,)), interval=INTERVAL, events=True) as witness:
        witness.wait_until_armed()
        changed = time.monotonic()
        try:
            rename(15, b"other")  # PR_SET_NAME, prctl(2)
            seen = witness.next()
        finally:
            rename(15, before.strip())
        assert seen.contents == {str(comm): "other\n"}
        assert seen.at - changed < IN_TIME


def test_thousand_reloads_leave_nothing_behind(tmp_path):
    """No thread, descriptor or watch more than after the first."""
    held = run_program(many_swaps, tmp_path / "tls")
    at_rest, before, after, at_end = json.loads(held)
    assert after == before != at_rest
    assert at_end == at_rest


def test_watching_has_a_thread_by_name_that_holds_nobody_up(path):
    """It is a daemon, ends when told, and may be told before it began."""
    with Witness(WatchSet(files=(path,)), **WAYS["events"]):
        (thread,) = (t for t in threading.enumerate() if t.name == "grpcsecure-reload")
        assert thread.daemon
    assert not thread.is_alive()
    assert Witness(WatchSet(files=(path,)), **WAYS["polling"]).watcher.stop()


def test_attempt_may_stop_the_watching(path):
    """No deadlock, and nothing is tried afterwards."""

    def stop(_seen):
        assert witness.watcher.stop()
        return AttemptOutcome.INCOMPLETE

    with Witness(WatchSet(files=(path,)), **WAYS["polling"], answers=stop) as witness:
        witness.watcher.trigger()
        witness.next(IN_TIME)
        path.write_text("1")
        witness.expect_quiet()


#: Starts every program that runs in a user namespace of its own.
HEAD = """if True:
    import subprocess, sys, threading
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from support.watching import Witness
    from grpcsecure.watch.digest import WatchSet
    folder = Path({folder!r})
    path = folder / "x.pem"
    path.write_text("0")
"""

LIMITED = """
    Path("/proc/sys/user/{limit}").write_text("{value}")
    with Witness(WatchSet(files=(path,)), interval=0.4, events=True) as witness:
        reason = witness.fallbacks.get(timeout=20)
        assert witness.watcher.polling_reason == reason
        for text in ("1", "2"):
            path.write_text(text)
            assert witness.next().contents == {{str(path): text}}
        witness.expect_quiet()
        assert witness.fallbacks.empty()
        names = [t.name for t in threading.enumerate()]
        assert len(names) == 2, names  # none of watchdog's is left
    print(reason)
"""

MOUNTED = """
    sources = [folder / "1.pem", folder / "2.pem"]
    with Witness(WatchSet(files=(path,)), interval=0.4, events=True) as witness:
        witness.wait_until_armed()
        for source in sources:
            source.write_text(source.name)
            subprocess.run(["mount", "--bind", source, path], check=True)
            assert witness.next().contents == {{str(path): source.name}}
        source.write_text("in place")
        assert witness.next().contents == {{str(path): "in place"}}
        subprocess.run(["umount", path], check=True)
        assert witness.next().contents == {{str(path): "1.pem"}}
        witness.expect_quiet()
"""


def run_as_root(code, folder, **values):
    """Run a program as root of a user namespace; return what it prints."""
    command = ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no user namespaces here")
    tests = str(Path(__file__).parents[2])
    code = (HEAD + code).format(tests=tests, folder=str(folder), **values)
    done = subprocess.run(
        [*command, sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=PATIENCE * 3,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("limit", "value", "reason"),
    [
        ("max_inotify_instances", 0, "inotify instance limit reached"),
        ("max_inotify_watches", 2, "inotify watch limit reached"),
    ],
)
def test_exhausted_limit_is_said_and_polled_around(tmp_path, limit, value, reason):
    """A user namespace of its own has limits of its own: the real error, not ours."""
    assert run_as_root(LIMITED, tmp_path, limit=limit, value=value) == reason


def test_file_that_is_mounted_over_is_polled(tmp_path):
    """As with subPath: a mount is a swap without an event, found in one interval."""
    run_as_root(MOUNTED, tmp_path)


def test_network_file_system_is_said_to_be_polled(path, tmp_path, monkeypatch):
    """Events of other machines' changes never come: whoever waits for them is told."""
    device = path.stat().st_dev
    table = tmp_path / "mountinfo"
    table.write_text(
        f"1 1 {os.major(device)}:{os.minor(device)} / /x rw - nfs4 server:/x rw\n"
    )
    monkeypatch.setattr(mounts, "_MOUNTS", table)
    with Witness(WatchSet(files=(path,)), interval=INTERVAL, events=True) as witness:
        reason = witness.fallbacks.get(timeout=PATIENCE)
        assert reason == f"{path.parent.resolve()}: nfs4 sends no events"
        assert witness.watcher.polling_reason == reason
        path.write_text("1")
        assert witness.next(IN_TIME).contents == {str(path): "1"}
        assert witness.fallbacks.empty()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list everything")
def test_directory_that_may_not_be_listed_is_polled(tmp_path):
    """To watch a directory one must read it; to open a file in it one need not."""
    path = tmp_path / "closed" / "x.pem"
    path.parent.mkdir()
    path.write_text("0")
    path.parent.chmod(0o300)
    try:
        with Witness(WatchSet(files=(path,)), interval=INTERVAL, events=True) as w:
            assert w.fallbacks.get(timeout=PATIENCE) == (
                f"{path.parent}: permission denied"
            )
            path.write_text("1")
            assert w.next(IN_TIME).contents == {str(path): "1"}
    finally:
        path.parent.chmod(0o700)


def test_watchdog_is_imported_only_when_it_is_used(path):
    """Start-up does not pay for it, nor does who polls."""
    code = """if True:
        import sys
        from grpcsecure.watch import watcher
        assert "watchdog" not in sys.modules
        """
    subprocess.run([sys.executable, "-c", code], check=True)
