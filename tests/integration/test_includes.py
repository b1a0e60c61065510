"""Included files and values of files while a server runs: each change is a reload."""

from __future__ import annotations

import grpc
import pytest
from support.mounted_files import Volume
from support.process import run
from support.reloading import Site, channel, client, greet, refusal, serving

from grpcsecure.watch import debounce

DENIED = grpc.StatusCode.PERMISSION_DENIED

ADA = 'identities: {ada: {dns: "ada.test"}}\n'
NOT_ADA = 'identities: {ada: {dns: "bob.test"}}\n'
EVERYTHING = ["/helloworld.Greeter/*"]


@pytest.fixture(name="site")
def _site(tmp_path):
    """A site whose rules allow an identity that another file defines."""
    site = Site(tmp_path, "bridge")
    site.allow(greetings={"allow": ["ada"], "methods": EVERYTHING})
    site.put("identities.yaml", ADA)
    site.config["include"] = ["identities.yaml"]
    site.write()
    return site


def test_changed_identities(site):
    """A changed included file changes the decision on an open connection."""
    own = client("dns:ada.test", site.ca)
    with serving(site) as running, channel(site, running.address, own) as greeter:
        greet(greeter)
        site.put("identities.yaml", NOT_ADA)
        assert running.applied()["changed"] == "identities (~ ada)"
        assert refusal(greeter) is DENIED
        site.put("identities.yaml", ADA + "# a comment\n")
        running.applied()
        assert refusal(greeter) is None
        running.expect_nothing_more()


def test_errors_in_an_included_file(site):
    """A mistake keeps the config in force; the file is watched until it is mended."""
    own = client("dns:ada.test", site.ca)
    with serving(site) as running, channel(site, running.address, own) as greeter:
        site.put("identities.yaml", "identities: {ada: {dnss: a.test}}\n")
        found = running.rejected()["findings"]
        assert f"({site.folder}/identities.yaml:1:20)" in found
        assert refusal(greeter) is None
        site.put("identities.yaml", "server: {threads: 3}\n" + NOT_ADA)
        assert "`server.threads` cannot change" in running.rejected()["findings"]
        site.put("identities.yaml", NOT_ADA)
        running.applied()
        assert refusal(greeter) is DENIED


def test_file_that_comes_after_the_config(site, monkeypatch):
    """A config may name a file that is there a moment later, which is waited for."""
    monkeypatch.setattr(debounce, "INCOMPLETE_FOR", 3600.0)
    own = client("dns:ada.test", site.ca)
    with serving(site) as running, channel(site, running.address, own) as greeter:
        site.config["include"] = ["later.yaml"]
        site.write()
        site.put("later.yaml", NOT_ADA)
        running.applied()
        assert refusal(greeter) is DENIED
        running.expect_nothing_more()


def test_mounted_file(site):
    """A swap of a mounted ConfigMap is seen, also in a file that another includes."""
    contents = {"all.yaml": "include: [people.yaml]\n", "people.yaml": ADA}
    volume = Volume(site.folder / "mounted", contents)
    site.config["include"] = ["mounted/all.yaml"]
    site.write()
    own = client("dns:ada.test", site.ca)
    with serving(site) as running, channel(site, running.address, own) as greeter:
        greet(greeter)
        volume.swap({**contents, "people.yaml": NOT_ADA})
        running.applied()
        assert refusal(greeter) is DENIED
        volume.swap({"all.yaml": ADA, "people.yaml": NOT_ADA})
        running.applied()
        assert refusal(greeter) is None


def test_value_of_a_file(site):
    """A changed file of a value is applied; its text is in no line of the log."""
    site.put("identities.yaml", 'identities: {ada: {dns: "${file:name.txt}"}}\n')
    site.put("name.txt", "ada.test\n")
    own = client("dns:ada.test", site.ca)
    with serving(site) as running, channel(site, running.address, own) as greeter:
        greet(greeter)
        site.put("name.txt", "carla.test\n")
        assert running.applied()["changed"] == "identities (~ ada)"
        assert refusal(greeter) is DENIED
        site.put("name.txt", "not a name of carla\n")
        assert "GS106" in running.rejected()["findings"]
        site.put("name.txt", "ada.test\n")
        running.applied()
        assert refusal(greeter) is None
        lines = repr([vars(one) for one, _ in running.log._records])
        assert "carla" not in lines


