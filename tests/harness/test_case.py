import pytest

from tests.harness.answer import Answer, Told, Upstream, differences
from tests.harness.case import CaseError, read_case_sets

SOUND = """\
policy: "version: 1"
cases:
  - it: lets everybody in
    request: {path: /, headers: {x-a: ["1", "2"], x-b: "{token}"}, token: {sub: bob}, mint: {algorithm: RS256}}
    expect: {status: 200, reason: allowed}
    engines: {envoy: it is away}
"""


def read(tmp_path, text):
    path = tmp_path / "cases.yaml"
    path.write_text(text)
    return read_case_sets(path)


def test_a_case_is_read_whole(tmp_path):
    """Repeated headers stay apart, the token goes where its place is, what is left out has its reason."""
    (case_set,) = read(tmp_path, SOUND)
    (case,) = case_set.cases
    assert (case.it, case.line, case.left_out) == ("lets everybody in", 3, {"envoy": "it is away"})
    assert case.request.token is not None
    assert case.request.token.algorithm == "RS256"
    headers = case.request.raw_headers(1_800_000_000)
    assert headers[:2] == (("x-a", "1"), ("x-a", "2"))
    assert headers[2][1].count(".") == 2
    assert len(headers) == 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (SOUND + "casess: []\n", "unknown key 'casess'"),
        (SOUND.replace("expect:", "expects:"), "unknown key 'expects'"),
        (SOUND.replace("reason: allowed", "raeson: allowed"), "unknown key 'raeson'"),
        (SOUND.replace("algorithm", "algorythm"), "unknown key 'algorythm'"),
        (SOUND.replace(", reason: allowed", ""), "'reason' is missing"),
        (SOUND.replace("status: 200", "status: '200'"), "wrong type"),
        (SOUND.replace('"1"', "1"), "needs text"),
        (SOUND.replace("status: 200", "status: 200, status: 403"), "'status' is written twice"),
        (SOUND.replace("envoy: it", "envoi: it"), "no such engine"),
        (SOUND.replace("path: /,", "path: /, at: 1,").replace("    engines: {envoy: it is away}\n", ""), "`at`"),
        (SOUND.replace("token: {sub: bob}, ", ""), "`mint` without a token"),
        (SOUND + "---\n" + SOUND, "'set' is missing"),
        (SOUND + SOUND.partition("cases:\n")[2], "more than one case"),
        ("a: [", "expected"),
    ],
)
def test_a_file_that_does_not_say_what_it_means_is_an_error(tmp_path, text, problem):
    """A misspelt key must not turn an expectation off."""
    with pytest.raises(CaseError, match=problem):
        read(tmp_path, text)


TOLD = Told("0" * 20, "deny", "no_route", None, [], "0" * 12)
DENIED = Answer(403, {"cache-control": ["no-store"]}, b"Forbidden", None, TOLD)
ALLOWED = Answer(
    200, {}, b"", Upstream("/", {"x-user": "a"}), Told("0" * 20, "allow", "allowed", "r", ["r.public"], "0" * 12)
)


def test_an_answer_as_expected_has_no_differences():
    """What a case does not mention is not compared."""
    assert not differences({"status": 403, "reason": "no_route", "route": None}, DENIED)
    assert not differences({"status": 200, "reason": "allowed", "upstream": {"x-user": "a"}, "absent": ["x"]}, ALLOWED)


@pytest.mark.parametrize(
    ("expected", "answer", "difference"),
    [
        ({"status": 401, "reason": "no_route"}, DENIED, "status: expected 401"),
        ({"status": 403, "reason": "denied_by_policy"}, DENIED, "reason: expected"),
        ({"status": 403, "reason": "no_route", "policies": ["p"]}, DENIED, "policies: expected"),
        ({"status": 403, "reason": "no_route", "challenge": "Bearer"}, DENIED, "challenge: expected"),
        ({"status": 403, "reason": "no_route", "absent": ["x"]}, DENIED, "absent: expected"),
        ({"status": 200, "reason": "allowed", "upstream": {"x-user": "b"}}, ALLOWED, "upstream: expected"),
        ({"status": 200, "reason": "allowed", "absent": ["x-user"]}, ALLOWED, "absent: expected"),
        ({"status": 403}, DENIED, "the proxy was to answer by itself"),
    ],
)
def test_a_difference_is_told(expected, answer, difference):
    """Each aspect that a case mentions is compared, and so is who answered."""
    assert difference in "\n".join(differences(expected, answer))


@pytest.mark.parametrize(
    ("answer", "law"),
    [
        (Answer(403, {"cache-control": ["no-store"]}, b"no_route", None, TOLD), "the client is told"),
        (Answer(403, {}, b"", None, TOLD), "may be cached"),
        (Answer(200, {}, b"", Upstream("/", {}), TOLD), "the request passed"),
        (Answer(200, {}, b"", Upstream("/", {}), None), "without a decision"),
    ],
)
def test_a_broken_law_is_told_whatever_a_case_expects(answer, law):
    """Every answer is held to what no case has to say."""
    expected = {"status": answer.status} if answer.told is None else {"status": answer.status, "reason": "no_route"}
    assert law in "\n".join(differences(expected, answer))
