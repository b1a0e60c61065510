"""Configs that name real files, and the findings about them."""

from __future__ import annotations

import textwrap
from datetime import datetime, timedelta, timezone

from grpcsecure.checking.key_files.key_material import check_files
from grpcsecure.config.load import parse_config
from grpcsecure.config.source import Source

NOW = datetime.now(timezone.utc)

#: A time at which certificates that `openssl` makes in a test are valid.
LATER = NOW + timedelta(hours=1)

#: The keys that name a file.
C, K, A = "certificate", "private_key", "client_ca"


def listener(name="public", *, port=8443, **tls):
    """Return the YAML of a listener; `tls` overrides good settings."""
    settings = {
        "certificate": "certs/server.pem",
        "private_key": "certs/server.key",
        "client_certificate": "require_and_verify",
        "client_ca": "certs/ca.pem",
        **tls,
    }
    lines = "".join(f"\n    {key}: {value}" for key, value in settings.items())
    return f"{name}:\n  address: 127.0.0.1:{port}\n  tls:{lines}\n"


def load(folder, *listeners, environ=None):
    """Return the document of a config with these listeners."""
    body = textwrap.indent("".join(listeners), "  ")
    text = f"version: 1\nservices: [{{servicer: 'x:Y'}}]\nlisteners:\n{body}"
    source = Source(name="example.yaml", directory=folder, text=text)
    parsed = parse_config(source, profile=None, environ=environ or {})
    assert parsed.document is not None, parsed.findings
    return parsed.document


def check(folder, *listeners, now=NOW, environ=None):
    """Return the findings about a config, each with the key and text it points to."""
    document = load(folder, *(listeners or (listener(),)), environ=environ)
    findings, materials = check_files(document, now)
    fatal = (one for one in findings if not one.kind.applies_on_reload)
    assert bool(materials) is not any(finding.is_error for finding in fatal)
    return [(finding, pointed_at(document, finding.span)) for finding in findings]


def pointed_at(document, span):
    """Return the key and the text at a place, as in `certificate: x`."""
    line = document.source.text.splitlines()[span.line - 1]
    key = line[: span.column - 1].strip()
    return f"{key} {line[span.column - 1 : span.end_column - 1]}"


def specimen(name):
    """Return the settings of a broken server certificate."""
    stem = f"certs/broken/server-{name}"
    return {"certificate": f"{stem}.pem", "private_key": f"{stem}.key"}
