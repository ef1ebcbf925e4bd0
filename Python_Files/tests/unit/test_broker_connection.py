"""While Kafka is away the client is made again and again, for days: none of them leaves anything behind."""

from __future__ import annotations

import gc
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka import errors as kafka_errors

from pipeline.broker.connection import Administrator, Consumer


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address that is taken, so that nobody else listens there meanwhile, and refuses every connection."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{one.getsockname()[1]}"


@pytest.mark.parametrize("make", [Administrator, Consumer])
def test_a_client_that_cannot_be_made_leaves_no_thread_and_no_socket(
    make: Callable[..., object], nobody: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "kafka")  # what is kept of a log keeps what it tells of

    def tried() -> tuple[int, int]:
        with pytest.raises(kafka_errors.KafkaTimeoutError):
            make(bootstrap_servers=[nobody], bootstrap_timeout_ms=300)
        gc.collect()  # the sockets that were refused go with their cycle
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    assert tried() == tried() == tried()
