"""`grpcsecure serve` as a process: its output and its exit codes."""

from __future__ import annotations

import json
import signal
import socket
import textwrap
from datetime import datetime, timedelta, timezone

import grpc
import pytest
from cryptography.x509 import DNSName
from grpc_health.v1.health_pb2 import DESCRIPTOR as HEALTH
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.certificates import make_certificates
from support.process import run, serving, starting, write_config
from support.servers import greeting_of, socket_path

import grpcsecure
from grpcsecure.devcerts import (
    DevFile,
    Profile,
    Validity,
    issue,
    make_authority,
    write_files,
)
from grpcsecure.devcerts.credentials import SERVER_AUTH

GREETER = "helloworld.greeter:Greeter"


@pytest.fixture(name="certs", scope="module")
def _certs(tmp_path_factory):
    """A folder with certificates of server and client."""
    return make_certificates(tmp_path_factory.mktemp("certs"))


def tls(certs, mode="dont_request", **more):
    """Return a TLS listener on any free port."""
    return {
        "address": "127.0.0.1:0",
        "tls": {
            "certificate": str(certs / "server.pem"),
            "private_key": str(certs / "server.key"),
            "client_certificate": mode,
            **more,
        },
    }


def greet(address, certs=None):
    """Return the greeting of the server at `address`."""
    if certs is None:
        channel = grpc.insecure_channel(address)
    else:
        root = (certs / "ca.pem").read_bytes()
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(root))
    with channel:
        return greeting_of(GreeterStub(channel))


