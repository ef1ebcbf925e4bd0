"""A small file system under PostgreSQL, that can be filled to the last byte."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from conftest import Instance
from pipeline.operations import postgresql_server

_SIZE_MB = 1500


class SmallDisk:
    """The cluster of an instance on a file system of its own, in memory. Only root can make it: see ``possible``."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._mounted = False

    @staticmethod
    def possible() -> bool:
        return os.geteuid() == 0 and shutil.which("mount") is not None

    @property
    def _place(self) -> Path:
        return postgresql_server.directory(self._instance.settings)

    @property
    def _filler(self) -> Path:
        return self._place / "filler"

    def make(self) -> bool:
        """Make the cluster, move it to the small file system; whether that could be done."""
        self._instance.run("Project_Start.sh", "--offline", "--only", "postgresql")
        self._instance.run("Project_Stop.sh")
        owner = self._place.stat()
        aside = self._place.with_name("postgresql.aside")
        self._place.rename(aside)
        self._place.mkdir(mode=0o700)
        options = f"size={_SIZE_MB}m,mode=0700,uid={owner.st_uid},gid={owner.st_gid}"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "torture", str(self._place)], check=False)
        self._mounted = done.returncode == 0
        if not self._mounted:
            self._place.rmdir()
            aside.rename(self._place)
            return False
        subprocess.run(["cp", "-a", f"{aside}/.", str(self._place)], check=True)
        shutil.rmtree(aside)
        return True

    def fill(self) -> None:
        """Leave no room at all."""
        with self._filler.open("wb") as stream:
            piece = 64 * 1024 * 1024
            size = 0
            while piece >= 4096:
                try:
                    os.posix_fallocate(stream.fileno(), size, piece)
                    size += piece
                except OSError:
                    piece //= 2

    def empty(self) -> None:
        """Give the room back."""
        self._filler.unlink(missing_ok=True)

    def complaints(self) -> int:
        """How often PostgreSQL has met the full disk, by its own log."""
        count = 0
        for log in self._instance.settings.logs.glob("postgresql.log*"):
            with suppress(OSError):
                count += log.read_text(encoding="utf-8", errors="replace").count("No space left on device")
        return count

    def remove(self) -> None:
        """Take the file system away, with all that is on it; nothing may run on it any more."""
        if self._mounted:
            subprocess.run(["umount", str(self._place)], check=False)
            self._mounted = False
