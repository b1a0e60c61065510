"""Clients with the TLS libraries of grpcio (BoringSSL), openssl, Go and Java.

Each makes a call, as far as it can, and returns a `ClientResult`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import pytest
from helloworld.helloworld_pb2 import HelloReply, HelloRequest
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.interop_programs import ROOT, TOOLS, find_program, missing
from support.matrix_certs import mismatched_key_pem
from support.services import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from grpcsecure.devcerts import Credential

__all__ = [
    "ClientResult",
    "GoClient",
    "GrpcGoClient",
    "GrpcJavaClient",
    "GrpcioClient",
    "OpensslClient",
    "Order",
]

METHOD = "/helloworld.Greeter/SayHello"

#: Alerts (RFC 8446, section 6): the number that openssl prints, and Go's text.
_ALERTS = {
    "handshake_failure": (40, "handshake failure"),
    "bad_certificate": (42, "bad certificate"),
    "unsupported_certificate": (43, "unsupported certificate"),
    "certificate_expired": (45, "expired certificate"),
    "certificate_unknown": (46, "unknown certificate"),
    "unknown_ca": (48, "unknown certificate authority"),
    "decrypt_error": (51, "error decrypting message"),
    "protocol_version": (70, "protocol version not supported"),
    "certificate_required": (116, "certificate required"),
    "no_application_protocol": (120, "no application protocol"),
}
_BY_NUMBER = {number: name for name, (number, _) in _ALERTS.items()}
_BY_WORDS = {words: name for name, (_, words) in _ALERTS.items()}


class Order(NamedTuple):
    """Instructions for a client: the address to call, the name to send, and so on."""

    address: str
    ca: bytes
    name: str
    credential: Credential | None = None
    version: str = "TLSv1.3"
    alpn: tuple[str, ...] = ("h2",)
    #: Present the certificate only if the server's list of CAs contains its issuer.
    chooses: bool = False


class ClientResult(NamedTuple):
    """The result of a call for the client."""

    is_served: bool
    #: The name of the server's alert in RFC 8446.
    alert: str | None = None
    #: The error text of the client itself.
    text: str = ""
    #: The message of the reply, from clients that make a whole call.
    message: str | None = None
    #: The client's own address, from clients that report it.
    local: str | None = None
    #: The number of acceptable CAs in the request for a certificate, if there was one.
    acceptable: int | None = None


class GrpcioClient:
    """Calls with grpcio, which offers every TLS version and reports no alerts."""

    def call(self, order: Order) -> ClientResult:
        """Make the call."""
        own = order.credential
        credentials = grpc.ssl_channel_credentials(
            order.ca, own and own.key_pem, own and own.certificate_pem
        )
        options = [
            ("grpc.ssl_target_name_override", "localhost"),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
        ]
        with grpc.secure_channel(order.address, credentials, options) as channel:
            try:
                reply = GreeterStub(channel).SayHello(
                    HelloRequest(name=order.name), timeout=PATIENCE
                )
            except grpc.RpcError as error:
                return ClientResult(is_served=False, text=str(error))
        return ClientResult(is_served=True, message=reply.message)

    def close(self) -> None:
        """Nothing is left open."""


#: Connection preface, an empty SETTINGS frame, and one that is longer than allowed,
#: which ends the connection (RFC 9113, sections 3.4 and 4.2). An accepted client gets
#: the server's SETTINGS before that.
_REQUEST = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\xff\xff\xff\x04\0\0\0\0\0"
)
_SETTINGS = 4


class OpensslClient:
    """Sends handwritten HTTP/2 through `openssl s_client`."""

    def __init__(self, folder: Path) -> None:
        self._program = find_program("openssl")
        self._folder = folder

    def call(self, order: Order) -> ClientResult:
        """Make a handshake and begin HTTP/2; it is served if the server answers."""
        connect = ("s_client", "-quiet", "-connect", order.address)
        check = ("-servername", "localhost", "-verify_hostname", "localhost")
        done = subprocess.run(
            [self._program, *connect, *check, *self._options(order)],
            input=_REQUEST,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        errors = done.stderr.decode(errors="replace")
        alert = re.search(r"SSL alert number (\d+)", errors)
        return ClientResult(
            is_served=len(done.stdout) > 3 and done.stdout[3] == _SETTINGS,
            alert=alert and _BY_NUMBER[int(alert[1])],
            text=errors,
        )

    def _options(self, order: Order) -> list[str]:
        options = [f"-{order.version.lower().replace('v', '').replace('.', '_')}"]
        options += ["-verify_return_error", "-CAfile", self._write("ca.pem", order.ca)]
        if order.version == "TLSv1.1":
            options += ["-cipher", "DEFAULT:@SECLEVEL=0"]
        if order.alpn:
            options += ["-alpn", ",".join(order.alpn)]
        own = order.credential
        if own is not None:
            options += ["-cert", self._write("own.pem", own.certificate_pem)]
            options += ["-cert_chain", self._write("own.pem", own.certificate_pem)]
            options += ["-key", self._write("own.key", mismatched_key_pem(own))]
        return options

    def _write(self, name: str, data: bytes) -> str:
        path = self._folder / name
        path.write_bytes(data)
        return str(path)

    def close(self) -> None:
        """Nothing is left open."""


def _go_build(source: str, program: Path) -> subprocess.CompletedProcess[str]:
    """Build a Go program of `tests/interop`."""
    return subprocess.run(
        [find_program("go"), "build", "-o", program, "."],
        cwd=ROOT / "tests/interop" / source,
        # Use only what is installed: download no toolchain and no module.
        env={**os.environ, "GOTOOLCHAIN": "local", "GOPROXY": "off"},
        capture_output=True,
        text=True,
        check=False,
    )


class _LineProcess:
    """A process that answers each line of JSON with one."""

    def __init__(self, *command: str | Path) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, asked: dict[str, object]) -> dict[str, Any]:
        """Return the answer to `asked`."""
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._process.stdout.close()


def _go_call(order: Order) -> dict[str, object]:
    """Return the call for the Go programs."""
    own = order.credential
    body = HelloRequest(name=order.name).SerializeToString()
    return {
        "Address": order.address,
        "Version": 0x0301 + int(order.version[-1]),
        "ALPN": order.alpn,
        "CA": order.ca.decode(),
        "Certificate": own.certificate_pem.decode() if own else "",
        "Key": own.key_pem.decode() if own else "",
        "Choose": order.chooses,
        "Path": METHOD,
        "Body": b64encode(body).decode(),
    }


def _message_of(answer: dict[str, Any]) -> str | None:
    body = answer["Body"]
    return HelloReply.FromString(b64decode(body)).message if body else None


class GoClient:
    """Makes calls with Go's `crypto/tls` and `net/http`, in one process for all.

    It presents its certificate with any list of acceptable CAs of the server.
    """

    def __init__(self, folder: Path) -> None:
        program = folder / "go-client"
        built = _go_build("go", program)
        assert built.returncode == 0, built.stderr
        self._process = _LineProcess(program)

    def call(self, order: Order) -> ClientResult:
        """Make the call."""
        answer = self._process.ask(_go_call(order))
        _, remote, words = answer["Error"].partition("remote error: tls: ")
        return ClientResult(
            is_served=not answer["Error"] and answer["Status"] in ("", "0"),
            alert=_BY_WORDS[words] if remote else None,
            text=f"{answer['Error']} {answer['Status']}",
            message=_message_of(answer),
            local=answer["Local"],
            acceptable=answer["Acceptable"] if answer["Asked"] else None,
        )

    def close(self) -> None:
        """End the process."""
        self._process.close()


class GrpcGoClient:
    """Makes calls with grpc-go and its ordinary credentials, in one process for all.

    It withholds its certificate if the server's list of acceptable CAs has no issuer
    of it.
    """

    def __init__(self, folder: Path) -> None:
        program = folder / "grpc-go-client"
        built = _go_build("grpc_go", program)
        if built.returncode:
            missing(f"grpc-go, or the Go it needs ({built.stderr.strip()})")
        self._process = _LineProcess(program)

    def call(self, order: Order) -> ClientResult:
        """Make the call."""
        answer = self._process.ask(_go_call(order))
        alert = re.search(r"remote error: tls: ([a-z ]+)", answer["Error"])
        return ClientResult(
            is_served=not answer["Error"],
            alert=alert and _BY_WORDS[alert[1]],
            text=answer["Error"],
            message=_message_of(answer),
        )

    def close(self) -> None:
        """End the process."""
        self._process.close()


class GrpcJavaClient:
    """Makes calls with grpc-java, its netty transport and its ordinary credentials.

    One process makes all calls. It withholds its certificate if the server's list of
    acceptable CAs has no issuer of it.
    """

    def __init__(self) -> None:
        libraries = TOOLS / "grpc_java"
        if not libraries.is_dir():
            # Also with `INTEROP=required`: few machines have a JDK and Maven.
            pytest.skip("`make interop-tools` did not install grpc-java")
        source = ROOT / "tests/interop/grpc_java/Client.java"
        quick = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
        self._process = _LineProcess(
            find_program("java"), *quick, "-cp", f"{libraries}/*", source
        )

    def call(self, order: Order) -> ClientResult:
        """Make the call."""
        answer = self._process.ask(_go_call(order))
        # BoringSSL's reason for the alert NUMBER of its peer is 1000 + NUMBER.
        code = re.search(r"error:10000([0-9a-f]{3}):SSL routines", answer["Error"])
        number = int(code[1], 16) - 1000 if code else 0
        return ClientResult(
            is_served=not answer["Error"],
            alert=_BY_NUMBER[number] if number > 0 else None,
            text=answer["Error"],
            message=_message_of(answer),
        )

    def close(self) -> None:
        """End the process."""
        self._process.close()
