"""The context of a servicer has the same values with both engines.

Every value that engine bridge gives is compared with that of grpcio's own TLS for the
same client, in both runtimes, and for synchronous methods under asyncio too.
"""

from __future__ import annotations

import json
import ssl
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

import grpc
import pytest
from cryptography import x509
from helloworld.helloworld_pb2 import HelloRequest
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.bridge import eventually, tls_connect, tls_context
from support.bridge_certs import (
    CLIENT_AUTH,
    Pair,
    authority,
    certificate,
)
from support.mode_clients import GoClient, Order
from support.odd_certificates import (
    ALTERNATIVE_NAMES,
    RAW_NAMES,
    SUBJECTS,
    with_raw_names,
)
from support.raw_http2 import exchange
from support.recording_servicers import (
    AioViewInterceptor,
    View,
    ViewInterceptor,
    recorded_views,
)
from support.services import PATIENCE

import grpcsecure
from grpcsecure import PeerState

#: Runtime, servicer, interceptor.
RUNTIMES = {
    "threads": ("threads", "ViewServicer", ViewInterceptor),
    "asyncio": ("asyncio", "AioViewServicer", AioViewInterceptor),
    "plain methods on asyncio": ("asyncio", "ViewServicer", AioViewInterceptor),
}
ENGINES = ("grpc", "bridge")


class World(NamedTuple):
    """A CA, and the addresses of a server by listener: `{engine}-{kind}`."""

    ca: Pair
    addresses: dict[str, str]


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request):
    """The runtime of the server, and the kind of its methods."""
    return request.param


OPEN = {"client_certificate": "dont_request"}
MUTUAL = {"client_certificate": "require_and_verify", "client_ca": "ca.pem"}

#: Kinds of listener: address and mode. There is one for each engine that supports it.
KINDS = {
    "mutual": ("127.0.0.1:0", MUTUAL),
    "open": ("127.0.0.1:0", OPEN),
    "ipv6": ("[::1]:0", OPEN),
    "wildcard": ("[::]:0", OPEN),
    "unix": ("unix:{engine}.sock", OPEN),
    "lenient": ("127.0.0.1:0", {"client_certificate": "request_but_dont_verify"}),
}


@pytest.fixture(scope="module")
def world(ca, runtime, tmp_path_factory):
    """A server with listeners of both engines and a user interceptor."""
    folder = tmp_path_factory.mktemp("view")
    names = [x509.DNSName("localhost"), x509.DNSName("other.example")]
    pair = certificate("localhost", issuer=ca, names=names)
    (folder / "server.pem").write_bytes(pair.chain_pem)
    (folder / "server.key").write_bytes(pair.key_pem)
    (folder / "server.key").chmod(0o600)
    (folder / "ca.pem").write_bytes(ca.certificate_pem)
    which, servicer, interceptor = RUNTIMES[runtime]
    files = {"certificate": "server.pem", "private_key": "server.key"}
    config = {
        "version": 1,
        "services": [{"servicer": f"support.recording_servicers:{servicer}"}],
        "server": {"runtime": which, "shutdown_grace": "1s"},
        "listeners": {
            f"{engine}-{kind}": {
                "address": address.format(engine=engine),
                "tls": {**files, "engine": engine, **mode},
            }
            for engine in ENGINES
            for kind, (address, mode) in KINDS.items()
            if (engine, kind) != ("grpc", "lenient")
        },
    }
    (folder / "config.yaml").write_text(json.dumps(config))
    server = grpcsecure.load(folder / "config.yaml", interceptors=[interceptor()])
    with server:
        yield World(ca, server.addresses)


