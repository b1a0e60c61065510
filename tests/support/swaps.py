"""The ways in which the files of a running server are changed, for tests of watching.

Each is a generator. It first yields the `WatchSet` to watch; then, each time, it makes
one change and yields the contents of the watched files after it (None: unreadable).
"""

from __future__ import annotations

import shutil

from support.mounted_files import Volume, rename_over, replace_link

from grpcsecure.watch.digest import WatchSet

__all__ = ["SCENARIOS"]


def secret(folder):
    """A Kubernetes Secret: one swap for both files."""
    volume = Volume(folder / "tls", {"tls.crt": "crt 0", "tls.key": "key 0"})
    crt, key = volume.folder / "tls.crt", volume.folder / "tls.key"
    yield WatchSet(files=(crt, key))
    for n in range(1, 3):
        volume.swap({"tls.crt": f"crt {n}", "tls.key": f"key {n}"})
        yield {crt: f"crt {n}", key: f"key {n}"}


def projected(folder):
    """A projected volume, with its items in folders."""
    volume = Volume(folder / "tls", {"server/tls.crt": "0", "clients/ca.crt": "0"})
    crt, ca = volume.folder / "server" / "tls.crt", volume.folder / "clients" / "ca.crt"
    yield WatchSet(files=(crt, ca))
    for n in range(1, 3):
        volume.swap({"server/tls.crt": "0", "clients/ca.crt": f"{n}"})
        yield {crt: "0", ca: f"{n}"}


def sub_path(folder):
    """One file of a volume that is mounted elsewhere, at another place."""
    volume = Volume(folder / "volume", {"tls.crt": "0"})
    path = folder / "app" / "server.pem"
    path.parent.mkdir()
    path.symlink_to(volume.folder / "tls.crt")
    yield WatchSet(files=(path,))
    for n in range(1, 3):
        volume.swap({"tls.crt": f"{n}"})
        yield {path: f"{n}"}


def chained_links(folder):
    """A link to a link to a file: each of the links is replaced, several times."""
    for name in ("live", "current", "v0"):
        (folder / name).mkdir()
    (folder / "v0" / "x.pem").write_text("0")
    (folder / "current" / "x.pem").symlink_to("../v0/x.pem")
    path = folder / "live" / "x.pem"
    path.symlink_to("../current/x.pem")
    yield WatchSet(files=(path,))
    for n in range(1, 3):
        (folder / f"v{n}").mkdir()
        (folder / f"v{n}" / "x.pem").write_text(f"{n}")
        replace_link(folder / "current" / "x.pem", f"../v{n}/x.pem")
        yield {path: f"{n}"}
        (folder / f"v{n}" / "x.pem").write_text(f"{n}, in place")
        yield {path: f"{n}, in place"}
        (folder / f"new{n}.pem").write_text(f"{n}, elsewhere")
        replace_link(path, f"../new{n}.pem")
        yield {path: f"{n}, elsewhere"}
        replace_link(path, "../current/x.pem")
        yield {path: f"{n}, in place"}


def links_to_neighbours(folder):
    """A link to a file beside it is replaced by one to another, which then changes."""
    (folder / "0.pem").write_text("0")
    path = folder / "x.pem"
    path.symlink_to("0.pem")
    yield WatchSet(files=(path,))
    for n in range(1, 3):
        (folder / f"{n}.pem").write_text(f"{n}")
        replace_link(path, f"{n}.pem")
        yield {path: f"{n}"}
        rename_over(folder / f"{n}.pem", f"{n}, changed")
        yield {path: f"{n}, changed"}


def links_of_directories(folder):
    """`current` is a link to the folder of a release."""
    (folder / "v0").mkdir()
    (folder / "v0" / "x.pem").write_text("0")
    (folder / "current").symlink_to("v0")
    path = folder / "current" / "x.pem"
    yield WatchSet(files=(path,))
    for n in range(1, 3):
        (folder / f"v{n}").mkdir()
        (folder / f"v{n}" / "x.pem").write_text(f"{n}")
        replace_link(folder / "current", f"v{n}")
        yield {path: f"{n}"}


def renamed_over(folder):
    """A program that writes a new file and renames it over the old one."""
    path = folder / "x.pem"
    path.write_text("0")
    yield WatchSet(files=(path,))
    for n in range(1, 3):
        rename_over(path, f"{n}")
        yield {path: f"{n}"}


