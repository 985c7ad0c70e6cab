"""One aggregated discovery stream (ADS): its subscriptions, and the order in which they are answered.

Make before break: a cluster is removed only when the client has taken everything else, for until then a route may still
lead to it. While anything is refused, nothing of it is removed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, TypeAlias

from envoy.service.discovery.v3 import discovery_pb2

from extauthz.xds.resource import CLUSTER, ENDPOINTS, ORDER, Resource, Snapshot
from extauthz.xds.subscription import Changes, Rejection, Subscription

Refused: TypeAlias = tuple[str, str, Rejection]
"""Type, name, and what was said."""


class Stream:
    """In either form of the protocol."""

    def __init__(self, *, is_delta: bool) -> None:
        self._is_delta = is_delta
        self._subscriptions: dict[str, Subscription] = {}
        self._numbers = itertools.count(1)
        self.node = ""
        """Which node says it is at the other end."""

    @property
    def rejected(self) -> dict[tuple[str, str], Rejection]:
        """What the client refuses at present, by type and name."""
        return {
            (type_url, name): rejection
            for type_url, subscription in self._subscriptions.items()
            for name, rejection in subscription.rejected.items()
        }

    def receive(self, request: Any) -> list[Refused]:
        """Take a request; returns what it refuses. One for a type that is not known here is left unanswered."""
        self.node = request.node.id or self.node
        if request.type_url not in ORDER:
            return []
        subscription = self._subscriptions.get(request.type_url)
        if subscription is None:
            subscription = Subscription(request.type_url, is_delta=self._is_delta)
            self._subscriptions[request.type_url] = subscription
        return [(request.type_url, name, rejection) for name, rejection in subscription.receive(request)]

    def respond(self, snapshot: Snapshot) -> Iterator[Any]:
        """What to send now, given all that the node may have."""
        changes = {
            type_url: subscription.changes(snapshot.get(type_url, {}))
            for type_url, subscription in self._subscriptions.items()
        }
        is_settled = not any(
            changes[type_url].new or subscription.is_under_way or subscription.rejected
            for type_url, subscription in self._subscriptions.items()
        )
        for type_url in ORDER:
            subscription = self._subscriptions.get(type_url)
            if subscription is None or subscription.is_under_way:
                continue
            available = snapshot.get(type_url, {})
            # Looked at again: clusters that were just sent want their instances sent.
            found = subscription.changes(available)
            if type_url == CLUSTER and not is_settled:
                found = Changes(found.new, ())
            if subscription.must_answer(found):
                nonce = str(next(self._numbers))
                carried = subscription.send(found, available, nonce)
                if type_url == CLUSTER and ENDPOINTS in self._subscriptions:
                    # A changed cluster waits for its instances, and in the delta form does not ask for them.
                    self._subscriptions[ENDPOINTS].forget(each.name for each in found.new)
                yield self._response(type_url, carried, found.gone, nonce)

    def _response(self, type_url: str, carried: tuple[Resource, ...], gone: tuple[str, ...], nonce: str) -> Any:
        if self._is_delta:
            return discovery_pb2.DeltaDiscoveryResponse(
                type_url=type_url,
                nonce=nonce,
                system_version_info=nonce,
                removed_resources=gone,
                resources=[
                    discovery_pb2.Resource(name=each.name, version=each.version, resource=each.packed())
                    for each in carried
                ],
            )
        return discovery_pb2.DiscoveryResponse(
            type_url=type_url, nonce=nonce, version_info=nonce, resources=[each.packed() for each in carried]
        )
