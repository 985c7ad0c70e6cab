from __future__ import annotations

import pytest

from extauthz.mesh.identity import check_identity, check_trust_domain, control_identity, workload_identity


def test_identities_that_the_standard_allows():
    """What is made here is accepted here."""
    for made in (workload_identity("cluster.local", "shop", "orders"), control_identity("cluster.local")):
        assert check_identity(made) == made
    assert check_trust_domain("cluster.local") == "cluster.local"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "spiffe://cluster.local",
        "spiffe://cluster.local/",
        "spiffe://cluster.local/ns//sa",
        "spiffe://cluster.local/ns/../sa",
        "spiffe://Cluster.local/ns/a",
        "https://cluster.local/ns/a",
        "spiffe://cluster.local/ns/a?x",
        "spiffe://cluster.local/ns/a\n",
        "spiffe://cluster.local/**",
        "spiffe://cluster.local/" + "a" * 2048,
    ],
)
def test_what_is_no_identity(text):
    """No two readers may take it for different workloads."""
    with pytest.raises(ValueError, match="is no identity"):
        check_identity(text)


@pytest.mark.parametrize("text", ["", "a b", "A", "a/b"])
def test_what_is_no_trust_domain(text):
    """It becomes part of every identity."""
    with pytest.raises(ValueError, match="is no trust domain"):
        check_trust_domain(text)
