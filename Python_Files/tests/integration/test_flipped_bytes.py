"""One flipped byte in every kind of file of the backups: the proof finds it, and no restore is harmed by it."""

from __future__ import annotations

import os
import random
import re
import shutil
import sys
from pathlib import Path

import pytest

from integration.test_backup import Cluster, cluster, made, until  # noqa: F401 - two of them are fixtures
from integration.test_verify import COPY, VERIFY, add_people, flipped
from pipeline.backup import configuration

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("pgbackrest") is None, reason="pgBackRest is not installed"),
]

# What a restore does before it touches anything.
LOOK = """
import sys
from pipeline import settings
from pipeline.backup import plan
from pipeline.errors import PipelineError
loaded = settings.load()
try:
    plan.check_wal(loaded, plan.plan(loaded, sys.argv[1]))
except PipelineError as error:
    sys.exit(error.report())
"""

# Every file below BACKUP_DIR is of one of these kinds; one that is of none fails the test, so that none is forgotten.
KINDS = {
    "archive.info": r"repository/archive/main/archive\.info",
    "archive.info.copy": r"repository/archive/main/archive\.info\.copy",
    "WAL segment": r"repository/archive/main/[\d-]+/[0-9A-F]{16}/[0-9A-F]{24}-[0-9a-f]{40}\.zst",
    "end of a former timeline": r"repository/archive/main/[\d-]+/[0-9A-F]{16}/[0-9A-F]{24}\.partial-[0-9a-f]{40}\.zst",
    "label of a base backup in the WAL": r"repository/archive/main/[\d-]+/[0-9A-F]{16}/[0-9A-F.]+\.backup",
    "history of a timeline": r"repository/archive/main/[\d-]+/[0-9A-F]{8}\.history",
    "backup.info": r"repository/backup/main/backup\.info",
    "backup.info.copy": r"repository/backup/main/backup\.info\.copy",
    "list of former base backups": r"repository/backup/main/backup\.history/\d+/.*\.manifest\.\w+",
    "backup.manifest": r"repository/backup/main/[\d-]+F/backup\.manifest",
    "backup.manifest.copy": r"repository/backup/main/[\d-]+F/backup\.manifest\.copy",
    "bundle of a base backup": r"repository/backup/main/[\d-]+F/bundle/\d+",
    "file of a base backup": r"repository/backup/main/[\d-]+F/pg_data/.*\.zst",
    "restore points": r"restore_points\.jsonl",
    "content of a file of NocoDB's": r"files/contents/../[0-9a-f]{64}",
    "list of NocoDB's files": r"files/lists/.*\.zst",
    "copy of .env": r"configuration/env",
    "former copy of .env": r"configuration/env-until-.*",
    "checksums": r"configuration/SHA256SUMS",
}


def files_by_kind(place: Path) -> dict[str, Path]:
    """A file of each kind that there is: the newest, for that is what a restore reads."""
    found: dict[str, Path] = {}
    for path in sorted(place.rglob("*"), key=lambda path: (path.lstat().st_mtime, path.name)):
        if path.is_symlink() or not path.is_file():
            continue
        name = str(path.relative_to(place))
        kinds = [kind for kind, pattern in KINDS.items() if re.fullmatch(pattern, name)]
        assert len(kinds) == 1, f"{name} is of the kinds {kinds}"
        found[kinds[0]] = path
    return found


def told(text: str) -> str:
    lines = [line for line in text.splitlines() if line.startswith(("error:", "detail:"))]
    return " ".join(lines)[:230] or text[-230:]


@pytest.fixture
def full(cluster: Cluster) -> Cluster:  # noqa: F811
    """A cluster on its second timeline, whose repository has every kind of file."""
    cluster.do(
        "sh", "-c", f"mkdir {cluster.settings.data}/nocodb && echo picture > {cluster.settings.data}/nocodb/portrait"
    )
    cluster.back_up()
    add_people(cluster, 0, 12_000)  # a table too large for a bundle
    cluster.back_up("--full")
    second_timeline(cluster)
    with (cluster.place / "env").open("a", encoding="utf-8") as stream:
        stream.write("DISK_WARN_MB=1\n")
    add_people(cluster, 12_000, 500)
    cluster.back_up("--full")
    add_people(cluster, 12_500, 500)
    cluster.back_up()
    return cluster


