"""Whether a pod gets a sidecar. The order decides: the first that has something to say is heard.

What must not be touched comes first: pods in the host's network, whose capture would capture the node; namespaces
that the cluster lives on. Then what the pod says itself, its label before its annotation; then the settings'
selectors, the refusing ones first; then their policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from extauthz.mesh.injector_settings import InjectorSettings, Policy
from extauthz.mesh.names import INJECT, MIRROR_POD, PROXY_CONTAINER, STATUS
from extauthz.mesh.pod import annotations_of, containers, init_containers, is_own_status, labels_of, spec

# The words that YAML 1.1 takes for booleans; anything else says nothing.
_YES: Final = frozenset({"true", "yes", "y", "on"})
_NO: Final = frozenset({"false", "no", "n", "off"})


class Choice(NamedTuple):
    """Whether to inject, and why."""

    injects: bool
    because: str


def choose(pod: Mapping[str, Any], namespace: str, settings: InjectorSettings) -> Choice:
    """Decide about a pod of the form that Kubernetes gives it."""
    return _untouchable(pod, namespace, settings) or _own_word(pod) or _selected(pod, settings) or _default(settings)


def _untouchable(pod: Mapping[str, Any], namespace: str, settings: InjectorSettings) -> Choice | None:
    if spec(pod).get("hostNetwork") is True:
        return Choice(injects=False, because="it uses the host's network")
    if namespace in settings.ignored_namespaces:
        return Choice(injects=False, because=f"namespace {namespace} is ignored")
    if MIRROR_POD in annotations_of(pod):
        return Choice(injects=False, because="it is a mirror of a pod that a kubelet runs")
    if (spec(pod).get("os") or {}).get("name") == "windows":
        return Choice(injects=False, because="it runs on Windows")
    others = STATUS in annotations_of(pod) and not is_own_status(annotations_of(pod)[STATUS])
    names = {each.get("name") for each in [*containers(pod), *init_containers(pod)]}
    if others and PROXY_CONTAINER in names:
        return Choice(injects=False, because="another injector has injected it")
    return None


def _own_word(pod: Mapping[str, Any]) -> Choice | None:
    for kind, values in (("label", labels_of(pod)), ("annotation", annotations_of(pod))):
        if INJECT in values:
            word = values[INJECT].lower()
            if word in _YES | _NO:
                return Choice(injects=word in _YES, because=f"its {kind} {INJECT} is {word}")
            return None  # the label is heard even if it says nothing: the annotation is its older form
    return None


def _selected(pod: Mapping[str, Any], settings: InjectorSettings) -> Choice | None:
    if any(selector.matches(labels_of(pod)) for selector in settings.never_inject):
        return Choice(injects=False, because="never_inject selects it")
    if any(selector.matches(labels_of(pod)) for selector in settings.always_inject):
        return Choice(injects=True, because="always_inject selects it")
    return None


def _default(settings: InjectorSettings) -> Choice:
    return Choice(injects=settings.policy is Policy.ENABLED, because=f"the policy is {settings.policy}")
