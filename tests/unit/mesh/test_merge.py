from __future__ import annotations

from extauthz.mesh.merge import merge_container

BASE = {
    "name": "istio-proxy",
    "image": "ours:1",
    "args": ["a", "b"],
    "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
    "ports": [{"containerPort": 15090, "name": "prom"}],
    "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
    "volumeMounts": [{"name": "x", "mountPath": "/x"}],
}


def test_the_pods_own_word_wins():
    """Maps are merged, lists with keys by their keys, other lists replaced."""
    overlay = {
        "args": ["c"],
        "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}],
        "resources": {"limits": {"cpu": "2"}},
        "volumeMounts": [{"name": "y", "mountPath": "/y"}],
        "tty": True,
    }
    merged = merge_container(BASE, overlay)
    assert merged["args"] == ["c"]
    assert merged["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}, {"name": "C", "value": "4"}]
    assert merged["resources"] == {"limits": {"cpu": "2", "memory": "1Gi"}}
    assert [each["mountPath"] for each in merged["volumeMounts"]] == ["/x", "/y"]
    assert merged["tty"] is True
    assert merged["ports"] == BASE["ports"]


def test_auto_is_the_injected_image():
    """A container must name an image before anybody knows which."""
    assert merge_container(BASE, {"name": "istio-proxy", "image": "auto"})["image"] == "ours:1"
    assert merge_container(BASE, {"image": "mine:1"})["image"] == "mine:1"
    assert BASE["image"] == "ours:1"
