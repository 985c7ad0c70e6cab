"""Alert rules and dashboard: what they ask Prometheus for is there, in the metrics of a real service."""

import json
import re
from itertools import chain

import promql_parser
import pytest
import yaml

from extauthz.check.response import ANSWERS
from extauthz.model.decision import Effect, Reason

TARGET_LABELS = {"job", "instance"}
"""What Prometheus itself puts on every series of a target."""

KNOWN_VALUES = {
    "effect": {str(effect) for effect in Effect},
    "reason": {str(reason) for reason in Reason},
}


def nodes(expression, kind):
    """An expression's parts of this kind, parsed by Prometheus' own grammar."""
    found: list[promql_parser.Expr] = []
    promql_parser.walk(promql_parser.parse(expression), pre_visit=found.append)
    return [node for node in found if isinstance(node, kind)]


def selectors(expression):
    return nodes(expression, promql_parser.VectorSelector)


def groupings(expression):
    """The labels that its aggregations keep or drop."""
    modifiers = [node.modifier for node in nodes(expression, promql_parser.AggregateExpr)]
    return set(chain.from_iterable(modifier.labels for modifier in modifiers if modifier is not None))


def alternatives(matcher):
    """The texts that a matcher names: one, or those of a regular expression that is a list."""
    return matcher.value.split("|")


def problems(expression, exposed):
    """What an expression asks for and no service exposes."""
    available = {**{name: labels | TARGET_LABELS for name, labels in exposed.items()}, "up": TARGET_LABELS}
    for selector in selectors(expression):
        if selector.name not in available:
            yield f"no metric {selector.name}"
            continue
        for matcher in selector.matchers.matchers:
            if matcher.name not in available[selector.name]:
                yield f"{selector.name} has no label {matcher.name}"
            elif matcher.name in KNOWN_VALUES:
                unknown = set(alternatives(matcher)) - KNOWN_VALUES[matcher.name]
                if unknown:
                    yield f"{matcher.name} is never {sorted(unknown)}"
    named = set().union(*(available.get(selector.name, set()) for selector in selectors(expression)))
    for label in groupings(expression) - named:
        yield f"nothing has the label {label} to group by"


@pytest.fixture(scope="module")
def alerts(deploy):
    (group,) = yaml.safe_load((deploy / "prometheus" / "alerts.yaml").read_text())["groups"]
    return group["rules"]


@pytest.fixture(scope="module")
def dashboard(deploy):
    return json.loads((deploy / "grafana" / "extauthz.json").read_text())


def dashboard_expressions(dashboard):
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            # Grafana puts these in before Prometheus sees the expression.
            yield target["expr"].replace("$__rate_interval", "5m").replace("$job", "extauthz")


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("rate(extauthz_decision_total[5m])", "no metric extauthz_decision_total"),
        ('extauthz_decisions_total{verdict="deny"}', "no label verdict"),
        ('extauthz_decisions_total{reason=~"overloaded|tired"}', "never ['tired']"),
        ("sum by (worker) (extauthz_ready)", "the label worker"),
        ('rate(extauthz_decision_seconds_bucket{path="/"}[5m])', "no label path"),
    ],
)
def test_a_wrong_expression_is_found(exposed, expression, problem):
    """What the next two tests rest on."""
    assert any(problem in found for found in problems(expression, exposed))


def test_alerts_ask_for_what_is_there(alerts, exposed):
    """Names, labels, and the reasons that they name."""
    found = {alert["alert"]: list(problems(alert["expr"], exposed)) for alert in alerts}
    assert {name: listed for name, listed in found.items() if listed} == {}
    assert len(found) == len(alerts) >= 10


def test_the_dashboard_asks_for_what_is_there(dashboard, exposed):
    """In every panel."""
    expressions = list(dashboard_expressions(dashboard))
    assert {each: listed for each in expressions if (listed := list(problems(each, exposed)))} == {}
    assert len(expressions) >= 20


def test_every_metric_of_ours_is_looked_at(alerts, dashboard, exposed):
    """A metric that neither an alert nor a panel reads is one that nobody will miss, or that was forgotten."""
    expressions = [*(alert["expr"] for alert in alerts), *dashboard_expressions(dashboard)]
    read = {selector.name for expression in expressions for selector in selectors(expression)}
    ours = {name for name in exposed if name.startswith("extauthz_") and not name.endswith("_created")}
    assert ours - read == {"extauthz_build_info"}, "which the dashboard lists its jobs by"


def test_alerts_say_whom_they_concern_and_what_to_do(alerts):
    """Every one has a severity and two texts, whose labels its expression yields."""
    for alert in alerts:
        assert alert["labels"]["severity"] in {"warning", "critical"}
        assert set(alert["annotations"]) == {"summary", "description"}
        kept = groupings(alert["expr"])
        used = set(re.findall(r"\$labels\.(\w+)", " ".join(alert["annotations"].values())))
        assert used, alert["alert"]
        if kept:
            assert used <= kept, alert["alert"]


def test_alerts_tell_could_not_decide_as_the_table_of_answers_does(alerts):
    """A reason that is added there is added here."""
    (alert,) = [each for each in alerts if each["alert"] == "ExtAuthzCannotDecide"]
    (named,) = [
        set(alternatives(matcher))
        for selector in selectors(alert["expr"])
        for matcher in selector.matchers.matchers
        if matcher.name == "reason"
    ]
    assert named == {str(reason) for reason, answer in ANSWERS.items() if answer.status == 503}


def test_panels_are_whole(dashboard):
    """Grafana shows a panel with a title and a place of its own; ids are unique."""
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["title"] for panel in panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells)), "panels overlap"
    assert max(x for x, _ in cells) < 24
