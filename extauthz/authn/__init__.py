"""Authentication: from the credential a request presents to the `Principal` it proves.

Pure: every function that depends on time takes `now`, epoch seconds, and missing key sets are returned as a need
instead of fetched. PyJWT verifies signatures and reads keys (`token`, `keyset`); everything that a JWT claims beyond
its signature is checked here, because the rules are ours and the clock is the caller's.
"""
