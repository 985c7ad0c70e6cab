"""CEL conditions as Envoy's RBAC filter evaluates them.

Envoy's engine is the library that the authorizer uses, so what is lowered is the reads: each is replaced by what has
the same value in Envoy, errors included, or the condition is not exact. Where the two agree on some requests only, a
*guard* says on which; the policy then asks for the guard besides, and all other requests are the authorizer's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from google.api.expr.v1alpha1.checked_pb2 import CheckedExpr

from extauthz.languages.cel import CelCondition
from extauthz.languages.cel_ast import Read, children, constant_text, read_of, walk
from extauthz.languages.cel_facts import CelPath
from extauthz.lowering import expression as cel
from extauthz.lowering.callers import Caller, claims, is_plain, where_present
from extauthz.lowering.expression import Expr
from extauthz.lowering.formula import Cel, Formula, NotExactError, all_hold, constant
from extauthz.lowering.matchers import SINGLE_HEADER
from extauthz.model.policy import Condition, LiteralSegment, RestSegment, Route, TrailingSlash, VariableSegment

_FUNCTIONS = frozenset(
    {
        *("_&&_", "_||_", "!_", "_?_:_", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "@in", "_[_]"),
        *("_-_", "_*_", "_/_", "-_"),  # but no `+`, which Envoy fails to do with lists
        *("contains", "duration", "endsWith", "lowerAscii", "matches", "replace", "size", "split", "startsWith"),
        *("substring",),
        *("getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours", "getMinutes"),
        *("getMonth", "getSeconds", "timestamp"),
    }
)
"""What both engines were seen to evaluate alike; calls of others stay with the authorizer."""

_PLAIN_HOST = r"^[a-z0-9_-](?:[a-z0-9._-]*[a-z0-9_-])?$"


@dataclass(slots=True)
class Guards:
    """What a request must be like for Envoy to read it as the authorizer does, each once."""

    by_read: dict[CelPath, Formula] = field(default_factory=dict)
    """By what is read; one read has one guard."""
    may_fail: bool = False
    """Whether Envoy may err where the authorizer does not, as without a time zone database: then what no native policy
    allows need not be what the authorizer denies."""

    def add(self, other: Guards) -> None:
        """Take over what another rule needs."""
        self.by_read |= other.by_read
        self.may_fail = self.may_fail or other.may_fail

    def formula(self) -> Formula:
        """All of them."""
        return all_hold(*(self.by_read[path] for path in sorted(self.by_read)))


def lower_condition(
    condition: Condition, route: Route, caller: Caller, trailing_slash: TrailingSlash, guards: Guards
) -> Formula:
    """The condition on one route, for one kind of caller.

    Raises:
        NotExactError: Envoy would evaluate it differently on some request, or not at all.
    """
    if not isinstance(condition, CelCondition):
        raise NotExactError("it is not written in CEL")
    reader = _Reader(route, caller, trailing_slash, guards)
    pruned = _pruned(CheckedExpr.FromString(condition.checked).expr, reader)
    truth = _truth(pruned)
    if truth is not None:
        return constant(truth)
    _refuse_unlike(pruned)
    guards.may_fail = guards.may_fail or _reads_time_zones(pruned)
    return Cel(_replaced(pruned, reader))


def _replaced(expr: Expr, reader: _Reader, bound: frozenset[str] = frozenset()) -> Expr:
    """A copy with Envoy's reads in the place of ours."""
    read = read_of(expr, bound)
    if read is not None:
        return reader.replacement(read)
    copy = type(expr)()
    copy.CopyFrom(expr)
    # The walk over the copy yields its own sub-messages: each is overwritten in place.
    for child, inner in list(children(copy, bound)):
        child.CopyFrom(_replaced(child, reader, inner))
    called = copy.call_expr
    if called.function == "matches":
        operand = called.target if called.HasField("target") else called.args[0]
        return cel.matches(operand, constant_text(called.args[-1]) or "")
    return copy


