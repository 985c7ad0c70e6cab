import pytest


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    """Tests do not depend on the environment they run in."""
    import os

    for name in list(os.environ):
        if name.startswith("EXTAUTHZ_"):
            monkeypatch.delenv(name)
