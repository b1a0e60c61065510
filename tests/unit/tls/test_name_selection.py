"""Which certificate a client gets by the name that it asks for; the rules alone."""

from __future__ import annotations

import pytest
from support.reloading import authority
from support.several_certificates import server_with

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
