"""Tests of rechecks: the handshake's result, for the current material and time."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace as changed
from datetime import datetime, timedelta, timezone
from itertools import islice, product
from threading import Barrier

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL
from support.bridge_certs import revocation_list
from support.crl_server import Infrastructure
from support.crl_specimens import endless_crl
from support.matrix_certs import make_matrix_certificates
from support.memory_handshakes import (
    CheckOutcome,
    check_by_handshake,
    ders_of,
    material_of,
)

from grpcsecure.devcerts import Profile, Validity, issue, make_crl
from grpcsecure.devcerts.credentials import CA_USAGE, new_key
from grpcsecure.model.listener import TlsSettings
from grpcsecure.model.matrix import CLIENTS
from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.tls.handshake_result import NOT_CHECKED
from grpcsecure.tls.material import load_material
from grpcsecure.tls.recheck import Rechecker

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
NOW = datetime.now(timezone.utc).replace(microsecond=0)
LONG = Validity(NOW - 9 * DAY, NOW + 90 * DAY)
UNKNOWN_ISSUER = CheckOutcome("unable to get local issuer certificate", 20)
EXPIRED = CheckOutcome("certificate has expired", 10)
EARLY = CheckOutcome("certificate is not yet valid", 9)
REVOKED = CheckOutcome("certificate revoked", 23)
GOOD = CheckOutcome(None, None)


def authority(name, issuer=None, *, validity=LONG, key=None):
    """Make a CA, self-signed unless there is an `issuer`."""
    profile = Profile(
        subject=name, validity=validity, purposes=(), usage=CA_USAGE, is_ca=True
    )
    return issue(profile, issuer=issuer, key=key)


def client(name, issuer=None, *, validity=LONG, key=None):
    """Make a client that sends its chain without the root."""
    made = issue(Profile(subject=name, validity=validity), issuer=issuer, key=key)
    is_root = issuer is None or issuer.certificate.issuer == issuer.certificate.subject
    return made if is_root else made.with_chain(issuer.certificate)


ROOT = authority("root")
SERVER = client("server", ROOT)
MIDDLE = authority("middle", ROOT)
LEAF = client("leaf", ROOT)
BELOW = client("below", MIDDLE)


def rechecker(*authorities, crls=()):
    """Return a rechecker for material with these CAs and lists."""
    anchors = [each.certificate for each in authorities]
    return Rechecker(material_of(SERVER, client_ca=anchors, crls=crls))


def outcome(by, peer, now=NOW):
    """Return the outcome of a recheck of a peer's certificate at a given time."""
    verdict = by.verdict(*ders_of(peer), now)
    return CheckOutcome(verdict.reason, verdict.code)


MATRIX = make_matrix_certificates()
ROWS = [pytest.param(row, id=row.name) for row in CLIENTS if row.name != "none"]
VERSIONS = {"TLSv1.2": SSL.TLS1_2_VERSION, "TLSv1.3": SSL.TLS1_3_VERSION}


@pytest.fixture(scope="module", name="matrix")
def _matrix():
    """The material of the table of modes."""
    material = material_of(MATRIX.server)
    return changed(material, client_ca=MATRIX.client_ca)


@pytest.mark.parametrize("row", ROWS)
def test_verdict_is_that_of_the_table(matrix, row):
    """Clients that a verifying mode serves are verified; the others have the reason.

    Only a handshake can check whether the client has the key.
    """
    expected = None if row.name == "wrong-key" else row.reason
    assert outcome(Rechecker(matrix), MATRIX.clients[row.name]).reason == expected


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("row", [row for row in ROWS if row.id != "wrong-key"])
def test_verdict_is_that_of_a_handshake(matrix, row, version):
    """Reason and number are those of a real handshake with a listener of the bridge."""
    presented = MATRIX.clients[row.name]
    expected = check_by_handshake(presented, matrix, VERSIONS[version])
    now = datetime.now(timezone.utc)
    assert outcome(Rechecker(matrix), presented, now) == expected


@pytest.fixture(scope="module", name="infrastructure")
def _infrastructure(tmp_path_factory):
    """CAs with good, late, early and missing lists, and certificates they signed."""
    return Infrastructure(tmp_path_factory.mktemp("crl"))


