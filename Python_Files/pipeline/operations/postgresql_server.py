"""PostgreSQL as a cluster of the project's own: its creation, its configuration, its command line."""

from __future__ import annotations

import ipaddress
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from pipeline import backup
from pipeline.errors import PipelineError
from pipeline.operations import files
from pipeline.operations.places import Installed
from pipeline.settings import Settings

_INCLUDES = """
# The project's own settings; both files are beside this one.
include_if_exists = 'pipeline.conf'    # generated from .env at every start
include_if_exists = 'archiving.conf'   # where the WAL goes, generated as well
"""


def directory(settings: Settings) -> Path:
    return settings.data / "postgresql"


def programs_for(settings: Settings, programs: Installed) -> Path:
    """The directory of the server programs that fit the data: its own major version, else the newest.

    Raises PipelineError when the version that made the data is not installed any more.
    """
    version_file = directory(settings) / "PG_VERSION"
    if not version_file.exists():
        return programs.postgresql
    version = version_file.read_text(encoding="ascii").strip()
    fitting = programs.postgresql.parent.parent / version / "bin"
    if not (fitting / "postgres").exists():
        raise PipelineError(
            f"the data was made by PostgreSQL {version}, which is not installed",
            detail=f"the newest one installed is in {programs.postgresql}",
            hint=f"Install postgresql-{version}, or restore a dump of the data into a new DATA_DIR.",
        )
    return fitting


def is_made(settings: Settings) -> bool:
    return (directory(settings) / "PG_VERSION").exists()


def make(settings: Settings, programs: Installed) -> None:
    """Run initdb. A directory half made is never taken for a cluster.

    Raises PipelineError when initdb fails, or when what a lost cluster has left is in its place.
    """
    place = directory(settings)
    if place.is_dir() and any(place.iterdir()):
        raise PipelineError(
            "PostgreSQL's data directory holds something that is no cluster",
            detail=f"{place} has no PG_VERSION, but {min(entry.name for entry in place.iterdir())!r}",
            hint="Move that directory away, so that a new one can be made; or bring back what it was.",
        )
    unfinished = settings.data / "postgresql.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    password = settings.run / "initdb.password"
    files.write(password, settings.postgres_password + "\n")
    try:
        done = subprocess.run(
            [
                str(programs.postgresql / "initdb"),
                *("-D", str(unfinished), "--username=postgres", f"--pwfile={password}"),
                *("--auth=scram-sha-256", "--data-checksums", "--encoding=UTF8", "--locale=C.UTF-8"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        password.unlink(missing_ok=True)
    if done.returncode != 0:
        raise PipelineError("PostgreSQL's cluster cannot be made", detail=done.stderr.strip()[-500:])
    with (unfinished / "postgresql.conf").open("a", encoding="utf-8") as stream:
        stream.write(_INCLUDES)
    unfinished.rename(directory(settings))


def configuration(settings: Settings) -> str:
    """What is in pipeline.conf."""
    values = {
        "port": str(settings.postgres_port),
        "listen_addresses": _quoted(settings.postgres_host),
        "unix_socket_directories": _quoted(str(settings.run)),
        "unix_socket_permissions": "0700",
        "max_connections": "100",
        "shared_buffers": "128MB",
        "wal_level": "replica",
        "password_encryption": "'scram-sha-256'",
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
        "log_line_prefix": "'%m [%p] %q%u@%d '",
        # The supervisor reads what the server says and rotates the files.
        "logging_collector": "off",
        "log_destination": "'stderr'",
        # A client that was killed does not keep its locks for hours.
        "tcp_keepalives_idle": "30",
        "cluster_name": "'randomuser-pipeline'",
    }
    return "# Generated from .env at every start.\n" + "".join(f"{name} = {value}\n" for name, value in values.items())


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def access(settings: Settings) -> str:
    """What is in pg_hba.conf: passwords everywhere, but the user whose process the server is needs none by the socket.

    That user could read the files anyway; so backups need no password file, and a changed password can be set.
    """
    lines = [
        "# Generated at every start.",
        "local  all          postgres               peer map=pipeline",
        "local  replication  postgres               peer map=pipeline",
        "local  all          all                    scram-sha-256",
        "host   all          all      127.0.0.1/32  scram-sha-256",
        "host   all          all      ::1/128       scram-sha-256",
    ]
    if not _is_loopback(settings.postgres_host):
        lines.append("host   all          all      samenet       scram-sha-256")
    return "\n".join(lines) + "\n"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def configure(settings: Settings) -> None:
    """Write PostgreSQL's files from the settings."""
    place = directory(settings)
    files.write_if_changed(place / "pipeline.conf", configuration(settings))
    backup.write_configuration(settings)
    files.write_if_changed(place / "archiving.conf", backup.archiving_conf(settings))
    files.write_if_changed(place / "pg_hba.conf", access(settings))
    user = pwd.getpwuid(os.getuid()).pw_name
    files.write_if_changed(place / "pg_ident.conf", f'# Generated at every start.\npipeline  "{user}"  postgres\n')


def command(settings: Settings, programs: Installed) -> list[str]:
    return [str(programs_for(settings, programs) / "postgres"), "-D", str(directory(settings))]


def set_password(settings: Settings, psql: Path) -> None:
    """Give the superuser the password of ``.env``, through the socket. Raises PipelineError when that fails."""
    _, socket = backup.cluster(settings)
    done = subprocess.run(
        [
            *(str(psql), "-X", "-q", "-v", "ON_ERROR_STOP=1"),
            *("-h", str(socket), "-p", str(settings.postgres_port), "-U", "postgres", "-d", "postgres"),
        ],
        input="SET log_min_error_statement = panic;\n\\getenv password NEW_PASSWORD\n"
        "ALTER ROLE postgres PASSWORD :'password';\n",
        env={"PATH": os.defpath, "NEW_PASSWORD": settings.postgres_password},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise PipelineError("the superuser's password cannot be set", detail=done.stderr.strip()[-300:])
