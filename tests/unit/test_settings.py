import jsonschema
import pytest
import yaml
from pydantic import SecretStr, ValidationError

from extauthz.errors import ConfigurationError
from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.settings import Settings, Unavailable, is_private, load_settings, render_settings, settings_schema


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    """Tests do not depend on the environment they run in."""
    import os

    for name in list(os.environ):
        if name.startswith("EXTAUTHZ_"):
            monkeypatch.delenv(name)


def problems(flags, config=None):
    with pytest.raises(ConfigurationError) as caught:
        load_settings(flags, config)
    return str(caught.value).splitlines()


def test_defaults_are_the_safe_ones():
    """Loopback, denials, nothing logged about anybody."""
    settings = load_settings({"paths": ["policy"]})
    assert settings.listen == (TcpAddress("127.0.0.1", 9000),)
    assert settings.admin == TcpAddress("127.0.0.1", 9180)
    assert settings.unavailable is Unavailable.DENY
    assert (settings.decision_log, settings.decision_log_subject) == ("off", "off")
    assert settings.deadline_ms == 150


def test_flags_win_over_the_environment_over_the_file(tmp_path, monkeypatch):
    """And what none of them says keeps its default."""
    config = tmp_path / "config.yaml"
    config.write_text("deadline_ms: 1\nmax_waiting: 1\nlog_level: debug\npaths: [file]\n")
    monkeypatch.setenv("EXTAUTHZ_DEADLINE_MS", "2")
    monkeypatch.setenv("EXTAUTHZ_MAX_WAITING", "2")
    settings = load_settings({"deadline_ms": 3}, str(config))
    assert (settings.deadline_ms, settings.max_waiting, settings.log_level) == (3, 2, "debug")
    assert settings.paths == ("file",)
    assert settings.decision_log == "off"


def test_the_file_may_be_named_by_a_variable(tmp_path, monkeypatch):
    """EXTAUTHZ_CONFIG stands for --config."""
    config = tmp_path / "config.yaml"
    config.write_text("paths: [policy]\ndecision_log: off\n")
    monkeypatch.setenv("EXTAUTHZ_CONFIG", str(config))
    settings = load_settings({})
    assert settings.paths == ("policy",)
    assert settings.decision_log == "off", "YAML 1.1 would have made it a boolean"


def test_lists_in_the_environment_are_written_with_commas(monkeypatch):
    """As people write them, not as JSON."""
    monkeypatch.setenv("EXTAUTHZ_PATHS", "a, b")
    monkeypatch.setenv("EXTAUTHZ_LISTEN", "[::1]:9000,unix:/run/x.sock")
    settings = load_settings({})
    assert settings.paths == ("a", "b")
    assert settings.listen == (TcpAddress("::1", 9000), UnixAddress("/run/x.sock"))


def test_constructing_settings_reads_no_environment(monkeypatch):
    """Who embeds the service says everything."""
    monkeypatch.setenv("EXTAUTHZ_DEADLINE_MS", "7")
    assert Settings(paths=("policy",)).deadline_ms == 150


def test_settings_are_frozen():
    """They are validated once."""
    settings = Settings(paths=("policy",))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(settings, "deadline_ms", 1)  # noqa: B010 - mypy knows better


def test_every_problem_is_told_at_once_with_its_origin(tmp_path, monkeypatch):
    """One line each: the flag, the variable, or the file."""
    config = tmp_path / "config.yaml"
    config.write_text("log_level: loud\nlisten_on: x\n")
    monkeypatch.setenv("EXTAUTHZ_DEADLINE_MS", "soon")
    monkeypatch.setenv("EXTAUTHZ_LISTN", "127.0.0.1:1")
    found = problems({"listen": ["nowhere"], "paths": ["policy"]}, str(config))
    assert len(found) == 5
    for start, part in [
        ("EXTAUTHZ_LISTN: unknown setting", "did you mean 'EXTAUTHZ_LISTEN'?"),
        (f"{config}: unknown setting 'listen_on'", "listen"),
        ("--listen: 'nowhere' is no address", "host:port"),
        ("EXTAUTHZ_DEADLINE_MS: ", "integer"),
        (f"{config}: log_level: ", "'debug'"),
    ]:
        assert any(line.startswith(start) and part in line for line in found), (start, found)


@pytest.mark.parametrize("flags", [{}, {"paths": []}])
def test_a_policy_must_be_named(flags):
    """There is nothing to serve without."""
    (line,) = problems(flags)
    assert line.startswith("PATH")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "tcp://10.0.0.1:9000"),
        ("SERVICE_HOST", "10.0.0.1"),
        ("SERVICE_PORT", "9000"),
        ("SERVICE_PORT_GRPC", "9000"),
        ("PORT_9000_TCP", "tcp://10.0.0.1:9000"),
        ("PORT_9000_TCP_PROTO", "tcp"),
        ("ADMIN_SERVICE_HOST", "10.0.0.1"),
        ("ADMIN_PORT", "tcp://10.0.0.1:9180"),
        ("REQUIRE", "envoy"),
    ],
)
def test_service_links_are_no_settings(monkeypatch, name, value):
    """Kubernetes sets them in every container of the namespace that holds a service of that name."""
    monkeypatch.setenv(f"EXTAUTHZ_{name}", value)
    assert load_settings({"paths": ["policy"]}).admin == TcpAddress("127.0.0.1", 9180)