def test_argument_of_a_file(tmp_path):
    """An argument has the text of its file; a change of it needs a restart."""
    site = Site(tmp_path, "bridge", servicer="support.services:Custom")
    site.put("word", "hunter2\n")
    site.config["services"] = [
        {"servicer": "helloworld.greeter:Greeter", "with": {"greeting": "${file:word}"}}
    ]
    site.write()
    own = client("dns:ada.test", site.ca)
    with serving(site) as running, channel(site, running.address, own) as greeter:
        assert greet(greeter).startswith("hunter2")
        site.put("word", "hunter3\n")
        line = running.rejected()
        assert "`services` cannot change" in line["findings"]
        assert "hunter" not in repr(line)
        assert greet(greeter).startswith("hunter2")


def test_paths_in_reports(site):
    """Formats for code hosts name an included file from the repository's top."""
    (site.folder / ".git").mkdir()
    (site.folder / ".git/HEAD").write_text("ref: refs/heads/main\n")
    below = site.folder / "below"
    below.mkdir()
    site.put("identities.yaml", "identities: {ada: {dnss: a.test}}\n")
    for form, place in (
        ("github", "file=identities.yaml,line=1,"),
        ("sarif", '"uri": "identities.yaml"'),
        ("json", '"file": "../identities.yaml"'),
        ("concise", "../identities.yaml:1:20"),
    ):
        done = run("validate", "--format", form, "../server.yaml", cwd=below)
        assert done.returncode == 1
        assert place in done.stdout


def test_ignored_in_an_included_file(site):
    """A comment in an included file ignores a warning there; it is never unused."""
    open_listener = "listeners: {x: {address: '0.0.0.0:0', plaintext: true}}"
    site.config["include"] = ["identities.yaml", "more.yaml"]
    site.write()
    site.put("more.yaml", open_listener)
    done = run("validate", site.path)
    assert done.stdout.count("GS312") == 1
    assert "more.yaml:1:" in done.stdout
    site.put("more.yaml", f"{open_listener} # grpcsecure: ignore[GS312, GS313]")
    done = run("validate", site.path)
    assert "GS312" not in done.stdout
    assert "GS313" not in done.stdout


def test_shared_identities_are_not_unused(site):
    """An included identity that no rule here names may be named elsewhere."""
    site.put("identities.yaml", ADA.replace("}}", "}, eve: {dns: eve.test}}"))
    assert "eve" not in run("validate", site.path).stdout
    site.config["identities"] = {"own": {"dns": "own.test"}}
    site.write()
    assert "no rule names the identity `own`" in run("validate", site.path).stdout


def test_without_files(site):
    """`--no-files` includes files, but reads no value of one, and says so."""
    site.put("identities.yaml", 'identities: {ada: {dns: "${file:name.txt}"}}\n')
    done = run("validate", "--no-files", site.path)
    assert done.returncode == 0, done.stdout
    assert "1 value in files" in done.stdout
    (site.folder / "identities.yaml").unlink()
    done = run("validate", "--no-files", site.path)
    assert done.returncode == 1
    assert "GS138" in done.stdout


def test_arguments_without_files(site):
    """An argument whose file is not read is not compared with its annotation."""
    (site.folder / "typed.py").write_text(
        "import typing\nfrom helloworld import greeter\n\n\n"
        "class Typed(greeter.Greeter):\n"
        "    def __init__(self, mode: typing.Literal['a', 'b']) -> None:\n"
        "        super().__init__(mode)\n"
    )
    entry = {"servicer": "typed:Typed", "with": {"mode": "${file:mode}"}}
    site.config["services"] = [entry]
    site.config["server"]["import_paths"].append(".")
    site.write()
    assert run("validate", "--no-files", site.path).returncode == 0
    assert "GS144" in run("validate", site.path).stdout
    assert run("explain", site.path, "--list").returncode == 0
    site.put("mode", "hunter2\n")
    done = run("validate", site.path)
    assert "GS530" in done.stdout
    assert "hunter2" not in done.stdout
