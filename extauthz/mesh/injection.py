"""A pod in, the same pod with its sidecar out.

INVARIANT: injecting twice is injecting once. What an earlier injection did is undone first, by its own account of it,
so that a pod that others have changed since is injected as it is now.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from extauthz.errors import ConfigurationError
from extauthz.mesh import names
from extauthz.mesh.choice import choose
from extauthz.mesh.injector_settings import InjectorSettings
from extauthz.mesh.merge import merge_container
from extauthz.mesh.pod import (
    Container,
    Pod,
    annotations_of,
    check_pod,
    containers,
    copy_json,
    find,
    init_containers,
    labels_of,
    metadata,
    own_status,
    parse_own_status,
    spec,
    volumes,
)
from extauthz.mesh.probes import ORIGINALS, decode_originals, encode_originals, restore_probes, rewrite_probes
from extauthz.mesh.template import (
    VOLUME_NAMES,
    Origin,
    canonical_labels,
    default_container,
    init_container,
    injected_volumes,
    proxy_container,
)
from extauthz.mesh.wishes import Wishes, read_wishes

_OWN_CONTAINERS: Final = frozenset({names.INIT_CONTAINER, names.VALIDATION_CONTAINER, names.PROXY_CONTAINER})
_SCRAPED: Final = "ISTIO_PROMETHEUS_ANNOTATIONS"
"""The variable: how the application was to be scraped, as JSON."""
_SCRAPE_FIELDS: Final = {"scrape": names.SCRAPE, "path": names.SCRAPE_PATH, "port": names.SCRAPE_PORT}


class Outcome(NamedTuple):
    """What became of a pod."""

    because: str
    """Why it was injected, or why not."""
    injected: Pod | None
    """With its sidecar; None: it is left as it is."""


def consider(pod: object, settings: InjectorSettings, origin: Origin) -> Outcome:
    """Inject a pod, if it is to be.

    Raises:
        ConfigurationError: it is of no form that Kubernetes gives to pods, or an annotation cannot be meant.
    """
    checked = check_pod(pod)
    choice = choose(checked, origin.namespace, settings)
    return Outcome(choice.because, inject(checked, settings, origin) if choice.injects else None)


def inject(pod: Pod, settings: InjectorSettings, origin: Origin) -> Pod:
    """The pod with its sidecar; the one given stays as it is.

    Raises:
        ConfigurationError: an annotation cannot be meant, or the pod uses a name that the sidecar needs.
    """
    pod = check_pod(without_injection(pod))  # again: what it is restored from is only what the pod says
    wishes = read_wishes(annotations_of(pod), settings)
    own = _take_own_proxy(pod)
    if own is not None:
        wishes = _with_uid_of(own, wishes)
    proxy = proxy_container(pod, wishes, settings, origin)
    _label(pod, settings, origin)
    _send_probes_through(proxy, pod, wishes)
    _send_scrapes_through(proxy, pod, wishes)
    if own is not None:
        _annotate(pod, names.OVERRIDES, json.dumps(own, sort_keys=True, separators=(",", ":")))
        proxy = merge_container(proxy, own)
    _place(pod, proxy, init_container(wishes, settings), wishes)
    added = injected_volumes(wishes, settings)
    _refuse_taken([*containers(pod), *init_containers(pod)], "container")
    _refuse_taken([*volumes(pod), *added], "volume")
    spec(pod)["volumes"] = [*volumes(pod), *added]
    secrets = _add_pull_secrets(pod, settings)
    _annotate(pod, names.STATUS, _status(pod, settings, [each["name"] for each in added], secrets))
    return pod


def without_injection(pod: Pod) -> Pod:
    """A copy of the pod as it was before it was injected; of one that never was, just a copy."""
    pod = copy_json(pod)
    found = annotations_of(pod)
    status = parse_own_status(found.get(names.STATUS, ""))
    if not status:
        return pod
    proxy = find([*containers(pod), *init_containers(pod)], names.PROXY_CONTAINER)
    _keep(spec(pod), "initContainers", _others(spec(pod), "initContainers", status))
    spec(pod)["containers"] = _others(spec(pod), "containers", status)  # a pod has the field, be the list empty
    user_volumes = decode_originals(found.get(names.USER_VOLUME, ""))
    removed = VOLUME_NAMES.union(user_volumes).intersection(status.get("volumes", ()))
    _keep(spec(pod), "volumes", [each for each in volumes(pod) if each.get("name") not in removed])
    secrets = list(spec(pod).get("imagePullSecrets") or ())
    added = status.get("imagePullSecrets", ())
    _keep(spec(pod), "imagePullSecrets", [each for each in secrets if each.get("name") not in added])
    if proxy is not None:
        restore_probes([*containers(pod), *init_containers(pod)], decode_originals(_variable(proxy, ORIGINALS)))
        _restore_scrapes(pod, decode_originals(_variable(proxy, _SCRAPED)))
    own = decode_originals(found.get(names.OVERRIDES, ""))
    for name in (names.STATUS, names.OVERRIDES):
        pod["metadata"]["annotations"].pop(name, None)
    if own:
        spec(pod)["containers"] = [*containers(pod), dict(own)]
    return pod


def _others(found: dict[str, Any], field: str, status: Mapping[str, Any]) -> list[Any]:
    """The containers of a field that no injection has added."""
    added = _OWN_CONTAINERS.intersection(status.get(field, ()))
    return [each for each in found.get(field) or () if each.get("name") not in added]


def _take_own_proxy(pod: Pod) -> Container | None:
    """The pod's own container of the proxy's name, which says how the injected one is to differ; taken out."""
    for field in ("containers", "initContainers"):
        found = spec(pod).get(field) or []
        own = find(found, names.PROXY_CONTAINER)
        if own is not None:
            spec(pod)[field] = [each for each in found if each is not own]
            return own
    return None


def _with_uid_of(own: Container, wishes: Wishes) -> Wishes:
    uid = (own.get("securityContext") or {}).get("runAsUser")
    return dataclasses.replace(wishes, proxy_uid=uid) if isinstance(uid, int) else wishes


def _label(pod: Pod, settings: InjectorSettings, origin: Origin) -> None:
    found = pod["metadata"] = metadata(pod)
    found["labels"] = {**labels_of(pod), **canonical_labels(pod, origin)}
    found["annotations"] = {**annotations_of(pod), **default_container(pod), names.REVISION: settings.revision}


def _send_probes_through(proxy: Container, pod: Pod, wishes: Wishes) -> None:
    if not wishes.rewrites_probes:
        return
    originals = rewrite_probes([*containers(pod), *init_containers(pod)], wishes.status_port)
    if originals:
        proxy["env"].append({"name": ORIGINALS, "value": encode_originals(originals)})


def _send_scrapes_through(proxy: Container, pod: Pod, wishes: Wishes) -> None:
    """The sidecar answers with the application's metrics and its own."""
    found = annotations_of(pod)
    if not wishes.merges_metrics or found.get(names.SCRAPE, "true") != "true":
        return
    before = {field: found[name] for field, name in _SCRAPE_FIELDS.items() if name in found}
    if before:
        proxy["env"].append({"name": _SCRAPED, "value": encode_originals(before)})
    _annotate(pod, names.SCRAPE, "true")
    _annotate(pod, names.SCRAPE_PATH, "/stats/prometheus")
    _annotate(pod, names.SCRAPE_PORT, str(wishes.status_port))


