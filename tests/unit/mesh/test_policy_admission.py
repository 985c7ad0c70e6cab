from __future__ import annotations

import base64

import pytest

from extauthz.mesh.names import POLICY_SET, POLICY_VALUES
from extauthz.mesh.policy_admission import judge_config_map

GOOD = """\
version: 1
name: shop
providers:
  corp:
    issuer: ${ISSUER}
    audiences: [shop]
    algorithms: [ES256]
    jwks: {uri: "${ISSUER}/jwks.json"}
routes:
  - {name: hello, path: /hello, methods: [GET], public: true}
"""
PUBLIC = "version: 1\nname: shop\nroutes:\n  - {name: hello, path: /hello, methods: [GET], public: true}\n"


def config_map(data, *, marked=True, **more):
    """A ConfigMap with these files."""
    annotations = {POLICY_VALUES: more.pop("values")} if "values" in more else {}
    labels = {POLICY_SET: "true"} if marked else {}
    return {"metadata": {"labels": labels, "annotations": annotations}, "data": data, **more}


def test_a_set_that_would_be_served_is_admitted():
    """Tests and other keys are no policy; values come from the key that is named."""
    data = {
        "policy.yaml": GOOD,
        "policy_test.yaml": "nonsense",
        "README": "x",
        "values.yaml": "ISSUER: https://i.example\n",
    }
    assert judge_config_map(config_map(data, values="values.yaml")).allowed
    binary = {"policy.yaml": base64.b64encode(PUBLIC.encode()).decode()}
    assert judge_config_map(config_map(None, binaryData=binary)).allowed


def test_several_files_are_one_set():
    """As if the ConfigMap were mounted."""
    more = "routes:\n  - {name: hello, path: /hello, methods: [GET], public: true}\n"
    verdict = judge_config_map(config_map({"a.yaml": PUBLIC, "b.yaml": more}))
    assert not verdict.allowed
    assert "hello" in verdict.message


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (config_map({"policy.yaml": PUBLIC.replace("/hello", "hello")}), "policy.yaml:4:"),
        (config_map({"policy.yaml": "version: 1\nversion: 1\n"}), "EAZ"),
        (config_map({"policy.yaml": GOOD}), "ISSUER"),
        (config_map({"policy.yaml": GOOD}, values="values.yaml"), "there is no key 'values.yaml'"),
        (config_map({"policy.yaml": GOOD, "v.yaml": "- a"}, values="v.yaml"), "v.yaml"),
        (config_map({"policy_test.yaml": "a: 1"}), "there is no policy"),
        (config_map(None), "there is no policy"),
        (config_map({"policy.yaml": 1}), "is text"),
        (config_map(["a"]), "are maps"),
        (config_map({}, binaryData={"a.yaml": "%"}), "base64"),
    ],
)
def test_a_set_that_would_not_be_served_is_refused(found, said):
    """With the diagnostics that `policy validate` prints."""
    verdict = judge_config_map(found)
    assert not verdict.allowed
    assert said in verdict.message


@pytest.mark.parametrize(
    "found", [config_map({"policy.yaml": "!"}, marked=False), {"metadata": {"labels": None}}, {}, None]
)
def test_others_are_none_of_our_business(found):
    """A ConfigMap without the label is never blocked."""
    assert judge_config_map(found).allowed


def test_nothing_outside_of_the_config_map_is_read(tmp_path):
    """Whoever writes one must not learn what this process can read; what could not be checked is said."""
    secret = tmp_path / "keys.json"
    secret.write_text("not a key set: hunter2")
    policy = GOOD.replace('{uri: "${ISSUER}/jwks.json"}', f"{{file: {secret}}}").replace(
        "${ISSUER}", "https://i.example"
    )
    verdict = judge_config_map(config_map({"policy.yaml": policy}))
    assert verdict.allowed
    (warning,) = verdict.warnings
    assert "not checked in full" in warning
    assert "hunter2" not in warning
    wrong = judge_config_map(config_map({"policy.yaml": policy.replace("path: /hello", "path: hello")}))
    assert not wrong.allowed
    assert "hunter2" not in wrong.message


def test_files_within_it_are_read():
    """A key set that is none is refused as at start."""
    policy = GOOD.replace('{uri: "${ISSUER}/jwks.json"}', "{file: keys.json}").replace("${ISSUER}", "https://i.example")
    verdict = judge_config_map(config_map({"policy.yaml": policy, "keys.json": "{}"}))
    assert not verdict.allowed
    assert "corp" in verdict.message or "keys" in verdict.message


def test_advice_is_passed_on_as_warnings():
    """What `policy validate` warns of, whoever applies the ConfigMap sees."""
    policy = PUBLIC + "deny:\n  - {name: frozen, when: \"request.headers['x-freeze'] == 'on'\"}\n"
    verdict = judge_config_map(config_map({"policy.yaml": policy}))
    assert verdict.allowed
    assert any("frozen" in warning or "x-freeze" in warning for warning in verdict.warnings)
