import pytest

from extauthz.errors import EnvironmentUnfitError
from tests.harness import stand as stand_module
from tests.harness.stand import Stand, envoy_or_skip


@pytest.fixture
def without_envoy(monkeypatch):
    def missing():
        raise EnvironmentUnfitError("there is no embedded Envoy")

    monkeypatch.setattr(stand_module, "envoy_binary", missing)


def test_without_an_envoy_its_tests_are_skipped(without_envoy, monkeypatch):
    """The reason is told."""
    monkeypatch.delenv("EXTAUTHZ_REQUIRE", raising=False)
    with Stand([]) as stand, pytest.raises(pytest.skip.Exception, match="no embedded Envoy"):
        envoy_or_skip(stand)


def test_without_an_envoy_that_is_required_its_tests_fail(without_envoy, monkeypatch):
    """A run that must have one does not pass by skipping."""
    monkeypatch.setenv("EXTAUTHZ_REQUIRE", "docker,envoy")
    with Stand([]) as stand, pytest.raises(pytest.fail.Exception, match="no embedded Envoy"):
        envoy_or_skip(stand)
