#!/usr/bin/env bash
set -Eeuo pipefail
CALLED_FROM="$PWD"
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh

usage() {
    cat <<'TEXT'
Looks at records that were refused, sends them again, or settles them. A record is sent into the stage that refused it, and
checked as that stage does before; it does no harm to send one twice.

usage: Administrator_scripts/Rejected.sh list [--all] [--stage NAME] [--reason WORD] [--limit N] [--json]
       Administrator_scripts/Rejected.sh show ID [--value]
       Administrator_scripts/Rejected.sh replay ID... [--with FILE] [--fetched-at TIME]
       Administrator_scripts/Rejected.sh discard ID... --why TEXT
  list               what waits for a decision, newest first; with --all also what is settled
  show ID            value, headers, place, reason, and what was tried; with --value the value alone
  replay ID...       as they were; --with FILE: one of them with the value in FILE
  --fetched-at TIME  the moment of its fetch, where its own timestamp was refused
  discard ID...      not to be sent again; the reason is kept

examples:
  Administrator_scripts/Rejected.sh show 17 --value > corrected.json
  Administrator_scripts/Rejected.sh replay 17 --with corrected.json
  Administrator_scripts/Rejected.sh discard 18 19 --why "a test of somebody's"
TEXT
}

main() {
    local arguments=() argument previous="" file="" given=("$@")
    for argument in "$@"; do
        case "$argument" in
            -h | --help) usage && return ;;
        esac
        if [[ "$previous" == --with && "$argument" != - ]]; then
            file="$argument"
            argument=- # read here, as the caller may read it
        fi
        arguments+=("$argument")
        previous="$argument"
    done
    (($# > 0)) || wrong_usage "list, show, replay or discard: which?"
    cd -- "$CALLED_FROM"
    if [[ -n "$file" ]]; then
        [[ -f "$file" && -r "$file" ]] || (fail "$file cannot be read" "" "Give a file that you may read.") || exit 2
    fi
    or_in_containers run -m pipeline.replay_command "${given[@]}"
    [[ -z "$file" ]] || exec <"$file"
    cd -- "$ROOT"
    run_python -m pipeline.replay_command "${arguments[@]}"
}

main "$@"
