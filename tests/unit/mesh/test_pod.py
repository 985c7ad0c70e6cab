from __future__ import annotations

import pytest

from extauthz.errors import ConfigurationError
from extauthz.mesh.pod import (
    annotations_of,
    check_pod,
    containers,
    find,
    is_own_status,
    labels_of,
    own_status,
    parse_own_status,
    volumes,
)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"spec": None},
        {"spec": {}},
        {"spec": {"containers": "app"}},
        {"spec": {"containers": [{"image": "x"}]}},
        {"spec": {"containers": [{"name": ["x"]}]}},
        {"spec": {"containers": [], "hostNetwork": "true"}},
        {"spec": {"containers": [], "volumes": [1]}},
        {"spec": {"containers": []}, "metadata": {"labels": {"a": 1}}},
        {"spec": {"containers": []}, "metadata": {"annotations": []}},
        {"spec": {"containers": [{"name": "a", "ports": [{"name": "http", "containerPort": "80"}]}]}},
        {"spec": {"containers": [{"name": "a", "livenessProbe": {"httpGet": "/"}}]}},
    ],
)
def test_what_is_no_pod_is_one_line(value):
    """As far as it is looked at; nothing here fails on it later."""
    with pytest.raises(ConfigurationError, match=r"^this is no pod: .+$"):
        check_pod(value)


def test_absent_and_null_are_empty():
    """Kubernetes writes both."""
    pod = check_pod({"metadata": None, "spec": {"containers": [{"name": "a"}], "volumes": None, "unknown": 1}})
    assert (labels_of(pod), annotations_of(pod), volumes(pod)) == ({}, {}, [])
    assert find(containers(pod), "a") == {"name": "a"}
    assert find(containers(pod), "b") is None


def test_only_our_own_status_counts():
    """Another injector's is none of our account, nor is anything else that stands there."""
    status = own_status("default", {"containers": ["istio-proxy"], "volumes": []})
    assert parse_own_status(status)["containers"] == ["istio-proxy"]
    assert is_own_status(status)
    for text in ("", "{", "[]", "1", '{"containers":["istio-proxy"]}', "[" * 100_000):
        assert not is_own_status(text)
    assert "containers" not in parse_own_status('{"injector":"extauthz","containers":[{}],"volumes":[]}')
