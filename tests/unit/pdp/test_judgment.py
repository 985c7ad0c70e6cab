import pytest

from extauthz.model.decision import HeaderChanges, Judgment, Outcome, Reason, ReplyDetails
from extauthz.pdp.judgment import TwoRepliesError, denial_reason, one_of, with_changes
from extauthz.pdp.upstream import UpstreamHeaderInvalidError

NO = Judgment(Outcome.UNSATISFIED, ReplyDetails())
NOTHING = Judgment(Outcome.UNSATISFIED)
ANSWERED = Judgment(Outcome.UNSATISFIED, ReplyDetails(status=302))


@pytest.mark.parametrize(
    ("judgment", "known", "anonymous"),
    [
        (NO, Reason.DENIED_BY_POLICY, Reason.CREDENTIAL_MISSING),
        (NOTHING, Reason.NO_MATCHING_ALLOW, Reason.CREDENTIAL_MISSING),
        (ANSWERED, Reason.DENIED_BY_POLICY, Reason.DENIED_BY_POLICY),
        (Judgment(Outcome.ERRORED), Reason.EVALUATION_ERROR, Reason.EVALUATION_ERROR),
        (Judgment(Outcome.ERRORED, could_not_decide=True), Reason.DEADLINE_EXCEEDED, Reason.DEADLINE_EXCEEDED),
    ],
)
def test_reasons_of_denials(judgment, known, anonymous):
    """A no is a policy's, silence is no allow; the anonymous are asked for a credential unless the policy answers."""
    assert denial_reason(judgment, anonymous=False) is known
    assert denial_reason(judgment, anonymous=True) is anonymous


def test_changes_add_up():
    """What is put upstream is not removed, and nothing is removed twice."""
    own = HeaderChanges((("x-user", "a"),), ("x-tenant", "x_tenant", "cookie"))
    judged = HeaderChanges((("x-tenant", "acme"),), ("cookie", "x-b"))
    assert with_changes(own, judged) == HeaderChanges(
        (("x-user", "a"), ("x-tenant", "acme")), ("x_tenant", "cookie", "x-b")
    )


@pytest.mark.parametrize("judged", [HeaderChanges((("x-user", "b"),)), HeaderChanges((), ("x-user",))])
def test_headers_of_the_route_stay_its_own(judged):
    """Neither overwritten nor removed."""
    with pytest.raises(UpstreamHeaderInvalidError):
        with_changes(HeaderChanges((("x-user", "a"),)), judged)


def test_one_of_two_says_what_the_reply_is():
    """Saying nothing is no reply; where both say something, neither counts."""
    some, other, nothing = ReplyDetails(status=302), ReplyDetails(body="x"), ReplyDetails()
    for quiet in (None, nothing):
        assert one_of(some, quiet) == some
        assert one_of(quiet, some) == some
    assert one_of(None, None) is None
    with pytest.raises(TwoRepliesError):
        one_of(some, other)
