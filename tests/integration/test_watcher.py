"""Tests of the watcher on real files: every kind of change, by events and polling."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from support.mounted_files import overwrite, rename_over
from support.swaps import SCENARIOS
from support.watching import PATIENCE, RecordingWatcher

from grpcsecure.watch import mounts
from grpcsecure.watch.debounce import INCOMPLETE_FOR, SETTLE, AttemptOutcome
from grpcsecure.watch.digest import WatchSet, digest

#: Seconds within which an idle machine finds a change with events. The limit is the
#: same here for polling: that it takes at most one interval is tested with a simulated
#: clock.
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
def test_every_change_is_tried_once_and_in_time(scenario, way, tmp_path):
    """Not only the first change; and each attempt reads the current contents."""
    steps = scenario(tmp_path)
    latencies = []
    with RecordingWatcher(next(steps), **way) as recorder:
        recorder.wait_until_ready()
        began = time.monotonic()
        for expected in steps:
            changed = time.monotonic()
            contents = {str(key): text for key, text in expected.items()}
            attempt = recorder.next()
            # A busy machine may stop the writer for long enough that half a change is
            # tried.
            while changed - began >= SETTLE and attempt.contents != contents:
                attempt = recorder.next()
            assert attempt.contents == contents
            latencies.append(attempt.at - changed)
            began = time.monotonic()
        recorder.expect_quiet()
        assert recorder.fallbacks.empty()
    assert min(latencies) < IN_TIME  # a busy machine may delay any one of them


@pytest.fixture(name="path")
def _path(tmp_path):
    """A file to watch."""
    path = tmp_path / "x.pem"
    path.write_text("0")
    return path


def test_change_between_reading_and_watching_is_found(path, way):
    """The digest is older than the reading, so no change is lost before the watch."""
    recorder = RecordingWatcher(WatchSet(files=(path,)), **way)
    overwrite(path, "1")
    with recorder:
        assert recorder.next().contents == {str(path): "1"}


def test_pieces_with_pauses_are_one_change(path):
    """While the pauses are shorter than the settle time, no reload is tried."""
    with RecordingWatcher(WatchSet(files=(path,)), **WAYS["events"]) as recorder:
        recorder.wait_until_ready()
        # A busy machine may stop the writer, or the watcher, for longer than a settle
        # time, but not each time.
        for text in ("abcde", "fghij", "klmno", "pqrst", "uvwxy"):
            write_in_pieces(path, text)
            tried = [recorder.next().contents[str(path)]]
            while tried[-1] != text:
                tried.append(recorder.next().contents[str(path)])
            recorder.expect_quiet()
            if tried == [text]:
                break
        assert tried == [text]


def write_in_pieces(path, text):
    """Write a file with pauses that are shorter than a settle time."""
    pause = threading.Event()
    with path.open("w") as stream:
        for piece in text:
            stream.write(piece)
            stream.flush()
            pause.wait(0.05)


def test_reading_and_unrelated_changes_cause_no_attempt(path, way):
    """Neither do reads by the watcher itself nor changes of neighbouring files.

    The contents are written again in place: a file that is empty for longer than a
    settle time, because its writer was stopped after `open`, has changed.
    """
    with RecordingWatcher(WatchSet(files=(path,)), **way) as recorder:
        recorder.wait_until_ready()
        for n in range(200):
            path.read_text()
            path.with_name(f"neighbour{n}").write_text("x")
            os.utime(path)
            overwrite(path, "0")
        recorder.expect_quiet()


def test_many_changes_are_tried_once_per_settle_time(path):
    """A thousand writes in a row cause a few attempts; the last one reads the last."""
    with RecordingWatcher(WatchSet(files=(path,)), **WAYS["events"]) as recorder:
        recorder.wait_until_ready()
        for n in range(1000):
            rename_over(path, f"{n}")
        tries = [recorder.next()]
        while tries[-1].contents != {str(path): "999"}:
            tries.append(recorder.next())
        recorder.expect_quiet()
    times = [each.at for each in tries]
    assert all(b - a >= 0.2 for a, b in pairwise(times))


def test_trigger_tries_immediately(path, way):
    """The SIGHUP handler calls it to reload without any change."""
    with RecordingWatcher(WatchSet(files=(path,)), **way) as recorder:
        recorder.wait_until_ready()
        before = signal.signal(signal.SIGHUP, lambda *_: recorder.watcher.trigger())
        try:
            signal.raise_signal(signal.SIGHUP)
            recorder.next()
        finally:
            signal.signal(signal.SIGHUP, before)
        recorder.expect_quiet()


def test_failing_attempt_does_not_end_the_watching(path, way, caplog):
    """An unexpected exception is logged once, and the next change is tried."""

    def fail(attempt):
        if attempt.contents[str(path)] == "1":
            raise RuntimeError("a bug")
        return AttemptOutcome.SETTLED

    with RecordingWatcher(WatchSet(files=(path,)), **way, answers=fail) as recorder:
        overwrite(path, "1")
        recorder.next()
        recorder.expect_quiet()
        overwrite(path, "2")
        assert recorder.next().contents == {str(path): "2"}
    (record,) = caplog.records
    assert "a bug" in caplog.text
    assert (record.name, record.message) == ("grpcsecure.reload", "reload.crashed")


def test_pair_that_arrives_one_by_one_is_tried_twice(tmp_path, way):
    """The pair is applied as soon as the second file is there."""
    crt, key = tmp_path / "x.crt", tmp_path / "x.key"
    crt.write_text("0")
    key.write_text("0")

    def fits(attempt):
        is_pair = len(set(attempt.contents.values())) == 1
        return AttemptOutcome.SETTLED if is_pair else AttemptOutcome.INCOMPLETE

    with RecordingWatcher(WatchSet(files=(crt, key)), **way, answers=fits) as recorder:
        overwrite(key, "1")
        assert recorder.next().contents[str(crt)] == "0"
        overwrite(crt, "1")
        assert recorder.next().contents == {str(crt): "1", str(key): "1"}
        recorder.expect_quiet()


def test_pair_that_stays_incomplete_is_final(path):
    """Five seconds later there is a last attempt, called with `last`."""
    assert INCOMPLETE_FOR == 5
    with RecordingWatcher(
        WatchSet(files=(path,)),
        **WAYS["polling"],
        answers=lambda _: AttemptOutcome.INCOMPLETE,
    ) as recorder:
        overwrite(path, "1")
        first = recorder.next()
        last = recorder.next()
        assert (first.is_last, last.is_last) == (False, True)
        assert last.at - first.at >= INCOMPLETE_FOR  # not much longer: test_debounce.py
        recorder.expect_quiet()


def test_other_files_are_watched_after_a_replacement(path, tmp_path, way):
    """If an attempt replaces the files, only the new ones are watched."""
    other = tmp_path / "elsewhere" / "y.pem"
    other.parent.mkdir()
    other.write_text("0")
    watch = WatchSet(files=(other,))

    def rename(attempt):
        if list(attempt.contents) == [str(path)]:
            recorder.watch = watch
            return AttemptOutcome.SETTLED, digest(watch)
        return AttemptOutcome.SETTLED

    with RecordingWatcher(WatchSet(files=(path,)), **way, answers=rename) as recorder:
        overwrite(path, "1")
        recorder.next()
        recorder.expect_quiet()
        overwrite(other, "1")
        assert recorder.next().contents == {str(other): "1"}
        overwrite(path, "2")
        recorder.expect_quiet()


def test_replacement_that_changed_meanwhile_is_tried(path, tmp_path, way):
    """A change after reading the new files and before watching them is not lost."""
    other = tmp_path / "y.pem"
    other.write_text("0")
    watch = WatchSet(files=(other,))

    def rename(attempt):
        if list(attempt.contents) == [str(path)]:
            recorder.watch = watch
            digest_now = digest(watch)
            overwrite(other, "1")
            return AttemptOutcome.SETTLED, digest_now
        return AttemptOutcome.SETTLED

    with RecordingWatcher(WatchSet(files=(path,)), **way, answers=rename) as recorder:
        overwrite(path, "1")
        recorder.next()
        assert recorder.next().contents == {str(other): "1"}


def test_file_system_without_events_is_polled(tmp_path):
    """The kernel changes this file without an event; polling finds the change."""
    comm = Path("/proc/self/comm")
    before = comm.read_bytes()
    rename = ctypes.CDLL(None).prctl
    with RecordingWatcher(
        WatchSet(files=(comm,)), interval=INTERVAL, events=True
    ) as recorder:
        recorder.wait_until_ready()
        try:
            rename(15, b"other")  # PR_SET_NAME, prctl(2)
            attempt = recorder.next()
        finally:
            rename(15, before.strip())
        assert attempt.contents == {str(comm): "other\n"}


def test_watcher_thread_is_a_named_daemon(path):
    """It ends after `stop`, which may be called before `start`."""
    with RecordingWatcher(WatchSet(files=(path,)), **WAYS["events"]):
        (thread,) = (t for t in threading.enumerate() if t.name == "grpcsecure-reload")
        assert thread.daemon
    assert not thread.is_alive()
    assert RecordingWatcher(WatchSet(files=(path,)), **WAYS["polling"]).watcher.stop()


def test_attempt_may_stop_the_watching(path):
    """There is no deadlock, and no attempt afterwards."""

    def stop(_attempt):
        assert recorder.watcher.stop()
        return AttemptOutcome.INCOMPLETE

    with RecordingWatcher(
        WatchSet(files=(path,)), **WAYS["polling"], answers=stop
    ) as recorder:
        recorder.watcher.trigger()
        recorder.next()
        overwrite(path, "1")
        recorder.expect_quiet()


#: The first lines of every program that is run in a separate user namespace.
HEAD = """if True:
    import subprocess, sys, threading
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from support.mounted_files import overwrite
    from support.watching import RecordingWatcher
    from grpcsecure.watch.digest import WatchSet
    folder = Path({folder!r})
    path = folder / "x.pem"
    path.write_text("0")
