import io
import json

from extauthz.telemetry.failures import EngineReporter, FailureReporter
from extauthz.telemetry.logging import LogFormat, LogLevel, build_logger


def raised(error):
    try:
        raise error
    except type(error) as caught:
        return caught


def raised_elsewhere(error):
    try:
        raise error
    except type(error) as caught:
        return caught


def test_each_kind_of_failure_is_logged_once():
    """A request that provokes it a thousand times fills no disk."""
    stream = io.StringIO()
    report = FailureReporter(build_logger(stream, log_format=LogFormat.JSON, level=LogLevel.INFO))
    for _ in range(1000):
        report(raised(ValueError("a")))
        report(raised(KeyError("a")))
        report(raised_elsewhere(ValueError("a")))
    report(ValueError("never raised"))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == 4
    assert "Traceback" in lines[0]["exception"]


def test_the_number_of_kinds_is_bounded():
    """Classes may be made at run time."""
    stream = io.StringIO()
    report = FailureReporter(build_logger(stream, log_format=LogFormat.JSON, level=LogLevel.INFO))
    for number in range(1000):
        report(type(f"Error{number}", (Exception,), {})())
    assert len(stream.getvalue().splitlines()) == 100


def test_an_engine_that_fails_and_recovers_is_told():
    """Both as warnings: somebody may be looking for the end of it."""
    stream = io.StringIO()
    report = EngineReporter(build_logger(stream, log_format=LogFormat.JSON, level=LogLevel.WARNING))
    report.trouble("cannot connect")
    report.recovery()
    first, second = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (first["event"], first["problem"], second["event"]) == (
        "engine_trouble",
        "cannot connect",
        "engine_recovered",
    )
