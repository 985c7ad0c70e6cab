from __future__ import annotations

from extauthz.mesh.capture import Capture, Ports
from extauthz.mesh.rules_tproxy import append_tproxy_inbound, append_tproxy_marks
from extauthz.mesh.ruleset import Ruleset


def test_listed_ports_are_diverted_one_by_one():
    """Established connections are diverted before new ones are sent to the proxy, for each port."""
    rules = Ruleset(6)
    append_tproxy_inbound(rules, Capture(inbound_ports=Ports((80,))), loopback="::1/128")
    lines = rules.render().splitlines()
    assert lines[-3:-1] == [
        "-A ISTIO_INBOUND -p tcp --dport 80 -m conntrack --ctstate RELATED,ESTABLISHED -j ISTIO_DIVERT",
        "-A ISTIO_INBOUND -p tcp --dport 80 -j ISTIO_TPROXY",
    ]
    assert "-A ISTIO_TPROXY ! -d ::1/128 -p tcp -j TPROXY --tproxy-mark 1337/0xffffffff --on-port 15006" in lines


def test_what_must_not_be_captured_again_is_met_first():
    """The three exceptions end up at the head of the chain, in this order."""
    rules = Ruleset(4)
    append_tproxy_inbound(rules, Capture(), loopback="127.0.0.1/32")
    append_tproxy_marks(rules, Capture(), loopback="127.0.0.1/32", inbound_source="127.0.0.6/32")
    inbound = [" ".join(words) for words in rules.layout()["mangle", "ISTIO_INBOUND"]]
    assert inbound[:3] == [
        "-p tcp -m mark --mark 1337 -j RETURN",
        "-p tcp -s 127.0.0.6/32 -i lo -j RETURN",
        "-p tcp -i lo -m mark ! --mark 1338 -j RETURN",
    ]
