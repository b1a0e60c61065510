"""Every private name of pyOpenSSL and cryptography that grpcsecure uses.

pyOpenSSL calls OpenSSL through cryptography's bindings, which are private. Functions of
OpenSSL for which pyOpenSSL has no public method are called through the same bindings,
and keep OpenSSL's names here. All names are looked up at import. A missing name is an
error only in `require`, because `validate` and `explain` work without. The comment
before each name says when the name can be removed.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

import cryptography
import OpenSSL
from OpenSSL import SSL, crypto

from grpcsecure.name_lookup import PrivateNames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "NAMES",
    "can_set_groups",
    "is_complete",
    "require",
    "set_groups",
    "share_store",
    "use_certificates",
    "use_private_key",
    "use_verify_callback",
]

NAMES = PrivateNames(
    "pyOpenSSL",
    f"{OpenSSL.__version__} (cryptography {cryptography.__version__})",
    tried=("26.0.0 (cryptography 46.0.0)", "26.4.0 (cryptography 50.0.2)"),
)

# Go with the last name below.
_util = NAMES.module("OpenSSL._util")
_ffi = NAMES.find(_util, "OpenSSL._util", "ffi")
_lib = NAMES.find(_util, "OpenSSL._util", "lib")


def _function(name: str) -> Any:  # noqa: ANN401 - a function or constant of OpenSSL
    return NAMES.find(_lib, "OpenSSL._util.lib", name)


# Memory that OpenSSL reads and writes, and callbacks that it calls. Go with the last
# function that takes or returns a pointer.
NULL = NAMES.find(_ffi, "OpenSSL._util.ffi", "NULL")
new_memory = NAMES.find(_ffi, "OpenSSL._util.ffi", "new")
buffer_at = NAMES.find(_ffi, "OpenSSL._util.ffi", "buffer")
string_at = NAMES.find(_ffi, "OpenSSL._util.ffi", "string")
free_with = NAMES.find(_ffi, "OpenSSL._util.ffi", "gc")
_make_callback = NAMES.find(_ffi, "OpenSSL._util.ffi", "callback")

# Records in and out. Go when pyOpenSSL has a `recv` and a `send` on memory that the
# caller owns, which copy once and return when there is nothing to read.
SSL_read = _function("SSL_read")
SSL_write = _function("SSL_write")
BIO_read = _function("BIO_read")
BIO_write = _function("BIO_write")
BIO_get_mem_data = _function("BIO_get_mem_data")

# Goes when pyOpenSSL's `do_handshake` returns, and does not raise, when it wants more.
SSL_do_handshake = _function("SSL_do_handshake")

# The results of those functions. Go with the last of them.
SSL_get_error = _function("SSL_get_error")
SSL_ERROR_WANT_READ = _function("SSL_ERROR_WANT_READ")
SSL_ERROR_ZERO_RETURN = _function("SSL_ERROR_ZERO_RETURN")

# The queue of errors. Go when pyOpenSSL empties it after each call.
ERR_clear_error = _function("ERR_clear_error")
ERR_peek_error = _function("ERR_peek_error")
ERR_reason_error_string = _function("ERR_reason_error_string")

# Goes when pyOpenSSL's `shutdown` does not raise before the end of a handshake.
SSL_shutdown = _function("SSL_shutdown")

# Go when pyOpenSSL does not set this mode on every connection by itself, or when
# `Connection` has a public `clear_mode`.
SSL_clear_mode = _function("SSL_clear_mode")
SSL_MODE_AUTO_RETRY = _function("SSL_MODE_AUTO_RETRY")

# Memory BIOs, which never shrink, are replaced. Go when OpenSSL's shrink when they are
# empty.
BIO_new = _function("BIO_new")
BIO_s_mem = _function("BIO_s_mem")
SSL_set_bio = _function("SSL_set_bio")

# Goes when pyOpenSSL's `Connection` says whether its session was resumed.
SSL_session_reused = _function("SSL_session_reused")

# The certificates as DER, without an object for each of them. Go when pyOpenSSL's
# `get_peer_cert_chain` and verify callback give DER, or objects that cost as little.
SSL_get_peer_cert_chain = _function("SSL_get_peer_cert_chain")
sk_X509_num = _function("sk_X509_num")
sk_X509_value = _function("sk_X509_value")
X509_STORE_CTX_get_current_cert = _function("X509_STORE_CTX_get_current_cert")
i2d_X509_bio = _function("i2d_X509_bio")
BIO_free = _function("BIO_free")

# A verify callback that says why it refuses. Go when one of pyOpenSSL's may return an
# X509_V_ERR number in place of False.
SSL_CTX_set_verify = _function("SSL_CTX_set_verify")
SSL_get_ex_data_X509_STORE_CTX_idx = _function("SSL_get_ex_data_X509_STORE_CTX_idx")
X509_STORE_CTX_get_ex_data = _function("X509_STORE_CTX_get_ex_data")
X509_STORE_CTX_get_error = _function("X509_STORE_CTX_get_error")
X509_STORE_CTX_get_error_depth = _function("X509_STORE_CTX_get_error_depth")
X509_STORE_CTX_set_error = _function("X509_STORE_CTX_set_error")

# Goes when pyOpenSSL has a function for the text of an X509_V_ERR number.
X509_verify_cert_error_string = _function("X509_verify_cert_error_string")

# Go when pyOpenSSL's `Connection` has a `set_time` for its checks, as `X509Store` has.
SSL_get0_param = _function("SSL_get0_param")
X509_VERIFY_PARAM_set_time = _function("X509_VERIFY_PARAM_set_time")

# Goes when pyOpenSSL's `X509Store` has a `set_purpose`.
X509_STORE_set_purpose = _function("X509_STORE_set_purpose")

# Key exchange groups. Optional, because cryptography has it since 47.0 only; without it
# OpenSSL's own groups are in use. Goes when pyOpenSSL's `Context` has a `set_groups`.
_SSL_CTX_set1_curves_list = getattr(_lib, "SSL_CTX_set1_curves_list", None)

# A server's chain from DER. Go when pyOpenSSL's `use_certificate` and
# `add_extra_chain_cert` take certificates that cryptography does not parse.
d2i_X509_bio = _function("d2i_X509_bio")
X509_free = _function("X509_free")
_SSL_CTX_use_certificate = _function("SSL_CTX_use_certificate")
_SSL_CTX_add_extra_chain_cert = _function("SSL_CTX_add_extra_chain_cert")

# A private key. Go when pyOpenSSL's `use_privatekey` takes ML-DSA keys, and does not
# make an RSA key of an RSASSA-PSS one, which does not fit its certificate then.
PEM_read_bio_PrivateKey = _function("PEM_read_bio_PrivateKey")
EVP_PKEY_free = _function("EVP_PKEY_free")
_SSL_CTX_use_PrivateKey = _function("SSL_CTX_use_PrivateKey")

# A revocation list from DER. Go when pyOpenSSL's `X509Store.add_crl` does not have
# cryptography write the list anew.
d2i_X509_CRL_bio = _function("d2i_X509_CRL_bio")
X509_CRL_free = _function("X509_CRL_free")
X509_STORE_add_crl = _function("X509_STORE_add_crl")
memory_with = NAMES.find(crypto, "OpenSSL.crypto", "_new_mem_buf")
raise_unless = NAMES.find(crypto, "OpenSSL.crypto", "_openssl_assert")

# One store of client CAs and CRLs for several contexts. Go when pyOpenSSL's `Context`
# has a `set_cert_store`.
_SSL_CTX_set_cert_store = _function("SSL_CTX_set_cert_store")
_X509_STORE_up_ref = _function("X509_STORE_up_ref")

# A connection by its pointer, in a callback. Goes with `SSL_CTX_set_verify`.
connections = NAMES.find(SSL.Connection, "OpenSSL.SSL.Connection", "_reverse_mapping")

#: Attributes that only instances have: the class and the name.
_ATTRIBUTES: list[tuple[type, str]] = []


def _attribute(kind: type, name: str) -> Callable[[Any], Any]:
    _ATTRIBUTES.append((kind, name))
    return attrgetter(name)


# Pointers for the functions above. Each goes with the last function that takes it.
ssl_of = _attribute(SSL.Connection, "_ssl")
input_of = _attribute(SSL.Connection, "_into_ssl")
output_of = _attribute(SSL.Connection, "_from_ssl")
_pointer_of = _attribute(SSL.Context, "_context")
store_of = _attribute(crypto.X509Store, "_store")

# Raises the exception of a failed handshake. Goes with `SSL_do_handshake`.
raiser_of = _attribute(SSL.Connection, "_raise_ssl_error")

# The exceptions that callbacks have raised, and the reference that keeps a callback
# alive. Go with `SSL_CTX_set_verify`.
callback_problems_of = _attribute(SSL.Context, "_verify_helper._problems")
_attribute(SSL.Context, "_verify_callback")


def _look_into_objects() -> None:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_verify(SSL.VERIFY_PEER, lambda *_: False)
    examples = {
        SSL.Context: context,
        SSL.Connection: SSL.Connection(context, None),
        crypto.X509Store: context.get_cert_store(),
    }
    for kind, name in _ATTRIBUTES:
        NAMES.find(examples[kind], f"{kind.__module__}.{kind.__qualname__}", name)


_look_into_objects()


def use_verify_callback(
    context: SSL.Context,
    flags: int,
    check: Callable[[int, Any], int],
) -> None:
    """Make OpenSSL call `check` for each certificate, with its result and a pointer."""
    callback = _make_callback("int (*)(int, X509_STORE_CTX *)", check)
    SSL_CTX_set_verify(_pointer_of(context), flags, callback)
    context._verify_callback = callback  # keeps it alive as long as the context


def use_certificates(
    context: SSL.Context, leaf: bytes, issuers: Iterable[bytes]
) -> None:
    """Make `context` present a certificate and those that follow it (DER).

    Raises:
        OpenSSL.crypto.Error: OpenSSL cannot load or use one of them.
    """
    pointer = _pointer_of(context)
    loaded = free_with(_load_certificate(leaf), X509_free)
    raise_unless(_SSL_CTX_use_certificate(pointer, loaded) == 1)
    for issuer in issuers:
        # The context owns it, if it takes it.
        loaded = _load_certificate(issuer)
        if _SSL_CTX_add_extra_chain_cert(pointer, loaded) != 1:
            X509_free(loaded)
            raise_unless(False)


def use_private_key(context: SSL.Context, pem: bytes) -> None:
    """Make `context` sign handshakes with a private key that is not encrypted (PEM).

    Raises:
        OpenSSL.crypto.Error: OpenSSL cannot load or use it.
    """
    # Without a passphrase, OpenSSL would ask the terminal for that of an encrypted key.
    empty = new_memory("char[]", b"")
    loaded = PEM_read_bio_PrivateKey(memory_with(pem), NULL, NULL, empty)
    raise_unless(loaded != NULL)
    loaded = free_with(loaded, EVP_PKEY_free)
    raise_unless(_SSL_CTX_use_PrivateKey(_pointer_of(context), loaded) == 1)


def share_store(context: SSL.Context, store: crypto.X509Store) -> None:
    """Make `context` verify clients with the store of another context.

    Raises:
        OpenSSL.crypto.Error: there is no memory.
    """
    pointer = store_of(store)
    raise_unless(_X509_STORE_up_ref(pointer) == 1)
    _SSL_CTX_set_cert_store(_pointer_of(context), pointer)  # owns that reference


def _load_certificate(der: bytes) -> Any:  # noqa: ANN401 - a pointer
    loaded = d2i_X509_bio(memory_with(der), NULL)
    raise_unless(loaded != NULL)
    return loaded


def can_set_groups() -> bool:
    """Return whether `set_groups` is supported by this cryptography."""
    return _SSL_CTX_set1_curves_list is not None


def set_groups(context: SSL.Context, names: bytes) -> bool:
    """Set the key exchange groups of `context`; return whether OpenSSL has them all."""
    if _SSL_CTX_set1_curves_list is None:
        return False
    done: bool = _SSL_CTX_set1_curves_list(_pointer_of(context), names) == 1
    if not done:
        ERR_clear_error()
    return done


def is_complete() -> bool:
    """Return whether this pyOpenSSL and cryptography have all names."""
    return not NAMES.missing


def require() -> None:
    """Check that this pyOpenSSL and cryptography have all names.

    Raises:
        UnsupportedLibraryError: some are missing.
    """
    NAMES.require()
