import pytest

from extauthz.errors import LoweringError
from extauthz.lowering.planner import make_plan
from extauthz.lowering.report import (
    REQUESTS_LEFT_BY_MODULE,
    differences,
    refuse_residual,
    render_report,
    report_document,
)
from extauthz.lowering.wasm.compiler import compile_module
from tests.policies import policy_set

TEXT = """\
version: 1
name: shop
providers:
  corp:
    issuer: https://issuer.example
    audiences: [shop]
    algorithms: [RS256]
    jwks: {uri: https://issuer.example/jwks}
routes:
  - {name: a, path: /a, allow: [{name: x, when: "body.x == 1"}, {name: y, authenticated: true}]}
"""
NATIVE = TEXT.replace('{name: x, when: "body.x == 1"}, ', "")


def plan(text=TEXT):
    return make_plan(policy_set(text))


def test_every_piece_is_reported_with_its_verdict_and_its_place():
    """For programs."""
    document = report_document(plan(), has_authorizer=True)
    assert document["native_policies"] == ["allow_0000_a/a.allow.y/provider_corp"]
    (residual,) = (item for item in document["items"] if item["verdict"] == "residual")
    assert residual == {
        "kind": "allow",
        "id": "a.allow.x",
        "verdict": "residual",
        "place": "policy.yaml:10:33",
        "reasons": ["it reads body"],
    }
    assert {item["kind"] for item in document["items"]} == {"allow", "provider", "route"}


def test_the_report_reads_as_a_list():
    """For people: what is native, what is not and why, what goes to the authorizer besides."""
    text = "\n".join(render_report(plan(), has_authorizer=True))
    assert "1 native policies" in text
    assert "  allow a.allow.y" in text
    assert "  allow a.allow.x\n      it reads body" in text
    assert "where Envoy itself differs:" in text


def test_what_is_left_without_an_authorizer_is_denied():
    """The report says so: nothing of it may surprise whoever runs Envoy alone."""
    assert report_document(plan(NATIVE), has_authorizer=False)["requests_left"]["to"] == "denied"
    assert "requests that are denied unread:" in render_report(plan(NATIVE), has_authorizer=False)


def test_what_is_left_can_be_an_error():
    """With every reason at its place."""
    with pytest.raises(LoweringError) as caught:
        refuse_residual(plan())
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.render() == "policy.yaml:10:33: EAZ1001 allow a.allow.x: it reads body"
    refuse_residual(plan(NATIVE))


def test_only_differences_that_the_set_can_come_to_are_listed():
    """Fetched keys are Envoy's own; without providers there are no tokens."""
    assert any("keys of corp" in text for text in differences(plan()))
    assert differences(plan("version: 1\nroutes:\n  - {name: a, path: /a, public: true}\n")) == ()


def test_a_modules_report_names_it():
    """Its own verdict, its own list of requests that are left."""
    plan = compile_module(policy_set(TEXT))
    document = report_document(plan, has_authorizer=True)
    assert document["module_bytes"] == len(plan.module)
    assert {item["verdict"] for item in document["items"]} == {"wasm", "residual"}
    assert len(document["requests_left"]["which"]) == len(REQUESTS_LEFT_BY_MODULE)
    text = "\n".join(render_report(plan, has_authorizer=True))
    assert f"a module of {len(plan.module)} bytes" in text
    assert "wasm: " in text
    assert "  allow a.allow.x\n      it reads body" in text
    with pytest.raises(LoweringError):
        refuse_residual(plan)


def test_a_module_that_changes_headers_differs_in_the_choice_of_envoys_route():
    """Also where there are no tokens to differ about."""
    text = "version: 1\nname: s\nroutes: [{name: a, path: '/{x}', public: true%s}]\n"
    header = ", upstream_headers: {set: {x-a: '{path.x}'}}"
    assert differences(compile_module(policy_set(text % ""))) == ()
    assert differences(make_plan(policy_set(text % header))) == ()
    (difference,) = differences(compile_module(policy_set(text % header)))
    assert "anew" in difference
