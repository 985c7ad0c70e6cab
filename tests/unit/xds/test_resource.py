from __future__ import annotations

import pytest
from google.protobuf.json_format import ParseError

from extauthz.xds.resource import CLUSTER, ORDER, make_resource


def test_the_version_is_of_the_content():
    """The same content is not sent twice, whenever and by whomever it was made."""
    one, same = (make_resource(CLUSTER, "a", {"name": "a", "connect_timeout": "1s"}) for _ in range(2))
    other = make_resource(CLUSTER, "a", {"name": "a", "connect_timeout": "2s"})
    assert one == same
    assert one.version != other.version
    assert one.packed().type_url == CLUSTER


def test_what_is_no_such_message():
    """A mistake in what is served is found before it is sent."""
    with pytest.raises(ParseError, match="no field named"):
        make_resource(CLUSTER, "a", {"nam": "a"})


def test_a_secret_is_not_printed():
    """Neither in a log nor in a traceback."""
    assert "content" not in repr(make_resource(CLUSTER, "a", {"name": "a"}))


def test_the_order_is_total():
    """What others refer to comes first: clusters before routes."""
    assert len(set(ORDER)) == 6
    assert ORDER[0] == CLUSTER
