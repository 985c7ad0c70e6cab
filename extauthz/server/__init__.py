"""The transports: what carries Envoy's calls to the answerer and its replies back.

Nothing here reads a policy. INVARIANT: whatever a request can provoke is answered with a denial; a transport error,
which a proxy may be configured to let through, is left to callers that are no proxy.
"""