"""

LIMITED = """
    Path("/proc/sys/user/{limit}").write_text("{value}")
    watch = WatchSet(files=(path,))
    with RecordingWatcher(watch, interval=0.4, events=True) as recorder:
        reason = recorder.fallbacks.get(timeout=20)
        assert recorder.watcher.polling_reason == reason
        for text in ("1", "2"):
            overwrite(path, text)
            assert recorder.next().contents == {{str(path): text}}
        recorder.expect_quiet()
        assert recorder.fallbacks.empty()
        names = [t.name for t in threading.enumerate()]
        assert len(names) == 2, names  # no watchdog thread is left
    print(reason)
"""

MOUNTED = """
    sources = [folder / "1.pem", folder / "2.pem"]
    watch = WatchSet(files=(path,))
    with RecordingWatcher(watch, interval=0.4, events=True) as recorder:
        recorder.wait_until_ready()
        for source in sources:
            source.write_text(source.name)
            subprocess.run(["mount", "--bind", source, path], check=True)
            assert recorder.next().contents == {{str(path): source.name}}
        overwrite(source, "in place")
        assert recorder.next().contents == {{str(path): "in place"}}
        subprocess.run(["umount", path], check=True)
        assert recorder.next().contents == {{str(path): "1.pem"}}
        recorder.expect_quiet()
