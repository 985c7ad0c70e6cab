from __future__ import annotations

import asyncio
import base64
import io
import json

import httpx
import pytest

from extauthz.mesh import application
from extauthz.mesh.admission import VERSIONS, Review
from extauthz.mesh.application import build_webhook, judge_pod
from extauthz.mesh.injector_settings import InjectorSettings
from extauthz.telemetry.logging import LogFormat, LogLevel, build_logger

SPEC = {"containers": [{"name": "app", "image": "x:1"}]}
POD = {"metadata": {"name": "a"}, "spec": SPEC}


class Webhook:
    """The application, asked without a network; its log is kept."""

    def __init__(self, settings=None):
        self.log = io.StringIO()
        logger = build_logger(self.log, log_format=LogFormat.JSON, level=LogLevel.INFO)
        self._application = build_webhook(settings or InjectorSettings(), logger)

    def post(self, path, content, content_type="application/json"):
        """The reply to a POST."""

        async def ask():
            transport = httpx.ASGITransport(self._application)
            async with httpx.AsyncClient(transport=transport, base_url="https://webhook") as client:
                headers = {"content-type": content_type} if content_type else {}
                return await client.post(path, content=content, headers=headers)

        return asyncio.run(ask())

    def ask(self, path, found, kind="Pod", operation="CREATE", version=VERSIONS[0], namespace="shop"):
        """The response to a review of an object."""
        request = {"uid": "u", "kind": {"kind": kind}, "operation": operation, "namespace": namespace, "object": found}
        reply = self.post(path, json.dumps({"apiVersion": version, "kind": "AdmissionReview", "request": request}))
        assert reply.status_code == 200
        answer = reply.json()
        assert (answer["apiVersion"], answer["kind"], answer["response"]["uid"]) == (version, "AdmissionReview", "u")
        return answer["response"]


@pytest.fixture
def webhook():
    return Webhook()


def patch_of(response):
    """The operations of a response."""
    assert response["allowed"]
    return json.loads(base64.b64decode(response["patch"])) if "patch" in response else None


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pod_gets_its_sidecar(webhook, version):
    """As a patch, in the version of the question."""
    operations = patch_of(webhook.ask("/inject", POD, version=version))
    assert {"/spec/initContainers", "/spec/volumes", "/metadata/annotations"} <= {each["path"] for each in operations}


def test_the_address_may_name_variables_of_the_proxy(webhook):
    """Pairs of name and value; the two short forms are known."""
    operations = patch_of(webhook.ask("/inject/cluster/east/A_B/c", POD))
    values = json.dumps(operations)
    assert '{"name": "ISTIO_META_CLUSTER_ID", "value": "east"}' in values
    assert '{"name": "A_B", "value": "c"}' in values
    refused = webhook.ask("/inject/cluster", POD)
    assert not refused["allowed"]
    assert "/inject/NAME/VALUE" in refused["status"]["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"found": {**POD, "spec": {**SPEC, "hostNetwork": True}}},
        {"found": POD, "namespace": "kube-system"},
        {"found": {**POD, "metadata": {"labels": {"sidecar.istio.io/inject": "false"}}}},
        {"found": {"spec": "?"}, "kind": "Node"},
        {"found": None, "operation": "DELETE"},
        {"found": {"spec": "?"}, "operation": "UPDATE"},
    ],
)
def test_what_it_must_not_touch_is_never_blocked(webhook, arguments):
    """Allowed, without a patch, whatever it holds."""
    assert patch_of(webhook.ask("/inject", **arguments)) is None


@pytest.mark.parametrize(
    "found",
    [{}, {"spec": {"containers": 1}}, {**POD, "metadata": {"annotations": {"status.sidecar.istio.io/port": "x"}}}],
)
def test_a_pod_that_cannot_be_injected_is_refused_with_the_reason(webhook, found):
    """It must not run without the sidecar that it should have."""
    response = webhook.ask("/inject", found)
    assert not response["allowed"]
    assert response["status"]["message"]


@pytest.mark.parametrize("path", ["/inject", "/validate"])
@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_a_malformed_review_gets_an_answer_that_is_understood(webhook, path, content):
    """200 and a refusal."""
    reply = webhook.post(path, content)
    assert reply.status_code == 200
    assert reply.json()["kind"] == "AdmissionReview"
    assert reply.json()["response"]["allowed"] is False
    assert reply.json()["response"]["status"]["message"]


def test_what_is_no_call_of_an_api_server_is_told_so(webhook):
    """By its status."""
    assert webhook.post("/inject", b"{}", "text/plain").status_code == 415
    assert webhook.post("/inject", b"{}", None).status_code == 415
    assert webhook.post("/inject", b"").status_code == 400
    assert webhook.post("/inject", b"{}", "application/json; charset=utf-8").status_code == 200


def test_a_policy_set_is_judged_when_it_is_written(webhook):
    """On creation and on update; a deletion is nobody's loss."""
    found = {"metadata": {"labels": {"extauthz.io/policy-set": "true"}}, "data": {"policy.yaml": "version: 2"}}
    for operation, allowed in (("CREATE", False), ("UPDATE", False), ("DELETE", True)):
        assert webhook.ask("/validate", found, "ConfigMap", operation)["allowed"] is allowed
    assert webhook.ask("/validate", found, "Secret")["allowed"]


def test_a_fault_of_ours_is_a_refusal_and_in_the_log(webhook, monkeypatch):
    """Nothing is let through because we failed, and no traceback leaves."""
    monkeypatch.setattr(application, "judge_pod", lambda *_: 1 // 0)
    response = webhook.ask("/inject", POD)
    assert not response["allowed"]
    assert "its log says why" in response["status"]["message"]
    assert "ZeroDivisionError" in webhook.log.getvalue()


def test_every_review_is_logged(webhook):
    """Who was asked about, and what came of it; never the object."""
    webhook.ask("/inject", POD)
    line = json.loads(webhook.log.getvalue().splitlines()[-1])
    assert (line["event"], line["allowed"], line["patched"], line["namespace"]) == ("reviewed", True, True, "shop")
    assert "x:1" not in webhook.log.getvalue()


def test_a_judgement_is_a_patch_of_the_object_as_it_came():
    """The same object, so that paths fit."""
    review = Review(VERSIONS[0], "u", "Pod", "CREATE", "shop", POD)
    assert judge_pod(review, InjectorSettings()).patch
