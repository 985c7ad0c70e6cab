from extauthz.languages.rego.paths import find_paths
from extauthz.languages.rego.plan import parse_plan
from tests.harness.rego_plans import block, flag, function, local, plan, statement, string


def paths_of(*blocks, wanted=()):
    [one] = parse_plan(plan(function("r", *blocks), strings=("a", "b"))).functions
    return find_paths(one.blocks, one.parameters, wanted), one


def dot(source, key, target):
    return statement("DotStmt", source=local(source), key=string(key), target=target)


def test_what_is_looked_up_twice_is_looked_up_early():
    """With everything on the way to it."""
    paths, one = paths_of(block(dot(0, 0, 3), dot(3, 1, 4)), block(dot(0, 0, 5), dot(5, 1, 6)))
    assert paths.early == ((0, ("a",)), (0, ("a", "b")))
    assert paths.locals[6] == (0, ("a", "b"))
    assert paths.implied == {id(one.blocks[0][0]), id(one.blocks[1][0])}


def test_once_is_not_worth_it():
    """Except in a loop, or when it is wanted."""
    assert not paths_of(block(dot(0, 0, 3)))[0].early
    assert paths_of(block(statement("ScanStmt", source=1, key=6, value=7, block=block(dot(0, 0, 3)))))[0].early
    assert paths_of(block(dot(0, 0, 3)), wanted=[(0, ("b",))])[0].early == ((0, ("b",)),)


def test_a_replaced_document_is_never_looked_up_early():
    """A `with` changes what is under a path."""
    replaced = statement("WithStmt", local=0, path=[], value=flag(value=True), block=block(dot(0, 0, 4)))
    assert not paths_of(block(dot(0, 0, 3), replaced, dot(0, 0, 5)))[0].early


def test_locals_of_several_paths_have_none():
    """What one rule calls `x` may be another thing in the next."""
    assert 3 not in paths_of(block(dot(0, 0, 3)), block(dot(0, 1, 3)))[0].locals
