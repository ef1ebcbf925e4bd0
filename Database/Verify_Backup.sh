#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh

usage() {
    cat <<'TEXT'
Proves that the backups can be restored: restores them into a scratch copy below DATA_DIR, replays the WAL, checks its
tables, indexes and constraints, compares every person in it with the live database, and removes it. What was found is
in Status.sh and in the table pipeline.backup_proofs. The live databases are only read. It needs as much room as the
databases have. Called by root, it runs as the user of RUN_AS_USER.

usage: Database/Verify_Backup.sh [--when-due]
  --when-due   do nothing unless a base backup has no proof yet or the newest proof is a day old; the schedule's call

Status 0 when the backups are proven, 1 when they are not.
TEXT
}

main() {
    case "${1:-}" in
        -h | --help) usage && return ;;
        "" | --when-due) (($# <= 1)) || wrong_usage "'$2' is not an argument of this script" ;;
        *) wrong_usage "'$1' is not an argument of this script" ;;
    esac
    or_in_containers run --in backup -m pipeline.backup.verify "$@"
    run_python -m pipeline.backup.verify "$@"
}

main "$@"
