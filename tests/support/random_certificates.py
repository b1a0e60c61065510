"""Random client CAs and chains: keys, signatures, extensions, names, shapes.

A chain is right before up to four of its parts are changed at random, so that about
half of the clients are let in. Names are different in each case: many cases share the
client CAs of one server.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from support.engine_wire import Credential
from support.forged_certificates import (
    ANY,
    CA_USAGE,
    CLIENT,
    CURVES,
    LEAF_USAGE,
    ML_DSA,
    NULL,
    SERVER,
    Certificate,
    Scheme,
    alternative,
    authority_key,
    basic,
    bits,
    constraints,
    date,
    directory,
    dns,
    email,
    extension,
    integer,
    ip,
    key_pem,
    name,
    new_key,
    oid,
    purposes,
    seq,
    subject_key,
    uri,
    usage,
)

from grpcsecure.tls.boringssl.strict_der import encode

if TYPE_CHECKING:
    from random import Random

__all__ = ["Case", "random_case"]


class Case(NamedTuple):
    """Client CAs (DER), the client that is tried, and a description for a failure."""

    anchors: tuple[bytes, ...]
    client: Credential
    words: str = ""


#: RSA keys are few, because generating them is slow.
KEYS = (
    *("RSA 1024", "RSA 2048", "RSA 3072", "Ed25519", "Ed448"),
    *CURVES,
    *ML_DSA,
)

SCHEMES = (
    *(Scheme(digest=each) for each in ("SHA1", "SHA224", "SHA384", "SHA512")),
    *(Scheme(digest=each) for each in ("SHA3_256", "SHA3_384")),
    *(Scheme(salt=each) for each in (0, 20, 31, 32, 33)),
    Scheme(digest="SHA384", salt=48),
    Scheme(digest="SHA512", salt=64),
    Scheme(digest="SHA224", salt=28),
    Scheme(salt=32, mask="SHA384"),
    Scheme(swapped=True),
    Scheme(digest="SHA384", swapped=True),
)

NAMES = (
    *(dns(text) for text in ("a.test", "A.TEST", "b.a.test", "xa.test", "a.test.")),
    *(dns(text) for text in ("*.a.test", "*.test", "", "a_b.test", ".a.test", "*")),
    *(uri(text) for text in ("spiffe://a.test/x", "spiffe://b.a.test", "urn:x:y")),
    *(uri(text) for text in ("https://a.test:80/", "https://u@a.test/", "x")),
    *(uri(text) for text in ("https://10.1.2.3/", "https://[::1]/", "a.b+c://A.test.")),
    *(uri(text) for text in ("https://a.test:8x/", "9x://a.test", "https://0x1/")),
    *(
        uri(text)
        for text in ("https://a..test/", "https://-a.test/", "https://a.test?")
    ),
    *(email(text) for text in ("m@a.test", "M@a.test", "m@b.a.test", "a.test")),
    *(email(text) for text in ('"m"@a.test', "m@a@a.test", "@a.test", "m@")),
    *(ip(packed) for packed in (bytes([10, 1, 2, 3]), bytes([11, 0, 0, 1]), bytes(16))),
    directory(name("a")),
    directory(name(("2.5.4.10", 0x0C, b"Org"), "a")),
    encode(0x88, oid("1.2.3.4")[2:]),
    encode(0xA0, oid("1.2.3.4") + encode(0xA0, encode(0x0C, b"x"))),
)

BASES = (
    *(dns(text) for text in ("a.test", ".a.test", "test", "", "b.a.test", "A.test.")),
    *(uri(text) for text in ("a.test", ".a.test", "A.TEST", "10.1.2.3", "", "a_b")),
    *(email(text) for text in ("a.test", ".a.test", "m@a.test", "", "@a.test", "a b")),
    ip(bytes([10, 0, 0, 0, 255, 0, 0, 0])),
    ip(bytes(32)),
    directory(name(("2.5.4.10", 0x13, b"org"))),
    directory(name()),
    encode(0x88, oid("1.2.3.4")[2:]),
)

SUBJECTS = (
    ("2.5.4.3", 0x13, b"with @ and _"),
    ("2.5.4.3", 0x14, b"caf\xe9"),
    ("2.5.4.3", 0x1E, b"\0a\0b"),
    ("2.5.4.3", 0x1C, b"\0\0\0a"),
    ("2.5.4.3", 0x0C, "é  x ".encode()),
    ("2.5.4.3", 0x16, b"host.test"),
    ("2.5.4.3", 0x12, b"12"),
    ("2.5.4.10", 0x0C, b"Org"),
    ("1.2.840.113549.1.9.1", 0x16, b"m@a.test"),
    ("1.2.840.113549.1.9.1", 0x0C, b"m@a.test"),
    ("1.2.3.4", 0x0C, b"x"),
)

POLICY = "2.5.29.32"
ANY_POLICY = "2.5.29.32.0"

EXTENSIONS = (
    ("1.2.3.4", NULL),
    ("2.16.840.1.113730.1.1", bits(b"\x40", 6)),
    ("2.16.840.1.113730.1.1", bits(b"\x80", 7)),
    ("2.16.840.1.113730.1.1", bits(b"\x04", 2)),
    ("1.3.6.1.5.5.7.1.1", seq()),
    ("1.3.6.1.5.5.7.1.24", seq(integer(5))),
    (POLICY, seq(seq(oid("1.2.3")))),
    (POLICY, seq(seq(oid(ANY_POLICY)))),
    (POLICY, seq(seq(oid("1.2.3")), seq(oid("1.2.4")))),
    (POLICY, seq(seq(oid("1.2.3")), seq(oid("1.2.3")))),
    (POLICY, seq()),
    ("2.5.29.33", seq(seq(oid("1.2.3"), oid("1.2.4")))),
    ("2.5.29.33", seq()),
    ("2.5.29.36", seq(encode(0x80, b"\0"))),
    ("2.5.29.36", seq(encode(0x80, b"\1"))),
    ("2.5.29.36", seq(encode(0x81, b"\0"))),
    ("2.5.29.36", seq()),
    ("2.5.29.54", integer(0)),
    ("2.5.29.54", integer(-1)),
    ("2.5.29.31", seq(seq(encode(0xA0, encode(0xA0, uri("http://a.test/c")))))),
    ("2.5.29.31", seq()),
    ("2.5.29.31", integer(1)),
    ("2.5.29.9", seq()),
    ("2.5.29.16", seq()),
)

DATES = (
    *(date(days) for days in (-400, -0.5, 0.5, 400)),
    encode(0x18, b"99991231235959Z"),
    encode(0x18, b"20300101000000Z"),
    encode(0x17, b"300101000000+0000"),
    encode(0x17, b"491231235959Z"),
    encode(0x17, b"500101000000Z"),
)

SERIALS = (integer(0), integer(-7), integer(1 << 239), integer(1 << 400))


@dataclass
class _Level:
    """What one certificate of a chain is made of, before its issuer is known."""

    title: str
    key: object
    is_ca: bool
    usage: int | None
    basic: bytes | None
    purposes: tuple[str, ...] | None = None
    names: list[bytes] = field(default_factory=list)
    attributes: list = field(default_factory=list)
    extra: list[bytes] = field(default_factory=list)
    scheme: Scheme = field(default_factory=Scheme)
    identifier: bytes | None = None
    points_at: str | None = None
    changes: dict = field(default_factory=dict)

    def extensions(self, issuer):
        """Return the extensions, with an issuer's identifiers if it points at them."""
        parts = []
        if self.basic is not None:
            parts.append(self.basic)
        if self.usage is not None:
            parts.append(usage(self.usage))
        if self.purposes is not None:
            parts.append(purposes(*self.purposes))
        if self.names:
            parts.append(alternative(*self.names))
        if self.identifier is not None:
            parts.append(subject_key(self.identifier))
        if self.points_at is not None:
            parts.append(_pointer(self.points_at, issuer))
        return (*parts, *self.extra)


