import shutil

import pytest

from extauthz.demo.envoy import envoy_binary
from extauthz.errors import EnvironmentUnfitError
from tests.harness.required import skip_unless_required


@pytest.fixture
def h2load():
    """Skip without h2load, or fail where the environment promises it."""
    if shutil.which("h2load") is None:
        skip_unless_required("h2load", "h2load was not found: install nghttp2-client")


@pytest.fixture
def envoy():
    """Skip without Envoy, or fail where the environment promises it."""
    try:
        envoy_binary()
    except EnvironmentUnfitError as error:
        skip_unless_required("envoy", str(error))
