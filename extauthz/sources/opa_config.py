"""OPA's configuration file, as users of opa-envoy-plugin have it: the parts that mean something here, and the others.

What would change a decision and cannot be done is an error. Everything else that is not used is named in a warning.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from extauthz.check.opa_policy import Expression, path_steps, query_steps
from extauthz.errors import ConfigurationError
from extauthz.languages.policy_yaml.nodes import plain_value
from extauthz.languages.policy_yaml.reader import read_document
from extauthz.languages.policy_yaml.report import Report
from extauthz.lowering.address import Address, TcpAddress, parse_address

DEFAULT_PATH: Final = "envoy/authz/allow"
DEFAULT_ADDRESS: Final = ":9191"
DEFAULT_BUCKETS: Final = (1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 3e-3, 5e-3, 0.1, 1.0)
DEFAULT_RECEIVED_BYTES: Final = 4 * 1024 * 1024

PLUGIN: Final = "envoy_ext_authz_grpc"
_ALIAS: Final = "envoy.ext_authz.grpc"
_DEFAULT_MIN_DELAY: Final = 60
_DEFAULT_MAX_DELAY: Final = 120
_DEFAULT_TIMEOUT: Final = 10

_Map: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OpaService:
    """A server of bundles."""

    name: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    token: str | None = field(default=None, repr=False)
    token_path: str | None = None
    """A file that holds the token, read again at each request."""
    scheme: str = "Bearer"
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    timeout_seconds: float = _DEFAULT_TIMEOUT


@dataclass(frozen=True, slots=True)
class OpaBundle:
    """Where a bundle comes from."""

    name: str
    service: OpaService | None
    """None where it is a file."""
    resource: str
    """Below the service's URL, or a path."""
    min_delay_seconds: float = _DEFAULT_MIN_DELAY
    max_delay_seconds: float = _DEFAULT_MAX_DELAY


@dataclass(frozen=True, slots=True)
class OpaConfig:
    """What the file says."""

    addresses: tuple[Address, ...]
    decision: tuple[str | int, ...] | Expression
    """Its path below `data`, or what it is the value of."""
    path_text: str
    """As written, for the decision log; empty where `query` is."""
    query_text: str = ""
    dry_run: bool = False
    enable_reflection: bool = False
    proto_descriptor: str | None = None
    max_received_bytes: int = DEFAULT_RECEIVED_BYTES
    skip_request_body_parse: bool = False
    performance_metrics: bool = False
    buckets: tuple[float, ...] = DEFAULT_BUCKETS
    logs_to_console: bool = False
    mask_path: tuple[str | int, ...] = ("system", "log", "mask")
    drop_path: tuple[str | int, ...] = ("system", "log", "drop")
    labels: Mapping[str, str] = field(default_factory=dict)
    bundles: tuple[OpaBundle, ...] = ()
    warnings: tuple[str, ...] = ()


