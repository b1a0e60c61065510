"""Builds the OpenSSL context of a listener from its settings and key material.

The only place where a client certificate mode becomes OpenSSL flags; the table of modes
defines their effect. Invariant: a context is complete, or it is not returned.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from OpenSSL import SSL, crypto

from grpcsecure.errors import CertificateError
from grpcsecure.model.cipher_suites import split_suites
from grpcsecure.model.listener import TlsVersion
from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.tls.certificate import parse_pem_certificates
from grpcsecure.tls.name_selection import choose
from grpcsecure.tls.openssl import _bindings as openssl
from grpcsecure.tls.openssl.verify_callback import ask_for_certificate

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from grpcsecure.tls.openssl.settings import ContextMaterial, ContextSettings
    from grpcsecure.tls.openssl.verify_callback import HandshakeRecord

__all__ = [
    "ContextError",
    "NoH2Error",
    "build_check_context",
    "build_context",
    "build_contexts",
    "can_use_groups",
]

#: GRPC_SSL_CIPHER_SUITES of gRPC core, TLS 1.2 part and TLS 1.3 part.
_TLS12_CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    b"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384"
)
_TLS13_CIPHERS = (
    b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
)

#: The key exchange groups that gRPC core accepts (BoringSSL, in grpcio 1.85), as
#: OpenSSL names them, and those of them that OpenSSL had before 3.5. OpenSSL's own list
#: has X448, finite-field groups and SecP256r1MLKEM768 too. In a single list without
#: "/" the server takes the group of a client's key share, as BoringSSL does, so that
#: no handshake needs a second ClientHello for a better group.
_CLASSIC_GROUPS = b"X25519:P-256:P-384:P-521"
_GROUPS = b"X25519MLKEM768:" + _CLASSIC_GROUPS

_MIN_VERSIONS = {
    TlsVersion.TLS_1_2: SSL.TLS1_2_VERSION,
    TlsVersion.TLS_1_3: SSL.TLS1_3_VERSION,
}

#: Longest chain, the default of OpenSSL and BoringSSL. OpenSSL also limits the bytes of
#: a chain (SSL_CTX_set_max_cert_list: 100 KiB).
_MAX_DEPTH = 100

#: X509_V_FLAG_TRUSTED_FIRST and two SSL_MODEs of OpenSSL's headers, for which pyOpenSSL
#: has no names.
_TRUSTED_FIRST = 0x8000
_ENABLE_PARTIAL_WRITE = 0x1
_NO_AUTO_CHAIN = 0x8

#: X509_PURPOSE_SSL_CLIENT, for which pyOpenSSL has no name either.
_PURPOSE_SSL_CLIENT = 1

#: The list of acceptable CAs must fit an extension of 65,535 bytes (RFC 8446, 4.2.4).
#: If it is longer than half of that, no list is sent: clients then present the
#: certificate that they have.
_MAX_CA_LIST = 32 * 1024

_ALPN_H2 = b"h2"


class ContextError(Exception):
    """OpenSSL does not accept the key material; the text never quotes it."""


class NoH2Error(Exception):
    """The client offered protocols by ALPN (RFC 7301), and `h2` was not among them."""


def build_context(settings: ContextSettings, material: ContextMaterial) -> SSL.Context:
    """Return the context for the next handshakes of a listener.

    With CRLs, every certificate of a client's chain must be known not to be revoked
    (CRL_CHECK_ALL: a revoked intermediate counts like a revoked leaf): with a CRL that
    is missing, expired or of another CA, the chain is "not verified". Only the client
    CAs themselves need no CRL; they are trusted because the config lists them.

    Raises:
        ContextError: the material is unusable; the text is human-readable.
    """
    pair = (material.certificate_chain, material.private_key)
    return _build_context(settings, material, pair, None)


def build_contexts(
    settings: ContextSettings, material: ContextMaterial
) -> tuple[SSL.Context, ...]:
    """Return a context for each certificate of a listener.

    The first is for the handshakes, and switches to the one that the client's name
    (SNI) selects. All have the same settings, callbacks and store of client CAs and
    CRLs: OpenSSL takes some of these from the first context (the mode, the verify
    callback, options, versions, groups), and others from the selected one (store,
    list of acceptable CAs, ALPN, ciphers).

    Raises:
        ContextError: the material is unusable; the text is human-readable.
    """
    first = build_context(settings, material)
    store = first.get_cert_store()
    others = tuple(
        _build_context(settings, material, pair, store) for pair in material.further
    )
    if others:
        _select_by_name(first, others, material.names)
    return (first, *others)


def _select_by_name(
    first: SSL.Context, others: Sequence[SSL.Context], names: Mapping[str, int]
) -> None:
    """Make `first` switch to the context of the certificate with the client's name.

    If the callback fails, pyOpenSSL refuses the handshake.
    """

    def switch(connection: SSL.Connection) -> None:
        name = connection.get_servername()
        number = choose(names, None if name is None else name.decode("latin-1"))
        if number:
            # Numbered without `first`, to which this function must not refer: two
            # objects that refer to each other would outlive the next swap.
            connection.set_context(others[number - 1])

    first.set_tlsext_servername_callback(switch)


def _build_context(
    settings: ContextSettings,
    material: ContextMaterial,
    pair: tuple[bytes, bytes],
    store: crypto.X509Store | None,
) -> SSL.Context:
    """Return a context with one of the key pairs; `store` is that of another one."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    _set_protocol(context, settings)
    try:
        _use_key_pair(context, *pair)
    except (
        SSL.Error,
        crypto.Error,
        CertificateError,
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
    ):
        # Not chained: OpenSSL's and cryptography's texts may quote their input.
        raise ContextError("the certificate or private key does not load") from None
    _trust_or_fail(context, settings.mode, material, store)
    return context


