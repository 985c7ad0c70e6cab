"""The policy author's chair: test, explain, measure and lay out a policy set.

Pure functions over sets and requests: no I/O, no clock. What needs more (files, keys to sign with, how Envoy's messages
read) is lent by the caller as a function. Decisions are made by `extauthz.authorizer` alone; what is said about one is
computed from the same compiled set.
"""
