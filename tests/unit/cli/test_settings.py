import json

from extauthz.cli import run
from extauthz.settings import settings_schema


def test_the_schema_is_printed(capsys):
    """As JSON, and nothing else."""
    assert run(["settings", "schema"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == settings_schema()
    assert err == ""
