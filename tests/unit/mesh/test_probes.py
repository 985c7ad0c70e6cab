from __future__ import annotations

import copy
from typing import Any

from extauthz.mesh.probes import decode_originals, encode_originals, restore_probes, rewrite_probes

APP: Any = {
    "name": "app",
    "ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 9}],
    "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080, "scheme": "HTTPS"}, "periodSeconds": 3},
    "livenessProbe": {"tcpSocket": {"port": 8080}, "timeoutSeconds": 4},
    "startupProbe": {"grpc": {"port": 9000, "service": "shop"}},
    "lifecycle": {"preStop": {"httpGet": {"path": "/stop", "port": 8080}}, "postStart": {"exec": {"command": ["x"]}}},
}


def test_everything_over_the_network_goes_through_the_sidecar():
    """Probes and hooks of every kind; what else they say stays, and commands are not touched."""
    app = copy.deepcopy(APP)
    originals = rewrite_probes([app], 15020)
    assert app["readinessProbe"] == {
        "httpGet": {"path": "/app-health/app/readyz", "port": 15020, "scheme": "HTTP"}, "periodSeconds": 3
    }  # fmt: skip
    assert app["startupProbe"]["httpGet"]["path"] == "/app-health/app/startupz"
    assert app["lifecycle"]["preStop"]["httpGet"]["path"] == "/app-lifecycle/app/prestopz"
    assert app["lifecycle"]["postStart"] == APP["lifecycle"]["postStart"]
    assert originals["/app-health/app/readyz"] == {"httpGet": {"path": "/ready", "port": 8080, "scheme": "HTTPS"}}
    assert originals["/app-health/app/livez"] == {"tcpSocket": {"port": 8080}, "timeoutSeconds": 4}
    assert originals["/app-health/app/startupz"] == {"grpc": {"port": 9000, "service": "shop"}}


def test_restoring_undoes_it():
    """Through the text that is kept in between."""
    app = copy.deepcopy(APP)
    restore_probes([app], decode_originals(encode_originals(rewrite_probes([app], 15020))))
    assert app == APP


def test_named_ports_are_resolved_and_unknown_ones_left():
    """The sidecar does not know the container's names; a name of no port never worked."""
    app = {
        **copy.deepcopy(APP),
        "readinessProbe": {"httpGet": {"port": "http"}},
        "livenessProbe": {"tcpSocket": {"port": "x"}},
    }
    originals = rewrite_probes([app], 15020)
    assert originals["/app-health/app/readyz"]["httpGet"]["port"] == 8080
    assert app["livenessProbe"] == {"tcpSocket": {"port": "x"}}


def test_a_probe_of_the_sidecar_itself_stays():
    """It would ask itself, for ever."""
    app = {"name": "app", "readinessProbe": {"httpGet": {"path": "/app-health/other/readyz", "port": 15020}}}
    assert rewrite_probes([app], 15020) == {}


def test_what_others_have_changed_since_is_kept():
    """Only a probe that still points at the sidecar is restored; what is no account of originals restores nothing."""
    app = copy.deepcopy(APP)
    originals = rewrite_probes([app], 15020)
    app["readinessProbe"] = {"exec": {"command": ["true"]}}
    restore_probes([app], originals)
    assert app["readinessProbe"] == {"exec": {"command": ["true"]}}
    for text in ("", "[]", "{", "[" * 100_000):
        assert decode_originals(text) == {}
