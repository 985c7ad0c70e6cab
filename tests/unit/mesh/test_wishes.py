from __future__ import annotations

import pytest

from extauthz.errors import ConfigurationError
from extauthz.mesh import names
from extauthz.mesh.injector_settings import InjectorSettings, Mode
from extauthz.mesh.wishes import read_wishes


def test_annotations_win_over_settings():
    """Where they say something."""
    settings = InjectorSettings(image="x:1", native_sidecar=False, log_level="info")
    wishes = read_wishes({names.PROXY_IMAGE: "y:2", names.INTERCEPTION_MODE: "NONE"}, settings)
    assert (wishes.image, wishes.mode, wishes.is_native, wishes.log_level) == ("y:2", Mode.NONE, False, "info")


def test_a_pod_that_names_any_amount_names_all_of_them():
    """As Istio has it: settings are not mixed in."""
    assert read_wishes({}, InjectorSettings()).resources["limits"] == {"cpu": "2", "memory": "1Gi"}
    assert read_wishes({names.PROXY_CPU: "50m"}, InjectorSettings()).resources == {"requests": {"cpu": "50m"}}


def test_the_proxys_configuration_is_passed_on_and_listened_to():
    """Metadata over that of the settings; DNS capture and holding the application are what we act on."""
    text = (
        "proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true', A: b}\nholdApplicationUntilProxyStarts: true\nconcurrency: 2\n"
    )
    wishes = read_wishes({names.PROXY_CONFIG: text}, InjectorSettings(proxy_metadata={"A": "a", "C": "c"}))
    assert wishes.proxy_metadata == {"A": "b", "C": "c", "ISTIO_META_DNS_CAPTURE": "true"}
    assert wishes.redirects_dns
    assert wishes.holds_application
    assert '"concurrency":2' in (wishes.proxy_config or "")


def test_the_newer_name_of_virtual_interfaces_wins():
    """Both are known."""
    both = {names.KUBEVIRT_INTERFACES: "tap0", names.REROUTE_INTERFACES: "tap1"}
    assert read_wishes(both, InjectorSettings()).virtual_interfaces == "tap1"
    del both[names.REROUTE_INTERFACES]
    assert read_wishes(both, InjectorSettings()).virtual_interfaces == "tap0"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (names.INTERCEPTION_MODE, "redirect"),
        (names.PROXY_IMAGE, "a b"),
        (names.PROXY_CPU, "lots"),
        (names.PROXY_MEMORY_LIMIT, "1 Gi"),
        (names.LOG_LEVEL, "loud"),
        (names.NATIVE_SIDECAR, "yes"),
        (names.REWRITE_PROBES, "1"),
        (names.MERGE_METRICS, ""),
        (names.CAP_NET_BIND_SERVICE, "on"),
        (names.INCLUDE_INBOUND_PORTS, "http"),
        (names.EXCLUDE_INBOUND_PORTS, "*"),
        (names.INCLUDE_OUTBOUND_RANGES, "10.0.0.0"),
        (names.EXCLUDE_OUTBOUND_RANGES, "*"),
        (names.INCLUDE_OUTBOUND_PORTS, "0"),
        (names.EXCLUDE_OUTBOUND_PORTS, "1,,2"),
        (names.EXCLUDE_INTERFACES, "eth0 -j ACCEPT"),
        (names.KUBEVIRT_INTERFACES, "a/b"),
        (names.STATUS_PORT, "0"),
        (names.READINESS_PERIOD, "-1"),
        (names.READINESS_FAILURES, "many"),
        (names.READINESS_INITIAL_DELAY, "1s"),
        (names.USER_VOLUME, "{"),
        (names.USER_VOLUME_MOUNT, '["a"]'),
        (names.USER_VOLUME_MOUNT, '{"a": {}}'),
        (names.PROXY_CONFIG, "a: b: c"),
        (names.PROXY_CONFIG, "proxyMetadata: {A: 1}"),
        (names.PROXY_CONFIG, "holdApplicationUntilProxyStarts: maybe"),
        (names.BOOTSTRAP_OVERRIDE, "mine"),
        (names.TEMPLATES, "gateway"),
        (names.POLICY, "No Name"),
    ],
)
def test_what_cannot_be_meant_fails_with_the_annotations_name(name, value):
    """A sidecar other than the one asked for could let traffic past."""
    with pytest.raises(ConfigurationError, match=rf"^annotation {name}: \S") as caught:
        read_wishes({name: value}, InjectorSettings())
    assert "\n" not in str(caught.value)


def test_all_that_is_wrong_is_said_at_once():
    """One message, two problems."""
    wrong = {names.STATUS_PORT: "x", names.LOG_LEVEL: "loud"}
    with pytest.raises(ConfigurationError, match=r"port: 'x' is no port.*; annotation .*logLevel: unknown level"):
        read_wishes(wrong, InjectorSettings())


def test_the_default_template_may_be_named():
    """It is the one there is."""
    assert read_wishes({names.TEMPLATES: "sidecar"}, InjectorSettings()) == read_wishes({}, InjectorSettings())
