import json

import pytest

from bench.__main__ import main


def run(tmp_path, name, cpu_us, **fields):
    workload = {"name": "allow", "cpu_us_per_check": cpu_us, "ratio_to_empty": cpu_us / 10}
    goal = {"what": "all of it", "figure": cpu_us / 10, "limit": 4.0, "unit": "x"}
    content = {"machine": {"cpu": "X", "python": name}, "workloads": [workload], "goals": [goal], **fields}
    file = tmp_path / f"{name}.json"
    file.write_text(json.dumps(content))
    return str(file)


def test_two_runs_side_by_side(tmp_path, capsys):
    """What changed by how much, and what of the machine differs; a peer's unknown figure is a dash."""
    peer = {"name": "opa", "cpu_us_per_check": None, "ratio_to_empty": None}
    before, after = run(tmp_path, "a", 40.0), run(tmp_path, "b", 30.0)
    content = json.loads((tmp_path / "b.json").read_text())
    content["workloads"].append(peer)
    (tmp_path / "b.json").write_text(json.dumps(content))
    assert main(["compare", before, after]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert "cpu: X" in printed
    assert "python: a -> b" in printed
    assert "| allow | 40.0 | 30.0 | -25 % | 4.00 | 3.00 | -25 % |" in printed
    assert "| opa | - | - | - | - | - | - |" in printed
    assert "| all of it | 4.00 | 3.00 | -25 % | 4 x |" in printed


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"workloads": [1]}', '{"workloads": [{"name": "a"}, {"name": "a"}]}']
)
def test_something_else(tmp_path, capsys, content):
    """Is wrong input, told with the file's name."""
    file = tmp_path / "x.json"
    file.write_text(content)
    assert main(["compare", run(tmp_path, "a", 1.0), str(file)]) == 3
    assert str(file) in capsys.readouterr().err
    assert main(["compare", str(tmp_path / "nowhere.json"), str(file)]) == 3
