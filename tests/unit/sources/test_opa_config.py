import json

import pytest

from extauthz.check.opa_policy import Expression
from extauthz.errors import ConfigurationError
from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.sources.opa_config import (
    DEFAULT_BUCKETS,
    OpaBundle,
    OpaService,
    parse_opa_address,
    read_opa_config,
)

PLUGIN = "envoy_ext_authz_grpc"


@pytest.fixture
def read(tmp_path):
    def read_text(text, **environment):
        path = tmp_path / "config.yaml"
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        return read_opa_config(str(path), environment)

    return read_text


@pytest.fixture
def problems(read):
    def read_problems(document):
        with pytest.raises(ConfigurationError) as refused:
            read(document)
        return str(refused.value).splitlines()

    return read_problems


def with_plugin(**options):
    return {"plugins": {PLUGIN: options}}


@pytest.mark.parametrize("plugin", ["{}", "", "null"])
def test_defaults(read, plugin):
    """An empty plugin serves the usual rule at the usual port."""
    config = read(f"plugins:\n  {PLUGIN}: {plugin}\n")
    assert config.addresses[0] == TcpAddress("0.0.0.0", 9191)
    assert (config.decision, config.path_text, config.query_text) == (
        ("envoy", "authz", "allow"),
        "envoy/authz/allow",
        "",
    )
    assert (config.max_received_bytes, config.buckets) == (4 * 1024 * 1024, DEFAULT_BUCKETS)
    flags = (config.dry_run, config.enable_reflection, config.skip_request_body_parse, config.performance_metrics)
    assert not any(flags)
    assert not config.logs_to_console
    assert (config.warnings, config.bundles, config.proto_descriptor) == ((), (), None)
    assert config.mask_path == ("system", "log", "mask")


def test_everything(read):
    """Each option of the plugin, and what else is read."""
    config = read(
        """
plugins:
  envoy.ext_authz.grpc:
    addr: 127.0.0.1:9292
    path: /shop//authz/allow/0/
    dry-run: true
    enable-reflection: true
    proto-descriptor: set.pb
    grpc-max-recv-msg-size: 1000
    grpc-max-send-msg-size: 5
    skip-request-body-parse: true
    enable-performance-metrics: true
    grpc-request-duration-seconds-buckets: [0.001, 1]
decision_logs: {console: true, mask_decision: /a/b, drop_decision: c}
labels: {region: "${REGION}"}
services:
  - {name: acme, url: "https://bundles.example/v1/", headers: {x-a: b}, credentials: {bearer: {token: t}}}
bundles:
  authz: {service: acme, resource: /authz.tar.gz, polling: {min_delay_seconds: 1, max_delay_seconds: 2}}
  other: {}
  local: {resource: "file:///etc/b.tar.gz"}
""",
        REGION="eu",
    )
    assert config.addresses == (TcpAddress("127.0.0.1", 9292),)
    assert (config.decision, config.path_text) == (("shop", "authz", "allow", 0), "/shop//authz/allow/0/")
    assert (config.dry_run, config.enable_reflection, config.skip_request_body_parse) == (True, True, True)
    assert (config.proto_descriptor, config.max_received_bytes, config.buckets) == ("set.pb", 1000, (0.001, 1.0))
    assert (config.performance_metrics, config.logs_to_console) == (True, True)
    assert (config.mask_path, config.drop_path, config.labels) == (("a", "b"), ("c",), {"region": "eu"})
    service = OpaService("acme", "https://bundles.example/v1", {"x-a": "b"}, token="t")
    assert config.bundles == (
        OpaBundle("authz", service, "authz.tar.gz", 1, 2),
        OpaBundle("other", service, "bundles/other"),
        OpaBundle("local", None, "/etc/b.tar.gz"),
    )
    assert "t" not in repr(service).replace("token_path", "").split("token")


def test_services_by_name(read):
    """A map, with credentials, authorities and times."""
    given = {
        "services": {
            "s": {
                "url": "http://bundles",
                "credentials": {
                    "bearer": {"token_path": "/t", "scheme": "Token"},
                    "client_tls": {"cert": "c", "private_key": "k"},
                },
                "tls": {"ca_cert": "ca"},
                "response_header_timeout_seconds": 3,
                "allow_insecure_tls": False,
            }
        },
        "bundles": {"b": {"service": "s"}},
    }
    service = read(with_plugin() | given).bundles[0].service
    assert service == OpaService("s", "http://bundles", {}, None, "/t", "Token", "ca", "c", "k", timeout_seconds=3.0)


