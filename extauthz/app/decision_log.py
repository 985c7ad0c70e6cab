"""The decision log as the settings want it: in this process, or gathered from workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from extauthz.errors import EnvironmentUnfitError
from extauthz.server.log_collector import LogCollector
from extauthz.server.messages import DecisionLogSettings
from extauthz.settings import Settings
from extauthz.telemetry.decision_log import DecisionLog, Sampling, SubjectForm
from extauthz.telemetry.logging import Logger
from extauthz.telemetry.otlp_sink import OtlpSink
from extauthz.telemetry.sink import DescriptorSink, FileSink, Rotation, Sink

_STDOUT: Final = 1


def open_decision_log(settings: Settings, logger: Logger) -> DecisionLog | None:
    """The log of answers given in this process; None when none is wanted.

    Raises:
        ConfigurationError: it cannot be sent as the environment says.
        EnvironmentUnfitError: it cannot be written.
    """
    form = decision_log_form(settings)
    if form is None:
        return None
    return DecisionLog(
        open_sink(settings),
        subject=form.subject,
        key=form.key,
        clock=time.time,
        on_failure=report_log_failure(logger),
        sampling=form.sampling,
    )


def open_collector(settings: Settings, logger: Logger) -> LogCollector | None:
    """What gathers the lines of workers; None when none are wanted.

    Raises:
        ConfigurationError: they cannot be sent as the environment says.
        EnvironmentUnfitError: they cannot be written.
    """
    if settings.decision_log == "off":
        return None
    return LogCollector(open_sink(settings), on_failure=report_log_failure(logger))


def decision_log_form(settings: Settings) -> DecisionLogSettings | None:
    """How lines are written, and which; None when none are."""
    if settings.decision_log == "off":
        return None
    return DecisionLogSettings(
        SubjectForm(settings.decision_log_subject),
        settings.decision_log_secret,
        Sampling(settings.decision_log_sample_allow, settings.decision_log_sample_deny),
    )


def report_log_failure(logger: Logger) -> Callable[[OSError], None]:
    """Says in the service's own log that the decision log fails."""

    def report(error: OSError) -> None:
        logger.error("decision_log_failed", problem=error.strerror, note="decisions go on; lost lines are counted")

    return report


def open_sink(settings: Settings) -> Sink:
    """Where lines go, when they are wanted.

    Raises:
        ConfigurationError: they cannot be sent as the environment says.
        EnvironmentUnfitError: they cannot be written.
    """
    where, max_bytes = settings.decision_log, settings.decision_log_max_bytes
    if where == "stdout":
        return DescriptorSink(_STDOUT)
    if where == "otlp":
        return OtlpSink()
    try:
        return FileSink(where, None if max_bytes is None else Rotation(max_bytes, settings.decision_log_keep))
    except OSError as error:
        raise EnvironmentUnfitError(
            f"--decision-log {where}: {error.strerror}: name a file that can be written"
        ) from None
