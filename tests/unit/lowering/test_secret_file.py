from extauthz.lowering.secret_file import authority_secret, documents, own_secret


def test_a_secret_is_named_alike_where_it_is_asked_for_and_where_it_stands():
    """Envoy takes the resource of that name from that file."""
    secret = own_secret("/secrets", "own", "/tls/own.crt", "/tls/own.key")
    assert secret.reference["name"] == "own"
    assert secret.reference["sds_config"]["path_config_source"] == {"path": "/secrets/own.json"}
    (resource,) = secret.document["resources"]
    assert resource["name"] == "own"
    assert resource["tls_certificate"] == {
        "certificate_chain": {"filename": "/tls/own.crt"},
        "private_key": {"filename": "/tls/own.key"},
    }


def test_an_authority_is_believed_for_its_file():
    """Names to compare are the configuration's, not the file's."""
    (resource,) = authority_secret("/secrets", "ca", "/tls/ca.pem").document["resources"]
    assert resource["validation_context"] == {"trusted_ca": {"filename": "/tls/ca.pem"}}


def test_only_secrets_have_files():
    """What is not there needs none."""
    secret = authority_secret("/secrets", "ca", "/tls/ca.pem")
    assert documents(None, secret, None) == {"/secrets/ca.json": secret.document}
