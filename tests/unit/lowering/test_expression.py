from extauthz.lowering import expression as cel


def test_nodes_are_numbered_in_order():
    """The engine keys what it knows of a node by its id, so each has its own; and the text is the same every time."""
    shared = cel.header("x-a")
    document = cel.to_envoy(cel.all_of([cel.has_header("x-a"), cel.equal(shared, cel.text("1")), cel.negated(shared)]))
    ids = []

    def collect(node):
        if isinstance(node, dict):
            ids.extend([int(node["id"])] if "id" in node else [])
            for value in node.values():
                collect(value)
        elif isinstance(node, list):
            for value in node:
                collect(value)

    collect(document)
    assert sorted(ids) == list(range(1, len(ids) + 1))
    assert len(set(ids)) == len(ids) > 10


def test_numbering_leaves_the_expression_as_it_is():
    """One expression is used in many policies."""
    expr = cel.negated(cel.text("a"))
    cel.to_envoy(expr)
    assert (expr.id, expr.call_expr.args[0].id) == (0, 0)


def test_no_operands_are_the_neutral_element():
    """A conjunction of nothing holds, a disjunction of nothing does not."""
    assert cel.all_of([]).const_expr.bool_value is True
    assert cel.any_of([]).const_expr.WhichOneof("constant_kind") == "bool_value"
    assert cel.any_of([]).const_expr.bool_value is False


def test_a_field_may_have_any_name():
    """Claims are named by their issuers."""
    document = cel.to_envoy(cel.fields(cel.name("metadata"), ["a.b", "https://x/y"]))
    assert document["selectExpr"]["field"] == "https://x/y"
    assert document["selectExpr"]["operand"]["selectExpr"]["field"] == "a.b"


def test_equal_expressions_are_made_into_a_document_once():
    """Thousands of routes ask the same of a token; what differs in one literal is another document."""
    first, again, other = (cel.to_envoy(cel.negated(cel.text(value))) for value in ("a", "a", "b"))
    assert first is again
    assert first != other
