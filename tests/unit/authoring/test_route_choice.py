from extauthz.authoring.route_choice import MAX_PASSED_OVER, passed_over
from tests.strategies import make_route

ORDER = make_route("/orders/{id}", methods=["GET"])
ORDER_PUT = make_route("/orders/{other}", methods=["PUT"])
ORDERS = make_route("/orders/**")
HOSTED = make_route("/orders/7", host="shop.example", methods=["DELETE"])


def why(routes, path, method="GET", host="h.test", chosen=None) -> list[str]:
    found = passed_over(routes, host, tuple(path.split("/")[1:]), method, chosen)
    return [f"{other.route.name}: {other.why}" for other in found]


def test_next_best_come_in_the_tables_order():
    """First those of the same pattern, then wider paths, then wider hosts."""
    assert why([ORDERS, ORDER_PUT, ORDER], "/orders/7", chosen=ORDER) == [
        "/orders/{other}: it serves PUT, not GET",
        "/orders/**: its path, /orders/**, is less specific than /orders/{other}",
    ]


def test_host_comes_before_path():
    """A route of the exact host owns the request whatever its methods; the others are wider."""
    assert why([ORDERS, HOSTED], "/orders/7", host="shop.example") == [
        "shop.example/orders/7: it serves DELETE, not GET",
        "/orders/**: its host, any, is less specific than shop.example",
    ]


def test_near_routes_where_none_matches():
    """What agrees longest, and where it stops to agree."""
    stock, logs = make_route("/stores/{s}/stock"), make_route("/admin/logs/today")
    assert why([stock, logs], "/stores/berlin") == ["/stores/{s}/stock: its path, /stores/{s}/stock, goes on"]
    assert why([stock, logs], "/admin/log/today") == [
        "/admin/logs/today: its path is /admin/logs/today: segment 2 is not log"
    ]
    assert why([stock, logs], "/admin/logs/today/7") == [
        "/admin/logs/today: its path, /admin/logs/today, ends before 7"
    ]
    assert why([HOSTED], "/orders/7") == ["shop.example/orders/7: its host is shop.example, not h.test"]
    assert why([stock, logs], "/nothing") == []
    assert why([], "/nothing") == []


def test_list_is_short():
    """Who reads it wants the next best, not the policy."""
    many = [make_route(f"/{'/'.join(['a'] * n)}/**") for n in range(1, 10)]
    assert len(why(many, "/" + "/".join(["a"] * 10), chosen=many[-1])) == MAX_PASSED_OVER
