import pytest

from extauthz.model.decision import ALLOWING, Decision, Effect, PolicyId, Reason

P = PolicyId("p")


def test_an_allow_that_no_policy_determined_cannot_be_made():
    """There is no allow by default."""
    with pytest.raises(ValueError, match="must name the policies"):
        Decision(Effect.ALLOW, (), (), Reason.ALLOWED)


@pytest.mark.parametrize("reason", Reason)
def test_the_reason_goes_with_the_effect(reason):
    """The reply is chosen by reason: one of the other effect must not exist."""
    for effect in Effect:
        if (reason in ALLOWING) is (effect is Effect.ALLOW):
            assert Decision(effect, (P,), (), reason).reason is reason
        else:
            with pytest.raises(ValueError, match="does not go with"):
                Decision(effect, (P,), (), reason)


def test_reasons_are_snake_case_slugs():
    """They are matched on by dashboards: a change is a break."""
    assert all(reason == reason.lower() and reason.replace("_", "").isalpha() for reason in Reason)
