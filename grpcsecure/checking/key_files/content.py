"""Checks of file content: missing, unreadable, empty, damaged or wrong files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.checking.key_files.der_content import describe_der
from grpcsecure.diagnostics.catalog import file_kinds as kinds
from grpcsecure.tls.files import FileForm, PemFile
from grpcsecure.tls.pem import (
    CERTIFICATE_LABELS,
    CRL_LABEL,
    ENCRYPTED_KEY_LABEL,
    ESCAPED,
    JOINED,
    KEY_LABELS,
    ONE_LINE,
    BrokenBlock,
    PemBlock,
)
from grpcsecure.watch.raw_file import UnreadableFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from grpcsecure.checking.key_files.file_uses import FileUse
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.peer import Certificate
    from grpcsecure.tls.files import FileContent

__all__ = [
    "check_certificate_file",
    "check_crl_file",
    "check_key_file",
    "describe_block",
]

_REQUEST = "a certificate signing request"

_WORDS = {
    **dict.fromkeys(CERTIFICATE_LABELS, "a certificate"),
    **dict.fromkeys(KEY_LABELS, "a private key"),
    ENCRYPTED_KEY_LABEL: "an encrypted private key",
    "CERTIFICATE REQUEST": _REQUEST,
    "NEW CERTIFICATE REQUEST": _REQUEST,
    "DSA PRIVATE KEY": "a DSA key",
    "OPENSSH PRIVATE KEY": "an OpenSSH key",
    "PKCS7": "a PKCS #7 bundle",
    "PUBLIC KEY": "a public key",
    "RSA PUBLIC KEY": "a public key",
    "TRUSTED CERTIFICATE": "a certificate with OpenSSL's trust settings",
    CRL_LABEL: "a revocation list",
}

#: The help for a file that should be a certificate or a key, by its actual content.
_REMEDIES = {
    "a certificate": "name the file of the private key of the certificate",
    "a private key": "name the certificate's file; `private_key` is for keys",
    "a revocation list": "name another file; `crl` is for revocation lists",
    "an OpenSSH key": "make a key with `openssl genpkey`; OpenSSH has a format of its"
    " own",
    "a PKCS #7 bundle": "convert it with `openssl pkcs7 -print_certs`",
    "a certificate with OpenSSL's trust settings": "convert it with `openssl x509`",
    _REQUEST: "send it to the CA, and name the certificate that the CA returns",
}


def check_certificate_file(use: FileUse, content: FileContent) -> Iterator[Finding]:
    """Find problems that prevent reading a file as certificates."""
    if isinstance(content, UnreadableFile):
        yield _unreadable(use, content, PemFile.certificates)
    elif content.form is not FileForm.PEM:
        yield _no_pem(use, content, "certificate", "x509")
    else:
        found = content.certificates()
        broken = [entry for entry in found if isinstance(entry, BrokenBlock)]
        if broken:
            yield _broken(use, broken, found)
        elif not found:
            yield _other_content(use, content, "certificate")


def check_key_file(use: FileUse, content: FileContent) -> Iterator[Finding]:
    """Find problems that prevent reading a file as a private key."""
    if isinstance(content, UnreadableFile):
        yield _unreadable(use, content, PemFile.key)
    elif content.form is not FileForm.PEM:
        yield _no_pem(use, content, "private key", "pkey")
    else:
        broken = [block for block in content.blocks if isinstance(block, BrokenBlock)]
        if broken:
            yield _broken(use, broken, ())
        elif content.key() is None:
            yield _other_content(use, content, "private key")


def check_crl_file(use: FileUse, content: FileContent) -> Iterator[Finding]:
    """Find problems that prevent reading a file as revocation lists, PEM or DER."""
    if isinstance(content, UnreadableFile):
        yield _unreadable(use, content, PemFile.revocation_lists)
    elif content.form is FileForm.EMPTY:
        yield _empty(use, "revocation list")
    else:
        found = content.revocation_lists()
        broken = [entry for entry in found if isinstance(entry, BrokenBlock)]
        if broken and content.form is FileForm.PEM:
            yield _broken(use, broken, ())
        elif broken or not found:
            yield _no_revocation_list(use, content)


def _no_revocation_list(use: FileUse, content: PemFile) -> Finding:
    words = describe_block(content.blocks[0]) if content.blocks else "something else"
    return use.report(
        kinds.WRONG_CONTENT,
        f"{use.shown} contains {words}, not a revocation list",
        label="expected a revocation list, PEM or DER",
        help="name the file of a revocation list; CAs publish them",
    )


def _unreadable(
    use: FileUse, content: UnreadableFile, is_wanted: Callable[[PemFile], object]
) -> Finding:
    if not content.is_missing:
        return use.report(
            kinds.UNREADABLE_FILE,
            f"cannot read {use.shown}: {content.reason}",
            label="cannot be read",
            help="name a file that the server's user may read",
        )
    from grpcsecure.checking.key_files.missing_file import report_missing

    return report_missing(use, is_wanted)


def _no_pem(use: FileUse, content: PemFile, wanted: str, tool: str) -> Finding:
    if content.form is FileForm.EMPTY:
        return _empty(use, wanted)
    expected = f"expected a {wanted} as PEM text"
    if content.form is FileForm.DER:
        kind = describe_der(content.der) or "binary (DER)"
        return use.report(
            kinds.WRONG_CONTENT,
            f"{use.shown} is {kind}{'' if '(' in kind else ' in DER'}, not PEM",
            label=expected,
            help=_advise_der(kind, wanted, tool),
        )
    if content.form is FileForm.JKS:
        return use.report(
            kinds.WRONG_CONTENT,
            f"{use.shown} is a Java keystore, not PEM",
            label=expected,
            help="convert it with `keytool -importkeystore -deststoretype PKCS12`, then"
            f" {_FROM_PKCS12[wanted]}",
        )
    if content.form is FileForm.BASE64:
        return use.report(
            kinds.WRONG_CONTENT,
            f"{use.shown} is base64 without BEGIN and END lines",
            label=expected,
            help=f"write `-----BEGIN {_LABELS[wanted]}-----` before it and a line"
            " with END after it",
        )
    return use.report(
        kinds.WRONG_CONTENT,
        f"{use.shown} contains no PEM block",
        label=f"expected a {wanted}, beginning with `-----BEGIN`",
        help=f"name the file of the {wanted}",
    )


_LABELS = {"certificate": "CERTIFICATE", "private key": "PRIVATE KEY"}

_FROM_PKCS12 = {
    "certificate": "take it out with `openssl pkcs12 -in FILE -nokeys -out NEW`",
    "private key": "take it out with `openssl pkcs12 -in FILE -nocerts -nodes -out"
    " NEW`",
}


def _advise_der(kind: str, wanted: str, tool: str) -> str:
    if kind == "a PKCS #12 bundle":
        return _FROM_PKCS12[wanted]
    if kind == f"a {wanted}" or "(" in kind:
        return f"convert it with `openssl {tool} -inform der -in FILE -out NEW`"
    if kind == "an encrypted key" and wanted == "private key":
        return "decrypt it with `openssl pkcs8 -inform der -in FILE -out NEW`"
    return f"name the file of the {wanted}"


def _empty(use: FileUse, wanted: str) -> Finding:
    return use.report(
        kinds.EMPTY_FILE,
        f"{use.shown} is empty",
        label=f"contains no {wanted}",
        help=f"write the {wanted} into it",
    )


def _other_content(use: FileUse, content: PemFile, wanted: str) -> Finding:
    block = content.blocks[0]
    words = describe_block(block)
    return use.report(
        kinds.WRONG_CONTENT,
        f"{use.shown} contains {words}, not a {wanted}",
        label=f"expected a {wanted}",
        help=_REMEDIES.get(words, f"name the file of the {wanted}"),
    )


def describe_block(block: PemBlock | BrokenBlock) -> str:
    """Describe the kind of a PEM block; unknown labels are not shown, as file text."""
    return _WORDS.get(block.label or "", "something else")


_NEWLINES = "store it with its newlines, as it came from the CA"

_REPAIRS = {
    JOINED: "begin a new line before the second `-----BEGIN`",
    ONE_LINE: _NEWLINES,
    ESCAPED: _NEWLINES,
}


def _broken(
    use: FileUse,
    broken: list[BrokenBlock],
    found: tuple[Certificate | BrokenBlock, ...],
) -> Finding:
    first = broken[0]
    more = f", and {len(broken) - 1} more" if len(broken) > 1 else ""
    after = len(found) - 1 - found.index(first) if found else 0
    ignored = f"{after} of its blocks come after it; gRPC would ignore them"
    return use.report(
        kinds.BROKEN_BLOCK,
        f"{use.shown} has a broken block at its line {first.line}:"
        f" {first.problem}{more}",
        label=f"broken at line {first.line} of the file",
        notes=[ignored] if after else [],
        help=_REPAIRS.get(
            first.problem, "copy the block again from its source, or remove it"
        ),
    )
