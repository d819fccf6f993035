"""Structured logs: one JSON object per line on standard error."""

from __future__ import annotations

import logging
import sys
from enum import StrEnum

import structlog
from structlog.typing import EventDict, Processor


class Level(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def configure(process: str, level: Level = Level.INFO) -> None:
    """Every line carries UTC time, level and the process's name."""
    structlog.configure(
        processors=[
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.add_log_level,
            named(process),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # Standard error as it is when a line is written: whoever redirects it for a while closes its own.
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def named(process: str) -> Processor:
    """Adds the process's name; structlog's context variables do not reach other threads."""

    def add(_logger: object, _method: str, event: EventDict) -> EventDict:
        return {"process": process, **event}

    return add