def _pointer(kind, issuer):
    identifier, subject, serial = issuer
    return {
        "key": lambda: authority_key(identifier or b"none"),
        "other key": lambda: authority_key(b"other"),
        "serial": lambda: authority_key(None, subject, serial),
        "other serial": lambda: authority_key(None, subject, integer(99)),
        "other issuer": lambda: authority_key(None, name("other"), serial),
    }[kind]()


def random_case(rng: Random, number: int) -> Case:
    """Return a case whose names are unlike those of other numbers."""
    levels = [_ca(f"root {number}", rng)]
    levels += [
        _ca(f"mid {number}.{each}", rng) for each in range(rng.choice((0, 0, 1, 1, 2)))
    ]
    levels.append(_leaf(f"leaf {number}", rng))
    words = [_change(levels, rng) for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 4)))]
    try:
        return _arranged(_make(levels), levels, rng, words)
    except ValueError:  # an RSA key too short for its hash and salt
        return random_case(rng, number)


def _ca(title, rng):
    return _Level(
        title,
        new_key("P-256", rng.randrange(4)),
        is_ca=True,
        usage=CA_USAGE,
        basic=basic(),
    )


def _leaf(title, rng):
    return _Level(
        title,
        new_key("P-256", 4 + rng.randrange(2)),
        is_ca=False,
        usage=LEAF_USAGE,
        basic=None,
        purposes=(CLIENT,),
        names=[dns("a.test")],
    )


def _change(levels, rng):
    """Change a part of some level; return which."""
    changes = (
        *(_key, _key, _scheme, _scheme, _usage, _basic, _purposes, _names, _names),
        *(_constraints,) * 4,
        *(_extension, _extension, _extension, _date, _serial, _version, _identifier),
        *(_subject, _subject, _double, _signature),
    )
    change = rng.choice(changes)
    level = rng.choice(levels)
    change(level, rng)
    return f"{change.__name__[1:]} of {level.title}"


def _key(level, rng):
    level.key = new_key(rng.choice(KEYS), 9)


def _scheme(level, rng):
    level.scheme = rng.choice(SCHEMES)


def _usage(level, rng):
    level.usage = rng.choice((None, 0, 0x80, 0x08, 0x04, 0x06, 0x02, 0x84, 0x20))


