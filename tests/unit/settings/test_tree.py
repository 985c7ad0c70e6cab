import pytest
from pydantic import ValidationError

from extauthz.lowering.address import TcpAddress
from extauthz.settings import Settings, Unavailable, is_private, load_settings
from tests.harness.settings import problems


def test_defaults_are_the_safe_ones():
    """Loopback, denials, nothing logged about anybody."""
    settings = load_settings({"paths": ["policy"]})
    assert settings.listen == (TcpAddress("127.0.0.1", 9000),)
    assert settings.admin == TcpAddress("127.0.0.1", 9180)
    assert settings.unavailable is Unavailable.DENY
    assert (settings.decision_log, settings.decision_log_subject) == ("off", "off")
    assert settings.deadline_ms == 150


def test_constructing_settings_reads_no_environment(monkeypatch):
    """Who embeds the service says everything."""
    monkeypatch.setenv("EXTAUTHZ_DEADLINE_MS", "7")
    assert Settings(paths=("policy",)).deadline_ms == 150


def test_settings_are_frozen():
    """They are validated once."""
    settings = Settings(paths=("policy",))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(settings, "deadline_ms", 1)  # noqa: B010 - mypy knows better


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
