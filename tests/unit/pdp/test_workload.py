import pytest

from extauthz.pdp.workload import workload_matches, workload_of
from tests.strategies import Request


@pytest.mark.parametrize(
    ("identity", "is_workload"),
    [
        ("spiffe://cluster.local/ns/shop/sa/cart", True),
        ("spiffe://other.local/ns/shop/sa/cart", False),
        ("spiffe://cluster.local.evil/ns/shop", False),
        ("spiffe://cluster.local", False),
        ("spiffe://cluster.local/", False),
        ("CN=cart", False),
        ("", False),
    ],
)
def test_only_spiffe_ids_of_a_trusted_domain_are_workloads(identity, is_workload):
    """The peer's identity counts when it is a SPIFFE ID with a path and its trust domain is ours."""
    assert workload_of(Request(peer_identity=identity), ("cluster.local",)) == (identity if is_workload else None)


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("spiffe://d/ns/a/sa/x", True),
        ("spiffe://d/ns/a/**", True),
        ("spiffe://d/**", True),
        ("spiffe://d/ns/a/sa/x/**", False),
        ("spiffe://d/ns/a/sa/", False),
        ("spiffe://d/ns/a/sa", False),
        ("spiffe://d/ns/aa/**", False),
    ],
)
def test_a_final_rest_matches_what_lies_below(pattern, matches):
    """Exact, or below the path before `/**`; never a mere text prefix, never the parent itself."""
    assert workload_matches("spiffe://d/ns/a/sa/x", pattern) is matches