@pytest.fixture(scope="module", name="listed")
def _listed(infrastructure):
    """The material of a listener with all these lists."""
    folder = infrastructure.folder
    settings = TlsSettings(
        certificate=folder / "server.pem",
        private_key=folder / "server.key",
        client_certificate=ClientCertificateMode.REQUIRE_AND_VERIFY,
        client_ca=folder / "cas.pem",
        crl=tuple(folder / f"{name}.crl" for name in infrastructure.crls),
    )
    return load_material(settings, generation=1)


LISTED = {
    "good": GOOD,
    "below sound": GOOD,
    "below anchor": GOOD,
    "pinned": GOOD,
    "revoked": REVOKED,
    "revoked below sound": REVOKED,
    "revoked below anchor": REVOKED,
    "below taken back": REVOKED,
    "below listless": CheckOutcome("unable to get certificate CRL", 3),
    "of bare": CheckOutcome("unable to get certificate CRL", 3),
    "of late": CheckOutcome("CRL has expired", 12),
    "of early": CheckOutcome("CRL is not yet valid", 11),
    "stranger": CheckOutcome("self-signed certificate", 18),
}


@pytest.mark.parametrize("name", LISTED)
def test_lists_count_as_in_a_handshake(infrastructure, listed, name):
    """The check has the same exception: a client CA needs no list of its own."""
    presented = infrastructure.clients[name]
    assert outcome(Rechecker(listed), presented) == LISTED[name]
    assert check_by_handshake(presented, listed) == LISTED[name]


@pytest.mark.parametrize("has_key_id", [False, True])
@pytest.mark.parametrize("is_revoked", [False, True])
def test_list_above_a_client_ca_counts_as_in_a_handshake(is_revoked, has_key_id):
    """A list of the client CA's issuer, which is unknown, counts if the CA is on it.

    OpenSSL finds the list by name, and skips it if it names a key that is missing.
    """
    parent = authority("parent")
    anchor = authority("anchor", parent)
    revoked = [anchor] if is_revoked else []
    above = revocation_list(parent, *revoked)
    if has_key_id:
        crl = make_crl(parent, [each.certificate for each in revoked], validity=LONG)
        above = crl.public_bytes(Encoding.DER)
    own = make_crl(anchor, validity=LONG).public_bytes(Encoding.DER)
    material = changed(
        material_of(SERVER, client_ca=[anchor.certificate]), crls=(own, above)
    )
    presented = client("client", anchor)
    expected = REVOKED if is_revoked and not has_key_id else GOOD
    assert outcome(Rechecker(material), presented) == expected
    assert check_by_handshake(presented, material) == expected


SOON = Validity(NOW - DAY, NOW + DAY)


def short_lived():
    """Yield cases in which the leaf, a sent intermediate or the anchor expires."""
    yield "leaf", ROOT, client("short", ROOT, validity=SOON)
    yield "intermediate", ROOT, client("of short", authority("s", ROOT, validity=SOON))
    anchor = authority("short root", validity=SOON)
    yield "anchor", anchor, client("of short root", anchor)


_OPENSSL_4 = 0x40000000

SHORT_LIVED = [
    pytest.param(anchor, peer, id=name) for name, anchor, peer in short_lived()
]


@pytest.mark.parametrize(("anchor", "peer"), SHORT_LIVED)
def test_chain_is_verified_while_all_of_it_is_valid(anchor, peer):
    """A chain expires with its first certificate, and is valid if the clock goes back.

    A certificate is valid up to the second that it names (RFC 5280, section 4.1.2.5);
    for OpenSSL before 4 up to the one before, in handshakes too.
    """
    by = rechecker(anchor)
    last = SOON.not_after
    in_the_last = GOOD if SSL.OPENSSL_VERSION_NUMBER >= _OPENSSL_4 else EXPIRED
    for now, expected in (
        (NOW, GOOD),
        (last - SECOND, GOOD),
        (last, in_the_last),
        (last + SECOND - timedelta(microseconds=1), in_the_last),
        (last + SECOND, EXPIRED),
        (last + DAY, EXPIRED),
        (NOW, GOOD),
        (SOON.not_before - SECOND, EARLY),
        (SOON.not_before, GOOD),
    ):
        assert outcome(by, peer, now) == expected, now


def test_time_zone_does_not_matter():
    """The same moment in another time zone has the same outcome."""
    by = rechecker(ROOT)
    peer = client("short", ROOT, validity=SOON)
    for hours in (-11, 0, 13):
        zone = timezone(timedelta(hours=hours))
        for offset, expected in ((-SECOND, GOOD), (SECOND, EXPIRED)):
            moment = (SOON.not_after + offset).astimezone(zone)
            assert outcome(by, peer, moment) == expected
            assert outcome(rechecker(ROOT), peer, moment) == expected


