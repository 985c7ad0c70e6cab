import pytest

from extauthz.lowering.callers import ANONYMOUS, ANYBODY, caller_of
from extauthz.lowering.formula import NotExactError, as_expr, is_always
from extauthz.lowering.upstream_headers import (
    HeaderChange,
    Profile,
    mutation_filter,
    preflight_profile,
    profile_of,
)
from extauthz.model.policy import Authentication, Binding, BindingSubject, TemplatePart, UpstreamHeader
from extauthz.model.provider import TokenLocation
from tests.harness.authn import make_provider
from tests.strategies import SPAN, make_policy_set, make_route

CORP = make_provider()
KNOWN = caller_of(CORP)


def header(name, *parts):
    return UpstreamHeader(name, tuple(TemplatePart(path=p) if isinstance(p, tuple) else TemplatePart(p) for p in parts))


def changes(*headers, caller=KNOWN, owned=("x-user",), path="/a/{id}", **fields):
    route = make_route(path, upstream_headers=headers, authentication=Authentication.OPTIONAL)
    profile, exact = profile_of(make_policy_set(route, owned_headers=owned, **fields), route, caller)
    return {change.name: change.value for change in profile.changes}, exact


def test_the_subject_is_written_from_the_token():
    """Only where it is what a header can carry."""
    found, exact = changes(header("x-user", ("principal", "subject")))
    assert found == {"x-user": "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:claims_corp:sub)%"}
    assert as_expr(exact) is not None


@pytest.mark.parametrize("caller", [ANONYMOUS, ANYBODY])
@pytest.mark.parametrize("part", ["subject", "provider", "roles", "groups", "scopes"])
def test_nobody_has_no_headers(caller, part):
    """What the client sent under the name is removed."""
    found, exact = changes(header("x-user", "u-", ("principal", part)), caller=caller)
    assert found == {"x-user": None}
    assert is_always(exact)


def test_a_claim_of_nobody_and_a_variable_of_another_route_are_absent():
    """One absent fact removes the whole header."""
    assert changes(header("x-user", ("claims", "a")), caller=ANONYMOUS)[0] == {"x-user": None}
    assert changes(header("x-user", "p-", ("path", "other")))[0] == {"x-user": None}


def test_text_around_facts_is_written_literally():
    """A percent sign would begin a command."""
    found, _ = changes(header("x-user", "100%-", ("principal", "provider")))
    assert found == {"x-user": "100%%-corp"}


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ([("path", "id")], "path.id"),
        ([("principal", "groups")], "principal.groups"),
        ([("principal", "scopes")], "principal.scopes"),
        ([("claims", "https://x/y")], "cannot name"),
    ],
)
def test_what_envoy_cannot_write_is_not_exact(parts, why):
    """The route's requests are then the authorizer's."""
    with pytest.raises(NotExactError, match=f"the header x-user: .*{why}"):
        changes(header("x-user", *parts))


def test_roles_of_workloads_are_not_exact():
    """A route without authentication may still give roles."""
    route = make_route(upstream_headers=(header("x-user", ("principal", "roles")),))
    bindings = (Binding("reader", (BindingSubject(workload="spiffe://d/w"),), None, SPAN),)
    with pytest.raises(NotExactError):
        profile_of(make_policy_set(route, owned_headers=("x-user",), bindings=bindings), route, ANYBODY)


def test_what_is_removed_from_every_request_is_not_removed_again():
    """But a header that carries a credential stays until the decision, and what only the route removes."""
    session = make_provider(tokens=(TokenLocation(header="x-token"),))
    found, _ = changes(UpstreamHeader("cookie", None), owned=("x-user", "x-token"), providers=(session,))
    assert found == {"cookie": None, "x-token": None, "x_token": None}


def test_a_preflight_carries_no_owned_header():
    """Whatever the route sets."""
    session = make_provider(tokens=(TokenLocation(header="x-token"),))
    profile = preflight_profile(make_policy_set(owned_headers=("x-token", "x-user"), providers=(session,)))
    assert profile.changes == (HeaderChange("x-token", None), HeaderChange("x_token", None))


def test_a_header_is_removed_before_it_is_set():
    """An empty value sets nothing, and the client's own must not stay."""
    filter_ = mutation_filter(Profile((HeaderChange("x-user", "v"),)), "allow_0001_", "key")
    assert filter_ is not None
    inner = filter_["typed_config"]["extension_config"]["typed_config"]["mutations"]["request_mutations"]
    assert inner[0] == {"remove": "x-user"}
    assert inner[1]["append"]["append_action"] == "OVERWRITE_IF_EXISTS_OR_ADD"


def test_a_filter_is_skipped_unless_its_profile_was_chosen():
    """Without metadata, too: the authorizer has then changed the headers."""
    filter_ = mutation_filter(Profile((HeaderChange("x-user", None),)), "allow_0001_", "key")
    assert filter_ is not None
    (matcher,) = filter_["typed_config"]["xds_matcher"]["matcher_list"]["matchers"]
    chosen = matcher["predicate"]["not_matcher"]["single_predicate"]["custom_match"]["typed_config"]["value"]
    assert chosen == {"string_match": {"prefix": "allow_0001_"}}
    assert matcher["on_match"]["action"]["name"] == "skip"
    assert mutation_filter(Profile(()), "allow_0001_", "key") is None
