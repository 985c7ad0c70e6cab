import pytest
from envoy.service.auth.v3 import external_auth_pb2

from extauthz.check.capture import message_from_json
from extauthz.errors import RequestMalformedError


def test_both_spellings_of_names_are_read():
    """The JSON mapping's, and the one of the protobuf file."""
    for name in ("headerMap", "header_map"):
        text = f'{{"attributes": {{"request": {{"http": {{"{name}": {{"headers": [{{"key": "a"}}]}}}}}}}}}}'
        message = external_auth_pb2.CheckRequest.FromString(message_from_json(text.encode()))
        assert message.attributes.request.http.header_map.headers[0].key == "a"


@pytest.mark.parametrize("text", [b"", b"7", b"\xff", b'{"nothing": 1}', b"[" * 50_000, b'{"attributes": ' * 50_000])
def test_what_is_no_check_request_is_refused_in_one_line(text):
    """However deep it is."""
    with pytest.raises(RequestMalformedError) as caught:
        message_from_json(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
