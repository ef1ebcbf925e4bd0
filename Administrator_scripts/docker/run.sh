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

usage: Administrator_scripts/docker/run.sh ARGUMENT...

examples: Administrator_scripts/docker/run.sh -m pipeline.status --json
          Administrator_scripts/docker/run.sh Python_Files/0-Get_Data.py --results 500
          Administrator_scripts/docker/run.sh Python_Files/0-Get_Data.py --file saved_response.json
TEXT
}

main() {
    local arguments=() argument previous="" file="" terminal=(-T)
    case "${1:-}" in
        "" | -h | --help) usage && return ;;
    esac
    check_engine
    need_env
    for argument in "$@"; do
        if [[ "$previous" == --file ]]; then
            # A container does not see the host's files: this one is its standard input.
            [[ "$argument" == /* ]] || argument="$CALLED_FROM/$argument"
            [[ -r "$argument" ]] || fail "$argument cannot be read"
            file="$argument"
            argument=/dev/stdin
        fi
        arguments+=("$argument")
        previous="$argument"
    done
    is_running get-data || fail "the containers do not run" "" "Run ./Project_Start.sh first."
    [[ ! -t 0 || ! -t 1 ]] || terminal=()
    [[ -z "$file" ]] || terminal=(-T)
    compose exec ${terminal[@]+"${terminal[@]}"} get-data python "${arguments[@]}" <"${file:-/dev/stdin}"
}

main "$@"
