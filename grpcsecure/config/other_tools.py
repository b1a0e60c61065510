"""The words of other tools for keys and modes of a config, and for built-in identities.

Users come from Envoy, nginx, Go, Spring, Kestrel, Istio and Python's ssl. A word is
only explained, never accepted. Where two tools mean different modes by one word
(`require` is without verification in Caddy, with it in grpc-java), the stricter one is
suggested.
"""

from __future__ import annotations

import re

from grpcsecure.model.modes import ClientCertificateMode

__all__ = ["built_in_identity", "find_key", "find_mode", "find_value", "hint_for"]

_CERTIFICATE = (
    "cert cert_file certfile cert_path certificate_file certificate_chain cert_chain"
    " ssl_certificate server_certificate server_cert crt tls_crt tls_cert chain"
    " public_certificate"
)
_PRIVATE_KEY = (
    "key key_file keyfile key_path private_key_file ssl_certificate_key server_key"
    " tls_key certificate_key cert_key"
)

#: Keys by the title of their mapping in the schema: our key, and the words for it.
_KEYS: dict[str, dict[str, str]] = {
    "grpcsecure config": {
        "authorization": "auth authz rbac policy policies acl access permissions",
        "identities": "principals users clients roles peers subjects",
        "include": "includes import imports extends extend base",
        "logging": "log logs logger loggers",
        "listeners": "listen ports endpoints binds servers addresses",
        "profiles": "environments envs overrides",
        "reload": "watch watcher",
        "services": "servicers handlers",
    },
    "Service": {
        "servicer": "class name module implementation impl handler factory object"
        " servicer_class target service",
        "with": "args kwargs arguments params parameters options config settings init",
        "register": "add add_to_server registrar",
        "start": "on_start startup on_startup start_hook setup before_start",
        "close": "on_stop on_close stop shutdown on_shutdown close_hook teardown"
        " after_stop cleanup",
    },
    "Logging": {
        "format": "log_format formatter style encoding",
        "level": "log_level loglevel verbosity",
        "levels": "loggers logger log_levels",
    },
    "Server": {
        "threads": "max_workers workers thread_pool_size num_threads pool_size"
        " max_threads",
        "shutdown_grace": "grace grace_period graceful_shutdown shutdown_timeout"
        " termination_grace_period drain_timeout stop_grace",
        "drain_delay": "pre_stop prestop pre_stop_delay shutdown_delay drain_wait"
        " lameduck lame_duck",
        "max_concurrent_rpcs": "maximum_concurrent_rpcs max_calls max_rpcs",
        "interceptors": "interceptor middleware middlewares filters plugins",
        "import_paths": "python_path pythonpath path paths sys_path import_path",
        "channel_options": "grpc_options channel_args options channel_arguments",
        "max_receive_message_size": "max_message_size max_recv_message_size"
        " max_receive_message_length max_recv_msg_size max_inbound_message_size"
        " max_request_size max_body_size client_max_body_size",
        "max_send_message_size": "max_send_message_length max_send_msg_size"
        " max_outbound_message_size max_response_size",
        "keepalive": "keep_alive keepalive_params pings enforcement_policy",
        "compression": "compress default_compression gzip compression_algorithm",
    },
    "Keepalive": {
        "time": "interval keepalive_time keepalive_time_ms ping_interval",
        "timeout": "keepalive_timeout keepalive_timeout_ms ping_timeout",
        "without_calls": "permit_without_calls keepalive_permit_without_calls"
        " permit_without_stream permit_keep_alive_without_calls",
        "min_client_interval": "min_time permit_keep_alive_time"
        " min_recv_ping_interval_without_data min_ping_interval_without_data",
        "max_ping_strikes": "ping_strikes strikes",
    },
    "Listener": {
        "address": "host port bind listen addr hostname socket endpoint url",
        "tls": "ssl mtls secure security credentials tls_context https",
        "plaintext": "insecure h2c no_tls cleartext",
        "max_connection_age": "max_age connection_age",
        "limits": "limit",
    },
    "Limits": {
        "max_connections": "connections max_conns max_conn maxconn connection_limit"
        " limit_conn max_clients",
        "max_calls": "calls max_concurrent_rpcs maximum_concurrent_rpcs max_rpcs"
        " max_concurrent_calls max_requests",
        "max_calls_per_connection": "max_concurrent_streams max_streams"
        " max_concurrent_calls_per_connection http2_max_concurrent_streams",
    },
    "TLS": {
        "certificate": f"{_CERTIFICATE} certs key_store keystore",
        "certificates": "tls_certificates key_cert_pairs certificate_list pairs"
        " private_key_certificate_chain_pairs",
        "server_names": "server_name hostnames host_names domains names hosts",
        "private_key": _PRIVATE_KEY,
        "client_certificate": "mutual mtls mode client_auth verify verify_client"
        " ssl_verify_client require_client_certificate require_client_auth"
        " require_client_cert client_certificate_mode client_cert verify_mode"
        " need_client_auth want_client_auth mutual_tls client_authentication"
        " tls_mode",
        "client_ca": "ca ca_file cafile ca_cert ca_certs ca_certificate"
        " ssl_client_certificate client_cas client_ca_file root_certificates roots"
        " trusted_ca trust_store truststore trust_certificate"
        " trust_cert_collection validation_context trust_bundle ca_path"
        " ssl_trusted_certificate ca_bundle cacert",
        "ciphers": "cipher cipher_suites ssl_ciphers ciphersuites cipher_list"
        " tls_cipher_suites ssl_cipher_suites",
        "groups": "curves ecdh_curves ssl_ecdh_curve curve_preferences"
        " supported_groups",
        "crl": "crls ssl_crl crl_file revocation_list",
        "min_version": "minimum_version tls_min_version ssl_protocols protocols"
        " tls_minimum_protocol_version minimum_tls_version version protocol"
        " min_protocol_version ssl_min_ver",
    },
    "Certificate and key": {"certificate": _CERTIFICATE, "private_key": _PRIVATE_KEY},
    "Matcher": {
        "common_name": "cn subject_cn name",
        "organizational_unit": "ou unit",
        "dns": "dns_name dns_san san_dns host hostname domain fqdn",
        "uri": "uri_san san_uri url",
        "spiffe": "spiffe_id id spiffeid workload svid",
        "email": "mail email_address rfc822 email_san",
        "ip": "ip_address ip_san address",
        "subject": "dn distinguished_name subject_dn",
        "fingerprint": "sha256 thumbprint hash digest certificate_hash",
        "public_key": "spki pin key_hash pin_sha256 certificate_spki key pubkey",
        "certificates": "cert certs certificate pem file files path",
    },
    "Authorization": {
        "rules": "policies policy allow deny acl permissions",
        "default": "default_action default_effect fallback action",
        "audit_file": "audit_log log_file audit_path",
        "tests": "checks cases",
    },
    "Rule": {
        "allow": "principals identities users who clients roles action effect grant"
        " subjects allowed",
        "deny": "denied forbid block",
        "methods": "paths path method rpcs procedures permissions calls services",
        "metadata": "headers header when conditions",
        "enforce": "enabled active dry_run",
    },
    "Policy test": {
        "as": "caller identity client principal user peer who",
        "call": "method rpc path",
        "expect": "expected result decision want effect",
    },
    "Reload": {
        "interval": "period every poll poll_interval",
        "events": "watch inotify",
    },
}

