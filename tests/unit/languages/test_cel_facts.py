import math

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from extauthz.languages.cel_facts import MAPS, NAMES, UNREADABLE, load_presence, load_value
from extauthz.model.access import Principal, RoleHolding
from tests.strategies import Request, make_facts

REQUEST = Request(
    method="PUT",
    target="/orders/7?a=1&b=2&b=3&c=%zz",
    host="shop.example",
    headers={
        "x-one": ("1",),
        "x-two": ("1", "2"),
        "x-nul": ("a\0",),
        "content-type": ("application/json",),
    },
    context_extensions={"tier": "gold"},
    body=b'{"amount": 5, "lines": [{"sku": "a"}]}',
    peer_identity="spiffe://cluster.local/ns/shop/sa/web",
    received_at=1_700_000_000.25,
)
CALLER = Principal(
    authenticated=True,
    subject="alice",
    provider="corp",
    groups=("staff",),
    scopes=("orders.read",),
    claims={"tenant": "t1", "level": 3, "address": {"city": "Oslo"}, "orders": ("7", "8"), "bad": {"x": "a\0"}},
)
FACTS = make_facts(REQUEST, CALLER, RoleHolding(held=frozenset({"reader", "editor"})), order_id="7")


READABLE = [
    (("request.method",), "PUT"),
    (("request.url_path",), "/orders/7"),
    (("request.path",), "/orders/7?a=1&b=2&b=3&c=%zz"),
    (("request.host",), "shop.example"),
    (("request.scheme",), "https"),
    (("request.protocol",), "HTTP/1.1"),
    (("request.time",), Timestamp(seconds=1_700_000_000, nanos=250_000_000)),
    (("request.headers", "x-one"), "1"),
    (("request.header_values", "x-one"), ["1"]),
    (("request.header_values", "x-two"), ["1", "2"]),
    (("request.query", "a"), "1"),
    (("request.query_values", "b"), ["2", "3"]),
    (("source.address",), "192.0.2.1:40000"),
    (("source.port",), 40000),
    (("destination.address",), "198.51.100.1:443"),
    (("destination.port",), 443),
    (("connection.uri_san_peer_certificate",), "spiffe://cluster.local/ns/shop/sa/web"),
    (("context_extensions",), {"tier": "gold"}),
    (("context_extensions", "tier"), "gold"),
    (("principal.authenticated",), True),
    (("principal.subject",), "alice"),
    (("principal.provider",), "corp"),
    (("principal.roles",), ["editor", "reader"]),
    (("principal.groups",), ["staff"]),
    (("principal.scopes",), ["orders.read"]),
    (("claims", "tenant"), "t1"),
    (("claims", "level"), 3.0),
    (("claims", "address"), {"city": "Oslo"}),
    (("claims", "address", "city"), "Oslo"),
    (("claims", "orders"), ["7", "8"]),
    (("path",), {"order_id": "7"}),
    (("path", "order_id"), "7"),
    (("body",), {"amount": 5.0, "lines": [{"sku": "a"}]}),
    (("body", "amount"), 5.0),
]


@pytest.mark.parametrize(("path", "value"), READABLE)
def test_each_name_reads_its_fact(path, value):
    """What a condition sees of an ordinary request."""
    assert load_value(path)(FACTS) == value


def test_every_name_is_covered():
    """The table above leaves no name out."""
    assert {path[0] for path, _ in READABLE} == set(NAMES)


@pytest.mark.parametrize(
    "path",
    [
        ("request.headers", "x-none"),
        ("request.headers", "x-two"),
        ("request.headers", "x-nul"),
        ("request.headers",),
        ("request.header_values", "x-none"),
        ("request.header_values", "x-nul"),
        ("request.header_values",),
        ("request.query", "b"),
        ("request.query", "c"),
        ("request.query", "none"),
        ("request.query_values", "c"),
        ("request.query",),
        ("request.query_values",),
        ("context_extensions", "none"),
        ("claims",),
        ("claims", "none"),
        ("claims", "bad"),
        ("claims", "bad", "x"),
        ("claims", "tenant", "x"),
        ("claims", "orders", "x"),
        ("path", "none"),
        ("body", "none"),
        ("body", "lines", "sku"),
    ],
)
def test_what_is_absent_repeated_or_unsafe_cannot_be_read(path):
    """Neither can a whole map with any such value."""
    assert load_value(path)(FACTS) is UNREADABLE


@pytest.mark.parametrize(
    ("path", "there"),
    [
        (("request.headers", "x-one"), True),
        (("request.headers", "x-two"), True),
        (("request.headers", "x-nul"), True),
        (("request.headers", "x-none"), False),
        (("request.header_values", "x-two"), True),
        (("request.query", "b"), True),
        (("request.query", "c"), True),
        (("request.query", "none"), False),
        (("request.query_values", "c"), True),
        (("context_extensions", "tier"), True),
        (("context_extensions", "none"), False),
        (("claims", "bad"), True),
        (("claims", "bad", "x"), True),
        (("claims", "bad", "y"), False),
        (("claims", "none"), False),
        (("claims", "none", "x"), UNREADABLE),
        (("claims", "tenant", "x"), UNREADABLE),
        (("claims", "orders", "x"), UNREADABLE),
        (("path", "order_id"), True),
        (("path", "none"), False),
        (("body", "amount"), True),
        (("body", "none"), False),
        (("body", "lines", "sku"), UNREADABLE),
    ],
)
def test_presence_is_true_of_whatever_is_there(path, there):
    """Also of a header that is repeated and a value that is unsafe: only their text cannot be read."""
    assert load_presence(path)(FACTS) is there