def test_a_port_that_is_no_service_link_is_a_mistake(monkeypatch):
    """Somebody meant EXTAUTHZ_LISTEN."""
    monkeypatch.setenv("EXTAUTHZ_PORT", "9000")
    (line,) = problems({"paths": ["policy"]})
    assert line.startswith("EXTAUTHZ_PORT: unknown setting")


@pytest.mark.parametrize("admin", ["0.0.0.0:9180", "[::]:9180", "10.0.0.1:9180", "somewhere:9180"])
def test_the_api_is_refused_where_other_machines_reach_it(admin):
    """The message says what to do instead, and what it says works."""
    (line,) = problems({"paths": ["policy"], "admin": admin})
    assert "admin_api: false" in line
    assert "loopback" in line
    assert "admin_client_ca" in line
    certified = {"admin_tls_cert": "own.crt", "admin_tls_key": "own.key", "admin_client_ca": "authority.crt"}
    for remedy in ({"admin_api": False}, certified):
        load_settings({"paths": ["policy"], "admin": admin, **remedy})


@pytest.mark.parametrize("admin", ["127.0.0.1:0", "127.8.9.1:1", "[::1]:1", "localhost:1", "unix:/run/admin.sock"])
def test_loopback_and_unix_sockets_are_private(admin):
    """Nobody else's machine reaches them."""
    settings = load_settings({"paths": ["policy"], "admin": admin})
    assert is_private(settings.admin)
    assert settings.admin_api


def test_pseudonyms_need_a_key(monkeypatch):
    """One that cannot be guessed, and that no message repeats."""
    monkeypatch.setenv("EXTAUTHZ_DECISION_LOG_KEY", "tooshort")
    (line,) = problems({"paths": ["policy"], "decision_log_subject": "hmac"})
    assert "16 bytes" in line
    assert "tooshort" not in line
    monkeypatch.setenv("EXTAUTHZ_DECISION_LOG_KEY", "a" * 16)
    assert load_settings({"paths": ["policy"], "decision_log_subject": "hmac"}).decision_log_secret == b"a" * 16


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"tls_cert": "own.crt"}, "tls_cert and tls_key go together"),
        ({"tls_key": "own.key"}, "tls_cert and tls_key go together"),
        ({"client_ca": "authority.crt"}, "client_ca needs tls_cert and tls_key"),
        ({"admin_tls_cert": "own.crt"}, "admin_tls_cert and admin_tls_key go together"),
        ({"admin_client_ca": "authority.crt"}, "admin_client_ca needs admin_tls_cert and admin_tls_key"),
        (
            {"admin_tls_cert": "own.crt", "admin_tls_key": "own.key", "admin": "unix:/run/x.sock"},
            "admin_tls_cert: unix:/run/x.sock stays in clear text",
        ),
        (
            {"tls_cert": "own.crt", "tls_key": "own.key", "listen": ["unix:/run/x.sock"]},
            "tls_cert: no address in listen is host:port",
        ),
        ({"transport": "grpcio", "workers": 2}, "workers: grpcio cannot share its addresses"),
        ({"transport": "http"}, "--transport: "),
    ],
)
def test_what_does_not_go_together_is_refused(given, part):
    """Instead of leaving half of it out."""
    (line,) = problems({"paths": ["policy"], **given})
    assert part in line


@pytest.mark.parametrize("log", ["off", "stdout"])
def test_only_a_file_can_be_put_aside(log):
    """A limit that limits nothing is a mistake; with a file it is none."""
    (line,) = problems({"paths": ["policy"], "decision_log": log, "decision_log_max_bytes": 10_000_000})
    assert "name one in decision_log" in line
    given = {"paths": ["policy"], "decision_log": "x.log", "decision_log_max_bytes": 10_000_000, "decision_log_keep": 2}
    settings = load_settings(given)
    assert (settings.decision_log_max_bytes, settings.decision_log_keep) == (10_000_000, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DECISION_LOG_MAX_BYTES", "1000"),
        ("DECISION_LOG_KEEP", "0"),
        ("DECISION_LOG_SAMPLE_ALLOW", "1.1"),
        ("DECISION_LOG_SAMPLE_DENY", "-1"),
    ],
)
def test_limits_of_the_decision_log_are_checked(monkeypatch, name, value):
    """A file smaller than one write, nothing kept, more than everything."""
    monkeypatch.setenv(f"EXTAUTHZ_{name}", value)
    (line,) = problems({"paths": ["policy"], "decision_log": "x.log"})
    assert line.startswith(f"EXTAUTHZ_{name}: ")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("- a\n", "YAML map"),
        ("paths: [a\n", "config.yaml:"),
        ("paths: [a]\npaths: [b]\n", "config.yaml:2:1"),
        ("!!python/object:os.system x\n", "config.yaml:1:1"),
    ],
)
def test_a_file_that_cannot_be_read_as_settings_is_refused(tmp_path, text, part):
    """With its place."""
    config = tmp_path / "config.yaml"
    config.write_text(text)
    assert part in problems({}, str(config))[0]


