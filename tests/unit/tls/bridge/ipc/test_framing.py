"""Tests of the frames and messages between server process and bridge."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import replace

import pytest

from grpcsecure.model.listener import TlsVersion
from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.tls.bridge.ipc import messages
from grpcsecure.tls.bridge.ipc.framing import (
    MAX_FRAME,
    Channel,
    Frame,
    FrameKind,
    ProtocolError,
)
from grpcsecure.tls.bridge.ipc.refusal import Refusal, RefusalKind
from grpcsecure.tls.handshake_result import HandshakeResult
from grpcsecure.tls.openssl.settings import ContextMaterial, ContextSettings

FACTS = HandshakeResult(
    listener="public",
    address="ipv4:127.0.0.1:1",
    generation=3,
    certificate=b"leaf",
    chain=(b"one", b"two"),
    verified=True,
    tls_version="TLSv1.3",
    server_name="localhost",
    group="X25519",
)


@pytest.fixture
def ends():
    """Both ends of a control channel."""
    ours, theirs = socket.socketpair()
    channels = Channel(ours), Channel(theirs)
    yield channels
    for channel in channels:
        channel.close()


def test_frames_arrive_as_they_were_sent(ends):
    """Several frames in one read are complete, in order, with their blobs."""
    sent = [
        Frame(FrameKind.CLOSE, {"ids": [1, 2]}),
        Frame(FrameKind.MATERIAL, {"order": 1}, (b"", b"\0" * 1000)),
        Frame(FrameKind.STOP),
    ]
    for frame in sent:
        assert ends[0].send(frame)
    assert [frame for frame, _ in ends[1].receive()] == sent


def test_frame_in_pieces_is_put_together(ends):
    """A frame may arrive byte by byte."""
    frame = Frame(FrameKind.CLOSE, {"ids": [1]}, (b"blob",))
    for byte in frame.encode()[:-1]:
        ends[0].sock.send(bytes([byte]))
        assert ends[1].receive() == []
    ends[0].sock.send(frame.encode()[-1:])
    assert ends[1].receive() == [(frame, None)]


def test_descriptors_stay_with_their_frames(ends):
    """Each frame that carries a descriptor gets its own, also if read together."""
    pipes = [os.pipe() for _ in range(3)]
    for number, (_, write) in enumerate(pipes):
        frame = messages.write_peer(messages.PeerMessage(number, f"n{number}", FACTS))
        assert ends[0].send(frame, write)
        assert ends[0].send(Frame(FrameKind.ENDED, {"ids": []}))
    received = []
    while len(received) < 6:
        received += ends[1].receive()
    for frame, descriptor in received:
        if frame.kind is FrameKind.PEER:
            number = messages.read_peer(frame).connection
            os.write(descriptor, b"%d" % number)
            os.close(descriptor)
            assert os.read(pipes[number][0], 9) == b"%d" % number
        else:
            assert descriptor is None
    for pair in pipes:
        for descriptor in pair:
            os.close(descriptor)


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!IBI", MAX_FRAME + 1, 1, 2),
        struct.pack("!IBI", 7, 1, 100),
        struct.pack("!IBI", 7, 1, 2) + b"[]",
        struct.pack("!IBI", 7, 1, 2) + b"{}",
        struct.pack("!IBI", 17, 99, 12) + b'{"blobs":[]}',
        struct.pack("!IBI", 18, 4, 13) + b'{"blobs":[5]}',
        struct.pack("!IBI", 17, 1, 12) + b'{"blobs":[]}',
    ],
    ids=["large", "text", "list", "empty", "kind", "blobs", "descriptor"],
)
def test_nonsense_is_a_protocol_error(ends, data):
    """Bytes that are not a frame are refused as a whole."""
    ends[0].sock.sendall(data)
    with pytest.raises(ProtocolError):
        ends[1].receive()


def test_end_of_the_channel_is_an_eof_error(ends):
    """It is raised once all frames were read."""
    assert ends[0].send(Frame(FrameKind.STOP))
    ends[0].sock.shutdown(socket.SHUT_WR)
    assert len(ends[1].receive()) == 1
    with pytest.raises(EOFError):
        ends[1].receive()


def test_full_channel_keeps_the_rest(ends):
    """A slow reader gets every byte later; the sender is not blocked."""
    ends[0].sock.setblocking(False)
    frame = Frame(FrameKind.MATERIAL, {"order": 1}, (b"x" * 3_000_000,))
    assert not ends[0].send(frame)
    assert ends[0].pending > 0
    received = []
    while not received:
        received = ends[1].receive()
        ends[0].flush()
    assert received == [(frame, None)]
    assert ends[0].pending == 0


def test_every_message_survives_its_frame():
    """Reading a written message returns the same values."""
    assert messages.read_peer(
        messages.write_peer(messages.PeerMessage(7, "unix:x", FACTS))
    ) == messages.PeerMessage(7, "unix:x", FACTS)
    refusal = Refusal(
        listener="a",
        address="unix:",
        kind=RefusalKind.NO_H2,
        reason="r",
        verify_code=3,
        left_out=4,
    )
    assert messages.read_refusal(messages.write_refusal(refusal)) == refusal
    order = messages.ListenOrder(
        "a",
        ContextSettings(
            mode=ClientCertificateMode.REQUEST_AND_VERIFY,
            min_version=TlsVersion.TLS_1_3,
            handshake_timeout=2.5,
            ciphers=("TLS_AES_128_GCM_SHA256",),
            groups=("P-256", "P-384"),
        ),
        "/upstream",
        max_connections=3,
    )
    assert messages.read_listen(messages.write_listen(order)) == order
    material = ContextMaterial(
        generation=2, certificate_chain=b"c", private_key=b"k", crls=(b"1", b"2")
    )
    several = replace(
        material,
        client_ca=b"ca",
        further=((b"c2", b"k2"), (b"c3", b"k3")),
        names={"a.test": 0, "*.b.test": 2},
    )
    swap = messages.write_material(9, {"a": material, "b": several, "c": material})
    assert messages.read_material(swap) == (
        9,
        {"a": material, "b": several, "c": material},
    )
    assert messages.read_answer(messages.write_swapped(1)) == (1, None)
    assert messages.read_answer(messages.write_rejected(1, "no")) == (1, "no")


@pytest.mark.parametrize("names", [{"a.test": 1}, {"a.test": -1}, ["a.test"], None])
def test_name_of_no_certificate_is_refused(names):
    """A name has the number of a certificate that is there."""
    material = ContextMaterial(generation=1, certificate_chain=b"c", private_key=b"k")
    frame = messages.write_material(1, {"a": material})
    frame.fields["listeners"][0][-1] = names
    with pytest.raises(ProtocolError, match="MATERIAL"):
        messages.read_material(frame)


@pytest.mark.parametrize(
    ("field", "value"),
    [("id", "7"), ("id", True), ("verified", 1), ("name", None), ("code", "x")],
)
def test_peer_with_a_bad_field_is_refused(field, value):
    """A field of the wrong type never becomes part of a handshake result."""
    frame = messages.write_peer(messages.PeerMessage(7, "unix:x", FACTS))
    bad = Frame(frame.kind, {**frame.fields, field: value}, frame.blobs)
    with pytest.raises(ProtocolError):
        messages.read_peer(bad)


@pytest.mark.parametrize(
    ("field", "value"),
    [("ciphers", ["a", 1]), ("groups", "P-256"), ("max_connections", "2")],
)
def test_listener_with_a_bad_field_is_refused(field, value):
    """A bridge does not serve a listener whose lists or limits it cannot read."""
    settings = ContextSettings(
        mode=ClientCertificateMode.DONT_REQUEST,
        min_version=TlsVersion.TLS_1_2,
        handshake_timeout=1.0,
    )
    frame = messages.write_listen(messages.ListenOrder("a", settings, "/upstream"))
    with pytest.raises(ProtocolError, match=field):
        messages.read_listen(Frame(frame.kind, {**frame.fields, field: value}))


def test_verified_peer_has_a_certificate():
    """A message with a verified peer but without a certificate is refused."""
    frame = messages.write_peer(messages.PeerMessage(7, "unix:x", FACTS))
    with pytest.raises(ProtocolError, match="contradict each other"):
        messages.read_peer(Frame(frame.kind, frame.fields, ()))


def test_another_version_is_refused():
    """Both ends must have the same version of the protocol."""
    messages.check_hello(messages.write_hello())
    with pytest.raises(ProtocolError, match="version"):
        messages.check_hello(Frame(FrameKind.HELLO, {"version": 0}))


def test_keys_do_not_show():
    """The repr of a message does not contain the key."""
    material = ContextMaterial(
        generation=1, certificate_chain=b"chain", private_key=b"SECRET"
    )
    frame = messages.write_material(1, {"a": material})
    assert "SECRET" not in repr(material) + repr(frame) + repr([frame])
