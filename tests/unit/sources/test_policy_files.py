import gc
import json
import os
from pathlib import Path

import pytest

from extauthz.errors import ConfigurationError, PolicyError
from extauthz.sources import policy_files, policy_walk
from extauthz.sources.policy_files import LoadedSet, PolicyFiles, load, read_regular_file
from extauthz.sources.rego_planner import plan_with_regopy

POLICY = """\
version: 1
name: {name}
routes:
  - {{name: {name}-health, path: /{name}, public: true}}
"""
MORE_ROUTES = """\
version: 1
routes:
  - {{name: {name}, path: /{name}, public: true}}
"""
KEYED = """\
version: 1
providers:
  corp:
    issuer: https://issuer.example
    audiences: [shop]
    algorithms: [RS256]
    jwks: {file: keys/jwks.json}
"""
JWKS = {"keys": [{"kty": "RSA", "kid": "example", "alg": "RS256", "use": "sig", "n": "u" * 342 + "w", "e": "AQAB"}]}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder `policies` with one policy file, named relatively as an operator does."""
    monkeypatch.chdir(tmp_path)
    write("policies/main.yaml", POLICY.format(name="shop"))
    return tmp_path / "policies"


def write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def refused(*paths: str, values_file: str | None = None) -> str:
    with pytest.raises(ConfigurationError) as raised:
        load(paths, values_file=values_file)
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_folder_is_read_recursively_and_sorted(folder):
    """Both endings at any depth count, in any case; tests, hidden names, leftovers and other files do not."""
    for name in ("b/deep/x.yml", "a.YAML"):
        write(f"policies/{name}", MORE_ROUTES.format(name=f"r{len(name)}"))
    for name in (
        "main_test.yaml",
        ".hidden.yaml",
        ".git/config.yaml",
        "main.yaml~",
        "#main.yaml#",
        ".#main.yaml",
        "main.yaml.swp",
        "README.md",
        "jwks.json",
    ):
        write(f"policies/{name}", "not: [policy")
    loaded = load(["policies"])
    assert loaded.sources == ("policies/a.YAML", "policies/b/deep/x.yml", "policies/main.yaml")
    assert loaded.files == loaded.sources
    assert len(loaded.parsed.policy_set.routes) == 3


def test_all_paths_form_one_set_whatever_their_order(folder):
    """Two paths make the same set, revision and digest in either order."""
    write("more.yaml", MORE_ROUTES.format(name="more"))
    one, other = load(["policies", "more.yaml"]), load(["more.yaml", "policies"])
    assert one.sources == ("more.yaml", "policies/main.yaml")
    assert (one.digest, one.parsed.policy_set.revision) == (other.digest, other.parsed.policy_set.revision)


def test_nothing_is_read_twice(folder):
    """A file named twice, linked, or below a link that leads back counts once: duplicates would be load errors."""
    Path("policies/again.yaml").symlink_to("main.yaml")
    Path("policies/loop").symlink_to(".")
    Path("policies/up").symlink_to("..")
    loaded = load(["policies", "policies/main.yaml", str(folder)])
    assert len(loaded.sources) == 1


def test_config_map_is_read_through_its_visible_links(tmp_path):
    """The layout that kubelet writes: `..` trees are skipped, the links into them are read."""
    volume = config_map(tmp_path / "volume", "..2026_01", {"policy.yaml": POLICY.format(name="shop")})
    loaded = load([str(volume)])
    assert loaded.sources == (f"{volume}/policy.yaml",)
    assert loaded.directories[str(volume)].endswith(" ..2026_01")


def config_map(volume: Path, version: str, files: dict[str, str]) -> Path:
    """Writes what kubelet's AtomicWriter writes for a first mount."""
    (volume / version).mkdir(parents=True)
    (volume / "..data").symlink_to(version)
    for name, text in files.items():
        (volume / version / name).write_text(text)
        (volume / name).symlink_to(f"..data/{name}")
    return volume


def test_missing_path_says_so(folder):
    """No such path is one line with the path."""
    assert refused("polices") == "polices does not exist: check the path"
    assert refused("policies", "more.yaml") == "more.yaml does not exist: check the path"
    assert refused("policies/main.yaml/x") == "policies/main.yaml/x does not exist: a part of the path is a file"


