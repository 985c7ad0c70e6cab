import pytest

from extauthz.languages.rego import Module, load_modules
from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.value import UNDEFINED
from extauthz.sources.rego_planner import plan_with_regopy


@pytest.mark.parametrize("amount", ["", "K", "1 K", "1.2.3", "1Q", "1e9999999", "--1"])
def test_what_is_no_amount(call, amount):
    """Neither of the two takes what has no number or no known unit."""
    for name in ("units.parse", "units.parse_bytes"):
        with pytest.raises(BuiltinError):
            call(name, amount)


def test_milli_and_mega_differ_by_case(call):
    """`m` and `M` are not the same, except among bytes."""
    assert call("units.parse", "1M") == 1_000_000
    assert call("units.parse", "500m") == 0.5
    assert call("units.parse_bytes", "1m") == call("units.parse_bytes", "1MB") == 1_000_000


@pytest.mark.parametrize("version", ["1", "1.2", "01.2.3", "1.2.3-", "x.y.z", "1.2.3.4"])
def test_what_is_no_version(call, version):
    """Versions have three numbers without leading zeros."""
    assert not call("semver.is_valid", version)
    with pytest.raises(BuiltinError):
        call("semver.compare", version, "1.0.0")


def test_uuids(call):
    """A version 1 UUID tells time and node; what is no UUID is undefined."""
    found = call("uuid.parse", "00000000-0000-1000-8000-325096b39f47")
    assert found["version"] == 1
    assert found["nodeid"] == "32-50-96-b3-9f-47"
    assert found["macvariables"] == "local:unicast"
    assert call("uuid.parse", "nope") is UNDEFINED
    assert call("uuid.rfc4122", "a") != call("uuid.rfc4122", "b")


def test_the_environment_is_nobodys_business(call, monkeypatch):
    """`opa.runtime` has no env, whatever OPA's has."""
    monkeypatch.setenv("A_SECRET", "value")
    assert call("opa.runtime") == {}
    assert call("trace", "note") is True


def test_what_is_printed_goes_to_who_listens():
    """Nowhere, but where a test collects it; and no more than somebody would read."""
    body = 'some i in numbers.range(1, 150); print("at", i, input.x, {"a": 1}); i < 0'
    module = Module("t.rego", f"package t\n\nr if {{ {body} }}\n")
    program = load_modules([module], {}, ["t/r"], plan_with_regopy)
    printed: list[str] = []
    program.evaluate("t/r", {}, now_ns=0, printed=printed)
    assert printed[0] == 'at 1 <undefined> {"a":1}'
    assert len(printed) == 100
    assert program.evaluate("t/r", {}, now_ns=0) is UNDEFINED
