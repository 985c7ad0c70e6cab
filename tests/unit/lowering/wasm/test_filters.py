"""Enforcement by a module as HTTP filters."""

from __future__ import annotations

import base64
import dataclasses
import inspect
import json
import subprocess
from http.client import HTTPConnection
from types import ModuleType

import pytest

from extauthz.demo.envoy import EmbeddedEnvoy, envoy_binary
from extauthz.lowering.address import TcpAddress
from extauthz.lowering.bootstrap import Enforcement, front_proxy
from extauthz.lowering.document import render
from extauthz.lowering.enforcement import enforcement_of
from extauthz.lowering.ext_authz import EXT_AUTHZ
from extauthz.lowering.jwt_authn import key_set_clusters
from extauthz.lowering.mode import Mode
from extauthz.lowering.wasm import language
from extauthz.lowering.wasm.assembler import UNREACHABLE
from extauthz.lowering.wasm.emitter import Emitter, compiled_runtime
from extauthz.lowering.wasm.filters import WASM_LOG_FIELDS, module_filter, wasm_filters
from tests.harness.module import plan_of

HOLDS = {"when": "1 == 1"}
ROUTES = [
    {
        "name": "r",
        "path": "/",
        "allow": [{"role": "reader"}],
        "upstream_headers": {"set": {"x-user": "{principal.subject}"}},
    }
]


def test_filters_stand_in_order():
    """Hygiene, tokens, caller, module, authorizer; without an authorizer the module answers everything."""
    names = [f["name"] for f in wasm_filters(plan_of(ROUTES))]
    assert names == [
        "envoy.filters.http.header_mutation",
        "envoy.filters.http.jwt_authn",
        "extauthz.caller",
        "extauthz.wasm",
        EXT_AUTHZ,
    ]
    assert [f["name"] for f in wasm_filters(plan_of(ROUTES, has_authorizer=False), has_authorizer=False)] == names[:-1]


def test_the_connections_address_is_written_down_where_a_rule_asks_for_it():
    """In front of the module, and nowhere else."""
    for key, asks in (({"remote_ip": ["10.0.0.0/8"]}, True), ({"when": "source.address == 'x'"}, True), (HOLDS, False)):
        plan = plan_of([{"name": "r", "path": "/", "authentication": "none", "allow": [key]}])
        names = [f["name"] for f in wasm_filters(plan)]
        assert names.index("extauthz.wasm") - 1 == (
            names.index("extauthz.peer") if asks else names.index("extauthz.caller")
        )
    bindings = [{"role": "reader", "provider": "corp", "when": "source.address == 'x'"}]
    assert plan_of(ROUTES, bindings=bindings).reads_addresses


def test_the_module_is_in_its_filter():
    """It fails closed, and is started anew."""
    plan = plan_of(ROUTES)
    config = module_filter(plan)["typed_config"]["config"]
    assert base64.b64decode(config["vm_config"]["code"]["local"]["inline_bytes"]) == plan.module
    assert config["failure_policy"] == "FAIL_RELOAD"
    assert config["vm_config"]["vm_id"].endswith(plan.policy_set.revision)


def test_the_authorizer_is_asked_unless_the_module_allows():
    """Nothing but the filter state that the module writes skips it."""
    *_, ext_authz = wasm_filters(plan_of(ROUTES), cluster="mine")
    inner = ext_authz["typed_config"]["extension_config"]["typed_config"]
    assert inner["grpc_service"]["envoy_grpc"]["cluster_name"] == "mine"
    (matcher,) = ext_authz["typed_config"]["xds_matcher"]["matcher_list"]["matchers"]
    predicate = matcher["predicate"]["single_predicate"]
    assert predicate["value_match"] == {"prefix": "allow "}
    key = predicate["input"]["typed_config"]["key"]
    assert json.dumps(WASM_LOG_FIELDS).count(key) == 1


@pytest.mark.envoy
def test_envoy_accepts_the_filters(tmp_path):
    """The real binary loads the module, too."""
    local = TcpAddress("127.0.0.1", 10000)
    policy_set = plan_of(ROUTES).policy_set
    bootstrap = front_proxy(
        policy_set, enforcement=enforcement_of(policy_set, Mode.WASM), authorizer=local, upstream=local, listen=local
    )
    file = tmp_path / "envoy.json"
    file.write_text(render(bootstrap))
    command = [envoy_binary(), "--mode", "validate", "-c", file]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.envoy
def test_a_module_that_stops_lets_nothing_through(tmp_path):
    """503 while it is started anew, whatever `failure_mode_allow` says, since the authorizer is not even reached."""
    plan = plan_of(ROUTES)
    broken = dataclasses.replace(plan, module=_stopping())
    filters = wasm_filters(broken, cluster="upstream")
    inner = filters[-1]["typed_config"]["extension_config"]["typed_config"]
    inner["failure_mode_allow"] = True
    local = TcpAddress("127.0.0.1", 0)
    bootstrap = front_proxy(
        plan.policy_set,
        enforcement=Enforcement(filters, clusters=key_set_clusters(plan.providers)),
        authorizer=TcpAddress("127.0.0.1", 1),
        upstream=TcpAddress("127.0.0.1", 1),
        listen=local,
    )
    with EmbeddedEnvoy(bootstrap, tmp_path) as envoy:
        address = envoy.addresses["front"]
        assert isinstance(address, TcpAddress)
        for _ in range(3):
            connection = HTTPConnection(address.host, address.port, timeout=10)
            connection.request("GET", "/")
            response = connection.getresponse()
            assert response.status == 503
            assert "x-envoy-upstream-service-time" not in response.headers
            connection.close()
        assert "wasm" in envoy.log.lower()


def _stopping() -> bytes:
    """A module that stops at every request."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language, "inspect", _Inspect)
        compiled_runtime.cache_clear()
        emitter = Emitter()
    compiled_runtime.cache_clear()
    emitter.module.table_index(emitter.function(UNREACHABLE))
    return emitter.finished({})


class _Inspect:
    @staticmethod
    def getsource(module: ModuleType) -> str:
        return inspect.getsource(module).replace("    answer = decide()\n", "    answer = decide()\n    stop()\n")
