"""Tests of watch sets and their digests, on a real file system."""

from __future__ import annotations

import glob
import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.findings import PATIENT
from support.mounted_files import Volume, rename_over

from grpcsecure.watch.digest import WatchSet, digest, expand
from grpcsecure.watch.directories import directories
from grpcsecure.watch.glob_walk import GlobWalk
from grpcsecure.watch.raw_file import MAX_BYTES


@pytest.fixture(name="pins")
def _pins(tmp_path):
    """A directory with certificates and with other entries."""
    folder = tmp_path / "pins"
    (folder / "deeper").mkdir(parents=True)
    (folder / "folder.pem").mkdir()
    for name in ("b.pem", "a.crt", "c.CER", ".hidden.pem", "notes.txt", "deeper/d.pem"):
        (folder / name).write_text(name)
    (folder / "lost.pem").symlink_to("nowhere")
    return folder


def names(pattern):
    """Return the names of the files that a pattern stands for."""
    return [path.name for path in expand(str(pattern))]


def states(path):
    """Return a digest of one file."""
    return digest(WatchSet(files=(path,)))


def test_directory_stands_for_its_certificates(pins):
    """By their ending, sorted, not hidden, not deeper; also a dangling link."""
    assert names(pins) == ["a.crt", "b.pem", "c.CER", "lost.pem"]


def test_directory_may_be_a_link(pins, tmp_path):
    """The paths of its files keep the link's name."""
    (tmp_path / "link").symlink_to("pins")
    assert expand(str(tmp_path / "link"))[0] == tmp_path / "link" / "a.crt"


def test_glob_stands_for_the_files_it_matches(pins):
    """With any ending, but without directories and hidden files."""
    assert names(pins / "*") == ["a.crt", "b.pem", "c.CER", "lost.pem", "notes.txt"]
    assert names(pins / "[ab].*") == ["a.crt", "b.pem"]
    assert names(pins / "*" / "*.pem") == ["d.pem"]
    assert names(pins / "nothing*") == []


def test_glob_never_descends(pins):
    """`**` means `*`, so that no pattern reads a whole disk."""
    (pins / "deeper" / "still").mkdir()
    (pins / "deeper" / "still" / "e.pem").write_text("e")
    assert names(pins / "**" / "*.pem") == ["d.pem"]


def test_missing_file_stands_for_itself(tmp_path):
    """Reading it then fails; an empty result would hide the mistake."""
    path = tmp_path / "x.pem"
    assert expand(str(path)) == (path,)


def test_wildcards_in_the_name_of_an_existing_file_are_literal(tmp_path):
    """An existing file whose name looks like a glob stands for itself."""
    for name in ("a[1].pem", "a1.pem"):
        (tmp_path / name).write_text(name)
    assert names(tmp_path / "a[1].pem") == ["a[1].pem"]


@pytest.fixture(scope="module", name="deep")
def _deep(tmp_path_factory):
    """A folder so deep that a few `..` of a pattern do not leave it."""
    folder = tmp_path_factory.mktemp("deep") / "a/a/a/a/a/a"
    folder.mkdir(parents=True)
    (folder / "a").write_text("a")
    return folder


@PATIENT
@given(text=st.text(st.sampled_from("*?[]!-a/.\0\udcff~"), max_size=12))
def test_no_pattern_raises(deep, text):
    """Neither `digest` nor `directories` raises, for any pattern."""
    watch = WatchSet(patterns=(f"{deep}/{text}",))
    assert digest(watch) == digest(watch)
    assert isinstance(directories(watch), dict)


def test_digest_differs_when_contents_do(tmp_path):
    """Equal contents have equal digests, with any modification times."""
    path = tmp_path / "x.pem"
    path.write_text("one")
    before = states(path)
    os.utime(path, (0, 0))
    rename_over(path, "one")
    assert states(path) == before
    path.write_text("two")
    assert states(path) != before
    assert states(path).changed_since(before) == (path,)


def test_digest_differs_when_permissions_do(tmp_path):
    """A key that others may read is a finding, and fixing it counts as a change."""
    path = tmp_path / "x.key"
    path.write_text("one")
    path.chmod(0o644)
    before = states(path)
    path.chmod(0o600)
    assert states(path) != before


