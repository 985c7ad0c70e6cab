"""Discovery: configuration to connected Envoys while they run (Envoy's xDS protocol, v3).

    catalogue -> server -> stream -> subscription -> resource

`subscription` and `stream` are the protocol, pure: requests in, responses out. `server` speaks it over gRPC and knows
who asks. What is served is the business of whoever brings a catalogue.
"""
