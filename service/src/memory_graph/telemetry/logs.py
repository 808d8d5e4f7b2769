"""JSON log lines (contract §8), for the service's own code and for every library that uses `logging`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

SERVICE = "memory-graph"
LEVELS = ("debug", "info", "warning", "error", "critical")

_CONTEXT_KEYS = ("trace_id", "span_id", "tenant_id", "event_id")
_WITHHELD = frozenset(
    {
        "api_key",
        "apikey",
        "authorization",
        "content",
        "cookie",
        "credentials",
        "key_material",
        "parameters",
        "passwd",
        "password",
        "private_key",
        "prompt",
        "response",
        "result",
        "secret",
        "template_text",
        "text",
        "token",
        "variable_values",
    }
)
_WITHHELD_ENDINGS = ("_api_key", "_password", "_secret", "_token", "_content")
_MASK = "[withheld]"


def configure_logging(level: str, stream: TextIO) -> None:
    """Sends every log line of this process to `stream`, one JSON object a line. Repeatable.

    level: one of LEVELS, in any case. Handlers are set on the root logger directly: `logging.config.dictConfig` takes
    the logging lock while grpc's threads log, and the two have dead-locked.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.contextvars.merge_contextvars, structlog.stdlib.add_log_level, _add_logger],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.EventRenamer("message"),
                withhold,
                _arrange,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def withhold(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Masks values whose key says that they are content or a secret, at any depth of mappings."""
    return {key: _MASK if _is_withheld(key) else _masked(value) for key, value in event.items()}


def _masked(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _MASK if _is_withheld(str(key)) else _masked(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(inner) for inner in value]
    return value


def _is_withheld(key: str) -> bool:
    name = key.lower().replace("-", "_")
    return name in _WITHHELD or name.endswith(_WITHHELD_ENDINGS)


def _add_logger(logger: logging.Logger, _name: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    event["logger"] = record.name if isinstance(record, logging.LogRecord) else logger.name
    return event


def _arrange(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """The contract's keys first and always there, null where nothing is known."""
    stamped = structlog.processors.TimeStamper(fmt="iso", utc=True)(None, "", {})
    head: EventDict = {
        "timestamp": stamped["timestamp"],
        "level": event.pop("level", "info"),
        "service": SERVICE,
    }
    head.update((key, event.pop(key, None)) for key in _CONTEXT_KEYS)
    head["message"] = event.pop("message", "")
    return {**head, **event}