def _restore_scrapes(pod: Pod, before: Mapping[str, Any]) -> None:
    if annotations_of(pod).get(names.SCRAPE_PATH) != "/stats/prometheus":
        return
    for field, name in _SCRAPE_FIELDS.items():
        pod["metadata"]["annotations"].pop(name, None)
        if field in before:
            _annotate(pod, name, before[field])


def _place(pod: Pod, proxy: Container, init: Container | None, wishes: Wishes) -> None:
    """Where each container stands: init containers run one after the other, the others start in this order."""
    first = [] if init is None else [init]
    if wishes.is_native:
        # Before the application's own init containers, whose traffic the running proxy then carries.
        spec(pod)["initContainers"] = [*first, proxy, *init_containers(pod)]
        return
    if first or init_containers(pod):
        # Last: once traffic is captured, nothing gets out before the proxy runs.
        spec(pod)["initContainers"] = [*init_containers(pod), *first]
    if wishes.holds_application:
        spec(pod)["containers"] = [proxy, *containers(pod)]
    else:
        spec(pod)["containers"] = [*containers(pod), proxy]


def _add_pull_secrets(pod: Pod, settings: InjectorSettings) -> list[str]:
    present = list(spec(pod).get("imagePullSecrets") or ())
    new = [name for name in settings.image_pull_secrets if find(present, name) is None]
    if new:
        spec(pod)["imagePullSecrets"] = [*present, *({"name": name} for name in new)]
    return new


def _refuse_taken(items: Sequence[Mapping[str, Any]], kind: str) -> None:
    seen = Counter(str(each.get("name")) for each in items)
    name, times = seen.most_common(1)[0]
    if times > 1:
        raise ConfigurationError(f"the pod has a {kind} {name} of its own: the sidecar needs that name")


def _status(pod: Pod, settings: InjectorSettings, added: list[str], secrets: list[str]) -> str:
    injected = {
        field: [str(each["name"]) for each in spec(pod).get(field) or () if each.get("name") in _OWN_CONTAINERS]
        for field in ("initContainers", "containers")
    }
    return own_status(settings.revision, {**injected, "volumes": added, "imagePullSecrets": secrets})


def _annotate(pod: Pod, name: str, value: str) -> None:
    pod["metadata"]["annotations"][name] = value


def _keep(found: dict[str, Any], field: str, items: list[Any]) -> None:
    """Set a list, and leave out an empty one, as it is in a pod that never had it."""
    if items:
        found[field] = items
    else:
        found.pop(field, None)


def _variable(container: Container, name: str) -> str:
    value = (find(container.get("env") or [], name) or {}).get("value", "")
    return value if isinstance(value, str) else ""
