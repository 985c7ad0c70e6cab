import pytest

from extauthz.authoring.istio_match import Bounds, Circumstances, all_of, any_of, exact, negated, rule_bounds
from extauthz.authoring.istio_read import IstioRule, Matching
from extauthz.errors import ConfigurationError

PLAIN = Circumstances("cluster.local", hosts_without_port=False, hidden_headers=frozenset({"authorization"}))


def bounds(key, *values, circumstances=PLAIN, told=None):
    rule = IstioRule((), (), (Matching(key, values, ()),))
    return rule_bounds(rule, circumstances, "rules[0]", (told if told is not None else []).append)


def test_negation_swaps_the_bounds():
    """What holds only where the other does becomes what holds wherever it does."""
    assert negated(Bounds("a", "b")) == Bounds("!(b)", "!(a)")
    assert negated(Bounds("false", "true")) == Bounds("false", "true")
    assert any_of([]) == exact("false")
    assert all_of([]) == exact("true")
    assert any_of([exact("a"), Bounds("false", "true")]) == Bounds("a", "true")
    assert all_of([exact("a"), Bounds("false", "true")]) == Bounds("false", "a")


def test_hosts_are_bounded():
    """The port that Istio sees is not seen here, unless the proxy strips it."""
    told: list[str] = []
    assert bounds("hosts", "Shop.example", told=told) == Bounds("false", 'request.host == "shop.example"')
    assert told == ["hosts Shop.example"]
    stripped = Circumstances("cluster.local", hosts_without_port=True, hidden_headers=frozenset())
    assert bounds("hosts", "*.example", circumstances=stripped) == exact('request.host.endsWith(".example")')


@pytest.mark.parametrize(
    "key", ["remote.ip", "connection.sni", "request.headers[authorization]", "request.headers[:path]"]
)
def test_what_cannot_be_read_is_unknown(key):
    """An ALLOW rule never matches by it, a DENY rule always."""
    assert bounds(key, "x") == Bounds("false", "true")


def test_own_trust_domain_has_two_names():
    """cluster.local stands for the mesh's."""
    mesh = Circumstances("td1", hosts_without_port=False, hidden_headers=frozenset())
    found = bounds("source.principal", "cluster.local/ns/a/sa/b", circumstances=mesh).under
    assert '"spiffe://cluster.local/ns/a/sa/b"' in found
    assert '"spiffe://td1/ns/a/sa/b"' in found


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("ports", "http", "'http' is no port"),
        ("source.ip", "10.0.0", "'10.0.0' is no address and no network"),
        ("paths", "/a{*}", "'/a{*}' is no path template"),
        ("paths", "/{*}/b*", "'/{*}/b*' is no path template"),
        ("source.colour", "x", "Istio knows no attribute 'source.colour'"),
    ],
)
def test_malformed_patterns_are_refused(key, value, message):
    """With the rule's place."""
    with pytest.raises(ConfigurationError, match="rules\\[0\\]: ") as caught:
        bounds(key, value)
    assert message in str(caught.value)
