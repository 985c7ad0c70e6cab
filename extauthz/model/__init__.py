"""The nouns of extauthz, frozen and without I/O.

What a request is (`access`), what a policy set is (`policy`), what was decided (`decision`) and where a piece of
policy text stands (`source`). Nothing here knows Envoy, YAML, CEL or JWT; every other room imports this one.
"""
