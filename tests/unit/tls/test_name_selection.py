"""Which certificate a client gets by the name that it asks for; and what gRPC does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from support.reloading import authority
from support.several_certificates import server_with, shake_hands

from grpcsecure.tls.certificate import parse_certificate, parse_pem_certificates
from grpcsecure.tls.name_selection import (
    choose,
    compile_names,
    find_shadowed,
    fold_name,
)


@pytest.fixture(scope="module", name="leaves")
def _leaves():
    """A function that makes parsed certificates with names."""
    ca = authority("servers")

    def make(*several):
        made = (server_with(ca, *names) for names in several)
        return [
            parse_certificate(parse_pem_certificates(each.certificate_pem)[0])
            for each in made
        ]

    return make


@pytest.mark.parametrize(
    ("name", "folded"),
    [
        ("Shop.Example.", "shop.example"),
        ("shop.example..", "shop.example."),
        ("", ""),
        (".", ""),
        # The Kelvin sign, which Python would lower to a k, is not the letter.
        ("\u212aelvin", "?elvin"),
        ("\xc9.example", "\xc9.example"),
    ],
)
def test_one_spelling(name, folded):
    """Only ASCII letters have a case, and one dot at the end does not count."""
    assert fold_name(name) == folded


def test_exact_name_before_a_wildcard(leaves):
    """Also if the wildcard is in an earlier certificate, or in the default."""
    table = compile_names(
        leaves(["*.shop.test"], ["api.shop.test"], ["*.other.test", "web.shop.test"])
    )
    assert choose(table, "api.shop.test") == 1
    assert choose(table, "web.shop.test") == 2
    assert choose(table, "new.shop.test") == 0
    assert choose(table, "new.other.test") == 2


def test_first_certificate_with_a_name(leaves):
    """Of two with the same name, the first in the list is presented."""
    table = compile_names(
        leaves(["a.test"], ["b.test", "*.c.test"], ["b.test", "*.c.test"])
    )
    assert (choose(table, "b.test"), choose(table, "x.c.test")) == (1, 1)


def test_wildcard_stands_for_one_label(leaves):
    """Not for several, and not for none."""
    table = compile_names(leaves(["a.test"], ["*.shop.test"]))
    for name in ("shop.test", "a.b.shop.test", "test", "", "xshop.test"):
        assert choose(table, name) == 0, name
    assert choose(table, None) == 0


def test_names_for_which_grpc_presents_another_certificate(leaves):
    """An earlier wildcard, a wildcard of two labels, and a common name."""
    several = leaves(["*.shop.test"], ["api.shop.test"], ["b.test"])
    assert [*find_shadowed(several)] == [("api.shop.test", 1, 0)]
    assert not [*find_shadowed([several[1], several[0], several[2]])]
    assert [*find_shadowed(leaves(["a.test"], ["*.internal"]))] == [
        ("*.internal", 1, 0)
    ]
    without = leaves(["a.test"], [])
    assert [*find_shadowed(without)] == [("server", 0, 1)]


#: Names that a client asks for, beside those in the certificates.
ASKED = [
    "new.shop.test",
    "a.b.shop.test",
    "Shop.Test.",
    "new.internal",
    "internal",
    "server",
    "SERVER.",
    "10.0.0.7",
    "unknown.test",
]


def test_grpc_presents_what_is_said_of_it():
    """On the wire: where engine grpc chooses otherwise, the name is found."""
    several = [
        ["*.shop.test", "a.test"],
        ["api.shop.test", "Upper.Test"],
        ["*.internal", "b.test"],
        [],
        ["10.0.0.7", "b.test", "c.test"],
        ["*.deep.shop.test", "shop.test"],
    ]
    ca = authority("servers")
    pairs = [server_with(ca, *names) for names in several]
    known = [
        parse_certificate(parse_pem_certificates(each.certificate_pem)[0])
        for each in pairs
    ]
    table = compile_names(known)
    shadowed = {name: taken for name, _, taken in find_shadowed(known)}
    assert set(shadowed) == {"api.shop.test", "*.internal", "server"}
    serials = [pair.certificate.serial_number for pair in pairs]
    names = [name for each in several for name in each if not name.startswith("*")]
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        credentials = grpc.ssl_server_credentials(
            [(pair.key_pem, pair.certificate_pem) for pair in pairs]
        )
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        try:
            for name in [None, *ASKED, *names]:
                shown = serials.index(shake_hands(f"127.0.0.1:{port}", name).serial)
                folded = fold_name(name or "")
                wildcard = f"*.{folded.partition('.')[2]}"
                exact = shadowed.get(folded, shadowed.get(wildcard))
                expected = choose(table, name) if exact is None else exact
                assert shown == expected, name
        finally:
            server.stop(None).wait()
