import os

import pytest

from extauthz.errors import ConfigurationError
from extauthz.telemetry.otlp import Signal, check_environment, service_resource


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Tests do not depend on the environment they run in."""
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"])
@pytest.mark.parametrize(
    "value", ["collector:4318", "grpc://collector:4317", "http://", "http://collector:port", "http://[::1", "otlp"]
)
def test_an_endpoint_must_be_an_address(monkeypatch, name, value):
    """Not something that is found out at the first export."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"^{name} is no address of a collector: write it as http://"):
        check_environment(Signal.LOGS)


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        ("PROTOCOL", "grpc", "asks for another protocol than JSON over HTTP: set it to http/json"),
        ("HEADERS", "authorization", "is no list of name=value"),
        ("HEADERS", "a=b,=c", "is no list of name=value"),
        ("HEADERS", 'a="b"', "is no list of name=value"),
        ("TIMEOUT", "soon", "is no time in seconds"),
        ("TIMEOUT", "0", "is no time in seconds"),
        ("TIMEOUT", "nan", "is no time in seconds"),
        ("COMPRESSION", "zstd", "is not one of deflate, gzip, none"),
        ("CERTIFICATE", "/no/such/file", "names no file that can be read"),
        ("CLIENT_CERTIFICATE", "/", "names no file that can be read"),
        ("CLIENT_KEY", "/no/such/file", "names no file that can be read"),
    ],
)
def test_other_variables_are_checked(monkeypatch, kind, value, problem):
    """What the library would replace by a default, or stumble over later."""
    monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{kind}", value)
    with pytest.raises(ConfigurationError, match=f"OTEL_EXPORTER_OTLP_{kind} {problem}"):
        check_environment(Signal.TRACES)


def test_all_that_is_wrong_is_told_and_no_value(monkeypatch):
    """An endpoint may hold a password."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://user:secret@collector")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "-1")
    with pytest.raises(ConfigurationError) as caught:
        check_environment(Signal.LOGS)
    assert len(str(caught.value).splitlines()) == 2
    assert "secret" not in str(caught.value)


def test_the_variable_of_the_signal_comes_first(monkeypatch):
    """What is wrong with one that does not count, does not matter; an empty one is none."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "nonsense")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "https://collector/logs")
    check_environment(Signal.LOGS)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "")
    with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
        check_environment(Signal.LOGS)


def test_sound_variables_pass(monkeypatch, tmp_path):
    """Those that people use."""
    (tmp_path / "ca.pem").write_text("-")
    for name, value in {
        "ENDPOINT": "http://collector.observability:4318/",
        "TIMEOUT": "2.5",
        "COMPRESSION": "gzip",
        "HEADERS": "authorization=Basic YTpi==, x-scope=shop%2Ca ,",
        "PROTOCOL": "http/protobuf",
        "CERTIFICATE": str(tmp_path / "ca.pem"),
    }.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    check_environment(Signal.LOGS)
    check_environment(Signal.TRACES)


def test_the_service_has_a_name(monkeypatch):
    """Ours, unless the environment gives another."""
    assert service_resource().attributes["service.name"] == "extauthz"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "edge")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    attributes = service_resource().attributes
    assert (attributes["service.name"], attributes["deployment.environment"]) == ("edge", "test")
