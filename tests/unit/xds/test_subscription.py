from __future__ import annotations

import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest

from extauthz.xds.resource import CLUSTER, ENDPOINTS, EXTENSION, Resource
from extauthz.xds.subscription import Subscription


def available(type_url=CLUSTER, **versions):
    """Resources by name, with these versions."""
    return {name: Resource(type_url, name, b"", version) for name, version in versions.items()}


class Client:
    """The other end of a subscription."""

    def __init__(self, type_url, *, is_delta):
        self.subscription = Subscription(type_url, is_delta=is_delta)
        self._message = DeltaDiscoveryRequest if is_delta else DiscoveryRequest
        self._number = 0

    def ask(self, **fields):
        """Send a request."""
        return self.subscription.receive(self._message(**fields))

    def get(self, resources):
        """What is sent, and what is said to be gone; None if nothing is said."""
        changes = self.subscription.changes(resources)
        if self.subscription.is_under_way or not self.subscription.must_answer(changes):
            return None
        self._number += 1
        carried = self.subscription.send(changes, resources, str(self._number))
        return [f"{each.name}{each.version}" for each in carried], list(changes.gone)

    def take(self, **fields):
        """Acknowledge the last response."""
        return self.ask(response_nonce=str(self._number), **fields)

    def refuse(self, message="no", **fields):
        """Refuse the last response."""
        return self.ask(response_nonce=str(self._number), error_detail={"code": 3, "message": message}, **fields)


@pytest.mark.parametrize("is_delta", [False, True])
def test_everything_is_asked_for_without_names(is_delta):
    """Clusters: what there is, then what changes; and nothing where there is nothing new."""
    client = Client(CLUSTER, is_delta=is_delta)
    client.ask()
    assert client.get(available(a="1", b="1")) == (["a1", "b1"], [])
    assert client.get(available(a="2", b="1")) is None  # one response at a time
    client.take()
    changed = client.get(available(a="2", b="1"))
    assert changed == ((["a2"] if is_delta else ["a2", "b1"]), [])
    client.take()
    assert client.get(available(a="2", b="1")) is None


@pytest.mark.parametrize("is_delta", [False, True])
def test_a_first_question_about_everything_is_answered(is_delta):
    """By nothing, too: a proxy waits for it."""
    client = Client(CLUSTER, is_delta=is_delta)
    client.ask()
    assert client.get({}) == ([], [])
    client.take()
    assert client.get({}) is None


@pytest.mark.parametrize("is_delta", [False, True])
def test_what_is_gone(is_delta):
    """Is said in the delta form, and left out in the other."""
    client = Client(CLUSTER, is_delta=is_delta)
    client.ask()
    client.get(available(a="1", b="1"))
    client.take()
    assert client.get(available(b="1")) == (([] if is_delta else ["b1"]), ["a"])
    client.take()
    assert client.get(available(b="1")) is None


@pytest.mark.parametrize("is_delta", [False, True])
def test_a_refused_version_is_not_sent_again(is_delta):
    """The client goes on with what it had, and gets the next version; then nothing is refused any more."""
    client = Client(CLUSTER, is_delta=is_delta)
    client.ask()
    client.get(available(a="1"))
    ((name, rejection),) = client.refuse("bad regex")
    assert (name, rejection.version, rejection.message) == ("a", "1", "bad regex")
    assert client.get(available(a="1")) is None
    assert client.subscription.rejected.keys() == {"a"}
    assert client.get(available(a="2")) == (["a2"], [])
    assert client.take() == []
    assert not client.subscription.rejected


def test_of_what_is_refused_together_the_bad_one_is_found():
    """Each is sent alone: the good ones are taken, and only the bad one counts as refused."""
    client = Client(CLUSTER, is_delta=True)
    client.ask()
    both = available(a="1", bad="1", c="1")
    client.get(both)
    assert client.refuse() == []
    assert client.get(both) == (["a1"], [])
    client.take()
    assert client.get(both) == (["bad1"], [])
    assert [name for name, _ in client.refuse()] == ["bad"]
    assert client.get(both) == (["c1"], [])
    client.take()
    assert client.get(both) is None
    assert client.subscription.rejected.keys() == {"bad"}


@pytest.mark.parametrize("is_delta", [False, True])
def test_extensions_are_sent_one_by_one(is_delta):
    """Two filters in one response would be taken or refused together."""
    client = Client(EXTENSION, is_delta=is_delta)
    names = ["a", "b"]
    client.ask(**{"resource_names_subscribe" if is_delta else "resource_names": names})
    both = available(EXTENSION, a="1", b="1")
    assert client.get(both) == (["a1"], [])
    client.take(**({} if is_delta else {"resource_names": names}))
    assert client.get(both) == (["b1"], [])


@pytest.mark.parametrize("is_delta", [False, True])
def test_an_answer_to_an_older_response_says_nothing(is_delta):
    """Its nonce has been replaced."""
    client = Client(CLUSTER, is_delta=is_delta)
    client.ask()
    client.get(available(a="1"))
    assert client.ask(response_nonce="older", error_detail={"message": "no"}) == []
    assert client.subscription.is_under_way


def test_names_of_the_state_of_the_world():
    """Every request says all of them; asked again with nothing under way, everything is sent again."""
    client = Client(ENDPOINTS, is_delta=False)
    client.ask(resource_names=[])
    both = available(ENDPOINTS, a="1", b="1")
    assert client.get(both) is None  # of instances, no names are none
    client.ask(resource_names=["a"])
    assert client.get(both) == (["a1"], [])
    client.take(resource_names=["a"])
    client.take(resource_names=["a", "b"])
    assert client.get(both) == (["b1"], [])
    client.take(resource_names=["a", "b"])
    client.take(resource_names=["a", "b"])
    assert client.get(both) == (["a1", "b1"], [])


def test_names_of_the_delta_form():
    """Come and go; one that is not there is said to be gone, once, and sent when it appears."""
    client = Client(ENDPOINTS, is_delta=True)
    client.ask(resource_names_subscribe=["a", "none"])
    assert client.get(available(ENDPOINTS, a="1", b="1")) == (["a1"], ["none"])
    client.take()
    assert client.get(available(ENDPOINTS, a="1", b="1")) is None
    client.ask(resource_names_unsubscribe=["a"], resource_names_subscribe=["b"])
    assert client.get(available(ENDPOINTS, a="2", b="1", none="1")) == (["b1", "none1"], [])
    client.take()
    client.ask(resource_names_subscribe=["b"])
    assert client.get(available(ENDPOINTS, b="1", none="1")) == (["b1"], [])


def test_a_client_that_comes_back_is_sent_what_it_lacks():
    """It says which versions it has from an earlier stream; what is gone meanwhile is told."""
    client = Client(CLUSTER, is_delta=True)
    client.ask(initial_resource_versions={"a": "1", "b": "1", "old": "1"})
    assert client.get(available(a="1", b="2")) == (["b2"], ["old"])
    named = Client(ENDPOINTS, is_delta=True)
    named.ask(resource_names_subscribe=["a"], initial_resource_versions={"a": "1"})
    assert named.get(available(ENDPOINTS, a="1")) is None


def test_everything_by_its_own_name():
    """The wildcard may be written out, and taken back."""
    client = Client(CLUSTER, is_delta=True)
    client.ask(resource_names_subscribe=["*"])
    assert client.get(available(a="1")) == (["a1"], [])
    client.take(resource_names_unsubscribe=["*"])
    assert client.get(available(a="1", b="1")) is None