def build_check_context(
    material: ContextMaterial, *, any_strength: bool
) -> SSL.Context:
    """Return the context of a TLS 1.2 client that checks certificates as servers do.

    It accepts the certificates that a listener with the same client CAs and CRLs
    accepts, and records the errors; the key pair of the material is not used.

    Args:
        material: with the client CAs and CRLs.
        any_strength: whether to skip the check of the strength of keys and signatures,
            because a handshake has made it; otherwise it is made as in the bridge's
            handshakes.

    Raises:
        ContextError: the client CAs or CRLs are unusable.
    """
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    level = b":@SECLEVEL=0" if any_strength else b""
    context.set_cipher_list(_TLS12_CIPHERS + level)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    _trust_or_fail(context, ClientCertificateMode.REQUEST_BUT_DONT_VERIFY, material)
    # Otherwise OpenSSL would check it for the purpose of a server certificate.
    store = context.get_cert_store()
    if not openssl.X509_STORE_set_purpose(openssl.store_of(store), _PURPOSE_SSL_CLIENT):
        raise ContextError("certificates cannot be checked as a client's")
    return context


def _trust_or_fail(
    context: SSL.Context,
    mode: ClientCertificateMode,
    material: ContextMaterial,
    store: crypto.X509Store | None = None,
) -> None:
    try:
        _trust(context, mode, material, store)
    except (
        SSL.Error,
        crypto.Error,
        CertificateError,
        ValueError,
        UnsupportedAlgorithm,
    ):
        raise ContextError("the client CA or a CRL does not load") from None


def _set_protocol(context: SSL.Context, settings: ContextSettings) -> None:
    context.set_min_proto_version(_MIN_VERSIONS[settings.min_version])
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    context.set_cipher_list(_TLS12_CIPHERS)
    context.set_tls13_ciphersuites(_TLS13_CIPHERS)
    if settings.ciphers:
        _set_suites(context, settings)
    if settings.groups:
        if not openssl.set_groups(context, ":".join(settings.groups).encode()):
            raise ContextError("OpenSSL cannot use the key exchange groups")
    elif not openssl.set_groups(context, _GROUPS):
        openssl.set_groups(context, _CLASSIC_GROUPS)
    # 0-RTT need not be disabled: a server accepts none unless it sets max_early_data.
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    # One SSL_write of many records instead of one call per record; an idle
    # connection frees its record buffers.
    context.clear_mode(_ENABLE_PARTIAL_WRITE)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # Send only the chain that is configured. Otherwise OpenSSL tries to complete it
    # from the client CAs, in every handshake: a seventh of the handshake's time.
    context.set_mode(_NO_AUTO_CHAIN)
    context.set_alpn_select_callback(_select_h2)
    context.set_session_id(b"grpcsecure")
    if settings.mode.asks:
        # With a resumed session the certificate is not checked again: it would keep
        # working after it expired, or if the client no longer sent it. Both settings
        # are needed to prevent resumption.
        context.set_options(SSL.OP_NO_TICKET)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)