"""


def run_as_root(code, folder, **values):
    """Run a program as root of a user namespace; return its output."""
    command = ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no user namespaces here")
    tests = str(Path(__file__).parents[1])
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
def test_exhausted_limit_is_reported_and_files_are_polled(
    tmp_path, limit, value, reason
):
    """A separate user namespace has its own limits, so the error is a real one."""
    assert run_as_root(LIMITED, tmp_path, limit=limit, value=value) == reason


def test_file_that_is_mounted_over_is_polled(tmp_path):
    """As with subPath: a mount sends no event; polling finds the change."""
    run_as_root(MOUNTED, tmp_path)


def test_polling_of_a_network_file_system_is_reported(path, tmp_path, monkeypatch):
    """Changes by other machines send no events, which the operator has to know."""
    device = path.stat().st_dev
    table = tmp_path / "mountinfo"
    table.write_text(
        f"1 1 {os.major(device)}:{os.minor(device)} / /x rw - nfs4 server:/x rw\n"
    )
    monkeypatch.setattr(mounts, "_MOUNTS", table)
    with RecordingWatcher(
        WatchSet(files=(path,)), interval=INTERVAL, events=True
    ) as recorder:
        reason = recorder.fallbacks.get(timeout=PATIENCE)
        assert reason == f"{path.parent.resolve()}: nfs4 sends no events"
        assert recorder.watcher.polling_reason == reason
        overwrite(path, "1")
        assert recorder.next().contents == {str(path): "1"}
        assert recorder.fallbacks.empty()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list everything")
def test_directory_that_may_not_be_listed_is_polled(tmp_path):
    """Watching a directory needs read permission; opening a file in it does not."""
    path = tmp_path / "closed" / "x.pem"
    path.parent.mkdir()
    path.write_text("0")
    path.parent.chmod(0o300)
    try:
        with RecordingWatcher(
            WatchSet(files=(path,)), interval=INTERVAL, events=True
        ) as w:
            assert w.fallbacks.get(timeout=PATIENCE) == (
                f"{path.parent}: permission denied"
            )
            overwrite(path, "1")
            assert w.next().contents == {str(path): "1"}
    finally:
        path.parent.chmod(0o700)


def test_watchdog_is_imported_only_when_it_is_used(path):
    """Neither start-up nor a server that only polls pays for the import."""
    code = """if True:
        import sys
        from grpcsecure.watch import watcher
        assert "watchdog" not in sys.modules
        """
    subprocess.run([sys.executable, "-c", code], check=True)
