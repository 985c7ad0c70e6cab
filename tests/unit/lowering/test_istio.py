from __future__ import annotations

import json
import subprocess

import pytest

from extauthz.demo.envoy import envoy_binary
from extauthz.errors import ConfigurationError
from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.lowering.bootstrap import listener
from extauthz.lowering.istio import (
    CUSTOM_FILE,
    ENVOY_FILTER_FILE,
    MESH_CONFIG_FILE,
    Workloads,
    compile_istio,
    custom_policy,
    mesh_config,
    parse_selector,
    problems_of,
)
from extauthz.lowering.native import Delegated, native_filters
from extauthz.lowering.planner import make_plan
from extauthz.sources.policy_files import load

AUTHORIZER = TcpAddress("authz.extauthz.svc.cluster.local", 9000)
ORDERS = Workloads("shop", {"app": "orders"})
POLICY = """
version: 1
name: orders
routes:
  - {name: open, path: /open, public: true}
  - {name: body, path: /body, authentication: none, allow: [{when: "body.a == 'b'"}]}
upstream_headers: {set: {x-user: "{principal.subject}"}}
"""


@pytest.fixture
def plan(tmp_path):
    """Of a set with a native route, one for the authorizer, and a header."""
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    return make_plan(load([str(file)]).parsed.policy_set)


def patches(files, kind):
    """What an EnvoyFilter does to objects of a kind, in its order."""
    found = json.loads(files[ENVOY_FILTER_FILE])["spec"]["configPatches"]
    return [each["patch"]["value"] for each in found if each["applyTo"] == kind]


@pytest.mark.parametrize(("authorizer", "delegated"), [(AUTHORIZER, Delegated.RESIDUAL), (None, Delegated.NOTHING)])
def test_an_envoy_filter_holds_the_filters_in_their_order(plan, authorizer, delegated):
    """Those of `--to envoy`, each before the router: so the last one in is the last one asked."""
    files = compile_istio(plan, ORDERS, authorizer=authorizer)
    assert patches(files, "HTTP_FILTER") == native_filters(plan, delegated=delegated)
    (fields,) = patches(files, "NETWORK_FILTER")
    assert fields["typed_config"]["common_http_protocol_options"]["headers_with_underscores_action"] == "REJECT_REQUEST"
    assert (CUSTOM_FILE in files) is (authorizer is not None)
    document = json.loads(files[ENVOY_FILTER_FILE])
    assert document["spec"]["workloadSelector"] == {"labels": {"app": "orders"}}
    assert document["metadata"] == {"name": "extauthz-orders", "namespace": "shop"}
    contexts = {each["match"]["context"] for each in document["spec"]["configPatches"] if each["applyTo"] != "CLUSTER"}
    assert contexts == {"SIDECAR_INBOUND"}


@pytest.mark.envoy
def test_envoy_takes_what_the_patches_make(plan, tmp_path):
    """Applied to a connection manager as Istio applies them: merged, added, put before the router."""
    files = compile_istio(plan, ORDERS, authorizer=AUTHORIZER)
    (fields,) = patches(files, "NETWORK_FILTER")
    config = {key: value for key, value in fields["typed_config"].items() if key != "@type"}
    address = TcpAddress("127.0.0.1", 0)
    routes = [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]
    made = listener("inbound", address, patches(files, "HTTP_FILTER"), config, routes=routes)
    bootstrap = {"static_resources": {"listeners": [made], "clusters": patches(files, "CLUSTER")}}
    file = tmp_path / "envoy.json"
    file.write_text(json.dumps(bootstrap))
    done = subprocess.run(
        [envoy_binary(), "--mode", "validate", "-c", file, "-l", "warning"],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_custom_policy_asks_about_everything_and_fails_closed(plan):
    """One rule without a condition; no answer is 503, and bodies are sent where a condition reads them."""
    files = compile_istio(plan, ORDERS, authorizer=AUTHORIZER)
    policy, mesh = json.loads(files[CUSTOM_FILE]), json.loads(files[MESH_CONFIG_FILE])
    assert (policy["spec"]["action"], policy["spec"]["rules"]) == ("CUSTOM", [{}])
    (provider,) = mesh["extensionProviders"]
    asked = provider["envoyExtAuthzGrpc"]
    assert (asked["failOpen"], asked["statusOnError"], asked["port"]) == (False, "503", 9000)
    assert asked["includeRequestBodyInCheck"]["allowPartialMessage"] is True
    assert problems_of([policy], mesh) == []


@pytest.mark.parametrize(
    "address", [TcpAddress("10.0.0.1", 9000), TcpAddress("localhost", 9000), UnixAddress("/run/authz.sock")]
)
def test_istio_knows_services_by_name(plan, address):
    """An address is none that a provider can have."""
    with pytest.raises(ConfigurationError, match="asks a service by its name"):
        mesh_config(plan.policy_set, address)


def custom(name="a", provider="extauthz", rules=({},), labels=None):
    """A policy of somebody's."""
    made = custom_policy(name, Workloads("shop", labels or {"app": "orders"}))
    made["spec"]["rules"] = list(rules)
    made["spec"]["provider"] = None if provider is None else {"name": provider}
    return made


@pytest.mark.parametrize(
    ("policies", "said"),
    [
        ([custom(provider=None)], "names no provider"),
        ([custom(provider="other")], "no extensionProvider is called other"),
        (
            [custom(rules=[{"when": [{"key": "request.auth.claims[iss]", "values": ["x"]}]}])],
            "before tokens are verified",
        ),
        ([custom(rules=[{"from": [{"source": {"requestPrincipals": ["*"]}}]}])], "before tokens are verified"),
        ([custom(), custom("b", "second")], "b: the workload has another provider already"),
    ],
)
def test_what_schemas_do_not_see(policies, said):
    """Each is told by the policy's name; what is right is not."""
    mesh = {"extensionProviders": [{"name": "extauthz"}, {"name": "second"}]}
    (problem,) = problems_of(policies, mesh)
    assert said in problem
    allowing = {"metadata": {"name": "c"}, "spec": {"action": "ALLOW"}}
    right = [
        allowing,
        custom(rules=[{"to": [{"operation": {"paths": ["/a"]}}]}]),
        custom("d", "second", labels={"a": "b"}),
    ]
    assert problems_of(right, mesh) == []


@pytest.mark.parametrize("text", ["app", "app=a b", "-a=b", "a=b-", "=b"])
def test_what_is_no_label(text):
    """Kubernetes would refuse it, and say less."""
    with pytest.raises(ConfigurationError, match="--selector"):
        Workloads("shop", parse_selector([text]))


def test_who_is_meant_must_be_said():
    """No labels would be every workload of the namespace; twice the same is no one."""
    with pytest.raises(ConfigurationError, match="--selector LABEL=VALUE is missing"):
        Workloads("shop", {})
    with pytest.raises(ConfigurationError, match="no name of a namespace"):
        Workloads("Shop", {"a": "b"})
    with pytest.raises(ConfigurationError, match="no label of its own"):
        parse_selector(["a=b", "a=c"])
    assert parse_selector(["a=b", "x.io/c="]) == {"a": "b", "x.io/c": ""}


def test_a_name_that_kubernetes_does_not_take(plan, tmp_path):
    """The set's own; told with what to do."""
    file = tmp_path / "other.yaml"
    file.write_text(POLICY.replace("name: orders", "name: Orders_1"))
    other = make_plan(load([str(file)]).parsed.policy_set)
    with pytest.raises(ConfigurationError, match="makes no name of an object"):
        compile_istio(other, ORDERS, authorizer=AUTHORIZER)
