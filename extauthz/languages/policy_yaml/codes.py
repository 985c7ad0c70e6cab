"""The table of diagnostic codes. A code is never given a second meaning, and one that is retired is never used again.

The hundreds say what kind of thing is wrong: 1 the bytes and their YAML, 2 the shape (keys and types), 3 names,
4 providers, roles and bindings, 5 routes, 6 rules, 7 upstream headers, 8 CEL conditions, 9 what may be served but
deserves a second look (always warnings).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Code(StrEnum):
    """A diagnostic's code; `meaning` is its one line in the documentation."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        """A member is written as its code and its meaning."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    ENCODING = "EAZ101", "the file is not UTF-8 text, or holds characters that hide what it says"
    SYNTAX = "EAZ102", "the file is not well-formed YAML"
    DUPLICATE_KEY = "EAZ103", "a mapping has the same key twice"
    KEY_NOT_TEXT = "EAZ104", "a mapping key is not text"
    TAG = "EAZ105", "the file uses YAML tags"
    ALIAS = "EAZ106", "an alias has no anchor, or aliases expand to too much"
    NESTING = "EAZ107", "values are nested too deeply"
    SEVERAL_DOCUMENTS = "EAZ108", "the file holds more than one YAML document"
    EMPTY_FILE = "EAZ109", "the file holds no value"
    NUMBER = "EAZ110", "a number is too large to be read exactly"
    FILE_UNREADABLE = "EAZ111", "a file that the policy names cannot be read"
    CAPTURE = "EAZ112", "a file that a test names is no captured request"

    UNKNOWN_KEY = "EAZ201", "a key that is not part of the language"
    MISSING_KEY = "EAZ202", "a key that is required here is missing"
    WRONG_TYPE = "EAZ203", "a value of the wrong type"
    EMPTY = "EAZ204", "a null or an empty list, which could be read as nothing or as everything"
    NOT_A_CHOICE = "EAZ205", "a word that is not one of those allowed here"
    MALFORMED = "EAZ206", "a text that does not have the form it needs here"
    EXCLUSIVE_KEYS = "EAZ207", "keys that cannot stand together, or none of several of which one is needed"
    VERSION = "EAZ208", "a version of the language that this program does not know"
    MERGE_CONFLICT = "EAZ209", "files of one set say different things"
    VALUE_UNRESOLVED = "EAZ210", "a ${NAME} without a value"
    VALUE_MISPLACED = "EAZ211", "a ${NAME} outside of providers and hosts"
    # EAZ212 is retired: there is no part of the language any more that is refused because it cannot be enforced.
    CONTRADICTION = "EAZ213", "an expectation that no decision can meet"

    UNKNOWN_ROLE = "EAZ301", "a role that is not declared"
    UNKNOWN_PROVIDER = "EAZ302", "a provider that is not declared, or does not count on this route"
    DUPLICATE_NAME = "EAZ303", "a name that is given twice"
    ROLE_CYCLE = "EAZ304", "a role that inherits from itself"
    VARIABLE_CYCLE = "EAZ305", "a variable that reads itself"
    UNKNOWN_VARIABLE = "EAZ306", "a variable that is not declared"
    UNKNOWN_PATH_VARIABLE = "EAZ307", "a path variable that a route does not bind"
    UNKNOWN_IN_TEST = "EAZ308", "a test that names what neither its file nor the set has"

    DUPLICATE_ISSUER = "EAZ401", "two providers with the same issuer"
    ALGORITHM = "EAZ402", "signature algorithms that are unknown, unsafe, or do not fit the keys"
    KEY_SET = "EAZ403", "keys that cannot be used: no JWK Set, an unsafe address, an empty secret"
    MAY_ASSERT = "EAZ404", "several providers, and one of them does not say what it may assert"
    API_KEY = "EAZ405", "an API key that is malformed or given twice"
    CREDENTIAL_LOCATION = "EAZ406", "two providers read different credentials from one place"
    BINDING = "EAZ407", "a binding that binds nobody, or everybody"
    PERMISSION = "EAZ408", "a permission with a wildcard where none is allowed"
    IDENTITY_AMBIGUOUS = "EAZ409", "an identity without its provider where there are several"
    WORKLOAD = "EAZ410", "a workload that is no SPIFFE ID of a trusted domain"
    NETWORK = "EAZ411", "a text that is no IP network"

    NO_ROUTES = "EAZ501", "a set without routes"
    HOST = "EAZ502", "a text that is no host"
    PATH = "EAZ503", "a text that is no path pattern"
    UNREACHABLE = "EAZ504", "a route that no request can reach"
    OVERLAP = "EAZ505", "two routes that own the same requests"
    NO_ALLOW = "EAZ506", "a route that nothing can allow"
    PUBLIC = "EAZ507", "a public route with conditions on who may pass"
    NO_PROVIDER = "EAZ508", "a route that wants a credential in a set without providers"
    METHOD = "EAZ509", "a text that is no method"
    ORIGIN = "EAZ510", "a text that is no web origin"

    NO_CONDITION = "EAZ601", "a rule without a condition"
    ANYONE_ON_REQUIRED = "EAZ602", "anyone on a route that requires authentication"
    NEVER_SATISFIED = "EAZ603", "an allow rule that can never be satisfied"

    HEADER_NAME = "EAZ701", "a header that a policy must not set or remove"
    HEADER_TEMPLATE = "EAZ702", "a header template that cannot be rendered"
    HEADER_CREDENTIAL = "EAZ703", "an upstream header that carries callers' credentials"
    OWNED_HEADER_READ = "EAZ704", "a condition on a header that the policy itself sets"

    CEL = "EAZ801", "a CEL condition that does not compile"
    BINDING_READS_ROLES = "EAZ802", "a binding's condition that reads the roles it helps to decide"

    AUDIENCES_ANY = "EAZ901", "a provider whose tokens are accepted whomever they are meant for"
    UNGUARDED_DENY = "EAZ902", "a deny that denies whoever lacks what it reads"
    NOT_GRANTED = "EAZ903", "a permission that no role grants"
    KEY_BEYOND_MAY_ASSERT = "EAZ904", "an API key with roles, groups or scopes that its provider may not assert"
    BINDING_NEVER_HOLDS = "EAZ905", "a binding whose condition reads a path variable that no route binds"
    REQUIRE_NEVER_HOLDS = "EAZ906", "a require that a route without authentication can never meet"

    REDUNDANT_ALLOW = "EAZ907", "an allow rule beside one that allows everybody (--lint)"
    ROLE_NEVER_GRANTED = "EAZ908", "a role that nobody can have (--lint)"
    PERMISSION_NEVER_USED = "EAZ909", "a permission that no rule asks for (--lint)"
    WEAKER_REST = "EAZ910", "a ** that asks for less than a literal path whose paths below it owns (--lint)"
    HEADERS_OF_NOBODY = "EAZ911", "anyone may pass where upstream headers name the caller (--lint)"
    SPOOFABLE_HEADER = "EAZ912", "a condition that believes a header that any caller can send (--lint)"
    SCOPED_ROLE_ASSERTED = "EAZ913", "a role that a binding scopes and a credential may assert without (--lint)"
    WILDCARD_PERMISSION = "EAZ914", "a role with every permission (--lint)"
