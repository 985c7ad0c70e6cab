"""The examples for gateways that speak to extauthz by ext_authz: fields that exist, and settings that are safe.

The gateways' own schemas are large and not ours to keep. What the examples use of them was checked against the custom
resource definitions that Istio, Envoy Gateway, Contour and Emissary had in August 2026, and is written down here.
"""

import pytest
import yaml
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from google.protobuf import json_format

from extauthz.lowering.connection_manager import connection_manager_fields
from extauthz.lowering.ext_authz import stripped_headers
from extauthz.settings import load_settings
from extauthz.sources.policy_files import load

GATEWAYS = ["istio", "envoy-gateway", "contour", "emissary"]

KNOWN = {
    "IstioOperator": {
        "spec.meshConfig.extensionProviders.name",
        "spec.meshConfig.extensionProviders.envoyExtAuthzGrpc.service",
        "spec.meshConfig.extensionProviders.envoyExtAuthzGrpc.port",
        "spec.meshConfig.extensionProviders.envoyExtAuthzGrpc.timeout",
        "spec.meshConfig.extensionProviders.envoyExtAuthzGrpc.failOpen",
        "spec.meshConfig.extensionProviders.envoyExtAuthzGrpc.statusOnError",
        "spec.meshConfig.pathNormalization.normalization",
    },
    "AuthorizationPolicy": {
        "spec.selector.matchLabels.istio",
        "spec.action",
        "spec.provider.name",
        "spec.rules",
    },
    "EnvoyFilter": {
        "spec.workloadSelector.labels.istio",
        "spec.configPatches.applyTo",
        "spec.configPatches.match.context",
        "spec.configPatches.match.listener.filterChain.filter.name",
        "spec.configPatches.patch.operation",
        "spec.configPatches.patch.value",
    },
    "SecurityPolicy": {
        "spec.targetRefs.group",
        "spec.targetRefs.kind",
        "spec.targetRefs.name",
        "spec.extAuth.failOpen",
        "spec.extAuth.statusOnError",
        "spec.extAuth.timeout",
        "spec.extAuth.grpc.backendRefs.name",
        "spec.extAuth.grpc.backendRefs.namespace",
        "spec.extAuth.grpc.backendRefs.port",
    },
    "ReferenceGrant": {
        "spec.from.group",
        "spec.from.kind",
        "spec.from.namespace",
        "spec.to.group",
        "spec.to.kind",
        "spec.to.name",
    },
    "ClientTrafficPolicy": {
        "spec.targetRefs.group",
        "spec.targetRefs.kind",
        "spec.targetRefs.name",
        "spec.headers.withUnderscoresAction",
        "spec.headers.earlyRequestHeaders.remove",
        "spec.path.escapedSlashesAction",
        "spec.path.disableMergeSlashes",
    },
    "ExtensionService": {
        "spec.protocol",
        "spec.services.name",
        "spec.services.port",
        "spec.timeoutPolicy.response",
    },
    "HTTPProxy": {
        "spec.virtualhost.fqdn",
        "spec.virtualhost.tls.secretName",
        "spec.virtualhost.authorization.extensionRef.apiVersion",
        "spec.virtualhost.authorization.extensionRef.namespace",
        "spec.virtualhost.authorization.extensionRef.name",
        "spec.virtualhost.authorization.responseTimeout",
        "spec.virtualhost.authorization.failOpen",
        "spec.routes.conditions.prefix",
        "spec.routes.services.name",
        "spec.routes.services.port",
    },
    "AuthService": {
        "spec.auth_service",
        "spec.proto",
        "spec.protocol_version",
        "spec.timeout_ms",
        "spec.failure_mode_allow",
        "spec.status_on_error.code",
    },
    "Module": {
        "spec.config.merge_slashes",
        "spec.config.reject_requests_with_escaped_slashes",
        "spec.config.headers_with_underscores_action",
        "spec.config.strip_matching_host_port",
    },
}

VERSIONS = {
    "IstioOperator": "install.istio.io/v1alpha1",
    "AuthorizationPolicy": "security.istio.io/v1",
    "EnvoyFilter": "networking.istio.io/v1alpha3",
    "SecurityPolicy": "gateway.envoyproxy.io/v1alpha1",
    "ReferenceGrant": "gateway.networking.k8s.io/v1beta1",
    "ClientTrafficPolicy": "gateway.envoyproxy.io/v1alpha1",
    "ExtensionService": "projectcontour.io/v1alpha1",
    "HTTPProxy": "projectcontour.io/v1",
    "AuthService": "getambassador.io/v3alpha1",
    "Module": "getambassador.io/v3alpha1",
}


@pytest.fixture
def resources(deploy):
    """The resources of a gateway's example, by kind."""

    def read(gateway):
        documents = yaml.safe_load_all((deploy / "gateways" / f"{gateway}.yaml").read_text())
        return {document["kind"]: document for document in documents}

    return read


