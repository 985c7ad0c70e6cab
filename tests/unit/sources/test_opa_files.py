import pytest

from extauthz.check.opa_policy import DECISION, MASK, Expression, OpaPolicy, OpaQuery
from extauthz.errors import ConfigurationError, PolicyError
from extauthz.languages.rego import Limits, Module
from extauthz.sources.opa_files import LoadedOpa, OpaFiles
from extauthz.sources.policy_files import PolicyFiles
from extauthz.sources.rego_planner import plan_with_regopy
from tests.harness.bundles import archive

ALLOW = "package envoy.authz\n\ndefault allow := false\n\nallow if input.parsed_path[0] in data.open\n"
SET = "version: 1\nname: open\nroutes:\n  - {name: all, path: /**, public: true}\n"
QUESTIONS = {DECISION: ("envoy", "authz", "allow"), MASK: ("system", "log", "mask")}


def open_files(*paths, **options):
    return OpaFiles([str(path) for path in paths], questions=QUESTIONS, planner=plan_with_regopy, **options)


def load(files):
    outcome = files.attempt().outcome
    assert isinstance(outcome, LoadedOpa), outcome
    assert isinstance(outcome.policy, OpaPolicy)
    return outcome


def allows(policy, *path):
    query = OpaQuery(policy.compiled(), policy.entry_points[DECISION])
    return query.evaluate({"parsed_path": list(path)}, now_ns=0, strict=True, limits=Limits(), clock=lambda: 0.0)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "policy.rego").write_text(ALLOW)
    (tmp_path / "policy_test.rego").write_text("package envoy.authz_test\n\ntest_x if nonsense(\n")
    (tmp_path / "data.json").write_text('{"open": ["a"]}')
    return tmp_path


def test_a_folder(folder):
    """Modules and data in it; tests are no part of it, other files neither."""
    (folder / "roles.json").write_text("nonsense")
    loaded = load(open_files(folder))
    assert [allows(loaded.policy, "a"), allows(loaded.policy, "b")] == [True, False]
    assert loaded.sources == (str(folder / "data.json"), str(folder / "policy.rego"))
    assert str(folder) in loaded.directories
    assert loaded.policy.revision == loaded.digest[:12]


def test_files_and_bundles(tmp_path):
    """Named one by one: a module, a data file under any name, an archive; a bundle of the configuration by its name."""
    (tmp_path / "p.rego").write_text(ALLOW)
    (tmp_path / "roles.yaml").write_text("roles: {x: [1]}\n")
    (tmp_path / "b.tar.gz").write_bytes(archive({"open/data.json": {"no": 1}, "more.rego": "package more\n\nx := 1"}))
    (tmp_path / "c.tar.gz").write_bytes(archive({"data.json": {"c": 1}, ".manifest": {"revision": "r1"}}))
    paths = [tmp_path / name for name in ("p.rego", "roles.yaml", "b.tar.gz")]
    files = open_files(*paths, file_bundles={"c": str(tmp_path / "c.tar.gz")})
    policy = load(files).policy
    assert policy.data == {"roles": {"x": [1]}, "open": {"no": 1}, "c": 1}
    assert policy.bundles == {"c": "r1"}


def test_remote_bundles(folder):
    """Until all have come there is no policy; each that comes makes another one."""
    files = open_files(folder / "policy.rego", remote_bundles=["a", "b"])
    assert files.missing == ["a", "b"]
    assert "a, b has not come yet" in str(files.attempt().outcome)
    before = files.read().digest
    files.put("a", archive({"data.json": {"open": ["x"]}, ".manifest": {"revision": "1"}}))
    files.put("b", archive({"b.rego": "package b\n"}))
    assert files.missing == []
    assert files.read().digest != before
    loaded = load(files)
    assert (allows(loaded.policy, "x"), loaded.policy.bundles) == (True, {"a": "1", "b": ""})
    assert loaded.sources == (str(folder / "policy.rego"),)
    assert files.read().digest == loaded.digest


