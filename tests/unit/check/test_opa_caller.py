import dataclasses

import pytest

from extauthz.authn.authenticator import KeySets, NeedKeySet, VerifiedTokens
from extauthz.authorizer import build_snapshot
from extauthz.check.opa_caller import CallerReader
from extauthz.errors import KeySetUnavailableError
from extauthz.languages.rego import RegoEvaluationError
from extauthz.model.access import RoleHolding
from extauthz.model.policy import Anyone, Authentication, RuleKind
from extauthz.model.provider import RemoteKeys
from tests.harness.authn import NOW, bearer, make_provider, token
from tests.strategies import make_policy_set, make_route, make_rule

EVERYTHING = {()}
NOBODY = {"authenticated": False, "roles": [], "groups": [], "scopes": []}


def snapshot(**fields):
    route = dataclasses.replace(
        make_route("/people/{id}"),
        public=False,
        authentication=Authentication.OPTIONAL,
        providers=("corp",),
        allow=(make_rule(RuleKind.ALLOW, Anyone()),),
    )
    closed = dataclasses.replace(make_route("/closed"), authentication=Authentication.NONE)
    defaults = {"providers": (make_provider(),), "default_providers": ("corp",)}
    return build_snapshot(make_policy_set(route, closed, **(defaults | fields)), KeySets(), VerifiedTokens())


def tell(request, target="/people/7", *, reads=EVERYTHING, **fields):
    return CallerReader(snapshot(**fields), reads)(dataclasses.replace(request, target=target), NOW)


def test_a_caller_whose_token_is_good():
    """Who it is, what the token says, and what the route's path binds."""
    members = tell(bearer(token(sub="ann", tier="gold")))
    assert members["principal"]["subject"] == "ann"
    assert members["principal"]["authenticated"] is True
    assert members["claims"]["tier"] == "gold"
    assert members["path"] == {"id": "7"}
    assert members.keys() == {"principal", "claims", "path"}
    assert "error" not in members["principal"]


def test_nobody():
    """Without a credential there is no claim, and nothing wrong."""
    assert tell(bearer()) == {"principal": NOBODY, "claims": {}, "path": {"id": "7"}}


def test_a_token_that_proves_nothing():
    """The policy learns why, and that it is nobody: the decision is its own."""
    members = tell(bearer(token(exp=NOW - 3600)))
    assert members["principal"] == {**NOBODY, "error": "token_expired"}
    assert members["claims"] == {}


@pytest.mark.parametrize("target", ["/elsewhere", "/a//b", "/%2f"])
def test_requests_that_no_route_owns(target):
    """Their caller is told, by the providers of the set, and nothing of the path."""
    members = tell(bearer(token(sub="ann")), target)
    assert members["principal"]["subject"] == "ann"
    assert members["path"] == {}


def test_routes_that_look_at_nobody():
    """Then nobody is known."""
    assert tell(bearer(token(sub="ann")), "/closed")["principal"] == NOBODY


def test_only_what_is_read():
    """A policy that reads none of it costs no verification."""
    assert tell(bearer(token(exp=NOW - 3600)), reads={("attributes", "request")}) == {}
    assert tell(bearer(token(sub="ann")), reads={("path", "id")}) == {"path": {"id": "7"}}
    assert tell(bearer(token(sub="ann")), reads={("claims", "sub")})["claims"]["sub"] == "ann"


def test_missing_keys():
    """They are asked for; when they cannot be had, that is told."""
    remote = make_provider(keys=RemoteKeys("https://issuer.example/jwks.json"))
    need = tell(bearer(token()), providers=(remote,))
    assert isinstance(need, NeedKeySet)
    assert need.provider == remote
    key_sets = KeySets()
    state = key_sets.state_of(remote)
    state.failed("down", NOW, 60.0)
    current = build_snapshot(
        make_policy_set(make_route("/other"), providers=(remote,), default_providers=("corp",)),
        key_sets,
        VerifiedTokens(),
    )
    with pytest.raises(KeySetUnavailableError):
        CallerReader(current, EVERYTHING)(bearer(token()), NOW)


def test_roles_in_doubt():
    """A binding that cannot be evaluated is an error of the evaluation, not a role that is absent."""
    current = snapshot()
    owner, _ = current.routes.find("shop.example", ("people", "7"))
    compiled = owner.for_method("GET")
    object.__setattr__(compiled, "resolve_roles", lambda _: RoleHolding(errored=frozenset({"editor"})))
    request = dataclasses.replace(bearer(token()), target="/people/7")
    with pytest.raises(RegoEvaluationError):
        CallerReader(current, EVERYTHING)(request, NOW)
