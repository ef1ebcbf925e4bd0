"""Settings: the environment over the file ``.env`` over the default, each with a name, a unit and a check.

The class below is the one list of settings; ``.env.example`` documents the same list for people, and a test holds
the two together.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec
from dotenv import dotenv_values
from msgspec import Meta

from pipeline.errors import SettingsError

ROOT = Path(__file__).resolve().parents[2]

NATIONALITIES = tuple("AU BR CA CH DE DK ES FI FR GB IE IN IR MX NL NO NZ RS TR UA US".split())

Port = Annotated[int, Meta(ge=1, le=65535, description="a port number from 1 to 65535")]
Secret = Annotated[
    str,
    Meta(
        min_length=16,
        max_length=128,
        pattern=r"^[A-Za-z0-9_-]*$",
        description="16 to 128 letters, digits, '-' and '_'; Project_Initialize.sh generates it",
        extra={"secret": True},
    ),
]
Host = Annotated[str, Meta(pattern=r"^[A-Za-z0-9.:_-]+$", description="a host name or an IP address")]


def _number(least: int, most: int, unit: str) -> Any:
    return Meta(ge=least, le=most, description=f"a whole number of {unit} from {least} to {most}")


Processes = Annotated[int, _number(0, 64, "processes")]

# Beside its heap Java needs room for its code, its threads and its buffers.
KAFKA_BESIDE_HEAP_MB = 384


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings. A field ``results_per_fetch`` is the setting RESULTS_PER_FETCH."""

    # How it runs
    pipeline_mode: Literal["native", "docker", ""] = ""
    run_as_user: Annotated[str, Meta(pattern=r"^[a-z_][a-z0-9_-]{0,31}$", description="a user name")] = "randomuser"
    data_dir: str = "Database/Data"
    compose_project_name: Annotated[
        str,
        Meta(
            # A part of the images' names, whose rule is the narrower one: no separator last, nor two kinds in a row.
            pattern=r"^[a-z0-9]+((_{1,2}|-+)[a-z0-9]+)*$",
            max_length=63,
            description="up to 63 lower-case letters and digits, with '-' or '_' between them",
        ),
    ] = "randomuser-pipeline"

    # The feed
    results_per_fetch: Annotated[int, _number(1, 4000, "people")] = 10
    nationalities: str = ""
    catch_up_minutes: Annotated[int, _number(0, 60, "minutes")] = 5
    api_url: str = "https://randomuser.me/api/1.4/"
    api_connect_timeout: Annotated[int, _number(1, 60, "seconds")] = 5
    api_read_timeout: Annotated[int, _number(1, 60, "seconds")] = 20
    feed_offline: bool = False

    # Kafka
    kafka_host: Host = "127.0.0.1"
    kafka_port: Port = 9092
    kafka_controller_port: Port = 9093
    kafka_heap_mb: Annotated[int, _number(256, 16384, "MiB")] = 512
    kafka_memory_mb: Annotated[int, _number(768, 65536, "MiB")] = 1536
    kafka_brokers: Literal[1, 3] = 1
    kafka_partitions: Annotated[int, _number(1, 64, "partitions")] = 6
    kafka_retention_hours: Annotated[int, _number(1, 87600, "hours")] = 336
    kafka_flush_every_append: bool = True

    # PostgreSQL
    postgres_host: Host = "127.0.0.1"
    postgres_port: Port = 55432
    postgres_password: Secret
    pipeline_db_password: Secret
    nocodb_db_password: Secret
    reader_db_password: Secret
    api_db_password: Secret

    # NocoDB
    nocodb_host: Host = "127.0.0.1"
    nocodb_port: Port = 8080
    nocodb_public_url: str = ""
    nocodb_admin_email: Annotated[str, Meta(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", description="an e-mail address")] = (
        "admin@randomuser.example"
    )
    nocodb_admin_password: Secret
    nocodb_jwt_secret: Secret
    nocodb_encryption_key: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_-]{32}$",
            description="exactly 32 letters, digits, '-' and '_'; Project_Initialize.sh generates it",
            extra={"secret": True},
        ),
    ]

    # The read API and the page
    api_address: Host = "127.0.0.1"
    api_port: Port = 8000
    api_hosts: str = ""
    api_token: Secret

    # The stages
    add_timestamp_processes: Processes = 1
    add_label_processes: Processes = 1
    add_database_postgresql_processes: Processes = 1
    add_database_nocodb_processes: Processes = 1
    batch_records: Annotated[int, _number(1, 10000, "records")] = 500
    watchdog_seconds: Annotated[int, _number(20, 3600, "seconds")] = 60

    # The schedule
    job_minutes: Annotated[int, _number(1, 1440, "minutes")] = 60

    # Backups
    backup_dir: str = "Database/Data/backup"
    backup_dir_2: str = ""
    backup_retention_days: Annotated[int, _number(1, 365, "days")] = 7
    backup_full_hours: Annotated[int, _number(1, 168, "hours")] = 6
    backup_full_wal_mb: Annotated[int, _number(16, 1048576, "MiB")] = 1024

    # Logs
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_file_mb: Annotated[int, _number(1, 1024, "MiB")] = 10
    log_files: Annotated[int, _number(1, 100, "files")] = 5
    disk_warn_mb: Annotated[int, _number(0, 1048576, "MiB")] = 2048

    @property
    def data(self) -> Path:
        """The directory of everything that the project stores."""
        return _under_root(self.data_dir)

    @property
    def backup(self) -> Path:
        return _under_root(self.backup_dir)

    @property
    def backup_2(self) -> Path | None:
        """Where everything is backed up a second time, if anywhere."""
        return _under_root(self.backup_dir_2) if self.backup_dir_2 else None

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def run(self) -> Path:
        """Locks, sockets and small state files of the running processes."""
        return self.data / "run"

    @property
    def bootstrap_servers(self) -> str:
        """Where clients ask for the cluster: all brokers, so that any one of them may be away."""
        hosts = [self.kafka_host, *(f"{self.kafka_host}-{number}" for number in range(2, self.kafka_brokers + 1))]
        return ",".join(f"{host}:{self.kafka_port}" for host in hosts)

    @property
    def nocodb_url(self) -> str:
        """Where the pipeline itself reaches NocoDB."""
        return f"http://{self.nocodb_host}:{self.nocodb_port}"

    @property
    def read_api_url(self) -> str:
        """Where this machine, or the containers' network, reaches the read API and the page."""
        everywhere = self.api_address in ("0.0.0.0", "::")  # noqa: S104 - compared, not listened on
        host = f"[{self.api_address}]" if ":" in self.api_address else self.api_address
        return f"http://{'127.0.0.1' if everywhere else host}:{self.api_port}"

    @property
    def nationality_list(self) -> tuple[str, ...]:
        """The nationalities asked for, upper case; empty means all."""
        return tuple(part.strip().upper() for part in self.nationalities.split(",") if part.strip())

    @property
    def api_host_list(self) -> tuple[str, ...]:
        """Names with a dot by which the read API and the page may be asked, lower case."""
        return tuple(part.strip().lower() for part in self.api_hosts.split(",") if part.strip())


