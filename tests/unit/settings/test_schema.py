import jsonschema
import pytest
import yaml
from pydantic import SecretStr

from extauthz.settings import Settings, load_settings, render_settings, settings_schema


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
