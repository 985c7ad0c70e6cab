"""Plans as documents, for tests of what reads and writes them."""

from typing import Any


def local(index: int) -> dict[str, Any]:
    return {"type": "local", "value": index}


def flag(*, value: bool) -> dict[str, Any]:
    return {"type": "bool", "value": value}


def string(index: int) -> dict[str, Any]:
    return {"type": "string_index", "value": index}


def statement(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "stmt": {"file": 0, "row": 7, "col": 2, **fields}}


def block(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"stmts": list(statements)}


RETURN = block(statement("ReturnLocalStmt", source=2))


def function(name: str, *blocks: dict[str, Any], parameters: tuple[int, ...] = (0, 1)) -> dict[str, Any]:
    return {
        "name": f"g0.data.t.{name}",
        "path": ["g0", "t", name],
        "params": list(parameters),
        "return": 2,
        "blocks": [*blocks],
    }


def plan(*functions: dict[str, Any], strings: tuple[str, ...] = (), plans: Any = ()) -> dict[str, Any]:
    return {
        "static": {"strings": [{"value": s} for s in strings], "files": [{"value": "p.rego"}]},
        "funcs": {"funcs": list(functions)},
        "plans": {"plans": list(plans)},
    }


def call(name: str, *arguments: dict[str, Any], result: int) -> dict[str, Any]:
    return statement("CallStmt", func=name, args=list(arguments), result=result)


def rule_call(name: str, result: int) -> dict[str, Any]:
    return call(f"g0.data.t.{name}", local(0), local(1), result=result)
