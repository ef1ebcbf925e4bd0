"""The ports that the servers will listen on: whether they are free, and who has them if not."""

from __future__ import annotations

import errno
import socket

import psutil

from pipeline.errors import PipelineError
from pipeline.settings import Settings

# Which part listens where: the settings of its host and of its port.
OF_PART = {
    "kafka": (("KAFKA_HOST", "KAFKA_PORT"), ("KAFKA_HOST", "KAFKA_CONTROLLER_PORT")),
    "postgresql": (("POSTGRES_HOST", "POSTGRES_PORT"),),
    "nocodb": (("NOCODB_HOST", "NOCODB_PORT"),),
    "api": (("API_ADDRESS", "API_PORT"),),
}


def check(settings: Settings, parts: list[str]) -> None:
    """Raises PipelineError that names every port that cannot be had, its setting, and the process that has it."""
    faults = []
    for part in parts:
        for host_name, port_name in OF_PART.get(part, ()):
            host, port = getattr(settings, host_name.lower()), getattr(settings, port_name.lower())
            fault = _fault(host, port)
            if fault == "in use":
                faults.append(f"{port_name}={port} is in use{_by_whom(port)}")
            elif fault:
                faults.append(f"{port_name}={port} cannot be had on {host_name}={host}: {fault}")
    if faults:
        raise PipelineError(
            "a port is not free" if len(faults) == 1 else "ports are not free",
            detail="; ".join(faults),
            hint="End that program, or choose another port in .env.",
        )


def _fault(host: str, port: int) -> str:
    """Why nobody could listen there now; empty when it is free."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as attempt:
            # Connections that have just ended are no hindrance; the servers ask for the same.
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            attempt.bind(address)
            attempt.listen(1)
    except OSError as error:
        return "in use" if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
    return ""


def _by_whom(port: int) -> str:
    """The process that listens there, as far as this user may know it."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,) and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.Error, OSError):
        pass
    return " by another program"
