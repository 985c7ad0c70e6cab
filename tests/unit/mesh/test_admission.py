from __future__ import annotations

import base64
import json

import pytest

from extauthz.mesh.admission import ReviewError, Verdict, parse_review, render_answer

V1, V1BETA1 = "admission.k8s.io/v1", "admission.k8s.io/v1beta1"


def review(**changes):
    """A review of a pod, as bytes."""
    request = {
        "uid": "u-1",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "operation": "CREATE",
        "namespace": "shop",
        "object": {"metadata": {"name": "a"}},
    }
    return json.dumps({"apiVersion": V1, "kind": "AdmissionReview", "request": {**request, **changes}}).encode()


@pytest.mark.parametrize("version", [V1, V1BETA1])
def test_both_versions_are_read(version):
    """And told apart, since the answer is in the same."""
    found = parse_review(review().replace(V1.encode(), version.encode()))
    assert (found.version, found.uid, found.kind, found.operation, found.namespace) == (
        version,
        "u-1",
        "Pod",
        "CREATE",
        "shop",
    )


def test_the_namespace_is_the_requests_or_the_objects():
    """Either may be missing; a DELETE has no object."""
    assert parse_review(review(namespace="", object={"metadata": {"namespace": "own"}})).namespace == "own"
    assert parse_review(review(namespace=None, object=None)).namespace == ""


@pytest.mark.parametrize(
    ("body", "version", "uid"),
    [
        (b"", V1, ""),
        (b"{", V1, ""),
        (b"\xff", V1, ""),
        (b"[]", V1, ""),
        (b"[" * 100_000, V1, ""),
        (b"{}", V1, ""),
        (b'{"apiVersion": ["x"]}', V1, ""),
        (review().replace(b"k8s.io/v1", b"k8s.io/v2"), V1, "u-1"),
        (review().replace(b"AdmissionReview", b"Review").replace(V1.encode(), V1BETA1.encode()), V1BETA1, "u-1"),
        (review(uid=""), V1, ""),
        (review(uid=7), V1, ""),
        (f'{{"apiVersion": "{V1}", "kind": "AdmissionReview", "request": []}}'.encode(), V1, ""),
    ],
)
def test_what_is_no_review_still_gets_an_answer(body, version, uid):
    """In the version it came in, and under its uid, as far as there are any."""
    with pytest.raises(ReviewError) as caught:
        parse_review(body)
    assert (caught.value.version, caught.value.uid) == (version, uid)
    assert "\n" not in str(caught.value)


def test_an_allowed_object_is_patched_or_left():
    """The patch is base64 of JSON; without one there is no patch type, which v1 would refuse."""
    answer = render_answer(Verdict(allowed=True), version=V1, uid="u")
    assert answer == {"apiVersion": V1, "kind": "AdmissionReview", "response": {"uid": "u", "allowed": True}}
    patch = [{"op": "remove", "path": "/a"}]
    response = render_answer(Verdict(allowed=True, patch=patch), version=V1, uid="u")["response"]
    assert response["patchType"] == "JSONPatch"
    assert json.loads(base64.b64decode(response["patch"])) == patch


def test_a_refusal_says_why_and_patches_nothing():
    """Whatever the verdict holds besides."""
    verdict = Verdict(allowed=False, message="no", patch=[{"op": "remove", "path": "/a"}])
    response = render_answer(verdict, version=V1BETA1, uid="u")["response"]
    assert (response["allowed"], response["status"]["message"]) == (False, "no")
    assert "patch" not in response


def test_warnings_are_for_servers_that_know_them():
    """v1beta1 had none at first."""
    verdict = Verdict(allowed=True, warnings=["careful"])
    assert render_answer(verdict, version=V1, uid="u")["response"]["warnings"] == ["careful"]
    assert "warnings" not in render_answer(verdict, version=V1BETA1, uid="u")["response"]
