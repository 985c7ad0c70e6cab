"""The part of a module that does not depend on the policy set, in the language of `extauthz.lowering.wasm.language`.

Each function is ordinary Python to read and to check, and nothing but integers to run: addresses, lengths, octets. A
*value* is the address of a record: its kind, then two fields (`layout.py`). A function whose name begins with
`proxy_on_` is called by Envoy, one that nothing here calls by what is made of the policy set.
"""
