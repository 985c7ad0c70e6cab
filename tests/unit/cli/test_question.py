from dataclasses import replace
from pathlib import Path

import pytest

from extauthz.cli.options import RequestFlags
from extauthz.cli.question import ask, only_host, principal_as
from extauthz.errors import ConfigurationError
from extauthz.model.access import Principal
from extauthz.model.decision import Reason
from extauthz.model.policy import HostPattern
from tests.suites import SHOP, shop

FLAGS = RequestFlags(path="/orders", at="2026-03-02T10:00:00Z")


@pytest.fixture
def policy(tmp_path) -> Path:
    file = Path(tmp_path, "policy.yaml")
    file.write_text(SHOP)
    return file


def test_question_is_answered_as_in_service(policy):
    """The request is the one that Envoy would send, the time the one given."""
    asked = ask([policy], None, FLAGS)
    assert (asked.request.method, asked.request.host, asked.now) == ("GET", "shop.example", 1_772_445_600.0)
    assert asked.answer.decision.reason is Reason.CREDENTIAL_MISSING
    assert asked.principal is None


def test_claims_make_a_principal_that_nobody_verified(policy):
    """It is kept, so that the answer can be explained for the same caller."""
    asked = ask([policy], None, replace(FLAGS, claims='{"sub": "a", "roles": ["reader"]}'))
    assert asked.answer.decision.reason is Reason.ALLOWED
    assert asked.principal is not None
    assert asked.principal.roles == ("reader",)


def test_claims_are_mapped_as_the_provider_says():
    """One provider needs no issuer; whoever is not of the policy is refused."""
    assert principal_as(shop(), '{"sub": "a"}') == Principal(True, "a", "corp", claims={"sub": "a"})
    with pytest.raises(ConfigurationError, match="set iss to an issuer of the policy"):
        principal_as(shop(), '{"sub": "a", "iss": "https://other.example"}')


def test_default_host_is_never_a_guess():
    """Only a set that names exactly one host lends it to a sample."""
    policy_set = shop()
    assert only_host(policy_set) == "shop.example"

    def with_hosts(*hosts: HostPattern | None) -> str:
        routes = tuple(replace(policy_set.routes[0], host=host) for host in hosts)
        return only_host(replace(policy_set, routes=routes))

    assert with_hosts(HostPattern("a"), None) == "a"
    assert with_hosts(HostPattern("a"), HostPattern("b")) == "localhost"
    assert with_hosts(HostPattern("a", suffix=True)) == "localhost"
    assert with_hosts(None) == "localhost"