def _under_root(text: str) -> Path:
    path = Path(text).expanduser()
    return path if path.is_absolute() else ROOT / path


def _hints() -> dict[str, Any]:
    return get_type_hints(Settings, include_extras=True)


def _meta(hint: Any) -> Meta | None:
    if get_origin(hint) is Annotated:
        for part in get_args(hint)[1:]:
            if isinstance(part, Meta):
                return part
    return None


def secret_names() -> tuple[str, ...]:
    """The names of the settings that hold a secret, as they stand in ``.env``."""
    return tuple(
        name.upper() for name, hint in _hints().items() if (meta := _meta(hint)) and (meta.extra or {}).get("secret")
    )


def defaults() -> dict[str, Any]:
    """Every setting's name as in ``.env`` and its default; secrets have None."""
    return {
        info.name.upper(): None if info.default is msgspec.NODEFAULT else info.default
        for info in msgspec.structs.fields(Settings)
    }


def _allowed(hint: Any) -> str:
    meta = _meta(hint)
    if meta is not None and meta.description:
        return meta.description
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(repr(value) for value in get_args(hint))
    return {bool: "true or false", int: "a whole number", str: "text"}.get(hint, str(hint))


def _refuse(name: str, value: str, allowed: str, secret: bool) -> str:
    shown = "a value that is not shown because it is secret" if secret else repr(value)
    return f"{name} is {shown}; allowed: {allowed}"


