import pickle

from extauthz.model.engine import OpaEngine


def test_it_travels_to_worker_processes():
    """As a plain value."""
    engine = OpaEngine("https://opa.example", "shop/allow", token_file="token")
    assert pickle.loads(pickle.dumps(engine)) == engine
