"""Sockets that systemd passes: `address: systemd:NAME` on bridged listeners."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.bridge import eventually
from support.process import children, pid_1, run, serving, starting
from support.reloading import Site, channel, client, greet
from support.servers import socket_path

#: Passes descriptors on as systemd does: from 3 on, named, for this process alone.
PASS = """if True:
    import os, sys
    names, given, pid, *command = sys.argv[1:]
    for index, descriptor in enumerate(given.split(",")):
        os.dup2(int(descriptor), 3 + index)
    os.environ["LISTEN_PID"] = pid or str(os.getpid())
    os.environ["LISTEN_FDS"] = str(index + 1)
    if names:
        os.environ["LISTEN_FDNAMES"] = names
    os.execvp(command[0], command)
    """


def passing(names, *sockets, pid="", before=()):
    """Return options of `serving` that pass sockets under these names."""
    # High numbers, so that none is in the way of another.
    high = [fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD, 100) for sock in sockets]
    text = ",".join(map(str, high))
    command = [sys.executable, "-ISc", PASS, names, text, pid]
    return {"prefix": [*before, *command], "pass_fds": high}


@contextmanager
def passed(options, start=serving):
    """Start a server with `options`; close its descriptors in this process."""
    config = options.pop("config")
    try:
        with start(config, **options) as server:
            yield server
    finally:
        for descriptor in options["pass_fds"]:
            os.close(descriptor)


@pytest.fixture(name="site")
def _site(tmp_path):
    """A site whose listener is on the sockets named `public`."""
    site = Site(tmp_path, "grpc")
    site.tls["engine"] = "auto"
    site.config["listeners"]["public"]["address"] = "systemd:public"
    site.write()
    return site


@pytest.fixture(name="opened")
def _opened():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def call(site, address):
    """Call the server at an address; return the reply."""
    with channel(site, address, client("dns:ada.test", site.ca)) as greeter:
        return greet(greeter)


def test_sockets_of_one_name(site, opened, tmp_path):
    """A listener serves on all sockets of its name, TCP and unix, after the start."""
    path = socket_path(tmp_path, "public")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        unix.listen()
        options = passing("public:public", opened, unix)
        with passed({"config": site.path, **options}) as server:
            port = opened.getsockname()[1]
            assert server.addresses == {"public": f"127.0.0.1:{port}"}
            assert call(site, server.addresses["public"])
            assert call(site, f"unix:{path}")
            server.signal()
            assert server.wait() == 0
        assert path.exists()


def test_clients_wait_for_the_next_start(site, opened):
    """The socket outlives the server: a client that comes meanwhile is served later."""
    address = f"127.0.0.1:{opened.getsockname()[1]}"
    with ThreadPoolExecutor(1) as pool:
        for _ in range(2):
            early = pool.submit(call, site, address)
            options = passing("public", opened)
            with passed({"config": site.path, **options}) as server:
                assert early.result()
                server.signal()
                assert server.wait() == 0


def test_unused_sockets(site, opened):
    """Sockets that no listener names are reported once, and left alone."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        options = passing("public:admin:other", opened, other, other)
        with passed({"config": site.path, **options}) as server:
            eventually(lambda: "sockets.unused  names=admin, other" in server.stderr)


@pytest.mark.parametrize(
    ("names", "pid", "reason"),
    [
        ("admin", "", "systemd has passed no socket of that name, but `admin`"),
        ("", "", "systemd has passed no socket of that name, but `unknown`"),
        (
            "public",
            "1",
            "systemd has passed no sockets to this process: they are meant",
        ),
    ],
)
def test_name_that_was_not_passed(names, pid, reason, site, opened):
    """A name that was not passed, or to another process, is an error at the start."""
    options = passing(names, opened, pid=pid)
    with passed({"config": site.path, **options}, starting) as server:
        assert server.wait() == 3
        assert server.stderr.startswith(
            f"error: listener `public` cannot listen on systemd:public: {reason}"
        )


def test_without_systemd(site):
    """Without systemd the start fails, and `validate` cannot know it."""
    done = run("serve", site.path)
    assert (done.returncode, done.stderr) == (
        3,
        (
            "error: listener `public` cannot listen on systemd:public:"
            " systemd has passed no sockets to this process\n"
        ),
    )
    assert run("validate", site.path).returncode == 0


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: socket.socket(socket.AF_INET), "listening"),
        (lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "a stream socket"),
        (Path(os.devnull).open, "a socket"),
    ],
    ids=["bound", "datagrams", "file"],
)
def test_other_descriptors(make, reason, site):
    """A descriptor that is not a listening stream socket is an error at the start."""
    with make() as wrong:
        options = passing("public", wrong)
        with passed({"config": site.path, **options}, starting) as server:
            assert server.wait() == 3
            assert server.stderr == (
                "error: listener `public` cannot listen on systemd:public:"
                f" descriptor 3 is not {reason}\n"
            )


def test_as_pid_1(site, opened):
    """As PID 1 the sockets go to the child; the init keeps none of them."""
    options = passing("public", opened, before=pid_1())
    with passed({"config": site.path, **options}) as server:
        init = server.child
        assert {fd.name for fd in Path(f"/proc/{init}/fd").iterdir()} == {"0", "1", "2"}
        assert len(children(init)) == 1
        assert call(site, f"127.0.0.1:{opened.getsockname()[1]}")


@pytest.mark.skipif(
    shutil.which("systemd-socket-activate") is None, reason="systemd is not installed"
)
def test_with_systemd(site, tmp_path):
    """`systemd-socket-activate` starts the server at the first connection."""
    path = socket_path(tmp_path, "public")
    prefix = ["systemd-socket-activate", f"--listen={path}", "--fdname=public"]
    prefix += [f"--setenv={name}" for name in ("PATH", "NOTIFY_SOCKET")]
    with starting(site.path, prefix=prefix) as server:
        eventually(path.exists)
        assert call(site, f"unix:{path}")
        server.signal()
        assert server.wait() == 0


def test_listener_without_the_bridge(site):
    """A listener of grpcio itself cannot serve on such a socket: GS340."""
    site.tls["engine"] = "grpc"
    site.config["listeners"]["probes"] = {
        "address": "systemd:probes",
        "plaintext": True,
    }
    site.write()
    done = run("validate", "--format", "concise", site.path)
    assert done.returncode == 1
    found = [line for line in done.stdout.splitlines() if "GS340" in line]
    assert [line.partition("GS340] ")[2] for line in found] == [
        "listener `public` has engine `grpc`, and cannot serve on systemd:public",
        "listener `probes` is plaintext, and cannot serve on systemd:probes",
    ]
