import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from extauthz.cli import EXIT_WRONG_INPUT, run

POLICY = """\
version: 1
name: shop
routes:
  - {name: a, path: /a, public: true}
"""


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def compile_to(output, policy, *more, to="envoy"):
    return run(["compile", str(policy), "--to", to, "-o", str(output), *more])


def test_four_files_are_written_and_the_report_is_printed(tmp_path, policy, capsys):
    """Into a folder that is made."""
    assert compile_to(tmp_path / "out" / "deep", policy, "--authz", "authz:9000") == 0
    written = sorted(p.name for p in (tmp_path / "out" / "deep").iterdir())
    assert written == ["clusters.json", "hcm.json", "http_filters.json", "report.json"]
    clusters = json.loads((tmp_path / "out" / "deep" / "clusters.json").read_text())
    assert clusters[0]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"] == {
        "socket_address": {"address": "authz", "port_value": 9000}
    }
    assert "allow a.public" in capsys.readouterr().out


def test_the_report_can_be_read_by_programs(tmp_path, policy, capsys):
    """The same document that is written."""
    assert compile_to(tmp_path / "out", policy, "--format", "json") == 0
    assert capsys.readouterr().out == (tmp_path / "out" / "report.json").read_text()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path, policy, capsys):
    """Unless --force is given."""
    output = tmp_path / "out"
    output.mkdir()
    (output / "mine.txt").write_text("x")
    assert compile_to(output, policy) == EXIT_WRONG_INPUT
    assert "is not empty; --force writes into it" in capsys.readouterr().err
    assert [p.name for p in output.iterdir()] == ["mine.txt"]
    assert compile_to(output, policy, "--force") == 0
    assert (output / "mine.txt").read_text() == "x"


def test_an_output_that_is_no_folder_is_refused(tmp_path, policy, capsys):
    """A file is never replaced by a folder."""
    (tmp_path / "out").write_text("x")
    assert compile_to(tmp_path / "out", policy, "--force") == EXIT_WRONG_INPUT
    assert "is no folder" in capsys.readouterr().err


def test_what_envoy_cannot_decide_can_be_forbidden(tmp_path, policy, capsys):
    """Every reason at its place, and nothing is written; a set without such rules needs no authorizer."""
    output = tmp_path / "out"
    policy.write_text(POLICY.replace("public: true", 'authentication: none, allow: [{when: "body.a == 1"}]'))
    assert compile_to(output, policy, "--residual", "forbid") == EXIT_WRONG_INPUT
    assert "policy.yaml:4:" in (printed := capsys.readouterr().err)
    assert "EAZ1001 allow a.allow.0: it reads body" in printed
    assert not output.exists()
    policy.write_text(POLICY)
    assert compile_to(output, policy, "--residual", "forbid") == 0
    assert json.loads((output / "clusters.json").read_text()) == []


def test_a_policy_that_is_wrong_writes_nothing(tmp_path, policy, capsys):
    """Every diagnostic, and no folder."""
    policy.write_text("version: 1\nroutes: []\n")
    assert compile_to(tmp_path / "out", policy) == EXIT_WRONG_INPUT
    assert "EAZ" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_module_is_written_beside_the_others(tmp_path, policy, capsys):
    """`--to wasm`."""
    output = tmp_path / "out"
    assert compile_to(output, policy, to="wasm") == 0
    assert sorted(p.name for p in output.iterdir()) == [
        "clusters.json",
        "hcm.json",
        "http_filters.json",
        "policy.wasm",
        "report.json",
    ]
    assert (output / "policy.wasm").read_bytes().startswith(b"\0asm\1\0\0\0")
    assert "wasm: 2\n  allow a.public" in capsys.readouterr().out


def test_what_a_module_cannot_decide_can_be_forbidden(tmp_path, policy, capsys):
    """As of Envoy's own filters; without anything left, no authorizer is asked."""
    output = tmp_path / "out"
    policy.write_text(POLICY.replace("public: true", 'authentication: none, allow: [{when: "body.a == 1"}]'))
    assert compile_to(output, policy, "--residual", "forbid", to="wasm") == EXIT_WRONG_INPUT
    assert "EAZ1001 allow a.allow.0: it reads body" in capsys.readouterr().err
    assert not output.exists()
    policy.write_text(POLICY)
    assert compile_to(output, policy, "--residual", "forbid", to="wasm") == 0
    assert "ext_authz" not in (output / "http_filters.json").read_text()


@pytest.mark.parametrize("to", ["envoy", "wasm"])
def test_the_bytes_do_not_depend_on_the_process(tmp_path, to):
    """Python hashes texts differently in each."""
    policies = str(Path(__file__).parents[3] / "policies" / "public-site")
    outputs = []
    for seed in ("1", "2"):
        output = tmp_path / seed
        command = [sys.executable, "-m", "extauthz", "compile", policies, "--to", to, "-o", str(output)]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True)
        outputs.append({p.name: p.read_bytes() for p in output.iterdir()})
    assert outputs[0] == outputs[1]


def test_for_workloads_of_istio(tmp_path, policy):
    """`--to istio`: two ways, and the report."""
    output = tmp_path / "out"
    flags = ["--namespace", "shop", "--selector", "app=a", "--authz", "authz.extauthz.svc:9000"]
    assert compile_to(output, policy, *flags, to="istio") == 0
    files = ["authorization_policy.json", "envoy_filter.json", "mesh_config.json", "report.json"]
    assert sorted(p.name for p in output.iterdir()) == files
    assert compile_to(tmp_path / "alone", policy, *flags, "--residual", "forbid", to="istio") == 0
    assert sorted(p.name for p in (tmp_path / "alone").iterdir()) == ["envoy_filter.json", "report.json"]


@pytest.mark.parametrize(
    ("to", "flags", "said"),
    [
        ("istio", [], "--selector LABEL=VALUE is missing"),
        ("istio", ["--selector", "app=a"], "Istio asks a service by its name"),
        ("envoy", ["--selector", "app=a"], "go with --to istio"),
        ("wasm", ["--namespace", "shop"], "go with --to istio"),
    ],
)
def test_what_istio_must_be_told(tmp_path, policy, capsys, to, flags, said):
    """Whose requests, and whom to ask; nothing is written otherwise."""
    output = tmp_path / "out"
    assert compile_to(output, policy, *flags, to=to) == EXIT_WRONG_INPUT
    assert said in capsys.readouterr().err
    assert not output.exists()
