"""The settings, handed out: each service gets a file with what it needs, readable by its own user alone.

``.env`` belongs to a user of the host and is closed to all others, so no service but this one-shot can read it; and
what is in a file is not in the environment that ``docker inspect`` shows.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import msgspec

from pipeline import backup
from pipeline import settings as all_settings
from pipeline.containers import brokers
from pipeline.operations import env_file, kafka_server, nocodb_server
from pipeline.settings import Settings

HANDED = Path("/handed")

# The users that the services run as. PostgreSQL's and Kafka's are fixed by their images.
PIPELINE_UID = 10001
POSTGRES_UID = 999
ROOT_UID = 0

# Inside, every service has its name as its host and the usual port; the ports in .env are the host's.
INSIDE = {
    "DATA_DIR": "/var/lib/pipeline",
    "BACKUP_DIR": "/var/lib/backup",
    "KAFKA_HOST": "kafka",
    "KAFKA_PORT": "9092",
    "KAFKA_CONTROLLER_PORT": "9093",
    "POSTGRES_HOST": "postgres",
    "POSTGRES_PORT": "5432",
    "NOCODB_HOST": "nocodb",
    "NOCODB_PORT": "8080",
    "API_ADDRESS": "api",
    "API_PORT": "8000",
    "PIPELINE_MODE": "docker",
}

_PRELOAD = """\
// Puts NocoDB's settings into the environment of the process that loads this.
Object.assign(process.env, require('./environment.json'));
"""


def inside(settings: Settings) -> Settings:
    """The settings as they hold in the containers' network."""
    outside = settings.nocodb_host if settings.nocodb_host not in ("0.0.0.0", "::", "127.0.0.1") else "localhost"  # noqa: S104
    host = f"[{outside}]" if ":" in outside else outside
    given = {name.lower(): int(value) if name.endswith("_PORT") else value for name, value in INSIDE.items()}
    given["backup_dir_2"] = "/var/lib/backup-2" if settings.backup_dir_2 else ""
    given["nocodb_public_url"] = settings.nocodb_public_url or f"http://{host}:{settings.nocodb_port}"
    return msgspec.structs.replace(settings, **given)


def kafka_properties(settings: Settings, node: int = 1) -> dict[str, str]:
    """The native server.properties, with what a container needs otherwise."""
    values = kafka_server.properties(settings, node)
    # The image formats the storage with its own tool, which wants to be told the voters.
    del values["controller.quorum.bootstrap.servers"]
    voters = (
        f"{number}@{kafka_server.host_of(settings, number)}:{settings.kafka_controller_port}"
        for number in range(1, settings.kafka_brokers + 1)
    )
    return values | {
        "controller.quorum.voters": ",".join(voters),
        "listeners": f"PLAINTEXT://:{settings.kafka_port},CONTROLLER://:{settings.kafka_controller_port}",
        "log.dirs": "/var/lib/kafka/data",
    }


def nocodb_environment(settings: Settings) -> dict[str, str]:
    """The native environment, less what the image knows better."""
    own = {"HOST", "PORT", "NODE_ENV", "NC_TOOL_DIR"}
    return {name: value for name, value in nocodb_server.environment(settings).items() if name not in own}


def _text(settings: Settings) -> str:
    values = {name: getattr(settings, name.lower()) for name in all_settings.defaults()}
    return "".join(
        f"{name}={env_file.quote(name, str(value).lower() if isinstance(value, bool) else str(value))}\n"
        for name, value in values.items()
    )


def _hand(path: Path, text: str, uid: int, mode: int = 0o400) -> None:
    """Write a file of ``uid``, whole or not at all. Its folder is closed to others when the file is."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
        os.fchmod(stream.fileno(), mode)
        os.fchown(stream.fileno(), uid, uid)
    Path(temporary).replace(path)
    folder = path.parent.stat()
    folder_mode = 0o755 if mode & 0o004 else 0o700
    if folder.st_uid != uid or folder.st_mode & 0o777 != folder_mode:
        if folder.st_uid == os.geteuid():
            path.parent.chmod(folder_mode)
        os.chown(path.parent, uid, uid)


def hand_out(settings: Settings, handed: Path = HANDED) -> None:
    """Write what every service needs below ``handed``, which has a folder for each; make the backups' places.

    Raises PipelineError, before anything is written, when Kafka's data is of another number of brokers; also when the
    directory of the backups cannot be used.
    """
    original = all_settings.env_file().read_text(encoding="utf-8")
    settings = inside(settings)
    brokers.check(settings, handed)
    _hand(handed / "pipeline" / "env", _text(settings), PIPELINE_UID)
    _hand(handed / "postgres" / "env", _text(settings), POSTGRES_UID)
    _hand(handed / "postgres" / "env.original", original, POSTGRES_UID)
    _hand(handed / "postgres" / "password", settings.postgres_password, POSTGRES_UID)
    _backup_places(settings)
    for node in range(1, settings.kafka_brokers + 1):
        properties = "".join(f"{name}={value}\n" for name, value in kafka_properties(settings, node).items())
        # No secret is in it.
        _hand(handed / kafka_server.host_of(settings, node) / "server.properties", properties, ROOT_UID, 0o644)
    _hand(handed / "nocodb" / "environment.json", json.dumps(nocodb_environment(settings)), ROOT_UID)
    _hand(handed / "nocodb" / "environment.cjs", _PRELOAD, ROOT_UID)


def _backup_places(settings: Settings) -> None:
    """pgBackRest's places and configuration, and the directory of the backups, for PostgreSQL's user."""
    backup.make_places(settings, (POSTGRES_UID, POSTGRES_UID))
    backup.write_configuration(settings)
    for folder, directories, names in os.walk(settings.data):
        for path in (Path(folder), *(Path(folder) / name for name in directories + names)):
            if path.lstat().st_uid != POSTGRES_UID:
                os.chown(path, POSTGRES_UID, POSTGRES_UID, follow_symlinks=False)
