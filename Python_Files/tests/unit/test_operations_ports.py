"""A port that somebody else has is told, with its setting and who has it, before anything starts."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from pipeline import settings
from pipeline.errors import PipelineError
from pipeline.operations import ports

SECRETS = dict.fromkeys(settings.secret_names(), "s" * 32)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_free_port_is_no_fault(free: int) -> None:
    ports.check(settings.parse({**SECRETS, "NOCODB_PORT": str(free)}), ["nocodb"])


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("NOCODB_PORT", "nocodb"),
        ("KAFKA_CONTROLLER_PORT", "kafka"),
        ("POSTGRES_PORT", "postgresql"),
        ("API_PORT", "api"),
    ],
)
def test_a_taken_port_is_named_with_its_setting_and_the_process(taken: int, name: str, part: str) -> None:
    with pytest.raises(PipelineError) as caught:
        ports.check(settings.parse({**SECRETS, name: str(taken)}), [part])
    assert f"{name}={taken} is in use" in caught.value.detail
    assert str(os.getpid()) in caught.value.detail


def test_a_port_taken_on_all_addresses_is_found_too() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104 - that is the case
        port = server.getsockname()[1]
        with pytest.raises(PipelineError, match="a port is not free"):
            ports.check(settings.parse({**SECRETS, "NOCODB_PORT": str(port)}), ["nocodb"])


def test_a_connection_that_has_just_ended_is_no_fault(free: int) -> None:
    with socket.create_server(("127.0.0.1", free)) as server:
        client = socket.create_connection(("127.0.0.1", free))
        ours, _ = server.accept()
        ours.close()  # the side that closes first waits with its port
        client.close()
    ports.check(settings.parse({**SECRETS, "NOCODB_PORT": str(free)}), ["nocodb"])


def test_an_address_that_is_not_of_this_machine_is_told(free: int) -> None:
    given = {**SECRETS, "NOCODB_HOST": "192.0.2.1", "NOCODB_PORT": str(free)}  # an address for documentation
    with pytest.raises(PipelineError) as caught:
        ports.check(settings.parse(given), ["nocodb"])
    assert "NOCODB_HOST=192.0.2.1" in caught.value.detail
