"""Everything around the authorizer on one machine: real Envoy, an issuer, an upstream, and a table of requests.

Development and tests only. Whatever this room starts listens on loopback and ends with the block that started it.
"""