class _Reader:
    """What stands in Envoy for each read of a condition."""

    def __init__(self, route: Route, caller: Caller, trailing_slash: TrailingSlash, guards: Guards) -> None:
        self._route = route
        self._caller = caller
        self._trailing_slash = trailing_slash
        self._guards = guards
        self._names: dict[str, Callable[[], Expr]] = {
            "request.method": lambda: cel.request("method"),
            "request.scheme": lambda: cel.request("scheme"),
            "request.protocol": lambda: cel.request("protocol"),
            "request.time": lambda: cel.request("time"),
            "request.url_path": self._url_path,
            "request.host": self._host,
            "principal.provider": self._provider,
            "principal.subject": self._subject,
        }
        self._keyed: dict[str, Callable[[Sequence[str], bool], Expr]] = {
            "request.headers": self._header,
            "claims": self._claim,
            "path": self._path_variable,
        }

    def known_truth(self, read: Read) -> bool | None:
        """Of what the route and the kind of caller alone decide."""
        anonymous = self._caller.provider is None
        match read.path:
            case ("principal.authenticated",):
                return not anonymous
            case ("path", name) if read.presence:
                return name in self._route.path.variables
            case ("claims", _) if read.presence and anonymous:
                return False
            case _:
                return None

    def replacement(self, read: Read) -> Expr:
        name, *keys = read.path
        truth = self.known_truth(read)
        if truth is not None:
            return cel.literal(true=truth)
        if name in self._names:
            return self._names[name]()
        if name in self._keyed and keys:
            return self._keyed[name](keys, read.presence)
        raise NotExactError(f"it reads {name}{' as a whole' if name in self._keyed else ''}")

    def _header(self, keys: Sequence[str], presence: bool) -> Expr:  # noqa: FBT001 - by its type
        (name,) = keys
        if presence:
            return cel.has_header(name)
        value = cel.header(name)
        # Envoy joins repeated headers by commas, which are an error here; and bytes are no text here.
        single = cel.any_of([cel.negated(cel.has_header(name)), cel.matches(value, SINGLE_HEADER)])
        self._guards.by_read["request.headers", name] = Cel(single)
        return value

    def _claim(self, keys: Sequence[str], presence: bool) -> Expr:  # noqa: FBT001 - by its type
        if self._caller.provider is None:
            return cel.failure()
        payload = claims(self._caller.provider)
        if presence:
            return cel.has(cel.fields(payload, keys[:-1]), keys[-1])
        self._guards.by_read[("claims", *keys)] = Cel(where_present(payload, keys, is_plain))
        return cel.fields(payload, keys)

    def _path_variable(self, keys: Sequence[str], _: bool) -> Expr:  # noqa: FBT001 - by its type
        (name,) = keys
        return segment_of(self._route, name) if name in self._route.path.variables else cel.failure()

    def _url_path(self) -> Expr:
        path = cel.request("url_path")
        if self._trailing_slash is TrailingSlash.DISTINCT:
            return path
        length = cel.call("size", path)
        is_trailing = cel.all_of([cel.method(path, "endsWith", cel.text("/")), cel.call("_>_", length, cel.integer(1))])
        shorter = cel.method(path, "substring", cel.integer(0), cel.call("_-_", length, cel.integer(1)))
        return cel.call("_?_:_", is_trailing, shorter, path)

    def _host(self) -> Expr:
        host = cel.request("host")
        self._guards.by_read[("request.host",)] = Cel(cel.matches(host, _PLAIN_HOST))
        return host

    def _provider(self) -> Expr:
        provider = self._caller.provider
        return cel.failure() if provider is None else cel.text(provider.name)

    def _subject(self) -> Expr:
        provider = self._caller.provider
        return cel.failure() if provider is None else cel.fields(claims(provider), provider.claims.subject.keys)


def segment_of(route: Route, variable: str) -> Expr:
    """The segment of a plain path that a variable of the route's pattern binds.

    Raises:
        NotExactError: the variable binds the rest of the path.
    """
    for index, segment in enumerate(route.path.segments):
        match segment:
            case VariableSegment(name) if name == variable:
                segments = cel.method(cel.request("url_path"), "split", cel.text("/"))
                return cel.call("_[_]", segments, cel.integer(index + 1))  # the path begins with a slash
            case RestSegment(name) if name == variable:
                raise NotExactError(f"it reads path.{variable}, which binds the rest of the path")
            case VariableSegment() | RestSegment() | LiteralSegment():
                continue
    raise AssertionError("the route binds no such variable")


# --- What is constant ----------------------------------------------------------------------------------------------


def _truth(expr: Expr) -> bool | None:
    """Of a literal `true` or `false`."""
    is_boolean = expr.const_expr.WhichOneof("constant_kind") == "bool_value"
    return bool(expr.const_expr.bool_value) if is_boolean else None


def _pruned(expr: Expr, reader: _Reader, bound: frozenset[str] = frozenset()) -> Expr:
    """The expression without what cannot matter: `false && x` is false and `true || x` true, be `x` an error."""
    read = read_of(expr, bound)
    if read is not None:
        truth = reader.known_truth(read)
        return expr if truth is None else cel.literal(true=truth)
    function = expr.call_expr.function
    if function not in {"!_", "_&&_", "_||_"}:
        return expr
    operands = [_pruned(argument, reader, bound) for argument in expr.call_expr.args]
    truths = [_truth(operand) for operand in operands]
    if function == "!_":
        return cel.negated(operands[0]) if truths[0] is None else cel.literal(true=not truths[0])
    decisive = function == "_||_"
    if decisive in truths:
        return cel.literal(true=decisive)
    if None not in truths:
        return cel.literal(true=not decisive)
    return cel.call(function, *operands)


# --- What Envoy would not evaluate alike ---------------------------------------------------------------------------


def _refuse_unlike(expr: Expr) -> None:
    for node, _ in walk(expr):
        match node.WhichOneof("expr_kind"):
            case "comprehension_expr":
                raise NotExactError("it loops over a list or map (exists, all, filter, map), which Envoy does not")
            case "struct_expr":
                raise NotExactError("it makes a map")
            case "call_expr":
                _refuse_unlike_call(node.call_expr)
            case _:
                continue


def _reads_time_zones(expr: Expr) -> bool:
    """Whether it calls `getHours('Europe/Berlin')` or its like: without a zone, they are in UTC."""
    return any(node.call_expr.function.startswith("get") and node.call_expr.args for node, _ in walk(expr))


def _refuse_unlike_call(called: Expr) -> None:
    if called.function not in _FUNCTIONS:
        raise NotExactError(f"it calls {called.function.strip('_@')}")
    if called.function == "matches" and constant_text(called.args[-1]) is None:
        raise NotExactError("it matches a regular expression that is not written out")
