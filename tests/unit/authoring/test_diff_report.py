import json

from extauthz.authoring.diff import Comparison, compare
from extauthz.authoring.diff_report import OPAQUE, as_json, lines, markdown, summary
from tests.policies import HEAD, policy_set
from tests.suites import SHOP

NEW = (
    SHOP.replace("[office.read, office.write]", "[office.read, office.admin]")
    .replace("body.total <= 500.0", "body.total <= 600.0")
    .replace("audiences: [shop]", "audiences: [shop, web]")
)


def compared(old: str = SHOP, new: str = NEW) -> Comparison:
    return compare(policy_set(old), policy_set(new))


def report(comparison: Comparison) -> str:
    return "".join(f"{line.text}\n" for line in lines(comparison))


def test_text():
    """Who, with what, where, and what each set says; then what is not certain."""
    assert (
        report(compared())
        == f"""\
DENY -> ALLOW
  POST shop.example/body
      who:   somebody with a token of corp
      where: not has(claims.suspended); not (body.total <= 500.0); body.total <= 600.0
      old:   deny: no_matching_allow, on body
      new:   allow: allowed (body.allow.small), on body
  GET, HEAD, OPTIONS, POST, PUT, any other method shop.example/office
      who:   somebody with a token of corp: scope office.admin
      with:  the connection from 192.0.2.1
      where: not has(claims.suspended)
      old:   deny: insufficient_scope, on office
      new:   allow: allowed (office.allow.scoped), on office
ALLOW -> DENY
  POST shop.example/body
      who:   somebody with a token of corp
      where: not has(claims.suspended); body.total <= 500.0; not (body.total <= 600.0)
      old:   allow: allowed (body.allow.small), on body
      new:   deny: no_matching_allow, on body
  GET, HEAD, OPTIONS, POST, PUT, any other method shop.example/office
      who:   somebody with a token of corp: scope office.write
      with:  the connection from 192.0.2.1
      where: not has(claims.suspended)
      old:   allow: allowed (office.allow.scoped), on office
      new:   deny: insufficient_scope, on office
also different, and not compared request by request
  provider corp: audiences (may let more through)
{OPAQUE}
  old: body.total <= 500.0  policy.yaml:35:76
  new: body.total <= 600.0  policy.yaml:35:76
"""
    )


def test_summary():
    """How many of each direction; equality only where it is certain."""
    assert summary(compared()) == "2 of DENY -> ALLOW, 2 of ALLOW -> DENY"
    assert summary(compared(SHOP, SHOP)) == "no difference: both sets decide every request alike"
    other = SHOP.replace("audiences: [shop]", "audiences: [web]")
    assert summary(compared(SHOP, other)) == "no difference was found, but not everything could be compared"


def test_many_of_one_place_are_counted():
    """People are shown the first; programs get all."""
    text = HEAD + "    claims: {groups: groups}\nroutes: [{path: /r, methods: [PUT], allow: [%s]}]\n"
    groups = ", ".join(f"{{group: g{n}, when: \"claims.c{n} == 'x'\"}}" for n in range(5))
    comparison = compared(text % "{group: g9}", text % f"{{group: g9}}, {groups}")
    assert "      and 2 more kinds of requests there (--format json)\n" in report(comparison)
    differences = as_json(comparison)["differences"]
    assert isinstance(differences, list)
    assert len(differences) == 5
    assert "  - and 2 more kinds of requests there\n" in markdown(comparison)


def test_markdown():
    """What the policy says makes no Markdown of its own."""
    text = markdown(compared())
    assert "## DENY -> ALLOW\n\n- **POST shop.example/body**\n  - who: somebody with a token of corp\n" in text
    assert "not (body.total \\<= 500.0)" in text
    assert text.endswith(" decisions.\n")


def test_json():
    """Requests and principals as test files have them."""
    document = json.loads(json.dumps(as_json(compared())))
    assert (document["same"], document["may_widen"], document["limits"]) == (False, True, [])
    office = document["differences"][1]
    assert (office["from"], office["to"]) == ("deny", "allow")
    assert office["request"] == {"method": "GET", "path": "/office", "host": "shop.example", "source": "192.0.2.1"}
    assert office["principal"] == {"provider": "corp", "subject": "somebody", "scopes": ["office.admin"]}
    assert office["methods"][-1] is None
    assert office["assuming"][0]["text"] == "has(claims.suspended)"
    assert [opaque["in"] for opaque in document["opaque"]] == ["old", "new"]
