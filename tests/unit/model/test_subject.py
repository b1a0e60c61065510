"""Tests of parsing RFC 4514 strings."""

from __future__ import annotations

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from support.refusals import why_refused

from grpcsecure.model.name_patterns import parse_subject

CN = "2.5.4.3"

#: Texts that mean the same name.
SAME = [
    ("CN=a", "cn=a"),
    ("CN=a", "2.5.4.3=a"),
    ("CN=a", "OID.2.5.4.3=a"),
    ("CN=a", "oid.2.5.4.3=a"),
    ("CN=a", r"CN=\61"),
    ("L=x,ST=y,O=z,OU=v,C=DE,STREET=s", "l=x,st=y,o=z,ou=v,c=DE,street=s"),
    ("DC=net,UID=jim", "0.9.2342.19200300.100.1.25=net,uid=jim"),
    ("emailAddress=a@b", "1.2.840.113549.1.9.1=a@b"),
    ("serialNumber=7", "SERIALNUMBER=7"),
    ("serialNumber=7", "2.5.4.5=7"),
    ("OU=Sales+CN=J. Smith,DC=example", "CN=J. Smith+OU=Sales,DC=example"),
    (r"CN=a\,b", r"CN=a\2Cb"),
    (r"CN=\ a\ ", r"CN=\20a\20"),
    (r"CN=Lu\C4\8Di\C4\87", "CN=Lučić"),
    (r"CN=Before\0dAfter,DC=example", "CN=Before\rAfter,DC=example"),
    ("CN=#0402486a", "CN=#0402486A"),
    (r"CN=a\=b", "CN=a=b"),
    ("CN=ab", "CN=#0c026162"),
    ("CN=ab", "2.5.4.3=#13026162"),
    ("CN=ab", "CN=#1E0400610062"),
    ("CN=ab", "CN=#0c82000" + "26162"),  # BER: a length in two bytes
    ("E=a@b", "emailAddress=a@b"),
    ("E=a@b", "1.2.840.113549.1.9.1=#1603614062"),
    ("POSTALCODE=1", "2.5.4.17=#130131"),
    ("CN=\u0101", "CN=#0c02c481"),
    (r"CN=\00", "CN=#0c0100"),
]

#: Texts that mean different names.
DIFFERENT = [
    ("CN=a", "CN=A"),
    ("CN=a", "O=a"),
    ("CN=a,O=b", "O=b,CN=a"),
    ("CN=a,O=b", "CN=a+O=b"),
    ("CN=a,O=b", "CN=a"),
    ("CN=a,CN=a", "CN=a"),
    ("CN=a", r"CN=a\ "),
    ("CN=a", r"CN=a\00"),
    ("CN=a b", "CN=a  b"),
    ("CN=ab", "CN=#6162"),
    (r"CN=\#6162", "CN=#6162"),
    ("CN=ab", "CN=#04026162"),  # an octet string
    ("CN=ab", "CN=#03026162"),  # a bit string
    ("CN=ab", "CN=#0c036162"),  # cut off
    ("CN=ab", "CN=#0c02616263"),  # more than the value
    ("CN=ab", "CN=#0c80"),  # of indefinite length
    ("CN=ab", "CN=#0c"),
    (r"CN=\C3\BF", "CN=#0c01ff"),  # not UTF-8
    ("E=a@b", "E=A@b"),
    (r"CN=a\,O=b", "CN=a,O=b"),
    ("CN=\u00e9", "CN=e\u0301"),  # nothing is normalised
    ("CN=admin", "CN=\u0430dmin"),  # a Cyrillic letter
]

