"""All built-ins in one table, and the names of those that are refused."""

from __future__ import annotations

from extauthz.languages.rego.builtins.certificate_chains import CHAINS
from extauthz.languages.rego.builtins.certificates import CERTIFICATES
from extauthz.languages.rego.builtins.collections import COLLECTIONS
from extauthz.languages.rego.builtins.crypto import CRYPTO
from extauthz.languages.rego.builtins.encoding import ENCODINGS
from extauthz.languages.rego.builtins.json_paths import JSON_PATHS
from extauthz.languages.rego.builtins.jwt import JWT
from extauthz.languages.rego.builtins.network import NETWORK
from extauthz.languages.rego.builtins.numbers import NUMBERS
from extauthz.languages.rego.builtins.regexes import REGEXES
from extauthz.languages.rego.builtins.registry import Builtin
from extauthz.languages.rego.builtins.schema import SCHEMA
from extauthz.languages.rego.builtins.strings import STRINGS
from extauthz.languages.rego.builtins.times import TIMES
from extauthz.languages.rego.builtins.types import TYPES
from extauthz.languages.rego.builtins.units import UNITS
from extauthz.languages.rego.builtins.yaml_text import YAML

BUILTINS: dict[str, Builtin] = {
    name: builtin
    for family in (
        CERTIFICATES,
        CHAINS,
        COLLECTIONS,
        CRYPTO,
        ENCODINGS,
        JSON_PATHS,
        JWT,
        NETWORK,
        NUMBERS,
        REGEXES,
        SCHEMA,
        STRINGS,
        TIMES,
        TYPES,
        UNITS,
        YAML,
    )
    for name, builtin in family.builtins.items()
}
"""Every built-in that can be called, by OPA's name."""

REFUSED: dict[str, str] = {
    **dict.fromkeys(("http.send", "net.lookup_ip_addr"), "a decision never asks the network"),
    **dict.fromkeys(
        (
            "graphql.is_valid",
            "graphql.parse",
            "graphql.parse_and_verify",
            "graphql.parse_query",
            "graphql.parse_schema",
            "graphql.schema_is_valid",
        ),
        "GraphQL is not read here",
    ),
    "providers.aws.sign_req": "requests of other services are not signed here",
    "rego.parse_module": "policies do not read policies here",
    "strings.render_template": "templates of Go are not rendered here; use sprintf",
    **dict.fromkeys(("uri.parse", "uri.is_valid"), "URIs are not taken apart here"),
    "internal.test_case": "tests run elsewhere",
}
"""OPA's built-ins that no policy can use here, and why."""
