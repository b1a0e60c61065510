"""Starting, draining and cutting the two runtimes, built from the model alone."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path

import grpc
import pytest
from support.servers import (
    RUNTIMES,
    Conversation,
    assemble,
    custom,
    entry,
    failure,
    greeting_of,
    hello_request,
    plaintext,
    running,
    socket_path,
)
from support.services import PATIENCE, reply

from grpcsecure.config.build import MAX_DURATION
from grpcsecure.errors import BindError, StartupError
from grpcsecure.model.listener import Listener, TcpAddress, TlsSettings, UnixAddress
from grpcsecure.model.modes import ClientCertificateMode

GATED = {"threads": "support.services:Gated", "asyncio": "support.services:GatedAio"}


@pytest.fixture(name="runtime", params=list(RUNTIMES))
def _runtime(request):
    """The name of a runtime."""
    return request.param


def greet(request, context):
    """Reply with the name in the request."""
    return reply(request.name)


def port_of(server, listener="public"):
    """Return the real port of a listener."""
    return int(server.addresses[listener].rpartition(":")[2])


def accepts(address):
    """Whether a server listens at `address`, a path or a pair of host and port."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(PATIENCE)
        return client.connect_ex(address) == 0


class TestStart:
    """A server starts as a whole, or not at all."""

    def test_port_zero_becomes_a_real_port(self, runtime):
        """A listener on port 0 reports an address that clients can connect to."""
        with running(runtime, custom(SayHello=greet)) as server:
            assert port_of(server) > 0
            with server.greeter() as greeter:
                assert greeting_of(greeter) == "Ada"

    def test_listeners_share_the_servicer(self, runtime, tmp_path):
        """A servicer is created once, and every listener calls that one object."""
        created = []

        def make(**_):
            from support.services import Custom

            created.append(None)
            return Custom(SayHello=lambda request, context: reply(len(created)))

        service = entry("support.services:Custom.make", make=make)
        listeners = [
            plaintext("one"),
            plaintext("two", TcpAddress("::1", 0)),
            plaintext("three", UnixAddress(socket_path(tmp_path))),
        ]
        with running(runtime, service, listeners=listeners) as server:
            for name in ("one", "two", "three"):
                with server.greeter(name) as greeter:
                    assert greeting_of(greeter) == "1"

    def test_taken_port_names_address_and_reason(self, runtime):
        """Two servers never share a port: the second one reports the address in use."""
        with running(runtime, custom(SayHello=greet)) as first:
            address = first.addresses["public"]
            listener = plaintext(address=TcpAddress("127.0.0.1", port_of(first)))
            second = RUNTIMES[runtime](
                assemble(custom(SayHello=greet), listeners=[listener])
            )
            with pytest.raises(BindError) as caught:
                second.start()
            assert str(caught.value) == (
                f"listener `public` cannot listen on {address}: address already in use"
            )

    def test_no_channel_option_lets_servers_share_a_port(self):
        """`grpc.so_reuseport` stays off even if the channel options turn it on."""
        options = (("grpc.so_reuseport", 1),)
        service = custom(SayHello=greet)
        with running("threads", service, channel_options=options) as first:
            listener = plaintext(address=TcpAddress("127.0.0.1", port_of(first)))
            with (
                pytest.raises(BindError, match="address already in use"),
                running(
                    "threads", service, listeners=[listener], channel_options=options
                ),
            ):
                pass

    def test_longest_durations_fit_grpc_options(self):
        """The longest duration of the config is clipped to gRPC's 32-bit options."""
        tls = TlsSettings(
            certificate=Path("/a.pem"),
            private_key=Path("/a.key"),
            client_certificate=ClientCertificateMode.DONT_REQUEST,
            handshake_timeout=MAX_DURATION,
        )
        listener = Listener(
            name="public",
            address=TcpAddress("127.0.0.1", 0),
            tls=tls,
            max_connection_age=MAX_DURATION,
            max_connection_age_grace=MAX_DURATION,
        )
        options = assemble(custom(SayHello=greet)).options(listener)
        with ThreadPoolExecutor() as pool:
            grpc.server(pool, options=options).stop(0)
        assert [value for key, value in options if key.endswith("_ms")] == [
            2**31 - 1
        ] * 3

    def test_foreign_address_is_the_reason(self, runtime):
        """A foreign address is not reported as a taken port or TLS error."""
        # RFC 5737: reserved for documentation, so no machine has it.
        listener = plaintext(address=TcpAddress("192.0.2.1", 0))
        server = RUNTIMES[runtime](
            assemble(custom(SayHello=greet), listeners=[listener])
        )
        with pytest.raises(BindError, match="cannot assign requested address"):
            server.start()

    def test_nothing_listens_after_a_failure(self, runtime, tmp_path):
        """If the last listener cannot be bound, the first one is closed again."""
        path = socket_path(tmp_path)
        with running(runtime, custom(SayHello=greet)) as first:
            listeners = [
                plaintext("good", UnixAddress(path)),
                plaintext("bad", TcpAddress("127.0.0.1", port_of(first))),
            ]
            server = RUNTIMES[runtime](
                assemble(custom(SayHello=greet), listeners=listeners)
            )
            with pytest.raises(BindError, match="listener `bad`"):
                server.start()
            assert not accepts(str(path))

    def test_servicer_that_raises_leaves_nothing_listening(self, runtime, tmp_path):
        """A constructor's exception is named and kept as cause; nothing is bound."""
        path = socket_path(tmp_path)
        listeners = [plaintext("public", UnixAddress(path))]
        service = entry("support.services:Raises", error=ValueError("no database"))
        server = RUNTIMES[runtime](assemble(service, listeners=listeners))
        with pytest.raises(StartupError, match="raised ValueError when it was created"):
            server.start()
        assert not path.exists()

    def test_servicer_that_exits_is_a_startup_error(self, runtime):
        """A constructor that calls `sys.exit(0)` does not end the start in success."""
        service = entry("support.services:Raises", error=SystemExit(0))
        server = RUNTIMES[runtime](assemble(service))
        with pytest.raises(StartupError, match="raised SystemExit when it was created"):
            server.start()

    def test_register_function_that_raises_is_a_startup_error(self, runtime):
        """A factory's object that does not fit its register function is reported."""
        service = entry("support.services:wrongly_annotated_factory")
        server = RUNTIMES[runtime](assemble(service))
        with pytest.raises(StartupError, match="`add_GreeterServicer_to_server`"):
            server.start()