def test_no_path_at_all_says_so():
    """An empty set is not a set that allows nothing: it is a mistake."""
    assert refused() == "no policy given: name a policy file or a folder of them"


def test_every_path_must_hold_policy(folder):
    """A folder without policy files beside one that has some is still the wrong folder."""
    write("overlay/main_test.yaml", "tests: []")
    assert refused("policies", "overlay").startswith("overlay holds no policy files: put *.yaml files there")


def test_file_of_another_kind_is_refused(folder):
    """A path that is a file must be policy."""
    write("policy.json", "{}")
    write("main_test.yaml", "tests: []")
    assert refused("policy.json") == "policy.json is not a policy file: name a *.yaml file or a folder of them"
    assert refused("main_test.yaml") == "main_test.yaml is a test file: name the policy that it tests"


def test_rego_is_part_of_the_set(folder):
    """Modules and their data are read, watched and missed like policy files; their tests are listed."""
    write(
        "policies/more.yaml",
        "routes:\n  - {name: a, path: /a, authentication: none, allow: [{rego: data.shop.rules.allow}]}\n",
    )
    write("policies/rules.rego", "package shop.rules\n\nallow if data.lists.paths[_] == input.parsed_path[0]\n")
    write("policies/lists/data.yaml", "paths: [a]\n")
    write("policies/rules_test.rego", "package shop.rules_test\n")
    files = PolicyFiles(["policies"], planner=plan_with_regopy)
    loaded = files.attempt().outcome
    assert isinstance(loaded, LoadedSet)
    assert loaded.sources == (
        "policies/lists/data.yaml",
        "policies/main.yaml",
        "policies/more.yaml",
        "policies/rules.rego",
    )
    assert loaded.rego_tests == ("policies/rules_test.rego",)
    assert files.read().digest == loaded.digest
    write("policies/lists/data.yaml", "paths: [b]\n")
    assert files.read().digest != loaded.digest


def test_rego_alone_is_no_set(folder):
    """Which requests a module decides is said in YAML."""
    write("rego/rules.rego", "package shop\n\nallow := true\n")
    assert refused("rego") == "rego holds no *.yaml policy, which says when its Rego is asked: write one"


@pytest.mark.parametrize("name", ["gone.yaml", "tenants"])
def test_dangling_link_is_an_error(folder, name):
    """A link that points nowhere is a lost file or folder, not an absent one."""
    Path("policies", name).symlink_to("nowhere")
    assert refused("policies") == f"policies/{name} is a link to nowhere, which does not exist: correct or remove it"


def test_link_loop_is_an_error(folder):
    """A link to itself is one line."""
    Path("policies/self.yaml").symlink_to("self.yaml")
    assert refused("policies") == "policies/self.yaml cannot be read: its symlinks form a loop"


@pytest.fixture
def unprivileged(tmp_path):
    """Root reads everything: step down to nobody for the test."""
    tmp_path.chmod(0o755)
    as_root = os.geteuid() == 0
    if as_root:
        os.seteuid(65534)
    yield
    if as_root:
        os.seteuid(0)


@pytest.mark.parametrize("path", ["policies/main.yaml", "policies/sub"])
def test_unreadable_is_an_error(folder, request, path):
    """A file or folder without permission is never skipped."""
    write("policies/sub/x.yaml", MORE_ROUTES.format(name="x"))
    Path(path).chmod(0)
    request.getfixturevalue("unprivileged")
    assert refused("policies") == f"{path} cannot be read: permission denied; make it readable for this user"


def test_pipe_is_refused_without_waiting(folder):
    """Opening a named pipe would block until somebody writes: it is no regular file."""
    os.mkfifo("policies/pipe.yaml")
    assert refused("policies") == "policies/pipe.yaml is no regular file (pipes and devices are not read)"


def test_not_utf8_is_refused(folder):
    """Another encoding is named with its line."""
    Path("policies/latin.yaml").write_bytes(b"version: 1\nname: caf\xe9\n")
    assert refused("policies") == "policies/latin.yaml is not UTF-8 (line 2): save it as UTF-8"


def test_huge_file_is_refused(folder):
    """A sparse file of one byte more than the limit is not read into memory whole."""
    with Path("policies/huge.yaml").open("wb") as file:
        file.truncate(policy_files.MAX_FILE_BYTES + 1)
    assert refused("policies") == "policies/huge.yaml is larger than 32 MiB"


