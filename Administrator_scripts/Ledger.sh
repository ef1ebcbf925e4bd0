#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh

usage() {
    cat <<'TEXT'
Accounts for everybody who was ever fetched, in PostgreSQL and in NocoDB, by comparing sets of uuids: stored, a repeat,
removed, rejected, on the way, or missing. Names who is missing with the last topic and offset that held them, and who is
in a store and was never fetched. Nothing is stopped for it. Records who was removed in NocoDB by a person.

usage: Administrator_scripts/Ledger.sh [--since TIME | --fetch ID] [--json]
  --since TIME   only fetches since then, such as 2026-01-31 or 2026-01-31T08:00 (local time)
  --fetch ID     only this fetch
  --json         one JSON object for programs, with all names

exit codes: 0 everybody is accounted for, 1 somebody is missing, was never fetched, or a server does not answer,
2 wrong usage or settings
TEXT
}

main() {
    if asks_for_help "$@"; then usage && return; fi
    or_in_containers run -m pipeline.ledger "$@"
    run_python -m pipeline.ledger "$@"
}

main "$@"
