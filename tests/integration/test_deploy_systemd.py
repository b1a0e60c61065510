"""The units in deploy/systemd, checked by systemd itself where it is installed."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from support.process import PATIENCE, ROOT

UNITS = ROOT / "deploy" / "systemd"

#: What a systemd before `notify-reload` (253) says of it.
TOO_OLD = "Failed to parse service type, ignoring: notify-reload"


def analyze(*arguments):
    """Run `systemd-analyze`; return its exit code, output and complaints."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    done = subprocess.run(
        ["systemd-analyze", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    version = subprocess.run(
        ["systemd-analyze", "--version"], capture_output=True, text=True, check=True
    )
    lines = done.stderr.splitlines()
    if int(re.findall(r"\d+", version.stdout)[0]) < 253:
        lines = [line for line in lines if TOO_OLD not in line]
    return done.returncode, done.stdout, lines


@pytest.fixture(name="units")
def _units(tmp_path):
    """Copies of the units whose program exists on this machine."""
    for unit in UNITS.glob("payments.*"):
        text = unit.read_text().replace("/opt/payments/bin/grpcsecure", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    return sorted(tmp_path.glob("payments.*"))


def test_units_verify(units):
    """`systemd-analyze verify` has nothing to say about the units."""
    code, _, complaints = analyze("verify", *units)
    assert (code, complaints) == (0, [])


def test_exposure(units):
    """`systemd-analyze security` rates the hardening of the service as good."""
    service = next(unit for unit in units if unit.suffix == ".service")
    code, out, _ = analyze(
        "security", "--offline=true", "--threshold=30", "--no-pager", service
    )
    if "unrecognized option" in out:
        pytest.skip("this systemd cannot rate a file")
    assert code == 0, out