def can_use_groups(names: Iterable[str]) -> bool:
    """Return whether the installed libraries can set these key exchange groups."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    return openssl.set_groups(context, ":".join(names).encode())


def _set_suites(context: SSL.Context, settings: ContextSettings) -> None:
    """Use the listed suites alone; a version of TLS without one is not offered."""
    tls12, tls13 = split_suites(settings.ciphers)
    try:
        if tls12:
            context.set_cipher_list(":".join(tls12).encode())
        else:
            context.set_min_proto_version(SSL.TLS1_3_VERSION)
        if tls13:
            context.set_tls13_ciphersuites(":".join(tls13).encode())
        else:
            # Otherwise OpenSSL would agree on TLS 1.3, and then have no suite for it.
            context.set_max_proto_version(SSL.TLS1_2_VERSION)
    except SSL.Error:
        raise ContextError("OpenSSL does not have the cipher suites") from None


def _select_h2(connection: SSL.Connection, offered: list[bytes]) -> bytes:
    record: HandshakeRecord = connection.get_app_data()
    record.alpn_offered = True
    record.offered = offered
    if _ALPN_H2 not in offered:
        # The exception sends the alert no_application_protocol. With pyOpenSSL's
        # NO_OVERLAPPING_PROTOCOLS the handshake would continue without ALPN.
        raise NoH2Error
    return _ALPN_H2


def _use_key_pair(context: SSL.Context, chain: bytes, private_key: bytes) -> None:
    leaf, *issuers = parse_pem_certificates(chain)
    openssl.use_certificates(context, leaf, issuers)
    openssl.use_private_key(context, private_key)
    context.check_privatekey()


def _trust(
    context: SSL.Context,
    mode: ClientCertificateMode,
    material: ContextMaterial,
    shared: crypto.X509Store | None,
) -> None:
    if not mode.asks:
        context.set_verify(SSL.VERIFY_NONE)
        return
    flags = SSL.VERIFY_PEER
    if mode.requires:
        flags |= SSL.VERIFY_FAIL_IF_NO_PEER_CERT
    pem = material.client_ca
    authorities = () if pem is None else parse_pem_certificates(pem)
    anchors = frozenset(authorities if material.crls else ())
    ask_for_certificate(context, flags, verifies=mode.verifies, anchors=anchors)
    context.set_verify_depth(_MAX_DEPTH)
    if mode.verifies and not authorities:
        raise ValueError("a verifying mode without a client CA")
    if mode.verifies and mode.requires:
        _send_acceptable(context, authorities)
    if shared is None:
        _fill_store(context, authorities, material.crls)
    else:
        openssl.share_store(context, shared)


def _fill_store(
    context: SSL.Context, authorities: Iterable[bytes], crls: Collection[bytes]
) -> None:
    store = context.get_cert_store()
    if store is None:
        raise ValueError("no certificate store")
    # The purpose need not be set: OpenSSL checks clients for "ssl_client".
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN | _TRUSTED_FIRST)
    for authority in authorities:
        # OpenSSL's own parser: `cryptography` refuses some CAs that verify clients.
        store.add_cert(crypto.load_certificate(crypto.FILETYPE_ASN1, authority))
    for crl in crls:
        _add_crl(store, crl)
    if crls:
        store.set_flags(
            crypto.X509StoreFlags.CRL_CHECK | crypto.X509StoreFlags.CRL_CHECK_ALL
        )


def _add_crl(store: crypto.X509Store, der: bytes) -> None:
    # Like `store.add_crl`, but without cryptography encoding the list again: that takes
    # 50 ms for a list of 4 MiB, during which no other thread runs.
    crl = openssl.d2i_X509_CRL_bio(openssl.memory_with(der), openssl.NULL)
    openssl.raise_unless(crl != openssl.NULL)
    crl = openssl.free_with(crl, openssl.X509_CRL_free)
    added = openssl.X509_STORE_add_crl(openssl.store_of(store), crl)
    openssl.raise_unless(added != 0)


def _send_acceptable(context: SSL.Context, authorities: tuple[bytes, ...]) -> None:
    """Send the names of the CAs in the request for a certificate, if they fit.

    Clients on Go and Java withhold a certificate that none of the CAs has issued. That
    is right only where such a certificate is refused, and a client without one too:
    in `request_and_verify` the client would be served as anonymous, and in the modes
    that do not verify a registered self-signed certificate would never arrive.
    """
    # A list without one of the CAs would keep its clients away: then none is sent.
    with suppress(ValueError, x509.InvalidVersion):
        loaded = map(x509.load_der_x509_certificate, authorities)
        names = {each.subject.public_bytes(): each for each in loaded}
        if sum(map(len, names)) <= _MAX_CA_LIST:
            for authority in names.values():
                context.add_client_ca(authority)
