import pytest

from extauthz.lowering import expression as cel
from extauthz.lowering.formula import ALWAYS, Cel, Conjunction, Match, one_holds
from extauthz.lowering.rbac import classifying_filter, enforcing_filter, one_policy_each, policy


def test_the_enforcing_filter_has_allow_rules_alone():
    """A condition that errs under DENY would let the request through."""
    config = enforcing_filter("n", "p_", {"allow_a": Conjunction(None, cel.has_header("x"))})["typed_config"]
    assert config["rules"]["action"] == "ALLOW"
    assert config["rules_stat_prefix"] == "p_"
    assert "shadow_rules" not in config


def test_a_classifying_filter_stops_nobody():
    """It has shadow rules and nothing else."""
    config = classifying_filter("n", "p_", one_policy_each({"a": ALWAYS, "b": Match({"any": True})}))["typed_config"]
    assert sorted(config["shadow_rules"]["policies"]) == ["a", "b"]
    assert config["shadow_rules_stat_prefix"] == "p_"
    assert "rules" not in config


def test_a_class_is_one_policy():
    """A formula with alternatives of its own would need two names."""
    with pytest.raises(ValueError, match="unpack"):
        one_policy_each({"a": one_holds(Match({"any": True}), Cel(cel.has_header("x")))})


def test_a_condition_brings_its_configuration():
    """Without it Envoy loads an expression that joins texts, and it never matches."""
    assert "cel_config" not in policy(Conjunction({"any": True}, None))
    assert policy(Conjunction(None, cel.has_header("x")))["cel_config"]["enable_string_concat"] is True
    assert policy(Conjunction(None, cel.has_header("x")))["principals"] == [{"any": True}]
