#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh

usage() {
    cat <<'TEXT'
Makes everything up to now restorable: marks the moment in PostgreSQL's WAL, waits until the WAL up to it is safe in the
repository, and notes it. Takes a base backup when one is due (BACKUP_FULL_HOURS) and lets go what is older than
BACKUP_RETENTION_DAYS. The schedule runs it every five minutes; by hand it may be run at any time. Called by root, it runs
as the user of RUN_AS_USER.

usage: Database/Backup.sh [--full | --list]
  --full   take a base backup now
  --list   show what can be restored, and change nothing

While another backup or a restore is at work it waits for that, an hour at most, and then does its own work.
TEXT
}

main() {
    case "${1:-}" in
        -h | --help) usage && return ;;
        "" | --full | --list) (($# <= 1)) || wrong_usage "'$2' is not an argument of this script" ;;
        *) wrong_usage "'$1' is not an argument of this script" ;;
    esac
    or_in_containers run --in backup -m pipeline.backup.command "$@"
    run_python -m pipeline.backup.command "$@"
}

main "$@"
