import pytest

from extauthz.authoring.accepted import read_accepted
from extauthz.authoring.record import RecordedDecision
from extauthz.authoring.replay import Change, Group
from extauthz.errors import PolicyError
from extauthz.model.decision import Effect, Reason
from tests.records import record

ALLOWED = RecordedDecision(Effect.ALLOW, Reason.ALLOWED, "order", ("order.allow.staff",))


def group(now=ALLOWED, reason=Reason.NO_MATCHING_ALLOW):
    was = RecordedDecision(Effect.DENY, reason, "order", ())
    return Group(Change.WIDENED if now else Change.UNKNOWN, was, now, record("/orders/8"), 1, 1)


@pytest.mark.parametrize(
    ("entry", "fits"),
    [
        ("{route: order, was: no_matching_allow}", True),
        ("{route: order, was: [insufficient_scope, no_matching_allow]}", True),
        ("{route: order, was: no_matching_allow, rules: order.allow.staff}", True),
        ("{route: order, was: no_matching_allow, rules: [order.allow.staff, order.allow.owner]}", False),
        ("{route: order, was: credential_missing}", False),
        ("{route: list, was: no_matching_allow}", False),
    ],
)
def test_an_entry_fits_what_it_says(entry, fits):
    """The route that allows, the reasons of the denials, and the rules when they are written."""
    (accepted,) = read_accepted("a.yaml", f"- {entry}\n".encode())
    assert accepted.fits(group()) is fits


def test_what_cannot_be_told_is_never_accepted():
    """There is nothing that an entry could fit."""
    (accepted,) = read_accepted("a.yaml", b"- {route: order, was: no_matching_allow}\n")
    assert not accepted.fits(group(now=None))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file holds no value"),
        ("[]", "the list is empty"),
        ("- {route: order}", "the key 'was' is missing"),
        ("- {was: no_route}", "the key 'route' is missing"),
        ("- {route: order, was: allowed}", "is needed here, not 'allowed'"),
        ("- {route: order, was: no_route, rule: x}", "'rule' is not a key here"),
        ("- {route: a, was: no_route}\n- {was: [no_route], route: a}", "the same is accepted in line 1"),
    ],
)
def test_broken_files_are_refused_at_the_place(text, message):
    """An exception that is misspelt must not be one."""
    with pytest.raises(PolicyError) as caught:
        read_accepted("a.yaml", text.encode())
    (diagnostic,) = caught.value.diagnostics
    assert message in diagnostic.message
    assert diagnostic.span.file == "a.yaml"