def test_what_is_not_used_is_named(read):
    """Each with its place; nothing is passed over in silence."""
    config = read(
        with_plugin(colour="red", addr="127.0.0.1:1")
        | {"status": {}, "decision_logs": {"service": "s"}, "services": {"s": {"url": "http://b", "type": "oci"}}}
        | {"plugins": {PLUGIN: {"colour": "red"}, "other": {}}}
    )
    named = {warning.partition(": ")[2].split()[0] for warning in config.warnings}
    assert named == {"status", "decision_logs.service", "services.s.type", f"plugins.{PLUGIN}.colour", "plugins.other"}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, f"plugins.{PLUGIN} is missing"),
        ({"plugins": {PLUGIN: {}, "envoy.ext_authz.grpc": {}}}, "both are there"),
        ({"plugins": {PLUGIN: []}}, "it is a map"),
        (with_plugin(path="a", query="data.b"), 'specify a value for only the "path" field'),
        (with_plugin(query="x := data.b"), "only one expression"),
        (with_plugin(**{"dry-run": "yes"}), f"plugins.{PLUGIN}.dry-run: it is true or false"),
        (with_plugin(**{"grpc-max-recv-msg-size": "1"}), "it is a number"),
        (with_plugin(**{"grpc-request-duration-seconds-buckets": [2, 1]}), "a list of rising numbers"),
        (with_plugin(**{"grpc-request-duration-seconds-buckets": []}), "a list of rising numbers"),
        (with_plugin(addr="http://a:1"), "invalid url scheme 'http'"),
        (with_plugin(addr="unix://@name"), "abstract sockets are not supported"),
        (with_plugin(addr="nowhere"), "no address"),
        (with_plugin() | {"bundle": {}}, "bundle: write it as `bundles`"),
        (with_plugin() | {"keys": {}}, "signatures of bundles cannot be verified"),
        (with_plugin() | {"labels": {"a": 1}}, "labels: it is a map of texts"),
        (with_plugin() | {"decision_logs": {"console": 1}}, "decision_logs.console: it is true or false"),
        (with_plugin() | {"bundles": {"b": {"service": "s"}}}, "'s' is none of the services: none"),
        (with_plugin() | {"bundles": {"b": []}}, "bundles.b: it is a map"),
        (with_plugin() | {"services": {"s": {"url": "ftp://x"}}}, "services.s.url: 'ftp://x' is no http"),
        (with_plugin() | {"services": {"s": {"url": "http://u:p@x"}}}, "services.s.url: it holds a user name"),
        (with_plugin() | {"services": [{"url": "http://x"}]}, "each needs a name of its own"),
        (
            with_plugin() | {"services": {"s": {"url": "http://x", "allow_insecure_tls": True}}},
            "a server must prove who it is",
        ),
        (
            with_plugin() | {"services": {"s": {"url": "http://x", "credentials": {"s3_signing": {}}}}},
            "only bearer and client_tls can be used",
        ),
        (
            with_plugin() | {"services": {"s": {"url": "http://x"}}, "bundles": {"b": {"signing": {"keyid": "k"}}}},
            "signatures of bundles cannot be verified",
        ),
        (
            with_plugin()
            | {"services": {"s": {"url": "http://x"}}, "bundles": {"b": {"polling": {"min_delay_seconds": 0}}}},
            "seconds, more than 0",
        ),
        (
            with_plugin()
            | {
                "services": {"s": {"url": "http://x"}},
                "bundles": {"b": {"polling": {"min_delay_seconds": 9, "max_delay_seconds": 1}}},
            },
            "max_delay_seconds is less than",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(problems, document, message):
    """One line each, with its place."""
    (line,) = problems(document)
    assert message in line
    assert "config.yaml" in line


def test_all_problems_at_once(problems):
    """Nobody corrects a file line by line."""
    lines = problems(with_plugin(addr="x", path=1, **{"dry-run": 1}) | {"labels": []})
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "config.yaml:2:1"), ("[]", "configuration is a map"), ("", "config.yaml:1:1")],
)
def test_files_that_are_none(problems, text, message):
    """Not YAML, or no map."""
    assert message in problems(text)[0]


def test_missing_files_and_variables(problems, tmp_path):
    """Named, with what to do."""
    assert "${NOWHERE}: the variable is not set" in problems('labels: {a: "${NOWHERE}"}')[0]
    with pytest.raises(ConfigurationError, match="name a file that can be read"):
        read_opa_config(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost:1", (TcpAddress("localhost", 1),)),
        ("grpc://127.0.0.1:9191", (TcpAddress("127.0.0.1", 9191),)),
        ("unix:///run/opa.sock", (UnixAddress("/run/opa.sock"),)),
        (":0", (TcpAddress("0.0.0.0", 0),)),
    ],
)
def test_addresses(text, expected):
    """As OPA writes them."""
    assert parse_opa_address(text) == expected


def test_every_address_of_the_machine():
    """Of both versions of IP, where there are both."""
    found = parse_opa_address(":9191")
    assert found[0] == TcpAddress("0.0.0.0", 9191)
    assert found[1:] in {(), (TcpAddress("::", 9191),)}


def test_relative_sockets(monkeypatch, tmp_path):
    """A path without a slash is below the working folder."""
    monkeypatch.chdir(tmp_path)
    assert parse_opa_address("unix://s") == (UnixAddress(str(tmp_path / "s")),)


def test_queries(read):
    """A reference is a path; any other expression is asked as it is."""
    config = read(with_plugin(query='data.a["b c"]'))
    assert (config.decision, config.path_text, config.query_text) == (("a", "b c"), "", 'data.a["b c"]')
    for query in ("data.a == true", "count(data.a) >= 1", 'data.a["_"][0] == data.b', "input.x != 1"):
        assert read(with_plugin(query=query)).decision == Expression(query)


@pytest.mark.parametrize(
    "query", ["a = 1", "data.a; data.b", "not data.a", "some x in data.a", "data.a with input as 1"]
)
def test_queries_that_are_no_expression(problems, query):
    """They could say something else than was meant."""
    (line,) = problems(with_plugin(query=query))
    assert "only one expression" in line
