"""What the service says about itself: its state, its metrics, its log, and the decision log.

INVARIANT: nothing here holds a path, query, header, token or body of a request, and nothing here can fail a decision.
"""
