import pytest

from extauthz.telemetry.status import KeySetState, KeySetStatus, ServedPolicy, ServiceStatus
from tests.strategies import make_policy_set, make_route


@pytest.fixture
def status():
    """A service that serves one policy, with one key set that is missing and one that is current."""
    key_sets = {
        "corp": KeySetStatus(KeySetState.CURRENT, fetched_at=900.0, failures=1),
        "partner": KeySetStatus(KeySetState.MISSING, fetched_at=None, failures=3),
    }
    return ServiceStatus(
        read_key_sets=lambda: key_sets,
        policy=ServedPolicy(make_policy_set(make_route("/open")), warnings=(), loaded_at=500.0),
    )
