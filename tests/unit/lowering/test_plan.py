from extauthz.lowering.plan import ALLOW_PREFIX, Item, Verdict, policy_prefix


def test_a_piece_is_native_unless_there_is_a_reason():
    """One reason is enough."""
    assert Item("allow", "a.allow.0", None).verdict is Verdict.NATIVE
    assert Item("allow", "a.allow.0", None, {"it reads body": None}).verdict is Verdict.RESIDUAL


def test_a_profile_is_the_beginning_of_a_name():
    """No profile's beginning is another's, and all of them allow."""
    prefixes = [policy_prefix(n) for n in (0, 1, 10, 100)]
    assert all(p.startswith(ALLOW_PREFIX) for p in prefixes)
    assert not any(a != b and a.startswith(b) for a in prefixes for b in prefixes)
