"""Cases of opa-envoy-plugin's contract: what is asked under which policy, and what the real plugin answers.

`opa_envoy_cases.json` holds cases whose expectations were read off opa-envoy-plugin on OPA 1.19.1. A case has `rego`,
`query_path`, `config` (options of the plugin; `proto-descriptor` in base64), `request` (a CheckRequest as JSON) and
`expect`. Cases that share all but the request share a service.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import grpc
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from google.protobuf import json_format

from extauthz.app.opa_service import OpaService
from extauthz.lowering.address import TcpAddress
from extauthz.server.check_method import CHECK_PATH
from extauthz.settings import Settings

Case: TypeAlias = Mapping[str, Any]

_KINDS = {"ok_response": "ok", "denied_response": "denied", None: "none"}
_BY_NAME = ("headers", "response_headers_to_add", "query_parameters_to_set")
"""Whose order among different names Go leaves to chance."""


def read_cases(path: Path) -> list[Case]:
    """All cases of a file."""
    cases: list[Case] = json.loads(path.read_text(encoding="utf-8"))
    return cases


def groups_of(cases: Iterable[Case]) -> list[list[Case]]:
    """Those that can share a service, together."""

    def key(case: Case) -> str:
        return json.dumps([case["rego"], case.get("query_path"), case.get("config")], sort_keys=True)

    return [list(group) for _, group in itertools.groupby(sorted(cases, key=key), key)]


async def problems_of(cases: list[Case], folder: Path, transport: str) -> list[str]:
    """What is other than expected of cases that share a service; the folder is theirs alone."""
    settings = _settings(cases[0], folder, transport)
    if cases[0]["expect"].get("config_error"):
        return [] if not await _starts(settings) else [f"{cases[0]['name']}: the service started"]
    found: list[str] = []
    async with OpaService(settings) as service, grpc.aio.insecure_channel(str(service.addresses[0])) as channel:
        for case in cases:
            seen = await _ask(channel, case)
            found += [f"{case['name']}: {problem}" for problem in _differences(case["expect"], seen)]
    lines = [json.loads(line) for line in (folder / "log").read_text(encoding="utf-8").splitlines()]
    for case, line in zip(cases, lines, strict=True):
        found += [f"{case['name']}: log: {problem}" for problem in _log_differences(case["expect"], line)]
    return found


async def _starts(settings: Settings) -> bool:
    try:
        async with OpaService(settings):
            return True
    except Exception as error:  # noqa: BLE001 - whatever it is, the service does not start
        return not str(error)


def _settings(case: Case, folder: Path, transport: str) -> Settings:
    plugin = {"addr": f"unix://{folder}/s", **(case.get("config") or {})}
    if case.get("query_path"):
        plugin["path"] = case["query_path"]
    if "proto-descriptor" in plugin:
        (folder / "descriptor.pb").write_bytes(base64.b64decode(plugin["proto-descriptor"]["b64"]))
        plugin["proto-descriptor"] = str(folder / "descriptor.pb")
    (folder / "policy.rego").write_text(case["rego"], encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"plugins": {"envoy_ext_authz_grpc": plugin}}), encoding="utf-8")
    given: dict[str, Any] = {
        "paths": (str(folder / "policy.rego"),),
        "opa_config": str(folder / "config.json"),
        "admin": TcpAddress("127.0.0.1", 0),
        "decision_log": str(folder / "log"),
        "transport": transport,
        "deadline_ms": 10_000,  # a busy machine is no reason for another answer
        "log_level": "error",
    }
    return Settings(**given)


async def _ask(channel: grpc.aio.Channel, case: Case) -> dict[str, Any]:
    request = json_format.ParseDict(case["request"], CheckRequest())
    try:
        reply = await channel.unary_unary(CHECK_PATH)(request.SerializeToString(), timeout=30)
    except grpc.aio.AioRpcError as error:
        return {"allowed": False, "rpc_error": {"code": error.code().name, "message": error.details()}}
    return _observed(CheckResponse.FromString(reply))


def _pairs(options: Any) -> list[list[str]]:
    return [[option.header.key, option.header.value] for option in options]


def _observed(response: CheckResponse) -> dict[str, Any]:
    """A reply in the words of `expect`."""
    kind = response.WhichOneof("http_response")
    metadata = json_format.MessageToDict(response.dynamic_metadata)
    decision_id = metadata.pop("decision_id", None)
    ok, denied = response.ok_response, response.denied_response
    headers = denied.headers if kind == "denied_response" else ok.headers
    return {
        "allowed": response.status.code == 0,
        "code": response.status.code,
        "http_response": _KINDS[kind],
        "decision_id": decision_id is not None,
        "dynamic_metadata": metadata,
        "headers": _pairs(headers),
        "headers_to_remove": list(ok.headers_to_remove),
        "response_headers_to_add": _pairs(ok.response_headers_to_add),
        "query_parameters_to_remove": list(ok.query_parameters_to_remove),
        "query_parameters_to_set": [[each.key, each.value] for each in ok.query_parameters_to_set],
        "http_status": denied.status.code,
        "body": denied.body,
        "message": response.status.message,
    }


def _differences(expect: Case, seen: Mapping[str, Any]) -> Iterable[str]:
    failure = expect.get("rpc_error")
    if (failure is not None) != ("rpc_error" in seen):
        yield f"expected {'a call that fails' if failure else 'a reply'}, got {seen}"
        return
    if failure is not None:
        told = seen["rpc_error"]
        if told["code"] != failure["code"] or failure["message_contains"] not in told["message"]:
            yield f"expected {failure}, got {told}"
        return
    if not seen["allowed"] and seen["code"] != 7:
        yield f"a denial by code {seen['code']}"
    for key, wanted in expect.items():
        if key == "body_prefix":
            if not seen["body"].startswith(wanted) or seen["message"] != seen["body"]:
                yield f"expected {wanted!r}, got {seen['body']!r} and {seen['message']!r}"
        elif key in seen and _sorted(key, seen[key]) != _sorted(key, wanted):
            yield f"{key}: expected {wanted!r}, got {seen[key]!r}"


def _sorted(key: str, value: Any) -> Any:
    return sorted(value, key=lambda pair: str(pair[0])) if key in _BY_NAME else value


def _log_differences(expect: Case, line: Mapping[str, Any]) -> Iterable[str]:
    wanted = {**(expect.get("rpc_error") or {}).get("log", {}), **expect.get("log", {})}
    for key in ("path", "query", "result"):
        if key in wanted and line.get(key) != wanted[key]:
            yield f"{key}: expected {wanted[key]!r}, got {line.get(key)!r}"
    error = json.dumps(line.get("error", ""))
    if wanted.get("error_contains", "") not in error or wanted.get("error_present", error != '""') != (error != '""'):
        yield f"error: expected {wanted}, got {error}"