def _check_further(settings: Settings) -> list[str]:
    """What a type cannot say: lists, addresses, and settings that must fit each other."""
    faults = []
    for nationality in settings.nationality_list:
        if nationality not in NATIONALITIES:
            faults.append(
                f"NATIONALITIES has {nationality!r}; allowed: a comma-separated list of {', '.join(NATIONALITIES)}, "
                "or nothing for all (the API would silently ignore the whole list)"
            )
    for host in settings.api_host_list:
        if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+", host):
            faults.append(f"API_HOSTS has {host!r}; allowed: a comma-separated list of names such as a.example.net")
    for name, address in (("API_URL", settings.api_url), ("NOCODB_PUBLIC_URL", settings.nocodb_public_url)):
        if address:
            try:
                parts = urlsplit(address)
                good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
            except ValueError:
                good = False
            if not good:
                faults.append(_refuse(name, address, "an address that begins with http:// or https://", False))
    ports = {
        "KAFKA_PORT": settings.kafka_port,
        "KAFKA_CONTROLLER_PORT": settings.kafka_controller_port,
        "POSTGRES_PORT": settings.postgres_port,
        "NOCODB_PORT": settings.nocodb_port,
        "API_PORT": settings.api_port,
    }
    for name, port in ports.items():
        others = [other for other, its in ports.items() if its == port and other < name]
        if others:
            faults.append(f"{name} and {others[0]} are both {port}; allowed: a different port for each")
    for name in (name for name in Settings.__struct_fields__ if name.endswith("_processes")):
        number = getattr(settings, name)
        if number > settings.kafka_partitions:
            faults.append(
                f"{name.upper()} is {number}; allowed: at most {settings.kafka_partitions}, the number of partitions "
                "(KAFKA_PARTITIONS), for more would have nothing to read"
            )
    if settings.kafka_brokers != 1 and settings.pipeline_mode == "native":
        faults.append(f"KAFKA_BROKERS is {settings.kafka_brokers}; allowed: 1, for only the container way has more")
    if settings.pipeline_mode == "docker" and settings.kafka_memory_mb < settings.kafka_heap_mb + KAFKA_BESIDE_HEAP_MB:
        faults.append(
            f"KAFKA_MEMORY_MB is {settings.kafka_memory_mb}; allowed: at least "
            f"{settings.kafka_heap_mb + KAFKA_BESIDE_HEAP_MB}, which is KAFKA_HEAP_MB and {KAFKA_BESIDE_HEAP_MB} more"
        )
    if settings.backup_2 and (
        settings.backup_2.is_relative_to(settings.backup) or settings.backup.is_relative_to(settings.backup_2)
    ):
        faults.append(
            f"BACKUP_DIR_2 is {settings.backup_dir_2!r}; allowed: nothing, or a directory that is neither BACKUP_DIR "
            "nor in it or around it"
        )
    if settings.kafka_retention_hours < settings.backup_retention_days * 24 + 24:
        faults.append(
            f"KAFKA_RETENTION_HOURS is {settings.kafka_retention_hours}; allowed: at least "
            f"{settings.backup_retention_days * 24 + 24}, a day more than BACKUP_RETENTION_DAYS="
            f"{settings.backup_retention_days}, so that a restored database finds in Kafka what it lost"
        )
    return faults


