"""Policy sets and what reading them says, file by file: `policy.yaml` -> `errors.txt` or `ir.txt`.

A case is a folder: `policy*.yaml`, `*.rego` and `data.*` are the set, `values.json` what `${NAME}` stands for, other
files are named by the policy. EXTAUTHZ_REFRESH_GOLDEN=1 rewrites the expectations; the difference is to be read before
it is committed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from extauthz.errors import PolicyError
from extauthz.languages.policy_yaml import ParsedSet, SourceText, parse_policy_set
from extauthz.languages.policy_yaml.rego import RegoSources
from extauthz.languages.rego import DataFile, Module
from extauthz.languages.rego.condition import RegoCondition
from extauthz.model.policy import ConditionKey, PolicySet, RoleIs, Route, TemplatePart, When
from extauthz.model.provider import Provider, StaticKeys
from extauthz.sources.rego_planner import plan_with_regopy

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/policy.yaml"))


@pytest.mark.parametrize("case", CASES)
def test_a_policy_set_reads_as_written_down(case):
    """Errors with their places, source lines and hints, or the set that comes out, are exactly the golden file."""
    folder = HERE / case
    name, text = _outcome(folder)
    other = folder / ("ir.txt" if name == "errors.txt" else "errors.txt")
    if os.environ.get("EXTAUTHZ_REFRESH_GOLDEN") == "1":
        (folder / name).write_text(text, encoding="utf-8")
        other.unlink(missing_ok=True)
    assert not other.exists(), f"{other.name} was expected, and this came out:\n{text}"
    assert text == (folder / name).read_text(encoding="utf-8")


def test_two_thirds_of_the_cases_are_errors():
    """The language is known by what it refuses."""
    errors = sum((HERE / case / "errors.txt").exists() for case in CASES)
    assert len(CASES) * 2 <= errors * 3


def _outcome(folder: Path) -> tuple[str, str]:
    values = folder / "values.json"
    sources = [SourceText(path.name, path.read_bytes()) for path in sorted(folder.glob("policy*.yaml"))]
    try:
        parsed = parse_policy_set(
            sources,
            read_file=lambda path: (folder / path).read_bytes(),
            values=json.loads(values.read_text(encoding="utf-8")) if values.exists() else {},
            rego=RegoSources(
                [Module(path.name, path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.rego"))],
                [DataFile(path.name, (), path.read_bytes()) for path in sorted(folder.glob("data.*"))],
                plan_with_regopy,
            ),
        )
    except PolicyError as error:
        return "errors.txt", f"{error}\n"
    return "ir.txt", "".join(f"{line}\n" for line in _summary(parsed))


# --- What a set comes to, for readers of differences ---------------------------------------------------------------


def _summary(parsed: ParsedSet) -> Iterator[str]:
    yield from (warning.render() for warning in parsed.warnings)
    policy_set = parsed.policy_set
    yield f"set {policy_set.name}"
    yield from _set_details(policy_set)
    yield from (f"reference {path}" for path in parsed.references)
    yield from (line for provider in policy_set.providers for line in _provider(provider))
    for api_keys in policy_set.api_key_providers:
        yield f"provider {api_keys.name}: keys in {api_keys.header}"
        yield from (f"  {key}" for key in api_keys.keys)
    for role in policy_set.roles.values():
        yield f"role {role.name}: inherits {_sorted(role.closure)}, permits {_sorted(role.permissions)}"
    for binding in policy_set.bindings:
        yield f"binding {binding.role} at {binding.span}"
        yield from (f"  {subject}" for subject in binding.subjects)
        if binding.when is not None:
            yield f"  when {binding.when.text}"
    yield from (line for route in policy_set.routes for line in _route(route))


def _set_details(policy_set: PolicySet) -> Iterator[str]:
    details = {
        "default providers": policy_set.default_providers,
        "trust domains": policy_set.trust_domains,
        "trusted proxies": [str(network) for network in policy_set.trusted_proxies],
        "owned headers": policy_set.owned_headers,
    }
    yield from (f"{name}: {', '.join(value)}" for name, value in details.items() if value)
    yield from (str(settings) for settings in (policy_set.paths, policy_set.responses) if settings != type(settings)())


def _provider(provider: Provider) -> Iterator[str]:
    yield f"provider {provider.name}: {provider.issuer}"
    yield f"  audiences {provider.audiences}, algorithms {', '.join(provider.algorithms)}"
    keys = provider.keys
    yield f"  keys {f'{keys.origin} {dict(keys.jwks)}' if isinstance(keys, StaticKeys) else keys}"
    yield from (f"  {token}" for token in provider.tokens)
    yield from (f"  {settings}" for settings in (provider.claims, provider.may_assert) if settings != type(settings)())
    yield f"  clock skew {provider.clock_skew_seconds:g} s"


def _route(route: Route) -> Iterator[str]:
    methods = "any method" if route.methods is None else ",".join(sorted(route.methods))
    yield f"route {route.name}: {methods} {route.host or 'any host'} {route.path.text}"
    yield f"  segments {[str(segment) for segment in route.path.segments]}"
    public = ", public" if route.public else ""
    yield f"  authentication {route.authentication}{public}, providers {', '.join(route.providers) or 'none'}"
    yield from (f"  cors {origin}" for origin in route.cors_origins)
    for rule in (*route.deny, *route.require, *route.allow):
        yield f"  {rule.kind} {rule.id}: {' and '.join(_condition(c) for c in rule.conditions)}"
    for header in route.upstream_headers:
        action = "remove" if header.template is None else f"set {''.join(_part(part) for part in header.template)!r}"
        yield f"  header {header.name}: {action}"


def _part(part: TemplatePart) -> str:
    return "{" + ".".join(part.path) + "}" if part.path else part.text


def _condition(condition: ConditionKey) -> str:
    match condition:
        case When(condition=when):
            return f"{'rego' if isinstance(when, RegoCondition) else 'when'} ({when.text})"
        case RoleIs(roles=roles, permissions=permissions):
            return f"role {_sorted(roles)}" + (f" for {', '.join(permissions)}" if permissions else "")
        case _:
            return str(condition)


def _sorted(names: Iterable[str]) -> str:
    return f"[{', '.join(sorted(names))}]"