class TestUnixSocket:
    """Unix sockets in the file system: gRPC alone would replace any file."""

    def test_live_socket_is_refused(self, runtime, tmp_path):
        """A socket on which another server listens is not taken over."""
        path = socket_path(tmp_path)
        listeners = [plaintext(address=UnixAddress(path))]
        with running(runtime, custom(SayHello=greet), listeners=listeners) as first:
            second = RUNTIMES[runtime](
                assemble(custom(SayHello=greet), listeners=listeners)
            )
            with pytest.raises(BindError) as caught:
                second.start()
            assert str(caught.value) == (
                f"listener `public` cannot listen on unix:{path}:"
                " another process listens there"
            )
            with first.greeter() as greeter:
                assert greeting_of(greeter) == "Ada"

    def test_stale_socket_is_replaced(self, runtime, tmp_path):
        """The socket of a dead process is replaced."""
        path = socket_path(tmp_path)
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        listeners = [plaintext(address=UnixAddress(path))]
        with (
            running(runtime, custom(SayHello=greet), listeners=listeners) as server,
            server.greeter() as greeter,
        ):
            assert greeting_of(greeter) == "Ada"

    def test_file_in_its_place_is_refused(self, tmp_path):
        """A file that is not a socket is never removed."""
        path = socket_path(tmp_path)
        path.write_text("mine")
        server = RUNTIMES["threads"](
            assemble(
                custom(SayHello=greet),
                listeners=[plaintext(address=UnixAddress(path))],
            )
        )
        with pytest.raises(BindError, match="exists and is not a socket"):
            server.start()
        assert path.read_text() == "mine"

    def test_missing_folder_is_named_as_the_reason(self, tmp_path):
        """A missing parent directory of the socket is reported as such."""
        listener = plaintext(address=UnixAddress(tmp_path / "none" / "s.sock"))
        server = RUNTIMES["threads"](
            assemble(custom(SayHello=greet), listeners=[listener])
        )
        with pytest.raises(BindError, match="no such file or directory"):
            server.start()

    @pytest.mark.parametrize("name", ["a b.sock", "50%41.sock", "ü.sock", "a?b#c.sock"])
    def test_any_name_is_taken_literally(self, name, tmp_path):
        """Characters with a meaning in URIs are part of the socket's name."""
        path = socket_path(tmp_path, name)
        listeners = [plaintext(address=UnixAddress(path))]
        with running("threads", custom(SayHello=greet), listeners=listeners) as server:
            assert server.addresses == {"public": f"unix:{path}"}
            assert accepts(str(path))


