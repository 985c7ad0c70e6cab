from extauthz.telemetry.status import FailedLoad


def test_the_policy_in_force_is_described(listener):
    """Routes with their rules and places, warnings as the author sees them."""
    policy = listener.request("GET", "/v1/policy").json()
    assert (policy["name"], policy["revision"]) == ("test", "000000000000")
    assert policy["loaded_at"] == "2027-01-15T08:00:00.000Z"
    assert policy["warnings"] == ["policy.yaml:3:5: EAZ900 warning: be careful"]
    assert policy["failed_load"] is None
    assert policy["routes"][1] == {
        "name": "*.h.example/a/{x}",
        "host": "*.h.example",
        "path": "/a/{x}",
        "methods": ["GET"],
        "authentication": "none",
        "public": True,
        "providers": [],
        "deny": [],
        "require": [],
        "allow": ["route.allow.rule"],
        "defined_at": "test.yaml:1:1",
    }


def test_why_the_files_are_not_in_force_is_told(listener):
    """All of it: this is for this machine alone."""
    listener.status.failed_load = FailedLoad("policy.yaml:1:1: EAZ201 wrong", at=1_800_000_060.0)
    assert listener.request("GET", "/v1/policy").json()["failed_load"] == {
        "at": "2027-01-15T08:01:00.000Z",
        "message": "policy.yaml:1:1: EAZ201 wrong",
    }


def test_before_a_policy_there_is_none(listener):
    """503, as for requests."""
    listener.status.policy = None
    assert listener.request("GET", "/v1/policy").status_code == 503
