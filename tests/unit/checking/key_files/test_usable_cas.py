"""Tests of findings about client CAs that an engine does not load or support."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from support.certificates import make_specimens
from support.file_checks import NOW, check, listener

from grpcsecure.devcerts import make_authority
from grpcsecure.tls.pem import render_pem

CA = make_authority("odd", now=NOW, days=30).certificate.public_bytes(Encoding.DER)
GOOD = make_authority("good", now=NOW, days=30).certificate.public_bytes(Encoding.DER)


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    """A directory with the specimens."""
    folder = tmp_path_factory.mktemp("usable")
    make_specimens(folder / "certs")
    return folder


def with_padded_serial(der):
    """Return a certificate whose serial number begins with needless zeros."""
    start = der.index(bytes.fromhex("a00302010202")) + 7
    return der[:start] + b"\0\1" + der[start + 2 :]


@pytest.mark.parametrize("engine", ["grpc", "bridge"])
@pytest.mark.parametrize("is_first", [True, False])
def test_ca_that_an_engine_does_not_load_is_an_error(folder, engine, is_first):
    """Otherwise the server would only say that it cannot bind."""
    odd = with_padded_serial(CA)
    ders = (odd, GOOD) if is_first else (GOOD, odd)
    (folder / "odd.pem").write_bytes(render_pem("CERTIFICATE", ders))
    ((finding, place),) = check(folder, listener(client_ca="odd.pem", engine=engine))
    assert (finding.code, finding.is_error) == ("GS206", True)
    assert place == "client_ca: odd.pem"
    message = f"engine `{engine}` cannot load `CN=odd` in `odd.pem`: "
    assert finding.message.startswith(message)


@pytest.mark.parametrize(
    ("name", "engine", "codes"),
    [
        ("ca-server-eku", "grpc", ["GS244"]),
        ("ca-server-eku", "bridge", ["GS241"]),
        ("ca-ip-constraint", "grpc", ["GS242"]),
        ("ca-ip-constraint", "bridge", []),
        ("pinned-p521", "grpc", ["GS243"]),
        ("pinned-p521", "bridge", []),
        ("ca-weak", "grpc", ["GS218"]),
        ("ca-weak", "bridge", ["GS241"]),
    ],
)
def test_finding_depends_on_the_engine(folder, name, engine, codes):
    """The same file is usable on one engine and not on the other."""
    path = f"certs/broken/{name}.pem"
    found = check(folder, listener(client_ca=path, engine=engine))
    assert [finding.code for finding, _ in found] == codes
    assert not any(finding.is_error for finding, _ in found)


def test_finding_names_every_engine_that_is_concerned(folder):
    """A file of two listeners has one finding for each engine that refuses."""
    path = "certs/broken/ca-server-eku.pem"
    found = check(
        folder,
        listener("a", client_ca=path, engine="grpc"),
        listener("b", port=8444, client_ca=path, engine="bridge"),
    )
    messages = [finding.message for finding, _ in found]
    assert len(messages) == 2
    assert "gets in on engine `bridge`: its extendedKeyUsage lacks" in messages[0]
    assert messages[1].startswith("only engine `grpc` lets in clients of the CA")


def test_file_that_no_listener_requests_has_no_finding(folder):
    """Where no certificate is requested, no engine uses the CA."""
    found = check(
        folder,
        listener(
            client_ca="certs/broken/ca-server-eku.pem",
            client_certificate="dont_request",
        ),
    )
    assert found == []
