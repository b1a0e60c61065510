"""Paths in the formats `github` and `sarif` are relative to the repository."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.findings import ANY_TEXT, PATIENT, reports

from grpcsecure.cli.main import main
from grpcsecure.cli.repository_paths import relative_to_repository
from grpcsecure.diagnostics.findings import Report

#: A config with a finding at two places, in its line 2.
BAD = "version: 1\nversion: 1\n"

TOP = "services/shop/grpcsecure.yaml"


@pytest.fixture(name="shop")
def _shop(tmp_path, monkeypatch):
    """The folder `services/shop` with a config, below a folder `checkout`."""
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    folder = tmp_path / "checkout/services/shop"
    folder.mkdir(parents=True)
    (folder / "grpcsecure.yaml").write_text(BAD)
    return folder


@pytest.fixture(name="named")
def _named(shop, capsys, monkeypatch):
    """Return the paths in the output of `validate`, run in a folder."""

    def named(form, name="grpcsecure.yaml", *, cwd=shop):
        monkeypatch.chdir(cwd)
        with pytest.raises(SystemExit):
            main(["validate", "--format", form, str(name)])
        out = capsys.readouterr().out
        if form != "sarif":
            return {out.partition("file=")[2].partition(",")[0]}
        [result] = json.loads(out)["runs"][0]["results"]
        places = [*result["locations"], *result.get("relatedLocations", [])]
        return {one["physicalLocation"]["artifactLocation"]["uri"] for one in places}

    return named


@pytest.fixture(name="git")
def _git(shop):
    """Make `checkout` the top of a git repository."""
    git = shop.parents[1] / ".git"
    git.mkdir()
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    return git


@pytest.mark.parametrize("form", ["github", "sarif"])
class TestFormats:
    """The formats that code hosts read."""

    def test_top_of_git(self, form, named, git, shop):
        """From any working directory, the path starts at the repository's top."""
        assert named(form) == {TOP}
        assert named(form, shop / "grpcsecure.yaml", cwd="/") == {TOP}
        assert named(form, "shop/grpcsecure.yaml", cwd=shop.parent) == {TOP}
        assert named(form, "../shop/grpcsecure.yaml") == {TOP}
        assert named(form, "services/shop/grpcsecure.yaml", cwd=git.parent) == {TOP}

    def test_linked_working_tree(self, form, named, shop):
        """In a worktree or submodule, `.git` is a file."""
        (shop.parents[1] / ".git").write_text("gitdir: elsewhere\n")
        assert named(form) == {TOP}

    def test_workspace_without_git(self, form, named, shop, monkeypatch):
        """Without `.git`, as in a container, $GITHUB_WORKSPACE is the top."""
        monkeypatch.setenv("GITHUB_WORKSPACE", str(shop.parents[1]))
        assert named(form) == {TOP}

    def test_checkout_in_a_folder_of_the_workspace(
        self, form, named, git, shop, monkeypatch
    ):
        """With `path:` of actions/checkout, the repository is below the workspace."""
        assert git.exists()
        monkeypatch.setenv("GITHUB_WORKSPACE", str(shop.parents[2]))
        assert named(form) == {TOP}

    def test_workspace_ends_the_search(self, form, named, git, shop, monkeypatch):
        """A repository around the workspace, such as of a runner, does not count."""
        assert git.exists()
        monkeypatch.setenv("GITHUB_WORKSPACE", str(shop.parent))
        assert named(form) == {"shop/grpcsecure.yaml"}

    def test_linked_folder(self, form, named, git, shop, tmp_path):
        """A link to the checkout leads to the same path."""
        assert git.exists()
        (tmp_path / "link").symlink_to(shop.parents[1])
        name = tmp_path / "link" / TOP
        assert named(form, name, cwd=tmp_path) == {TOP}

    @pytest.mark.parametrize("workspace", ["", "none", "/nowhere"])
    def test_outside_of_a_repository(self, form, named, workspace, monkeypatch):
        """Without a repository, the path is the one of the command line."""
        monkeypatch.setenv("GITHUB_WORKSPACE", workspace)
        assert named(form) == {"grpcsecure.yaml"}
        assert named(form, "../shop/grpcsecure.yaml") == {"../shop/grpcsecure.yaml"}

    def test_unreadable_config(self, form, named, git):
        """A config that does not exist has a path, too."""
        assert git.exists()
        assert named(form, "none.yaml") == {"services/shop/none.yaml"}


def test_other_formats_keep_the_path(named, git, shop, capsys, monkeypatch):
    """In `full` and `concise`, a path works in the folder of the command."""
    assert git.exists()
    monkeypatch.chdir(shop)
    for form in ("full", "concise", "json", "junit"):
        with pytest.raises(SystemExit):
            main(["validate", "--format", form, "grpcsecure.yaml"])
        out = capsys.readouterr().out
        assert "grpcsecure.yaml" in out
        assert TOP not in out
    assert named("github") == {TOP}


def test_standard_input_has_no_path():
    """`<stdin>` is not a file of any repository."""
    report = Report(subject="<stdin>", findings=())
    assert relative_to_repository(report, {}).subject == "<stdin>"


@PATIENT
@given(reports(), st.none() | ANY_TEXT)
def test_any_name_can_be_renamed(report, workspace):
    """No name of a file, and no value of the variable, raises an error."""
    environ = {} if workspace is None else {"GITHUB_WORKSPACE": workspace}
    made = relative_to_repository(report, environ)
    assert len(made.findings) == len(report.findings)
