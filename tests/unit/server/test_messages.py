import time

from extauthz.authn.authenticator import KeySets, NeedKeySet, VerifiedTokens
from extauthz.authn.keyset import KeySetState
from extauthz.authn.provider import key_source_digest
from extauthz.authorizer import build_snapshot
from extauthz.check.answer import Answer, Answerer
from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.model.provider import RemoteKeys
from extauthz.server.check_method import CheckLimits
from extauthz.server.decider import DeciderSettings
from extauthz.server.link import pack, unpack
from extauthz.server.messages import DecisionLogSettings, Keys, LogEvent, Prepare, Start
from extauthz.telemetry.decision_log import Sampling, SubjectForm
from tests.harness.authn import make_provider
from tests.harness.corpus import read_corpus


def test_messages_survive_the_way():
    """Equal on the other side, settings, keys and needs alike."""
    provider = make_provider(keys=RemoteKeys("https://issuer.example/jwks.json"))
    start = Start(
        DeciderSettings(CheckLimits(deadline_seconds=0.1, capacity=5), unavailable_as_error=False),
        (TcpAddress("127.0.0.1", 9000), UnixAddress("/run/x.sock")),
        drain_timeout_seconds=1.0,
        credentials=None,
        decision_log=DecisionLogSettings(SubjectForm.HMAC, b"key", Sampling(0.1, 1.0)),
        traces=True,
    )
    standing = KeySetState().standing()
    source = key_source_digest(provider)
    for message in (
        start,
        Prepare(b"packed", {source: standing}),
        Keys(source, standing),
        LogEvent("error", "event", {"problem": "x"}),
        NeedKeySet(provider, "kid"),
    ):
        assert unpack(pack(message)) == message


def test_a_policy_set_decides_the_same_on_the_other_side(tmp_path):
    """Every decision case, whatever its set holds: the sets of a worker are the supervisor's."""
    now = time.time()  # noqa: TID251 - the corpus mints tokens now

    def decisions(policy_set, messages):
        answerer = Answerer(build_snapshot(policy_set, KeySets(), VerifiedTokens()))
        answers = [answerer.answer(message.SerializeToString(), now) for message in messages]
        return [each.decision if isinstance(each, Answer) else each for each in answers]

    compared = 0
    for asked in read_corpus(tmp_path):
        received = unpack(pack(asked.policy_set))
        assert decisions(received, asked.messages) == decisions(asked.policy_set, asked.messages), asked.name
        compared += len(asked.messages)
    assert compared > 150
