"""Policy text -> `PolicySet`: read, merge, resolve, check.

Every step reports what it finds and goes on with what it could read, so that all errors of a set are reported at once.
Only when a file cannot be read at all do the later steps not run: half a set would make names look undeclared.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

from extauthz.errors import PolicyError
from extauthz.languages.policy_yaml.api_keys import ApiKeyReader
from extauthz.languages.policy_yaml.bindings import BindingReader
from extauthz.languages.policy_yaml.checks import (
    check_headers,
    check_owned_reads,
    check_routes,
    warn_of_unbound_bindings,
    warn_of_unguarded_denies,
    workload_roles,
)
from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.conditions import Conditions
from extauthz.languages.policy_yaml.files import Files, digest
from extauthz.languages.policy_yaml.language import POLICY, PathsText, PolicyText, ResponsesText
from extauthz.languages.policy_yaml.lint import lint
from extauthz.languages.policy_yaml.membership import is_named, named_by_file
from extauthz.languages.policy_yaml.merge import merge
from extauthz.languages.policy_yaml.networks import http_url, is_loopback, read_networks
from extauthz.languages.policy_yaml.nodes import AnyNode, Scalar
from extauthz.languages.policy_yaml.paths import PathReader
from extauthz.languages.policy_yaml.providers import ProviderReader, refuse_shared_locations
from extauthz.languages.policy_yaml.reader import read_document
from extauthz.languages.policy_yaml.rego import RegoRules, RegoSources
from extauthz.languages.policy_yaml.report import Report, quoted
from extauthz.languages.policy_yaml.roles import read_roles
from extauthz.languages.policy_yaml.routes import FoldedRoute, RouteReader
from extauthz.languages.policy_yaml.rules import RuleReader
from extauthz.languages.policy_yaml.shapes import Reading, texts
from extauthz.languages.policy_yaml.templates import HeaderReader
from extauthz.model.policy import (
    OnAmbiguity,
    PathSettings,
    PolicySet,
    ResponseFormat,
    ResponseSettings,
    Route,
    TrailingSlash,
    UpstreamHeader,
)
from extauthz.model.provider import ApiKeyProvider, Provider
from extauthz.model.source import Diagnostic, Span

DEFAULT_NAME = "policy"


@dataclass(frozen=True, slots=True)
class SourceText:
    """A policy file, read."""

    path: str
    """As the user gave it: it stands in messages, and files that the policy names are relative to its folder."""
    content: bytes


@dataclass(frozen=True, slots=True)
class ParsedSet:
    """A policy set, whole and checked, with what its author should know."""

    policy_set: PolicySet
    warnings: tuple[Diagnostic, ...]
    references: tuple[str, ...]
    """The files that were read because the policy names them, sorted."""


def parse_policy_set(
    sources: Sequence[SourceText],
    *,
    read_file: Callable[[str], bytes],
    values: Mapping[str, str] = MappingProxyType({}),
    rego: RegoSources | None = None,
    with_lint: bool = False,
) -> ParsedSet:
    """Parses the files of one set.

    Args:
        sources: the policy files, in the order in which they are merged.
        read_file: reads a file that the policy names, by the path joined to the folder of the file that names it; an
            OSError is reported at the name.
        values: what `${NAME}` stands for in providers and hosts.
        rego: the Rego modules and data of the set.
        with_lint: whether to warn of what is legal but unwise, too.

    Raises:
        PolicyError: the set must not be served; it carries every error of the set, and nothing else is ever raised.
    """
    with _collector_paused():
        return _parse(sources, read_file, values, rego, with_lint=with_lint)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Pauses the cyclic garbage collector, which would walk the growing tree again and again.

    That took half of a large set's load, and each time stopped every other thread, the one that answers requests
    included: for a third of a second with 10,000 routes. A tree of values has no cycles of its own; reference counts
    free it as before.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _parse(
    sources: Sequence[SourceText],
    read_file: Callable[[str], bytes],
    values: Mapping[str, str],
    rego: RegoSources | None,
    *,
    with_lint: bool,
) -> ParsedSet:
    report = Report()
    reading = Reading(report, values)
    files = Files(read_file, report)
    roots = [read_document(source.path, source.content, report) for source in sources]
    read = [root for root in roots if root is not None]
    named = named_by_file(read, values)
    policies = [root for root in roots if root is None or not is_named(root, named)]
    if not policies:
        report.error(Code.EMPTY_FILE, Span(sources[0].path if sources else "", 1, 1), "there is no policy file")
    records = [record for root in policies if root is not None and (record := POLICY.read(root, reading)) is not None]
    rego_rules = RegoRules(rego, report)
    if len(records) < len(policies) or not records:
        raise PolicyError(report.diagnostics(read))
    parser = _SetParser(merge(records, report), rego_rules, files, report)
    policy_set = parser.parse()
    diagnostics = report.diagnostics([*read, *parser.documents])
    if report.has_errors:
        raise PolicyError(diagnostics)
    used_values = [(f"${name}", f"{name}={values[name]}".encode()) for name in sorted(reading.used_values)]
    contents = [(source.path, source.content) for source in sources]
    if rego is not None:
        contents += [(module.path, module.text.encode()) for module in rego.modules]
        contents += [(file.path, file.content) for file in rego.data]
    revision = digest([*contents, *files.contents.items(), *used_values])
    whole = policy_set(revision)
    if with_lint:
        lint(parser.policy, whole, report)
        diagnostics = report.diagnostics([*read, *parser.documents])
    return ParsedSet(whole, diagnostics, tuple(sorted(files.contents)))


@dataclass(slots=True)
class _SetParser:
    """Resolves and checks one merged set."""

    policy: PolicyText
    rego: RegoRules
    files: Files
    report: Report
    documents: Sequence[AnyNode] = ()
    """Further documents that were read, for the paths of findings in them."""

    def parse(self) -> Callable[[str], PolicySet]:
        """The set, given its revision."""
        policy, report = self.policy, self.report
        if not policy.wrote("version"):
            report.error(Code.MISSING_KEY, policy.owner, "the key 'version' is missing", "write `version: 1`")
        if not policy.wrote("routes"):
            report.error(Code.NO_ROUTES, policy.owner, "the set has no routes, so it would deny everything")
        roles = read_roles(policy.roles or (), report)
        names = tuple(entry.name for entry in policy.providers or ())
        jwt_providers, api_key_providers, credential_headers = self._providers(roles)
        trust_domains = texts(policy.trust_domains)
        conditions = Conditions(policy.variables or (), report)
        bindings = BindingReader(roles, names, trust_domains, conditions, report)
        bound = bindings.read(policy.bindings or ())
        paths = _path_settings(policy.paths)
        rules = RuleReader(roles, names, trust_domains, conditions, self.rego, report)
        headers = HeaderReader(report)
        reader = RouteReader(rules, PathReader(paths, report), headers, names, report)
        folded = reader.read(policy)
        check_routes(folded, names, workload_roles(bound, roles), report)
        check_headers(folded, headers, credential_headers, report)
        compiled = [(condition, rule.place_of(condition)) for rule in rules.all for condition in rule.conditions]
        check_owned_reads([*compiled, *bindings.compiled], headers.set_at, report)
        warn_of_unbound_bindings(bindings.compiled, folded, report)
        warn_of_unguarded_denies(rules.all, report)
        default_providers = texts(policy.defaults.providers) if policy.defaults is not None else ()
        trusted_proxies = read_networks(policy.trusted_proxies or (), report)
        responses = self._responses(policy.responses)
        routes = _finished(folded)
        return lambda revision: PolicySet(
            name=policy.name.text if policy.name is not None else DEFAULT_NAME,
            revision=revision,
            providers=jwt_providers,
            api_key_providers=api_key_providers,
            roles=MappingProxyType(roles),
            bindings=bound,
            routes=routes,
            default_providers=default_providers or names,
            trust_domains=trust_domains,
            trusted_proxies=trusted_proxies,
            paths=paths,
            responses=responses,
            owned_headers=_owned_headers(routes),
        )

    def _providers(
        self, roles: Iterable[str]
    ) -> tuple[tuple[Provider, ...], tuple[ApiKeyProvider, ...], dict[str, str]]:
        """The providers of both kinds, and the headers in which credentials stand with the provider that reads them."""
        entries = self.policy.providers or ()
        roles = frozenset(roles)
        provider_reader = ProviderReader(entries, roles, self.files, self.report)
        providers = provider_reader.read()
        key_reader = ApiKeyReader(roles, provider_reader, self.files, self.report)
        api_key_providers = key_reader.read(entries)
        self.documents = key_reader.documents
        refuse_shared_locations(key_reader.headers, providers, self.report)
        headers = {provider.header: provider.name for provider in api_key_providers}
        for provider in providers:
            for token in provider.tokens:
                headers[token.header or "cookie"] = provider.name
        return providers, api_key_providers, headers

    def _responses(self, written: ResponsesText | None) -> ResponseSettings:
        if written is None:
            return ResponseSettings()
        metadata = written.resource_metadata
        url = http_url(metadata.text) if metadata is not None else None
        if metadata is not None and (url is None or (url.scheme == "http" and not is_loopback(url.hostname or ""))):
            message = f"{quoted(metadata.text)} is not an https URL"
            self.report.error(Code.MALFORMED, metadata, message, "write the URL of the metadata (RFC 9728)")
        return ResponseSettings(
            format=ResponseFormat(written.format.text) if written.format is not None else ResponseFormat.PROBLEM,
            realm=written.realm.text if written.realm is not None else None,
            resource_metadata=metadata.text if metadata is not None else None,
        )


def _path_settings(written: PathsText | None) -> PathSettings:
    if written is None:
        return PathSettings()

    def reading(scalar: Scalar | None) -> OnAmbiguity:
        return OnAmbiguity(scalar.text) if scalar is not None else OnAmbiguity.REJECT

    trailing = written.trailing_slash
    return PathSettings(
        encoded_slash=reading(written.encoded_slash),
        double_encoding=reading(written.double_encoding),
        repeated_slash=reading(written.repeated_slash),
        dot_segments=reading(written.dot_segments),
        parameters=reading(written.parameters),
        trailing_slash=TrailingSlash(trailing.text) if trailing is not None else TrailingSlash.SAME,
    )


def _finished(folded: Iterable[FoldedRoute]) -> tuple[Route, ...]:
    """The routes; those that share their headers share the tuple."""
    known: dict[int, tuple[UpstreamHeader, ...]] = {}
    routes: list[Route] = []
    for route in folded:
        headers = route.scope.headers
        in_order = known.setdefault(id(headers), tuple(headers[name] for name in sorted(headers)))
        finished = route.finished(in_order)
        if finished is not None:
            routes.append(finished)
    return tuple(routes)


def _owned_headers(routes: Iterable[Route]) -> tuple[str, ...]:
    routes = tuple(routes)
    lists = {id(route.upstream_headers): route.upstream_headers for route in routes}
    written = {h.name for headers in lists.values() for h in headers if h.template is not None}
    decided = {name for route in routes if route.decision is not None for name in route.decision.headers}
    return tuple(sorted(written | decided))
