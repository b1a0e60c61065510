"""A revocation list in the `client_ca` file is used or refused, also by a reload."""

from __future__ import annotations

import pytest
from support.reloading import (
    Site,
    channel,
    client,
    refusal,
    serving,
    text_of,
)

import grpcsecure


def is_refused(running, own):
    """Whether a call on a new connection is refused."""
    with channel(running.site, running.address, own) as stub:
        return refusal(stub) is not None


def test_list_is_used_where_crl_names_the_file(tmp_path):
    """In handshakes, at the next call of an open connection, and after a reload."""
    site = Site(tmp_path, "bridge", crl=["ca.pem"])
    first, second = client("dns:first.test", site.ca), client("dns:b.test", site.ca)
    site.put("ca.pem", text_of(site.ca) + site.revoke(first))
    with serving(site) as running:
        assert is_refused(running, first)
        with channel(site, running.address, second) as stub:
            assert refusal(stub) is None
            site.put("ca.pem", site.revoke(second) + text_of(site.ca))
            running.applied()
            assert refusal(stub) is not None
        assert is_refused(running, second)
        assert not is_refused(running, first)


@pytest.mark.parametrize("engine", ["grpc", "bridge"])
def test_list_is_refused_elsewhere(tmp_path, engine):
    """A reload is rejected and changes nothing; the server does not start."""
    site = Site(tmp_path, engine)
    own = client("dns:a.test", site.ca)
    with serving(site) as running:
        site.put("ca.pem", text_of(site.ca) + site.revoke(own))
        assert "GS236 `ca.pem` contains a revoc" in running.rejected()["findings"]
        assert not is_refused(running, own)
    with pytest.raises(grpcsecure.ConfigError, match="GS236"):
        grpcsecure.load(site.path)
