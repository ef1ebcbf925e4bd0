#!/usr/bin/env bash
set -Eeuo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh

usage() {
    cat <<'TEXT'
Shows the last log lines of all parts, or of one.

usage: Administrator_scripts/Logs.sh [NAME] [-f] [-n LINES]
  NAME   a part: postgresql, kafka, nocodb, 1-Add_Timestamp, ..., api, scheduler, supervisord
  -f     stay and show what is added, until Ctrl-C
  -n     how many lines of each file (default 20)

examples: Administrator_scripts/Logs.sh
          Administrator_scripts/Logs.sh 2-Add_Label -f
TEXT
}

main() {
    if asks_for_help "$@"; then usage && return; fi
    or_in_containers logs "$@"
    operations logs "$@"
}

main "$@"
