"""The repositories of the backups when they break: one of two, or the only one; seen, told, and nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from integration.test_backup import OWNER, Cluster, cluster, made, until  # noqa: F401 - two of them are fixtures
from pipeline import backup
from pipeline import settings as all_settings
from pipeline.backup import configuration, files
from pipeline.settings import ROOT, Settings

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("pgbackrest") is None, reason="pgBackRest is not installed"),
]

# Which repository a restore would read, and why not the first, after its WAL was read.
PLAN = """
import sys
from pipeline import settings
from pipeline.backup import configuration, plan
loaded = settings.load()
planned = plan.check_wal(loaded, plan.plan(loaded, sys.argv[1] if len(sys.argv) > 1 else None))
print(configuration.repository(planned.source), planned.instead, sep="\\n")
"""


def with_second(cluster: Cluster) -> Cluster:  # noqa: F811
    """The same with BACKUP_DIR_2, as if it were written into .env."""
    env = cluster.place / "env"
    env.write_text(f"{env.read_text(encoding='utf-8')}BACKUP_DIR_2={cluster.place / 'second'}\n", encoding="utf-8")
    settings = all_settings.parse(all_settings.read_file(env))
    backup.make_places(settings, OWNER)
    return Cluster(cluster.place, settings)


def second(cluster: Cluster) -> Settings:  # noqa: F811
    return configuration.views(cluster.settings)[1]


def segments(settings: Settings) -> set[str]:
    """The names of all segments in a repository."""
    return {path.name[:24] for path in configuration.repository(settings).glob("archive/main/*/*/*-*")}


def base_backups(settings: Settings) -> list[str]:
    return sorted(
        path.parent.name for path in configuration.repository(settings).glob("backup/main/*F/backup.manifest")
    )


def warnings(cluster: Cluster) -> list[str]:  # noqa: F811
    told = cluster.call(ROOT / "Administrator_scripts" / "Status.sh", "--json", ok=False)
    found: dict[str, Any] = json.loads(told.stdout)
    return [str(one) for one in found["warnings"]]


def switch(cluster: Cluster, what: str) -> str:  # noqa: F811
    """Something that is worth archiving; the segment with it, which ends now."""
    [(segment,)] = cluster.rows("SELECT pg_walfile_name(pg_create_restore_point(%s))", [what])
    cluster.rows("SELECT pg_switch_wal()")
    return str(segment)


def restored_content(cluster: Cluster, view: Settings, name: str) -> list[tuple[Any, ...]]:  # noqa: F811
    """What a restore from this repository alone, with all its WAL, gives."""
    return cluster.content(Cluster(cluster.place, view).restore(name, None))


def test_a_second_repository_is_added_to_a_running_installation_and_each_restores_alone(
    cluster: Cluster,  # noqa: F811
) -> None:
    cluster.add("before there is a second", 200)
    cluster.back_up()
    both = with_second(cluster)
    told = both.back_up().stdout
    assert f"in {configuration.repository(second(both))}" in told, "it has no base backup of its own yet"
    assert "there is none" in told
    assert "is safe in both repositories" in told
    assert len(base_backups(both.settings)) == len(base_backups(second(both))) == 1
    assert both.rows("SELECT failed_count FROM pg_stat_archiver") == [(0,)], "archiving never stopped for it"
    both.add("with both", 300)
    assert "Base backup" not in both.back_up().stdout
    listed = both.back_up("--list").stdout
    for view in configuration.views(both.settings):
        assert f"Base backups in {configuration.repository(view)}" in listed
        assert f"can be restored from {configuration.repository(view)}" in listed
    assert (second(both).backup / "configuration" / "env").read_bytes() == (both.place / "env").read_bytes()
    content = both.content()
    assert len(content) == 500
    # The disk of the first is lost: the second has all there is, and the list of points.
    names = [point.name for point in both.journal]
    shutil.rmtree(both.settings.backup)
    assert [point.name for point in both.journal] == names[1:]
    assert restored_content(both, second(both), "restored") == content


def test_one_of_two_repositories_that_is_gone_is_told_and_gets_everything_when_it_is_back(
    cluster: Cluster,  # noqa: F811
) -> None:
    both = with_second(cluster)
    both.back_up()
    away = both.place / "unplugged"
    configuration.repository(second(both)).rename(away)
    both.add("only the first has it", 100)
    segment = switch(both, "while it is gone")
    until(lambda: segment in segments(both.settings), "the first repository goes on")
    until(lambda: any(str(second(both).backup) in one for one in warnings(both)), "Status.sh names the broken one")
    told = both.back_up(ok=False)
    assert told.returncode == 1
    assert f"is safe in {configuration.repository(both.settings)} alone" in told.stdout
    assert str(configuration.repository(second(both))) in told.stderr
    assert restored_content(both, both.settings, "restored") == both.content()

    # As a mount does it: the empty directory below is not there any more.
    shutil.rmtree(configuration.repository(second(both)), ignore_errors=True)
    away.rename(configuration.repository(second(both)))
    until(lambda: both.back_up(ok=False).returncode == 0, "both are whole again", 120)
    first, other = segments(both.settings), segments(second(both))
    assert other == {name for name in first if name >= min(other)}
    assert len(base_backups(second(both))) == 1, "nothing is missing in it, so none was needed"


def test_a_restore_reads_the_repository_that_has_what_is_needed_and_says_why(
    cluster: Cluster,  # noqa: F811
) -> None:
    both = with_second(cluster)
    both.back_up()
    both.back_up()
    both.back_up()
    first, other = (str(configuration.repository(view)) for view in configuration.views(both.settings))
    point = both.journal[-1]

    def chosen() -> list[str]:
        return both.do(python(), "-c", PLAN, point.name).stdout.splitlines()

    assert chosen() == [first, ""]
    path = both.segment_file(both.journal[1].wal_segment)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    where, why = chosen()
    assert where == other
    assert first in why
    assert "is damaged" in why
    path.unlink()
    where, why = chosen()
    assert where == other
    assert "is missing" in why
    # A gap heals itself: the next run takes a base backup where it is, and only there.
    until(lambda: "WAL that came since the last one is missing" in both.back_up(ok=False).stdout, "it is healed", 30)
    assert [len(base_backups(view)) for view in configuration.views(both.settings)] == [2, 1]


def python() -> Path:
    return ROOT / ".venv" / "bin" / "python"


def close(cluster: Cluster) -> None:  # noqa: F811
    for path in (configuration.repository(cluster.settings) / "archive").rglob("*"):
        if path.is_dir():
            os.chown(path, 0, 0)
            path.chmod(0o755)


def give_back(cluster: Cluster) -> None:  # noqa: F811
    for path in (configuration.repository(cluster.settings) / "archive").rglob("*"):
        os.chown(path, *OWNER)


@contextmanager
def small_disk(cluster: Cluster, megabytes: int) -> Iterator[Path]:  # noqa: F811
    """The repository on a file system of its own, in memory; the file that fills it."""
    place = configuration.repository(cluster.settings)
    aside = cluster.place / "aside"
    place.rename(aside)
    place.mkdir(mode=0o700)
    options = f"size={megabytes}m,mode=0700,uid={OWNER[0]},gid={OWNER[1]}"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "repository", str(place)], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        subprocess.run(["cp", "-a", f"{aside}/.", str(place)], check=True)
        yield place / "filler"
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)


def fill(filler: Path, left: int) -> None:
    """All but so many bytes."""
    room = os.statvfs(filler.parent)
    with filler.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, room.f_bavail * room.f_frsize - left)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_repository_of_another_owner_is_seen_in_the_status_and_nothing_is_lost(
    cluster: Cluster,  # noqa: F811
) -> None:
    cluster.back_up()
    close(cluster)
    try:
        cluster.add("while it is closed", 100)
        segment = switch(cluster, "closed")
        until(lambda: any("cannot be written" in one for one in warnings(cluster)), "Status.sh says so", 60)
        until(lambda: any("the WAL is not archived" in one for one in warnings(cluster)), "and what of it", 60)
    finally:
        give_back(cluster)
    until(lambda: cluster.back_up(ok=False).returncode == 0, "it recovers by itself", 120)
    assert segment in segments(cluster.settings)
    assert not any("WAL" in one or "repository" in one for one in warnings(cluster))
    assert restored_content(cluster, cluster.settings, "restored") == cluster.content()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_repository_is_seen_keeps_no_half_base_backup_and_loses_nothing(
    cluster: Cluster,  # noqa: F811
) -> None:
    cluster.back_up()
    with small_disk(cluster, 200) as filler:
        fill(filler, 2 << 20)
        refused = cluster.back_up("--full", ok=False)
        assert refused.returncode == 1
        assert "there is no room for another base backup" in refused.stderr
        assert len(cluster.journal) == 2, "the point is made all the same"
        # One that began with enough room, and met the end of the disk.
        script = (
            "from pipeline import settings\n"
            "from pipeline.backup import base_backup, repository\n"
            "base_backup._check_room = lambda *given: None\n"
            "loaded = settings.load()\n"
            "try:\n"
            "    base_backup.take(loaded, repository.read(loaded))\n"
            "except Exception as error:\n"
            "    print(error.report())\n"
        )
        assert "the disk was full before the base backup was complete" in cluster.do(python(), "-c", script).stdout
        assert len(list(filler.parent.glob("backup/main/2*F"))) == 1, "its half is cleared away"

        filler.unlink()
        fill(filler, 0)
        cluster.rows("CREATE TABLE noise AS SELECT md5(random()::text) AS text FROM generate_series(1, 200000)")
        segment = switch(cluster, "full")
        until(lambda: any("is full" in one for one in warnings(cluster)), "Status.sh says so", 60)
        until(lambda: any("the WAL is not archived" in one for one in warnings(cluster)), "and what of it", 60)
        filler.unlink()
        until(lambda: cluster.back_up(ok=False).returncode == 0, "it recovers by itself", 120)
        assert segment in segments(cluster.settings)
        assert cluster.rows("SELECT count(*) FROM noise") == [(200000,)]
        restored = cluster.restore("restored", cluster.journal[-1].name)
        assert cluster.rows("SELECT count(*) FROM noise", port=restored) == [(200000,)]


def test_a_base_backup_is_taken_after_so_much_wal_and_nocodbs_files_of_the_moment_come_back(
    cluster: Cluster,  # noqa: F811
) -> None:
    with (cluster.place / "env").open("a", encoding="utf-8") as stream:
        stream.write("BACKUP_FULL_WAL_MB=16\n")
    picture = files.directory(cluster.settings) / "nc" / "uploads" / "face.jpg"
    cluster.do("mkdir", "-p", picture.parent)
    cluster.do("cp", ROOT / "logo.svg", picture)
    assert "1 of NocoDB's 1 are new" in cluster.back_up().stdout
    cluster.rows(
        "CREATE TABLE noise AS SELECT string_agg(md5((n * m)::text || random()), '') AS text "
        "FROM generate_series(1, 20000) n, generate_series(1, 60) m GROUP BY n"
    )
    # At the latest the second run finds that WAL in the repository.
    told = cluster.back_up().stdout + cluster.back_up().stdout
    assert "of WAL, " in told
    assert "came since the last one" in told
    picture.unlink()
    assert files.restore(cluster.settings) == files.Restored(1, 0, 0, [])
    assert picture.read_bytes() == (ROOT / "logo.svg").read_bytes()


def test_proofs_restore_from_the_two_repositories_by_turns_and_a_broken_one_is_a_fault(
    cluster: Cluster,  # noqa: F811
) -> None:
    both = with_second(cluster)
    both.back_up()
    verify = ROOT / "Database" / "Verify_Backup.sh"
    both.call(verify)
    both.call(verify)
    proven = both.rows("SELECT base_backup FROM pipeline.backup_proofs ORDER BY id")
    assert proven == [(label,) for view in configuration.views(both.settings) for label in base_backups(view)]
    shutil.rmtree(configuration.repository(both.settings))
    told = both.call(verify, ok=False)
    assert told.returncode == 1
    assert str(both.settings.backup) in told.stderr
    [(label, rto)] = both.rows("SELECT base_backup, rto_seconds FROM pipeline.backup_proofs ORDER BY id DESC LIMIT 1")
    assert label == base_backups(second(both))[0], "the other one was proven all the same"
    assert rto > 0