def read_opa_config(path: str, environment: Mapping[str, str] | None = None) -> OpaConfig:
    """Read a configuration file, YAML or JSON; `${NAME}` is an environment variable.

    Raises:
        ConfigurationError: a line for each problem, with the place of the file or the key.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"--opa-config {path}: {error.strerror}: name a file that can be read") from None
    document = _parse(path, content, os.environ if environment is None else environment)
    reader = _Reader(path)
    config = reader.config(document)
    if reader.problems:
        raise ConfigurationError("\n".join(reader.problems))
    return config


_VARIABLE = re.compile(rb"\$\{([^}]*)\}")


def _parse(path: str, content: bytes, environment: Mapping[str, str]) -> _Map:
    unset = sorted({found.decode("utf-8", "replace") for found in _VARIABLE.findall(content)} - environment.keys())
    if unset:
        raise ConfigurationError("\n".join(f"{path}: ${{{name}}}: the variable is not set: set it" for name in unset))
    content = _VARIABLE.sub(lambda found: environment[found[1].decode()].encode(), content)
    report = Report()
    node = read_document(path, content, report)
    if report.has_errors or node is None:
        found = report.diagnostics([] if node is None else [node])
        raise ConfigurationError("\n".join(f"{each.span}: {each.message}" for each in found))
    document = plain_value(node)
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path}: OPA's configuration is a map, as in `plugins: {{{PLUGIN}: {{}}}}`")
    return document


# --- Keys ----------------------------------------------------------------------------------------------------------

_PLUGIN_KEYS: Final = {
    "addr": str,
    "path": str,
    "query": str,
    "dry-run": bool,
    "enable-reflection": bool,
    "proto-descriptor": str,
    "grpc-max-recv-msg-size": int,
    "grpc-max-send-msg-size": int,
    "skip-request-body-parse": bool,
    "enable-performance-metrics": bool,
    "grpc-request-duration-seconds-buckets": list,
}
_TOP_KEYS: Final = frozenset({"plugins", "decision_logs", "labels", "services", "bundles"})
_LOG_KEYS: Final = frozenset({"console", "mask_decision", "drop_decision"})
_SERVICE_KEYS: Final = frozenset({"name", "url", "headers", "credentials", "tls", "response_header_timeout_seconds"})
_BUNDLE_KEYS: Final = frozenset({"service", "resource", "polling"})
_POLLING_KEYS: Final = frozenset({"min_delay_seconds", "max_delay_seconds"})
_BEARER_KEYS: Final = frozenset({"token", "token_path", "scheme"})

_NO_EXPRESSION = re.compile(
    r"[;\n\r#{}|]|:=|(?<![=!<>:])=(?!=)|\b(?:not|some|every|with)\b|\[\s*(?!(?:data|input)\b)[A-Za-z_]\w*\s*\]"
)
"""What makes a query more than one expression, or one with variables, which may have several results."""

_KINDS: Final = {
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "a map",
}


class _Reader:
    """Reads a document, and keeps what is wrong with it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.problems: list[str] = []
        self._warnings: list[str] = []

    def config(self, document: _Map) -> OpaConfig:
        self._ignore("", document, _TOP_KEYS, refused={"bundle": "write it as `bundles`", "keys": _UNSIGNED})
        plugin = self._plugin(self._get(document, "plugins", dict, {}))
        logs = self._get(document, "decision_logs", dict, {})
        self._ignore("decision_logs.", logs, _LOG_KEYS)
        services = self._services(document.get("services"))
        bundles = self._bundles(self._get(document, "bundles", dict, {}), services)
        path, query = plugin.get("path", ""), plugin.get("query", "")
        if path and query:
            self.problems.append(f'{self._path}: invalid config: specify a value for only the "path" field')
        if not path and not query:
            path = DEFAULT_PATH
        return OpaConfig(
            addresses=self._addresses(plugin.get("addr", DEFAULT_ADDRESS)),
            decision=self._decision(path, query),
            path_text=path,
            query_text=query,
            dry_run=plugin.get("dry-run", False),
            enable_reflection=plugin.get("enable-reflection", False),
            proto_descriptor=plugin.get("proto-descriptor") or None,
            max_received_bytes=plugin.get("grpc-max-recv-msg-size", DEFAULT_RECEIVED_BYTES),
            skip_request_body_parse=plugin.get("skip-request-body-parse", False),
            performance_metrics=plugin.get("enable-performance-metrics", False),
            buckets=self._buckets(plugin.get("grpc-request-duration-seconds-buckets", list(DEFAULT_BUCKETS))),
            logs_to_console=self._get(logs, "console", bool, False, "decision_logs."),  # noqa: FBT003 - a default
            mask_path=path_steps(self._get(logs, "mask_decision", str, "/system/log/mask", "decision_logs.")),
            drop_path=path_steps(self._get(logs, "drop_decision", str, "/system/log/drop", "decision_logs.")),
            labels=self._texts("labels", document.get("labels")),
            bundles=bundles,
            warnings=tuple(self._warnings),
        )

    # --- The plugin ------------------------------------------------------------------------------------------------

    def _plugin(self, plugins: _Map) -> _Map:
        names = [name for name in (PLUGIN, _ALIAS) if name in plugins]
        if len(names) != 1:
            what = "both are there: keep one" if names else "is missing: an empty map takes the defaults"
            self.problems.append(f"{self._path}: plugins.{PLUGIN}{f' and {_ALIAS}:' if names else ''} {what}")
            return {}
        self._ignore("plugins.", plugins, frozenset(names))
        name = names[0]
        given = plugins[name] if plugins[name] is not None else {}
        if not isinstance(given, dict):
            self.problems.append(f"{self._path}: plugins.{name}: it is a map")
            return {}
        prefix = f"plugins.{name}."
        self._ignore(prefix, given, frozenset(_PLUGIN_KEYS))
        return {
            key: self._get(given, key, kind, None, prefix)
            for key, kind in _PLUGIN_KEYS.items()
            if given.get(key) is not None
        }

    def _addresses(self, text: str) -> tuple[Address, ...]:
        try:
            return parse_opa_address(text)
        except ConfigurationError as error:
            self.problems.append(f"{self._path}: plugins.{PLUGIN}.addr: {error}")
            return ()

    def _decision(self, path: str, query: str) -> tuple[str | int, ...] | Expression:
        if not query:
            return path_steps(path)
        steps = query_steps(query)
        if steps is not None:
            return steps
        if _NO_EXPRESSION.search(query):
            self.problems.append(
                f"{self._path}: plugins.{PLUGIN}.query: only one expression without variables can be asked for, as in "
                "data.envoy.authz.allow: make a rule of the query, and name it in `path`"
            )
        return Expression(query.strip())

    def _buckets(self, given: Sequence[Any]) -> tuple[float, ...]:
        is_rising = all(type(bound) in {int, float} for bound in given) and list(given) == sorted(set(given))
        if not given or not is_rising:
            self.problems.append(
                f"{self._path}: plugins.{PLUGIN}.grpc-request-duration-seconds-buckets: a list of rising numbers"
            )
            return DEFAULT_BUCKETS
        return tuple(map(float, given))

    # --- Services and bundles --------------------------------------------------------------------------------------

    def _services(self, given: Any) -> dict[str, OpaService]:
        """By name; they are a map, or a list of maps with names."""
        if isinstance(given, list):
            named = {str(each.get("name") or ""): each for each in given if isinstance(each, dict)}
            if len(named) != len(given) or "" in named:
                self.problems.append(f"{self._path}: services: each needs a name of its own")
                return {}
        else:
            named = self._get({"services": given}, "services", dict, {})
        return {str(name): self._service(str(name), self._get(named, name, dict, {}, "services.")) for name in named}

    def _service(self, name: str, given: _Map) -> OpaService:
        prefix = f"services.{name}."
        refused = {"allow_insecure_tls": "a server must prove who it is: name its authority in tls.ca_cert"}
        used_or_off = {key: value for key, value in given.items() if key != "allow_insecure_tls" or value}
        self._ignore(prefix, used_or_off, _SERVICE_KEYS, refused=refused)
        credentials = self._get(given, "credentials", dict, {}, prefix)
        for kind in credentials.keys() - {"bearer", "client_tls"}:
            self.problems.append(f"{self._path}: {prefix}credentials.{kind}: only bearer and client_tls can be used")
        bearer = self._get(credentials, "bearer", dict, {}, f"{prefix}credentials.")
        self._ignore(f"{prefix}credentials.bearer.", bearer, _BEARER_KEYS)
        client = self._get(credentials, "client_tls", dict, {}, f"{prefix}credentials.")
        self._ignore(f"{prefix}credentials.client_tls.", client, frozenset({"cert", "private_key"}))
        tls = self._get(given, "tls", dict, {}, prefix)
        self._ignore(f"{prefix}tls.", tls, frozenset({"ca_cert"}))
        url = self._get(given, "url", str, "", prefix)
        if "@" in url:
            self.problems.append(f"{self._path}: {prefix}url: it holds a user name: write it as credentials")
        elif not re.match(r"https?://[^/]", url):
            self.problems.append(f"{self._path}: {prefix}url: '{url}' is no http:// or https:// URL")
        return OpaService(
            name=name,
            url=url.rstrip("/"),
            headers=self._texts(f"{prefix}headers", given.get("headers")),
            token=self._get(bearer, "token", str, None, f"{prefix}credentials.bearer."),
            token_path=self._get(bearer, "token_path", str, None, f"{prefix}credentials.bearer."),
            scheme=self._get(bearer, "scheme", str, "Bearer", f"{prefix}credentials.bearer."),
            ca_file=self._get(tls, "ca_cert", str, None, f"{prefix}tls."),
            client_cert=self._get(client, "cert", str, None, f"{prefix}credentials.client_tls."),
            client_key=self._get(client, "private_key", str, None, f"{prefix}credentials.client_tls."),
            timeout_seconds=self._seconds(given, "response_header_timeout_seconds", _DEFAULT_TIMEOUT, prefix),
        )

    def _bundles(self, given: _Map, services: Mapping[str, OpaService]) -> tuple[OpaBundle, ...]:
        return tuple(bundle for name in given if (bundle := self._bundle(str(name), given[name], services)) is not None)

    def _bundle(self, name: str, given: Any, services: Mapping[str, OpaService]) -> OpaBundle | None:
        prefix = f"bundles.{name}."
        if not isinstance(given, dict):
            self.problems.append(f"{self._path}: bundles.{name}: it is a map")
            return None
        self._ignore(prefix, given, _BUNDLE_KEYS, refused={"signing": _UNSIGNED})
        polling = self._get(given, "polling", dict, {}, prefix)
        self._ignore(f"{prefix}polling.", polling, _POLLING_KEYS)
        least = self._seconds(polling, "min_delay_seconds", _DEFAULT_MIN_DELAY, f"{prefix}polling.")
        most = self._seconds(polling, "max_delay_seconds", max(least, _DEFAULT_MAX_DELAY), f"{prefix}polling.")
        if most < least:
            self.problems.append(f"{self._path}: {prefix}polling: max_delay_seconds is less than min_delay_seconds")
        resource = self._get(given, "resource", str, f"bundles/{name}", prefix)
        service_name = self._get(given, "service", str, None, prefix)
        if resource.startswith("file:"):
            return OpaBundle(name, None, "/" + resource.removeprefix("file:").lstrip("/"), least, most)
        if service_name is None and len(services) == 1:
            service_name = next(iter(services))
        service = services.get(service_name or "")
        if service is None:
            known = ", ".join(sorted(services)) or "none"
            self.problems.append(
                f"{self._path}: {prefix}service: '{service_name or ''}' is none of the services: {known}"
            )
            return None
        return OpaBundle(name, service, resource.lstrip("/"), least, most)

    # --- Values ----------------------------------------------------------------------------------------------------

    def _get(self, given: _Map, key: str, kind: type, default: Any, prefix: str = "") -> Any:
        """A value of the right type, or the default; null is absent."""
        value = given.get(key)
        if value is None:
            return default
        if type(value) is not kind:
            self.problems.append(f"{self._path}: {prefix}{key}: it is {_KINDS[kind]}")
            return default
        return value

    def _seconds(self, given: _Map, key: str, default: float, prefix: str) -> float:
        value = given.get(key)
        if value is None:
            return default
        if type(value) not in {int, float} or not 0 < value <= 86_400:
            self.problems.append(f"{self._path}: {prefix}{key}: seconds, more than 0 and at most a day")
            return default
        return float(value)

    def _texts(self, name: str, given: Any) -> dict[str, str]:
        if given is None:
            return {}
        if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
            self.problems.append(f"{self._path}: {name}: it is a map of texts")
            return {}
        return given

    def _ignore(self, prefix: str, given: _Map, known: Iterable[str], refused: Mapping[str, str] | None = None) -> None:
        """Warn of keys that are not used; refuse those without which a decision would be another."""
        for key in _unknown(given, known):
            if key in (refused or {}):
                self.problems.append(f"{self._path}: {prefix}{key}: {(refused or {})[key]}")
            else:
                self._warnings.append(f"{self._path}: {prefix}{key} is not used here")