def test_a_missing_file_is_one_line(tmp_path):
    """That names it."""
    (line,) = problems({}, str(tmp_path / "none.yaml"))
    assert "none.yaml: No such file" in line


def test_printed_settings_are_a_file_that_gives_them_again(tmp_path):
    """Every one of them."""
    settings = Settings(paths=("a", "b"), listen=("unix:/run/x.sock",), decision_log="stdout", state="/var/lib/x")
    config = tmp_path / "config.yaml"
    config.write_text(render_settings(settings))
    assert load_settings({}, str(config)) == settings


def test_printed_settings_hold_no_secret():
    """That there is one is said."""
    printed = render_settings(Settings(paths=("a",), decision_log_key=SecretStr("k" * 40)))
    assert "decision_log_key: (set, not shown)" in printed
    assert "kkkk" not in printed


@pytest.fixture
def validator():
    schema = settings_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_printed_settings_fit_the_schema(validator):
    """Addresses as they are written, whole or in part: flags may say the rest."""
    given = Settings(paths=("a",), listen=("unix:/run/x.sock", "[::1]:9000"), decision_log="x", state="s", workers=2)
    validator.validate(yaml.safe_load(render_settings(given)))
    validator.validate({"decision_log": "stdout"})


@pytest.mark.parametrize(
    "settings",
    [{"listne": ["a:1"]}, {"listen": ["nowhere"]}, {"deadline_ms": 0}, {"traces": "on"}, {"decision_log_keep": "all"}],
)
def test_what_is_refused_does_not_fit_the_schema(validator, settings):
    """An editor says so at once."""
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(settings)


def test_every_setting_has_a_description(validator):
    """And its default, as it would be written: it is the reference."""
    assert set(validator.schema["properties"]) == set(Settings.model_fields)
    properties = validator.schema["properties"]
    assert all(each["description"].endswith((".", ".)")) for each in properties.values())
    assert properties["listen"]["default"] == ["127.0.0.1:9000"]
    validator.validate({name: each["default"] for name, each in properties.items() if "default" in each})


def test_an_engine_is_a_map_wherever_it_is_written(tmp_path, monkeypatch):
    """In the file, in the environment, in the flag; what is printed gives it again."""
    text = "{opa: {url: 'http://127.0.0.1:8181', path: shop/allow, timeout_ms: 50}}"
    config = tmp_path / "config.yaml"
    config.write_text(f"paths: [policy]\nengine: {text}\n")
    monkeypatch.setenv("EXTAUTHZ_ENGINE", text)
    config_of_flag = load_settings({"paths": ["policy"], "engine": text})
    assert load_settings({}, str(config)).engine == config_of_flag.engine
    monkeypatch.delenv("EXTAUTHZ_ENGINE")
    settings = load_settings({}, str(config))
    assert settings.engine == config_of_flag.engine
    assert settings.opa_engine is not None
    assert settings.opa_engine.timeout_seconds == 0.05
    again = tmp_path / "again.yaml"
    again.write_text(render_settings(settings))
    assert load_settings({}, str(again)) == settings
    assert load_settings({"paths": ["policy"]}).opa_engine is None
    assert load_settings({"paths": ["policy"], "engine": "off"}, str(config)).engine is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("opa", "--engine: it is a map, as in {opa: {url: http://127.0.0.1:8181, path: shop/allow}}"),
        ("{", "--engine: not YAML"),
        ("", "--engine: it is a map"),
        ("{opa: {url: 'http://127.0.0.1'}}", "--engine: opa.path: is missing"),
        ("{opa: {url: a, path: b, pth: c}}", "--engine: opa.pth: unknown key"),
        ("{opa: {url: a, path: b, timeout_ms: 0}}", "--engine: opa.timeout_ms: Input should be greater than"),
        ("{other: {}}", "--engine: opa: is missing"),
    ],
)
def test_a_wrong_engine_is_told_by_its_key(text, message):
    """And where it was written."""
    assert any(line.startswith(message) for line in problems({"paths": ["policy"], "engine": text}))


def test_a_drop_in_needs_no_paths():
    """Its bundles may be all there is; and its listener has nothing that others may not see."""
    settings = load_settings({"opa_config": "config.yaml", "admin": "0.0.0.0:8282"})
    assert (settings.paths, settings.serves_api) == ((), False)
    assert load_settings({"paths": ["policy"]}).serves_api


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"strict": True}, "opa_config"),
        ({"policy": ["set"]}, "opa_config"),
        ({"opa_config": "c", "traces": "otlp"}, "traces"),
        ({"opa_config": "c", "decision_log": "otlp"}, "decision_log"),
        ({"opa_config": "c", "engine": {"opa": {"url": "http://127.0.0.1:1", "path": "a"}}}, "engine"),
    ],
)
def test_what_does_not_go_with_a_drop_in(given, word):
    """One of both has to be left out."""
    (line,) = problems({"paths": ["policy"], **given})
    assert word in line
