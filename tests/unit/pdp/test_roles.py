from extauthz.model.access import ANONYMOUS, Principal, RoleHolding
from extauthz.model.decision import Outcome
from extauthz.model.policy import Authentication, Binding, BindingSubject, Role
from extauthz.pdp.roles import RoleResolver, binds
from tests.strategies import SPAN, FixedCondition, Request, make_facts

ROLES = {
    "reader": Role("reader", frozenset({"reader"}), frozenset({"orders:read"})),
    "editor": Role("editor", frozenset({"editor", "reader"}), frozenset({"orders:read", "orders:write"})),
}


def alice(**fields):
    return Principal(True, "alice", "corp", **fields)


def binding(role, *subjects, when=None):
    return Binding(role, subjects, FixedCondition(when) if when else None, SPAN)


def held(bindings, principal, authentication=Authentication.REQUIRED, **request):
    resolver = RoleResolver(ROLES, bindings, ("cluster.local",))
    return resolver.for_route(authentication)(make_facts(Request(**request), principal))


def test_asserted_roles_bring_what_they_inherit_and_unknown_ones_bring_nothing():
    """Only declared roles count, each with its closure."""
    assert held([], alice(roles=("editor", "ghost"))).held == {"editor", "reader"}


def test_a_bindings_subjects_are_or_and_one_items_keys_are_and():
    """An item binds when all it names is true of the caller; one such item is enough."""
    bindings = [binding("editor", BindingSubject(group="staff", provider="corp"), BindingSubject(subject="bob"))]
    assert held(bindings, alice(groups=("staff",))).held == {"editor", "reader"}
    assert held(bindings, Principal(True, "alice", "other", groups=("staff",))).held == set()
    assert held(bindings, Principal(True, "bob", "other")).held == {"editor", "reader"}
    assert held(bindings, alice()).held == set()


def test_a_condition_that_errors_makes_the_role_errored_and_not_absent():
    """With all that the role inherits, unless held otherwise."""
    bindings = [binding("editor", BindingSubject(provider="corp"), when=Outcome.ERRORED)]
    assert held(bindings, alice()) == RoleHolding(frozenset(), frozenset({"editor", "reader"}))
    assert held(bindings, alice(roles=("reader",))) == RoleHolding(frozenset({"reader"}), frozenset({"editor"}))
    assert held(bindings, alice(roles=("editor",))).errored == set()


def test_a_condition_scopes_the_role():
    """The role is held exactly where the condition holds."""
    for outcome, roles in ((Outcome.SATISFIED, {"reader"}), (Outcome.UNSATISFIED, set())):
        bindings = [binding("reader", BindingSubject(provider="corp"), when=outcome)]
        assert held(bindings, alice()) == RoleHolding(frozenset(roles))


def test_workloads_are_bound_only_where_authentication_is_none():
    """A sidecar's identity is not the end user's: on a route that authenticates callers it gives no role."""
    bindings = [binding("reader", BindingSubject(workload="spiffe://cluster.local/ns/shop/**"))]
    identity = {"peer_identity": "spiffe://cluster.local/ns/shop/sa/cart"}
    assert held(bindings, ANONYMOUS, Authentication.NONE, **identity).held == {"reader"}
    assert held(bindings, ANONYMOUS, Authentication.OPTIONAL, **identity).held == set()
    assert held(bindings, alice(), Authentication.REQUIRED, **identity).held == set()
    assert held(bindings, ANONYMOUS, Authentication.NONE, peer_identity="spiffe://evil/ns/shop/x").held == set()
    both = [binding("reader", BindingSubject(workload="spiffe://cluster.local/**", subject="alice"))]
    assert held(both, ANONYMOUS, Authentication.NONE, **identity).held == set()


def test_the_anonymous_hold_nothing():
    """No credential, no role, whatever the bindings."""
    bindings = [binding("reader", BindingSubject(provider="corp")), binding("editor", BindingSubject(group="staff"))]
    assert held(bindings, ANONYMOUS) == RoleHolding()


def test_standing_roles_are_resolved_once_per_principal():
    """The second request of a cached principal finds the first one's answer."""
    resolver = RoleResolver(ROLES, [binding("reader", BindingSubject(subject="alice"))], ())
    principal = alice()
    assert resolver.standing(principal) is resolver.standing(principal)


def test_whom_a_binding_binds_can_be_asked():
    """For explanations: the same subjects as when roles are resolved, whatever the binding's condition says."""
    workload = BindingSubject(workload="spiffe://cluster.local/a")
    peer = make_facts(Request(peer_identity="spiffe://cluster.local/a"), ANONYMOUS)
    caller = make_facts(Request(), alice())
    assert binds(BindingSubject(subject="alice"), caller, Authentication.REQUIRED, ())
    assert not binds(BindingSubject(subject="bob"), caller, Authentication.REQUIRED, ())
    assert not binds(BindingSubject(provider="corp"), make_facts(Request(), ANONYMOUS), Authentication.OPTIONAL, ())
    assert binds(workload, peer, Authentication.NONE, ["cluster.local"])
    assert not binds(workload, peer, Authentication.OPTIONAL, ["cluster.local"])
    assert not binds(workload, peer, Authentication.NONE, [])
