"""Settings as an operator gives them."""

from __future__ import annotations

import pytest

from extauthz.errors import ConfigurationError
from extauthz.settings import load_settings


def problems(flags, config=None):
    with pytest.raises(ConfigurationError) as caught:
        load_settings(flags, config)
    return str(caught.value).splitlines()