def test_chain_is_verified_until_its_list_expires():
    """A chain is no longer verified when its CRL has expired."""
    by = rechecker(ROOT, crls=[make_crl(ROOT, validity=SOON)])
    assert outcome(by, LEAF) == GOOD
    assert outcome(by, LEAF, SOON.not_after + SECOND) == CheckOutcome(
        "CRL has expired", 12
    )
    assert outcome(by, LEAF, SOON.not_before - SECOND) == CheckOutcome(
        "CRL is not yet valid", 11
    )


def test_list_without_a_next_one_stays_in_force():
    """A list without nextUpdate does not expire."""
    material = material_of(SERVER, client_ca=[ROOT.certificate])
    by = Rechecker(changed(material, crls=(endless_crl(ROOT),)))
    assert outcome(by, LEAF, NOW + 80 * DAY) == GOOD


def test_removed_authority_verifies_no_client():
    """A chain is no longer verified by a generation without its CA."""
    other = authority("other")
    assert outcome(rechecker(ROOT, other), LEAF) == GOOD
    assert outcome(rechecker(other), LEAF) == UNKNOWN_ISSUER
    assert outcome(rechecker(other), BELOW) == UNKNOWN_ISSUER


@pytest.mark.parametrize("revoked", [BELOW, MIDDLE], ids=["leaf", "intermediate"])
def test_new_list_revokes(revoked):
    """A chain is no longer verified by a generation whose CRL revokes it."""
    assert outcome(rechecker(ROOT), BELOW) == GOOD
    on_list = {ROOT: [], MIDDLE: []}
    on_list[MIDDLE if revoked is BELOW else ROOT].append(revoked.certificate)
    crls = [make_crl(by, those, validity=LONG) for by, those in on_list.items()]
    assert outcome(rechecker(ROOT, crls=crls), BELOW) == REVOKED


def test_old_and_new_authority_of_one_name_verify_their_own():
    """While a CA is rotated, its old key and its new one have the same name."""
    old, new = authority("twin"), authority("twin")
    peers = client("of old", old), client("of new", new)
    for order in ((old, new), (new, old)):
        both = rechecker(*order)
        assert [outcome(both, peer) for peer in peers] == [GOOD, GOOD]
    assert outcome(rechecker(old), peers[0]) == GOOD
    assert outcome(rechecker(new), peers[0]) != GOOD
    assert outcome(rechecker(new), peers[1]) == GOOD


@pytest.mark.parametrize("is_old_first", [False, True])
def test_reissued_authority_takes_over_from_the_expired(is_old_first):
    """The same key under new dates verifies what the old certificate did, in time."""
    key = new_key()
    old = authority("again", validity=SOON, key=key)
    new = authority("again", validity=Validity(NOW, NOW + 60 * DAY), key=key)
    peer = client("client", old)
    by = rechecker(*((old, new) if is_old_first else (new, old)))
    for now, expected in (
        (NOW - SECOND, GOOD),
        (NOW, GOOD),
        (SOON.not_after + SECOND, GOOD),
        (NOW + 61 * DAY, EXPIRED),
    ):
        assert outcome(by, peer, now) == expected, now
    assert outcome(rechecker(old), peer, SOON.not_after + SECOND) == EXPIRED


def test_no_client_is_verified_without_a_client_ca():
    """The reason is the same as in a handshake."""
    by = rechecker()
    by.prepare()
    assert outcome(by, LEAF) == CheckOutcome(NOT_CHECKED, None)


@pytest.mark.parametrize("part", ["client_ca", "crls"])
def test_material_that_does_not_load_verifies_no_client(part):
    """Broken material, in force without a check, fails closed."""
    junk = {"client_ca": LEAF.key_pem, "crls": (b"junk",)}
    material = material_of(SERVER, client_ca=[ROOT.certificate])
    by = Rechecker(changed(material, **{part: junk[part]}))
    by.prepare()
    assert outcome(by, LEAF).reason is not None


def test_strength_is_left_to_the_handshake():
    """A weak key that the engine `grpc` accepted is not refused by a recheck."""
    weak = client("weak", ROOT, key=rsa.generate_private_key(65537, 1024))
    assert outcome(rechecker(ROOT), weak) == GOOD