class TestReady:
    """The start until the server is ready, and an orderly stop."""

    def test_banner_ends_with_the_ready_line(self, certs, tmp_path):
        """The banner is on stderr and ends with the ready line and the real addresses.

        After it comes the client command with its addresses filled in; stdout stays
        empty. The ready file has the same data and is removed when the server ends.
        """
        config = write_config(
            tmp_path / "server.yaml",
            GREETER,
            reflection=True,
            listeners={
                "public": tls(certs),
                "probes": {
                    "address": "127.0.0.1:0",
                    "plaintext": True,
                    "services": ["grpc.health.v1.Health"],
                },
            },
        )
        command = """dial -d '{"name": "{who}"}' {public}"""
        with serving(config, "--client-command", command) as server:
            facts = json.loads(server.ready_file.read_text())
            public, probes = facts["addresses"]["public"], facts["addresses"]["probes"]
            assert greet(public, certs) == "Hello, Ada! (anonymous on public)"
            assert server.next_notification() == "STATUS=serving, generation 1"
            server.signal()
            assert server.next_notification() == "STOPPING=1"
            assert server.wait() == 0
            banner, _, after = server.stderr.partition("\nready")
        assert server.process.returncode == 0
        lines = banner.splitlines()
        assert lines[0].startswith(f"grpcsecure {grpcsecure.__version__}  pid ")
        assert lines[1] == f"config    {config}  generation 1"
        health = len(HEALTH.services_by_name["Health"].methods)  # grew with grpcio
        assert lines[2] == (
            "services  helloworld.Greeter (4 methods), grpc.health.v1.Health"
            f" ({health} methods), grpc.reflection.v1alpha.ServerReflection (1 method),"
            " grpc.reflection.v1.ServerReflection (1 method)"
        )
        assert (
            lines[3]
            == f"listener  public  {public}  dont_request  engine grpc  TLS 1.2+"
        )
        assert "dns localhost  ip 127.0.0.1  ip ::1  expires in 29 days" in lines[4]
        assert lines[5] == f"listener  probes  {probes}  plaintext"
        assert lines[6] == "          only grpc.health.v1.Health"
        assert lines[7] == "policy    none: every call is allowed"
        # The config, certificate and key.
        assert lines[8] == "reload    3 files, events and every 10s"
        assert [line[:15] for line in lines[9:]] == [
            "!         GS311",
            "!         GS410",
            "!         GS313",
        ]
        ready, client, draining = after.splitlines()
        assert ready.startswith(f"     {public}, {probes}  in {facts['ready_ms']} ms")
        assert client == f"""try       dial -d '{{"name": "{{who}}"}}' {public}"""
        time, _, event = draining.partition(" ")
        written = datetime.fromisoformat(time.replace("Z", "+00:00"))
        assert written.utcoffset() == timedelta(0)
        assert event == "server.draining  reason=SIGTERM  grace=30s  delay=0s"
        assert server_is_gone(facts["addresses"]["public"])

    def test_quiet_start_still_warns(self, tmp_path):
        """`-q` drops the banner except for its warnings, which begin with `!`."""
        config = write_config(tmp_path / "server.yaml", GREETER, reflection=True)
        with serving(config, before=["-q"]) as server:
            server.signal()
            assert server.wait() == 0
            *warnings, draining = server.stderr.splitlines()
        assert [line[:15] for line in warnings] == [
            "!         GS311",
            "!         GS410",
        ]
        assert " server.draining  reason=SIGTERM" in draining

    def test_profile_for_development_is_a_warning(self, tmp_path):
        """A `!` line says that the profile has `production: false`."""
        config = write_config(tmp_path / "server.yaml", GREETER, reflection=True)
        text = json.loads(config.read_text())
        text["profiles"] = {"dev": {"production": False}}
        config.write_text(json.dumps(text))
        with serving(config, "--profile", "dev", before=["-q"]) as server:
            facts = json.loads(server.ready_file.read_text())
            server.signal()
            assert server.wait() == 0
            *_, last, _draining = server.stderr.splitlines()
        assert facts["development"] is True
        assert last == (
            "!         profile `dev` says `production: false`:"
            " 2 warnings would be errors in production"
        )

    def test_banner_shows_no_control_characters(self, tmp_path):
        """Names in a certificate cannot move the cursor or forge a line."""
        now = datetime.now(timezone.utc)
        odd = "x\x1b[2J\nready"
        authority = make_authority(odd, now=now, days=1)
        profile = Profile(
            subject=odd,
            validity=Validity.of(1, now=now),
            names=(DNSName("a\x1b[31m"), DNSName("localhost")),
            purposes=(SERVER_AUTH,),
        )
        server = issue(profile, issuer=authority)
        files = [
            DevFile("ca.pem", authority.certificate_pem),
            DevFile("server.pem", server.certificate_pem),
            DevFile("server.key", server.key_pem),
        ]
        write_files(tmp_path, files, force=False)
        listener = tls(tmp_path, "require_and_verify", client_ca=f"{tmp_path}/ca.pem")
        config = write_config(tmp_path / "s.yaml", GREETER, listeners={"a": listener})
        with serving(config) as served:
            served.signal()
            assert served.wait() == 0
            lines = served.stderr.splitlines()
        assert not [line for line in lines if not line.isprintable()]
        assert len([line for line in lines if line.startswith("ready")]) == 1
        (material,) = [line for line in lines if "dns " in line]
        assert r"CN=x\x1b[2J\nready" in material
        assert r"dns a\x1b[31m" in material
        signer = r"signed by CN=x\x1b[2J\nready (1 CA)"
        assert [line for line in lines if signer in line]

    def test_json_log_is_one_object_per_line(self, tmp_path):
        """With `--log-format json` the banner is one `server.started` object."""
        config = write_config(tmp_path / "server.yaml", GREETER)
        with serving(config, "--log-format", "json") as server:
            address = server.addresses["public"]
            server.signal(signal.SIGINT)
            assert server.wait() == 0
            events = [json.loads(line) for line in server.stderr.splitlines()]
            assert server.stdout == ""
        started, draining = events
        assert started["event"] == "server.started"
        assert started["level"] == "info"
        assert started["addresses"] == {"public": address}
        assert started["config"] == str(config)
        assert started["services"]["helloworld.Greeter"] == 4
        assert draining["event"] == "server.draining"
        assert draining["reason"] == "SIGINT"

    def test_ready_file_is_removed_at_the_end(self, tmp_path):
        """The ready file exists only while the server serves."""
        config = write_config(tmp_path / "server.yaml", GREETER)
        with serving(config) as server:
            assert server.ready_file.exists()
            assert [p.name for p in server.ready_file.parent.glob(".ready*")] == []
            server.signal()
            assert server.wait() == 0
            assert not server.ready_file.exists()

    def test_config_from_stdin_with_a_profile(self, tmp_path):
        """`serve -` reads the config from stdin; paths are relative to the cwd."""
        text = textwrap.dedent(
            """\
            version: 1
            services: [{servicer: 'mine:Mine'}]
            listeners: {public: {address: '127.0.0.1:0', plaintext: true}}
            profiles:
              loud: {services: [{servicer: 'mine:Loud'}]}
            """
        )
        (tmp_path / "mine.py").write_text(
            textwrap.dedent(
                """\
                from helloworld.greeter import Greeter as Mine

                class Loud(Mine):
                    def __init__(self):
                        super().__init__("HELLO")
                """
            )
        )
        from support.process import ROOT

        with serving(
            "-",
            stdin=text,
            cwd=tmp_path,
            PYTHONPATH=str(ROOT / "examples"),
            GRPCSECURE_PROFILE="loud",
        ) as server:
            assert greet(server.addresses["public"]).startswith("HELLO, Ada!")
            server.signal()
            assert server.wait() == 0
            assert "config    <stdin> (profile loud)" in server.stderr


def server_is_gone(address):
    """Whether connections to `address`, host and port, are refused."""
    host, _, port = address.rpartition(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) != 0