def deleted_and_created(folder):
    """A program that removes the old file before it writes the new one."""
    path = folder / "x.pem"
    path.write_text("0")
    yield WatchSet(files=(path,))
    for n in range(1, 3):
        path.unlink()
        path.write_text(f"{n}")
        yield {path: f"{n}"}
    path.unlink()
    yield {path: None}
    path.write_text("again")
    yield {path: "again"}


def written_in_place(folder):
    """A program that truncates the file, writes it in pieces, and closes it."""
    path = folder / "x.pem"
    path.write_text("0")
    yield WatchSet(files=(path,))
    for n in range(1, 3):
        with path.open("w") as stream:
            for piece in range(5):
                stream.write(f"{n}.{piece} ")
                stream.flush()
        yield {path: f"{n}.0 {n}.1 {n}.2 {n}.3 {n}.4 "}


def pins(folder):
    """A directory of certificates in which files are added, changed and removed."""
    pinned = folder / "pinned"
    pinned.mkdir()
    one, two = pinned / "1.pem", pinned / "2.pem"
    one.write_text("one")
    yield WatchSet(patterns=(str(pinned),))
    rename_over(two, "two")
    yield {one: "one", two: "two"}
    two.write_text("second")
    yield {one: "one", two: "second"}
    one.unlink()
    yield {two: "second"}
    (pinned / "3.txt").write_text("not a certificate")
    two.unlink()
    yield {}


def globbed_pins(folder):
    """A glob over folders that are created and removed."""
    (folder / "tenants").mkdir()
    yield WatchSet(patterns=(f"{folder}/tenants/*/*.pem",))
    fresh = folder / "fresh"
    fresh.mkdir()
    (fresh / "a.pem").write_text("a")
    fresh.rename(folder / "tenants" / "t1")
    path = folder / "tenants" / "t1" / "a.pem"
    yield {path: "a"}
    (path.parent / "b.pem").write_text("b")
    yield {path: "a", path.with_name("b.pem"): "b"}
    shutil.rmtree(folder / "tenants" / "t1")
    yield {}


def directory_that_vanishes(folder):
    """A nested folder is created, removed, and created again."""
    path = folder / "a" / "b" / "x.pem"
    for n in range(2):
        if n == 0:
            yield WatchSet(files=(path,))
        fresh = folder / "fresh"
        (fresh / "b").mkdir(parents=True)
        (fresh / "b" / "x.pem").write_text(f"{n}")
        fresh.rename(folder / "a")
        yield {path: f"{n}"}
        rename_over(path, f"{n}, changed")
        yield {path: f"{n}, changed"}
        shutil.rmtree(folder / "a")
        yield {path: None}


def directory_that_is_replaced(folder):
    """A folder is removed and created again at once: its old watch no longer works."""
    path = folder / "a" / "x.pem"
    path.parent.mkdir()
    path.write_text("0")
    yield WatchSet(files=(path,))
    for n in range(1, 3):
        shutil.rmtree(path.parent)
        path.parent.mkdir()
        path.write_text(f"{n}")
        yield {path: f"{n}"}
        rename_over(path, f"{n}, changed")
        yield {path: f"{n}, changed"}


def directory_that_is_renamed(folder):
    """A folder is replaced by another by renaming both."""
    path = folder / "a" / "x.pem"
    path.parent.mkdir()
    path.write_text("0")
    yield WatchSet(files=(path,))
    for n in range(1, 3):
        fresh = folder / "fresh"
        fresh.mkdir()
        (fresh / "x.pem").write_text(f"{n}")
        path.parent.rename(folder / f"old{n}")
        fresh.rename(path.parent)
        yield {path: f"{n}"}
        rename_over(path, f"{n}, changed")
        yield {path: f"{n}, changed"}


def moved_away(folder):
    """A file is moved to an unwatched place and back.

    watchdog holds back the first event, waiting for the second half of the move.
    """
    path, away = folder / "a" / "x.pem", folder / "b" / "x.pem"
    path.parent.mkdir()
    away.parent.mkdir()
    path.write_text("0")
    yield WatchSet(files=(path,))
    path.rename(away)
    yield {path: None}
    away.rename(path)
    yield {path: "0"}


SCENARIOS = [
    secret,
    projected,
    sub_path,
    chained_links,
    links_to_neighbours,
    links_of_directories,
    renamed_over,
    deleted_and_created,
    written_in_place,
    pins,
    globbed_pins,
    directory_that_vanishes,
    directory_that_is_replaced,
    directory_that_is_renamed,
    moved_away,
]
