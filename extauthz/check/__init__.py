"""Envoy's `envoy.service.auth.v3.Authorization/Check`, message for message.

`request` reads a CheckRequest as an access request, `response` writes a decision as a CheckResponse, `answer` goes from
bytes to bytes. The only room, with lowering, that knows Envoy's protobufs; no I/O, no gRPC.
"""
