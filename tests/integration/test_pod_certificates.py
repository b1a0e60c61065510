"""Kubernetes' pod certificates and trust bundles: projected files, swapped as a whole.

A pod certificate is one file, a credential bundle: a PKCS #8 key and then the chain. A
ClusterTrustBundle is a file of CAs. Both are renewed by a swap of `..data`.
"""

from __future__ import annotations

import os
from datetime import datetime, timezone

import pytest
from support.mounted_files import Volume
from support.reloading import (
    Site,
    authority,
    channel,
    client,
    greet,
    serial_of,
    serving,
    text_of,
)

from grpcsecure.checking.pipeline import load_config
from grpcsecure.config.source import read_source
from grpcsecure.diagnostics.findings import Finding

BUNDLE = "credentialbundle.pem"
TRUST = "trust-bundle.pem"


def bundle(pair):
    """Return a credential bundle: the key first."""
    text = pair.key_pem.decode() + text_of(pair)
    assert text.startswith("-----BEGIN PRIVATE KEY-----\n")
    return text


@pytest.fixture(name="site", params=["grpc", "bridge"])
def _site(request, tmp_path):
    """A site of each engine."""
    return Site(tmp_path, request.param)


def mount(site, *authorities):
    """Mount the projected volume, and name its files in the config."""
    volume = Volume(site.folder / "tls", contents(site.pair, *authorities))
    path = f"tls/{BUNDLE}"
    site.tls.update(certificate=path, private_key=path, client_ca=f"tls/{TRUST}")
    site.write()
    return volume


def contents(pair, *authorities):
    """Return the files of the projected volume."""
    return {BUNDLE: bundle(pair), TRUST: text_of(*authorities)}


def test_swaps_of_a_credential_bundle_and_a_trust_bundle(site):
    """Each swap is one reload: a renewed certificate, then a CA beside the first."""
    ada = client("dns:ada.test", site.ca)
    later = authority("later")
    bob = client("dns:bob.test", later)
    volume = mount(site, site.ca)
    with serving(site) as served:
        assert serial_of(site, served.address, ada) == (
            site.pair.certificate.serial_number
        )
        renewed = site.new_pair()
        volume.swap(contents(renewed, site.ca))
        assert served.applied()["generation"] == "1 -> 2"
        assert serial_of(site, served.address, ada) == renewed.certificate.serial_number
        volume.swap(contents(renewed, site.ca, later))
        assert served.applied()["generation"] == "2 -> 3"
        for own in (ada, bob):
            with channel(site, served.address, own) as greeter:
                assert "verified on public" in greet(greeter)
        served.expect_nothing_more()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_findings_about_a_mounted_bundle(site, tmp_path):
    """The key first in the certificate's file, of the server's user alone, is right."""
    mount(site, site.ca)
    path = (tmp_path / "tls" / BUNDLE).resolve()
    os.chown(path, 65532, 65532)  # as with `runAsUser`
    path.chmod(0o600)
    assert codes(site) == ["GS213", "GS410"]
    path.chmod(0o640)  # as with `fsGroup` too: a group of this pod
    assert codes(site) == ["GS213", "GS410"]
    for mode in (0o660, 0o644):
        path.chmod(mode)
        assert codes(site) == ["GS213", "GS227", "GS410"]


def codes(site):
    """Return the codes of all findings."""
    source = read_source(str(site.path))
    assert not isinstance(source, Finding)
    loaded = load_config(
        source, profile=None, environ={}, now=datetime.now(timezone.utc)
    )
    return sorted({finding.code for finding in loaded.findings})
