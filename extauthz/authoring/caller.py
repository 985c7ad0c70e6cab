"""Callers of tests: a token to be minted, claims taken as verified, or the principal itself."""

from __future__ import annotations

from collections.abc import Mapping

from extauthz.authn.claims import principal_of
from extauthz.authoring.language import PrincipalText
from extauthz.authoring.suite import ANONYMOUS_NAME, AssumedPrincipal, Caller, MintedToken
from extauthz.errors import ClaimInvalidError
from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.nodes import AnyNode, Scalar
from extauthz.languages.policy_yaml.report import Report, quoted
from extauthz.languages.policy_yaml.shapes import Entry, texts
from extauthz.model.access import JsonValue, Principal
from extauthz.model.policy import PolicySet
from extauthz.model.provider import Provider

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class CallerReader:
    """Reads the callers of one test file against the set under test."""

    def __init__(self, policy_set: PolicySet, default_provider: Scalar | None, report: Report) -> None:
        self._policy_set = policy_set
        self._default_provider = default_provider
        self._report = report
        self._declared: dict[str, Caller] = {}
        self._unreadable: set[str] = set()
        """Names whose callers were reported already."""

    def declare(self, entry: Entry[PrincipalText]) -> None:
        if entry.name == ANONYMOUS_NAME:
            message = f"{quoted(ANONYMOUS_NAME)} is the caller without a credential"
            self._report.error(Code.DUPLICATE_NAME, entry.key, message, "give this one another name")
            return
        caller = self.read(entry.value, entry.name) if entry.value is not None else None
        if caller is None:
            self._unreadable.add(entry.name)
        self._declared[entry.name] = caller

    def named(self, name: Scalar) -> tuple[Caller, bool]:
        """The caller, and whether there is one."""
        if name.text == ANONYMOUS_NAME:
            return None, True
        if name.text not in self._declared:
            self._report.unknown(Code.UNKNOWN_IN_TEST, name, "principal", [*self._declared, ANONYMOUS_NAME])
            return None, False
        return self._declared[name.text], name.text not in self._unreadable

    def read(self, written: PrincipalText, name: str | None = None) -> Caller:
        """None after reporting; a declared caller's name is the subject that is not written."""
        direct = [key for key in ("subject", "roles", "groups", "scopes") if written.wrote(key)]
        forms = [key for key in ("token", "claims") if written.wrote(key)] + direct
        if not forms:
            message = "the principal is nobody: write `token`, `claims`, or `subject`"
            self._report.error(Code.MISSING_KEY, written.owner, message, "a caller without a credential is `anonymous`")
            return None
        if written.wrote("token") and len(forms) > 1:
            message = "a minted token says who the caller is: nothing else can"
            self._report.error(Code.EXCLUSIVE_KEYS, written.place(forms[1]), message)
            return None
        for key in ("expires_in", "tampered"):
            if written.wrote(key) and not written.wrote("token"):
                self._report.error(Code.EXCLUSIVE_KEYS, written.place(key), f"{quoted(key)} is about a `token`")
                return None
        return self._direct(written, name) if direct else self._with_claims(written, name)

    def _with_claims(self, written: PrincipalText, name: str | None) -> Caller:
        provider = self._provider(written)
        if provider is None:
            return None
        if written.token is not None:
            lifetime = _seconds(written.expires_in) if written.expires_in is not None else 3600.0
            tampered = written.tampered is not None
            return MintedToken(provider, object_of(written.token), name, lifetime, tampered=tampered)
        if written.claims is None:
            return None
        try:
            claims = {**({"sub": name} if name is not None else {}), **object_of(written.claims)}
            return AssumedPrincipal(principal_of(provider, claims, self._policy_set.roles))
        except ClaimInvalidError as error:
            hint = "write `token` to test what an invalid claim comes to"
            self._report.error(Code.UNKNOWN_IN_TEST, written.place("claims"), str(error), hint)
            return None

    def _direct(self, written: PrincipalText, name: str | None) -> Caller:
        provider = self._provider_name(written)
        subject = written.subject.text if written.subject is not None else name
        for role in written.roles or ():
            if role.text not in self._policy_set.roles:
                self._report.unknown(Code.UNKNOWN_ROLE, role, "role", self._policy_set.roles)
        if provider is None or (written.wrote("subject") and written.subject is None):
            return None
        if subject is None:
            message = "an authenticated caller has a subject"
            self._report.error(Code.MISSING_KEY, written.owner, message, "write `subject: alice`")
            return None
        return AssumedPrincipal(
            Principal(
                authenticated=True,
                subject=subject,
                provider=provider,
                roles=texts(written.roles),
                groups=texts(written.groups),
                scopes=texts(written.scopes),
                claims=object_of(written.claims) if written.claims is not None else {},
            )
        )

    def _provider_name(self, written: PrincipalText) -> str | None:
        """The provider that vouches for the caller; None after reporting."""
        names = [p.name for p in self._policy_set.providers] + [p.name for p in self._policy_set.api_key_providers]
        named = written.provider or self._default_provider
        if named is None and len(names) == 1:
            return names[0]
        if named is None:
            message = "nobody vouches for the caller: `provider` is missing"
            hint = f"there are {', '.join(names)}" if names else "the set has no providers: callers are `anonymous`"
            self._report.error(Code.MISSING_KEY, written.owner, message, hint)
        elif named.text not in names:
            self._report.unknown(Code.UNKNOWN_PROVIDER, named, "provider", names)
        else:
            return named.text
        return None

    def _provider(self, written: PrincipalText) -> Provider | None:
        """The issuer of the caller's claims; None after reporting."""
        name = self._provider_name(written)
        if name is None:
            return None
        provider = next((p for p in self._policy_set.providers if p.name == name), None)
        if provider is None:
            message = f"{quoted(name)} knows callers by API keys: they have no claims"
            hint = "send the key as a header of the request, or write `subject` and `roles`"
            self._report.error(Code.UNKNOWN_PROVIDER, written.owner, message, hint)
        return provider


def object_of(written: tuple[AnyNode, JsonValue]) -> Mapping[str, JsonValue]:
    """What `AnyJson` read."""
    value = written[1]
    if not isinstance(value, Mapping):
        raise TypeError("the shape reads nothing but mappings")
    return value


def _seconds(written: Scalar) -> float:
    return float(int(written.text[:-1]) * _UNIT_SECONDS[written.text[-1]])
