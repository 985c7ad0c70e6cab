from tests.envoy_configurations import filters, found, jwt_authn, rbac

LAX = jwt_authn(
    "rules: [{match: {prefix: /}, requires: {requires_any: {requirements: [{allow_missing_or_failed: {}}]}}}]"
)
BY_PAYLOAD = "rules: {policies: {a: {principals: [{metadata: {filter: envoy.filters.http.jwt_authn}}]}}}"


def test_what_lets_forged_tokens_through_is_found():
    """However deep in the requirements."""
    assert len(found("EAE402", filters(LAX))) == 1
    extracting = jwt_authn("rules: [{requires: {extract_only_without_validation: {}}}]")
    assert len(found("EAE402", filters(extracting))) == 1
    assert found("EAE402", filters(jwt_authn("rules: [{requires: {allow_missing: {}}}]"))) == []


def test_a_later_decision_by_what_was_verified_makes_up_for_it():
    """One before it, or about something else, does not."""
    assert found("EAE402", filters(LAX, rbac(BY_PAYLOAD))) == []
    assert len(found("EAE402", filters(rbac(BY_PAYLOAD), LAX))) == 1
    assert len(found("EAE402", filters(LAX, rbac()))) == 1
