import pytest

from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.settings import load_settings, render_settings
from tests.harness.settings import problems


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


def test_a_drop_in_listens_and_loads_as_its_own_command_says(monkeypatch):
    """What the image names is for policy sets: a container's command with --opa-config means none of it."""
    monkeypatch.setenv("EXTAUTHZ_PATHS", "/etc/extauthz/policy")
    monkeypatch.setenv("EXTAUTHZ_LISTEN", "0.0.0.0:9000")
    settings = load_settings({"opa_config": "opa.yaml"})
    assert settings.paths == ()
    assert "listen" not in settings.model_fields_set
    assert load_settings({"opa_config": "opa.yaml", "listen": ["127.0.0.1:1"]}).listen == (TcpAddress("127.0.0.1", 1),)
    monkeypatch.setenv("EXTAUTHZ_OPA_CONFIG", "opa.yaml")
    assert load_settings({}).listen == (TcpAddress("0.0.0.0", 9000),), "who sets them all means them all"


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
