from extauthz.authn.cache import LruCache, VerifiedToken, VerifiedTokens, scope_of

TOKEN = VerifiedToken({"sub": "alice"}, 0.0, 1.0)


def test_the_least_recently_used_entry_goes_first():
    """Reading an entry keeps it; the cache never holds more than its capacity."""
    cache = LruCache[str](2)
    cache.put(b"a", "A")
    cache.put(b"b", "B")
    assert cache.get(b"a") == "A"
    cache.put(b"c", "C")
    assert (cache.get(b"a"), cache.get(b"b"), cache.get(b"c")) == ("A", None, "C")
    assert len(cache) == 2


def test_putting_again_replaces():
    """One key has one value, and being put counts as being used."""
    cache = LruCache[str](2)
    for key, value in ((b"a", "A"), (b"b", "B"), (b"a", "A2"), (b"c", "C")):
        cache.put(key, value)
    assert (cache.get(b"a"), cache.get(b"b")) == ("A2", None)


def test_a_verified_token_is_found_only_under_its_provider_and_keys():
    """Another configuration or another version of the key set finds nothing."""
    tokens = VerifiedTokens()
    scope = scope_of(b"provider", b"version")
    tokens.put(b"token", scope, TOKEN)
    assert tokens.get(b"token", scope) is TOKEN
    for other in (scope_of(b"provider2", b"version"), scope_of(b"provider", b"version2")):
        assert tokens.get(b"token", other) is None
    assert tokens.get(b"token2", scope) is None
    assert (tokens.verifications, tokens.hits) == (1, 1)


def test_verified_tokens_are_bounded():
    """However many tokens are verified, the oldest are forgotten."""
    tokens = VerifiedTokens(capacity=3)
    for number in range(5):
        tokens.put(bytes([number]), b"scope", TOKEN)
    assert [tokens.get(bytes([number]), b"scope") is not None for number in range(5)] == [
        False,
        False,
        True,
        True,
        True,
    ]
