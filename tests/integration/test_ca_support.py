"""Findings about client CAs agree with handshakes on both engines."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from support.reloading import Site, channel, refusal, serving, text_of

from grpcsecure.devcerts.credentials import Credential, new_key, pem_of

DAY = timedelta(days=1)
EDWARDS = (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)


def certificate(name, key, issuer=None, *, extensions=(), is_ca=True, length=None):
    """Return a certificate; `issuer` is the certificate and key of its CA."""
    now = datetime.now(timezone.utc)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    above, signer = issuer or (None, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above.subject if above else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + 30 * DAY)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=length), True)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    digest = None if isinstance(signer, EDWARDS) else hashes.SHA256()
    return builder.sign(signer, digest)


def curve(of):
    """Return a function that makes a key on a curve."""
    return lambda: ec.generate_private_key(of())


def rsa_key(bits):
    """Return a function that makes an RSA key."""
    return lambda: rsa.generate_private_key(65537, bits)


KEYS = {
    "P-256": curve(ec.SECP256R1),
    "P-521": curve(ec.SECP521R1),
    "P-224": curve(ec.SECP224R1),
    "secp256k1": curve(ec.SECP256K1),
    "brainpoolP256r1": curve(ec.BrainpoolP256R1),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
    "RSA 2048": rsa_key(2048),
    "RSA 1024": rsa_key(1024),
    "DSA": lambda: dsa.generate_private_key(2048),
}

USAGE = x509.KeyUsage(*[True] * 9)
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0")
NETWORK = x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))
EXTENSIONS = {
    "keyUsage with keyCertSign": [(USAGE, True)],
    "keyUsage without keyCertSign": [(x509.KeyUsage(True, *[False] * 8), True)],
    "for servers": [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)],
    "for clients": [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), True)],
    "for any purpose": [
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), False)
    ],
    "unknown critical": [(UNKNOWN, True)],
    "unknown": [(UNKNOWN, False)],
    "policies": [(x509.InhibitAnyPolicy(1), True)],
    "DNS constraint": [(x509.NameConstraints([x509.DNSName("a.test")], None), True)],
    "IP constraint": [(x509.NameConstraints([NETWORK], None), True)],
}


def below(ca, key, *, names=("a.test",), chain=()):
    """Return a client of a CA."""
    own = new_key()
    names = [
        x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name)
        for name in names
    ]
    extensions = [(x509.SubjectAlternativeName(names), False)]
    leaf = certificate("c", own, (ca, key), extensions=extensions, is_ca=False)
    return Credential(certificate=leaf, key=own, chain=chain)


@pytest.fixture(name="running", scope="module", params=["grpc", "bridge"])
def _running(request, tmp_path_factory):
    """A server on one of the engines, whose CA file changes."""
    mode = {"client_certificate": "require_and_verify"}
    site = Site(tmp_path_factory.mktemp("cas"), request.param, **mode)
    site.put("unit.pem", text_of(site.ca))
    site.config["identities"] = {"unit": {"certificates": "unit.pem"}}
    site.allow(all={"allow": ["unit", "verified"], "methods": ["*"]})
    site.write()
    with serving(site) as running:
        running.engine = request.param
        yield running


def outcome(running, client, *cas):
    """Return the codes of the warnings of a reload, and whether a client gets in."""
    text = pem_of(*cas).decode()
    running.site.put("ca.pem", text)
    line = running.applied()
    codes = {
        word
        for word in str(line.get("warnings", "")).split()
        if word.startswith("GS24")
    }
    with channel(running.site, running.address, client) as stub:
        return codes, refusal(stub) is None


@pytest.mark.parametrize("kind", KEYS)
def test_keys_of_cas(running, kind):
    """A CA has the finding exactly if its client is refused."""
    key = KEYS[kind]()
    ca = certificate("ca", key)
    codes, gets_in = outcome(running, below(ca, key), ca)
    refused_by = {
        "grpc": ("secp256k1", "brainpoolP256r1", "Ed448", "DSA"),
        "bridge": ("RSA 1024",),
    }
    assert gets_in is (kind not in refused_by[running.engine])
    assert codes == (set() if gets_in else {"GS241"})


@pytest.mark.parametrize("kind", EXTENSIONS)
def test_extensions_of_cas(running, kind):
    """A CA has the finding exactly if its client is refused."""
    key = new_key()
    ca = certificate(kind, key, extensions=EXTENSIONS[kind])
    codes, gets_in = outcome(running, below(ca, key), ca)
    assert ("GS241" in codes) is not gets_in
    refused_by_bridge = ("for servers", "for any purpose", "unknown critical")
    is_odd = running.engine == "grpc" and kind in refused_by_bridge
    assert ("GS244" in codes) is is_odd
    is_limited = running.engine == "grpc" and kind == "IP constraint"
    assert ("GS242" in codes) is is_limited


def test_ip_constraint(running):
    """Engine `grpc` refuses an address inside the constraint, the bridge accepts it."""
    key = new_key()
    ca = certificate("limited", key, extensions=EXTENSIONS["IP constraint"])
    inside = below(ca, key, names=[ipaddress.ip_address("10.1.2.3")])
    codes, gets_in = outcome(running, inside, ca)
    assert gets_in is (running.engine == "bridge")
    assert codes == (set() if gets_in else {"GS242"})


@pytest.mark.parametrize("length", [None, 0])
def test_intermediate_in_the_file_needs_no_path_length_above(running, length):
    """It is a trust anchor itself: a root with a path length of 0 has no finding."""
    root_key, key = new_key(), new_key()
    root = certificate("root", root_key, length=length)
    middle = certificate("middle", key, (root, root_key))
    assert outcome(running, below(middle, key), root, middle) == (set(), True)


#: The engine that refuses a client with such a key, and the end of the message.
CLIENT_KEYS = {
    "P-256": ("", ""),
    "RSA 2048": ("", ""),
    "RSA 1024": ("bridge", "its RSA 1024 key: it is too short"),
    "P-521": ("grpc", "its EC secp521r1 key in TLS 1.3"),
    "Ed25519": ("grpc", "its Ed25519 key"),
}


@pytest.mark.parametrize("kind", CLIENT_KEYS)
@pytest.mark.parametrize("where", ["client_ca", "certificates"])
def test_keys_of_registered_clients(running, kind, where):
    """A client has the finding exactly if it does not get in."""
    site = running.site
    refused_by, words = CLIENT_KEYS[kind]
    key, ca_key = KEYS[kind](), new_key()
    ca = certificate("ca", ca_key)
    issuer = None if where == "client_ca" else (ca, ca_key)
    own = Credential(certificate=certificate(kind, key, issuer, is_ca=False), key=key)
    site.put("unit.pem", pem_of(own.certificate).decode())
    running.applied()
    site.put("ca.pem", pem_of(ca if issuer else own.certificate).decode())
    line = running.applied()
    with channel(site, running.address, own) as stub:
        gets_in = refusal(stub) is None
    assert gets_in is (running.engine != refused_by)
    warnings = str(line.get("warnings"))
    assert ("GS243" in warnings) is not gets_in
    words = f"on engine `{refused_by}`, which does not accept {words}"
    assert gets_in or words in warnings


def test_findings_name_ca_and_engine(running):
    """The message has both, the reason, and the engine that takes the CA."""
    key = KEYS["Ed448"]()
    ca = certificate("ed448", key)
    running.site.put("ca.pem", ca.public_bytes(Encoding.PEM).decode())
    warnings = str(running.applied().get("warnings"))
    named = "no client of the CA `CN=ed448` in `ca.pem` gets in on engine `grpc`: it"
    assert (named in warnings) is (running.engine == "grpc")
