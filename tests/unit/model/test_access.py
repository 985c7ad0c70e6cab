from extauthz.model.access import ANONYMOUS, Facts, Principal, RoleHolding
from tests.strategies import Request


def test_roles_are_resolved_at_the_first_read_and_once():
    """A request whose rules ask for no role pays for none."""
    calls = []

    def resolve(facts):
        calls.append(facts)
        return RoleHolding(frozenset({"reader"}))

    facts = Facts(
        request=Request(), host="h", path="/", path_variables={}, principal=ANONYMOUS, now=0.0, resolve_roles=resolve
    )
    assert calls == []
    assert facts.roles is facts.roles
    assert facts.roles.held == {"reader"}
    assert calls == [facts]


def test_what_was_derived_from_a_principal_does_not_make_it_another():
    """The memo is no part of who asks."""
    one, other = Principal(True, "alice"), Principal(True, "alice")
    one.derived["roles"] = 1
    assert one == other
