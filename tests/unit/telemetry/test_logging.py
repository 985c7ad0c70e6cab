import io
import json

import pytest

from extauthz.telemetry.logging import LogFormat, LogLevel, build_logger, redact_text

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


def lines(log, *, log_format=LogFormat.JSON, level=LogLevel.INFO):
    stream = io.StringIO()
    log(build_logger(stream, log_format=log_format, level=level))
    return stream.getvalue()


def test_json_is_one_object_a_line():
    """With level and time."""
    text = lines(lambda logger: logger.warning("happened", problem="a\nb", count=1))
    event = json.loads(text)
    assert text.count("\n") == 1
    assert (event["event"], event["level"], event["problem"], event["count"]) == ("happened", "warning", "a\nb", 1)
    assert event["timestamp"].endswith("Z")


def test_the_console_form_is_plain_text():
    """Without colours where there is no terminal."""
    text = lines(lambda logger: logger.info("happened", why="because"), log_format=LogFormat.CONSOLE)
    assert "happened" in text
    assert "why=because" in text
    assert "\x1b" not in text


def test_no_terminal_means_json():
    """`auto` decides by the stream."""
    assert json.loads(lines(lambda logger: logger.info("happened"), log_format=LogFormat.AUTO))


def test_less_severe_events_are_left_out():
    """By the level."""
    assert lines(lambda logger: logger.info("happened"), level=LogLevel.WARNING) == ""


@pytest.mark.parametrize(
    "values",
    [
        {"problem": f"could not verify {TOKEN}"},
        {"detail": {"nested": [f"Bearer {TOKEN}"]}},
        {"authorization": "whatever"},
        {"client_secret": "whatever"},
        {"cookies": ["whatever"]},
        {"url": "https://user:whatever@issuer.example/"},
        {"header": "Basic d2hhdGV2ZXI6d2hhdGV2ZXI="},
        {"value": ValueError(f"bad {TOKEN}")},
    ],
)
def test_secrets_are_blotted_out(values):
    """By their name and by their looks, at any depth."""
    text = lines(lambda logger: logger.info("happened", **values))
    assert "[redacted]" in text
    for secret in (TOKEN, "whatever", "d2hhdGV2ZXI6d2hhdGV2ZXI="):
        assert secret not in text


@pytest.mark.parametrize("log_format", [LogFormat.JSON, LogFormat.CONSOLE])
def test_tokens_in_tracebacks_are_blotted_out(log_format):
    """Messages of exceptions hold what somebody put there."""

    def fail():
        raise ValueError(f"bad token {TOKEN}")

    def log(logger):
        try:
            fail()
        except ValueError:
            logger.exception("happened")

    text = lines(log, log_format=log_format)
    assert "ValueError: bad token [redacted]" in text
    assert TOKEN not in text


def test_ordinary_text_is_left_alone():
    """A version, a host, a path with dots."""
    for text in ("revision 1.2.3", "https://issuer.example/jwks.json", "order.allow.owner"):
        assert redact_text(text) == text


def test_a_log_that_nobody_reads_stops_nothing():
    """The other end of the pipe is closed."""

    class Broken(io.StringIO):
        def write(self, _text):
            raise BrokenPipeError

    logger = build_logger(Broken(), log_format=LogFormat.JSON, level=LogLevel.INFO)
    logger.error("happened")
    closed = io.StringIO()
    closed_logger = build_logger(closed, log_format=LogFormat.JSON, level=LogLevel.INFO)
    closed.close()
    closed_logger.error("happened")