_UNSIGNED: Final = "signatures of bundles cannot be verified here: leave it out to trust the service that sends them"


def _unknown(given: _Map, known: Iterable[str]) -> Iterator[str]:
    known = frozenset(known)
    return (str(key) for key in given if key not in known)


# --- Addresses -----------------------------------------------------------------------------------------------------


def parse_opa_address(text: str) -> tuple[Address, ...]:
    """`host:port`, `grpc://host:port`, `unix:///path`; without a host it is every address of the machine.

    Raises:
        ConfigurationError: it is none of them.
    """
    scheme, separator, rest = text.partition("://")
    if separator and scheme == "unix":
        if rest.startswith("@"):
            raise ConfigurationError(f"'{text}': abstract sockets are not supported: write unix:///path")
        return (parse_address(f"unix:{Path(rest).absolute()}"),) if rest else (parse_address("unix:"),)
    if separator and scheme != "grpc":
        raise ConfigurationError(f"invalid url scheme '{scheme}': write host:port, grpc://host:port or unix:///path")
    if separator:
        text = rest.rstrip("/")
    if not text.startswith(":"):
        return (parse_address(text),)
    port = parse_address(f"0.0.0.0{text}")  # noqa: S104 - as asked for
    assert isinstance(port, TcpAddress)  # noqa: S101 - it is written as one
    has_ipv6 = Path("/proc/net/if_inet6").exists() and port.port != 0
    return (port, TcpAddress("::", port.port)) if has_ipv6 else (port,)