def test_unreadable_file_is_a_value(tmp_path):
    """Missing, not a regular file and too large are different, repeatable states."""
    path = tmp_path / "x.pem"
    seen = [states(path)]
    path.write_text("one")
    seen.append(states(path))
    path.write_bytes(b"\0" * (MAX_BYTES + 1))
    seen.append(states(path))
    path.unlink()
    path.mkdir()
    seen.append(states(path))
    path.rmdir()
    os.mkfifo(path)
    seen.append(states(path))
    path.unlink()
    path.symlink_to(path.name)
    seen.append(states(path))
    assert len({each.states[path] for each in seen}) == len(seen)
    path.unlink()
    assert states(path) == seen[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list everything")
def test_directory_that_cannot_be_listed_stands_for_itself(pins):
    """If it counted as empty, all pins would be dropped silently."""
    pins.chmod(0o100)
    try:
        assert expand(str(pins)) == (pins,)
    finally:
        pins.chmod(0o700)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list everything")
def test_directory_that_a_glob_cannot_list_stands_for_itself(pins):
    """Its files are not deleted, and a rule that denies them must not lose them."""
    (pins / "deeper").chmod(0o100)
    try:
        assert expand(str(pins / "*" / "*.pem")) == (pins / "deeper",)
        assert expand(str(pins / "deeper" / "*.pem")) == (pins / "deeper",)
    finally:
        (pins / "deeper").chmod(0o700)


def test_directory_of_a_glob_stands_for_itself_while_it_is_missing(tmp_path):
    """Like a directory without a glob: the pins count as missing, not as empty."""
    assert expand(str(tmp_path / "away" / "*.pem")) == (tmp_path / "away",)
    (tmp_path / "away").symlink_to("nowhere")
    assert expand(str(tmp_path / "away" / "*" / "a.pem")) == (tmp_path / "away",)


def test_digest_follows_links(tmp_path):
    """The digest is that of the file at the end of all links."""
    volume = Volume(tmp_path / "tls", {"tls.crt": "one"})
    path = tmp_path / "tls" / "tls.crt"
    before = states(path)
    volume.swap({"tls.crt": "one"})
    assert states(path) == before
    volume.swap({"tls.crt": "two"})
    assert states(path) != before


def test_digest_of_a_pattern_is_what_it_matches(pins):
    """A file that is added, removed or renamed is a change."""
    watch = WatchSet(patterns=(str(pins),))
    seen = [digest(watch)]
    (pins / "new.pem").write_text("b.pem")
    seen.append(digest(watch))
    (pins / "b.pem").unlink()
    seen.append(digest(watch))
    (pins / "new.pem").rename(pins / "other.pem")
    seen.append(digest(watch))
    changes = [b.changed_since(a) for a, b in pairwise(seen)]
    assert [[path.name for path in each] for each in changes] == [
        ["new.pem"],
        ["b.pem"],
        ["new.pem", "other.pem"],
    ]
    (pins / "notes.txt").write_text("not a certificate")
    assert digest(watch) == seen[-1]


def test_joined_sets_watch_both(tmp_path):
    """Each file once, in their order."""
    one = WatchSet(files=(tmp_path / "a", tmp_path / "b"), patterns=("/x",))
    two = WatchSet(files=(tmp_path / "b", tmp_path / "c"), patterns=("/x", "/y"))
    assert one.joined(two) == WatchSet(
        files=(tmp_path / "a", tmp_path / "b", tmp_path / "c"), patterns=("/x", "/y")
    )


def test_joined_digests_are_the_digest_of_both(pins, tmp_path):
    """For a file in both, the state of the first digest counts."""
    crt, key = tmp_path / "x.crt", tmp_path / "x.key"
    crt.write_text("one")
    key.write_text("one")
    new = WatchSet(files=(crt,), patterns=(str(pins),))
    old = WatchSet(files=(key, crt), patterns=(f"{pins}/*.crt", str(pins)))
    seen = digest(new)
    assert seen.joined(digest(old)) == digest(new.joined(old))
    crt.write_text("two")
    (pins / "z.pem").write_text("z")
    late = digest(new.joined(old)).changed_since(seen.joined(digest(old)))
    assert crt in late


def test_digest_shows_no_contents(tmp_path):
    """So it may be logged."""
    path = tmp_path / "x.key"
    path.write_text("secret")
    (state,) = states(path).states.values()
    assert "secret" not in state
    assert state not in repr(states(path))


@pytest.fixture(scope="module", name="tree")
def _tree(tmp_path_factory):
    """A folder with files of short names on three levels, some of them hidden."""
    tree = tmp_path_factory.mktemp("tree")
    for folder in ("a", "b", "a/b", "a/b/a", "b/.a", "ab"):
        (tree / folder).mkdir()
        for name in ("a.a", ".b", "b-", "ab"):
            (tree / folder / name).touch()
    (tree / "a" / "lost").symlink_to("nowhere")
    return tree


@PATIENT
@given(text=st.text(st.sampled_from("*?[]ab./-"), max_size=12))
def test_glob_matches_what_the_standard_library_does(tree, text):
    """If every directory can be listed, the files are those that `glob` finds."""
    pattern = f"{tree}/*{text}".rstrip("/")
    names = glob.glob(pattern)  # noqa: PTH207 - the behaviour to compare with
    found = [path for path in map(Path, names) if not path.is_dir()]
    walk = GlobWalk(pattern)
    assert {*expand(pattern)} - {*map(Path, walk.unlisted)} == {*found}
