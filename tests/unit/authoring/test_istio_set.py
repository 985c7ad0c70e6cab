import dataclasses

import pytest

from extauthz.authoring.istio_read import Authentication, Authorization, IstioRule
from extauthz.authoring.istio_set import Workload, import_set
from extauthz.errors import ConfigurationError
from tests.policies import parse

WORKLOAD = Workload(None, "istio-system", {}, frozenset(), "cluster.local", hosts_without_port=False)
ANY = IstioRule((), (), ())


def policy(name="p", action="ALLOW", *, rules=(ANY,), namespace="shop", labels=None, targets=(), is_enforced=True):
    return Authorization(
        f"AuthorizationPolicy {namespace}/{name}", name, namespace, labels or {}, targets, action, is_enforced, rules
    )


def decided(*policies):
    """What the set's one route has: the conditions that deny, the names of the rules that allow."""
    imported = import_set(policies, WORKLOAD)
    policy_set = parse(imported.text).policy_set
    (route,) = policy_set.routes
    denies = [rule.id for rule in route.deny]
    return denies, [rule.id for rule in route.allow], imported.left_out


def test_no_rule_and_the_empty_rule_differ():
    """Without rules an ALLOW policy matches nothing, and there is one; an empty rule matches all."""
    assert decided(policy(rules=()))[1] == ["all.allow.nobody"]
    assert decided(policy())[1] == ["all.allow.shop/p[0]"]
    assert decided(policy("d", "DENY", rules=()))[:2] == ([], ["all.allow.all"])
    assert len(decided(policy("d", "DENY"))[0]) == 1


def test_what_decides_nothing_is_left_out():
    """AUDIT and dry runs; a CUSTOM policy denies instead. All of them are reported."""
    for left_out in (policy("a", "AUDIT"), policy("d", "DENY", is_enforced=False), policy("w", is_enforced=False)):
        denies, allows, told = decided(left_out)
        assert (denies, allows) == ([], ["all.allow.all"])
        assert len(told) == 1
    denies, _, told = decided(policy("c", "CUSTOM"))
    assert len(denies) == len(told) == 1


def test_policies_of_other_workloads_are_told_apart():
    """By namespace, labels and targets; the root namespace's are for all."""
    objects = [
        policy("mesh", "DENY", namespace="istio-system"),
        policy("other", namespace="till"),
        policy("labelled", labels={"app": "orders"}),
        policy("gateway", targets=("Gateway/web",)),
    ]
    workload = dataclasses.replace(
        WORKLOAD, namespace="shop", labels={"app": "cart"}, targets=frozenset({"Service/orders"})
    )
    imported = import_set(objects, workload)
    assert [line.partition("/")[2] for line in imported.not_for_workload] == ["other", "labelled", "gateway"]
    assert "istio-system/mesh[0]" in imported.text


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([policy(), policy(namespace="till")], "choose by --namespace shop or till"),
        ([policy(labels={"app": "orders"})], "as in --label app=orders"),
        ([policy(targets=("Gateway/web",))], "is for Gateway/web: say by --target"),
    ],
)
def test_workload_must_be_said_where_it_matters(objects, message):
    """None is guessed."""
    with pytest.raises(ConfigurationError) as caught:
        import_set(objects, WORKLOAD)
    assert message in str(caught.value)


def test_two_rules_of_one_issuer_are_refused():
    """A token's issuer chooses its provider."""
    rule = {"issuer": "https://issuer.example", "forwardOriginalToken": True}
    with pytest.raises(ConfigurationError, match="another jwtRule has this issuer"):
        import_set([Authentication("R shop/r", "r", "shop", {}, (), (rule, rule))], WORKLOAD)