def test_too_many_files_are_refused(folder, monkeypatch):
    """A home directory given by mistake ends with a line, not with an hour of reading."""
    monkeypatch.setattr(policy_walk, "MAX_ENTRIES", 5)
    for index in range(5):
        write(f"policies/notes-{index}.txt", "")
    assert refused("policies") == "more than 5 files under policies: name the policy's own folder"


def test_deep_folders_do_not_overflow_the_stack(tmp_path, monkeypatch):
    """Depth is up to whoever writes the folder; the walk does not recurse."""
    monkeypatch.chdir(tmp_path)
    folders = ["policies" + "/d" * depth for depth in range(1500)]
    for folder in folders:
        os.mkdir(folder)  # noqa: PTH102 - pathlib would overflow the stack itself
    file = f"{folders[-1]}/x.yaml"
    with open(file, "w", encoding="utf-8") as policy:  # noqa: PTH123 - as above
        policy.write(POLICY.format(name="deep"))
    assert load(["policies"]).sources == (file,)
    os.unlink(file)  # noqa: PTH108 - as above; and pytest could not clear it away
    for folder in reversed(folders):
        os.rmdir(folder)  # noqa: PTH106 - as above


def test_policy_errors_carry_their_diagnostics(folder):
    """A wrong policy is the parser's to report, at the path as the operator named it."""
    write("policies/main.yaml", "version: 1\nname: shop\nrowtes: []\n")
    with pytest.raises(PolicyError) as raised:
        load(["policies"])
    assert {diagnostic.span.file for diagnostic in raised.value.diagnostics} == {"policies/main.yaml"}


def test_references_are_read_beside_their_policy_and_watched(folder):
    """A file named by `file:` is relative to the policy that names it, and belongs to the digest."""
    write("policies/main.yaml", KEYED + POLICY.format(name="shop").removeprefix("version: 1\n"))
    write("policies/keys/jwks.json", json.dumps(JWKS))
    before = load(["policies"])
    assert before.sources == ("policies/main.yaml",)
    assert before.files == ("policies/keys/jwks.json", "policies/main.yaml")
    write("policies/keys/jwks.json", json.dumps(JWKS) + "\n")
    after = load(["policies"])
    assert after.digest != before.digest


def test_key_file_in_the_folder_is_no_policy(folder):
    """API keys that lie beside the policy that names them are read as keys, and belong to the digest."""
    write(
        "policies/main.yaml",
        "version: 1\nname: shop\n"
        "providers: {machines: {api_keys: {file: keys.yaml, header: x-api-key}}}\n"
        "routes: [{name: a, path: /a, allow: [{authenticated: true}]}]\n",
    )
    write("policies/keys.yaml", f"- {{sha256: {'ab' * 32}, subject: machine}}\n")
    loaded = load(["policies"])
    assert loaded.sources == ("policies/main.yaml",)
    assert loaded.files == ("policies/keys.yaml", "policies/main.yaml")
    assert len(loaded.parsed.policy_set.api_key_providers[0].keys) == 1


def test_keys_that_verify_nothing_are_policy_errors(folder):
    """A key set without a key for the provider's algorithms is found at load, at its provider."""
    write("policies/main.yaml", KEYED + POLICY.format(name="shop").removeprefix("version: 1\n"))
    jwks = {"keys": [{**JWKS["keys"][0], "alg": "RS384"}]}
    write("policies/keys/jwks.json", json.dumps(jwks))
    with pytest.raises(PolicyError) as raised:
        load(["policies"])
    (diagnostic,) = raised.value.diagnostics
    assert str(diagnostic.span) == "policies/main.yaml:3:3"
    assert diagnostic.code == "EAZ403"
    assert "has no key for RS256" in diagnostic.message
    assert diagnostic.source_line == "  corp:"