def second_timeline(cluster: Cluster) -> None:  # noqa: F811
    """As a restore leaves it: the same cluster, promoted."""
    cluster.stop(cluster.data)
    cluster.do("touch", cluster.data / "recovery.signal")
    with (cluster.data / "postgresql.conf").open("a", encoding="utf-8") as stream:
        stream.write("restore_command = 'false'\n")
    cluster.start(cluster.data, cluster.settings.postgres_port)
    until(lambda: cluster.rows("SELECT pg_is_in_recovery()") == [(False,)], "it is promoted")


@pytest.mark.timeout(1500)
def test_a_flipped_byte_in_every_kind_of_file_is_found_by_the_proof_and_harms_no_restore(full: Cluster) -> None:
    found = files_by_kind(full.settings.backup)
    assert set(found) == set(KINDS), f"not there: {set(KINDS) - set(found)}"
    people = full.rows("SELECT count(*) FROM pipeline.users")
    newest = full.journal[-1].name
    assert people == [(13_000,)]
    assert "can be restored" in full.call(VERIFY).stdout
    seed = int(os.environ.get("FLIP_SEED", "0"))  # 0: the byte in the middle
    missed = []
    for kind, path in found.items():
        chance = random.Random(f"{seed} {kind}")
        with flipped(path, chance.randrange(path.stat().st_size) if seed else None) as (place, size):
            proof = full.call(VERIFY, ok=False)
            looked = full.do(sys.executable, "-c", LOOK, newest, ok=False)
            said = proof.stderr + looked.stderr
            assert "Traceback" not in said, f"{kind}: {said}"
            copied = "refused before"
            if looked.returncode == 0:
                copy = full.do(sys.executable, "-c", COPY_PEOPLE, newest, ok=False)
                copied = "unharmed" if copy.returncode == 0 else f"refused: {told(copy.stderr)}"
                assert copy.returncode != 0 or copy.stdout.split()[0] == "13000", f"{kind}: {copy.stdout}"
        by = f"found: {told(proof.stderr)}" if proof.returncode == 1 else "NOT FOUND"
        look = "goes on" if looked.returncode == 0 else f"refuses: {told(looked.stderr)}"
        print(f"{kind} (byte {place} of {size})\n  proof    {by}\n  look     {look}\n  restore  {copied}", flush=True)
        if proof.returncode != 1 or "the backups are not proven" not in proof.stderr:
            missed.append(kind)
    assert not missed
    assert "can be restored" in full.call(VERIFY).stdout, "all is as it was"


COPY_PEOPLE = COPY.replace("pipeline.removed", "pipeline.users")


def test_the_journal_is_not_believed_when_the_end_of_its_last_line_is_damaged(cluster: Cluster) -> None:  # noqa: F811
    cluster.back_up()
    journal = configuration.journal_file(cluster.settings)
    with flipped(journal, journal.stat().st_size - 1):
        failed = cluster.call(VERIFY, ok=False)
    assert failed.returncode == 1
    assert "the list of restore points is damaged" in failed.stderr


def test_a_damaged_copy_of_the_settings_file_is_made_anew_by_the_next_backup(cluster: Cluster) -> None:  # noqa: F811
    cluster.back_up()
    copies = configuration.copies(cluster.settings)
    before = (copies / "env").read_bytes()
    (copies / "env").write_bytes(before.replace(b"POSTGRES", b"POSTGRAS"))
    cluster.back_up()
    assert (copies / "env").read_bytes() == before
    assert sorted(path.name for path in copies.iterdir()) == ["SHA256SUMS", "env"], "what is damaged is not kept"
    checked = cluster.do("sh", "-c", f"cd {cluster.settings.backup} && sha256sum --check configuration/SHA256SUMS")
    assert "configuration/env: OK" in checked.stdout
