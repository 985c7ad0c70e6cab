"""Keys that live as long as one command: tests mint tokens with them, and the set under test trusts them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from extauthz.demo.issuer import SigningKey, generate_key, sign_with_secret
from extauthz.model.access import JsonValue
from extauthz.model.policy import PolicySet
from extauthz.model.provider import Provider, SharedSecret, StaticKeys


class ThrowAwayIssuer:
    """Signs for every provider of one set."""

    def __init__(self, policy_set: PolicySet) -> None:
        made: dict[str, SigningKey] = {}
        self._keys: dict[str, SigningKey] = {}
        for provider in policy_set.providers:
            if not isinstance(provider.keys, SharedSecret):
                # RSA keys take a tenth of a second and more to make, so they are where a provider takes nothing else.
                algorithm = min(provider.algorithms, key=lambda name: name.startswith(("RS", "PS")))
                if algorithm not in made:
                    made[algorithm] = generate_key(algorithm)
                self._keys[provider.name] = made[algorithm]
        self.trusted = replace(policy_set, providers=tuple(self._trusting(p) for p in policy_set.providers))
        """The set, whose providers trust these keys besides those that the policy itself holds; none is fetched."""

    def sign(self, provider: Provider, claims: Mapping[str, JsonValue]) -> str:
        """A JWT of the provider with these claims and no others."""
        if isinstance(provider.keys, SharedSecret):
            return sign_with_secret(provider.keys.secret, provider.algorithms[0], claims)
        return self._keys[provider.name].sign(claims)

    def _trusting(self, provider: Provider) -> Provider:
        if isinstance(provider.keys, SharedSecret):
            return provider
        listed = provider.keys.jwks.get("keys") if isinstance(provider.keys, StaticKeys) else None
        own = list(listed) if isinstance(listed, list) else []
        jwks: dict[str, JsonValue] = {"keys": [*own, self._keys[provider.name].public_jwk]}
        return replace(provider, keys=StaticKeys(jwks, "made for the test"))
