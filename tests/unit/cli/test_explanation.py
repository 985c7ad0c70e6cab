import io
from pathlib import Path

import pytest
from rich.console import Console

from extauthz.authoring.explain import ConditionFinding, Explanation, RuleFinding
from extauthz.cli.explanation import explanation_json, print_explanation
from extauthz.languages.policy_yaml import SourceText, parse_policy_set
from extauthz.model.decision import Outcome, PolicyId
from extauthz.model.policy import Anyone, Rule, RuleKind
from extauthz.model.source import Span

POLICY = b"version: 1\nroutes: [{name: a, path: /a, public: true}]\n"


def finding(kind: RuleKind, outcome: Outcome, text: str = "anyone: true") -> RuleFinding:
    rule = Rule(PolicyId(f"a.{kind}.0"), kind, (Anyone(),), Span("p.yaml", 2, 3))
    return RuleFinding(rule, outcome, (ConditionFinding(text, outcome),))


def explanation(*findings: RuleFinding, errored: tuple[str, ...] = ()) -> Explanation:
    sources = [SourceText("p.yaml", POLICY)]
    route = parse_policy_set(sources, read_file=lambda path: Path(path).read_bytes()).policy_set.routes[0]
    return Explanation(route, ("reader",), errored, findings)


def printed(value: Explanation | None, *, colour: bool = False) -> str:
    stream = io.StringIO()
    system = "standard" if colour else None
    print_explanation(value, Console(file=stream, force_terminal=colour, color_system=system, soft_wrap=True))  # type: ignore[arg-type]
    return stream.getvalue()


def test_rules_and_conditions_are_lines():
    """Kind, rule, verdict and place; below it each condition with yes, no or error."""
    shown = explanation(
        finding(RuleKind.DENY, Outcome.UNSATISFIED, "when: x"),
        finding(RuleKind.ALLOW, Outcome.ERRORED, "when: \x1b[2J"),
        errored=("admin",),
    )
    assert printed(shown).splitlines() == [
        "",
        "roles held: reader",
        "roles that a failing binding left open: admin",
        "deny    a.deny.0 does not hold  p.yaml:2:3",
        "    no    when: x",
        "allow   a.allow.0 cannot be evaluated  p.yaml:2:3",
        "    error when: \\x1b[2J",
    ]


def test_nothing_reached_says_so():
    """A denial before any rule has nothing to show, and says that."""
    assert printed(None) == "\nno rule was reached\n"
    assert explanation_json(None) is None


@pytest.mark.parametrize(
    ("kind", "outcome", "colour"),
    [
        (RuleKind.ALLOW, Outcome.SATISFIED, "32"),
        (RuleKind.DENY, Outcome.SATISFIED, "31"),
        (RuleKind.REQUIRE, Outcome.UNSATISFIED, "31"),
        (RuleKind.DENY, Outcome.ERRORED, "33"),
    ],
)
def test_colours_say_what_lets_pass(kind, outcome, colour):
    """Green lets the request pass, red stops it, yellow failed."""
    assert f"\x1b[{colour}m" in printed(explanation(finding(kind, outcome)), colour=True)


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        (RuleKind.ALLOW, Outcome.UNSATISFIED),
        (RuleKind.DENY, Outcome.UNSATISFIED),
        (RuleKind.REQUIRE, Outcome.SATISFIED),
    ],
)
def test_what_does_not_matter_has_no_colour(kind, outcome):
    """A rule that neither lets pass nor stops is plain."""
    text = printed(explanation(finding(kind, outcome)), colour=True)
    assert not {"\x1b[31m", "\x1b[32m", "\x1b[33m"} & {text[i : i + 5] for i in range(len(text))}


def test_json_has_every_rule_with_its_place():
    """Programs get outcomes by their names in the model."""
    assert explanation_json(explanation(finding(RuleKind.REQUIRE, Outcome.SATISFIED), errored=("admin",))) == {
        "route": "a",
        "roles": ["reader"],
        "errored_roles": ["admin"],
        "rules": [
            {
                "id": "a.require.0",
                "kind": "require",
                "outcome": "satisfied",
                "file": "p.yaml",
                "line": 2,
                "column": 3,
                "conditions": [{"text": "anyone: true", "outcome": "satisfied"}],
            }
        ],
    }
