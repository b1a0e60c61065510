"""Tests of the directories to watch, on a real file system."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.mounted_files import Volume

from grpcsecure.watch.digest import WatchSet
from grpcsecure.watch.directories import Interest, directories


@pytest.fixture(name="folder")
def _folder(tmp_path):
    """A folder whose own path has no links in it."""
    return tmp_path.resolve()


def below(folder, *paths, patterns=()):
    """Return the watched directories below `folder`, and the names watched in them."""
    watch = WatchSet(files=paths, patterns=tuple(map(str, patterns)))
    return {
        str(directory.relative_to(folder)): None
        if interest.names is None
        else set(interest.names)
        for directory, interest in directories(watch).items()
        if directory.is_relative_to(folder)
    }


def test_file_is_watched_by_name_in_every_directory_above(folder):
    """Renaming a parent is a change too; contents matter only in the last directory."""
    (folder / "a" / "b").mkdir(parents=True)
    path = folder / "a" / "b" / "x.pem"
    path.write_text("x")
    found = directories(WatchSet(files=(path,)))
    assert found[path.parent] == Interest(names=frozenset({"x.pem"}), contents=True)
    above = list(path.parents)[1:]
    assert set(found) == {path.parent, *above}
    for parent in above:
        assert not found[parent].contents
        assert len(found[parent].names) == 1
    assert found[Path("/")].names == {path.parts[1]}


def test_kubernetes_volume_is_watched_for_its_data_link(folder):
    """A change replaces `..data`, not one of the configured names."""
    volume = Volume(folder / "tls", {"tls.crt": "x", "sub/tls.key": "y"})
    crt, key = volume.folder / "tls.crt", volume.folder / "sub" / "tls.key"
    generation = str((volume.folder / "..data").readlink())
    assert below(folder, crt, key) == {
        ".": {"tls"},
        "tls": {"tls.crt", "sub", "..data", generation},
        f"tls/{generation}": {"tls.crt", "sub"},
        f"tls/{generation}/sub": {"tls.key"},
    }


def test_every_link_of_a_chain_is_watched_where_it_is(folder):
    """Any of the links may be replaced."""
    for name in ("a", "b", "c"):
        (folder / name).mkdir()
    (folder / "c" / "real.pem").write_text("x")
    (folder / "b" / "second").symlink_to(folder / "c" / "real.pem")
    (folder / "a" / "first").symlink_to("../b/second")
    assert below(folder, folder / "a" / "first") == {
        ".": {"a", "b", "c"},
        "a": {"first"},
        "b": {"second"},
        "c": {"real.pem"},
    }


def test_path_through_a_linked_directory_is_watched_on_both_sides(folder):
    """The link `current` may be replaced, or the file behind it may change."""
    (folder / "v1").mkdir()
    (folder / "v1" / "x.pem").write_text("x")
    (folder / "current").symlink_to("v1")
    assert below(folder, folder / "current" / "x.pem") == {
        ".": {"current", "v1"},
        "v1": {"x.pem"},
    }


def test_missing_file_is_watched_in_the_nearest_directory(folder):
    """Only the directory where its first missing name would appear is watched."""
    assert below(folder, folder / "a" / "b" / "x.pem") == {".": {"a"}}
    (folder / "a").mkdir()
    assert below(folder, folder / "a" / "b" / "x.pem") == {".": {"a"}, "a": {"b"}}


def test_dangling_link_is_watched_at_its_target(folder):
    """A volume may be mounted after the link to it was created."""
    (folder / "x.pem").symlink_to("later/x.pem")
    assert below(folder, folder / "x.pem") == {".": {"x.pem", "later"}}


def test_circular_links_are_followed_only_so_often(folder):
    """The path cannot be resolved, but its directories are watched."""
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    assert below(folder, folder / "a") == {".": {"a", "b"}}


def test_dots_are_resolved_as_by_the_kernel(folder):
    """`..` after a link is the parent of the link's target, not of the link."""
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "x.pem").write_text("x")
    (folder / "link").symlink_to("deep/er")
    assert below(folder, Path(f"{folder}/./link/../x.pem")) == {
        ".": {"link", "deep"},
        "deep": {"er", "x.pem"},
    }


def test_file_where_a_directory_should_be_is_watched(folder):
    """The file may be replaced by a directory."""
    (folder / "a").write_text("not a directory")
    assert below(folder, folder / "a" / "x.pem") == {".": {"a"}}


def test_directory_of_certificates_is_watched_for_every_name(folder):
    """Files with any name may be added; links out of the directory are followed."""
    (folder / "pins").mkdir()
    (folder / "elsewhere.pem").write_text("x")
    (folder / "pins" / "a.pem").symlink_to("../elsewhere.pem")
    assert below(folder, patterns=[folder / "pins"]) == {
        ".": {"pins", "elsewhere.pem"},
        "pins": None,
    }


def test_glob_is_watched_where_it_lists(folder):
    """At each level with wildcards, and in the directories that it matches."""
    for name in ("t1", "t2"):
        (folder / "tenants" / name / "pins").mkdir(parents=True)
    (folder / "tenants" / "t1" / "pins" / "a.pem").write_text("x")
    found = below(folder, patterns=[folder / "tenants" / "*" / "pins" / "*.pem"])
    assert found == {
        ".": {"tenants"},
        "tenants": None,
        "tenants/t1": {"pins"},
        "tenants/t2": {"pins"},
        "tenants/t1/pins": None,
        "tenants/t2/pins": None,
    }


def test_glob_of_a_missing_directory_is_watched_in_the_parent(folder):
    """So the glob is evaluated again once the directory exists."""
    assert below(folder, patterns=[folder / "pins" / "*.pem"]) == {".": {"pins"}}


@pytest.mark.parametrize("text", ["", "/", "/\0", "/a\0*", "/*\0/b", "//", "/.."])
def test_no_path_raises(text):
    """`directories` does not raise, for any pattern or path."""
    assert directories(WatchSet(files=(Path(text),), patterns=(text,))) is not None
