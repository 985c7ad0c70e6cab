"""Names of workloads: SPIFFE IDs (the SPIFFE ID standard, section 2), in the form that Istio gives them."""

from __future__ import annotations

import re
from typing import Final

_IDENTITY: Final = re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/[A-Za-z0-9._-]+)+")
_TRUST_DOMAIN: Final = re.compile(r"[a-z0-9._-]{1,255}")
_MAX_BYTES: Final = 2048  # the standard's own limit


def check_identity(text: str) -> str:
    """A workload's SPIFFE ID. Raises ValueError."""
    segments = text.split("/")[3:]
    if not _IDENTITY.fullmatch(text) or len(text) > _MAX_BYTES or {".", ".."}.intersection(segments):
        raise ValueError(f"'{text}' is no identity: write spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT")
    return text


def check_trust_domain(text: str) -> str:
    """The part of a SPIFFE ID that one authority vouches for. Raises ValueError."""
    if not _TRUST_DOMAIN.fullmatch(text):
        raise ValueError(f"'{text}' is no trust domain: write it as cluster.local")
    return text


def workload_identity(trust_domain: str, namespace: str, service_account: str) -> str:
    """The identity of what runs under a service account."""
    return f"spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}"


def control_identity(trust_domain: str) -> str:
    """The identity of the control plane itself."""
    return f"spiffe://{trust_domain}/extauthz/control"