def test_what_depends_on_the_caller_alone_is_read_once():
    """A long list is not made safe again for every request of a cached token; roles depend on the request too."""
    caller = Principal(True, subject="alice", groups=("staff",), claims={"list": ["a"], "bad": "\0"})
    first, second = (make_facts(Request(), caller, RoleHolding(held=frozenset({role}))) for role in ("r1", "r2"))
    for path in (("claims", "list"), ("principal.groups",)):
        assert load_value(path)(first) is load_value(path)(second)
    for facts in (first, second):
        assert load_value(("claims", "bad"))(facts) is UNREADABLE
    assert load_value(("principal.roles",))(second) == ["r2"]
    other = Principal(True, subject="bob", claims={"list": ["b"]})
    assert load_value(("claims", "list"))(make_facts(Request(), other)) == ["b"]


def test_nobody_has_no_subject_but_empty_lists():
    """An anonymous caller is told apart by `principal.authenticated` alone."""
    nobody = make_facts()
    assert load_value(("principal.authenticated",))(nobody) is False
    assert load_value(("principal.subject",))(nobody) is UNREADABLE
    assert load_value(("principal.provider",))(nobody) is UNREADABLE
    for name in ("roles", "groups", "scopes"):
        assert load_value((f"principal.{name}",))(nobody) == []
    assert load_value(("claims",))(nobody) == {}
    assert load_presence(("claims", "sub"))(nobody) is False


def test_roles_in_doubt_cannot_be_read():
    """A role that may or may not be held leaves the list unknown."""
    facts = make_facts(roles=RoleHolding(held=frozenset({"reader"}), errored=frozenset({"admin"})))
    assert load_value(("principal.roles",))(facts) is UNREADABLE


def test_addresses_are_printed_as_envoy_prints_them():
    """IPv6 in brackets; nothing to read when there is no address."""
    facts = make_facts(Request(source_address="2001:db8::1", source_port=8, destination_address=""))
    assert load_value(("source.address",))(facts) == "[2001:db8::1]:8"
    assert load_value(("destination.address",))(facts) is UNREADABLE
    assert load_value(("destination.port",))(facts) is UNREADABLE


def test_without_a_certificate_there_is_no_identity():
    """Empty text would compare equal to something."""
    assert load_value(("connection.uri_san_peer_certificate",))(make_facts()) is UNREADABLE


@pytest.mark.parametrize(
    ("received_at", "timestamp"),
    [
        (None, Timestamp(seconds=1_800_000_000)),
        (0.0, Timestamp()),
        (-0.25, Timestamp(seconds=-1, nanos=750_000_000)),
        (math.nextafter(2.0, 0), Timestamp(seconds=1, nanos=999_999_999)),
        (math.nan, UNREADABLE),
        (math.inf, UNREADABLE),
    ],
)
def test_the_time_is_when_the_proxy_received_the_request(received_at, timestamp):
    """Our clock stands in when it does not say."""
    assert load_value(("request.time",))(make_facts(Request(received_at=received_at))) == timestamp


def test_a_name_that_cannot_be_decoded_hides_the_whole_query():
    """Not even absence is certain then; later reads of the same request find the same."""
    facts = make_facts(Request(target="/?a=1&%zz=2"))
    for _ in range(2):
        assert load_value(("request.query", "a"))(facts) is UNREADABLE
        assert load_presence(("request.query", "b"))(facts) is UNREADABLE


def test_without_a_json_body_nothing_of_it_can_be_read():
    """Presence included: `!has(body.x)` must not hold because a body was withheld."""
    facts = make_facts(Request(body=b"x=1"))
    assert load_value(("body",))(facts) is UNREADABLE
    assert load_value(("body", "x"))(facts) is UNREADABLE
    assert load_presence(("body", "x"))(facts) is UNREADABLE


@pytest.mark.parametrize("text", ["a\0b", "a\ud800"])
def test_unsafe_text_cannot_be_read_anywhere(text):
    """Every text of a request passes the same test."""
    request = Request(
        method=text,
        target=f"/{text}",
        host=text,
        scheme=text,
        protocol=text,
        source_address=text,
        peer_identity=text,
        headers={"x": (text,)},
        context_extensions={"x": text},
    )
    caller = Principal(True, subject=text, provider=text, groups=(text,), scopes=(text,), claims={"x": text})
    facts = make_facts(request, caller, RoleHolding(held=frozenset({text})), x=text)
    texts = {name for name, kind in NAMES.items() if kind.type in {"string", "list<string>"}} - {"destination.address"}
    for path in [(name,) for name in texts] + [
        (name, "x") for name in MAPS - {"request.query", "request.query_values"}
    ]:
        assert load_value(path)(facts) is UNREADABLE, path


def test_a_name_without_keys_has_no_presence():
    """Asking is a mistake of the caller."""
    for path in [("request.method",), ("claims",)]:
        with pytest.raises(ValueError, match="no key"):
            load_presence(path)