PEERS = [LEAF, BELOW, *(param.values[1] for param in SHORT_LIVED)]
LISTS = [make_crl(ROOT, [BELOW.certificate], validity=SOON)]
DATES = [at for span in (LONG, SOON) for at in span] + [NOW]
MOMENTS = st.builds(
    lambda date, offset: date + offset,
    st.sampled_from(DATES),
    st.sampled_from([-SECOND, SECOND, SECOND / 2, -SECOND / 2, 0 * SECOND, DAY]),
)


@pytest.mark.properties
@given(st.lists(st.tuples(MOMENTS, st.sampled_from(PEERS)), max_size=8))
def test_cached_verdict_is_that_of_a_new_check(questions):
    """However the clock moves, a cached verdict is equal to a new one."""
    anchors = ROOT, SHORT_LIVED[2].values[0]
    by = rechecker(*anchors, crls=LISTS)
    for now, peer in questions:
        assert outcome(by, peer, now) == outcome(
            rechecker(*anchors, crls=LISTS), peer, now
        )


def test_verdict_is_cached_until_the_next_date():
    """Until a date of the chain begins or ends, the same object is returned."""
    by = rechecker(ROOT)
    first = by.verdict(*ders_of(LEAF), NOW)
    assert by.verdict(*ders_of(LEAF), NOW + SECOND) is first
    assert first.since <= NOW < first.until
    assert by.verdict(*ders_of(LEAF), first.until) is not first


@pytest.mark.properties
def test_cache_is_bounded():
    """A thousand other verdicts evict one, and that on a long chain is not cached."""
    by = rechecker(ROOT)
    first = by.verdict(*ders_of(LEAF), NOW)
    leaf, (sent,) = ders_of(BELOW)
    others = [ders_of(each)[0] for each in (MIDDLE, authority("x"))]
    for chain in islice(product(others, repeat=10), 1023):
        by.verdict(leaf, (sent, *chain), NOW)
    assert by.verdict(*ders_of(LEAF), NOW) is first
    by.verdict(leaf, (sent,), NOW)
    assert by.verdict(*ders_of(LEAF), NOW) is not first
    long = (sent,) * (16 * 1024 // len(sent) + 1)
    kept = by.verdict(leaf, long, NOW)
    assert kept.reason is None
    assert by.verdict(leaf, long, NOW) is not kept


def test_threads_do_not_mix_up_their_peers():
    """Concurrent checks of different certificates and times have their own outcomes."""
    by = rechecker(ROOT)
    stranger = client("stranger")
    barrier = Barrier(8)

    def ask(number):
        barrier.wait(20)
        peer, expected = (
            (LEAF, GOOD),
            (stranger, CheckOutcome("self-signed certificate", 18)),
            (BELOW, GOOD),
        )[number % 3]
        answers = {outcome(by, peer, NOW + step * SECOND) for step in range(50)}
        late = outcome(by, LEAF, LONG.not_after + SECOND)
        return answers == {expected} and late == EXPIRED

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(8)))


BINARY = st.binary(max_size=300)


@given(BINARY, st.lists(BINARY, max_size=3).map(tuple))
def test_any_bytes_are_a_verdict(leaf, chain):
    """Bytes that are not a certificate are not verified, without an exception."""
    verdict = rechecker(ROOT).verdict(leaf, chain, NOW)
    assert verdict.reason == "the certificate cannot be read"


@given(st.data())
def test_any_change_to_a_leaf_is_not_verified(data):
    """A valid certificate with one changed byte is not verified."""
    leaf, chain = ders_of(BELOW)
    position = data.draw(st.integers(0, len(leaf) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != leaf[position]))
    odd = leaf[:position] + bytes([byte]) + leaf[position + 1 :]
    assert rechecker(ROOT).verdict(odd, chain, NOW).reason is not None


def test_long_chain_is_a_verdict():
    """A chain longer than a handshake accepts, or than a message can be, is unread."""
    leaf, _ = ders_of(LEAF)
    for size in (1 << 18, 1 << 24):
        verdict = rechecker(ROOT).verdict(leaf, (bytes(size),), NOW)
        assert verdict.reason == "the certificate cannot be read"


def test_openssl_is_loaded_only_when_it_is_needed():
    """A server without rechecks does not wait for a second TLS library."""
    code = """if True:
        import sys
        import grpcsecure.tls.recheck
        assert "OpenSSL" not in sys.modules
        """
    subprocess.run([sys.executable, "-c", code], check=True)
