"""OpenSSL's verify callback: decides on a client's certificate and records why.

After a callback that accepts every certificate, OpenSSL's final result is useless: it
is "ok" for a self-signed certificate too. So the callback records the first error.
Invariant: a certificate is verified only if the record says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpcsecure.tls.der import DerError
from grpcsecure.tls.openssl import _bindings as openssl
from grpcsecure.tls.openssl.certificate_names import read_names
from grpcsecure.tls.verify_errors import BAD_EXTENSION, BAD_KEY_USAGE, VERIFY_ERRORS

if TYPE_CHECKING:
    from OpenSSL import SSL

    from grpcsecure.tls.openssl.certificate_names import CertificateNames

__all__ = [
    "HandshakeRecord",
    "ask_for_certificate",
    "der_of",
    "error_text",
]

#: X509_V_ERR_UNABLE_TO_GET_CRL, _CRL_SIGNATURE_FAILURE, _UNABLE_TO_GET_CRL_ISSUER,
#: _DIFFERENT_CRL_SCOPE: there is no CRL for a certificate, or only one of an unknown
#: issuer, or one for other types of certificates.
_NO_CRL = frozenset({3, 8, 33, 44})

#: The X509_V_ERR numbers for which OpenSSL sends the right alerts: INVALID_PURPOSE
#: gives unsupported_certificate, CERT_REJECTED bad_certificate (RFC 8446, section 6.2).
_SAID_AS = {BAD_KEY_USAGE: 26, BAD_EXTENSION: 28}


class HandshakeRecord:
    """The record of one handshake's callbacks, the app data of its connection."""

    __slots__ = (
        "alpn_offered",
        "at_fault",
        "error",
        "error_depth",
        "leaf",
        "leaf_seen",
        "offered",
        "unusable",
    )

    def __init__(self) -> None:
        #: The first X509_V_ERR of the chain and the depth it was found at.
        self.error: int | None = None
        self.error_depth = 0
        #: Whether the chain was checked down to the client's own certificate.
        self.leaf_seen = False
        #: That certificate (DER), until `TlsStream.take_certificates`.
        self.leaf: bytes | None = None
        #: Why the certificate is refused in every mode, if it is.
        self.unusable: str | None = None
        #: Names of the certificate with the first error, or of the leaf.
        self.at_fault: CertificateNames | None = None
        self.alpn_offered = False
        self.offered: list[bytes] = []

    @property
    def is_verified(self) -> bool:
        """Whether OpenSSL checked the whole chain and found no error."""
        return self.leaf_seen and self.error is None and self.unusable is None


def ask_for_certificate(
    context: SSL.Context,
    flags: int,
    *,
    verifies: bool,
    anchors: frozenset[bytes] = frozenset(),
) -> None:
    """Make `context` request a certificate from clients, and check it.

    The callback is set without pyOpenSSL. One that is set with pyOpenSSL can refuse a
    certificate that OpenSSL accepts, but cannot choose the alert (which would be
    "internal error"). It also creates an object for every certificate, although usually
    only the bytes of the leaf are needed.

    Args:
        context: the context to change.
        flags: for SSL_CTX_set_verify.
        verifies: whether a certificate with an error is refused.
        anchors: the client CAs (DER) if there are CRLs.
    """
    # Creates a helper through which `do_handshake` raises a callback's exceptions.
    context.set_verify(flags, _never_called)
    problems: list[Exception] = openssl.callback_problems_of(context)
    index = openssl.SSL_get_ex_data_X509_STORE_CTX_idx()

    def check(ok: int, store: Any) -> int:  # noqa: ANN401 - a pointer
        found = problems
        try:
            # Nothing to record: an issuer without an error.
            if ok and openssl.X509_STORE_CTX_get_error_depth(store):
                return 1
            ssl = openssl.X509_STORE_CTX_get_ex_data(store, index)
            connection = openssl.connections[ssl]
            # The client's name may have selected another context since this callback
            # was set, and `do_handshake` looks there.
            found = openssl.callback_problems_of(connection.get_context())
            error = _examine(
                connection.get_app_data(),
                store,
                0 if ok else openssl.X509_STORE_CTX_get_error(store),
                verifies=verifies,
                anchors=anchors,
            )
            openssl.X509_STORE_CTX_set_error(store, error)
            if not error:
                # An ignored error may still be in OpenSSL's queue, and would be taken
                # for an error of the next operation.
                openssl.ERR_clear_error()
        except Exception as mistake:  # noqa: BLE001 - an error in a decision is a refusal
            found.append(mistake)
            return 0
        return not error

    openssl.use_verify_callback(context, flags, check)


def _never_called(*_: object) -> bool:
    return False


def _examine(
    record: HandshakeRecord,
    store: Any,  # noqa: ANN401 - a pointer
    error: int,
    *,
    verifies: bool,
    anchors: frozenset[bytes],
) -> int:
    """Record an error; return the one to refuse the certificate for, or 0.

    Truth table, for each certificate of the chain from the anchor down to the leaf:

        leaf unusable   error   verifies   handshake goes on
        yes             any     any        no   (BoringSSL refuses these in all modes)
        no              no      any        yes
        no              yes     no         yes, and the first error is recorded
        no              yes     yes        no

    A client CA for which there is no CRL is not an error. With CRL_CHECK_ALL, OpenSSL
    demands a CRL also for an intermediate that is itself a trusted client CA, although
    the issuer that would sign that CRL is not trusted; and before 4.0 it demands one
    for a root, signed by the root itself.
    """
    depth = openssl.X509_STORE_CTX_get_error_depth(store)
    der = der_of(openssl.X509_STORE_CTX_get_current_cert(store))
    if error in _NO_CRL and der in anchors:
        error = 0
    if error and record.error is None:
        record.error = error
        record.error_depth = depth
        record.at_fault = _names_of(der)
    if not depth and not record.leaf_seen:
        _examine_leaf(record, der)
    if record.unusable is not None:
        return _SAID_AS[record.unusable]
    return error if verifies else 0


def _examine_leaf(record: HandshakeRecord, der: bytes) -> None:
    record.leaf_seen = True
    record.leaf = der
    names = _names_of(der)
    if names is None:
        record.unusable = BAD_EXTENSION
    elif not names.may_sign:
        record.unusable = BAD_KEY_USAGE
    if record.at_fault is None or record.unusable is not None:
        record.at_fault = names


def _names_of(der: bytes) -> CertificateNames | None:
    try:
        return read_names(der)
    except DerError:
        return None


def der_of(certificate: Any) -> bytes:  # noqa: ANN401 - a pointer
    """Return an OpenSSL certificate (`X509 *`) as DER.

    Raises:
        ValueError: the pointer is NULL, or there is no memory.
    """
    if certificate == openssl.NULL:
        raise ValueError("the certificate is NULL")
    bio = openssl.BIO_new(openssl.BIO_s_mem())
    try:
        if not openssl.i2d_X509_bio(bio, certificate):
            raise ValueError("OpenSSL cannot encode the certificate")
        start = openssl.new_memory("char **")
        count = openssl.BIO_get_mem_data(bio, start)
        return bytes(openssl.buffer_at(start[0], count))
    finally:
        openssl.BIO_free(bio)


def error_text(code: int) -> str:
    """Return OpenSSL's text for an X509_V_ERR number."""
    if code in VERIFY_ERRORS:
        return VERIFY_ERRORS[code]
    # pyOpenSSL has no function for it, cryptography's bindings do.
    text: bytes = openssl.string_at(openssl.X509_verify_cert_error_string(code))
    return text.decode("ascii", "replace")
