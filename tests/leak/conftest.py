"""Fixtures of the search for card data: everything that is logged."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import CapturingLoggerFactory

from processor.log import configure_logging


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[list[Any]]:
    """Log as a worker does, every level of every library, and keep what is written."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="sqlalchemy")
    factory = CapturingLoggerFactory()
    configure_logging(level=logging.DEBUG)
    structlog.configure(**{**structlog.get_config(), "logger_factory": factory, "cache_logger_on_first_use": False})
    yield factory.logger.calls
    configure_logging()
