from __future__ import annotations

import pytest

from extauthz.errors import ConfigurationError
from extauthz.mesh.injector_settings import InjectorSettings, Mode, check_image, check_quantity, load_injector_settings


def test_settings_are_read_from_a_file(tmp_path):
    """Without one, they are the defaults."""
    file = tmp_path / "settings.yaml"
    file.write_text("image: registry.example/extauthz:1\ninterception_mode: TPROXY\nresources: {limits: {cpu: '1'}}\n")
    settings = load_injector_settings(file)
    assert settings.image == "registry.example/extauthz:1"
    assert settings.interception_mode is Mode.TPROXY
    assert settings.resources.limits.model_dump(exclude_none=True) == {"cpu": "1"}
    assert load_injector_settings(None) == InjectorSettings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("imgae: x", "imgae: Extra inputs"),
        ("image: 'a b'", "image: 'a b' is no image"),
        ("policy: maybe", "policy: Input should be"),
        ("resources: {requests: {cpu: lots}}", "resources.requests.cpu: 'lots' is no quantity"),
        ("ignored_namespaces: [mine]", "ignored_namespaces must hold kube-system"),
        ("never_inject: [{}]", "never_inject.0: an empty selector"),
        ("revision: A_b", "revision: String should match"),
        ("- a", "expected one map"),
        ("a: 1\n---\nb: 2", "expected one map"),
        ("a: 1\na: 2", "is no YAML"),
    ],
)
def test_a_wrong_setting_is_one_line(tmp_path, text, said):
    """With its name."""
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=said) as caught:
        load_injector_settings(file)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path):
    """And one that is not UTF-8."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_injector_settings(tmp_path / "absent")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ConfigurationError, match="is no YAML"):
        load_injector_settings(tmp_path / "binary")


@pytest.mark.parametrize("text", ["100m", "2", "0.5", "128Mi", "1e3", ".5G"])
def test_quantities(text):
    """As Kubernetes writes them."""
    assert check_quantity(text) == text


@pytest.mark.parametrize("text", ["", "lots", "1 Gi", "-1", "1MiB", "0x10"])
def test_what_is_no_quantity(text):
    """A pod with one would be refused later, by somebody who cannot say where it comes from."""
    with pytest.raises(ValueError, match="is no quantity"):
        check_quantity(text)


def test_an_image_is_one_word():
    """Not empty, no spaces."""
    assert check_image("a/b@sha256:0") == "a/b@sha256:0"
    with pytest.raises(ValueError, match="is no image"):
        check_image("")
