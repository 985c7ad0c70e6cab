import pytest

from extauthz.authoring.matrix import Answer, Cell, matrix_of, methods_of
from tests.policies import HEAD, TWO_PROVIDERS, policy_set
from tests.suites import shop

ROLES = """\
trust_domains: [cluster.local]
roles:
  reader: {permissions: ["orders:read"]}
  clerk: {inherits: [reader], permissions: ["orders:write"]}
  blocked: {}
"""


def answers(routes: str, head: str = HEAD + ROLES) -> dict[str, dict[str, str]]:
    """What each kind of caller may do on each route."""
    matrix = matrix_of(policy_set(head + routes))
    return {
        row.route.name: {column.name: str(cell.answer) for column, cell in zip(matrix.columns, row.cells, strict=True)}
        for row in matrix.rows
    }


def of(rule: str, more: str = "", head: str = HEAD + ROLES, before: str = "") -> dict[str, str]:
    """What each kind of caller may do on a route with one allow."""
    return answers(f"{before}routes: [{{name: r, path: '/r/{{x}}', allow: [{rule}]{more}}}]\n", head)["r"]


def test_roles_are_certain():
    """A role with all it inherits; nobody has none."""
    assert of("{permission: 'orders:read'}") == {
        "anonymous": "no",
        "no role": "no",
        "reader": "yes",
        "clerk": "yes",
        "blocked": "no",
    }


@pytest.mark.parametrize(
    ("rule", "more", "nobody", "somebody"),
    [
        ("{authenticated: true}", "", "no", "yes"),
        ("{authenticated: true}", ", authentication: optional", "no", "yes"),
        ("{anyone: true}", ", authentication: optional", "yes", "yes"),
        ("{provider: corp}", "", "no", "yes"),
        ("{scope: s}", ", authentication: optional", "no", "depends"),
        ("{group: s}", "", "no", "depends"),
        ("{subject: s}", "", "no", "depends"),
        ("{remote_ip: 192.0.2.1}", ", authentication: optional", "depends", "depends"),
        ("{when: \"request.method == 'GET'\"}", ", authentication: optional", "depends", "depends"),
        ("{when: \"claims.a == 'x'\"}", ", authentication: optional", "no", "depends"),
        ("{when: '!has(claims.a)'}", ", authentication: optional", "yes", "depends"),
        ("{workload: 'spiffe://cluster.local/a'}", ", authentication: none", "depends", "depends"),
        ("{authenticated: true, role: blocked}", "", "no", "no"),
    ],
)
def test_conditions_are_certain_or_depend(rule, more, nobody, somebody):
    """What a request can change depends on it; what it cannot is said."""
    found = of(rule, more)
    assert (found["anonymous"], found["reader"]) == (nobody, somebody)


def test_denies_and_requirements_guard():
    """One that always holds, or never can be met, decides; one that depends is named."""
    assert set(of("{authenticated: true}", ", deny: [{authenticated: true}]").values()) == {"no"}
    assert of("{authenticated: true}", ", deny: [{role: clerk}]")["clerk"] == "no"
    assert of("{authenticated: true}", ", require: [{role: clerk}]")["reader"] == "no"
    assert of("{authenticated: true}", ", require: [{role: clerk}]")["clerk"] == "yes"
    assert of("{authenticated: true}", ", deny: [{group: g}]")["reader"] == "depends"
    nobody = "{anyone: true}], authentication: optional, deny: [{when: 'claims.suspended == true'}"
    assert of(nobody)["anonymous"] == "no"  # a deny that cannot be evaluated denies


def test_role_that_denies_is_in_doubt_where_a_binding_decides_it():
    """A binding with a condition may give the role on some requests: a `yes` would be too much."""
    bindings = 'bindings: [{role: blocked, provider: corp, when: "claims.b == path.x"}]\n'
    assert of("{authenticated: true}", ", deny: [{role: blocked}]", before=bindings)["reader"] == "depends"
    assert of("{role: blocked}", before=bindings)["reader"] == "no"


def test_workloads_may_hold_roles_where_no_credential_is_looked_at():
    """There every kind of caller is nobody, and a role is a workload's."""
    bindings = 'bindings: [{role: reader, subjects: [{workload: "spiffe://cluster.local/a"}]}]\n'
    found = of("{role: reader}", ", authentication: none", before=bindings)
    assert set(found.values()) == {"depends"}
    assert set(
        of(
            "{name: w, workload: 'spiffe://cluster.local/a', role: reader}", ", authentication: none", before=bindings
        ).values()
    ) == {"depends"}


def test_one_provider_of_several_depends():
    """Who vouches for a caller is not known."""
    assert of("{provider: corp}", head=TWO_PROVIDERS)["no role"] == "depends"
    assert of("{provider: [corp, partner]}", head=TWO_PROVIDERS)["no role"] == "yes"


def test_cells_name_what_they_depend_on():
    """Allows of which one has to hold, and guards; each rule has one note, in order."""
    matrix = matrix_of(shop())
    rows = {row.route.name: row for row in matrix.rows}
    columns = [column.name for column in matrix.columns]
    assert columns == ["anonymous", "no role", "reader", "clerk"]
    assert rows["order"].cells[1] == Cell(Answer.DEPENDS, ("order.allow.owner",), ("set.deny.suspended",))  # type: ignore[arg-type]
    assert rows["order"].cells[3] == Cell(Answer.DEPENDS, (), ("set.deny.suspended",))  # type: ignore[arg-type]
    assert rows["health"].cells[0] == Cell(Answer.YES)
    assert [note.rule for note in matrix.notes][:3] == [
        "set.deny.suspended",
        "order.allow.owner",
        "office.require.network",
    ]
    assert matrix.number(matrix.notes[1].rule) == 2
    (grant,) = matrix.grants
    assert (grant.role, grant.who, grant.when) == (
        "clerk",
        "provider corp",
        "has(claims.store) && claims.store == path.store",
    )


def test_methods_are_sorted():
    """HEAD goes with GET; a route without methods serves any."""
    assert [methods_of(route) for route in shop().routes[:4]] == ["GET, HEAD", "GET, HEAD", "GET, HEAD, PUT", "any"]