class TestDrain:
    """Stopping lets calls finish, and reports whether all of them could."""

    def test_idle_server_stops_without_cutting(self, runtime, monkeypatch):
        """A grace of zero is enough when no call runs."""
        # On a busy machine also that takes a while.
        module = f"grpcsecure.server.runtime.{runtime}"
        monkeypatch.setattr(f"{module}._IDLE_PATIENCE", PATIENCE)
        with running(runtime, custom(SayHello=greet)) as server:
            with server.greeter() as greeter:
                greeting_of(greeter)
            assert server.stop(0) is True
            assert not accepts(("127.0.0.1", port_of(server)))

    def test_running_calls_finish(self, runtime):
        """A unary call and a stream that run when the drain begins end normally.

        New calls are refused with UNAVAILABLE meanwhile.
        """
        with (
            running(runtime, entry(GATED[runtime])) as server,
            server.greeter() as greeter,
            server.connect() as late,
            ThreadPoolExecutor(1) as drain,
        ):
            talk = Conversation(greeter)
            unary = greeter.SayHello.future(hello_request(), timeout=PATIENCE)
            assert talk("entered") == "entered"
            stopped = drain.submit(server.stop)
            late.wait_for_drain()
            assert (
                failure(lambda: greeting_of(late.greeter))[0]
                is grpc.StatusCode.UNAVAILABLE
            )
            assert talk("still here") == "still here"
            assert talk("open") == "open"
            assert unary.result().message == "done"
            assert talk.end() == []
            assert stopped.result(PATIENCE) is True

    def test_deadline_cuts(self, runtime):
        """A call that takes longer than the grace is cut, and `stop` returns False."""
        with (
            running(runtime, entry(GATED[runtime])) as server,
            server.greeter() as greeter,
        ):
            talk = Conversation(greeter)
            unary = greeter.SayHello.future(hello_request(), timeout=PATIENCE)
            assert talk("entered") == "entered"
            assert server.stop(0) is False
            assert failure(unary.result)[0] in (
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.CANCELLED,
            )

    def test_cut_ends_the_wait(self, runtime):
        """`cut` from another thread ends a long grace; more calls of it do nothing."""
        with (
            running(runtime, entry(GATED[runtime])) as server,
            server.connect() as client,
            ThreadPoolExecutor(1) as drain,
        ):
            greeter = client.greeter
            talk = Conversation(greeter)
            unary = greeter.SayHello.future(hello_request(), timeout=PATIENCE)
            assert talk("entered") == "entered"
            stopped = drain.submit(server.stop, 3 * PATIENCE)
            client.wait_for_drain()
            server.runtime.cut()
            server.runtime.cut()
            assert stopped.result(PATIENCE) is False
            server.runtime.cut()
            assert failure(unary.result)

    def test_stuck_handler_does_not_hold_stop(self):
        """After the cut, `stop` does not wait for a thread that never returns."""
        release = threading.Event()

        def say_hello(request, context):
            entered.set()
            release.wait()
            return reply("late")

        entered = threading.Event()
        with (
            running("threads", custom(SayHello=say_hello)) as server,
            server.greeter() as greeter,
        ):
            call = greeter.SayHello.future(hello_request(), timeout=PATIENCE)
            assert entered.wait(PATIENCE)
            assert server.stop(0) is False
            assert failure(call.result)
            release.set()

    def test_cut_after_the_last_call_cuts_nothing(self, runtime, monkeypatch):
        """A `cut` after the last call has ended does not count as a cut call."""
        with (
            running(runtime, custom(SayHello=greet)) as server,
            server.greeter() as greeter,
        ):
            greeting_of(greeter)
            close = server.runtime.ports.close
            monkeypatch.setattr(
                server.runtime.ports, "close", lambda: (server.runtime.cut(), close())
            )
            assert server.stop(PATIENCE) is True

    @pytest.mark.parametrize("cuts", [False, True], ids=["finishes", "is cut"])
    def test_method_that_outlives_its_call_gets_the_grace_too(self, runtime, cuts):
        """`stop` waits for a method whose client has left, until a cut."""
        entered, release = threading.Event(), threading.Event()
        finished = []

        def say_hello(request, context):
            entered.set()
            assert release.wait(2 * PATIENCE)
            finished.append(request.name)
            return reply("late")

        with (
            running(runtime, custom(SayHello=say_hello)) as server,
            server.connect() as client,
            ThreadPoolExecutor(1) as drain,
        ):
            call = client.greeter.SayHello.future(hello_request(), timeout=PATIENCE)
            assert entered.wait(PATIENCE)
            call.cancel()
            stopped = drain.submit(server.stop, 3 * PATIENCE)
            client.wait_for_drain()
            with pytest.raises(FutureTimeoutError):
                stopped.result(0.3)
            if cuts:
                server.runtime.cut()
            else:
                release.set()
            assert stopped.result(PATIENCE) is not cuts
            assert bool(finished) is not cuts
            release.set()
