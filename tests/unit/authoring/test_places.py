import pytest

from extauthz.authoring import places
from extauthz.authoring.places import hosts_match, hosts_of, targets_of
from extauthz.authoring.truth import BoundHitError
from extauthz.model.policy import OnAmbiguity, PathSettings, TrailingSlash
from tests.strategies import make_host, make_pattern


def targets(*patterns: str, **settings) -> list[str]:
    return list(targets_of([make_pattern(p) for p in patterns], [PathSettings(), PathSettings(**settings)]))


def test_hosts_stand_for_all():
    """Each exact one, one below each suffix and no longer one, and one that no pattern is about."""
    patterns = [make_host(h) for h in ("a.example", "*.example", "*.b.example", "any.b.example", None)]
    hosts = hosts_of(patterns)
    assert hosts == ["a.example", "any.b.example", "any1.b.example", "any.example", "any.example1"]
    matched = [tuple(hosts_match(pattern, host) for pattern in patterns) for host in hosts]
    assert len(set(matched)) == len(hosts)


def test_paths_stand_for_all():
    """Each literal, something else where a variable stands, more and less than any pattern."""
    assert targets("/a", "/{x}") == ["/", "/a", "/x", "/a/any"]
    assert targets("/a/**") == ["/", "/a", "/any", "/a/any"]
    assert targets("/{x}/b", "/a/{y}") == ["/", "/a", "/x", "/a/b", "/a/y", "/x/b", "/x/any"]


def test_unknown_segments_are_unknown():
    """A variable that is called like a literal, or twice, has another value."""
    assert targets("/{a}/{a}", "/a") == ["/", "/a", "/a-2", "/a/a-2", "/a/a-2/any"]


def test_segments_are_sent_encoded():
    """As they have to be, to be read as they are written."""
    assert "/caf%C3%A9%20%25" in targets("/café %")
    assert "/a%2Fb" in targets("/a%2Fb", encoded_slash=OnAmbiguity.KEEP)


def test_ambiguous_paths_are_tried_where_a_set_keeps_them():
    """They are refused by the one, and more of the path may follow."""
    found = targets("/a/{x}", encoded_slash=OnAmbiguity.KEEP)
    assert {"/a/a%2Fb", "/a%2Fb"} <= set(found)
    assert not any("%2F" in target for target in targets("/a/{x}"))
    assert "/a//x" in targets("/a/**", "/a/{y}/x", repeated_slash=OnAmbiguity.KEEP) or "/a/" in targets(
        "/a/**", repeated_slash=OnAmbiguity.KEEP
    )


def test_trailing_slashes_are_tried_where_they_matter():
    """Where one set tells them apart."""
    assert "/a/" in targets("/a", trailing_slash=TrailingSlash.DISTINCT)
    assert "/a/" not in targets("/a")


def test_kinds_of_paths_are_bounded(monkeypatch):
    """Patterns can be written to have exponentially many."""
    monkeypatch.setattr(places, "MAX_PATHS", 3)
    with pytest.raises(BoundHitError):
        targets("/a", "/b", "/c")