#: Texts that are not a name, and a part of the error message.
WRONG = [
    ("", "expected a subject"),
    ("billing", "expected an attribute type"),
    ("=a", "expected an attribute type"),
    ("CN", "expected an attribute type"),
    ("CN=a,", "expected an attribute type"),
    ("CN=a+", "expected an attribute type"),
    (",CN=a", "expected an attribute type"),
    ("CN=a,,O=b", "expected an attribute type"),
    ("/CN=a/O=b", "expected an attribute type"),
    ("CN =a", "expected an attribute type"),
    ("CN=a, O=b", "expected no space"),
    ("CN=a ,O=b", "expected no space"),
    ("CN= a", "expected no space"),
    ("XY=a", "expected CN, L, ST"),
    ("givenName=a", "expected CN, L, ST"),
    ("2.05.4=a", "expected CN, L, ST"),
    ("3.5.4=a", "expected CN, L, ST"),
    ("\u017ft=a", "expected an attribute type"),  # a long s, `ST` in capitals
    ('CN="a"', "expected `\\` before each"),
    ("CN=a;O=b", "expected `\\` before each"),
    ("CN=a<b", "expected `\\` before each"),
    ("CN=a\0", "expected `\\` before each"),
    ("CN=a\\", "expected `\\` before each"),
    (r"CN=a\x", "expected `\\` before each"),
    (r"CN=a\6", "expected `\\` before each"),
    (r"CN=\ff", "expected UTF-8"),
    (r"CN=\C4", "expected UTF-8"),
    ("CN=#", "expected pairs of hex"),
    ("CN=#0", "expected pairs of hex"),
    ("CN=#04zz", "expected pairs of hex"),
    ("CN=#04 ", "expected pairs of hex"),
    ("CN=a+CN=a", "expected different attributes"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spelling_does_not_count(one, other):
    """Case of types, OIDs, escapes, and the order beside `+` do not matter."""
    assert parse_subject(one) == parse_subject(other)
    assert hash(parse_subject(one)) == hash(parse_subject(other))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_content_counts(one, other):
    """Values are exact, the order of the parts matters, and bytes are not text."""
    assert parse_subject(one) != parse_subject(other)


@pytest.mark.parametrize(("text", "words"), WRONG)
def test_invalid_subject_is_refused(text, words):
    """Text that RFC 4514 does not allow is refused with the reason."""
    with pytest.raises(ValueError, match=r"^expected") as caught:
        parse_subject(text)
    assert words in str(caught.value)


def test_values_are_found_by_type():
    """A certificate can have several common names, even joined by `+`."""
    subject = parse_subject("CN=a+OU=b,O=c,CN=d")
    assert subject.values(CN) == ("a", "d")
    assert subject.values("2.5.4.6") == ()


_OIDS = st.sampled_from([CN, "2.5.4.10", "2.5.4.11", "1.2.840.113549.1.9.1", "1.2.3.4"])
_VALUES = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from(' ,+"\\<>;#=\0\n'),
    min_size=1,
    max_size=20,
)


def test_values_of_a_set_have_a_stable_order():
    """Attributes joined by `+` are a set, but are always shown in the same order."""
    joined = "+".join(f"OU={name}" for name in "hgfedcba")
    assert parse_subject(f"{joined}+OU=#00").values("2.5.4.11") == (*"abcdefgh", b"\0")


@pytest.mark.properties
@given(st.lists(st.lists(st.tuples(_OIDS, _VALUES), min_size=1, unique=True)))
def test_subjects_of_certificates_are_parsed(parts):
    """`cryptography`'s text of any certificate subject is parsed."""
    if not parts:
        return
    name = x509.Name(
        x509.RelativeDistinguishedName(
            x509.NameAttribute(x509.ObjectIdentifier(oid), value, _validate=False)
            for oid, value in part
        )
        for part in parts
    )
    # RFC 4514 begins with the last one.
    wanted = tuple(frozenset(part) for part in reversed(parts))
    assert parse_subject(name.rfc4514_string()).parts == wanted


@given(st.text() | st.text(st.sampled_from('CN=,+\\#"0aF ')).map(lambda t: "CN=" + t))
def test_any_text_is_parsed_or_refused(text):
    """No text raises anything but a ValueError with the reason."""
    assert (why_refused(parse_subject, text) or "expected").startswith("expected")


READ_AGAIN_AND_AGAIN = {r"\61", "a", ",CN=a", r"\C4\8D", "#"}


@pytest.mark.parametrize("unit", [*sorted(READ_AGAIN_AND_AGAIN), "+", " ", r"\ff", '"'])
def test_long_subject_takes_no_time(unit):
    """A subject of 100 kB is parsed, or refused, in one pass."""
    problem = why_refused(parse_subject, "CN=a" + unit * (100_000 // len(unit)))
    assert (problem is None) == (unit in READ_AGAIN_AND_AGAIN)
