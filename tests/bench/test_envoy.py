import time

import pytest

from bench.__main__ import main
from bench.envoy import check_answers
from bench.policy import write_policy
from bench.proxies import BY_HAND, NONE, Proxy, bootstrap, proxies
from bench.workloads import LARGE, MEDIUM, SMALL, WrongReplyError, mint
from extauthz.demo.envoy import EmbeddedEnvoy
from extauthz.demo.issuer import generate_key
from extauthz.lowering.mode import Mode

pytestmark = pytest.mark.envoy


def test_quick_run(h2load, envoy, capsys):
    """Each way to enforce a set is seen to answer rightly at a real Envoy, and has a row for either call."""
    assert main(["envoy", "--quick"]) == 0
    printed = capsys.readouterr().out
    for proxy in proxies([SMALL]):
        routes = "-" if proxy.kind == NONE else "10"
        for call in ("token", "public"):
            assert f"\n| {proxy.name} | {routes} | {call} | " in printed
    assert "\n- native, as a multiple of filters by hand, 10 routes: " in printed


def test_native_filters_are_compared_where_somebody_would_run_them():
    """Every size has a row of the module's and one of each transport; natively 10,000 routes have none."""
    compared = proxies([SMALL, MEDIUM, LARGE])
    assert {each.size for each in compared if each.kind in {BY_HAND, Mode.NATIVE}} == {SMALL, MEDIUM}
    assert {each.size for each in compared if each.kind == Mode.WASM} == {SMALL, MEDIUM, LARGE}
    assert len({(each.name, each.size) for each in compared}) == len(compared)


def test_an_envoy_that_lets_everybody_in_is_not_measured(envoy, tmp_path):
    """Its speed says nothing about authorization."""
    key = generate_key("RS256")
    policy = write_policy(tmp_path / "policy", key, routes=SMALL)
    token = mint(key, time.time(), "alice")  # noqa: TID251 - verified by a real Envoy
    with EmbeddedEnvoy(bootstrap(Proxy(NONE), policy, "127.0.0.1:1"), tmp_path) as open_envoy:
        address = str(open_envoy.addresses["front"])
        check_answers(Proxy(NONE), address, token)
        with pytest.raises(WrongReplyError, match=r"was answered with \(200, None\), not \(200, 'alice'\)"):
            check_answers(Proxy(Mode.NATIVE), address, token)


@pytest.mark.parametrize("flag", ["--requests", "--rounds"])
def test_nothing_to_measure_is_wrong_input(flag, capsys):
    """No request, or no round."""
    with pytest.raises(SystemExit):
        main(["envoy", flag, "0"])
    assert "must be at least 1" in capsys.readouterr().err
