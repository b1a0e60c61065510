"""`validate --strict` with profiles for development, and the configs of configs/."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
from support.certificates import make_certificates
from support.explaining import tls
from support.process import ROOT

from grpcsecure.cli.main import main

CONFIG = f"""\
version: 1
production: true
services: [{{servicer: 'helloworld.greeter:Greeter'}}]
server: {{import_paths: ['{ROOT / "examples"}'], health: false}}
listeners:
  public: {{address: '127.0.0.1:0', {tls("require_and_verify")}}}
authorization: {{rules: {{all: {{allow: [verified], methods: ['*']}}}}}}
profiles:
  dev:
    production: false
    server: {{reflection: true, error_detail: full}}
  lax:
    server: {{reflection: true}}
"""


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory):
    """A folder with configs/ and examples/ as in a checkout, and certificates."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("configs", "examples"):
        shutil.copytree(ROOT / name, folder / name)
    make_certificates(folder / "certs")
    return folder


@pytest.fixture(name="validate")
def _validate(folder, capsys, monkeypatch):
    """Run `validate`; return its exit code and stdout."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def validate(*arguments, text=CONFIG):
        (folder / "server.yaml").write_text(text)
        with pytest.raises(SystemExit) as ended:
            main(["validate", *arguments])
        return int(ended.value.code or 0), capsys.readouterr().out

    return validate


def test_profile_for_development_passes(validate):
    """Its findings about production stay warnings; the last line says so."""
    code, out = validate("--strict", "--profile", "dev", "server.yaml")
    assert code == 0
    assert "warning[GS311]" in out
    assert "warning[GS409]" in out
    assert out.splitlines()[-1] == (
        "server.yaml (profile dev): ok, 2 warnings. Checked: files, services (there are"
        " no policy tests). Not checked: profile `lax` (--all-profiles). Profile `dev`"
        " says `production: false`: 2 warnings would be errors in production."
    )


def test_json_has_the_profile_for_development(validate):
    """`development` is true only for a profile that says so."""
    _, out = validate("--all-profiles", "--format", "json", "server.yaml")
    reports = {one["profile"]: one for one in json.loads(out)["reports"]}
    assert {name: one["development"] for name, one in reports.items()} == {
        None: False,
        "dev": True,
        "lax": False,
    }


def test_profile_that_does_not_say_so_fails(validate):
    """Without `production: false` of its own, the file's value holds for a profile."""
    for text in (CONFIG, CONFIG.replace("production: true\n", "production: false\n")):
        code, out = validate("--strict", "--profile", "lax", "server.yaml", text=text)
        assert code == 1
        assert "error[GS311]" in out
        assert "says `production: false`" not in out


def test_all_other_warnings_count(validate):
    """A warning that production does not turn into an error is one in development."""
    text = CONFIG.replace(
        "authorization:", "identities: {a: {dns: a.b}}\nauthorization:"
    )
    code, out = validate("--strict", "--profile", "dev", "server.yaml", text=text)
    assert code == 1
    assert "error[GS403]" in out
    assert out.rstrip().endswith(
        "server.yaml (profile dev): 1 error, 2 warnings. Profile `dev` says"
        " `production: false`: 2 warnings would be errors in production."
    )


def test_shipped_profiles_for_development_are_honest(validate):
    """`--strict --all-profiles` passes the configs of configs/ that have profiles."""
    names = [
        f"configs/{path.name}"
        for path in sorted((ROOT / "configs").glob("*.yaml"))
        if "\nprofiles:" in path.read_text()
    ]
    assert len(names) >= 2
    code, out = validate("--strict", "--all-profiles", *names)
    assert code == 0, out
