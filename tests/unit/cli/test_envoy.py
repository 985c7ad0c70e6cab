import datetime as dt
import json
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography import x509

from extauthz.cli import EXIT_ENVIRONMENT, EXIT_WRONG_INPUT, run
from extauthz.demo.assets import policies_dir
from tests.harness.certificates import CertificateAuthority

ROOT = Path(__file__).parents[3]
SHOP = [str(policies_dir() / "shop"), "--values", str(policies_dir() / "shop.values.yaml")]


def test_a_configuration_is_printed_or_written(tmp_path, capsys):
    """The same bytes either way, and with -o nothing is printed."""
    flags = ["--upstream", "upstream:8080"]
    assert run(["envoy", "config", *SHOP, *flags]) == 0
    printed = capsys.readouterr().out
    assert run(["envoy", "config", *SHOP, *flags, "-o", str(tmp_path / "envoy.json")]) == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "envoy.json").read_text() == printed
    assert json.loads(printed)["static_resources"]["listeners"][0]["name"] == "front"


def test_the_envoy_folder_holds_no_package():
    """Beside it, `import envoy.service...` would find the folder instead of the installed messages."""
    assert not (ROOT / "envoy" / "__init__.py").exists()


def test_a_snippet_needs_no_upstream(capsys):
    """Filters for a proxy that exists, on standard output."""
    assert run(["envoy", "config", *SHOP, "--snippet", "--authz", "unix:/run/extauthz.sock"]) == 0
    parts = json.loads(capsys.readouterr().out)
    assert parts["clusters"][0]["type"] == "STATIC"
    removed = [m["remove"] for m in parts["http_filters"][0]["typed_config"]["mutations"]["request_mutations"]]
    assert removed == ["x-roles", "x-user", "x_roles", "x_user"]
    assert "with_request_body" in parts["http_filters"][1]["typed_config"]


def test_a_mode_chooses_who_decides(capsys):
    """The filters differ, the flags do not."""
    names = {}
    for mode in ("check", "native", "wasm", "split"):
        assert run(["envoy", "config", *SHOP, "--mode", mode, "--upstream", "upstream:8080"]) == 0
        listener = json.loads(capsys.readouterr().out)["static_resources"]["listeners"][0]
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        names[mode] = {f["name"] for f in manager["http_filters"]}
    assert "extauthz.decision" not in names["check"]
    assert "extauthz.denial" in names["native"]
    assert "extauthz.denial" not in names["split"]
    assert "extauthz.decision" in names["split"]


def test_the_authorizer_may_be_asked_over_tls(capsys):
    """With what the proxy proves itself with."""
    tls = ["--authz-tls-ca", "/ca.pem", "--authz-tls-cert", "/own.crt", "--authz-tls-key", "/own.key"]
    assert run(["envoy", "config", *SHOP, "--snippet", "--authz", "authz:9000", *tls]) == 0
    (cluster,) = json.loads(capsys.readouterr().out)["clusters"]
    assert "/own.key" in json.dumps(cluster["transport_socket"])


def test_certificates_may_be_replaced(tmp_path, capsys):
    """The files that tell Envoy where they are stand where the configuration says."""
    folder = tmp_path / "secrets"
    tls = ["--authz-tls-ca", "/ca.pem", "--authz-tls-cert", "/own.crt", "--authz-tls-key", "/own.key"]
    config = ["envoy", "config", *SHOP, "--authz", "authz:9000", *tls, "--sds", str(folder)]
    assert run([*config, "--upstream", "upstream:8080", "--tls-cert", "/p.pem", "--tls-key", "/p.key"]) == 0
    text = capsys.readouterr().out
    assert sorted(str(path) for path in folder.iterdir()) == sorted(set(re.findall(rf'"({folder}/[^"]*)"', text)))
    assert json.loads(text)["node"]["id"], "Envoy does not start without"
    for path in folder.iterdir():
        assert json.loads(path.read_text())["resources"]
    assert run([*config, "--snippet"]) == 0