def test_a_set_beside(folder):
    """It is part of what is watched; when it is wrong, so is the whole."""
    (folder / "set").mkdir()
    policy_yaml = folder / "set" / "policy.yaml"
    policy_yaml.write_text(SET)
    files = open_files(folder / "policy.rego", policy_set=PolicyFiles([str(folder / "set")]))
    loaded = load(files)
    assert loaded.policy.policy_set.name == "open"
    assert str(policy_yaml) in loaded.sources
    assert str(folder / "set") in files.paths
    policy_yaml.write_text(SET.replace("public: true", "publik: true"))
    assert files.read().digest != loaded.digest
    attempt = files.attempt()
    assert isinstance(attempt.outcome, PolicyError)
    assert attempt.digest == files.read().digest


def test_plans(tmp_path):
    """A bundle that OPA has compiled is taken as it is, and asked for its own entry points."""
    modules = [Module("p.rego", ALLOW)]
    plan = plan_with_regopy(modules, ["envoy/authz/allow"])
    bundle = tmp_path / "plan.tar.gz"
    bundle.write_bytes(archive({"plan.json": plan, "data.json": {"open": ["a"]}, "p.rego": "package ignored"}))
    policy = load(open_files(bundle)).policy
    assert (allows(policy, "a"), allows(policy, "b")) == (True, False)
    assert policy.entry_points == {DECISION: "envoy/authz/allow"}
    (tmp_path / "more.rego").write_text("package more\n")
    assert "no other policy" in str(open_files(bundle, tmp_path / "more.rego").attempt().outcome)
    (tmp_path / "more.rego").unlink()
    asked = OpaFiles([str(bundle)], questions={DECISION: Expression("data.a > 1")}, planner=plan_with_regopy)
    assert "only be asked for a document" in str(asked.attempt().outcome)
    bundle.write_bytes(archive({"plan.json": {"static": {}, "plans": {"plans": []}, "funcs": {"funcs": []}}}))
    assert "opa build -t plan -e envoy/authz/allow" in str(open_files(bundle).attempt().outcome)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.rego", b"package envoy.authz\n\nallow if {\n", "p.rego:"),
        ("p.rego", b"package envoy.authz\n\nallow if nowhere(1)\n", r"p\.rego:3"),
        ("p.rego", b"package envoy.authz\n\nallow if http.send({}).status == 200\n", r"http\.send"),
        ("p.rego", b"package a\n\xff", r"not UTF-8 \(line 2\)"),
        ("data.json", b"[]", "must be an object"),
        ("b.tar.gz", b"text", "not a bundle"),
        ("missing.rego", None, "does not exist"),
        ("missing.tar.gz", None, "does not exist"),
    ],
)
def test_what_cannot_be_used(tmp_path, name, content, message):
    """Each is refused with its place, and the same twice has the same digest."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    files = open_files(tmp_path / name)
    first, second = files.attempt(), files.attempt()
    assert isinstance(first.outcome, (PolicyError, ConfigurationError))
    with pytest.raises(type(first.outcome), match=message):
        raise first.outcome
    assert first.digest == second.digest == files.read().digest


def test_a_decision_that_nobody_defines(tmp_path):
    """It is undefined, which is the policy's right; the incumbent answers each request so."""
    (tmp_path / "p.rego").write_text("package other\n\nx := 1\n")
    policy = load(open_files(tmp_path)).policy
    assert repr(allows(policy, "a")) == "UNDEFINED"


def test_expressions(tmp_path):
    """Asked for as the configuration writes them; a mistake in one is told at its place."""
    (tmp_path / "p.rego").write_text("package a\n\nx := 2\n")
    files = OpaFiles([str(tmp_path)], questions={DECISION: Expression("data.a.x > 1")}, planner=plan_with_regopy)
    assert allows(load(files).policy, "any") is True
    broken = OpaFiles([str(tmp_path)], questions={DECISION: Expression("nowhere(1)")}, planner=plan_with_regopy)
    assert "<decision>:" in str(broken.attempt().outcome)
