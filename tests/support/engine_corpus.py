"""Chains of each kind that the engines may judge differently, by name.

The kinds are those of C2SP's x509-limbo: name constraints, path building, trust
anchors, purposes, validity, algorithms and odd encodings. Each case has names of its
own, so that all of them can share the client CAs of one server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    issued,
    key_pem,
    name,
    new_key,
    oid,
    pss_info,
    public_info,
    purposes,
    root,
    seq,
    subject_key,
    uri,
    usage,
)
from support.random_certificates import BASES, EXTENSIONS, NAMES, SUBJECTS, Case

from grpcsecure.tls.boringssl.strict_der import encode
from grpcsecure.tls.der import read_all

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CORPUS", "documented"]

CA = (basic(), usage(CA_USAGE))
LEAF = (usage(LEAF_USAGE), purposes(CLIENT))


def case(anchors, sent, words=""):
    """Return a case of certificates; the first that is sent is the leaf."""
    leaf, *chain = sent
    client = Credential(
        leaf.der(), tuple(each.der() for each in chain), key_pem(leaf.key)
    )
    return Case(tuple(each.der() for each in anchors), client, words)


def signed(title, ca=None, **changes):
    """Return a case of a CA and a leaf with changes."""
    by = ca or root(f"CA of {title}")
    return case([by], [issued(by, f"leaf of {title}", **changes)], title)


def under(title, **changes):
    """Return a case in which the CA is changed."""
    return signed(title, root(f"CA of {title}", **changes))


def between(title, **changes):
    """Return a case in which an intermediate is changed."""
    by = root(f"CA of {title}")
    middle = issued(by, f"middle of {title}", key=new_key("P-256", 3), extensions=CA)
    middle = middle.but(**changes)
    return case([by], [issued(middle, f"leaf of {title}"), middle], title)


def algorithms() -> Iterator[Case]:
    """Yield keys of CAs and signatures."""
    for kind in (*CURVES, "Ed25519", "Ed448", "DSA", "RSA 1024", *ML_DSA):
        yield under(f"CA key {kind}", key=new_key(kind, 7))
    rsa = new_key("RSA 2048")
    for digest in ("SHA1", "SHA224", "SHA384", "SHA512", "SHA3_256"):
        scheme = Scheme(digest=digest)
        yield signed(f"ECDSA {digest}", scheme=scheme)
        ca = root(f"CA of RSA {digest}", key=rsa)
        yield signed(f"RSA {digest}", ca, scheme=scheme)
    for digest, salt, mask in (
        *(("SHA256", salt, None) for salt in (0, 20, 32, 33, 222)),
        *(("SHA384", 48, None), ("SHA512", 64, None), ("SHA224", 28, None)),
        *(("SHA1", 20, None), ("SHA256", 32, "SHA384")),
    ):
        title = f"RSA-PSS {digest} {salt} {mask}"
        ca = root(f"CA of {title}", key=rsa)
        yield signed(title, ca, scheme=Scheme(digest=digest, salt=salt, mask=mask))
    ca = root("CA of RSA without NULL", key=rsa)
    yield signed("RSA without NULL", ca, scheme=Scheme(swapped=True))
    yield signed("ECDSA with NULL", scheme=Scheme(swapped=True))
    other = Scheme(digest="SHA384").algorithm(new_key("P-256"))
    yield signed("another algorithm inside", inner=other)
    yield signed("wrong signature", signature=bytes.fromhex("3006020101020101"))


def name_constraints() -> Iterator[Case]:
    """Yield each constraint with the names of its type, and a few others."""
    other = dns("other.example")
    for number, base in enumerate(BASES):
        names = [each for each in NAMES if each[0] == base[0] or each is NAMES[0]]
        for place in ("permitted", "excluded"):
            limit = constraints(**{place: (base,)})
            for index, own in enumerate(names):
                title = f"{place} {number}, name {index}"
                ca = root(f"CA of {title}", extensions=(*CA, limit))
                yield signed(title, ca, extensions=(*LEAF, alternative(own, other)))
    for common in ("host.test", "host_1:2.test.", "no host", "-x.test", "*.test"):
        limit = constraints((dns("host.test"),))
        ca = root(f"CA of common name {common}", extensions=(*CA, limit))
        own = issued(ca, extensions=LEAF, subject=name(common))
        yield case([ca], [own], f"common name {common}")
    limit = constraints((dns("a.test"),), extra=encode(0x80, b"\0"))
    yield under("minimum", extensions=(*CA, limit))
    limit = constraints((email("a.test"),))
    for tag in (0x16, 0x0C):
        mail = ("1.2.840.113549.1.9.1", tag, b"m@a.test")
        ca = root(f"CA of mail {tag}", extensions=(*CA, limit))
        own = issued(ca, extensions=LEAF, subject=name("no host", mail))
        yield case([ca], [own], f"mail in the subject, tag {tag}")


def extensions() -> Iterator[Case]:
    """Yield extensions at each place, critical and not."""
    for number, (kind, value) in enumerate(EXTENSIONS):
        for critical in (False, True):
            own = extension(kind, value, critical=critical)
            title = f"extension {number} {critical}"
            yield signed(f"leaf {title}", extensions=(*LEAF, own))
            yield under(f"CA {title}", extensions=(*CA, own))
            yield between(f"middle {title}", extensions=(*CA, own))
    for listed in ((CLIENT,), (SERVER,), (ANY,), (CLIENT, SERVER), ()):
        own = purposes(*listed)
        yield signed(f"leaf {listed}", extensions=(own,))
        yield under(f"CA {listed}", extensions=(*CA, own))
        yield between(f"middle {listed}", extensions=(*CA, own))
    for byte in (None, 0x80, 0x08, 0x04, 0x00):
        own = () if byte is None else (usage(byte),)
        yield signed(f"leaf usage {byte}", extensions=own)
        yield under(f"CA usage {byte}", extensions=(basic(), *own))
        yield between(f"middle usage {byte}", extensions=(basic(), *own))
    policy = extension("2.5.29.32", seq(seq(oid("1.2.3"))))
    needs = extension("2.5.29.36", seq(encode(0x80, b"\0")), critical=True)
    yield signed("leaf with the policy it needs", extensions=(*LEAF, policy, needs))
    yield between("middle needs a policy", extensions=(*CA, policy, needs))


def anchors() -> Iterator[Case]:
    """Yield trust anchors of each kind."""
    yield under("version 1", version=1, extensions=())
    yield under("version 2", version=2, extensions=())
    yield under("no extensions", extensions=())
    yield under("cA false", extensions=(basic(ca=False),))
    yield under("expired CA", not_after=date(-0.5))
    yield under("early CA", not_before=date(0.5))
    yield under("wrong self-signature", signature=bytes.fromhex("3006020101020101"))
    by = root("CA of path length", extensions=(basic(length=0), usage(CA_USAGE)))
    middle = issued(by, "path length", key=new_key("P-256", 3), extensions=CA)
    yield case([by], [issued(middle), middle], "path length 0 above an intermediate")
    for sends in (False, True):
        ca = root(f"CA of pinned {sends}")
        title = f"pinned middle {sends}"
        middle = issued(ca, title, key=new_key("P-256", 3), extensions=CA)
        sent = [issued(middle), middle] if sends else [issued(middle)]
        yield case([middle], sent, f"intermediate as anchor, sent: {sends}")
    for listed in ((CLIENT,), (SERVER,)):
        leaf = issued(ca, f"pinned {listed}", extensions=(purposes(*listed),))
        yield case([leaf], [leaf], f"pinned leaf {listed}")
    for own in ((), (usage(0x80),), (basic(ca=False), usage(0x80), purposes(CLIENT))):
        leaf = root(f"pinned self-signed {len(own)}", extensions=own)
        yield case([leaf], [leaf], f"pinned self-signed leaf {len(own)}")
        leaf = root(f"unknown self-signed {len(own)}", extensions=own)
        ca = root(f"CA beside a self-signed leaf {len(own)}")
        yield case([ca], [leaf], f"unknown self-signed leaf {len(own)}")


def _line(title):
    """Return a root, two intermediates below it, a leaf, and a stranger."""
    ca = root(f"CA of {title}")
    first = issued(ca, f"first of {title}", key=new_key("P-256", 3), extensions=CA)
    second = issued(first, f"second of {title}", key=new_key("P-256", 4), extensions=CA)
    leaf = issued(second, f"leaf of {title}")
    return ca, first, second, leaf, root("stranger", key=new_key("P-256", 5))


#: The anchors and what is sent, as indexes of `_line`.
_SHAPES = {
    "two intermediates": ([0], [3, 2, 1]),
    "in the other order": ([0], [3, 1, 2]),
    "one not sent": ([0], [3, 2]),
    "root sent": ([0], [3, 2, 1, 0]),
    "one sent twice": ([0], [3, 2, 2, 1]),
    "a stranger sent": ([0], [3, 4, 2, 1]),
    "two anchors": ([1, 0], [3, 2, 1]),
    "leaf sent twice": ([0], [3, 3, 2, 1]),
    "the lower one as anchor": ([2], [3, 2, 1, 0]),
}


def paths() -> Iterator[Case]:
    """Yield shapes of chains."""
    for title, (trusted, sent) in _SHAPES.items():
        line = _line(title)
        yield case([line[n] for n in trusted], [line[n] for n in sent], title)
    ca, first, second, leaf, stranger = _line("broken")
    yield case([ca], [leaf, second, first, stranger.but(version=4)], "a broken one")
    for title in ("old", "both", "old, both roots sent"):
        ca, first, second, leaf, _ = _line(f"cross {title}")
        old = root(f"old root {title}", key=new_key("P-256", 6))
        cross = ca.but(issuer=old.subject, signer=old.key)
        trusted = [old, ca] if title == "both" else [old]
        more = [ca, cross] if "sent" in title else [cross]
        yield case(trusted, [leaf, second, first, *more], f"cross-signed: {title}")
    for length in (0, 1):
        ca, first, second, leaf, _ = _line(f"length {length}")
        first = first.but(extensions=(basic(length=length), usage(CA_USAGE)))
        yield case([ca], [leaf, second, first], f"path length {length}")
    yield between("middle of version 1", version=1, extensions=())
    yield between("middle without extensions", extensions=())
    yield from _identifiers()


def _identifiers():
    for number, (own, points_at) in enumerate(
        (
            (b"id", {"identifier": b"id"}),
            (b"id", {"identifier": b"other"}),
            (None, {"identifier": b"other"}),
            (None, {"serial": integer(4711)}),
            (None, {"serial": integer(5)}),
            (None, {"issuer": name("another"), "serial": integer(4711)}),
        )
    ):
        more = () if own is None else (subject_key(own),)
        ca = root(f"CA of key identifier {number}", extensions=(*CA, *more))
        pointer = authority_key(**points_at)
        yield signed(f"key identifier {number}", ca, extensions=(*LEAF, pointer))
    title = "CA of folded names"
    folded = name(("2.5.4.3", 0x13, b"  ca OF  folded names "))
    yield signed("folded names", root(title), issuer=folded)


def dates() -> Iterator[Case]:
    """Yield validity, and serial numbers."""
    for number, (field, value) in enumerate(
        (
            ("not_after", date(-0.5)),
            ("not_before", date(0.5)),
            ("not_after", encode(0x18, b"99991231235959Z")),
            ("not_after", encode(0x18, b"20400101000000Z")),
            ("not_after", encode(0x17, b"400101000000+0100")),
            ("not_before", encode(0x17, b"500101000000Z")),
            *(("serial", integer(n)) for n in (0, -5, 1 << 239, 1 << 500)),
        )
    ):
        yield signed(f"date or serial {number}", **{field: value})
    yield between("expired intermediate", not_after=date(-0.5))


def encodings() -> Iterator[Case]:
    """Yield odd encodings."""
    key_usage = encode(4, bits(b"\x80", 7))
    for number, flag in enumerate((encode(1, b"\0"), encode(1, b"\1"))):
        own = seq(oid("2.5.29.15"), flag, key_usage)
        yield signed(f"critical flag {number}", extensions=(own,))
    for number, own in enumerate(
        (
            (extension("2.5.29.19", seq(encode(1, b"\0"))),),
            (extension("1.2.3", NULL),) * 2,
            (alternative(dns("a")), alternative(dns("b"))),
            (alternative(),),
            (alternative(ip(bytes(5))),),
            (alternative(dns(b"caf\xe9")),),
            (extension("2.5.29.15", bits(b"\x81", 7)),),
            (extension("2.5.29.15", bits(b"\x80", 7) + NULL),),
            (basic(ca=False, length=0),),
            (basic(),),
            (alternative(directory(name("x"))), purposes(CLIENT)),
            (alternative(uri("spiffe://a.test/x")),),
        )
    ):
        yield signed(f"odd extension {number}", extensions=own)
    for version in (1, 2, 4):
        yield signed(f"leaf of version {version}", version=version)
    yield signed("leaf of version 1 alone", version=1, extensions=())
    for attribute in (
        *SUBJECTS,
        ("2.5.4.3", 0x1E, b"\xff\xfe"),
        ("2.5.4.3", 0x0C, b"\xef\xbf\xbf"),
        ("2.5.4.3", 0x03, b"\0x"),
        ("2.5.4.3", 0x30, b""),
    ):
        yield signed(f"subject {attribute}", subject=name(attribute))
    yield signed("empty subject", subject=seq())
    by = root("CA of a long length")
    long = _with_long_length(issued(by).der())
    client = Credential(long, (), key_pem(new_key("P-256", 2)))
    yield Case((by.der(),), client, "a length that is not minimal")
    _, public = read_all(next(read_all(public_info(new_key("RSA 2048")))).value)
    info = seq(seq(oid("1.2.840.113549.1.1.1")), public.whole)
    yield signed("an RSA key without NULL", key=new_key("RSA 2048"), info=info)


def _with_long_length(der):
    """Return a certificate with the length of its signature in two bytes."""
    signed_part, algorithm, signature = read_all(next(read_all(der)).value)
    size = len(signature.value).to_bytes(2, "big")
    long = b"\x03\x82" + size + signature.value
    return seq(signed_part.whole, algorithm.whole, long)


#: Functions that yield the cases of each kind.
CORPUS = {
    each.__name__: each
    for each in (
        algorithms,
        name_constraints,
        extensions,
        anchors,
        paths,
        dates,
        encodings,
    )
}


def documented() -> dict[str, list[Case]]:
    """Return cases of each row in the table of the docs."""
    rsa, salted = new_key("RSA 2048"), root("CA of salts", key=new_key("RSA 2048"))
    long = Scheme(salt=222)
    network = constraints((ip(bytes([10, 0, 0, 0, 255, 0, 0, 0])),))
    below, host = constraints((dns(".a.test"),)), constraints((uri("a.test"),))
    outside = constraints((), (dns("b.a.test"),))
    mail = constraints((email("a.test"),))
    needs = extension("2.5.29.36", seq(encode(0x80, b"\0")), critical=True)
    old = extension("2.16.840.1.113730.1.1", bits(b"\x40", 6))
    odd = extension("1.2.3.4", NULL, critical=True)
    salt = Scheme(salt=32)
    typed = root("CA of type RSA-PSS", key=rsa, info=pss_info(rsa), scheme=salt)
    short = (basic(length=0), usage(CA_USAGE))
    limited = root("CA of length 0", extensions=short)
    middle = issued(limited, "below 0", key=new_key("P-256", 3), extensions=CA)
    ca, first, second, leaf, _ = _line("length 0")
    first = first.but(extensions=short)
    named = root("CA of identifier", extensions=(*CA, subject_key(b"id")))
    wrong = authority_key(b"id", named.subject, integer(5))

    def constrained(title, limit, own):
        by = root(f"CA of {title}", extensions=(*CA, limit))
        return signed(title, by, extensions=(*LEAF, alternative(own)))

    def keys(*kinds):
        return [
            under(f"documented {kind}", key=new_key(kind, 7))
            for kind in kinds
            if kind in ML_DSA or "ML-DSA" not in kind
        ]

    return {
        "a leaf or intermediate signed with SHA-1": [
            signed("documented SHA-1", scheme=Scheme(digest="SHA1")),
            between("documented SHA-1 below", scheme=Scheme(digest="SHA1")),
        ],
        "one signed with SHA-3": [
            signed("documented SHA-3", scheme=Scheme(digest="SHA3_256"))
        ],
        "one signed with RSA-PSS, the salt as long as the hash": [
            signed("documented salt", salted, scheme=Scheme(salt=32))
        ],
        "the same with another salt (the default of `openssl`)": [
            signed("documented long salt", salted, scheme=long)
        ],
        "the key of the CA is RSA with 1024 bits": keys("RSA 1024"),
        "it is Ed25519, P-224, P-384, P-521 or ML-DSA": keys(
            "Ed25519", "P-224", "P-384", "P-521", "ML-DSA-65"
        ),
        "it is Ed448, secp256k1, brainpool, DSA or of type RSA-PSS": [
            *keys("Ed448", "secp256k1", "brainpoolP256r1", "DSA"),
            signed("documented type", typed, scheme=salt),
        ],
        "an IP constraint, and an IP address inside it": [
            constrained("documented IP", network, ip(bytes([10, 1, 2, 3])))
        ],
        "a DNS constraint `.a.test`, and the name `b.a.test`": [
            constrained("documented DNS below", below, dns("b.a.test"))
        ],
        "a DNS constraint `.a.test`, and the name `a.test`": [
            constrained("documented DNS", below, dns("a.test"))
        ],
        "a URI constraint `a.test`, and `spiffe://a.test/x`": [
            constrained("documented SPIFFE", host, uri("spiffe://a.test/x"))
        ],
        "a URI constraint, and a `urn:` name": [
            constrained("documented URN", host, uri("urn:x:y"))
        ],
        "an excluded DNS name `b.a.test`, and `*.a.test`": [
            constrained("documented wildcard", outside, dns("*.a.test"))
        ],
        "an e-mail constraint, and a quoted address inside it": [
            constrained("documented mail", mail, email('"m"@a.test'))
        ],
        "a certificate policy is required, and missing": [
            signed("documented policy", extensions=(*LEAF, needs))
        ],
        "extensions in a leaf of X.509 version 1": [
            signed("documented version", version=1)
        ],
        "nsCertType `server` without extended key usage": [
            signed("documented type of old", extensions=(usage(LEAF_USAGE), old))
        ],
        "a CA with the extended key usage `serverAuth` alone": [
            under("documented purpose", extensions=(*CA, purposes(SERVER)))
        ],
        "a CA with an unknown critical extension": [
            under("documented critical", extensions=(*CA, odd))
        ],
        "a CA of path length 0 above an intermediate": [
            case([limited], [issued(middle), middle])
        ],
        "an intermediate of path length 0 above another": [
            case([ca], [leaf, second, first])
        ],
        "a CA whose key usage lacks keyCertSign": [
            under("documented usage", extensions=(basic(), usage(0x80)))
        ],
        "a CA of X.509 version 1": [
            under("documented CA of version 1", version=1, extensions=())
        ],
        "a serial number of 0, negative, or of 30 bytes": [
            signed(f"documented serial {number}", serial=integer(number))
            for number in (0, -5, 1 << 238)
        ],
        "an authority key identifier with the CA's name, not its serial": [
            signed("documented identifier", named, extensions=(*LEAF, wrong))
        ],
    }
