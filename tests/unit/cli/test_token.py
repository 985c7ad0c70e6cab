import json

import jwt
import pytest

from extauthz.cli import EXIT_ENVIRONMENT, EXIT_WRONG_INPUT, run


@pytest.fixture
def key_file(tmp_path, capsys):
    """A private JWK Set with a key of each algorithm, made by the command."""
    file = tmp_path / "keys.json"
    assert run(["token", "keys", "--new", str(file)]) == 0
    capsys.readouterr()
    return file


def issue(key_file, *arguments):
    """Runs `token issue` with the two flags it always needs."""
    return run(["token", "issue", "--key", str(key_file), "--issuer", "https://issuer.example", *arguments])


def claims_of(token, key_file, capsys, *, verify_exp=True):
    """The claims of a token that verifies, now, with what `token keys FILE` publishes."""
    assert run(["token", "keys", str(key_file)]) == 0
    keys = jwt.PyJWKSet.from_dict(json.loads(capsys.readouterr().out))
    key = keys[jwt.get_unverified_header(token)["kid"]]
    algorithms = ["ES256", "RS256"]
    return jwt.decode(token, key, algorithms, options={"verify_exp": verify_exp, "verify_aud": False})


def test_a_token_verifies_with_the_published_keys(key_file, capsys):
    """The two commands fit together, and the flags are the registered claims."""
    arguments = ["--subject", "alice", "--audience", "shop", "--expires", "15m", "--claims", '{"roles": ["clerk"]}']
    assert issue(key_file, *arguments) == 0
    claims = claims_of(capsys.readouterr().out.strip(), key_file, capsys)
    assert claims["exp"] - claims["iat"] == 900
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("https://issuer.example", "alice", "shop")
    assert claims["roles"] == ["clerk"]


def test_claims_win_and_what_is_not_given_is_absent(key_file, capsys):
    """A token can be wrong on purpose: expired, of another issuer, without a subject."""
    assert issue(key_file, "--expires=-1h", "--claims", '{"iss": "https://other"}') == 0
    claims = claims_of(capsys.readouterr().out.strip(), key_file, capsys, verify_exp=False)
    assert claims["exp"] < claims["iat"]
    assert claims["iss"] == "https://other"
    assert not {"sub", "aud"} & set(claims)


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_the_algorithm_picks_the_key(key_file, capsys, algorithm):
    """A set may hold keys of several algorithms."""
    assert issue(key_file, "--algorithm", algorithm) == 0
    assert jwt.get_unverified_header(capsys.readouterr().out.strip())["alg"] == algorithm


def test_private_keys_are_for_their_owner_and_never_replaced(key_file, capsys):
    """Mode 0600, whatever the umask; an existing file may hold keys in use."""
    before = key_file.read_bytes()
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert run(["token", "keys", "--new", str(key_file)]) == EXIT_WRONG_INPUT
    assert "exists" in capsys.readouterr().err
    assert key_file.read_bytes() == before


def test_what_is_printed_is_public(tmp_path, capsys):
    """Standard output goes into policies and tickets."""
    assert run(["token", "keys", "--new", str(tmp_path / "k.json"), "--algorithm", "RS256"]) == 0
    (key,) = json.loads(capsys.readouterr().out)["keys"]
    assert key["alg"] == "RS256"
    assert not {"d", "p", "q", "dp", "dq", "qi"} & set(key)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--expires", "1 hour"], "--expires 1 hour: write a number and a unit"),
        (["--expires", "1"], "--expires 1: write a number and a unit"),
        (["--claims", "[1]"], "--claims: write a JSON object"),
        (["--claims", "{"], "--claims: write a JSON object"),
        (["--algorithm", "HS256"], "has no key for HS256: it has ES256, RS256"),
    ],
)
def test_wrong_flags_are_one_line_each(key_file, capsys, arguments, message):
    """What and what to do, and no token."""
    assert issue(key_file, *arguments) == EXIT_WRONG_INPUT
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_key_files_that_cannot_be_read_are_named(tmp_path, capsys):
    """Absent or binary, the message says how to make one."""
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    for file in (tmp_path / "absent", binary):
        assert issue(file) == EXIT_WRONG_INPUT
        assert f"token keys --new {file}" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["keys.json", "--new", "other.json"]])
def test_keys_are_either_made_or_published(capsys, arguments):
    """One of the two has to be given."""
    assert run(["token", "keys", *arguments]) == EXIT_WRONG_INPUT
    assert "give either FILE" in capsys.readouterr().err


def test_an_algorithm_is_only_for_new_keys(key_file, capsys):
    """Published keys are what they are."""
    assert run(["token", "keys", str(key_file), "--algorithm", "ES256"]) == EXIT_WRONG_INPUT
    assert "--algorithm goes with --new" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_the_environments_fault(tmp_path, capsys):
    """Exit 1, one line."""
    assert run(["token", "keys", "--new", str(tmp_path / "absent" / "keys.json")]) == EXIT_ENVIRONMENT
    assert capsys.readouterr().err.count("\n") == 1
