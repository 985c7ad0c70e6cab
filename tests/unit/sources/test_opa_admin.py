from pathlib import Path
from typing import Any

import pytest

from extauthz.errors import ConfigurationError, EnvironmentUnfitError
from extauthz.model.source import Span
from extauthz.sources.opa_admin import ModuleRejectedError, OpaAdmin, OpaConnection
from tests.harness.http_server import serving
from tests.harness.opa_server import opa_server


@pytest.fixture
def server():
    with opa_server() as running:
        yield running


@pytest.fixture
def opa(server):
    with OpaAdmin(OpaConnection(server.url)) as admin:
        yield admin


@pytest.mark.opa
def test_health(opa):
    """Its version, and that it is well."""
    health = opa.health()
    assert health.healthy
    assert health.version.count(".") == 2
    assert health.bundles == {}


@pytest.mark.opa
def test_modules_come_and_go(opa):
    """Under ids that any path may be."""
    text = "package shop.reports\n\nallow if input.x # ä\n"
    opa.put_module("extauthz/main/a b%c/#d?.rego", text)
    assert opa.packages() == {"extauthz/main/a b%c/#d?.rego": "shop/reports"}
    assert opa.module("extauthz/main/a b%c/#d?.rego") == text
    opa.delete_module("extauthz/main/a b%c/#d?.rego")
    assert opa.packages() == {}


@pytest.mark.opa
def test_a_module_that_is_refused_keeps_its_places(opa):
    """All of them, and nothing is rewritten in the newer syntax behind the author's back."""
    with pytest.raises(ModuleRejectedError) as raised:
        opa.put_module("m.rego", "package m\n\na := nosuch(1)\nb := data.lib.f(2)\n")
    assert [span for span, _ in raised.value.findings] == [Span("m.rego", 3, 6), Span("m.rego", 4, 6)]
    with pytest.raises(ModuleRejectedError, match="if"):
        opa.put_module("m.rego", "package m\n\nallow { input.x }\n")
    assert opa.packages() == {}


@pytest.mark.opa
def test_a_module_that_others_need_stays(opa):
    """OPA would not compile without it."""
    opa.put_module("lib.rego", "package lib\n\nf(x) := x\n")
    opa.put_module("user.rego", "package user\n\na := data.lib.f(1)\n")
    with pytest.raises(ModuleRejectedError, match="cannot be removed"):
        opa.delete_module("lib.rego")


@pytest.mark.opa
@pytest.mark.parametrize("key", ["roles", "a/b c/d"])
def test_data_of_any_type(opa, key):
    """At a key, or below an object that is there."""
    opa.put_data("a", {"b c": {}})
    for value in ([1, 2], {"x": None}, "text", 10**30, False):
        opa.put_data(key, value)
        assert opa.data(key) == value
    opa.remove_data(key)
    assert opa.data(key) is None
    assert opa.data("nowhere/at/all") is None
    with pytest.raises(ConfigurationError, match=r"data\.nowhere"):
        opa.remove_data("nowhere")


@pytest.mark.opa
def test_an_opa_that_wants_a_token(tmp_path):
    """Everything is refused without it, and the message says what to do."""
    policy = tmp_path / "authz.rego"
    policy.write_text('package system.authz\n\ndefault allow := false\n\nallow if input.identity == "right"\n')
    token = tmp_path / "token"
    with opa_server("--authentication=token", "--authorization=basic", policy) as server:
        token.write_text("right\n")
        with OpaAdmin(OpaConnection(server.url, token_file=token)) as opa:
            opa.put_module("m.rego", "package m\n")
            assert "m.rego" in opa.packages()
        token.write_text("wrong")
        with OpaAdmin(OpaConnection(server.url, token_file=token)) as opa:
            for use in (
                opa.health,
                opa.packages,
                lambda: opa.module("m.rego"),
                lambda: opa.put_module("m.rego", "package m\n"),
                lambda: opa.delete_module("m.rego"),
                lambda: opa.data("x"),
                lambda: opa.put_data("x", 1),
            ):
                with pytest.raises(EnvironmentUnfitError, match="--token-file"):
                    use()


def test_something_else_answers_there():
    """Or nobody does."""
    with serving() as other:
        other.answers["/v1/config"] = lambda handler: handler.reply(200, b"<html>")
        with OpaAdmin(OpaConnection(other.url())) as opa:
            with pytest.raises(EnvironmentUnfitError, match="not as OPA does"):
                opa.health()
            with pytest.raises(EnvironmentUnfitError, match="status 404"):
                opa.packages()
        port = other.server_port
    with (
        OpaAdmin(OpaConnection(f"http://127.0.0.1:{port}")) as opa,
        pytest.raises(EnvironmentUnfitError, match="cannot be reached: Connection refused"),
    ):
        opa.packages()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"url": "opa:8181"}, "write http://HOST:PORT"),
        ({"url": "http://opa:8181/below"}, "write http://HOST:PORT"),
        ({"url": "http://opa:x"}, "Port could not be cast"),
        ({"url": "http://me:secret@opa"}, "--token-file"),
        ({"ca_file": "ca"}, "https"),
        ({"url": "https://opa", "client_cert": "c"}, "go together"),
        ({"url": "https://opa", "ca_file": "/nowhere"}, "/nowhere: name a PEM file"),
        ({"token_file": "/nowhere"}, "holds one bearer token"),
        ({"token_file": "/dev/null"}, "holds one bearer token"),
    ],
)
def test_wrong_flags(fields, message):
    """Before anything is sent, and without a secret."""
    given: dict[str, Any] = {name: value if name == "url" else Path(value) for name, value in fields.items()}
    with pytest.raises(ConfigurationError, match=message) as raised:
        OpaAdmin(OpaConnection(**{"url": "http://127.0.0.1:8181", **given}))
    assert "secret" not in str(raised.value)
