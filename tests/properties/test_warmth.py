"""What was decided before cannot change a decision: tokens, rulings and decisions are remembered, never mixed up."""

from __future__ import annotations

import random
import time

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authorizer import authorize, build_snapshot
from extauthz.check.request import read_check_request

NOW = time.time()  # noqa: TID251 - the corpus' tokens are minted now
ROUNDS = 3


def test_a_set_that_has_decided_before_decides_as_a_new_one(corpus):
    """Every case's requests, in three random orders: each decision is that of a set which never saw another request."""
    shuffled = random.Random(7)
    for asked in corpus:
        requests = [message.SerializeToString() for message in asked.messages]
        expected = {
            message: authorize(
                read_check_request(message), build_snapshot(asked.policy_set, KeySets(), VerifiedTokens()), NOW
            )
            for message in requests
        }
        warm = build_snapshot(asked.policy_set, KeySets(), VerifiedTokens())
        for _ in range(ROUNDS):
            shuffled.shuffle(requests)
            for message in requests:
                assert authorize(read_check_request(message), warm, NOW) == expected[message]