class TestFailedStart:
    """A failed start prints the reason; its exit code is the kind of failure."""

    def test_findings_are_those_of_validate(self, tmp_path):
        """A bad config exits with 1 and has the output of `validate` on stdout."""
        path = tmp_path / "server.yaml"
        path.write_text("version: 1\nservces: []\n")
        served, validated = run("serve", path), run("validate", path)
        assert served.returncode == validated.returncode == 1
        assert served.stdout == validated.stdout
        assert "GS102" in served.stdout
        assert served.stderr == ""

    def test_missing_config_is_exit_2(self, tmp_path):
        """A config that cannot be read exits with 2 and finding GS001."""
        result = run("serve", tmp_path / "none.yaml")
        assert result.returncode == 2
        assert "GS001" in result.stdout

    def test_unknown_profile_is_exit_2(self, tmp_path):
        """The error on stderr suggests the profile with the nearest name."""
        path = tmp_path / "server.yaml"
        path.write_text("version: 1\nprofiles: {prod: {}, dev: {}}\n")
        result = run("serve", path, "--profile", "prdo")
        assert result.returncode == 2
        assert result.stdout == ""
        assert "`prdo`" in result.stderr
        assert "did you mean `prod`?" in result.stderr

    def test_taken_port_is_exit_3(self, tmp_path):
        """Two servers never share a port; the second does not affect the first."""
        config = write_config(tmp_path / "one.yaml", GREETER)
        with serving(config) as first:
            address = first.addresses["public"]
            config = write_config(
                tmp_path / "two.yaml",
                GREETER,
                listeners={"late": {"address": address, "plaintext": True}},
            )
            second = run("serve", config, "--ready-file", first.ready_file)
            assert second.returncode == 3
            assert second.stdout == ""
            # No line of gRPC core's comes before it.
            assert second.stderr == (
                f"error: listener `late` cannot listen on {address}:"
                " address already in use\n"
            )
            assert first.addresses == {"public": address}
            assert greet(address) == "Hello, Ada! (anonymous on public)"

    def test_servicer_that_raises_is_exit_3(self, tmp_path):
        """The traceback is printed from the user's code on; nothing listens."""
        (tmp_path / "mine.py").write_text(
            textwrap.dedent(
                """\
                from helloworld.helloworld_pb2_grpc import GreeterServicer

                class Mine(GreeterServicer):
                    def __init__(self):
                        raise RuntimeError("no database")
                """
            )
        )
        path = socket_path(tmp_path)
        config = write_config(
            tmp_path / "server.yaml",
            "mine:Mine",
            listeners={"public": {"address": f"unix:{path}", "plaintext": True}},
        )
        result = run("serve", config, cwd=tmp_path)
        assert result.returncode == 3
        assert result.stdout == ""
        lines = result.stderr.splitlines()
        assert lines[0] == "error: `mine:Mine` raised RuntimeError when it was created"
        assert lines[1] == "Traceback (most recent call last):"
        assert lines[2] == f'  File "{tmp_path}/mine.py", line 5, in __init__'
        assert lines[-1] == "RuntimeError: no database"
        assert "grpcsecure/" not in result.stderr
        assert not path.exists()

    def test_empty_ready_file_is_exit_2(self, tmp_path):
        """An empty path, as from an unset shell variable, is refused before loading."""
        result = run("serve", tmp_path / "none.yaml", "--ready-file", "")
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == "error: --ready-file: the path is empty\n"

    def test_ready_file_that_cannot_be_written_is_exit_3(self, tmp_path):
        """It is found before anything listens."""
        config = write_config(tmp_path / "server.yaml", GREETER)
        path = tmp_path / "none" / "ready.json"
        result = run("serve", config, "--ready-file", path)
        assert result.returncode == 3
        assert result.stderr == (
            f"error: cannot write the ready file `{path}`: its directory does not"
            " exist\n"
        )

    def test_import_failure_is_a_finding(self, tmp_path):
        """A failing import exits with 1, as in `validate`, with a traceback."""
        (tmp_path / "outer.py").write_text("from broken import Mine\n")
        (tmp_path / "broken.py").write_text("import os\n1 / 0\n")
        config = write_config(tmp_path / "server.yaml", "outer:Mine")
        result = run("serve", config, cwd=tmp_path)
        assert result.returncode == 1
        assert "importing `outer` raised ZeroDivisionError" in result.stdout
        frames = [line for line in result.stdout.splitlines() if "  File " in line]
        assert [line.strip(" =") for line in frames] == [
            f'File "{tmp_path}/outer.py", line 1, in <module>',
            f'File "{tmp_path}/broken.py", line 2, in <module>',
        ]
        assert result.stderr == ""


class TestHangingStart:
    """The start of a server whose servicer hangs in its constructor."""

    def test_nothing_listens_and_two_signals_end_it(self, tmp_path):
        """Nothing listens before all servicers exist; two signals end the start."""
        path = socket_path(tmp_path)
        config = write_config(
            tmp_path / "server.yaml",
            "support.services:Hangs",
            listeners={"public": {"address": f"unix:{path}", "plaintext": True}},
        )
        with starting(config) as server:
            assert server.next_notification() == "STATUS=hanging"
            assert not path.exists()
            assert not server.ready_file.exists()
            server.signal(signal.SIGINT)
            server.signal(signal.SIGTERM)
            assert server.wait() == 2
            assert server.stderr.strip() == "interrupted"
