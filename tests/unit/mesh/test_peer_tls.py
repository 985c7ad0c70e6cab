from __future__ import annotations

from pathlib import Path

from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2
from google.protobuf import json_format

from extauthz.mesh.peer_tls import ControlledCertificates, FileCertificates, accepting, calling

ORDERS = "spiffe://cluster.local/ns/shop/sa/orders"


def parse(socket, message):
    """The typed configuration, as Envoy's own schema has it."""
    config = {key: value for key, value in socket["typed_config"].items() if key != "@type"}
    return json_format.ParseDict(config, message)


def test_peers_need_an_identity_of_the_trust_domain():
    """A certificate is required, of the domain to the slash, and is looked at in every handshake."""
    context = parse(accepting(ControlledCertificates(), "cluster.local"), tls_pb2.DownstreamTlsContext())
    assert context.require_client_certificate.value
    common = context.common_tls_context
    (name,) = common.combined_validation_context.default_validation_context.match_typed_subject_alt_names
    assert name.matcher.prefix == "spiffe://cluster.local/"
    assert common.combined_validation_context.validation_context_sds_secret_config.name == "authority"
    assert context.disable_stateless_session_resumption
    assert context.disable_stateful_session_resumption


def test_an_instance_must_show_one_of_the_identities():
    """Exactly; and an earlier session proves nothing."""
    context = parse(calling(ControlledCertificates(), [ORDERS]), tls_pb2.UpstreamTlsContext())
    (name,) = (
        context.common_tls_context.combined_validation_context.default_validation_context.match_typed_subject_alt_names
    )
    assert (name.matcher.exact, context.max_session_keys.value) == (ORDERS, 0)
    assert not context.common_tls_context.alpn_protocols


def test_files_are_watched():
    """By their folder, whose entries are swapped; Envoy is told by a file of its own for each secret."""
    source = FileCertificates(Path("/certs"), Path("/run"))
    assert [each.name for each in source.needed] == ["cert-chain.pem", "key.pem", "root-cert.pem"]
    documents = source.documents()
    for secret in ("own", "authority"):
        path = source.config_source(secret)["path_config_source"]["path"]
        (found,) = documents[Path(path)]["resources"]
        message = json_format.ParseDict({k: v for k, v in found.items() if k != "@type"}, secret_pb2.Secret())
        holder = message.tls_certificate if secret == "own" else message.validation_context
        assert holder.watched_directory.path == "/certs"
