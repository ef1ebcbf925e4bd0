"""Backups: WAL archiving and base backups by pgBackRest, and restore points that are noted once they are safe.

Everything that a restore needs lies in the directory of the setting BACKUP_DIR, which is closed to other users, and
once more, independent of the first, in that of BACKUP_DIR_2 when there is one:

``repository/``             what pgBackRest keeps: base backups and WAL
``restore_points.jsonl``    the moments that can be restored by name, one JSON object a line
``files/``                  what is in NocoDB's own directory (the portraits), and lists of what was there when
``configuration/env``       a copy of the settings file. Without its NOCODB_ENCRYPTION_KEY NocoDB cannot read what it
                            has encrypted in its database. It holds every password: keep it as safe as the data.

PostgreSQL's own configuration files are in its data directory, and so in every base backup. A restored copy of them
still names this repository: a copy that is started beside the original must be restored with ``--archive-mode=off``.
"""

from pipeline.backup.configuration import archiving_conf, cluster, write_configuration
from pipeline.backup.place import kinds, make_place, make_places, remove, set_aside
from pipeline.backup.preparing import prepare

__all__ = [
    "archiving_conf",
    "cluster",
    "kinds",
    "make_place",
    "make_places",
    "prepare",
    "remove",
    "set_aside",
    "write_configuration",
]
