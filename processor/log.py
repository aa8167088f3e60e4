"""Logging: one JSON object a line on standard error, without local variables of any frame."""

import logging
import sys
import traceback

import structlog


def described(error: BaseException) -> dict[str, object]:
    """Return what a log says of an exception: type, SQLSTATE and place; its text may repeat what a peer sent."""
    driver = getattr(error, "orig", error)
    return {
        "error": type(error).__name__,
        "sqlstate": getattr(driver, "pgcode", None),
        "place": traceback.format_tb(error.__traceback__),
    }


class StandardErrorLogger:
    """Writes each line to whatever standard error is at that moment."""

    def msg(self, message: str) -> None:
        """Write one line at once."""
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()

    debug = info = warning = error = critical = msg


def configure_logging(*, level: int = logging.INFO) -> None:
    """Set structlog up for a server process; tracebacks never show locals, which may hold card data."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: StandardErrorLogger(),
    )