def parse(values: Mapping[str, str], *, where: str = "the settings") -> Settings:
    """Check the given values (names in upper case) and return the settings.

    Names that are no setting are ignored here, because the environment is full of them.
    Raises SettingsError that lists every fault: name, value, what is allowed.
    """
    known: dict[str, Any] = {}
    faults: list[str] = []
    hints = _hints()
    for info in msgspec.structs.fields(Settings):
        name, hint = info.name.upper(), hints[info.name]
        meta = _meta(hint)
        secret = bool(meta and (meta.extra or {}).get("secret"))
        if name not in values:
            if info.default is msgspec.NODEFAULT:
                faults.append(f"{name} is not set; allowed: {_allowed(hint)}")
            continue
        try:
            known[info.name] = msgspec.convert(values[name].strip(), hint, strict=False)
        except msgspec.ValidationError:
            faults.append(_refuse(name, values[name], _allowed(hint), secret))
    if not faults:
        settings = Settings(**known)
        faults = _check_further(settings)
        if not faults:
            return settings
    raise SettingsError(
        f"{len(faults)} of {where} cannot be used" if len(faults) > 1 else f"one of {where} cannot be used",
        detail="; ".join(faults),
        hint="Correct it in the file .env (each setting is explained in .env.example), then try again.",
    )


def env_file(environ: Mapping[str, str] = os.environ) -> Path:
    """The file of the settings: ``.env`` in the project's folder, or the one that PIPELINE_ENV_FILE names."""
    return Path(environ.get("PIPELINE_ENV_FILE") or ROOT / ".env")


def original_file(environ: Mapping[str, str] = os.environ) -> Path:
    """The file that a person wrote. In a container the settings come from another one, which was made of it."""
    return Path(environ.get("PIPELINE_ENV_ORIGINAL") or env_file(environ))


def read_file(path: Path) -> dict[str, str]:
    """The values of a ``.env`` file, as they stand there. Raises SettingsError when it cannot be read."""
    try:
        with path.open(encoding="utf-8") as stream:
            return {key: value or "" for key, value in dotenv_values(stream=stream, interpolate=False).items()}
    except FileNotFoundError:
        raise SettingsError(
            f"there is no settings file {path}", hint="Run ./Project_Initialize.sh, which writes it."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"the settings file {path} cannot be read",
            detail=str(error),
            hint="It must be UTF-8 text and readable by the user that runs the pipeline.",
        ) from None


def check_names(path: Path, values: Mapping[str, str]) -> None:
    """Raise SettingsError that lists every name of the file that is no setting: most often one that was misspelt."""
    names = defaults()
    unknown = sorted(name for name in values if name not in names)
    if unknown:
        raise SettingsError(
            f"{path} has settings that do not exist: {', '.join(unknown)}",
            hint="Compare the names with .env.example; take out what an older version had.",
        )


def load(environ: Mapping[str, str] = os.environ, *, to_end: bool = False) -> Settings:
    """The settings of this process: the environment over ``.env`` over the defaults.

    ``to_end``: for who only ends, or shows the logs of, what an older version has started. A secret that an update
    brought is no hindrance then. Raises SettingsError.
    """
    path = env_file(environ)
    values = read_file(path)
    check_names(path, values)
    values.update({name: environ[name] for name in defaults() if name in environ})
    lacking = sorted(set(secret_names()) - values.keys())
    if lacking and to_end:
        values.update({name: secrets.token_urlsafe(24) for name in lacking})
    elif lacking:
        raise SettingsError(
            f"{path} is of an older version",
            detail=f"it lacks {', '.join(lacking)}",
            hint="./Project_Stop.sh, then ./Project_Start.sh, which completes it.",
        )
    return parse(values, where=f"the settings in {path} and the environment")
