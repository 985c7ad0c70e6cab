import pytest

from bench.reload import reload_under_load

pytestmark = pytest.mark.envoy


@pytest.mark.parametrize("workers", [1, 2])
def test_policy_changes_under_load_are_seen_by_nobody(h2load, envoy, tmp_path, workers):
    """No request fails, none is decided by a mix of two sets, and each by one that was in force at its time."""
    reloading = reload_under_load(tmp_path, changes=20, requests=20_000, workers=workers)
    assert reloading.requests >= 20_000
    assert reloading.generations_seen >= 15, "the changes were made while requests were decided"
