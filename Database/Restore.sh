#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh

usage() {
    cat <<'TEXT'
Puts the databases back to what they were at a moment: says first what will be lost, checks that the WAL up to there is whole,
asks, stops the pipeline, keeps the old data directory aside, restores, proves how far it came, and starts the pipeline, which
reads from Kafka what was fetched since. When something fails, the old data is put back.

With --only pipeline the people's database alone is put back: it is loaded beside the live one, compared, and exchanged for
it. NocoDB's database is not touched, so nobody's edits are lost, and only the sinks stop, for the exchange.

With --only files NocoDB's files (portraits, attachments) alone are put back as they were at a moment before they were lost,
while everything runs; newer ones are left alone.

usage: Database/Restore.sh --to TIME | --to POINT | --latest [--only pipeline] [--dry-run] [--yes]
       Database/Restore.sh --to TIME | --to POINT --only files [--dry-run]
       Database/Restore.sh --drop-old NAME
  --to TIME        a moment: 2026-01-31T12:00:00 (UTC) or 2026-01-31T12:00:00+01:00
  --to POINT       a restore point of Database/Backup.sh --list
  --latest         everything that is in the repository
  --only pipeline  the people's database alone
  --only files     NocoDB's files alone
  --dry-run        say what would be done and lost, and change nothing
  --yes            do not ask
  --drop-old NAME  drop the database that --only pipeline has replaced and kept under this name

example: Database/Restore.sh --to backup-20260131T120000Z --only pipeline --dry-run

exit codes: 0 restored, and everybody is accounted for; 1 not restored, or the ledger is not content; 2 wrong usage or settings
TEXT
}

main() {
    ! asks_for_help "$@" || { usage && return; }
    or_in_containers restore "$@"
    run_python -m pipeline.backup.restore_command "$@"
}

main "$@"
