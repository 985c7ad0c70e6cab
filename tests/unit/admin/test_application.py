import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection

from extauthz.admin.application import Guards

LOCAL = {"host": "localhost"}
LENIENT = [negative_data_rejection]
"""protobuf takes an empty list or text for a message without fields; such a request is denied."""


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/", "/v2"])
def test_there_is_nothing_else(listener, path):
    """No pages that load scripts from elsewhere."""
    assert listener.request("GET", path).status_code == 404


def test_without_the_api_only_probes_and_metrics_are_there(listener):
    """Where other machines may ask."""
    listener.serves_api = False
    for path in ("/v1", "/v1/policy", "/v1/openapi.json"):
        assert listener.request("GET", path).status_code == 404
    assert listener.request("POST", "/v1/decide", json={}).status_code == 404
    assert [listener.request("GET", path).status_code for path in ("/livez", "/readyz", "/metrics")] == [200] * 3


def test_a_foreign_host_is_refused_where_browsers_may_be_led(listener):
    """On a loopback port; elsewhere any name will do."""
    headers = {"host": "rebound.example"}
    for path in ("/livez", "/readyz", "/metrics", "/v1/policy"):
        assert listener.request("GET", path, headers=headers).status_code == 421
    listener.guards = Guards(checks_host=False, checks_certificate=False)
    assert listener.request("GET", "/readyz", headers=headers).status_code == 200


def test_it_does_what_its_document_says(listener):
    """Every operation, with what the document allows and with what it does not: answers that it describes."""
    schema = schemathesis.openapi.from_asgi("/v1/openapi.json", listener.application(), headers=LOCAL)
    operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    assert {operation.path for operation in operations} >= {"/livez", "/readyz", "/metrics", "/v1/policy", "/v1/decide"}
    for operation in operations:
        # What takes nothing can be given nothing wrong.
        for mode in GenerationMode if operation.body else [GenerationMode.POSITIVE]:
            _answers_as_documented(operation, mode)


def _answers_as_documented(operation, mode):
    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case):
        case.call_and_validate(headers=LOCAL, excluded_checks=LENIENT)

    check()
