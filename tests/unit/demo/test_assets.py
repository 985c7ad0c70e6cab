import pytest

from extauthz.demo import assets
from extauthz.errors import EnvironmentUnfitError


def test_the_shop_is_there():
    """The demo's set is found from a checkout and from an installed package."""
    assert (assets.policies_dir() / "shop" / "policy.yaml").is_file()


def test_the_package_comes_before_the_checkout(tmp_path, monkeypatch):
    """An installed package never reads a folder that happens to lie beside it."""
    for root in (tmp_path / "extauthz", tmp_path):
        (root / "policies" / "shop").mkdir(parents=True)
        (root / "policies" / "shop" / "policy.yaml").touch()
    monkeypatch.setattr(assets, "__file__", str(tmp_path / "extauthz" / "demo" / "assets.py"))
    assert assets.policies_dir() == tmp_path / "extauthz" / "policies"


def test_an_installation_without_policies_says_so(tmp_path, monkeypatch):
    """A broken installation is named, not traced."""
    monkeypatch.setattr(assets, "__file__", str(tmp_path / "extauthz" / "demo" / "assets.py"))
    with pytest.raises(EnvironmentUnfitError, match="install extauthz again"):
        assets.policies_dir()