def _basic(level, rng):
    level.basic = rng.choice(
        (
            None,
            basic(ca=False),
            basic(),
            *(basic(length=each) for each in (0, 0, 1, 2)),
            extension("2.5.29.19", seq(encode(1, b"\0"))),
            extension("2.5.29.19", seq(integer(0))),
            extension("2.5.29.19", NULL),
        )
    )


def _purposes(level, rng):
    level.purposes = rng.choice(
        (None, (), (CLIENT,), (SERVER,), (ANY,), (SERVER, CLIENT), ("1.2.3",))
    )


def _names(level, rng):
    level.names = rng.choices(NAMES, k=rng.randrange(4))


def _constraints(level, rng):
    permitted, excluded = (
        tuple(rng.sample(BASES, rng.choice((0, 1, 1, 2)))) for _ in "pe"
    )
    extra = encode(0x80, b"\0") if rng.random() < 0.05 else b""
    critical = rng.random() < 0.5
    level.extra.append(constraints(permitted, excluded, extra=extra, critical=critical))


def _extension(level, rng):
    kind, value = rng.choice(EXTENSIONS)
    level.extra.append(extension(kind, value, critical=rng.random() < 0.4))


def _date(level, rng):
    level.changes[rng.choice(("not_before", "not_after"))] = rng.choice(DATES)


def _serial(level, rng):
    level.changes["serial"] = rng.choice(SERIALS)


def _version(level, rng):
    level.changes["version"] = rng.choice((1, 1, 2))
    if rng.random() < 0.8:
        level.changes["extensions"] = ()


def _identifier(level, rng):
    if level.is_ca and rng.random() < 0.6:
        level.identifier = level.title.encode()
    else:
        level.points_at = rng.choice(
            ("key", "key", "other key", "serial", "other serial", "other issuer")
        )


def _subject(level, rng):
    level.attributes = rng.choices(SUBJECTS, k=rng.choice((1, 1, 2)))


def _double(level, rng):
    kind = rng.choice(("1.2.3.5", "2.5.29.15", "2.5.29.17"))
    value = {"1.2.3.5": NULL, "2.5.29.15": bits(b"\x80", 7), "2.5.29.17": seq()}[kind]
    level.extra += [extension(kind, value)] * 2


def _signature(level, rng):
    level.changes["signature"] = rng.choice(
        (bytes.fromhex("3006020101020101"), bytes(64))
    )


def _make(levels):
    """Return the certificates, the anchor first."""
    made = []
    issuer = None
    for level in levels:
        own = _title(level)
        by = made[-1] if made else None
        certificate = Certificate(
            subject=own,
            issuer=by.subject if by else own,
            key=level.key,
            signer=by.key if by else level.key,
            scheme=level.scheme,
            serial=integer(1000 + len(made)),
        )
        if issuer is None:
            serial = level.changes.get("serial", certificate.serial)
            issuer = level.identifier, own, serial
        certificate = certificate.but(
            **{"extensions": level.extensions(issuer), **level.changes}
        )
        issuer = level.identifier, certificate.issuer, certificate.serial
        made.append(certificate)
    return made


def _title(level):
    # The title keeps the names of CAs apart; a leaf may have any name.
    if level.is_ca or not level.attributes:
        return name(*level.attributes, level.title)
    return name(*level.attributes)


def _arranged(made, levels, rng, words):
    """Choose the anchors, and the order of what the client sends."""
    root, *mids, leaf = made
    anchors, sent = [root], [*reversed(mids)]
    turn = rng.random()
    if turn < 0.05:
        rng.shuffle(sent)
        words.append("shuffled")
    elif turn < 0.1:
        sent.append(root)
        words.append("root sent")
    elif turn < 0.15 and mids:
        sent = sent[1:]
        words.append("intermediate not sent")
    elif turn < 0.2 and mids:
        anchors = [mids[0]]
        words.append("intermediate as anchor")
    elif turn < 0.25:
        anchors = [leaf]
        words.append("leaf as anchor")
    elif turn < 0.29 and mids:
        anchors.append(mids[-1])
        words.append("both as anchors")
    elif turn < 0.3:
        twin = root.but(key=new_key("P-256", 8), signer=new_key("P-256", 8))
        anchors = rng.choice(([twin, root], [root, twin]))
        words.append("twins")
    elif turn < 0.34:
        old = Certificate(
            subject=name(f"old {levels[0].title}"),
            issuer=name(f"old {levels[0].title}"),
            key=new_key("P-256", 7),
            signer=new_key("P-256", 7),
            extensions=(basic(), usage(CA_USAGE)),
        )
        cross = root.but(issuer=old.subject, signer=old.key)
        sent.append(cross)
        anchors = rng.choice(([old], [old, root], [root, old]))
        words.append("cross-signed")
    elif turn < 0.38:
        sent += sent[:1]
        words.append("sent twice")
    client = Credential(
        leaf.der(), tuple(each.der() for each in sent), key_pem(levels[-1].key)
    )
    return Case(tuple(each.der() for each in anchors), client, ", ".join(words))