#: Words without one key of their own, with the keys that they lead to.
_HINTS: dict[str, dict[str, str]] = {
    "Certificate and key": {
        "names": "the names are those in the certificate; list the names that clients"
        " dial in `server_names` of `tls`",
        "server_name": "the names are those in the certificate; list the names that"
        " clients dial in `server_names` of `tls`",
        "server_names": "it belongs beside `certificates`",
    },
    "Matcher": {
        "san": "write its kind: `dns`, `uri`, `spiffe`, `ip` or `email`",
        "sans": "write their kind: `dns`, `uri`, `spiffe`, `ip` or `email`",
        "subject_alt_name": "write its kind: `dns`, `uri`, `spiffe`, `ip` or `email`",
        "o": "write `subject`, which has the organization as `O=`",
        "organization": "write `subject`, which has the organization as `O=`",
        "sha1": "write `fingerprint` with SHA-256",
    },
}


def _fold(word: str) -> str:
    """Return `clientAuth`, `client-auth` and `ClientAuth` as `client_auth`."""
    word = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", word)
    return re.sub(r"[-. ]", "_", word).lower()


_BY_WORD = {
    title: {word: key for key, words in keys.items() for word in words.split()}
    for title, keys in _KEYS.items()
}


def find_key(title: str, word: str, known: object) -> str | None:
    """Return the key that another tool calls `word`, or None.

    Args:
        title: the title of the mapping in the schema.
        word: the key as written.
        known: the keys of the mapping; one in another spelling is found too.
    """
    folded = _fold(word)
    if isinstance(known, dict) and folded in known:
        return folded
    return _BY_WORD.get(title, {}).get(folded)


