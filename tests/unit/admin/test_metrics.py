from extauthz.model.decision import Decision, Effect, Reason


def test_metrics_are_prometheus_text(listener):
    """With the type that scrapers expect, once."""
    listener.counter.observe(Decision(Effect.DENY, (), (), Reason.NO_ROUTE), 0.001)
    reply = listener.request("GET", "/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=")
    assert reply.headers["content-type"].count("charset") == 1
    assert 'extauthz_decisions_total{effect="deny",reason="no_route",route=""} 1.0' in reply.text
