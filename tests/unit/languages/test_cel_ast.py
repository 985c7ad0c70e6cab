import pytest
from google.api.expr.v1alpha1.checked_pb2 import CheckedExpr

from extauthz.languages.cel import CelCompiler
from extauthz.languages.cel_ast import (
    MAX_NODES,
    ExpressionTooLargeError,
    Read,
    Slots,
    inline_variables,
    line_and_column,
    place_slots,
    read_of,
    walk,
)
from tests.strategies import SPAN


def checked_of(text, **variables):
    compiler = CelCompiler()
    for name, its_text in variables.items():
        compiler.define_variable(name, its_text)
    return CheckedExpr.FromString(compiler.compile(text, SPAN).checked)


def reads(text, **variables):
    return [r for node, bound in walk(checked_of(text, **variables).expr) if (r := read_of(node, bound)) is not None]


def value(*path):
    return Read(path, presence=False)


def presence(*path):
    return Read(path, presence=True)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("request.method == ''", value("request.method")),
        (".request.method == ''", value("request.method")),
        ("claims.a == ''", value("claims", "a")),
        ("claims['a'].b == ''", value("claims", "a", "b")),
        ("claims.`a-b` == ''", value("claims", "a-b")),
        ("claims.a[0].b == ''", value("claims", "a")),
        ("claims.exists(k, k == '')", value("claims")),
        ("has(claims.a)", presence("claims", "a")),
        ("has(claims.a.b)", presence("claims", "a", "b")),
        ("'a' in claims", presence("claims", "a")),
        ("'a' in claims.b", value("claims", "b")),
        ("'a' in body", value("body")),
        ("has(body.a)", presence("body", "a")),
        ("'a' in principal.roles", value("principal.roles")),
        ("'a' in request.headers", presence("request.headers", "a")),
        ("request.headers['a'] == ''", value("request.headers", "a")),
        ("request.header_values.a[0] == ''", value("request.header_values", "a")),
        ("path.a == ''", value("path", "a")),
        ("[1].exists(x, claims.a == x)", value("claims", "a")),
    ],
)
def test_the_outermost_read_is_the_longest_constant_path(text, read):
    """Fields and constant text keys extend it; anything else ends it."""
    assert reads(text)[0] == read


def test_a_computed_key_reads_the_whole_map():
    """Any claim may be meant."""
    assert set(reads("claims[path.a] == ''")) == {value("claims"), value("path", "a"), value("path")}
    assert reads("path.a in claims")[-1] == value("claims")


def test_slots_leave_no_read_behind():
    """Each different read has one identifier, wherever it stands."""
    checked = checked_of("claims.a == 1 || has(claims.a) && claims.a == 2 && request.method == [''][0]")
    slots = Slots()
    place_slots(checked, slots)
    names = {node.ident_expr.name for node, _ in walk(checked.expr)} - {""}
    assert names == set(slots.names.values()) == {"@slot0", "@slot1", "@slot2"}
    assert set(slots.names) == {value("claims", "a"), presence("claims", "a"), value("request.method")}


def test_variables_are_inlined_with_ids_of_their_own():
    """Each use is a copy: no two nodes share an id, and every node keeps its type."""
    checked = checked_of("variables.a || variables.b", a="claims.x == {'k': 1}", b="variables.a && has(claims.y)")
    nodes = [node for node, _ in walk(checked.expr)]
    ids = [node.id for node in nodes] + [e.id for node in nodes for e in node.struct_expr.entries]
    assert len(ids) == len(set(ids))
    assert all(node.id in checked.type_map for node in nodes)
    assert not any(node.ident_expr.name.startswith("variables.") for node in nodes)
    assert reads("variables.b", a="claims.x == 1", b="variables.a && has(claims.y)")[:1] == [value("claims", "x")]


def test_inlined_nodes_stand_where_the_variable_is_named():
    """A later message about them points into the text that the author sees."""
    checked = checked_of("true &&\n  variables.a", a="claims.x == 1")
    (node,) = (node for node, bound in walk(checked.expr) if read_of(node, bound) == value("claims", "x"))
    assert line_and_column(checked.source_info, node.id) == (2, 12)
    assert line_and_column(checked.source_info, 10_000) == (1, 1)


def test_an_expression_has_a_largest_size():
    """Variables that double each other reach it soon, before anything that large is built."""
    checked = checked_of("variables.a", a="claims.x == 1")
    big = CheckedExpr()
    for _ in range(MAX_NODES // 4):
        big.expr.list_expr.elements.add().const_expr.int64_value = 1
    user = CheckedExpr()
    user.expr.call_expr.function = "_||_"
    for _ in range(5):
        user.expr.call_expr.args.add().ident_expr.name = "variables.big"
    with pytest.raises(ExpressionTooLargeError):
        inline_variables(user, {"variables.big": big})
    assert checked.expr.id
