import os
import re
import shlex
from pathlib import Path

import yaml

from extauthz.cli import run

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "envoy" / "compose.json"


def command() -> list[str]:
    """The command in envoy/README.md that prints the configuration."""
    text = (ROOT / "envoy" / "README.md").read_text()
    (found,) = re.findall(r"^extauthz (envoy config [^`]*?-o envoy/compose\.json)$", text, re.MULTILINE)
    return shlex.split(found.replace("\\\n", ""))


def test_the_stacks_envoy_has_what_the_command_prints(tmp_path, monkeypatch):
    """envoy/compose.json is the output of the command in envoy/README.md."""
    monkeypatch.chdir(ROOT)
    output = CONFIGURATION if os.environ.get("EXTAUTHZ_REFRESH_GOLDEN") else tmp_path / "compose.json"
    assert run([*command()[:-1], str(output)]) == 0
    assert output.read_text() == CONFIGURATION.read_text()


def test_the_stack_serves_the_set_that_its_envoy_was_made_for():
    """Headers that the set puts upstream are removed by Envoy before: both must know the same set."""
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["extauthz"]
    mounts = dict(reversed(each.removesuffix(":ro").split(":")) for each in service["volumes"] if each.startswith("."))
    served = service["environment"]["EXTAUTHZ_PATHS"].split(",")
    in_checkout = [
        path.replace(inside, outside.removeprefix("./"))
        for path in served
        for inside, outside in mounts.items()
        if path.startswith(f"{inside}/")
    ]
    assert in_checkout == command()[2:4]
