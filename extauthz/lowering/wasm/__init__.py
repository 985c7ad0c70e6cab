"""A policy set as a WebAssembly module that Envoy runs (proxy-wasm 0.2.1), assembled here, by Python alone.

`runtime` is the part that every module shares: ordinary functions of a small part of Python (`language.py`), which has
no loop but `for ... in range(...)` and no recursion, so that nothing a request holds keeps a module from ending. The
rest is made of a policy set: tables (`data.py`) and one function for each route and kind of caller (`functions.py`).

The same law as natively: what is not the authorizer's answer on every request is not there. A condition that cannot be
known is neither true nor false nor an error but *left* to the authorizer, and so is the request unless the rest decides
it whatever that condition is.
"""
