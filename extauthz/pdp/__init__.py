"""The policy decision point: pure, synchronous, and without an opinion on where requests come from.

`canonical` reads paths and hosts in one way, `routes` finds the route that owns a request, `roles` says which roles a
caller holds, `evaluate` turns rules into verdicts, `combine` is the law that turns verdicts into a decision, `upstream`
renders the headers that an allowed request carries on.
"""
