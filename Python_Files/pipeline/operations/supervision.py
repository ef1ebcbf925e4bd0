"""The supervisor: its configuration, starting it, and asking it, over a socket that only its user can open."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import psutil
from supervisor.xmlrpc import Faults, SupervisorTransport

from pipeline import settings as all_settings
from pipeline.errors import PipelineError
from pipeline.operations import files
from pipeline.operations.parts import Part
from pipeline.settings import ROOT, Settings

# What a part gets of the environment of the shell that starts it: language, time zone, ways to the internet, settings.
_INHERITED = frozenset(
    "LANG LANGUAGE LC_ALL LC_CTYPE TZ TMPDIR HOME USER LOGNAME JAVA_HOME PYTHONDONTWRITEBYTECODE "
    "HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy https_proxy no_proxy all_proxy "
    "SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE NODE_EXTRA_CA_CERTS".split()
)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# The environment variable by which a process is known as one of this instance's.
MARK = "PIPELINE_DATA"


@dataclass(frozen=True)
class Process:
    """A process as the supervisor knows it. ``state`` is one of its words: RUNNING, STARTING, BACKOFF, FATAL, ..."""

    name: str
    part: str
    state: str
    pid: int
    seconds: int
    detail: str


def config_file(settings: Settings) -> Path:
    return settings.run / "supervisord.conf"


def pid_file(settings: Settings) -> Path:
    return settings.run / "supervisord.pid"


def _socket(settings: Settings) -> Path:
    return settings.run / "supervisor.sock"


def configuration(settings: Settings, parts: Iterable[Part]) -> str:
    """What is in supervisord.conf. There is no secret in it."""
    rotation = f"{settings.log_file_mb}MB"
    sections = [
        "; Generated from .env at every start.",
        "[unix_http_server]",
        f"file={_literal(_socket(settings))}",
        "chmod=0700",
        "",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        "",
        "[supervisord]",
        f"pidfile={_literal(pid_file(settings))}",
        f"logfile={_literal(settings.logs / 'supervisord.log')}",
        f"logfile_maxbytes={rotation}",
        f"logfile_backups={settings.log_files}",
        f"childlogdir={_literal(settings.logs)}",
        f"directory={_literal(ROOT)}",
        "umask=077",
    ]
    for part in parts:
        log = settings.logs / (f"{part.name}.log" if part.most == 1 else f"{part.name}-%(process_num)d.log")
        sections += [
            "",
            f"[program:{part.name}]",
            f"command={_literal(shlex.join(part.command))}",
            f"process_name={part.name}" + ("" if part.most == 1 else "-%(process_num)d"),
            f"numprocs={part.most}",
            "numprocs_start=1",
            f"priority={part.priority}",
            # Project_Start.sh starts the parts, each when what it needs is ready.
            "autostart=false",
            "autorestart=true",
            # A part that ends within so many seconds is tried again after 1, 2, 3, ... seconds, and never given up.
            "startsecs=5",
            "startretries=100000",
            f"stopsignal={part.stop_signal}",
            f"stopwaitsecs={part.stop_seconds}",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile={_literal(log).replace('%%(process_num)d', '%(process_num)d')}",
            f"stdout_logfile_maxbytes={rotation}",
            f"stdout_logfile_backups={settings.log_files}",
        ]
    return "\n".join(sections) + "\n"


def _literal(value: object) -> str:
    """A percent sign begins an expansion in the supervisor's configuration."""
    return str(value).replace("%", "%%")


def environment(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of the supervisor and so of every part."""
    taken = _INHERITED | frozenset(all_settings.defaults())
    return {
        **{name: value for name, value in environ.items() if name in taken or name.startswith("PIPELINE_")},
        "PATH": _PATH,
        "PYTHONPATH": str(ROOT / "Python_Files"),
        "PYTHONUNBUFFERED": "1",
        MARK: str(settings.data.resolve()),
    }


def configure(settings: Settings, parts: Iterable[Part]) -> None:
    files.write_if_changed(config_file(settings), configuration(settings, parts))


def daemon(settings: Settings) -> psutil.Process | None:
    """The supervisor's own process, if it lives."""
    try:
        process = psutil.Process(int(pid_file(settings).read_text(encoding="ascii")))
        if str(config_file(settings)) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
            return process
    except (OSError, ValueError, psutil.Error):
        pass
    return None


def start_daemon(settings: Settings) -> None:
    """Start the supervisor in the background and wait until it answers. Raises PipelineError when it does not."""
    done = subprocess.run(
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(config_file(settings))],
        cwd=ROOT,
        env=environment(settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise PipelineError("the supervisor does not start", detail=(done.stderr or done.stdout).strip()[-300:])
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(PipelineError):
            Supervisor(settings).processes()
            return
        time.sleep(0.05)
    raise PipelineError("the supervisor does not answer", hint=f"Its log file is {settings.logs / 'supervisord.log'}.")


class Supervisor:
    """Questions and orders to the supervisor that runs. Each raises PipelineError when it does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._address = f"unix://{_socket(settings)}"

    def _ask(self, method: str, *arguments: Any) -> Any:
        transport = SupervisorTransport(None, None, serverurl=self._address)
        try:
            return getattr(ServerProxy("http://127.0.0.1", transport=transport).supervisor, method)(*arguments)
        except (OSError, HTTPException) as error:
            raise PipelineError("the supervisor does not answer", detail=str(error)) from None
        finally:
            transport.close()

    def processes(self) -> list[Process]:
        """All processes, the ones that do not run included."""
        return [
            Process(
                name=one["name"],
                part=one["group"],
                state=one["statename"],
                pid=one["pid"],
                seconds=max(0, one["now"] - one["start"]) if one["pid"] else 0,
                detail=one["description"],
            )
            for one in self._ask("getAllProcessInfo")
        ]

    def start(self, part: str, process: str) -> None:
        """Start one process; no harm when it runs already. That it runs is to be asked for afterwards."""
        try:
            self._ask("startProcess", f"{part}:{process}", False)
        except Fault as fault:
            if fault.faultCode != Faults.ALREADY_STARTED:
                raise PipelineError(f"{process} cannot be started", detail=fault.faultString) from None

    def stop(self, part: str, process: str) -> None:
        """Tell one process to end, and return at once; no harm when it does not run."""
        try:
            self._ask("stopProcess", f"{part}:{process}", False)
        except Fault as fault:
            if fault.faultCode != Faults.NOT_RUNNING:
                raise PipelineError(f"{process} cannot be stopped", detail=fault.faultString) from None

    def shut_down(self) -> None:
        """Tell the supervisor to end all parts and itself, and return at once."""
        self._ask("shutdown")