def hint_for(title: str, word: str) -> str | None:
    """Return what to write for a word that is no single key here, or None."""
    return _HINTS.get(title, {}).get(_fold(word))


_NONE = "none off no false disabled disable cert_none no_certificate tls simple one_way"
_OPTIONAL = (
    "want optional cert_optional allow_certificate allow optional_mutual"
    " verify_if_given"
)
_REQUIRED = (
    "mtls mutual mutual_tls need require required requires on yes true strict verify"
    " cert_required require_certificate verify_trust_chain istio_mutual two_way"
    " verify_peer require_and_verify_client_cert"
)
_MODES = {
    **dict.fromkeys(_NONE.split(), ClientCertificateMode.DONT_REQUEST),
    **dict.fromkeys(_OPTIONAL.split(), ClientCertificateMode.REQUEST_AND_VERIFY),
    **dict.fromkeys(_REQUIRED.split(), ClientCertificateMode.REQUIRE_AND_VERIFY),
    "accept_untrusted": ClientCertificateMode.REQUEST_BUT_DONT_VERIFY,
    "request": ClientCertificateMode.REQUEST_BUT_DONT_VERIFY,
    **{
        _fold(name): mode
        for mode in ClientCertificateMode
        for name in (mode.traits.go_name, mode.traits.nginx_name)
        if name
    },
}


def find_mode(word: str) -> str | None:
    """Return the client-certificate mode that another tool calls `word`, or None."""
    mode = _MODES.get(_fold(word.rpartition(".")[2]))
    return None if mode is None else mode.value


_VALUES = {
    "default": {
        "deny": "reject block drop refuse forbid closed deny_all denied disallow",
        "allow": "accept permit open pass allow_all allowed",
    },
    "expect": {
        "deny": "denied reject rejected refused forbidden fail block",
        "allow": "allowed accept permitted permit ok pass success",
    },
    "audit": {
        '"off"': "none no never disabled false",
        "all": "everything full on yes",
        "denials": "denied deny denies refusals errors",
    },
    "compression": {"gzip": "gz on true yes", "none": "identity off no false"},
    "runtime": {"asyncio": "async aio", "threads": "sync thread threading blocking"},
    "engine": {"bridge": "openssl proxy", "grpc": "boringssl core native grpcio"},
    "groups": {
        "P-256": "secp256r1 prime256v1 p256 p_256 curve_p256 nist_p256",
        "P-384": "secp384r1 p384 p_384 curve_p384 nist_p384",
        "P-521": "secp521r1 p521 p_521 curve_p521 nist_p521",
        "X25519": "x25519 curve25519",
        "X25519MLKEM768": "x25519_mlkem768 x25519_kyber768_draft00 x25519_kyber768",
    },
    "error_detail": {"full": "all verbose debug", "none": "off no minimal status"},
}


def find_value(key: str, word: str) -> str | None:
    """Return the value of `key` that another tool calls `word`, or None."""
    if key == "ciphers":
        return _find_suite(word)
    folded = _fold(word)
    values = _VALUES.get(key, {})
    return next((v for v, words in values.items() if folded in words.split()), None)


_SUITE = re.compile(
    r"TLS_ECDHE_(RSA|ECDSA)_WITH_(?:AES_(128|256)_GCM_SHA(256|384)|CHACHA20_POLY1305)"
)


def _find_suite(word: str) -> str | None:
    """Return OpenSSL's name of a suite of TLS 1.2 that has the name of an RFC."""
    match = _SUITE.match(word.upper())
    if match is None:
        return None
    aes = f"AES{match[2]}-GCM-SHA{match[3]}" if match[2] else "CHACHA20-POLY1305"
    return f"ECDHE-{match[1]}-{aes}"


_IDENTITIES = {
    "anyone": "* all any everyone everybody public world allusers all_users",
    "verified": "authenticated mtls trusted any_authenticated all_authenticated"
    " authorized secure",
    "anonymous": "unauthenticated guest guests no_certificate",
}


def built_in_identity(word: str) -> str | None:
    """Return the built-in identity that another tool calls `word`, or None."""
    folded = _fold(word)
    return next(
        (k for k, words in _IDENTITIES.items() if folded in words.split()), None
    )
