from __future__ import annotations

import pytest

from extauthz.mesh.choice import choose
from extauthz.mesh.injector_settings import InjectorSettings
from extauthz.mesh.names import INJECT, STATUS
from extauthz.mesh.pod import own_status

NEVER = {"never_inject": [{"matchLabels": {"app": "db"}}]}
ALWAYS = {"always_inject": [{"matchLabels": {"app": "db"}}]}
OFF = {"policy": "disabled"}


def pod(label=None, annotation=None, **spec):
    """A pod of the application db that says this about its injection."""
    metadata = {"labels": {"app": "db"}, "annotations": {}}
    if label is not None:
        metadata["labels"][INJECT] = label
    if annotation is not None:
        metadata["annotations"][INJECT] = annotation
    return {"metadata": metadata, "spec": {"containers": [{"name": "app"}], **spec}}


@pytest.mark.parametrize(
    ("candidate", "settings", "injects"),
    [
        (pod(), {}, True),
        (pod(), OFF, False),
        (pod("true"), OFF, True),
        (pod("false"), {}, False),
        (pod("TRUE"), OFF, True),
        (pod("no"), ALWAYS, False),
        (pod(annotation="true"), OFF, True),
        (pod(annotation="false"), {}, False),
        (pod("true", "false"), OFF, True),
        (pod("false", "true"), {}, False),
        (pod("maybe"), {}, True),
        (pod("maybe"), OFF, False),
        (pod("maybe", "false"), {}, True),
        (pod(), NEVER, False),
        (pod(), OFF | ALWAYS, True),
        (pod(), NEVER | ALWAYS, False),
        (pod("true"), NEVER, True),
        (pod("maybe"), NEVER, False),
        (pod("true", hostNetwork=True), {}, False),
        (pod("true", os={"name": "windows"}), {}, False),
    ],
)
def test_the_first_that_has_something_to_say_is_heard(candidate, settings, injects):
    """The host's network, the label, the annotation, the selectors, the policy."""
    choice = choose(candidate, "shop", InjectorSettings.model_validate(settings))
    assert choice.injects is injects
    assert choice.because


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"])
def test_nothing_is_injected_where_the_cluster_lives(namespace):
    """Whatever the pod says."""
    assert not choose(pod("true"), namespace, InjectorSettings()).injects


def test_pods_that_others_own_are_left_alone():
    """Mirrors of a kubelet's own pods, and what another injector has injected; what we have, is injected again."""
    mirror = pod("true")
    mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "x"
    assert not choose(mirror, "shop", InjectorSettings()).injects
    theirs = pod("true")
    theirs["metadata"]["annotations"][STATUS] = '{"containers":["istio-proxy"]}'
    assert choose(theirs, "shop", InjectorSettings()).injects, "a status alone proves nothing"
    theirs["spec"]["containers"].append({"name": "istio-proxy"})
    assert not choose(theirs, "shop", InjectorSettings()).injects
    theirs["metadata"]["annotations"][STATUS] = own_status("default", {"containers": ["istio-proxy"]})
    assert choose(theirs, "shop", InjectorSettings()).injects
