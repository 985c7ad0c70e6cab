"""EAE303."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.envoy_audit.manager import Manager, get, text
from extauthz.envoy_audit.rule import Finding, Rule
from extauthz.model.source import Severity


def _check(manager: Manager) -> Iterator[Finding]:
    place = get(manager.node, "forward_client_cert_details")
    if place is not None and text(manager.node, "forward_client_cert_details") == "ALWAYS_FORWARD_ONLY":
        hint = "use SANITIZE_SET, or FORWARD_ONLY behind mutual TLS"
        yield Finding(place, "clients write x-forwarded-client-cert themselves", hint)


RULE = Rule(
    code="EAE303",
    title="a client's word for its certificate is forwarded",
    severity=Severity.ERROR,
    why="""\
ALWAYS_FORWARD_ONLY passes x-forwarded-client-cert on as it came, without a certificate too: who reads it
takes anybody for whomever they name.""",
    wrong="forward_client_cert_details: ALWAYS_FORWARD_ONLY",
    right="forward_client_cert_details: SANITIZE_SET",
    check=_check,
)
