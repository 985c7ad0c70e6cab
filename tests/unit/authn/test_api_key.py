import dataclasses

import pytest

from extauthz.authn.api_key import ApiKeys
from extauthz.errors import ApiKeyUnknownError
from extauthz.model.provider import ApiKey
from tests.harness.authn import ROLES, make_api_keys
from tests.strategies import SPAN


def test_a_key_names_its_holder():
    """Subject, provider and roles are the file's; the same key yields the same object."""
    keys = ApiKeys([make_api_keys(robot="k1", other="k2")], ROLES)
    principal = keys.principal("k1")
    assert (principal.authenticated, principal.subject, principal.provider) == (True, "robot", "machines")
    assert principal.roles == ("reader",)
    assert keys.principal("k1") is principal
    assert keys.principal("k2").subject == "other"


@pytest.mark.parametrize("key", ["", "k", "K1", "k1 ", " k1", "\udcff", "é"])
def test_other_keys_are_unknown(key):
    """Keys are compared exactly; text that is no UTF-8 is just another unknown key."""
    with pytest.raises(ApiKeyUnknownError):
        ApiKeys([make_api_keys(robot="k1")], ROLES).principal(key)


def test_an_empty_key_is_unknown_even_if_listed():
    """A header with nothing in it never names anybody."""
    with pytest.raises(ApiKeyUnknownError):
        ApiKeys([make_api_keys(nobody="")], ROLES).principal("")


def test_a_key_of_two_holders_names_neither():
    """Within a provider and across providers of one header: who it is cannot be said, so it is unknown."""
    first, second = make_api_keys(robot="k1", own="k2"), make_api_keys("others", intruder="k1")
    keys = ApiKeys([first, second], ROLES)
    with pytest.raises(ApiKeyUnknownError):
        keys.principal("k1")
    assert keys.principal("k2").subject == "own"


def test_attributes_are_deduplicated_and_roles_declared():
    """Order is kept; a role that the policy does not declare is dropped."""
    provider = make_api_keys(robot="k1")
    key = ApiKey(
        provider.keys[0].sha256,
        "robot",
        roles=("editor", "ghost", "editor", "reader"),
        groups=("g", "g"),
        scopes=("s",),
    )
    provider = dataclasses.replace(provider, keys=(key,), span=SPAN)
    principal = ApiKeys([provider], ROLES).principal("k1")
    assert (principal.roles, principal.groups, principal.scopes) == (("editor", "reader"), ("g",), ("s",))
