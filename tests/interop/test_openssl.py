"""Tests with OpenSSL's own client: the handshake as seen by a client.

After the handshake the client sends text that is not HTTP/2, so that the server closes
the connection; an accepted client gets a SETTINGS frame before that (RFC 9113, section
3.4). The end of the handshake proves nothing: in TLS 1.3 a client finishes it before
the server has checked its certificate.
"""

from __future__ import annotations

import re

import pytest
from support.interop_programs import find_program, run

_VERSIONS = {"-tls1_3": "TLSv1.3", "-tls1_2": "TLSv1.2"}

#: Length, type 4, no flags, stream 0 (RFC 9113, section 6.5).
_SETTINGS_FRAME = re.compile(r"\0\0.\x04\0\0\0\0\0", re.DOTALL)


@pytest.fixture(name="version", params=list(_VERSIONS))
def _version(request):
    return request.param


def s_client(endpoint, *options):
    """Make a handshake with `endpoint`, check its certificate; return the output."""
    connect = ("s_client", "-ign_eof", "-connect", endpoint.address, "-alpn", "h2")
    check = ("-CAfile", endpoint.ca, "-verify_return_error", "-verify_ip", "127.0.0.1")
    outcome = run(
        *(find_program("openssl"), *connect, *check, *options),
        stdin="text that is not HTTP/2\r\n\r\n",
    )
    return outcome.text


def identity(folder):
    """Return the options that present the client certificate in `folder`."""
    return ("-cert", folder / "client.pem", "-key", folder / "client.key")


def is_accepted(text):
    """Whether the server sent a SETTINGS frame after the handshake."""
    return _SETTINGS_FRAME.search(text) is not None


def test_negotiates_h2_in_both_versions(serve, version):
    """ALPN selects h2 in TLS 1.3 and 1.2, and the certificate is valid for the IP."""
    text = s_client(serve(mutual=False, reflection=True), version)
    assert "ALPN protocol: h2" in text
    assert f"New, {_VERSIONS[version]}," in text
    assert "Verify return code: 0 (ok)" in text
    assert is_accepted(text)


def test_dont_request_requests_no_certificate(serve, version):
    """In mode `dont_request` the handshake does not request a certificate."""
    text = s_client(serve(mutual=False, reflection=True), version)
    assert "Requested Signature Algorithms" not in text


def test_require_and_verify_requests_a_certificate(serve, version):
    """In mode `require_and_verify` the handshake requests a certificate."""
    text = s_client(serve(mutual=True, reflection=True), version)
    assert "Requested Signature Algorithms" in text


def test_require_and_verify_accepts_its_ca(serve, project, version):
    """A client with a certificate of the client CA is accepted."""
    endpoint = serve(mutual=True, reflection=True)
    text = s_client(endpoint, version, *identity(project / "certs"))
    assert "ALPN protocol: h2" in text
    assert is_accepted(text)


def test_require_and_verify_refuses_no_certificate(serve, version):
    """A client without a certificate is refused."""
    assert not is_accepted(s_client(serve(mutual=True, reflection=True), version))


def test_require_and_verify_refuses_another_ca(serve, unknown_ca, version):
    """A client with a certificate of an unknown CA is refused."""
    endpoint = serve(mutual=True, reflection=True)
    assert not is_accepted(s_client(endpoint, version, *identity(unknown_ca)))


@pytest.mark.parametrize("old", ["-tls1_1", "-tls1"])
def test_old_versions_are_refused(serve, old):
    """TLS 1.1 and 1.0 are refused, even if the client allows them.

    RFC 8996 deprecates both.
    """
    endpoint = serve(mutual=False, reflection=True)
    text = s_client(endpoint, old, "-cipher", "DEFAULT:@SECLEVEL=0")
    assert "Cipher is (NONE)" in text
    assert not is_accepted(text)
