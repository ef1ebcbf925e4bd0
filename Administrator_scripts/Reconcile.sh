#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh

usage() {
    cat <<'TEXT'
Compares PostgreSQL and NocoDB by uuid, repairs NocoDB, and names what it did: writes who is in PostgreSQL alone, records who
was removed in NocoDB by a person, deletes there who was removed by Reset.sh. People's own edits, columns and rows are never
touched. The crontab runs it once an hour; it can be interrupted at any point.

usage: Administrator_scripts/Reconcile.sh [--bring-back] [--accept] [--json]
  --bring-back   write those again whom a person removed in NocoDB
  --accept       when more than half of all are gone from NocoDB, that is told and not taken for a person's choice;
                 with --accept it is
  --json         one JSON object for programs

exit codes: 0 both stores agree now, 1 something is left to look at, or a server does not answer, 2 wrong usage or settings
TEXT
}

main() {
    if asks_for_help "$@"; then usage && return; fi
    or_in_containers run -m pipeline.reconciliation "$@"
    run_python -m pipeline.reconciliation "$@"
}

main "$@"
