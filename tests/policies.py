"""Policy text for tests: a small valid set to build on, and what reading a text says."""

from __future__ import annotations

from collections.abc import Mapping

from extauthz.errors import PolicyError
from extauthz.languages.policy_yaml import ParsedSet, SourceText, parse_policy_set
from extauthz.languages.policy_yaml.nodes import AnyNode, Scalar
from extauthz.languages.policy_yaml.reader import read_document
from extauthz.languages.policy_yaml.rego import RegoSources
from extauthz.languages.policy_yaml.report import Report
from extauthz.languages.rego import Module
from extauthz.model.policy import PolicySet, Route
from extauthz.sources.rego_planner import plan_with_regopy

HEAD = """\
version: 1
name: shop
providers:
  corp:
    issuer: https://issuer.example
    audiences: [shop]
    algorithms: [RS256]
    jwks: {uri: https://issuer.example/jwks}
"""
TWO_PROVIDERS = """\
version: 1
name: shop
providers:
  corp:
    issuer: https://a.example
    audiences: [shop]
    algorithms: [RS256]
    jwks: {uri: https://a.example/k}
    may_assert: all
  partner:
    issuer: https://b.example
    audiences: [shop]
    algorithms: [RS256]
    jwks: {uri: https://b.example/k}
    may_assert: all
"""
ROLES = """\
roles:
  reader: {permissions: ["orders:read"]}
  admin: {inherits: [reader], permissions: ["*"]}
"""
ROUTE = """\
routes:
  - {name: orders, path: /orders, allow: [{authenticated: true}]}
"""


def parse(
    text: str, files: Mapping[str, str | bytes] | None = None, *, with_lint: bool = False, **values: str
) -> ParsedSet:
    """Parses one file, `policy.yaml`; files that it names, and Rego modules, come from `files`."""

    def read_file(path: str) -> bytes:
        content = (files or {}).get(path)
        if content is None:
            raise FileNotFoundError(2, "No such file or directory")
        return content.encode() if isinstance(content, str) else content

    sources = [SourceText("policy.yaml", text.encode())]
    modules = [Module(name, str(content)) for name, content in (files or {}).items() if name.endswith(".rego")]
    rego = RegoSources(modules, (), plan_with_regopy)
    return parse_policy_set(sources, read_file=read_file, values=values, rego=rego, with_lint=with_lint)


def policy_set(text: str, files: Mapping[str, str | bytes] | None = None, **values: str) -> PolicySet:
    """The set of one file."""
    return parse(text, files, with_lint=False, **values).policy_set


def only_route(text: str) -> Route:
    """The one route of a set."""
    (route,) = policy_set(text).routes
    return route


def errors(text: str, files: Mapping[str, str | bytes] | None = None, **values: str) -> list[tuple[str, str]]:
    """Code and message of everything that is found in a text that is no policy set."""
    try:
        parse(text, files, with_lint=False, **values)
    except PolicyError as error:
        return [(diagnostic.code, diagnostic.message) for diagnostic in error.diagnostics]
    raise AssertionError("the text is a policy set")


def codes(text: str, files: Mapping[str, str | bytes] | None = None, **values: str) -> list[str]:
    """The codes alone."""
    return [code for code, _ in errors(text, files, **values)]


def warnings(text: str, files: Mapping[str, str | bytes] | None = None, *, with_lint: bool = False) -> list[str]:
    """The codes of the warnings of a set."""
    return [diagnostic.code for diagnostic in parse(text, files, with_lint=with_lint).warnings]


def read(text: str | bytes) -> tuple[AnyNode | None, list[str]]:
    """A document's value and the codes of what is wrong with it."""
    report = Report()
    content = text if isinstance(text, bytes) else text.encode()
    root = read_document("policy.yaml", content, report)
    return root, [diagnostic.code for diagnostic in report.diagnostics([])]


def scalar(text: str) -> Scalar:
    """One quoted text, as read from a file."""
    root, _ = read("'" + text.replace("'", "''") + "'")
    assert isinstance(root, Scalar)
    return root