@contextmanager
def greeter(world, listener, client=None, *, server_name="localhost", dial=None):
    """Open a connection to `listener`, by another host name if `dial` is given."""
    address = world.addresses[listener]
    if dial is not None:
        address = f"{dial}:{address.rpartition(':')[2]}"
    chain = client and client.chain_pem
    credentials = grpc.ssl_channel_credentials(
        world.ca.certificate_pem, client and client.key_pem, chain
    )
    options = [
        ("grpc.ssl_target_name_override", server_name),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    with grpc.secure_channel(address, credentials, options) as channel:
        yield GreeterStub(channel)


def ask(name):
    """Return a request with this name, under which its recorded_views are kept."""
    return HelloRequest(name=name)


def observe(world, listener, client=None, **options):
    """Make a unary call, close its connection, and return the recorded_views of it."""
    with greeter(world, listener, client, **options) as stub:
        stub.SayHello(ask(listener), timeout=PATIENCE)
    return recorded_views(listener)


#: Properties that older versions of grpcio do not set; the bridge always sets them.
NEWER = {
    "ssl_requested_server_name",
    "ssl_tls_version",
    "ssl_negotiated_key_exchange_group",
}


def comparable(view, native):
    """Return the parts of a view that have to be equal with both engines.

    They are compared as text, so that types and order count. The verdict is returned as
    an object too, as its text omits some fields.
    """
    host, _, port = view.peer.rpartition(":")
    assert port.isdecimal() or view.peer == "unix:"
    assert view.verdict.address == view.peer
    verdict = replace(view.verdict, listener="", address="")
    missing = NEWER - native.auth_context.keys()
    properties = {k: v for k, v in view.auth_context.items() if k not in missing}
    shown = view._replace(auth_context=properties, peer=host, verdict=verdict)
    return repr(shown), verdict


def assert_same(recorded_views):
    """Assert that all recorded_views are equal; the first is of engine grpc."""
    native = recorded_views[0].view
    seen = [comparable(sight.view, native) for sight in recorded_views]
    assert seen == [seen[0]] * len(seen)
    assert all(
        sight.view.verdict.certificate == native.verdict.certificate
        for sight in recorded_views
    )


def compare(world, kind, client=None, **options):
    """Assert that servicer and interceptor see the same view with both engines.

    Returns:
        The view with engine bridge.
    """
    seen = [observe(world, f"{engine}-{kind}", client, **options) for engine in ENGINES]
    for each in seen:
        assert [sight.by for sight in each] == ["interceptor", "servicer"]
    native, bridged = seen
    assert_same([*native, *bridged])
    return bridged[-1].view


@pytest.mark.parametrize("subject", SUBJECTS)
def test_subject_is_shown_the_same(world, subject):
    """Both engines show servicers the same bytes of any subject."""
    compare(
        world,
        "mutual",
        certificate(SUBJECTS[subject], issuer=world.ca, key=subject),
    )


@pytest.mark.parametrize("names", ALTERNATIVE_NAMES)
def test_alternative_names_are_shown_the_same(world, names):
    """Every kind of SAN gives the same properties and identities in both engines."""
    alternative = ALTERNATIVE_NAMES[names]
    client = certificate("n", issuer=world.ca, names=alternative, key="san")
    view = compare(world, "mutual", client)
    assert view.identity_key == "x509_subject_alternative_name"
    assert len(view.identities) == len(alternative)


@pytest.mark.parametrize("raw", RAW_NAMES.values(), ids=RAW_NAMES)
def test_odd_alternative_names_are_shown_the_same(world, raw):
    """SANs that are not ASCII, or are empty, are shown the same by both engines."""
    compare(world, "mutual", with_raw_names(world.ca, raw))


def test_client_without_names_is_identified_by_its_common_name(world):
    """Without a SAN the identity is the common name, with both engines."""
    client = certificate("billing", issuer=world.ca, extended=CLIENT_AUTH)
    view = compare(world, "mutual", client)
    assert (view.identity_key, view.identities) == ("x509_common_name", [b"billing"])
    assert view.verdict.certificate.der == client.der


@pytest.mark.parametrize("extra", [False, True], ids=["intermediate", "root too"])
def test_sent_chain_is_shown_the_same(world, extra):
    """The chain has all that the client sent after its leaf, with both engines."""
    middle = authority("middle", issuer=world.ca)
    sent = (middle.certificate, *([world.ca.certificate] if extra else []))
    client = certificate("c", issuer=middle, extended=CLIENT_AUTH, send=sent)
    view = compare(world, "mutual", client)
    assert len(view.verdict.chain) == len(sent)
    assert "x509_pem_cert_chain" in view.auth_context


def test_leaf_alone_has_no_chain(world):
    """If the client sends its leaf only, the chain property is missing."""
    view = compare(world, "mutual", certificate("alone", issuer=world.ca))
    assert "x509_pem_cert_chain" not in view.auth_context
    assert view.verdict.chain == ()


def test_anonymous_client_is_shown_the_same(world):
    """A client without a certificate has no identity, with both engines."""
    view = compare(world, "open")
    assert (view.identity_key, view.identities) == (None, None)
    assert view.verdict.state is PeerState.ANONYMOUS
    assert view.auth_context["security_level"] == [b"TSI_PRIVACY_AND_INTEGRITY"]


def test_certificate_that_was_not_requested_is_not_shown(world):
    """With `dont_request` a client that has a certificate is anonymous too."""
    client = certificate("unasked", issuer=world.ca, extended=CLIENT_AUTH)
    assert compare(world, "open", client).identities is None


def test_mode_does_not_change_what_is_shown(world):
    """The properties do not depend on whether the certificate was verified."""
    client = certificate("c", issuer=world.ca, names=ALTERNATIVE_NAMES["every kind"])
    [verified, _] = observe(world, "grpc-mutual", client)
    [claimed, _] = observe(world, "bridge-lenient", client)
    for missing in NEWER - verified.view.auth_context.keys():
        del claimed.view.auth_context[missing]
    for answer in ("auth_context", "identities", "identity_key"):
        assert getattr(claimed.view, answer) == getattr(verified.view, answer)
    assert verified.view.verdict.state is PeerState.VERIFIED
    assert claimed.view.verdict.state is PeerState.CLAIMED


def test_self_signed_certificate_is_shown(world):
    """Without verification a servicer sees the names that the client claims."""
    client = certificate("claimed", names=[x509.DNSName("admin.example")])
    [_, sight] = observe(world, "bridge-lenient", client)
    assert sight.view.identities == [b"admin.example"]
    assert sight.view.auth_context["x509_common_name"] == [b"claimed"]
    assert sight.view.verdict.state is PeerState.CLAIMED


@pytest.mark.parametrize(
    ("kind", "dial", "shown"),
    [
        ("open", None, "ipv4:127.0.0.1:"),
        ("ipv6", None, "ipv6:%5B::1%5D:"),
        ("wildcard", "127.0.0.1", "ipv4:127.0.0.1:"),
        ("wildcard", "[::1]", "ipv6:%5B::1%5D:"),
        ("unix", None, "unix:"),
    ],
)
def test_address_is_shown_the_same(world, kind, dial, shown):
    """The client's address is spelled the same on every kind of listener."""
    view = compare(world, kind, dial=dial)
    assert view.peer.startswith(shown)


def test_requested_server_name_is_shown_the_same(world):
    """The server name of the handshake (SNI) is the one that the client dialled."""
    view = compare(world, "open", server_name="other.example")
    assert view.auth_context["ssl_requested_server_name"] == [b"other.example"]


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_go_client_is_shown_the_same(world, clients, version):
    """A client written in Go is shown the same, in TLS 1.2 and 1.3.

    Its certificate is too large for a session ticket (10,000 characters in a SAN):
    grpcio's server fails to write such a ticket, but Go's client does not request one.
    """
    client = certificate("c", issuer=world.ca, names=[x509.DNSName("n" * 10_000)])
    seen = []
    for engine in ENGINES:
        address = world.addresses[f"{engine}-mutual"]
        order = Order(address, world.ca.certificate_pem, engine, client, version)
        assert clients("go").call(order).is_served
        seen += recorded_views(engine)
    assert_same(seen)
    bridged = seen[-1].view
    assert bridged.identities == [b"n" * 10_000]
    assert bridged.auth_context["ssl_tls_version"] == [version.encode()]


@pytest.mark.parametrize(
    ("group", "version"),
    [
        # In TLS 1.2 the client's groups must also have the curve of the server's key.
        ("prime256v1", ssl.TLSVersion.TLSv1_2),
        ("prime256v1", ssl.TLSVersion.TLSv1_3),
        ("secp384r1", ssl.TLSVersion.TLSv1_3),
        ("secp521r1", ssl.TLSVersion.TLSv1_3),
        ("X25519", ssl.TLSVersion.TLSv1_3),
    ],
)
def test_key_exchange_group_is_shown_the_same(world, group, version):
    """The group has the name that grpcio has for it, which is not OpenSSL's."""
    context = tls_context(world.ca, version=version)
    context.set_ecdh_curve(group)
    seen = []
    for engine in ENGINES:
        port = int(world.addresses[f"{engine}-open"].rpartition(":")[2])
        with tls_connect(port, context) as sock:
            exchange(sock, b"/helloworld.Greeter/SayHello")
        seen += recorded_views("")
    assert len(seen) == 2 * len(ENGINES)
    assert_same(seen)
    shown = seen[-1].view.auth_context["ssl_negotiated_key_exchange_group"]
    assert shown == [group.encode()]


def test_hybrid_key_exchange_group_is_shown_the_same(world, monkeypatch, tmp_path):
    """A post-quantum group has the same name in both engines."""
    monkeypatch.setenv("GODEBUG", "tlsmlkem=1")  # a Go module of 1.21 does not offer it
    seen = []
    with closing(GoClient(tmp_path)) as client:
        for engine in ENGINES:
            address = world.addresses[f"{engine}-open"]
            order = Order(address, world.ca.certificate_pem, engine)
            assert client.call(order).is_served
            seen += recorded_views(engine)
    assert_same(seen)
    shown = seen[-1].view.auth_context["ssl_negotiated_key_exchange_group"]
    assert shown == [b"X25519MLKEM768"]


@pytest.mark.parametrize("engine", ENGINES)
def test_every_kind_of_method_sees_the_same(world, engine):
    """The view is the same in every kind of method, at the start and end of a call."""
    client = certificate("c", issuer=world.ca, extended=CLIENT_AUTH)
    name = f"methods-{engine}"
    with greeter(world, f"{engine}-mutual", client) as stub:
        stub.SayHello(ask(name), timeout=PATIENCE)
        list(stub.SayHelloManyTimes(ask(name), timeout=PATIENCE))
        stub.SayHelloToAll(iter([ask(name)] * 2), timeout=PATIENCE)
        list(stub.Chat(iter([ask(name)] * 2), timeout=PATIENCE))
    views = [sight.view for sight in recorded_views(name)]
    assert len(views) == 2 + 2 + 2 + 2
    assert all(view == views[0] for view in views)


@pytest.mark.parametrize("engine", ENGINES)
def test_auth_context_is_a_copy(world, engine):
    """Changes to the result of `auth_context` do not affect later calls."""
    client = certificate("c", issuer=world.ca, extended=CLIENT_AUTH)
    name = f"{engine}-mutual"
    with greeter(world, name, client) as stub:
        stub.SayHello(ask(name), timeout=PATIENCE)
        [first, _] = recorded_views(name)
        first.view.auth_context["x509_common_name"].append(b"admin")
        first.view.auth_context["peer_dns"] = [b"admin"]
        stub.SayHello(ask(name), timeout=PATIENCE)
    [again, _] = recorded_views(name)
    assert again.view.auth_context["x509_common_name"] == [b"c"]
    assert "peer_dns" not in again.view.auth_context


@pytest.mark.parametrize("engine", ENGINES)
def test_kept_context_answers_or_raises(world, runtime, engine):
    """A context that is kept after its call answers with engine bridge.

    With engine grpc under asyncio grpcio's own context must not be asked then: the
    wrapper of grpcsecure raises RuntimeError instead.
    """
    client = certificate("kept", issuer=world.ca, extended=CLIENT_AUTH)
    listener = f"{engine}-mutual"
    for sight in observe(world, listener, client):
        if engine == "grpc" and runtime != "threads":
            questions = [
                sight.context.auth_context,
                sight.context.peer,
                sight.context.peer_identities,
                sight.context.peer_identity_key,
                lambda context=sight.context: grpcsecure.peer(context),
            ]
            for question in questions:
                with pytest.raises(RuntimeError, match="the call is over"):
                    question()
        else:
            assert View.of(sight.context) == sight.view


def test_peer_is_assessed_at_each_call(world):
    """A certificate that expires during a connection is refused by both engines."""
    end = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=4)
    brief = certificate("brief", issuer=world.ca, extended=CLIENT_AUTH, end=end)

    def verdict(stub):
        stub.SayHello(ask("brief"), timeout=PATIENCE)
        return recorded_views("brief")[-1].view.verdict

    def is_refused(stub):
        try:
            verdict(stub)
        except grpc.RpcError as error:
            return error.code() is grpc.StatusCode.UNAUTHENTICATED
        return False

    with (
        greeter(world, "grpc-mutual", brief) as native,
        greeter(world, "bridge-mutual", brief) as bridged,
    ):
        stubs = native, bridged
        assert [verdict(stub).state for stub in stubs] == [PeerState.VERIFIED] * 2
        eventually(lambda: datetime.now(timezone.utc) > end, what="the expiry")
        # A verifying mode refuses further calls, with both engines.
        eventually(lambda: all(map(is_refused, stubs)))
