"""Policy sets into Envoy configuration: pure functions from the IR to JSON-able values.

Output is deterministic (one policy set, one text) and JSON, never YAML: a YAML writer leaves `y`, `n` and `on` bare,
which Envoy reads as booleans. Nothing here reads a file or opens a connection.
"""