def test_all_providers_whose_keys_cannot_be_used_are_told_at_once(folder):
    """Each at its own place, and those that are sound are not named."""
    providers = "".join(
        f"  {name}: {{issuer: 'https://{name}', audiences: [x], algorithms: [{algorithm}], "
        f"jwks: {{file: keys/jwks.json}}, may_assert: all}}\n"
        for name, algorithm in [("sound", "RS256"), ("first", "ES256"), ("second", "PS256")]
    )
    text = f"version: 1\nname: shop\nproviders:\n{providers}routes: [{{name: a, path: /a, public: true}}]\n"
    write("policies/main.yaml", text)
    write("policies/keys/jwks.json", json.dumps({"keys": [{**JWKS["keys"][0], "alg": "RS256"}]}))
    with pytest.raises(PolicyError) as raised:
        load(["policies"])
    assert [(str(each.span), each.path) for each in raised.value.diagnostics] == [
        ("policies/main.yaml:5:3", "providers.first"),
        ("policies/main.yaml:6:3", "providers.second"),
    ]


def test_missing_reference_is_remembered(folder):
    """What could not be read is part of the state: the digest changes when the file appears."""
    write("policies/main.yaml", KEYED + POLICY.format(name="shop").removeprefix("version: 1\n"))
    files = PolicyFiles(["policies"])
    attempt = files.attempt()
    assert isinstance(attempt.outcome, PolicyError)
    assert files.references == {"policies/keys/jwks.json"}
    assert files.read().digest == attempt.digest
    write("policies/keys/jwks.json", json.dumps(JWKS))
    assert files.read().digest != attempt.digest


def test_values_file_is_no_part_of_the_set(folder):
    """A values file beside the policy is left out of it, and belongs to the digest."""
    write("policies/values.yaml", "ISSUER: https://issuer.example\n")
    loaded = load(["policies"], values_file="policies/values.yaml")
    assert loaded.sources == ("policies/main.yaml",)
    assert loaded.files == ("policies/main.yaml", "policies/values.yaml")
    write("policies/values.yaml", "ISSUER: https://other.example\n")
    assert load(["policies"], values_file="policies/values.yaml").digest != loaded.digest


def test_values_reach_the_policy(folder):
    """`${NAME}` is what the values file says; without the file it is an error, not an empty string."""
    write(
        "policies/main.yaml",
        "version: 1\nname: shop\nroutes:\n  - {name: home, path: /, host: '${HOST}', public: true}\n",
    )
    write("values.yaml", "HOST: shop.example\n")
    host = load(["policies"], values_file="values.yaml").parsed.policy_set.routes[0].host
    assert host is not None
    assert host.host == "shop.example"
    with pytest.raises(PolicyError):
        load(["policies"])


def test_bad_values_files_are_one_line(folder):
    """A missing or malformed values file is the operator's to correct."""
    assert refused("policies", values_file="values.yaml") == "values.yaml does not exist: check the path"
    write("values.yaml", "PORT: 80\n")
    assert refused("policies", values_file="values.yaml").startswith("values.yaml:1:7: the value of PORT")


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("text", [POLICY.format(name="shop"), "version: ["])
def test_collector_is_left_as_it_was(folder, enabled, text):
    """Loading pauses the garbage collector, and leaves it as it found it, whatever comes of the load."""
    write("policies/main.yaml", text)
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        PolicyFiles(["policies"]).attempt()
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()


def test_reading_agrees_with_attempt(folder):
    """What the watcher compares is what was parsed."""
    files = PolicyFiles(["policies"])
    assert files.read().digest == files.attempt().digest
    write("policies/main.yaml", POLICY.format(name="other"))
    assert files.read().digest == files.attempt().digest


def test_digest_covers_names_and_content(folder):
    """Renaming, adding, changing and losing a file, and an unreadable state, are different digests."""
    files = PolicyFiles(["policies"])
    digests = [files.read().digest]
    Path("policies/main.yaml").rename("policies/renamed.yaml")
    digests.append(files.read().digest)
    write("policies/more.yaml", MORE_ROUTES.format(name="more"))
    digests.append(files.read().digest)
    write("policies/more.yaml", MORE_ROUTES.format(name="else"))
    digests.append(files.read().digest)
    Path("policies/broken.yaml").symlink_to("nowhere")
    digests.append(files.read().digest)
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_impossible_names_are_os_errors(name):
    """A reference that no file can bear is the parser's diagnostic, not a ValueError."""
    with pytest.raises(OSError, match="not a file name"):
        read_regular_file(name)


def test_folder_is_no_file(tmp_path):
    """A reference to a folder says what it is."""
    with pytest.raises(IsADirectoryError, match="is a folder where a file is expected"):
        read_regular_file(str(tmp_path))