def test_a_certificate_that_has_expired_is_told(tmp_path, capsys):
    """Where it is written into a configuration, and before Envoy runs with it: nothing else would say so."""
    authority = CertificateAuthority(tmp_path, dt.datetime.now(dt.UTC))  # noqa: TID251 - tests have no clock
    expired = str(authority.issue(x509.DNSName("envoy"), until=-dt.timedelta(hours=1)))
    tls = ["--authz", "127.0.0.1:9000", "--authz-tls-ca", str(authority.certificate)]
    tls += ["--authz-tls-cert", expired, "--authz-tls-key", expired]
    assert run(["envoy", "config", *SHOP, "--snippet", *tls]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["clusters"]
    assert err.startswith(f"warning: {expired} expired at ")
    assert run(["envoy", "run", *SHOP, "--upstream", "127.0.0.1:1", *tls]) == EXIT_WRONG_INPUT
    assert capsys.readouterr().err.startswith(f"extauthz: {expired} expired at ")


def test_clients_may_be_served_over_tls(capsys):
    """The listener has the certificate, of which both halves are needed; a snippet has no listener."""
    config = ["envoy", "config", *SHOP]
    assert run([*config, "--upstream", "upstream:8080", "--tls-cert", "/proxy.pem", "--tls-key", "/proxy.key"]) == 0
    (listener,) = json.loads(capsys.readouterr().out)["static_resources"]["listeners"]
    (chain,) = listener["filter_chains"]
    (own,) = chain["transport_socket"]["typed_config"]["common_tls_context"]["tls_certificates"]
    assert own == {"certificate_chain": {"filename": "/proxy.pem"}, "private_key": {"filename": "/proxy.key"}}
    assert run([*config, "--upstream", "upstream:8080", "--tls-cert", "/proxy.pem"]) == EXIT_WRONG_INPUT
    assert capsys.readouterr().err == "extauthz: --tls-cert and --tls-key go together: give both, or neither\n"
    assert run([*config, "--snippet", "--tls-cert", "/proxy.pem", "--tls-key", "/proxy.key"]) == EXIT_WRONG_INPUT
    assert "which --snippet leaves to you" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["config", *SHOP], "--upstream ADDR is missing"),
        (["config", *SHOP, "--snippet", "--authz", "9000"], "'9000' is no address"),
        (["config", *SHOP, "--upstream", "http://x"], "'http://x' is no address"),
        (["config", *SHOP, "--snippet", "--authz-tls-cert", "own.crt"], "--authz-tls-ca FILE is missing"),
        (["config", *SHOP, "--snippet", "--sds", "secrets"], "--sds: no certificate is named"),
        (
            ["config", *SHOP, "--snippet", "--authz-tls-ca", "ca.pem", "--authz-tls-key", "own.key"],
            "--authz-tls-cert and --authz-tls-key go together",
        ),
        (
            ["config", *SHOP, "--snippet", "--authz-tls-ca", "ca.pem", "--authz", "unix:/run/x.sock"],
            "the authorizer speaks TLS at host:port only",
        ),
        (["config", *SHOP, "--mode", "lua"], "'lua' is not one of 'check'"),
        (["config", "absent.yaml", "--snippet"], "absent.yaml"),
        (["run"], "give either PATHs or --config FILE"),
        (["run", *SHOP, "-c", "envoy.json"], "give either PATHs or --config FILE"),
        (["run", "-c", "absent.json"], "--config absent.json: there is no such file"),
        (["run", *SHOP], "--upstream ADDR is missing"),
    ],
)
def test_wrong_flags_say_what_to_do(capsys, arguments, message):
    """Exit 3, and nothing on standard output that could be taken for a configuration."""
    assert run(["envoy", *arguments]) == EXIT_WRONG_INPUT
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


def test_an_output_that_cannot_be_written_is_the_environments_fault(tmp_path, capsys):
    """Exit 1, one line."""
    arguments = ["--snippet", "-o", str(tmp_path / "absent" / "envoy.json")]
    assert run(["envoy", "config", *SHOP, *arguments]) == EXIT_ENVIRONMENT
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.envoy
@pytest.mark.parametrize("source", ["paths", "file"])
def test_run_becomes_an_envoy(tmp_path, source):
    """It listens where it was told to, and ends by a signal with Envoy's own status."""
    path = tmp_path / "front.sock"
    flags = ["--upstream", "127.0.0.1:9", "--listen", f"unix:{path}"]
    arguments = [*SHOP, *flags]
    if source == "file":
        assert run(["envoy", "config", *arguments, "-o", str(tmp_path / "envoy.json")]) == 0
        arguments = ["-c", str(tmp_path / "envoy.json")]
    command = [sys.executable, "-m", "extauthz", "envoy", "run", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as envoy:
        try:
            assert ask(path).startswith(b"HTTP/1.1 503")  # nobody answers at --authz
        finally:
            envoy.send_signal(signal.SIGTERM)
        assert envoy.wait(10) == 0


def ask(path):
    """What a request at a Unix socket gets, once somebody listens there."""
    deadline = time.monotonic() + 20
    while True:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError):
                assert time.monotonic() < deadline
                time.sleep(0.02)
                continue
            client.sendall(b"GET /healthz HTTP/1.1\r\nhost: shop\r\n\r\n")
            return client.recv(4096)
