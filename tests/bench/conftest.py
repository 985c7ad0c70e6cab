import os
import shutil

import pytest

from extauthz.demo.envoy import envoy_binary
from extauthz.errors import EnvironmentUnfitError

REQUIRED = os.environ.get("EXTAUTHZ_REQUIRE", "").split(",")


@pytest.fixture
def h2load():
    """Skip without h2load, or fail where the environment promises it."""
    if shutil.which("h2load") is None:
        if "h2load" in REQUIRED:
            pytest.fail("h2load is required here and was not found: install nghttp2-client")
        pytest.skip("h2load was not found: install nghttp2-client")


@pytest.fixture
def envoy():
    """Skip without Envoy, or fail where the environment promises it."""
    try:
        envoy_binary()
    except EnvironmentUnfitError as error:
        if "envoy" in REQUIRED:
            raise
        pytest.skip(str(error))
