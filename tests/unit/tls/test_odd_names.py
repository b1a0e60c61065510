"""Names of server certificates that clients refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.certificates import make_certificates

from grpcsecure.tls.certificate import parse_certificate, parse_pem_certificates
from grpcsecure.tls.odd_names import find_odd_names, has_usable_name

IP_REFUSED = "Go, Java, Node and rustls"
WILDCARD_REFUSED = "grpcio, Go and rustls"
DOT_REFUSED = "Go, Java and rustls"

#: Names, each with the clients that refuse it. "" means all, None means none.
NAMES = {
    "grpc.example": None,
    "GRPC.Example": None,
    "localhost": None,
    "a_b.example": None,
    "*.example": None,
    "xn--bcher-kva.example": None,
    "127.0.0.1": IP_REFUSED,
    "::1": IP_REFUSED,
    "f*.example": WILDCARD_REFUSED,
    "*f.svc.example": WILDCARD_REFUSED,
    "a.*.example": WILDCARD_REFUSED,
    "*.*.example": WILDCARD_REFUSED,
    "grpc.example.": DOT_REFUSED,
    "*.example.": DOT_REFUSED,
    "*": "",
    "*.": "",
    ".": "",
    "": "",
    ".example": "",
    "a..example": "",
    "grpc.example:443": "",
    "https://grpc.example": "",
    "grpc.example ": "",
    "xn--*.example": "",
    "b\u00fccher.example": "",
}


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory):
    """A certificate, whose names the tests replace."""
    folder = make_certificates(tmp_path_factory.mktemp("names"))
    (der,) = parse_pem_certificates((folder / "server.pem").read_bytes())
    return replace(parse_certificate(der), ips=(), uris=())


@pytest.mark.parametrize(("name", "refused_by"), NAMES.items())
def test_name_is_refused_by_these_clients(server, name, refused_by):
    """As measured with the clients; a name that all refuse is no usable one."""
    certificate = replace(server, dns=(name,))
    odd = [*find_odd_names(certificate)]
    assert [each.refused_by for each in odd] == [refused_by] * (refused_by is not None)
    assert has_usable_name(certificate) is (refused_by != "")


def test_ip_address_that_is_there_as_an_address_is_fine(server):
    """Old clients look for a DNS name, and the others find the address."""
    certificate = replace(server, dns=("127.0.0.1", "::1"), ips=("127.0.0.1",))
    assert [each.name for each in find_odd_names(certificate)] == ["::1"]


def test_one_usable_name_is_enough(server):
    """The others are odd, and the certificate works."""
    for more in ({"dns": ("*", "a.b")}, {"dns": ("*",), "ips": ("::1",)}):
        certificate = replace(server, **more)
        assert [each.name for each in find_odd_names(certificate)] == ["*"]
        assert has_usable_name(certificate)
    assert has_usable_name(replace(server, dns=()))
