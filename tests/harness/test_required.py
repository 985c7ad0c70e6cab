import pytest

from tests.harness.required import is_required, opa_or_skip, skip_unless_required


@pytest.mark.parametrize("listed", ["opa", "envoy,opa", "opa,envoy", "envoy, opa"])
def test_a_promised_tool_that_is_missing_fails_the_test(listed, monkeypatch):
    """Wherever it stands in the list."""
    monkeypatch.setenv("EXTAUTHZ_REQUIRE", listed)
    assert is_required("opa")
    with pytest.raises(pytest.fail.Exception, match="EXTAUTHZ_REQUIRE names opa: it is broken"):
        skip_unless_required("opa", "it is broken")


@pytest.mark.parametrize("listed", [None, "", "envoy", "opa-envoy,h2load"])
def test_any_other_tool_that_is_missing_skips_the_test(listed, monkeypatch):
    """With the reason; a name that only begins like it is not the tool's."""
    if listed is None:
        monkeypatch.delenv("EXTAUTHZ_REQUIRE", raising=False)
    else:
        monkeypatch.setenv("EXTAUTHZ_REQUIRE", listed)
    assert not is_required("opa")
    with pytest.raises(pytest.skip.Exception, match="it is broken"):
        skip_unless_required("opa", "it is broken")


def test_opa_is_what_the_path_has(monkeypatch, tmp_path):
    """Without one the test is skipped; the reason says how to get it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("EXTAUTHZ_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match="go install"):
        opa_or_skip()
    binary = tmp_path / "opa"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    assert opa_or_skip() == str(binary)
