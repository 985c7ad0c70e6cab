"""What follows where a policy decides about requests as a whole: the law stands above it."""

from __future__ import annotations

from extauthz.model.decision import HeaderChanges, Judgment, Outcome, Reason, ReplyDetails
from extauthz.pdp.upstream import UpstreamHeaderInvalidError


class TwoRepliesError(Exception):
    """Two policies say what the reply is to be."""


def one_of(own: ReplyDetails | None, other: ReplyDetails | None) -> ReplyDetails | None:
    """What the reply is to be, where only one of two says so.

    Raises:
        TwoRepliesError: both do, and a part of one would be lost.
    """
    if other is None or other == ReplyDetails():
        return own
    if own is None or own == ReplyDetails():
        return other
    raise TwoRepliesError("both say what the reply is to be")


def denial_reason(judgment: Judgment, *, anonymous: bool) -> Reason:
    """Why a judgment that does not allow denies.

    Args:
        judgment: what was judged.
        anonymous: whether nobody was authenticated on a route where that is optional: then a credential is asked for,
            unless the policy itself says what is to be answered.
    """
    if judgment.outcome is Outcome.ERRORED:
        return Reason.DEADLINE_EXCEEDED if judgment.could_not_decide else Reason.EVALUATION_ERROR
    if anonymous and (judgment.details is None or judgment.details.status is None):
        return Reason.CREDENTIAL_MISSING
    return Reason.NO_MATCHING_ALLOW if judgment.details is None else Reason.DENIED_BY_POLICY


def with_changes(own: HeaderChanges, judged: HeaderChanges) -> HeaderChanges:
    """A route's own header changes with those of a judgment.

    Raises:
        UpstreamHeaderInvalidError: the judgment touches a header that the route itself sets.
    """
    taken = {name for name, _ in own.set}
    put = {name for name, _ in judged.set}
    if taken & put or taken.intersection(judged.remove):
        raise UpstreamHeaderInvalidError("a header that the route itself sets")
    removed = tuple(name for name in own.remove if name not in put)
    return HeaderChanges((*own.set, *judged.set), (*removed, *(n for n in judged.remove if n not in removed)))
