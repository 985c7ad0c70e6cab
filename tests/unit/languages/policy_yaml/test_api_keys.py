import pytest

from extauthz.model.provider import ApiKey
from tests.policies import ROUTE, codes, parse, policy_set

HASH = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4


def text(header: str = "", may_assert: str = "all") -> str:
    return f"""\
version: 1
providers: {{machines: {{api_keys: {{file: keys.yaml{header}}}, may_assert: {may_assert}}}}}
roles: {{reader: {{}}, admin: {{}}}}
{ROUTE}"""


def keys(content: str) -> dict[str, str | bytes]:
    return {"keys.yaml": content}


def test_keys_are_read_from_their_file():
    """Hashes in lower case; the header has a default."""
    content = f"- {{sha256: {HASH.upper()}, subject: bot, roles: [reader], groups: [g], scopes: [s]}}\n"
    (provider,) = policy_set(text(), keys(content)).api_key_providers
    assert (provider.name, provider.header) == ("machines", "x-api-key")
    assert provider.keys == (ApiKey(HASH, "bot", ("reader",), ("g",), ("s",)),)
    assert parse(text(), keys(content)).references == ("keys.yaml",)


def test_the_header_is_a_name():
    """In lower case."""
    content = f"- {{sha256: {HASH}, subject: bot}}\n"
    assert policy_set(text(", header: X-Key"), keys(content)).api_key_providers[0].header == "x-key"
    assert codes(text(", header: 'x key'"), keys(content)) == ["EAZ206"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", ["EAZ109"]),
        ("[]", ["EAZ204"]),
        ("{}", ["EAZ203"]),
        ("- {}", ["EAZ202", "EAZ202"]),
        (f"- {{sha256: {HASH[1:]}, subject: a}}", ["EAZ206"]),
        (f"- {{sha256: {HASH}, subject: a, role: b}}", ["EAZ201"]),
        (f"- {{sha256: {HASH}, subject: a, roles: [ghost]}}", ["EAZ301"]),
        (f"- {{sha256: {HASH}, subject: a}}\n- {{sha256: {HASH.upper()}, subject: b}}", ["EAZ405"]),
        (f"- {{sha256: {HASH}, subject: '${{X}}'}}", ["EAZ211"]),
        ("- [", ["EAZ102"]),
    ],
)
def test_what_is_no_key_is_refused(content, found):
    """With places in the file of the keys."""
    assert codes(text(), keys(content)) == found


def test_keys_hold_what_their_provider_may_assert():
    """What is beyond is dropped, with a warning."""
    content = f"- {{sha256: {HASH}, subject: a, roles: [reader, admin], groups: [g]}}\n"
    parsed = parse(text(may_assert="{roles: [reader]}"), keys(content))
    (provider,) = parsed.policy_set.api_key_providers
    assert provider.keys == (ApiKey(HASH, "a", ("reader",)),)
    assert [warning.code for warning in parsed.warnings] == ["EAZ904", "EAZ904"]


def test_a_key_has_one_holder_in_all_files():
    """Whichever provider would be asked first."""
    two = text().replace("providers: {", "providers: {others: {api_keys: {file: more.yaml}, may_assert: all}, ")
    files: dict[str, str | bytes] = {
        "keys.yaml": f"- {{sha256: {HASH}, subject: a}}\n",
        "more.yaml": f"- {{sha256: {HASH}, subject: a}}\n- {{sha256: {OTHER}, subject: b}}\n",
    }
    assert codes(two, files) == ["EAZ405"]


def test_keys_and_tokens_do_not_share_a_header():
    """A token would be looked up as a key, or a key verified as a token."""
    jwt = "corp: {issuer: i, audiences: [a], algorithms: [RS256], jwks: {uri: 'https://i.example'}, may_assert: all}, "
    shared = text(", header: Authorization").replace("providers: {", "providers: {" + jwt)
    assert codes(shared, keys(f"- {{sha256: {HASH}, subject: a}}\n")) == ["EAZ406"]
