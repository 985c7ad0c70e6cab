from extauthz.sources.circuit import FAILURES_TO_OPEN, FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS, Circuit


def opened(now=0.0):
    circuit = Circuit()
    for _ in range(FAILURES_TO_OPEN - 1):
        assert circuit.lets_in(now)
        assert not circuit.failed(now)
    assert not circuit.is_open
    assert circuit.failed(now)
    return circuit


def test_it_opens_after_failures_in_a_row():
    """An answer in between starts the count again."""
    circuit = Circuit()
    for _ in range(3):
        for _ in range(FAILURES_TO_OPEN - 1):
            assert not circuit.failed(0.0)
        assert not circuit.succeeded()
    assert circuit.lets_in(0.0)
    assert opened().is_open


def test_while_it_is_open_nobody_is_let_in():
    """Until the pause is over: then one, whoever comes first."""
    circuit = opened()
    assert not circuit.lets_in(FIRST_PAUSE_SECONDS - 0.01)
    assert circuit.lets_in(FIRST_PAUSE_SECONDS)
    assert not circuit.lets_in(FIRST_PAUSE_SECONDS)
    assert circuit.is_open


def test_a_probe_that_is_answered_closes_it():
    """For everybody, and with nothing held against it."""
    circuit = opened()
    assert circuit.lets_in(1.0)
    assert circuit.succeeded()
    assert not circuit.is_open
    assert circuit.lets_in(1.0)
    assert circuit.lets_in(1.0)
    assert not circuit.failed(1.0)


def test_a_probe_that_fails_makes_the_pause_longer():
    """Each doubles it, up to a bound."""
    circuit, now, pause = opened(), FIRST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS
    for _ in range(8):
        assert circuit.lets_in(now)
        assert not circuit.failed(now)
        pause = min(2 * pause, LAST_PAUSE_SECONDS)
        assert not circuit.lets_in(now + pause - 0.01)
        now += pause
    assert pause == LAST_PAUSE_SECONDS


def test_a_late_failure_is_no_failed_probe():
    """Whoever was let in before it opened tells nothing new, and makes no pause longer."""
    circuit = opened()
    assert not circuit.failed(0.1)
    assert circuit.lets_in(FIRST_PAUSE_SECONDS)


def test_a_probe_that_goes_away_leaves_its_place_to_the_next():
    """It would stay open for ever otherwise."""
    circuit = opened()
    assert circuit.lets_in(1.0)
    circuit.abandoned()
    assert circuit.lets_in(1.0)
