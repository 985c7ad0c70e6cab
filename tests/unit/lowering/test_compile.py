import base64
import json

from extauthz.lowering.address import TcpAddress
from extauthz.lowering.compile import CHANGING_FILES, compile_delivered, compile_native, compile_wasm
from extauthz.lowering.planner import make_plan
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
  - {name: a, path: /a, allow: [{name: y, authenticated: true}]}
"""


def compiled():
    return compile_native(make_plan(policy_set(TEXT)), authorizer=TcpAddress("127.0.0.1", 9000))


def test_the_files_are_arrays_of_filters_and_clusters_and_an_object_of_fields():
    """As they are to be put into a configuration that exists."""
    files = {name: json.loads(text) for name, text in compiled().items()}
    assert sorted(files) == ["clusters.json", "hcm.json", "http_filters.json", "report.json"]
    assert [c["name"] for c in files["clusters.json"]] == ["extauthz", "jwks_corp"]
    assert "http_filters" not in files["hcm.json"]
    assert files["hcm.json"]["normalize_path"] is True
    assert isinstance(files["http_filters.json"], list)


def test_without_an_authorizer_there_is_no_cluster_for_it():
    """And no filter that would ask it."""
    files = {n: json.loads(t) for n, t in compile_native(make_plan(policy_set(TEXT)), authorizer=None).items()}
    assert [c["name"] for c in files["clusters.json"]] == ["jwks_corp"]
    assert "ext_authz" not in str(files["http_filters.json"])
    assert files["hcm.json"]["local_reply_config"]["mappers"]


def test_the_access_log_names_the_native_policy():
    """A request that never reached the authorizer has a line that leads back to the rule, too."""
    hcm = json.loads(compiled()["hcm.json"])
    fields = hcm["access_log"][0]["typed_config"]["log_format"]["json_format"]
    assert {"native_caller", "native_policy", "native_route", "reason"} <= fields.keys()


def test_the_same_set_gives_the_same_bytes():
    """Whatever the order in which Python hashes."""
    assert compiled() == compiled()


def test_a_module_is_written_and_is_in_its_filter():
    """The files work as they are; whoever delivers the module otherwise has it, too."""
    plan = compile_module(policy_set(TEXT))
    files = compile_wasm(plan, authorizer=TcpAddress("127.0.0.1", 9000))
    assert sorted(files) == ["clusters.json", "hcm.json", "http_filters.json", "policy.wasm", "report.json"]
    assert files["policy.wasm"] == plan.module
    assert base64.b64encode(plan.module).decode() in str(files["http_filters.json"])
    assert [c["name"] for c in json.loads(files["clusters.json"])] == ["extauthz", "jwks_corp"]
    assert "wasm_decision" in str(files["hcm.json"])


def test_a_module_alone_has_no_authorizer():
    """Neither a cluster nor a filter that asks it."""
    files = compile_wasm(compile_module(policy_set(TEXT), has_authorizer=False), authorizer=None)
    assert [c["name"] for c in json.loads(files["clusters.json"])] == ["jwks_corp"]
    assert "ext_authz" not in str(files["http_filters.json"])


def test_a_module_that_is_delivered_is_in_a_file_of_its_own():
    """Only such files differ between sets whose filters are equal; all else is what a module in its filter has."""
    authorizer = TcpAddress("127.0.0.1", 9000)
    plain = compile_wasm(compile_module(policy_set(TEXT)), authorizer=authorizer)
    old, new = (
        compile_delivered(compile_module(policy_set(text)), authorizer=authorizer, folder="/etc/policy")
        for text in (TEXT, TEXT.replace("path: /a", "path: /b"))
    )
    assert old.name == new.name
    assert {name for name in old.files if old.files[name] != new.files[name]} <= set(CHANGING_FILES)
    assert old.files["extension.json"] != new.files["extension.json"]
    assert {name for name in plain if plain[name] != old.files[name]} == {"http_filters.json"}


def test_a_module_between_key_sets_of_others_is_another_extension():
    """An Envoy that has the old ones refuses it."""
    names = {
        compile_delivered(compile_module(policy_set(text)), authorizer=None, folder="/etc/policy").name
        for text in (TEXT, TEXT.replace("example/jwks", "example/keys"), TEXT.replace("[shop]", "[store]"))
    }
    assert len(names) == 3
