import pytest
from google.rpc import code_pb2

from extauthz.server.call import CallError, GrpcStatus


@pytest.mark.parametrize("status", list(GrpcStatus))
def test_the_statuses_are_grpcs(status):
    """Their numbers are those of google.rpc.Code."""
    assert code_pb2.Code.Value(status.name) == status


def test_a_call_that_breaks_the_protocol_says_how():
    """By a status and a message for its caller."""
    error = CallError(GrpcStatus.INTERNAL, "two messages")
    assert (error.status, str(error)) == (GrpcStatus.INTERNAL, "two messages")
