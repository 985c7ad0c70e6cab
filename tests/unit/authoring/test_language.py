import pytest

from extauthz.authoring.language import SUITE, SuiteText
from extauthz.languages.policy_yaml.shapes import Definitions
from tests.suites import findings


@pytest.mark.parametrize(
    ("written", "finding"),
    [
        ("expect: alow", "EAZ205 allow, deny, a status or a reason is needed here, not 'alow' (did you mean 'allow'?)"),
        ("expect: 42", "EAZ203 an HTTP status, as in 200 or 403, is needed here, not a number"),
        ("expect: true", "EAZ203 allow, deny, a status or a reason is needed here, not true"),
        ("expect: [allow]", "EAZ203 a mapping is needed here, not a list"),
        ("expect: {status: '403'}", "EAZ203 an HTTP status, as in 200 or 403, is needed here, not text"),
        ("expect: {staus: 403}", "EAZ201 'staus' is not a key here (did you mean 'status'?)"),
    ],
)
def test_expectations_have_a_form(written, finding):
    """A word that is no effect, status or reason never becomes an expectation."""
    (found,) = findings("tests:\n- name: a\n  request: {path: /orders}\n  " + written)
    assert found.split(": ", 1)[1] == finding


@pytest.mark.parametrize(
    ("request_text", "finding"),
    [
        ("{path: /, headers: {'x y': a}}", "EAZ206 'x y' is not a header's name"),
        ('{path: /, headers: {x: "a\\nb"}}', "EAZ206 'a\\nb' is not a header's value: no control characters"),
        ("{path: /, method: 'G T'}", "EAZ206 'G T' is not an HTTP method"),
        ("{grpc: /a/b}", "EAZ206 '/a/b' is not a gRPC method: package.Service/Method"),
    ],
)
def test_requests_are_ones_that_can_be_sent(request_text, finding):
    """What no client can send is refused where it is written."""
    (found,) = findings(f"tests: [{{name: a, request: {request_text}, expect: deny}}]")
    assert found.split(": ", 1)[1] == finding


def test_every_key_is_described():
    """The schema of test files, for editors, describes each key of each record."""
    definitions: Definitions = {}
    SUITE.schema(definitions)
    assert "SuiteText" in definitions
    assert all(key.doc.endswith((".", "]")) for key in SuiteText.keys.values())
    for definition in definitions.values():
        assert all("description" in value for value in definition["properties"].values())  # type: ignore[attr-defined]
