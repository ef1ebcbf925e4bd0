#!/usr/bin/env bash
set -Eeuo pipefail
CALLED_FROM="$PWD"
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh

usage() {
    cat <<'TEXT'
Fetches people by hand, besides the fetches that the crontab makes every minute.

usage: Administrator_scripts/Get_Data.sh [options of Python_Files/0-Get_Data.py]
  --results N              so many people, with a seed of their own
  --seed TEXT --page N     the people of a seed and page
  --file FILE              feed a response of the API that was saved before
  --again FETCH_ID         ask again for exactly those people of a fetch who are missing (Ledger.sh names them)
  --offline                let the stand-in of the API serve this run

examples:
  Administrator_scripts/Get_Data.sh --results 500
  Administrator_scripts/Get_Data.sh --file saved_response.json
  Administrator_scripts/Get_Data.sh --again randomuser.me-20260131T0805Z-p1
TEXT
}

main() {
    local arguments=() argument previous="" given=("$@")
    for argument in "$@"; do
        case "$argument" in
            -h | --help) usage && return ;;
        esac
        # A file is named as the caller sees it.
        if [[ "$previous" == --file && "$argument" != /* ]]; then
            argument="$CALLED_FROM/$argument"
        fi
        arguments+=("$argument")
        previous="$argument"
    done
    cd -- "$CALLED_FROM"
    or_in_containers run Python_Files/0-Get_Data.py ${given[@]+"${given[@]}"}
    cd -- "$ROOT"
    run_python Python_Files/0-Get_Data.py ${arguments[@]+"${arguments[@]}"}
}

main "$@"
