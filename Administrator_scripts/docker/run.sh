#!/usr/bin/env bash
set -Eeuo pipefail
CALLED_FROM="$PWD"
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
# shellcheck source=Administrator_scripts/lib.sh
. Administrator_scripts/lib.sh
# shellcheck source=Administrator_scripts/docker/compose.sh
. Administrator_scripts/docker/compose.sh

usage() {
    cat <<'TEXT'
Runs Python among the containers, with the settings and the network of the stages.

usage: Administrator_scripts/docker/run.sh [--in SERVICE] ARGUMENT...
  --in SERVICE   in this one's container instead of get-data's

examples: Administrator_scripts/docker/run.sh -m pipeline.status --json
          Administrator_scripts/docker/run.sh Python_Files/0-Get_Data.py --results 500
          Administrator_scripts/docker/run.sh Python_Files/0-Get_Data.py --file saved_response.json
TEXT
}

main() {
    local arguments=() argument previous="" file="" terminal=(-T) service=get-data
    if [[ "${1:-}" == --in ]]; then
        service="${2:?}"
        shift 2
    fi
    case "${1:-}" in
        "" | -h | --help) usage && return ;;
    esac
    check_engine
    need_env
    for argument in "$@"; do
        if [[ ("$previous" == --file || "$previous" == --with) && "$argument" != - ]]; then
            # A container does not see the host's files: this one is its standard input.
            [[ "$argument" == /* ]] || argument="$CALLED_FROM/$argument"
            [[ -r "$argument" ]] || fail "$argument cannot be read"
            file="$argument"
            argument=/dev/stdin
        fi
        arguments+=("$argument")
        previous="$argument"
    done
    [[ ! -t 0 || ! -t 1 || -n "$file" ]] || terminal=()
    if is_running "$service"; then
        compose exec ${terminal[@]+"${terminal[@]}"} "$service" python "${arguments[@]}" <"${file:-/dev/stdin}"
    elif [[ "$service" == backup ]]; then
        # What is in the repository can be asked for while nothing runs.
        compose run --rm --no-deps ${terminal[@]+"${terminal[@]}"} backup python "${arguments[@]}"
    else
        fail "the containers do not run" "" "Run ./Project_Start.sh first."
    fi
}

main "$@"