def fields(value, path):
    """The paths of a document's leaves; lists are passed through. Envoy's own messages are not looked into."""
    if isinstance(value, list):
        for item in value:
            yield from fields(item, path)
    elif isinstance(value, dict) and value and path != "spec.configPatches.patch.value":
        for name, item in value.items():
            yield from fields(item, f"{path}.{name}")
    else:
        yield path


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_only_known_fields_are_used(resources, gateway):
    """Of the version that has them."""
    for kind, resource in resources(gateway).items():
        assert resource["apiVersion"] == VERSIONS[kind]
        assert set(fields(resource["spec"], "spec")) == KNOWN[kind]


def asked(gateway, found):
    """What each says in its own words: host, port, seconds, whether failures let requests through, their status."""
    if gateway == "istio":
        (provider,) = found["IstioOperator"]["spec"]["meshConfig"]["extensionProviders"]
        grpc = provider["envoyExtAuthzGrpc"]
        assert found["AuthorizationPolicy"]["spec"]["provider"]["name"] == provider["name"]
        return grpc["service"], grpc["port"], grpc["timeout"], grpc["failOpen"], int(grpc["statusOnError"])
    if gateway == "envoy-gateway":
        auth = found["SecurityPolicy"]["spec"]["extAuth"]
        (backend,) = auth["grpc"]["backendRefs"]
        host = f"{backend['name']}.{backend['namespace']}"
        return host, backend["port"], auth["timeout"], auth["failOpen"], auth["statusOnError"]
    if gateway == "contour":
        service = found["ExtensionService"]
        (backend,) = service["spec"]["services"]
        auth = found["HTTPProxy"]["spec"]["virtualhost"]["authorization"]
        assert auth["extensionRef"]["name"] == service["metadata"]["name"]
        host = f"{backend['name']}.{service['metadata']['namespace']}"
        return host, backend["port"], auth["responseTimeout"], auth["failOpen"], 503
    spec = found["AuthService"]["spec"]
    host, port = spec["auth_service"].split(":")
    timeout = f"{spec['timeout_ms']}ms"
    return host, int(port), timeout, spec["failure_mode_allow"], spec["status_on_error"]["code"]


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_they_ask_the_central_service_and_never_fail_open(resources, deploy, gateway):
    """By its name and port; and they wait longer than it takes to answer, so that the answer is its own."""
    host, port, timeout, fails_open, status = asked(gateway, resources(gateway))
    central = yaml.safe_load((deploy / "kubernetes" / "central" / "service.yaml").read_text())
    namespace = yaml.safe_load((deploy / "kubernetes" / "central" / "kustomization.yaml").read_text())["namespace"]
    assert host.removesuffix(".svc.cluster.local") == f"{central['metadata']['name']}.{namespace}"
    assert port == central["spec"]["ports"][0]["port"]
    seconds = float(timeout[:-2]) / 1000 if timeout.endswith("ms") else float(timeout[:-1])
    assert seconds * 1000 > load_settings({"paths": ["policy"]}).deadline_ms
    assert (fails_open, status) == (False, 503)


def owned_headers(deploy):
    """What the example policy puts upstream, in every spelling."""
    loaded = load([str(deploy / "kubernetes" / "central" / "policy.yaml")])
    return set(stripped_headers(loaded.parsed.policy_set))


def test_istio_removes_what_the_policy_puts_upstream(resources, deploy):
    """First of all filters, in messages that Envoy takes; and with the path settings that we generate for an Envoy."""
    removal, manager = resources("istio")["EnvoyFilter"]["spec"]["configPatches"]
    assert removal["patch"]["operation"] == "INSERT_FIRST"
    config = dict(removal["patch"]["value"]["typed_config"])
    assert config.pop("@type").endswith(header_mutation_pb2.HeaderMutation.DESCRIPTOR.full_name)
    mutation = json_format.ParseDict(config, header_mutation_pb2.HeaderMutation())
    assert {each.remove for each in mutation.mutations.request_mutations} == owned_headers(deploy)

    fields_of = dict(manager["patch"]["value"]["typed_config"])
    message = http_connection_manager_pb2.HttpConnectionManager
    assert fields_of.pop("@type").endswith(message.DESCRIPTOR.full_name)
    json_format.ParseDict(fields_of, message())
    assert fields_of.items() <= connection_manager_fields().items()


def test_envoy_gateway_removes_what_the_policy_puts_upstream(resources, deploy):
    """Before any filter; and of the Gateway that asks."""
    found = resources("envoy-gateway")
    hardening = found["ClientTrafficPolicy"]["spec"]
    assert set(hardening["headers"]["earlyRequestHeaders"]["remove"]) == owned_headers(deploy)
    assert hardening["targetRefs"] == found["SecurityPolicy"]["spec"]["targetRefs"]


def test_envoy_gateway_may_ask_across_namespaces(resources):
    """The grant is for this policy's namespace and this service."""
    found = resources("envoy-gateway")
    grant, policy = found["ReferenceGrant"], found["SecurityPolicy"]
    (backend,) = policy["spec"]["extAuth"]["grpc"]["backendRefs"]
    assert grant["metadata"]["namespace"] == backend["namespace"]
    assert grant["spec"]["from"][0]["namespace"] == policy["metadata"]["namespace"]
    assert grant["spec"]["to"] == [{"group": "", "kind": "Service", "name": backend["name"]}]
