"""The private listener: probes, metrics, and for this machine alone the policy in force and decisions on demand.

INVARIANT: what may be reachable from other machines (probes, metrics) holds no policy text and no request.
"""
